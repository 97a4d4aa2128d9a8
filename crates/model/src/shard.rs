//! Everything that one customer owns.

use crate::base::Tree as Map;
use crate::closed::{InvoiceHead, Invoices};
use crate::due::{self, DueKey};
use counterfoil_billing::credit_note::{CreditNote, CreditNoteId};
use counterfoil_billing::customer::{BalanceTransaction, Customer};
use counterfoil_billing::invoice::{
    Invoice, InvoiceId, InvoiceItem, InvoiceItemId, PaymentAttemptId,
};
use counterfoil_billing::quote::{Quote, QuoteId};
use counterfoil_billing::schedule::{SubscriptionSchedule, SubscriptionScheduleId};
use counterfoil_billing::subscription::{PendingCreation, Subscription, SubscriptionId};
use rpds::VectorSync;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything that one customer owns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shard {
    pub(crate) customer: Arc<Customer>,
    pub(crate) version: u64,
    /// With the place of each among all transactions of the book.
    pub(crate) transactions: VectorSync<(u64, BalanceTransaction)>,
    pub(crate) subscriptions: Map<SubscriptionId, Arc<Subscription>>,
    pub(crate) invoices: Invoices,
    pub(crate) items: Map<InvoiceItemId, Arc<InvoiceItem>>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) schedules: Map<SubscriptionScheduleId, Arc<SubscriptionSchedule>>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) quotes: Map<QuoteId, Arc<Quote>>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) credit_notes: Map<CreditNoteId, Arc<CreditNote>>,
    /// Subscriptions that nobody sees until they are paid for, by the attempt that decides.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) creations: Map<PaymentAttemptId, Arc<PendingCreation>>,
}

impl Shard {
    pub(crate) fn new(customer: Arc<Customer>) -> Self {
        Self {
            customer,
            version: 0,
            transactions: VectorSync::new_sync(),
            subscriptions: Map::default(),
            invoices: Invoices::default(),
            items: Map::default(),
            schedules: Map::default(),
            quotes: Map::default(),
            credit_notes: Map::default(),
            creations: Map::default(),
        }
    }

    /// The customer.
    #[must_use]
    pub fn customer(&self) -> &Customer {
        &self.customer
    }

    /// How many events happened to the customer and what it owns.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The transactions on its balance, oldest first.
    pub fn balance_transactions(&self) -> impl Iterator<Item = &BalanceTransaction> {
        self.transactions.iter().map(|(_, transaction)| transaction)
    }

    /// The transactions on its balance with their places among all those of the book.
    pub fn placed_balance_transactions(&self) -> impl Iterator<Item = (u64, &BalanceTransaction)> {
        self.transactions.iter().map(|(place, transaction)| (*place, transaction))
    }

    /// Its subscriptions, oldest first.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<&Subscription> {
        by_creation(self.subscriptions.values().map(AsRef::as_ref), |s| s.seq)
    }

    /// Its invoices, oldest first. Closed ones are read for this: whoever asks for few of them looks at
    /// [`Self::invoice_heads`] first.
    #[must_use]
    pub fn invoices(&self) -> Vec<Arc<Invoice>> {
        let mut all: Vec<_> = self.invoices.values().collect();
        all.sort_by_key(|invoice| invoice.seq);
        all
    }

    /// What lists ask of its invoices, in no order. Nothing is read for it.
    pub fn invoice_heads(&self) -> impl Iterator<Item = InvoiceHead<'_>> {
        self.invoices.heads()
    }

    /// Its invoices that are drafts, open or uncollectible, oldest first.
    #[must_use]
    pub fn live_invoices(&self) -> Vec<&Invoice> {
        let live = self.invoices.live().map(AsRef::as_ref);
        by_creation(live.filter(|own| !own.status.is_closed()), |invoice| invoice.seq)
    }

    /// Its invoices that go on by themselves, oldest first.
    pub(crate) fn going_invoices(&self) -> Vec<&Invoice> {
        let live = self.invoices.live().map(AsRef::as_ref);
        by_creation(live.filter(|invoice| invoice.auto_advance), |invoice| invoice.seq)
    }

    /// Whether the content of an invoice left memory.
    #[must_use]
    pub fn is_packed(&self, invoice: &InvoiceId) -> bool {
        self.invoices.is_packed(invoice)
    }

    /// Its quotes, oldest first.
    #[must_use]
    pub fn quotes(&self) -> Vec<&Quote> {
        by_creation(self.quotes.values().map(AsRef::as_ref), |quote| quote.seq)
    }

    /// Its subscription schedules, oldest first.
    #[must_use]
    pub fn subscription_schedules(&self) -> Vec<&SubscriptionSchedule> {
        by_creation(self.schedules.values().map(AsRef::as_ref), |schedule| schedule.seq)
    }

    /// Subscriptions that are not seen until they are paid for (point 68), in the order in which
    /// they were asked for.
    #[must_use]
    pub fn pending_creations(&self) -> Vec<&PendingCreation> {
        by_creation(self.creations.values().map(AsRef::as_ref), |c| c.subscription.seq)
    }

    /// Its items on drafts and without an invoice, oldest first.
    #[must_use]
    pub fn invoice_items(&self) -> Vec<&InvoiceItem> {
        by_creation(self.items.values().map(AsRef::as_ref), |i| i.seq)
    }

    /// What is due on the customer's objects, in no order; what is done of it is another question.
    pub(crate) fn due_work(&self) -> impl Iterator<Item = DueKey> {
        let subscriptions = self.subscriptions.values();
        let keys = subscriptions.flat_map(|own| due::of_subscription(own).into_iter().flatten());
        // Nothing falls due on what is packed.
        let invoices = self.invoices.live();
        let more = invoices.flat_map(|invoice| due::of_invoice(invoice).into_iter().flatten());
        let schedules = self.schedules.values();
        let planned = schedules.flat_map(|own| due::of_schedule(own).into_iter().flatten());
        let quotes = self.quotes.values().filter_map(|quote| due::of_quote(quote));
        keys.chain(more).chain(planned).chain(quotes)
    }
}

pub(crate) fn by_creation<'a, T>(
    all: impl Iterator<Item = &'a T>,
    seq: impl Fn(&T) -> u64,
) -> Vec<&'a T> {
    let mut all: Vec<&T> = all.collect();
    all.sort_by_key(|object| seq(object));
    all
}
