//! A journal entry, which balances or does not exist.

use crate::Account;
use counterfoil_billing::invoice::{Deferral, InvoiceId};
use counterfoil_core::{Currency, Timestamp};
use serde::Serialize;

/// One side of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Posting {
    /// The account.
    pub account: Account,
    /// In minor units: a debit is positive, a credit negative.
    pub amount_minor: i128,
}

/// What one event posts: debits and credits of one currency that come to nothing, and when the
/// revenue among them is earned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    at: Timestamp,
    currency: Currency,
    postings: Vec<Posting>,
    deferrals: Vec<Deferral>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contra: Vec<Deferral>,
}

/// Why an event cannot be posted: its amounts contradict each other. No event that was decided
/// under the rules does so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostingError {
    /// Debits and credits differ.
    #[error(
        "the entry at {at} does not balance: debits less credits are {excess_minor} {currency}"
    )]
    Unbalanced {
        /// The time of the entry.
        at: Timestamp,
        /// Its currency.
        currency: Currency,
        /// Debits less credits, in minor units.
        excess_minor: i128,
    },
    /// The revenue that the entry defers is not what its deferrals add up to.
    #[error(
        "the entry at {at} defers {deferred_minor} {currency}, but schedules {scheduled_minor}"
    )]
    ScheduleMismatch {
        /// The time of the entry.
        at: Timestamp,
        /// Its currency.
        currency: Currency,
        /// What it credits to deferred revenue, in minor units.
        deferred_minor: i128,
        /// The sum of its deferrals, in minor units.
        scheduled_minor: i128,
    },
    /// A payment that came late and was credited to nobody (point 67).
    #[error("a late payment of {amount_minor} on invoice {invoice} was credited to nobody")]
    LatePaymentWithoutCredit {
        /// The invoice.
        invoice: InvoiceId,
        /// What was collected, in minor units.
        amount_minor: i64,
    },
    /// An amount or a total that no integer holds.
    #[error("an amount of the entry at {at} in {currency} is out of range")]
    OutOfRange {
        /// The time of the entry.
        at: Timestamp,
        /// Its currency.
        currency: Currency,
    },
}

impl Entry {
    /// An entry of these postings and deferrals, those of 0 left out.
    ///
    /// # Errors
    /// [`PostingError::Unbalanced`] unless the postings add up to 0,
    /// [`PostingError::ScheduleMismatch`] unless the deferrals add up to what is credited to
    /// [`Account::DeferredRevenue`], [`PostingError::OutOfRange`] where a sum exceeds `i128`.
    pub fn new(
        at: Timestamp,
        currency: Currency,
        mut postings: Vec<Posting>,
        mut deferrals: Vec<Deferral>,
    ) -> Result<Self, PostingError> {
        postings.retain(|posting| posting.amount_minor != 0);
        deferrals.retain(|deferral| deferral.amount != 0);
        let out_of_range = || PostingError::OutOfRange { at, currency };
        let excess_minor =
            sum(postings.iter().map(|posting| posting.amount_minor)).ok_or_else(out_of_range)?;
        if excess_minor != 0 {
            return Err(PostingError::Unbalanced { at, currency, excess_minor });
        }
        let deferred = postings.iter().filter(|p| p.account == Account::DeferredRevenue);
        let deferred_minor = sum(deferred.map(|posting| posting.amount_minor))
            .and_then(i128::checked_neg)
            .ok_or_else(out_of_range)?;
        let scheduled_minor = sum(deferrals.iter().map(|deferral| deferral.amount.into()))
            .ok_or_else(out_of_range)?;
        if deferred_minor != scheduled_minor {
            return Err(PostingError::ScheduleMismatch {
                at,
                currency,
                deferred_minor,
                scheduled_minor,
            });
        }
        Ok(Self { at, currency, postings, deferrals, contra: Vec::new() })
    }

    /// The same with what discounts took off the revenue that it defers: as that is earned, revenue
    /// and discounts grow by this much more. Those of 0 are left out.
    #[must_use]
    pub fn with_contra(mut self, mut contra: Vec<Deferral>) -> Self {
        contra.retain(|deferral| deferral.amount != 0);
        self.contra = contra;
        self
    }

    /// The time of the event.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The currency of every amount.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The debits and credits; their sum is 0, none of them is.
    #[must_use]
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// When the revenue that the entry defers is earned; what it takes back is negative.
    #[must_use]
    pub fn deferrals(&self) -> &[Deferral] {
        &self.deferrals
    }

    /// What discounts took off that revenue, and when it shows as contra revenue; what is taken back
    /// is negative.
    #[must_use]
    pub fn contra(&self) -> &[Deferral] {
        &self.contra
    }

    /// Whether it neither moves money nor revenue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.postings.is_empty() && self.deferrals.is_empty() && self.contra.is_empty()
    }
}

/// The sum of amounts; none where it exceeds `i128`.
pub(crate) fn sum(mut amounts: impl Iterator<Item = i128>) -> Option<i128> {
    amounts.try_fold(0_i128, i128::checked_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::Period;

    const AT: Timestamp = Timestamp::MIN;
    const USD: Currency = Currency::USD;

    fn entry(postings: &[(Account, i128)], deferrals: &[i64]) -> Result<Entry, PostingError> {
        let postings = postings
            .iter()
            .map(|&(account, amount_minor)| Posting { account, amount_minor })
            .collect();
        let deferrals = deferrals
            .iter()
            .map(|&amount| Deferral { amount, period: Period::instant(AT) })
            .collect();
        Entry::new(AT, USD, postings, deferrals)
    }

    #[test]
    fn an_entry_that_contradicts_itself_cannot_be_built() {
        use Account::{BadDebt, CashClearing, DeferredRevenue};
        let unbalanced =
            |excess_minor| PostingError::Unbalanced { at: AT, currency: USD, excess_minor };
        let mismatch = |deferred_minor, scheduled_minor| PostingError::ScheduleMismatch {
            at: AT,
            currency: USD,
            deferred_minor,
            scheduled_minor,
        };
        let out_of_range = PostingError::OutOfRange { at: AT, currency: USD };
        type Case<'a> = (&'a [(Account, i128)], &'a [i64], PostingError);
        let cases: &[Case<'_>] = &[
            (&[(CashClearing, 1)], &[], unbalanced(1)),
            (&[(CashClearing, 1), (BadDebt, -3)], &[], unbalanced(-2)),
            (&[(CashClearing, 5), (DeferredRevenue, -5)], &[], mismatch(5, 0)),
            (&[(CashClearing, 5), (DeferredRevenue, -5)], &[2, 2], mismatch(5, 4)),
            (&[(CashClearing, 5), (BadDebt, -5)], &[1], mismatch(0, 1)),
            (&[(CashClearing, i128::MAX), (BadDebt, 1)], &[], out_of_range),
        ];
        for (postings, deferrals, error) in cases {
            assert_eq!(entry(postings, deferrals).as_ref(), Err(error));
        }
    }

    #[test]
    fn amounts_of_nothing_are_left_out() {
        use Account::{BadDebt, CashClearing};
        let nothing = entry(&[(CashClearing, 0), (BadDebt, 0)], &[0]).unwrap();
        assert!(nothing.is_empty());
        // Two lines that cancel each other still move revenue between their periods.
        let moved = entry(&[], &[10, 0, -10]).unwrap();
        assert!(!moved.is_empty());
        assert_eq!((moved.postings().len(), moved.deferrals().len()), (0, 2));
    }
}
