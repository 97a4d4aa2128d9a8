//! Recurring revenue: what it is now, from the state, and what moved it month by month, from the
//! events of the book, which are read once.

mod monthly;
mod projection;

pub use projection::RecurringRevenue;

use self::monthly::{Catalog, monthly};
use crate::engine::Engine;
use crate::error::Error;
use counterfoil_billing::catalog::{Price, PriceId};
use counterfoil_core::{Currency, Exact, Period, Refusal, Timestamp};
use counterfoil_model::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Recurring revenue of one currency over a month, in minor units a month.
///
/// It is what licensed prices of subscriptions that are active or past due come to in a month, less
/// the discounts that recur, before tax: a year is twelve months of 365.25 ÷ 12 days. A coupon for one
/// invoice takes nothing off it; one that repeats for some months does while it lasts, and a fixed
/// amount is shared out over the items as on an invoice that has all of them (point 30). Usage and
/// what is charged once are not recurring, and neither is what is in trial, incomplete, unpaid or
/// paused. Each customer is rounded once and compared between the two ends of the month, so that
/// `ending = starting + new + reactivation + expansion − contraction − churn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecurringMonth {
    /// The calendar month, by the clock of the book; cut off at the book's time.
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

/// Recurring revenue of one currency as it is now; see [`RecurringMonth`] for what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecurringNow {
    /// In minor units a month.
    pub amount: i128,
    /// How many customers have any.
    pub customers: u64,
}

impl Engine {
    /// Recurring revenue as it is now, by currency. It reads the state alone.
    ///
    /// # Errors
    /// [`Error::NoTime`] before the first advance; [`Error::Refused`] for amounts out of range;
    /// [`Error::Log`] where the disk failed.
    pub fn recurring(&self) -> Result<BTreeMap<Currency, RecurringNow>, Error> {
        let now = self.now()?.ok_or(Error::NoTime)?;
        self.read(|book| Ok(recurring_at(&book.state, now)?))
    }

    /// Recurring revenue and its movements in so many calendar months, from the one that an instant
    /// lies in, by month and currency. Months that have not begun are left out. It reads the events of
    /// the book from the first on, for only they say what subscriptions were like; a service that asks
    /// more than once keeps a [`RecurringRevenue`] instead, which goes on from where it was.
    ///
    /// # Errors
    /// [`Error::NoTime`] before the first advance; [`Error::Refused`] for more than 1,200 months and
    /// for amounts out of range; [`Error::Log`] where the disk failed.
    pub fn recurring_revenue(
        &self,
        from: Timestamp,
        months: u32,
    ) -> Result<Vec<RecurringMonth>, Error> {
        RecurringRevenue::default().follow(self, from, months)
    }
}

fn recurring_at(state: &State, at: Timestamp) -> Result<BTreeMap<Currency, RecurringNow>, Refusal> {
    let mut rows: BTreeMap<Currency, RecurringNow> = BTreeMap::new();
    for shard in state.shards() {
        let mut sums: BTreeMap<Currency, Exact> = BTreeMap::new();
        for subscription in shard.subscriptions() {
            let discount = shard.customer().discount.as_ref();
            let Some(amount) = monthly(subscription, discount, state, at)? else { continue };
            let sum = sums.entry(subscription.currency).or_insert(Exact::ZERO);
            *sum = sum.checked_add(amount)?;
        }
        for (currency, sum) in sums {
            let amount = sum.round()?;
            if amount != 0 {
                let row = rows.entry(currency).or_default();
                row.amount = row.amount.saturating_add(amount.into());
                row.customers = row.customers.saturating_add(1);
            }
        }
    }
    Ok(rows)
}

impl Catalog for State {
    fn price_of(&self, id: &PriceId) -> Result<&Price, Refusal> {
        self.price(id)
    }
}
