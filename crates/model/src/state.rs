//! The state of a book: its events, applied in order.

use crate::answer::{Answer, KeyUse, Output, RecordMeta, Target};
use crate::base::{DueQueue, Shards, Tree as Map, Unreadable};
use crate::closed::Shelf;
use crate::due::DueKey;
use crate::evolve::Evolution;
use crate::owners::{ItemHome, Owners};
use crate::shard::{Shard, by_creation};
use crate::{BookEvent, Event, Settings};
use counterfoil_billing::alert::{Alert, AlertEvent, AlertId};
use counterfoil_billing::catalog::{
    MeterId, Price, PriceEvent, PriceId, Product, ProductEvent, ProductId,
};
use counterfoil_billing::customer::{Customer, CustomerEvent, CustomerId};
use counterfoil_billing::discount::{Coupon, CouponId, PromotionCode, PromotionCodeId};
use counterfoil_billing::invoice::{
    Attempt, Charge, Invoice, InvoiceEvent, InvoiceId, InvoiceItem, InvoiceItemId, PaymentAttemptId,
};
use counterfoil_billing::meter::{Meter, MeterEvent};
use counterfoil_billing::quote::{Quote, QuoteId};
use counterfoil_billing::schedule::{SubscriptionSchedule, SubscriptionScheduleId};
use counterfoil_billing::subscription::{
    PendingCreation, Prices, Subscription, SubscriptionId, SubscriptionStatus,
};
use counterfoil_billing::tax::{TaxRate, TaxRateId};
use counterfoil_core::{Refusal, Timestamp, Zone, limits};
use counterfoil_journal::Journal;
use rpds::RedBlackTreeSetSync;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// What nearly all closed invoices fit in.
const PACKED_BYTES: usize = 2_048;

/// The state of a book. Clones share what they have in common.
///
/// Its serialized form is that of what is small and is kept as a whole; the rest has tables.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    pub(crate) settings: Arc<Settings>,
    /// The time of the latest event.
    pub(crate) now: Option<Timestamp>,
    pub(crate) products: Map<ProductId, Arc<Product>>,
    pub(crate) prices: Map<PriceId, Arc<Price>>,
    pub(crate) meters: Map<MeterId, Arc<Meter>>,
    pub(crate) alerts: Map<AlertId, Arc<Alert>>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) coupons: Map<CouponId, Arc<Coupon>>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) promotion_codes: Map<PromotionCodeId, Arc<PromotionCode>>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) tax_rates: Map<TaxRateId, Arc<TaxRate>>,
    /// The customers that ever had a threshold (rule 6.13): whose usage is looked at.
    #[serde(default, skip_serializing_if = "RedBlackTreeSetSync::is_empty")]
    pub(crate) thresholds: RedBlackTreeSetSync<CustomerId>,
    /// How many discounts were ever made of coupons.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) redeemed: u64,
    #[serde(skip)]
    pub(crate) shards: Shards,
    #[serde(skip)]
    pub(crate) owners: Owners,
    #[serde(skip)]
    pub(crate) due: DueQueue,
    #[serde(skip)]
    pub(crate) journal: Arc<Journal>,
    pub(crate) journal_fault: Option<String>,
    /// Nothing is posted to the journal of a state that only decides ahead.
    #[serde(skip)]
    pub(crate) unposted: bool,
    /// How many objects were created: the next one's place in the order of creation.
    pub(crate) created: u64,
    /// How many balance transactions there were.
    pub(crate) transacted: u64,
    pub(crate) book_version: u64,
    pub(crate) catalog_version: u64,
    /// How many events were applied.
    pub(crate) events: u64,
    /// How many key slots were given out: one more than the highest.
    pub(crate) key_slots: u64,
    /// The key slots of the customers that were erased.
    pub(crate) erased_slots: RedBlackTreeSetSync<u64>,
    #[serde(skip)]
    pub(crate) keys: Map<Arc<str>, Arc<Remembered>>,
    #[serde(skip)]
    pub(crate) key_times: RedBlackTreeSetSync<(Timestamp, Arc<str>)>,
    /// Where closed invoices lie.
    #[serde(skip)]
    pub(crate) shelf: Arc<Shelf>,
    /// The invoices that were closed since the state was settled, with their customers.
    #[serde(skip)]
    pub(crate) closing: Vec<(CustomerId, InvoiceId)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What is remembered under an idempotency key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// That of the command; none once it was erased, for it tells what the command said to whoever
    /// guesses it.
    pub(crate) fingerprint: Option<[u8; 32]>,
    pub(crate) at: Timestamp,
    pub(crate) customer: Option<CustomerId>,
    pub(crate) answer: Answer,
}

