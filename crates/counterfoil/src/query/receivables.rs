//! What open invoices still ask for, by how long it is overdue.

use crate::engine::Engine;
use crate::error::Error;
use crate::view::View;
use counterfoil_billing::invoice::{Invoice, InvoiceId, InvoiceStatus};
use counterfoil_core::{Currency, Timestamp};
use counterfoil_model::{Shard, State};
use std::collections::BTreeMap;

/// How long a receivable is overdue, in days of 86,400 seconds that have begun: one second late is
/// in the first class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Age {
    /// Not yet due.
    Current,
    /// 1 to 30 days.
    Days1To30,
    /// 31 to 60 days.
    Days31To60,
    /// 61 to 90 days.
    Days61To90,
    /// More than 90 days.
    Over90Days,
}

impl Age {
    /// Every class, from the youngest.
    pub const ALL: [Self; 5] =
        [Self::Current, Self::Days1To30, Self::Days31To60, Self::Days61To90, Self::Over90Days];

    /// The class of an invoice that is due at an instant: at the due second it is overdue (point 38).
    #[must_use]
    pub fn of(due: Timestamp, at: Timestamp) -> Self {
        if at < due {
            return Self::Current;
        }
        match at.seconds_since(due).div_euclid(DAY_SECONDS) {
            0..=29 => Self::Days1To30,
            30..=59 => Self::Days31To60,
            60..=89 => Self::Days61To90,
            _ => Self::Over90Days,
        }
    }
}

const DAY_SECONDS: i64 = 86_400;

/// What open invoices of one currency still ask for, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receivables {
    /// By class, in the order of [`Age::ALL`].
    by_age: [i128; 5],
    /// How many invoices.
    pub invoices: u64,
}

impl Receivables {
    /// What is in a class, in minor units.
    #[must_use]
    pub fn of(&self, age: Age) -> i128 {
        let amounts = Age::ALL.into_iter().zip(self.by_age);
        amounts.filter(|(own, _)| *own == age).map(|(_, amount)| amount).sum()
    }

    /// What is in all classes, in minor units: the balance of `accounts_receivable` in the journal.
    #[must_use]
    pub fn total(&self) -> i128 {
        self.by_age.iter().sum()
    }

    fn add(&mut self, age: Age, amount: i64) {
        for (own, sum) in Age::ALL.into_iter().zip(&mut self.by_age) {
            if own == age {
                *sum = sum.saturating_add(amount.into());
            }
        }
        self.invoices = self.invoices.saturating_add(1);
    }
}

/// An open invoice that something remains to be paid of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receivable {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Since when it is, or when it will be, overdue.
    pub due: Timestamp,
    /// What remains, in minor units.
    pub amount: i64,
    /// Its currency.
    pub currency: Currency,
    /// How long it is overdue.
    pub age: Age,
}

impl Engine {
    /// What open invoices still ask for at the book's time, by currency and by how long it is
    /// overdue. An invoice that is charged automatically is due when it is finalized.
    ///
    /// # Errors
    /// [`Error::NoTime`] before the first advance, [`Error::Log`] where the disk failed.
    pub fn receivables(&self) -> Result<BTreeMap<Currency, Receivables>, Error> {
        let at = self.now()?.ok_or(Error::NoTime)?;
        self.read(|book| Ok(by_age(&book.state, at)))
    }

    /// The open invoices behind [`Self::receivables`], the one that is overdue for longest first.
    ///
    /// # Errors
    /// As [`Self::receivables`].
    pub fn open_receivables(&self) -> Result<Vec<Receivable>, Error> {
        let at = self.now()?.ok_or(Error::NoTime)?;
        self.read(|book| {
            let mut open: Vec<_> = receivables(&book.state, at).collect();
            open.sort_by_key(|own| own.due);
            Ok(open)
        })
    }
}

impl View {
    /// As [`Engine::receivables`], at an instant that is not before what the view shows.
    #[must_use]
    pub fn receivables(&self, at: Timestamp) -> BTreeMap<Currency, Receivables> {
        by_age(self.state(), at)
    }
}

fn by_age(state: &State, at: Timestamp) -> BTreeMap<Currency, Receivables> {
    let mut sums: BTreeMap<Currency, Receivables> = BTreeMap::new();
    for own in receivables(state, at) {
        sums.entry(own.currency).or_default().add(own.age, own.amount);
    }
    sums
}

fn receivables(state: &State, at: Timestamp) -> impl Iterator<Item = Receivable> {
    let invoices = state.shards().into_iter().flat_map(Shard::live_invoices);
    invoices.filter_map(move |invoice| receivable(invoice, at))
}

fn receivable(invoice: &Invoice, at: Timestamp) -> Option<Receivable> {
    let amount = invoice.amount_remaining();
    if invoice.status != InvoiceStatus::Open || amount == 0 {
        return None;
    }
    let finalized = invoice.status_transitions.finalized_at.unwrap_or(invoice.created);
    let due = invoice.due_date.unwrap_or(finalized);
    let (id, currency) = (invoice.id.clone(), invoice.currency);
    Some(Receivable { invoice: id, due, amount, currency, age: Age::of(due, at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_begins_with_the_second_in_which_its_first_day_does() {
        let due = Timestamp::from_unix(1_000_000_000).unwrap();
        let day = DAY_SECONDS;
        for (seconds, age) in [
            (-1, Age::Current),
            (0, Age::Days1To30),
            (30 * day - 1, Age::Days1To30),
            (30 * day, Age::Days31To60),
            (60 * day - 1, Age::Days31To60),
            (60 * day, Age::Days61To90),
            (90 * day - 1, Age::Days61To90),
            (90 * day, Age::Over90Days),
            (4_000 * day, Age::Over90Days),
        ] {
            assert_eq!(Age::of(due, due.checked_add_seconds(seconds).unwrap()), age, "{seconds}");
        }
    }
}
