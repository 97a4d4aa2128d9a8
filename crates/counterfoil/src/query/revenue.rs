//! Revenue by month, as the journal recognizes it.

use crate::engine::Engine;
use crate::error::Error;
use counterfoil_core::{
    Anchor, Currency, Interval, IntervalUnit, Period, Refusal, Timestamp, Zone, limits,
};
use counterfoil_journal::{Account, Journal};

/// What was earned in a month, in minor units, without tax.
///
/// It is what the accounts of revenue and of discounts, which are contra revenue, move by in the
/// month. Credit notes and voids are in it: they take revenue, and the discounts on it, back over the
/// period that it was earned in. What nobody expects to be paid any more (bad debt) is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevenueMonth {
    /// The calendar month, by the clock of the book.
    pub month: Period,
    /// The currency.
    pub currency: Currency,
    /// What was earned before discounts.
    pub gross: i128,
    /// What discounts took off that.
    pub discounts: i128,
    /// What was earned: `gross − discounts`.
    pub revenue: i128,
}

impl Engine {
    /// What each of so many calendar months earns, from the one that an instant lies in, by currency
    /// and month; months to come show what is scheduled. Revenue that a credit note or a void takes
    /// back counts against the months in which it was earned, so that the months of a service period
    /// always add up to what was invoiced for it. It reads the state alone.
    ///
    /// # Errors
    /// [`Error::Refused`] for more than 1,200 months, [`Error::Log`] where the disk failed.
    pub fn revenue_by_month(
        &self,
        from: Timestamp,
        months: u32,
    ) -> Result<Vec<RevenueMonth>, Error> {
        self.read(|book| {
            let zone = book.state.settings().policies.time_zone;
            let edges = month_edges(from, months, zone)?;
            Ok(by_month(book.state.journal(), &edges))
        })
    }
}

fn by_month(journal: &Journal, edges: &[Timestamp]) -> Vec<RevenueMonth> {
    let mut rows = Vec::new();
    for currency in journal.currencies() {
        // Each edge is asked for once; revenue is a credit.
        let at = |edge: &Timestamp| {
            let balance = |account| journal.balance(account, currency, *edge);
            (balance(Account::Revenue).saturating_neg(), balance(Account::Discounts))
        };
        let balances: Vec<_> = edges.iter().map(at).collect();
        for (ends, pair) in edges.windows(2).zip(balances.windows(2)) {
            let ([start, end], [before, after]) = (ends, pair) else { continue };
            let gross = after.0.saturating_sub(before.0);
            let discounts = after.1.saturating_sub(before.1);
            rows.push(RevenueMonth {
                month: Period::new(*start, *end),
                currency,
                gross,
                discounts,
                revenue: gross.saturating_sub(discounts),
            });
        }
    }
    rows
}

/// The first instants of so many months by the clock of a zone, and of the one after them.
pub(super) fn month_edges(
    from: Timestamp,
    months: u32,
    zone: Zone,
) -> Result<Vec<Timestamp>, Refusal> {
    let limit = limits::REPORT_MONTHS_MAX;
    if months > limit {
        let reason = format!("{months} months (the limit is {limit})");
        return Err(Refusal::invalid("months", reason));
    }
    let (anchor, month) = months_of(zone)?;
    let first = anchor.index_at(month, from)?;
    let boundary = |k: i64| Ok(anchor.boundary(month, first.saturating_add(k))?);
    (0..=i64::from(months)).map(boundary).collect()
}

/// The month after another one.
pub(super) fn month_after(month: Period, zone: Zone) -> Result<Period, Refusal> {
    let (anchor, every) = months_of(zone)?;
    let next = anchor.index_at(every, month.end)?;
    Ok(Period::new(month.end, anchor.boundary(every, next.saturating_add(1))?))
}

/// Months as the clock of a zone tells them.
fn months_of(zone: Zone) -> Result<(Anchor, Interval), Refusal> {
    let midnight = Timestamp::from_unix(0)?;
    let midnight = midnight.checked_add_seconds(zone.ahead_seconds(midnight).saturating_neg())?;
    Ok((Anchor::in_zone(midnight, zone), Interval::new(IntervalUnit::Month, 1)?))
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
            assert_eq!(month_edges(at(from), months, Zone::UTC).unwrap(), expected, "{from}");
        }
        month_edges(at("2024-01-01T00:00:00Z"), 1_201, Zone::UTC).unwrap_err();
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let edges = month_edges(at("2024-02-29T23:00:00Z"), 2, berlin).unwrap();
        let expected = ["2024-02-29T23:00:00Z", "2024-03-31T22:00:00Z", "2024-04-30T22:00:00Z"];
        assert_eq!(edges, expected.map(at));
        let march = Period::new(edges[0], edges[1]);
        assert_eq!(month_after(march, berlin).unwrap(), Period::new(edges[1], edges[2]));
    }
}