impl State {
    /// The state before the first event, whose closed invoices lie on a shelf.
    #[must_use]
    pub fn on_shelf(shelf: Arc<Shelf>) -> Self {
        Self { shelf, ..Self::default() }
    }

    /// The settings of the book.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The time of the latest event; none for a book that was not created yet.
    #[must_use]
    pub fn now(&self) -> Option<Timestamp> {
        self.now
    }

    /// How many events were applied.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.events
    }

    /// How many key slots were given out to customers: one more than the highest.
    #[must_use]
    pub fn key_slots(&self) -> u64 {
        self.key_slots
    }

    /// The key slots of the customers that were erased.
    pub fn erased_slots(&self) -> impl Iterator<Item = u64> {
        self.erased_slots.iter().copied()
    }

    /// The double-entry journal of the events so far.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The work that falls due first.
    #[must_use]
    pub fn next_due(&self) -> Option<&DueKey> {
        self.due.first()
    }

    /// The work of one customer that falls due first.
    #[must_use]
    pub fn next_due_of(&self, customer: &CustomerId) -> Option<DueKey> {
        let shard = self.shards.get(customer)?;
        if shard.customer.parked.is_some() {
            return None;
        }
        shard.due_work().min()
    }

    /// Everything of one customer.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn shard(&self, id: &CustomerId) -> Result<&Shard, Refusal> {
        self.shards.get(id).map(AsRef::as_ref).ok_or_else(|| self.unknown("customer", id))
    }

    /// All customers with what they own, oldest first.
    #[must_use]
    pub fn shards(&self) -> Vec<&Shard> {
        by_creation(self.shards.values().map(AsRef::as_ref), |shard| shard.customer.seq)
    }

    /// Whether a customer exists and was not deleted.
    #[must_use]
    pub fn takes_usage(&self, customer: &str) -> bool {
        self.shards.is_live(customer)
    }

    /// Why the state cannot be trusted any more, if so: a part of it that a snapshot kept was needed
    /// and could not be read. What was decided or answered meanwhile may lack it.
    #[must_use]
    pub fn fault(&self) -> Option<&Unreadable> {
        self.shards.fault().or_else(|| self.shelf.fault())
    }

    pub(crate) fn unknown(&self, kind: &'static str, id: impl std::fmt::Display) -> Refusal {
        match self.fault() {
            Some(fault) => Refusal::Unreadable { reason: fault.to_string() },
            None => Refusal::unknown(kind, id),
        }
    }

    /// A customer.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn customer(&self, id: &CustomerId) -> Result<&Customer, Refusal> {
        Ok(&self.shard(id)?.customer)
    }

    /// A subscription.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn subscription(&self, id: &SubscriptionId) -> Result<&Subscription, Refusal> {
        self.find_subscription(id).map(AsRef::as_ref)
    }

    /// A subscription as it is now, to be looked at while it changes.
    pub(crate) fn shared_subscription(
        &self,
        id: &SubscriptionId,
    ) -> Result<Arc<Subscription>, Refusal> {
        self.find_subscription(id).cloned()
    }

    fn find_subscription(&self, id: &SubscriptionId) -> Result<&Arc<Subscription>, Refusal> {
        self.owners
            .subscriptions
            .get(id)
            .and_then(|customer| self.shards.get(&customer))
            .and_then(|shard| shard.subscriptions.get(id))
            .ok_or_else(|| self.unknown("subscription", id))
    }

    /// An invoice. A closed one is read for this, and is not kept.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn invoice(&self, id: &InvoiceId) -> Result<Arc<Invoice>, Refusal> {
        self.owners
            .invoices
            .get(id)
            .and_then(|customer| self.shards.get(&customer))
            .and_then(|shard| shard.invoices.get(id))
            .ok_or_else(|| self.unknown("invoice", id))
    }

    /// An item on a draft or without an invoice.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn invoice_item(&self, id: &InvoiceItemId) -> Result<&InvoiceItem, Refusal> {
        self.owners
            .invoice_items
            .get(id)
            .and_then(|home| self.shards.get(&home.customer))
            .and_then(|shard| shard.items.get(id))
            .map(AsRef::as_ref)
            .ok_or_else(|| self.unknown("invoiceitem", id))
    }

    /// A quote.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn quote(&self, id: &QuoteId) -> Result<&Quote, Refusal> {
        self.owners
            .quotes
            .get(id)
            .and_then(|customer| self.shards.get(customer))
            .and_then(|shard| shard.quotes.get(id))
            .map(AsRef::as_ref)
            .ok_or_else(|| self.unknown("quote", id))
    }

    /// A subscription schedule.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn schedule(&self, id: &SubscriptionScheduleId) -> Result<&SubscriptionSchedule, Refusal> {
        self.owners
            .schedules
            .get(id)
            .and_then(|customer| self.shards.get(customer))
            .and_then(|shard| shard.schedules.get(id))
            .map(AsRef::as_ref)
            .ok_or_else(|| self.unknown("subscription_schedule", id))
    }

    /// The subscription that comes about if an attempt succeeds.
    #[must_use]
    pub fn pending_creation(&self, attempt: &PaymentAttemptId) -> Option<&PendingCreation> {
        let invoice = self.owners.attempts.get(attempt)?;
        let customer = self.owners.invoices.get(invoice)?;
        self.shards.get(&customer)?.creations.get(attempt).map(AsRef::as_ref)
    }

    /// A subscription as whoever created it is given it: one that is not paid for yet reads as
    /// incomplete, though nobody else sees it.
    fn subscription_or_pending(&self, id: &SubscriptionId) -> Result<Subscription, Refusal> {
        let customer = self.owners.subscriptions.get(id);
        let shard = customer.and_then(|customer| self.shards.get(&customer));
        let mut pending = shard.into_iter().flat_map(|shard| shard.creations.values());
        if let Some(pending) = pending.find(|pending| pending.id() == id) {
            let mut subscription = pending.subscription.clone();
            subscription.status = SubscriptionStatus::Incomplete;
            subscription.latest_invoice = Some(pending.invoice.id.clone());
            return Ok(subscription);
        }
        self.subscription(id).cloned()
    }

    /// A product.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn product(&self, id: &ProductId) -> Result<&Product, Refusal> {
        self.products.get(id).map(AsRef::as_ref).ok_or_else(|| Refusal::unknown("product", id))
    }

    /// A price.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn price(&self, id: &PriceId) -> Result<&Price, Refusal> {
        self.prices.get(id).map(AsRef::as_ref).ok_or_else(|| Refusal::unknown("price", id))
    }

    /// All products, by id.
    pub fn products(&self) -> impl Iterator<Item = &Product> {
        self.products.values().map(AsRef::as_ref)
    }

    /// All prices, by id.
    pub fn prices(&self) -> impl Iterator<Item = &Price> {
        self.prices.values().map(AsRef::as_ref)
    }

    /// A meter.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn meter(&self, id: &MeterId) -> Result<&Meter, Refusal> {
        self.meters.get(id).map(AsRef::as_ref).ok_or_else(|| Refusal::unknown("meter", id))
    }

    /// All meters, oldest first.
    #[must_use]
    pub fn meters(&self) -> Vec<&Meter> {
        by_creation(self.meters.values().map(AsRef::as_ref), |meter| meter.seq)
    }

    /// An alert.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn alert(&self, id: &AlertId) -> Result<&Alert, Refusal> {
        self.alerts.get(id).map(AsRef::as_ref).ok_or_else(|| Refusal::unknown("alert", id))
    }

    /// All alerts, oldest first.
    #[must_use]
    pub fn alerts(&self) -> Vec<&Alert> {
        by_creation(self.alerts.values().map(AsRef::as_ref), |alert| alert.seq)
    }

    /// The attempts whose outcome is awaited, oldest first.
    #[must_use]
    pub fn open_attempts(&self) -> Vec<&Attempt> {
        self.open_among(self.owners.attempts.keys())
    }

    /// Those of some attempts whose outcome is awaited, oldest first.
    pub fn open_among<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a PaymentAttemptId>,
    ) -> Vec<&Attempt> {
        let open = |id: &PaymentAttemptId| {
            let invoice = self.owners.attempts.get(id)?;
            let shard = self.shards.get(&*self.owners.invoices.get(invoice)?)?;
            if let Some(pending) = shard.creations.get(id) {
                return Some((&pending.attempt, pending.invoice.seq));
            }
            let invoice = shard.invoices.get_live(invoice)?;
            Some((invoice.open_attempt.as_deref()?, invoice.seq))
        };
        let mut attempts: Vec<_> = ids.into_iter().filter_map(open).collect();
        attempts.sort_by_key(|(attempt, seq)| (attempt.created, *seq));
        attempts.into_iter().map(|(attempt, _)| attempt).collect()
    }

    /// Whether any outcome is awaited.
    #[must_use]
    pub fn has_open_attempts(&self) -> bool {
        !self.owners.attempts.is_empty()
    }

    /// The object that a command was about, as it is now.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn output(&self, target: &Target) -> Result<Output, Refusal> {
        Ok(match target {
            Target::Book => Output::Book,
            Target::Product(id) => Output::Product(self.product(id)?.clone()),
            Target::Price(id) => Output::Price(self.price(id)?.clone()),
            Target::Meter(id) => Output::Meter(self.meter(id)?.clone()),
            Target::Alert(id) => Output::Alert(self.alert(id)?.clone()),
            Target::Coupon(id) => Output::Coupon(self.coupon(id)?.clone()),
            Target::PromotionCode(id) => Output::PromotionCode(self.promotion_code(id)?.clone()),
            Target::TaxRate(id) => Output::TaxRate(self.tax_rate(id)?.clone()),
            Target::Customer(id) => Output::Customer(self.customer(id)?.clone()),
            Target::BalanceTransaction(id) => {
                let latest = self.shard(id)?.transactions.last();
                let none = || Refusal::unknown("customer_balance_transaction", id);
                Output::BalanceTransaction(latest.ok_or_else(none)?.1.clone())
            }
            Target::BalanceTransactionOf(customer, id) => {
                let shard = self.shard(customer)?;
                Output::BalanceTransaction(shard.balance_transaction(id)?.clone())
            }
            Target::Subscription(id) => {
                Output::Subscription(Box::new(self.subscription_or_pending(id)?))
            }
            Target::Quote(id) => Output::Quote(Box::new(self.quote(id)?.clone())),
            Target::SubscriptionSchedule(id) => {
                Output::SubscriptionSchedule(Box::new(self.schedule(id)?.clone()))
            }
            Target::Invoice(id) => {
                Output::Invoice(Box::new(Arc::unwrap_or_clone(self.invoice(id)?)))
            }
            Target::InvoiceItem(id) => {
                Output::InvoiceItem(Box::new(self.invoice_item(id)?.clone()))
            }
            Target::CreditNote(id) => Output::CreditNote(Box::new(self.credit_note(id)?.clone())),
            Target::Deleted(kind, id) => Output::Deleted { kind: kind.clone(), id: id.clone() },
        })
    }

    /// The customer that owns an object, or is it.
    #[must_use]
    pub fn customer_of(&self, target: &Target) -> Option<CustomerId> {
        match target {
            Target::Customer(id)
            | Target::BalanceTransaction(id)
            | Target::BalanceTransactionOf(id, _) => Some(id.clone()),
            Target::Subscription(id) => self.owners.subscriptions.get(id).map(Cow::into_owned),
            Target::SubscriptionSchedule(id) => self.owners.schedules.get(id).cloned(),
            Target::Quote(id) => self.owners.quotes.get(id).cloned(),
            Target::Invoice(id) => self.owners.invoices.get(id).map(Cow::into_owned),
            Target::CreditNote(id) => self.owners.credit_notes.get(id).cloned(),
            Target::InvoiceItem(id) => {
                self.owners.invoice_items.get(id).map(|home| home.customer.clone())
            }
            Target::Book | Target::Product(_) | Target::Price(_) => None,
            Target::Meter(_) | Target::Alert(_) | Target::Deleted(..) => None,
            Target::Coupon(_) | Target::PromotionCode(_) | Target::TaxRate(_) => None,
        }
    }

    /// What is remembered under an idempotency key: the answer to the same command, or a refusal
    /// where the key came with another one (rule 1.7).
    #[must_use]
    pub fn remembered(&self, key: &KeyUse, now: Timestamp) -> Option<Answer> {
        let remembered = self.keys.get(key.key.as_str())?;
        if now.seconds_since(remembered.at) > limits::IDEMPOTENCY_KEY_SECONDS {
            return None;
        }
        if remembered.fingerprint.is_none() || remembered.fingerprint == key.fingerprint {
            return Some(remembered.answer.clone());
        }
        Some(Err(Refusal::IdempotencyError { key: key.key.clone() }))
    }

    /// The version of a stream: how many events it holds.
    #[must_use]
    pub fn stream_version(&self, stream: &str) -> u64 {
        match stream {
            "book" => self.book_version,
            "catalog" => self.catalog_version,
            _ => stream
                .strip_prefix("customer:")
                .and_then(|id| self.shards.get_by_text(id))
                .map(|shard| shard.version)
                .unwrap_or_default(),
        }
    }
}

