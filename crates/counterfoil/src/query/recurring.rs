//! Recurring revenue by month and what moved it, from the events of the book.

use super::revenue::month_edges;
use crate::engine::Engine;
use crate::error::Error;
use counterfoil_billing::Event as Billing;
use counterfoil_billing::catalog::{Price, PriceEvent, PriceId, full_amount};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::subscription::{
    Subscription, SubscriptionEvent, SubscriptionId, SubscriptionStatus,
};
use counterfoil_core::{
    ArithmeticError, Currency, Decimal12, Exact, Interval, IntervalUnit, Period, Refusal, Timestamp,
};
use counterfoil_log::Lsn;
use counterfoil_model::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Recurring revenue of one currency over a month, in minor units a month.
///
/// It is what licensed prices of subscriptions that are active or past due come to in a month, before
/// discounts and tax: a year is twelve months of 365.25 ÷ 12 days. Usage is not recurring, and
/// neither is what is in trial, incomplete, unpaid or paused. Each customer is rounded once and
/// compared between the two ends of the month, so that
/// `ending = starting + new + reactivation + expansion − contraction − churn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecurringMonth {
    /// The calendar month, in UTC; cut off at the book's time.
    pub month: Period,
    /// The currency.
    pub currency: Currency,
    /// Where the month begins.
    pub starting: i128,
    /// Of customers that never had any before.
    pub new: i128,
    /// Of customers that had some before, and had none at the beginning.
    pub reactivation: i128,
    /// What customers have more.
    pub expansion: i128,
    /// What customers have less, and not nothing.
    pub contraction: i128,
    /// What customers had that have nothing any more.
    pub churn: i128,
    /// Where it ends.
    pub ending: i128,
    /// How many customers have any at the end.
    pub customers: u64,
}

impl Engine {
    /// Recurring revenue and its movements in so many calendar months, from the one that an instant
    /// lies in, by month and currency. Months that have not begun are left out. It reads the events of
    /// the book from the first on, for only they say what subscriptions were like.
    ///
    /// # Errors
    /// [`Error::NoTime`] before the first advance; [`Error::Refused`] for more than 1,200 months and
    /// for amounts out of range; [`Error::Log`] where the disk failed.
    pub fn recurring_revenue(
        &self,
        from: Timestamp,
        months: u32,
    ) -> Result<Vec<RecurringMonth>, Error> {
        let now = self.now()?.ok_or(Error::NoTime)?;
        let edges = month_edges(from, months)?;
        let mut book = Subscribed::default();
        let mut before: Option<(Timestamp, Amounts)> = None;
        let mut rows = Vec::new();
        let mut records = self.events(Lsn::ZERO);
        let mut record = records.next().transpose()?;
        for edge in edges {
            // What happens in the second of the edge belongs to the month that begins there.
            let begun = before.as_ref().is_none_or(|(start, _)| *start < now);
            if edge > now && !begun {
                break;
            }
            while let Some(next) = record.take_if(|next| next.at < edge) {
                next.events.iter().for_each(|event| book.apply(event));
                record = records.next().transpose()?;
            }
            let after = book.amounts()?;
            if let Some((start, amounts)) = before {
                let month = Period::new(start, edge.min(now));
                rows.extend(movements(month, &amounts, &after, &book.known));
            }
            book.known.extend(after.keys().cloned());
            before = Some((edge, after));
        }
        Ok(rows)
    }
}

/// What each customer has in a currency, in minor units a month; none of nothing.
type Amounts = BTreeMap<(Currency, CustomerId), i64>;

/// Subscriptions and prices as they are after some events.
#[derive(Default)]
struct Subscribed {
    prices: BTreeMap<PriceId, Arc<Price>>,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// Who ever had any.
    known: BTreeSet<(Currency, CustomerId)>,
}

