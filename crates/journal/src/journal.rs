//! The journal as a projection: totals of accounts and schedules of revenue.

use crate::schedules::Schedules;
use crate::{
    Account, Entry, Posting, PostingError, PostingRules, Row, TrialBalance, post, recognized,
};
use counterfoil_billing::Event;
use counterfoil_billing::invoice::Deferral;
use counterfoil_core::{Currency, Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the entries recorded so far come to. Equal journals are encoded equally, whatever order
/// their entries came in.
///
/// It keeps no entry, only totals and one schedule for each period and amount of revenue, so that a
/// thousand invoices for the same month at the same price take one place. A void leaves no schedule
/// behind. A clone shares the schedules, which are what there can be many of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Journal {
    pub(crate) entries: u64,
    pub(crate) ledgers: BTreeMap<Currency, Ledger>,
}

/// The accounts of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Every account that was ever posted to, and tax payable.
    pub(crate) totals: BTreeMap<Account, Totals>,
    /// How many more times revenue was deferred than taken back.
    pub(crate) schedules: Schedules,
    /// The same of what discounts took off that revenue.
    #[serde(default, skip_serializing_if = "Schedules::is_empty")]
    pub(crate) contra: Schedules,
}

/// What was ever posted to an account, in minor units; neither side is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) debit_minor: i128,
    pub(crate) credit_minor: i128,
}

/// Revenue and the period it is earned over. Only the size of the amount is kept: what is taken
/// back counts down what was deferred, because both earn alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Schedule {
    pub(crate) period: Period,
    pub(crate) amount_minor: i64,
}

impl Journal {
    /// Posts an event, if it moves money or revenue. The entry is returned for who wants to keep
    /// it.
    ///
    /// # Errors
    /// As [`post`] and [`Journal::append`]; the journal is unchanged then.
    pub fn record(
        &mut self,
        event: &Event,
        rules: PostingRules,
    ) -> Result<Option<Entry>, PostingError> {
        let entry = post(event, rules)?;
        if let Some(entry) = &entry {
            self.append(entry)?;
        }
        Ok(entry)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`PostingError::OutOfRange`] where a total exceeds its integer; the journal is unchanged
    /// then.
    pub fn append(&mut self, entry: &Entry) -> Result<(), PostingError> {
        let currency = entry.currency();
        let out_of_range = || PostingError::OutOfRange { at: entry.at(), currency };
        // Not even an empty ledger is made without need: it takes memory.
        let empty;
        let before = match self.ledgers.get(&currency) {
            Some(ledger) => ledger,
            None => {
                empty = Ledger::default();
                &empty
            }
        };
        let totals = before.totals_after(entry).ok_or_else(out_of_range)?;
        let schedules = after(&before.schedules, entry.deferrals()).ok_or_else(out_of_range)?;
        let contra = after(&before.contra, entry.contra()).ok_or_else(out_of_range)?;
        let ledger = self.ledgers.entry(currency).or_default();
        for (account, total) in Account::ALL.into_iter().zip(totals) {
            let Some(total) = total else { continue };
            match ledger.totals.get_mut(&account) {
                Some(known) => *known = total,
                None => drop(ledger.totals.insert(account, total)),
            }
        }
        for (schedule, count) in schedules {
            ledger.schedules.set(schedule, count);
        }
        for (schedule, count) in contra {
            ledger.contra.set(schedule, count);
        }
        self.entries = self.entries.saturating_add(1);
        Ok(())
    }

    /// How many entries were recorded.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The currencies that were ever posted in, by code.
    pub fn currencies(&self) -> impl Iterator<Item = Currency> {
        self.ledgers.keys().copied()
    }

    /// The net balance of an account in minor units, with the revenue that is earned `at` an
    /// instant: a debit is positive. The instant moves revenue only; every entry recorded so far
    /// counts.
    #[must_use]
    pub fn balance(&self, account: Account, currency: Currency, at: Timestamp) -> i128 {
        self.ledgers.get(&currency).map_or(0, |ledger| {
            let earned = match account {
                Account::DeferredRevenue => ledger.earned(at),
                Account::Revenue => ledger.earned(at).saturating_add(ledger.discounted(at)),
                Account::Discounts => ledger.discounted(at),
                _ => 0,
            };
            ledger.balance(account, earned)
        })
    }