impl Prices for State {
    fn price(&self, id: &PriceId) -> Result<&Price, Refusal> {
        self.price(id)
    }

    fn is_sold(&self, price: &Price) -> bool {
        self.products.get(&price.product).is_some_and(|product| product.active)
    }

    fn zone_of(&self, customer: &CustomerId) -> Zone {
        let own = self.customer(customer).ok().and_then(|customer| customer.time_zone);
        own.unwrap_or(self.settings.policies.time_zone)
    }
}

/// The stream that an event belongs to.
#[must_use]
pub(crate) fn stream_of(event: &Event) -> String {
    match event {
        Event::Book(_) => "book".to_owned(),
        Event::Billing(event) => match event.customer() {
            Some(customer) => format!("customer:{customer}"),
            None => "catalog".to_owned(),
        },
    }
}

impl Event {
    /// The stream that the event belongs to: `book`, `catalog` or `customer:ID`.
    #[must_use]
    pub fn stream(&self) -> String {
        stream_of(self)
    }
}

/// Applying events. Nothing here can fail: what an event says has happened.
impl State {
    /// What a decision changed in its fork of a state stands beside what both have in common. Whoever
    /// drops the one and goes on with the other calls this then, so that the next fork begins with
    /// nothing beside. It changes nothing of what the state says.
    pub fn settle(&mut self) {
        self.shards.settle();
        self.due.settle();
        self.owners.settle();
        self.pack_closed();
    }

