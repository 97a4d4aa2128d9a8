//! Recurring revenue month by month: a projection of the events that goes on from a position.

use super::RecurringMonth;
use super::monthly::{Catalog, monthly};
use crate::engine::Engine;
use crate::error::Error;
use crate::events::BookRecord;
use crate::query::revenue::{month_after, month_edges};
use counterfoil_billing::Event as Billing;
use counterfoil_billing::catalog::{Price, PriceEvent, PriceId, ProductId};
use counterfoil_billing::customer::{CustomerEvent, CustomerId};
use counterfoil_billing::discount::{Coupon, CouponEvent, CouponId, Discount, Terms};
use counterfoil_billing::subscription::{Subscription, SubscriptionEvent, SubscriptionId};
use counterfoil_billing::tax::{TaxRate, TaxRateId};
use counterfoil_core::{Currency, Exact, Period, Refusal, Timestamp, Zone};
use counterfoil_log::Lsn;
use counterfoil_model::{BookEvent, Event};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Recurring revenue of every month of a book, read from its events once and then kept: whoever asks
/// again pays for what happened since. It can be stored as any value and go on later from where it
/// was; it holds no personal data.
///
/// ```
/// use counterfoil::{Engine, NoPayments, RecurringRevenue, Timestamp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let book = Engine::in_memory();
/// let start = Timestamp::parse("2024-01-01T00:00:00Z")?;
/// book.advance_to(start, &mut NoPayments)?;
/// let mut revenue = RecurringRevenue::default();
/// assert!(revenue.follow(&book, start, 12)?.is_empty());
/// assert_eq!(revenue.position(), book.durable());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RecurringRevenue {
    /// The last record that was read.
    seen: u64,
    /// The clock that months are told by.
    zone: Zone,
    /// The month that runs.
    month: Option<Period>,
    catalog: Prices,
    customers: BTreeMap<CustomerId, Held>,
    /// What customers had where the month began, in minor units a month; none of nothing.
    amounts: BTreeMap<Currency, BTreeMap<CustomerId, i64>>,
    /// Who ever had any at an end of a month.
    known: BTreeMap<Currency, BTreeSet<CustomerId>>,
    /// Whom something happened to in this month, or who has a discount that begins or ends
    /// by itself.
    moved: BTreeSet<CustomerId>,
    closed: Vec<RecurringMonth>,
}

/// Prices and coupons as they are after some events.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Prices {
    prices: BTreeMap<PriceId, Arc<Price>>,
    coupons: BTreeMap<CouponId, Arc<Coupon>>,
}

/// What a customer has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Held {
    discount: Option<Discount>,
    /// Those that have not ended.
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
}

/// What a customer had and has in a currency.
struct Move {
    currency: Currency,
    customer: CustomerId,
    from: i64,
    to: i64,
}

impl RecurringRevenue {
    /// The last record that was read; [`Lsn::ZERO`] before the first.
    #[must_use]
    pub fn position(&self) -> Lsn {
        Lsn(self.seen)
    }

    /// Reads what happened in a book since, and gives so many calendar months from the one that an
    /// instant lies in, by month and currency, up to the book's time. It is always the same book.
    ///
    /// # Errors
    /// As [`Engine::recurring_revenue`].
    pub fn follow(
        &mut self,
        engine: &Engine,
        from: Timestamp,
        months: u32,
    ) -> Result<Vec<RecurringMonth>, Error> {
        // The time first: what is read after it may be later, and never earlier.
        let now = engine.now()?.ok_or(Error::NoTime)?;
        for record in engine.events(self.position().next()) {
            self.apply(&record?)?;
        }
        Ok(self.months(from, months, now)?)
    }

    /// Takes a record in, for who follows the events of a book anyway. One that was read before
    /// changes nothing.
    ///
    /// # Errors
    /// [`Refusal::AmountTooLarge`] where a month that is over has amounts out of range.
    pub fn apply(&mut self, record: &BookRecord) -> Result<(), Refusal> {
        if record.lsn <= self.position() {
            return Ok(());
        }
        // What happens in the second of an edge belongs to the month that begins there.
        self.close_until(record.at)?;
        for event in &record.events {
            self.event(event);
        }
        if self.month.is_none() {
            let edges = month_edges(record.at, 1, self.zone)?;
            if let [start, end] = edges[..] {
                self.month = Some(Period::new(start, end));
            }
        }
        self.seen = record.lsn.0;
        Ok(())
    }

