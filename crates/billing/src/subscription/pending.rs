//! What comes about only once it is paid for: subscriptions (rule 6.3, point 68), and changes of them
//! (rule 6.9).

use super::{ClosedUsage, Subscription, SubscriptionId, SubscriptionItem};
use crate::customer::CustomerId;
use crate::invoice::{Attempt, Invoice, InvoiceId, InvoiceItem};
use crate::personal::{PersonalData, Texts};
use counterfoil_core::{Anchor, ArithmeticError, Timestamp, limits};
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

/// A change of a subscription that waits for its invoice to be paid (rule 6.9).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingUpdate {
    /// When it was asked for.
    pub at: Timestamp,
    /// The invoice that must be paid.
    pub invoice: InvoiceId,
    /// When it is dropped.
    pub expires_at: Timestamp,
    /// The items from then on; without metadata of new ones.
    pub items: Vec<SubscriptionItem>,
    /// How many items were ever added then.
    pub items_added: u64,
    /// What its boundaries are computed from, then.
    pub anchor: Anchor,
    /// Usage that waits for an invoice, then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed_usage: Vec<ClosedUsage>,
    /// Whether a failed payment drops it at once, so that nobody sees that it was tried.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub or_nothing: bool,
}

impl PendingUpdate {
    /// Holds back what a change made of a subscription.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] beyond the calendar.
    pub fn of(
        before: &Subscription,
        after: &Subscription,
        invoice: InvoiceId,
        or_nothing: bool,
        at: Timestamp,
    ) -> Result<Self, ArithmeticError> {
        Ok(Self {
            at,
            invoice,
            expires_at: update_expires_at(before, at)?,
            items: after.items.clone(),
            items_added: after.items_added,
            anchor: after.anchor,
            closed_usage: after.closed_usage.clone(),
            or_nothing,
        })
    }

    /// Lets it happen. Metadata of items is what it is by now.
    pub fn apply_to(self, subscription: &mut Subscription) {
        let mut items = self.items;
        for item in &mut items {
            if let Some(own) = subscription.item(&item.id) {
                item.metadata.clone_from(&own.metadata);
            }
        }
        subscription.items = items;
        subscription.items_added = self.items_added;
        subscription.anchor = self.anchor;
        subscription.closed_usage = self.closed_usage;
        subscription.pending_update = None;
    }
}

impl Subscription {
    /// The change that waits, while the payment of its invoice is on its way or no more: until that is
    /// known it waits beyond its 23 hours, but for no longer than the period that it was made for.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] beyond the calendar.
    pub fn awaited_update(
        &self,
        is_processing: bool,
    ) -> Result<Option<Box<PendingUpdate>>, ArithmeticError> {
        let Some(pending) = &self.pending_update else { return Ok(None) };
        let expires_at = match is_processing {
            true => self.current_period().end,
            false => update_expires_at(self, pending.at)?,
        };
        Ok(Some(Box::new(PendingUpdate { expires_at, ..(**pending).clone() })))
    }
}

/// When a change that waits for its payment is dropped: with the trial or the period that ends first,
/// where that is within 23 hours, else after 23 hours (rule 6.9).
///
/// # Errors
/// [`ArithmeticError::Overflow`] beyond the calendar.
pub fn update_expires_at(
    subscription: &Subscription,
    at: Timestamp,
) -> Result<Timestamp, ArithmeticError> {
    let latest = at.checked_add_seconds(limits::PENDING_INVOICE_SECONDS)?;
    // In a trial every period ends with it.
    Ok(latest.min(subscription.current_period().end.max(at)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn t(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn subscription(ends: &[&str]) -> Subscription {
        let start = t("2025-01-01T00:00:00Z");
        let item = |(n, end): (u64, &&str)| {
            json!({
                "id": format!("si_1_{n}"), "price": "price_1", "quantity": 1, "created": start,
                "period": { "start": start, "end": t(end) },
            })
        };
        let items: Vec<_> = (1..).zip(ends).map(item).collect();
        serde_json::from_value(json!({
            "id": "sub_1", "seq": 1, "customer": "cus_1", "status": "active", "currency": "usd",
            "created": start, "start_date": start, "anchor": { "at": start, "nominal_day": 1 },
            "collection_method": "charge_automatically", "items": items, "items_added": 2,
        }))
        .unwrap()
    }

    #[test]
    fn e42_a_pending_update_ends_with_the_period_or_after_23_hours() {
        for (ends, at, expected) in [
            (&["2025-02-01T00:00:00Z"][..], "2025-01-31T04:00:00Z", "2025-02-01T00:00:00Z"),
            (&["2025-02-01T00:00:00Z"], "2025-01-30T18:00:00Z", "2025-01-31T17:00:00Z"),
            (&["2025-02-01T00:00:00Z"], "2025-01-31T01:00:00Z", "2025-02-01T00:00:00Z"),
            (&["2025-02-01T00:00:00Z"], "2025-01-31T00:59:59Z", "2025-01-31T23:59:59Z"),
            // The item whose period ends first decides.
            (
                &["2025-04-01T00:00:00Z", "2025-02-01T00:00:00Z"],
                "2025-01-31T20:00:00Z",
                "2025-02-01T00:00:00Z",
            ),
        ] {
            let expires = update_expires_at(&subscription(ends), t(at)).unwrap();
            assert_eq!(expires, t(expected), "{at}");
        }
    }
}
