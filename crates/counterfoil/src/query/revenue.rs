//! Revenue by month, as the journal recognizes it.

use crate::engine::Engine;
use crate::error::Error;
use counterfoil_core::{
    Anchor, Currency, Interval, IntervalUnit, Period, Refusal, Timestamp, limits,
};
use counterfoil_journal::{Account, Journal};

/// What was earned in a month, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevenueMonth {
    /// The calendar month, in UTC.
    pub month: Period,
    /// The currency.
    pub currency: Currency,
    /// What was earned.
    pub revenue: i128,
}

impl Engine {
    /// What each of so many calendar months earns, from the one that an instant lies in, by currency
    /// and month; months to come show what is scheduled. Revenue that a credit note or a void takes
    /// back counts against the months in which it was earned, so that the months of a service period
    /// always add up to what was invoiced for it.
    ///
    /// # Errors
    /// [`Error::Refused`] for more than 1,200 months, [`Error::Log`] where the disk failed.
    pub fn revenue_by_month(
        &self,
        from: Timestamp,
        months: u32,
    ) -> Result<Vec<RevenueMonth>, Error> {
        let edges = month_edges(from, months)?;
        self.read(|book| Ok(by_month(book.state.journal(), &edges)))
    }
}

fn by_month(journal: &Journal, edges: &[Timestamp]) -> Vec<RevenueMonth> {
    let mut rows = Vec::new();
    for currency in journal.currencies() {
        // Revenue is a credit.
        let at = |account: Account, edge: Timestamp| journal.balance(account, currency, edge);
        for pair in edges.windows(2) {
            let [start, end] = pair else { continue };
            let moved = |account| at(account, *end).saturating_sub(at(account, *start));
            rows.push(RevenueMonth {
                month: Period::new(*start, *end),
                currency,
                revenue: moved(Account::Revenue).saturating_neg(),
            });
        }
    }
    rows
}

/// The first instants of so many months, and of the one after them.
pub(super) fn month_edges(from: Timestamp, months: u32) -> Result<Vec<Timestamp>, Refusal> {
    let limit = limits::REPORT_MONTHS_MAX;
    if months > limit {
        let reason = format!("{months} months (the limit is {limit})");
        return Err(Refusal::invalid("months", reason));
    }
    let month = Interval::new(IntervalUnit::Month, 1)?;
    let anchor = Anchor::at(Timestamp::from_unix(0)?);
    let first = anchor.index_at(month, from)?;
    let boundary = |k: i64| Ok(anchor.boundary(month, first.saturating_add(k))?);
    (0..=i64::from(months)).map(boundary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_at_midnight_of_the_first() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        for (from, months, expected) in [
            ("2024-01-31T23:59:59Z", 2, vec!["2024-01-01", "2024-02-01", "2024-03-01"]),
            ("2024-02-01T00:00:00Z", 1, vec!["2024-02-01", "2024-03-01"]),
            ("1969-12-31T23:59:59Z", 1, vec!["1969-12-01", "1970-01-01"]),
            ("2024-12-15T00:00:00Z", 0, vec!["2024-12-01"]),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|day| at(&format!("{day}T00:00:00Z"))).collect();
            assert_eq!(month_edges(at(from), months).unwrap(), expected, "{from}");
        }
        month_edges(at("2024-01-01T00:00:00Z"), 1_201).unwrap_err();
    }
}