    /// So many calendar months from the one that an instant lies in, by month and currency; the one
    /// that runs is cut off at `now`, which is not before the last record.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] for more than 1,200 months, [`Refusal::AmountTooLarge`] where
    /// amounts are out of range.
    pub fn months(
        &mut self,
        from: Timestamp,
        months: u32,
        now: Timestamp,
    ) -> Result<Vec<RecurringMonth>, Refusal> {
        let edges = month_edges(from, months, self.zone)?;
        let (Some(first), Some(last)) = (edges.first(), edges.last()) else {
            return Ok(Vec::new());
        };
        self.close_until(now)?;
        let is_asked = |row: &&RecurringMonth| row.month.start >= *first && row.month.start < *last;
        let mut rows: Vec<_> = self.closed.iter().filter(is_asked).copied().collect();
        if let Some(month) = self.month.filter(|own| own.start < now) {
            let running = self.rows(Period::new(month.start, now), &self.moves(now)?);
            rows.extend(running.iter().filter(is_asked));
        }
        Ok(rows)
    }

    /// Closes the months that are over at an instant.
    fn close_until(&mut self, at: Timestamp) -> Result<(), Refusal> {
        while let Some(month) = self.month.filter(|month| month.end <= at) {
            // A discount that ends at the edge is in force until then.
            let last = month.end.checked_add_seconds(-1)?;
            let moves = self.moves(last)?;
            self.closed.extend(self.rows(month, &moves));
            for Move { currency, customer, to, .. } in moves {
                let amounts = self.amounts.entry(currency).or_default();
                if to == 0 {
                    amounts.remove(&customer);
                } else {
                    amounts.insert(customer.clone(), to);
                    self.known.entry(currency).or_default().insert(customer);
                }
            }
            let changes =
                |own: &Discount| own.start > last || own.end.is_some_and(|end| end > last);
            let changes = |held: &Held| held.discounts().any(changes);
            let customers = &self.customers;
            self.moved.retain(|customer| customers.get(customer).is_some_and(changes));
            self.month = Some(month_after(month, self.zone)?);
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Book(BookEvent::Created { settings, .. }) => {
                self.zone = settings.policies.time_zone;
            }
            Event::Billing(Billing::Price(event)) => self.catalog.follow_price(event),
            Event::Billing(Billing::Coupon(event)) => self.catalog.follow_coupon(event),
            Event::Billing(Billing::Customer(event)) => self.customer(event),
            Event::Billing(Billing::Subscription(event)) => self.subscription(event),
            Event::Billing(_) => {}
        }
    }

    fn customer(&mut self, event: &CustomerEvent) {
        let (id, discount) = match event {
            CustomerEvent::Created(customer) => (&customer.id, &customer.discount),
            CustomerEvent::Updated { id, discount, .. } => (id, discount),
            _ => return,
        };
        let known = self.customers.get(id).and_then(|held| held.discount.as_ref());
        if known != discount.as_ref() {
            self.customers.entry(id.clone()).or_default().discount.clone_from(discount);
            self.moved.insert(id.clone());
        }
    }

    fn subscription(&mut self, event: &SubscriptionEvent) {
        let (id, customer) = (event.subscription(), event.customer());
        let held = self.customers.entry(customer.clone()).or_default();
        if let SubscriptionEvent::Created(created) = event {
            held.subscriptions.insert(id.clone(), (**created).clone());
        } else if let Some(known) = held.subscriptions.get_mut(id) {
            event.evolve(known);
            if known.is_ended() {
                held.subscriptions.remove(id);
            }
        }
        self.moved.insert(customer.clone());
    }

    /// What changed since the month began.
    fn moves(&self, at: Timestamp) -> Result<Vec<Move>, Refusal> {
        let mut moves = Vec::new();
        for customer in &self.moved {
            let now = match self.customers.get(customer) {
                Some(held) => held.amounts(&self.catalog, at)?,
                None => BTreeMap::new(),
            };
            let had = |(currency, own): (&Currency, &BTreeMap<CustomerId, i64>)| {
                own.contains_key(customer).then_some(*currency)
            };
            let before = self.amounts.iter().filter_map(had);
            let currencies: BTreeSet<Currency> = before.chain(now.keys().copied()).collect();
            for currency in currencies {
                let from = self.amounts.get(&currency).and_then(|own| own.get(customer)).copied();
                let (from, to) = (from.unwrap_or(0), now.get(&currency).copied().unwrap_or(0));
                let customer = customer.clone();
                moves.push(Move { currency, customer, from, to });
            }
        }
        Ok(moves)
    }