impl Subscribed {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Billing(Billing::Price(event)) => self.price(event),
            Event::Billing(Billing::Subscription(event)) => self.subscription(event),
            _ => {}
        }
    }

    fn price(&mut self, event: &PriceEvent) {
        let price = event.price();
        self.prices.insert(price.id.clone(), Arc::clone(price));
    }

    fn subscription(&mut self, event: &SubscriptionEvent) {
        let id = event.subscription();
        if let SubscriptionEvent::Created(created) = event {
            self.subscriptions.insert(id.clone(), (**created).clone());
        } else if let Some(known) = self.subscriptions.get_mut(id) {
            event.evolve(known);
        }
    }

    fn amounts(&self) -> Result<Amounts, Refusal> {
        let mut sums: BTreeMap<(Currency, CustomerId), Exact> = BTreeMap::new();
        for subscription in self.subscriptions.values() {
            let counts = [SubscriptionStatus::Active, SubscriptionStatus::PastDue];
            if !counts.contains(&subscription.status) {
                continue;
            }
            let key = (subscription.currency, subscription.customer.clone());
            let sum = sums.entry(key).or_insert(Exact::ZERO);
            *sum = sum.checked_add(self.monthly(subscription)?)?;
        }
        let rounded = sums.into_iter().map(|(key, sum)| Ok((key, sum.round()?)));
        let amounts: Result<Amounts, ArithmeticError> = rounded.collect();
        Ok(amounts?.into_iter().filter(|(_, amount)| *amount != 0).collect())
    }

    fn monthly(&self, subscription: &Subscription) -> Result<Exact, Refusal> {
        let mut sum = Exact::ZERO;
        for item in &subscription.items {
            let Some(price) = self.prices.get(&item.price) else { continue };
            let (Some(quantity), Some(interval)) = (item.quantity, price.interval()) else {
                continue;
            };
            let quantity = Decimal12::from_int(quantity);
            let amount = full_amount(price, subscription.currency, quantity)?;
            sum = sum.checked_add(amount.checked_mul(months_per(interval)?)?)?;
        }
        Ok(sum)
    }
}

/// How many times an interval fits into a month.
fn months_per(interval: Interval) -> Result<Exact, ArithmeticError> {
    let count = i128::from(interval.count);
    // A month of 365.25 / 12 days has 487 / 16 of them.
    let (times, of) = match interval.unit {
        IntervalUnit::Day => (487, 16),
        IntervalUnit::Week => (487, 112),
        IntervalUnit::Month => (1, 1),
        IntervalUnit::Year => (1, 12),
    };
    Exact::ratio(times, count.saturating_mul(of))
}

fn movements(
    month: Period,
    before: &Amounts,
    after: &Amounts,
    known: &BTreeSet<(Currency, CustomerId)>,
) -> Vec<RecurringMonth> {
    let mut rows: BTreeMap<Currency, RecurringMonth> = BTreeMap::new();
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for key in all {
        let amount = |amounts: &Amounts| i128::from(amounts.get(key).copied().unwrap_or(0));
        let (from, to) = (amount(before), amount(after));
        let row = rows.entry(key.0).or_insert_with(|| RecurringMonth::none(month, key.0));
        row.starting = row.starting.saturating_add(from);
        row.ending = row.ending.saturating_add(to);
        row.customers = row.customers.saturating_add(u64::from(to != 0));
        let moved = to.saturating_sub(from);
        let (movement, by) = match (from, to) {
            (0, _) if known.contains(key) => (&mut row.reactivation, moved),
            (0, _) => (&mut row.new, moved),
            (_, 0) => (&mut row.churn, moved.saturating_neg()),
            _ if moved < 0 => (&mut row.contraction, moved.saturating_neg()),
            _ => (&mut row.expansion, moved),
        };
        *movement = movement.saturating_add(by);
    }
    rows.into_values().collect()
}

impl RecurringMonth {
    fn none(month: Period, currency: Currency) -> Self {
        Self {
            month,
            currency,
            starting: 0,
            new: 0,
            reactivation: 0,
            expansion: 0,
            contraction: 0,
            churn: 0,
            ending: 0,
            customers: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interval_comes_to_a_month() {
        for (unit, count, minor, expected) in [
            (IntervalUnit::Month, 1, 1_000, 1_000),
            (IntervalUnit::Month, 3, 1_000, 333),
            (IntervalUnit::Year, 1, 12_000, 1_000),
            (IntervalUnit::Year, 2, 12_000, 500),
            // 365.25 days of 100, and 52.17857 weeks of 700, are 36,525 a year.
            (IntervalUnit::Day, 1, 100, 3_044),
            (IntervalUnit::Week, 1, 700, 3_044),
            (IntervalUnit::Week, 2, 1_400, 3_044),
        ] {
            let times = months_per(Interval::new(unit, count).unwrap()).unwrap();
            let found = Exact::from_int(minor).checked_mul(times).unwrap().round().unwrap();
            assert_eq!(found, expected, "{minor} every {count} {unit}");
        }
    }
}