    /// The content of what was closed leaves memory.
    fn pack_closed(&mut self) {
        if self.closing.is_empty() {
            return;
        }
        let mut buffer = Vec::with_capacity(PACKED_BYTES);
        let mut closing = std::mem::take(&mut self.closing);
        for (customer, invoice) in closing.drain(..) {
            if let Some(shard) = self.shards.get_mut(&customer) {
                Arc::make_mut(shard).invoices.pack(&invoice, &self.shelf, &mut buffer);
            }
        }
        // Its room is for the next.
        self.closing = closing;
    }

    /// What a decision in this fork will ask for again and again: a customer.
    pub(crate) fn bring_customer_near(&mut self, id: &CustomerId) {
        self.shards.bring_near(id);
    }

    /// The same of a subscription and its customer.
    pub(crate) fn bring_subscription_near(&mut self, id: &SubscriptionId) {
        if let Some(customer) = self.owners.subscriptions.bring_near(id) {
            self.bring_customer_near(&customer);
        }
    }

    /// The same of an invoice, its subscription and its customer.
    pub(crate) fn bring_invoice_near(&mut self, id: &InvoiceId) {
        let Some(customer) = self.owners.invoices.bring_near(id) else { return };
        let shard = self.shards.bring_near(&customer);
        let invoice = shard.and_then(|shard| shard.invoices.get_live(id));
        if let Some(subscription) = invoice.and_then(|invoice| invoice.subscription.as_ref()) {
            self.owners.subscriptions.bring_near(subscription);
        }
    }

