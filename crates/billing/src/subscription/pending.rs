//! Subscriptions that come about only once they are paid for (rule 6.3, point 68).

use super::{Subscription, SubscriptionId};
use crate::customer::CustomerId;
use crate::invoice::{Attempt, Invoice, InvoiceItem};
use crate::personal::{PersonalData, Texts};
use counterfoil_core::Timestamp;
use serde::{Deserialize, Serialize};

/// A subscription whose first payment is awaited, and which nobody sees until then: the outcome of
/// the attempt commits it, or nothing comes of it. Its ids are taken meanwhile.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCreation {
    /// When it was asked for.
    pub at: Timestamp,
    /// What it will begin as.
    pub subscription: Subscription,
    /// What it charges once, as it will wait for the invoice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<InvoiceItem>,
    /// Its first invoice, as a draft.
    pub invoice: Invoice,
    /// The attempt to collect that invoice.
    pub attempt: Attempt,
    /// How many attempts on it count.
    pub attempt_count: u32,
}

impl PendingCreation {
    /// Whose.
    #[must_use]
    pub fn customer(&self) -> &CustomerId {
        &self.subscription.customer
    }

    /// The id that the subscription will have.
    #[must_use]
    pub fn id(&self) -> &SubscriptionId {
        &self.subscription.id
    }

    /// The highest place in the order of creation that is taken for it.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.items.iter().map(|item| item.seq).fold(self.invoice.seq, u64::max)
    }

    /// A copy of what is personal: of the subscription and its items, then of what is charged once.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        let mut personal = self.subscription.personal();
        for (place, item) in (self.items_place()..).zip(&self.items) {
            let texts = item.personal().texts;
            if !texts.is_empty() {
                personal.parts.insert(place, texts);
            }
        }
        personal
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, mut data: PersonalData) {
        let place = self.items_place();
        for (place, item) in (place..).zip(&mut self.items) {
            let texts: Texts = data.parts.remove(&place).unwrap_or_default();
            item.set_personal(PersonalData { texts, ..PersonalData::default() });
        }
        self.subscription.set_personal(data);
    }

    fn items_place(&self) -> u32 {
        u32::try_from(self.subscription.items.len()).unwrap_or(u32::MAX)
    }
}
