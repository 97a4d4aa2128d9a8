//! What is personal in a state, by customer: to be sealed where a state is kept, and to be erased.
//!
//! It is left out of the serialized form of a state, as of that of an event.

use crate::State;
use crate::shard::Shard;
use crate::state::Remembered;
use counterfoil_billing::PersonalData;
use counterfoil_billing::credit_note::CreditNoteId;
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{InvoiceId, InvoiceItemId, PaymentAttemptId};
use counterfoil_billing::quote::QuoteId;
use counterfoil_billing::schedule::SubscriptionScheduleId;
use counterfoil_billing::subscription::SubscriptionId;
use counterfoil_core::Refusal;
use rpds::VectorSync;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that is personal of one customer and of what it owns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomerPersonal {
    /// Of the customer.
    #[serde(skip_serializing_if = "PersonalData::is_empty")]
    pub customer: PersonalData,
    /// Of the transactions on its balance, by their place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub transactions: BTreeMap<u64, PersonalData>,
    /// Of its subscriptions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subscriptions: BTreeMap<SubscriptionId, PersonalData>,
    /// Of its invoices.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub invoices: BTreeMap<InvoiceId, PersonalData>,
    /// Of its invoice items.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<InvoiceItemId, PersonalData>,
    /// Of its quotes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub quotes: BTreeMap<QuoteId, PersonalData>,
    /// Of its subscription schedules.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub schedules: BTreeMap<SubscriptionScheduleId, PersonalData>,
    /// Of the credit notes on its invoices.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub credit_notes: BTreeMap<CreditNoteId, PersonalData>,
    /// Of its subscriptions that are not paid for yet.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub creations: BTreeMap<PaymentAttemptId, PersonalData>,
}

impl CustomerPersonal {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Shard {
    /// All that is personal in it.
    pub(crate) fn personal(&self) -> CustomerPersonal {
        let mut own = CustomerPersonal {
            customer: self.customer.personal_data(),
            ..CustomerPersonal::default()
        };
        for (place, transaction) in &self.transactions {
            keep(&mut own.transactions, place, transaction.personal());
        }
        for (id, subscription) in &self.subscriptions {
            keep(&mut own.subscriptions, id, subscription.personal());
        }
        for (id, personal) in self.invoices.personal() {
            keep(&mut own.invoices, id, personal);
        }
        for (id, item) in &self.items {
            keep(&mut own.items, id, item.personal());
        }
        for (id, quote) in &self.quotes {
            keep(&mut own.quotes, id, quote.personal());
        }
        for (id, note) in &self.credit_notes {
            keep(&mut own.credit_notes, id, note.personal());
        }
        for (id, schedule) in &self.schedules {
            keep(&mut own.schedules, id, schedule.personal());
        }
        for (id, pending) in &self.creations {
            keep(&mut own.creations, id, pending.personal());
        }
        own
    }

    /// Puts what is personal back into a shard that was kept without it; what the shard does not
    /// hold is passed over.
    pub(crate) fn set_personal(&mut self, personal: CustomerPersonal) {
        Arc::make_mut(&mut self.customer).set_personal(personal.customer);
        let mut transactions = VectorSync::new_sync();
        for (place, transaction) in &self.transactions {
            let mut transaction = transaction.clone();
            let data = personal.transactions.get(place).cloned();
            transaction.set_personal(data.unwrap_or_default());
            transactions.push_back_mut((*place, transaction));
        }
        self.transactions = transactions;
        for (id, data) in personal.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                Arc::make_mut(subscription).set_personal(data);
            }
        }
        for (id, data) in personal.invoices {
            self.invoices.set_personal(&id, data);
        }
        for (id, data) in personal.credit_notes {
            if let Some(note) = self.credit_notes.get_mut(&id) {
                Arc::make_mut(note).set_personal(data);
            }
        }
        for (id, data) in personal.items {
            if let Some(item) = self.items.get_mut(&id) {
                Arc::make_mut(item).set_personal(data);
            }
        }
        for (id, data) in personal.quotes {
            if let Some(quote) = self.quotes.get_mut(&id) {
                Arc::make_mut(quote).set_personal(data);
            }
        }
        for (id, data) in personal.schedules {
            if let Some(schedule) = self.schedules.get_mut(&id) {
                Arc::make_mut(schedule).set_personal(data);
            }
        }
        for (id, data) in personal.creations {
            if let Some(pending) = self.creations.get_mut(&id) {
                Arc::make_mut(pending).set_personal(data);
            }
        }
    }
}

impl State {
    /// Erases what is personal of a customer and of all it owns. What is remembered of it under
    /// idempotency keys becomes a refusal: no command is done twice because of it, and none of the
    /// former answers is left.
    pub(crate) fn erase_personal(&mut self, id: &CustomerId) {
        let mut keys = Vec::new();
        for (key, remembered) in &self.keys {
            if remembered.customer.as_ref() == Some(id) {
                keys.push(key.to_string());
            }
        }
        for key in keys {
            self.change_answer(&key, |remembered| remembered.erase(id));
        }
        let Some(shard) = self.shards.get(id) else { return };
        let nothing = || PersonalData::default();
        let empty = CustomerPersonal {
            subscriptions: shard.subscriptions.keys().map(|id| (id.clone(), nothing())).collect(),
            items: shard.items.keys().map(|id| (id.clone(), nothing())).collect(),
            quotes: shard.quotes.keys().map(|id| (id.clone(), nothing())).collect(),
            schedules: shard.schedules.keys().map(|id| (id.clone(), nothing())).collect(),
            credit_notes: shard.credit_notes.keys().map(|id| (id.clone(), nothing())).collect(),
            ..CustomerPersonal::default()
        };
        self.with_shard(id, |shard| {
            shard.set_personal(empty);
            shard.invoices.erase();
        });
    }

    fn change_answer(&mut self, key: &str, change: impl FnOnce(&mut Remembered)) {
        if let Some(remembered) = self.keys.get_mut(key) {
            change(Arc::make_mut(remembered));
        }
    }
}

fn keep<K: Ord + Clone>(map: &mut BTreeMap<K, PersonalData>, key: &K, personal: PersonalData) {
    if !personal.is_empty() {
        map.insert(key.clone(), personal);
    }
}

impl Remembered {
    fn erase(&mut self, customer: &CustomerId) {
        let reason = "what was remembered under this key was erased with it";
        self.answer = Err(Refusal::state("customer", customer, "erased", reason));
        self.fingerprint = None;
    }
}