    /// The net balance of every account with the revenue that is earned `at` an instant. Takes time
    /// in proportion to the number of schedules.
    #[must_use]
    pub fn trial_balance(&self, at: Timestamp) -> TrialBalance {
        let mut rows = Vec::new();
        for (&currency, ledger) in &self.ledgers {
            let (earned, discounted) = (ledger.earned(at), ledger.discounted(at));
            rows.extend(ledger.totals.keys().map(|&account| {
                let moved = match account {
                    Account::Revenue => earned.saturating_add(discounted),
                    Account::Discounts => discounted,
                    _ => earned,
                };
                Row::net(account, currency, ledger.balance(account, moved))
            }));
        }
        TrialBalance::of(rows)
    }

    /// What was posted to an account, recognition aside: a debit is positive.
    pub(crate) fn posted(&self, account: Account, currency: Currency) -> i128 {
        self.ledgers.get(&currency).map_or(0, |ledger| ledger.balance(account, 0))
    }

    /// The sum of all schedules in minor units, earned or not.
    pub(crate) fn scheduled(&self, currency: Currency) -> i128 {
        self.ledgers
            .get(&currency)
            .map_or(0, |ledger| sum(&ledger.schedules, |schedule| schedule.amount_minor))
    }
}

impl Ledger {
    /// The accounts that an entry touches as they are after it, each at its place in the chart;
    /// none where a total is out of range.
    fn totals_after(&self, entry: &Entry) -> Option<[Option<Totals>; Account::ALL.len()]> {
        let mut totals = [None; Account::ALL.len()];
        let discounted = !entry.contra().is_empty();
        let deferred = discounted || !entry.deferrals().is_empty();
        for (account, place) in Account::ALL.into_iter().zip(&mut totals) {
            let named = match account {
                Account::TaxPayable => true,
                Account::DeferredRevenue | Account::Revenue => deferred,
                Account::Discounts => discounted,
                _ => false,
            };
            let mut postings = entry.postings().iter().filter(|p| p.account == account).peekable();
            if !named && postings.peek().is_none() {
                continue;
            }
            let mut total = self.totals.get(&account).copied().unwrap_or_default();
            for Posting { amount_minor, .. } in postings {
                if *amount_minor > 0 {
                    total.debit_minor = total.debit_minor.checked_add(*amount_minor)?;
                } else {
                    total.credit_minor = total.credit_minor.checked_sub(*amount_minor)?;
                }
            }
            *place = Some(total);
        }
        Some(totals)
    }

    /// What is earned at an instant, in minor units.
    fn earned(&self, at: Timestamp) -> i128 {
        earned(&self.schedules, at)
    }

    /// What discounts took off what is earned at an instant, in minor units.
    fn discounted(&self, at: Timestamp) -> i128 {
        earned(&self.contra, at)
    }

    /// The net balance of an account once so much moved by recognition: out of deferred revenue, into
    /// revenue, into discounts.
    fn balance(&self, account: Account, earned: i128) -> i128 {
        let Totals { debit_minor, credit_minor } =
            self.totals.get(&account).copied().unwrap_or_default();
        let posted = debit_minor.saturating_sub(credit_minor);
        match account {
            Account::DeferredRevenue | Account::Discounts => posted.saturating_add(earned),
            Account::Revenue => posted.saturating_sub(earned),
            _ => posted,
        }
    }
}

/// The schedules that deferrals touch as they are after them; none where an amount has no opposite.
fn after(before: &Schedules, deferrals: &[Deferral]) -> Option<Vec<(Schedule, i64)>> {
    let mut schedules: Vec<(Schedule, i64)> = Vec::with_capacity(deferrals.len());
    for deferral in deferrals {
        let amount_minor = deferral.amount.checked_abs()?;
        let schedule = Schedule { period: deferral.period, amount_minor };
        schedules.push((schedule, deferral.amount.signum()));
    }
    schedules.sort_unstable();
    schedules.dedup_by(|(schedule, step), (kept, steps)| {
        let same = schedule == kept;
        if same {
            *steps = steps.saturating_add(*step);
        }
        same
    });
    for (schedule, count) in &mut schedules {
        *count = count.checked_add(before.get(schedule))?;
    }
    Some(schedules)
}

/// What of schedules is earned at an instant.
fn earned(schedules: &Schedules, at: Timestamp) -> i128 {
    sum(schedules, |&Schedule { period, amount_minor: amount }| {
        recognized(&Deferral { amount, period }, at)
    })
}

/// Saturates where the total of the deferrals would have been refused before.
fn sum(schedules: &Schedules, part: impl Fn(&Schedule) -> i64) -> i128 {
    schedules.iter().fold(0, |sum: i128, (schedule, count)| {
        let product = i128::from(part(schedule)).saturating_mul(count.into());
        sum.saturating_add(product)
    })
}