    /// Applies an event of a record that was written at `at`.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        self.now = Some(at);
        self.events = self.events.saturating_add(1);
        match event {
            Event::Book(BookEvent::Created { settings, .. }) => {
                self.settings = Arc::new(settings.clone());
                self.book_version = self.book_version.saturating_add(1);
            }
            Event::Billing(event) => {
                if !self.unposted {
                    self.post(event);
                }
                self.apply_billing(event);
            }
        }
    }

    /// Remembers what a record says beside its events, after they were applied.
    pub fn apply_meta(&mut self, at: Timestamp, meta: &RecordMeta) {
        let Some(key) = &meta.key else { return };
        let answer = match (&meta.refusal, &meta.target) {
            (Some(refusal), _) => Err(refusal.clone()),
            (None, Some(target)) => self.output(target),
            (None, None) => Ok(Output::Book),
        };
        self.forget_keys(at);
        let name: Arc<str> = key.key.as_str().into();
        let (fingerprint, customer) = (key.fingerprint, meta.customer.clone());
        let remembered = Remembered { fingerprint, at, customer, answer };
        if let Some(older) = self.keys.get(&name).map(|older| older.at) {
            self.key_times.remove_mut(&(older, Arc::clone(&name)));
        }
        self.keys.insert_mut(Arc::clone(&name), Arc::new(remembered));
        self.key_times.insert_mut((at, name));
    }

    /// Drops keys that are older than they are promised to be kept.
    fn forget_keys(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.key_times.first().cloned() {
            if now.seconds_since(at) <= limits::IDEMPOTENCY_KEY_SECONDS {
                return;
            }
            self.key_times.remove_mut(&(at, Arc::clone(&key)));
            self.keys.remove_mut(&key);
        }
    }

    fn apply_billing(&mut self, event: &counterfoil_billing::Event) {
        use counterfoil_billing::Event as Billing;
        match event {
            Billing::Product(event) => self.apply_product(event),
            Billing::Price(event) => self.apply_price(event),
            Billing::Meter(event) => self.apply_meter(event),
            Billing::Alert(event) => self.apply_alert(event),
            Billing::Coupon(event) => self.apply_coupon(event),
            Billing::PromotionCode(event) => self.apply_promotion_code(event),
            Billing::TaxRate(event) => self.apply_tax_rate(event),
            Billing::Customer(event) => self.apply_customer(event),
            Billing::Invoice(event) => self.apply_to_item(event),
            Billing::Subscription(event) => self.apply_thresholds(event),
            Billing::Schedule(_) | Billing::Quote(_) | Billing::CreditNote(_) => {}
        }
        let Some(customer) = event.customer() else {
            self.catalog_version = self.catalog_version.saturating_add(1);
            return;
        };
        let Some(shard) = self.shards.get_mut(customer) else { return };
        let shard = Arc::make_mut(shard);
        let (owners, due) = (&mut self.owners, &mut self.due);
        let (created, closing) = (&mut self.created, &mut self.closing);
        let mut evolution = Evolution { shard, owners, due, created, closing };
        match event {
            Billing::Subscription(event) => evolution.subscription(event),
            Billing::Schedule(event) => evolution.schedule(event),
            Billing::Quote(event) => evolution.quote(event),
            Billing::Invoice(event) => evolution.invoice(event),
            Billing::CreditNote(event) => evolution.credit_note(event),
            _ => {}
        }
        evolution.shard.version = evolution.shard.version.saturating_add(1);
        for transaction in event.balance_transactions() {
            self.transacted = self.transacted.saturating_add(1);
            transaction.evolve(Arc::make_mut(&mut evolution.shard.customer));
            evolution.shard.transactions.push_back_mut((self.transacted, transaction.clone()));
        }
    }

    /// Posts an event to the journal. One that contradicts itself cannot come from a decision; if a
    /// log holds one all the same, the invariants say so.
    fn post(&mut self, event: &counterfoil_billing::Event) {
        let posted = counterfoil_journal::post(event, self.settings.posting_rules);
        let posted = posted.and_then(|entry| match entry {
            Some(entry) => Arc::make_mut(&mut self.journal).append(&entry),
            None => Ok(()),
        });
        if let Err(fault) = posted {
            self.journal_fault.get_or_insert_with(|| fault.to_string());
        }
    }

    pub(crate) fn count_created(&mut self) {
        self.created = self.created.saturating_add(1);
    }

    fn apply_product(&mut self, event: &ProductEvent) {
        if let ProductEvent::Created(_) = event {
            self.count_created();
        }
        let product = event.product();
        self.products.insert_mut(product.id.clone(), Arc::clone(product));
    }

    fn apply_price(&mut self, event: &PriceEvent) {
        if let PriceEvent::Created(_) = event {
            self.count_created();
        }
        let price = event.price();
        self.prices.insert_mut(price.id.clone(), Arc::clone(price));
    }

    fn apply_meter(&mut self, event: &MeterEvent) {
        if let MeterEvent::Created(_) = event {
            self.count_created();
        }
        let meter = event.meter();
        self.meters.insert_mut(meter.id.clone(), Arc::clone(meter));
    }

    fn apply_alert(&mut self, event: &AlertEvent) {
        if let AlertEvent::Created(_) = event {
            self.count_created();
        }
        if let Some(alert) = event.alert() {
            self.alerts.insert_mut(alert.id.clone(), Arc::clone(alert));
        }
    }

    fn apply_customer(&mut self, event: &CustomerEvent) {
        if let CustomerEvent::Created(customer) = event {
            self.count_created();
            self.key_slots = self.key_slots.max(customer.key_slot.saturating_add(1));
            let prefix = customer.invoice_prefix.clone();
            self.owners.prefixes.insert_mut(prefix, customer.id.clone());
            self.shards.insert_mut(customer.id.clone(), Arc::new(Shard::new(Arc::clone(customer))));
            return;
        }
        if let CustomerEvent::Updated { id, invoice_prefix, .. } = event {
            self.owners.prefixes.insert_mut(invoice_prefix.clone(), id.clone());
        }
        if let CustomerEvent::Parked { id, .. } = event {
            self.forget_due_work(id);
        }
        if let CustomerEvent::Unparked { id, .. } = event {
            self.remember_due_work(id);
        }
        if let CustomerEvent::Erased { id, key_slot, .. } = event {
            self.erased_slots.insert_mut(*key_slot);
            self.erase_personal(id);
        }
        if let CustomerEvent::BalanceTransactionUpdated { id, transaction, texts, .. } = event {
            self.with_shard(id, |shard| shard.note_on_transaction(transaction, texts));
        }
        self.with_shard(event.customer(), |shard| {
            // Balance transactions are applied for all kinds of events in one place.
            if !matches!(event, CustomerEvent::BalanceTransacted(_)) {
                event.evolve(Arc::make_mut(&mut shard.customer));
            }
        });
    }

    fn forget_due_work(&mut self, customer: &CustomerId) {
        let Some(shard) = self.shards.get(customer).cloned() else { return };
        for key in shard.due_work() {
            self.due.remove_mut(&key);
        }
    }

    fn remember_due_work(&mut self, customer: &CustomerId) {
        let Some(shard) = self.shards.get(customer).cloned() else { return };
        for key in shard.due_work() {
            self.due.insert_mut(key);
        }
    }

    /// What an event does to items that wait for an invoice.
    fn apply_to_item(&mut self, event: &InvoiceEvent) {
        match event {
            InvoiceEvent::ItemCreated(item) => {
                self.count_created();
                self.put_item(item);
            }
            InvoiceEvent::ItemUpdated(item) => self.put_item(item),
            InvoiceEvent::ItemDeleted { customer, id, .. } => self.remove_item(customer, id),
            _ => {}
        }
    }

    fn put_item(&mut self, item: &Arc<InvoiceItem>) {
        let home = ItemHome { customer: item.customer.clone(), billed: None };
        self.owners.invoice_items.insert_mut(item.id.clone(), home);
        if let Some(invoice) = &item.invoice {
            self.charge_item(&item.customer, invoice, &item.id);
        }
        self.with_shard(&item.customer, |shard| {
            shard.items.insert_mut(item.id.clone(), Arc::clone(item));
        });
    }

    /// Puts an item on a draft, unless it is there already: added ones come last (rule 8.5).
    fn charge_item(&mut self, customer: &CustomerId, invoice: &InvoiceId, item: &InvoiceItemId) {
        self.with_shard(customer, |shard| {
            let Some(invoice) = shard.invoices.get_mut(invoice) else { return };
            let charge = Charge::Item(item.clone());
            if !invoice.charges.contains(&charge) {
                Arc::make_mut(invoice).charges.push(charge);
            }
        });
    }

    fn remove_item(&mut self, customer: &CustomerId, id: &InvoiceItemId) {
        self.with_shard(customer, |shard| {
            let invoice = shard.items.get(id).and_then(|item| item.invoice.clone());
            if let Some(invoice) = invoice.and_then(|id| shard.invoices.get_mut(&id)) {
                let charge = Charge::Item(id.clone());
                Arc::make_mut(invoice).charges.retain(|other| *other != charge);
            }
            shard.items.remove_mut(id);
        });
    }

    pub(crate) fn with_shard(&mut self, customer: &CustomerId, change: impl FnOnce(&mut Shard)) {
        if let Some(shard) = self.shards.get_mut(customer) {
            change(Arc::make_mut(shard));
        }
    }
}