    fn rows(&self, month: Period, moves: &[Move]) -> Vec<RecurringMonth> {
        let mut rows: BTreeMap<Currency, RecurringMonth> = BTreeMap::new();
        for (currency, amounts) in self.amounts.iter().filter(|(_, own)| !own.is_empty()) {
            let row = rows.entry(*currency).or_insert_with(|| none_in(month, *currency));
            row.starting = amounts.values().map(|own| i128::from(*own)).sum();
            row.customers = u64::try_from(amounts.len()).unwrap_or(u64::MAX);
        }
        for Move { currency, customer, from, to } in moves.iter().filter(|own| own.from != own.to) {
            let row = rows.entry(*currency).or_insert_with(|| none_in(month, *currency));
            let known = self.known.get(currency).is_some_and(|known| known.contains(customer));
            let by = i128::from(*to).saturating_sub((*from).into());
            let (movement, by) = match (*from, *to) {
                (0, _) if known => (&mut row.reactivation, by),
                (0, _) => (&mut row.new, by),
                (_, 0) => (&mut row.churn, by.saturating_neg()),
                _ if by < 0 => (&mut row.contraction, by.saturating_neg()),
                _ => (&mut row.expansion, by),
            };
            *movement = movement.saturating_add(by);
            let gone = u64::from(*to == 0);
            row.customers =
                row.customers.saturating_add(u64::from(*from == 0)).saturating_sub(gone);
        }
        for row in rows.values_mut() {
            let up = row.new.saturating_add(row.reactivation).saturating_add(row.expansion);
            let down = row.contraction.saturating_add(row.churn);
            row.ending = row.starting.saturating_add(up).saturating_sub(down);
        }
        rows.into_values().collect()
    }
}

impl Held {
    fn discounts(&self) -> impl Iterator<Item = &Discount> {
        self.discount
            .iter()
            .chain(self.subscriptions.values().flat_map(Subscription::all_discounts))
    }

    /// What it has in each currency, each rounded once; none of nothing.
    fn amounts(&self, catalog: &Prices, at: Timestamp) -> Result<BTreeMap<Currency, i64>, Refusal> {
        let mut sums: BTreeMap<Currency, Exact> = BTreeMap::new();
        for subscription in self.subscriptions.values() {
            let own = monthly(subscription, self.discount.as_ref(), catalog, at)?;
            let sum = sums.entry(subscription.currency).or_insert(Exact::ZERO);
            *sum = sum.checked_add(own.unwrap_or(Exact::ZERO))?;
        }
        let mut amounts = BTreeMap::new();
        for (currency, sum) in sums {
            amounts.insert(currency, sum.round()?);
        }
        amounts.retain(|_, amount| *amount != 0);
        Ok(amounts)
    }
}

impl Prices {
    fn follow_price(&mut self, event: &PriceEvent) {
        let price = event.price();
        self.prices.insert(price.id.clone(), Arc::clone(price));
    }

    fn follow_coupon(&mut self, event: &CouponEvent) {
        match event {
            CouponEvent::Created(coupon)
            | CouponEvent::Updated(coupon)
            | CouponEvent::Deleted(coupon) => {
                self.coupons.insert(coupon.id.clone(), Arc::clone(coupon));
            }
            CouponEvent::Redeemed(_) => {}
        }
    }
}

impl Terms for Prices {
    fn coupon(&self, id: &CouponId) -> Result<&Coupon, Refusal> {
        self.coupons.get(id).map(AsRef::as_ref).ok_or_else(|| Refusal::unknown("coupon", id))
    }

    fn tax_rate(&self, id: &TaxRateId) -> Result<&TaxRate, Refusal> {
        // Recurring revenue is before tax: none is asked for.
        Err(Refusal::unknown("tax_rate", id))
    }

    fn product_of(&self, price: &PriceId) -> Result<&ProductId, Refusal> {
        Ok(&self.price_of(price)?.product)
    }
}

impl Catalog for Prices {
    fn price_of(&self, id: &PriceId) -> Result<&Price, Refusal> {
        self.prices.get(id).map(AsRef::as_ref).ok_or_else(|| Refusal::unknown("price", id))
    }
}

fn none_in(month: Period, currency: Currency) -> RecurringMonth {
    RecurringMonth {
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
