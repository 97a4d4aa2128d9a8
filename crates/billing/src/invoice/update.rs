//! Changing an invoice by hand: all of a draft, and little of what was finalized.

use super::decide::due_after;
use super::{
    CollectionMethod, Invoice, InvoiceId, InvoiceStatus, ShippingCost, ShippingCostInput,
    check_draft,
};
use crate::discount::DiscountList;
use crate::tax::TaxRateId;
use crate::{Patch, text};
use counterfoil_core::{MetadataPatch, Refusal, Timestamp, Zone, limits};
use serde::{Deserialize, Serialize};

/// `invoice.update`. All of it may change on a draft; on an open or uncollectible invoice
/// `auto_advance`, the payment method and metadata; on any other one metadata alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateInvoice {
    /// Which invoice.
    pub id: InvoiceId,
    /// Whether it goes on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_advance: Option<bool>,
    /// When the draft finalizes by itself; `null` for an hour from now.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub automatically_finalizes_at: Patch<Timestamp>,
    /// How it is collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay from its creation, for `send_invoice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// When it must be paid, for `send_invoice`; instead of `days_until_due`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_date: Option<Timestamp>,
    /// The payment method that it is collected from; `null` for that of its subscription or customer.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub default_payment_method: Patch<String>,
    /// The date on the document; `null` for that of its finalization.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub effective_at: Patch<Timestamp>,
    /// The discounts on it; `null` clears them, `discount` keeps one (rule 4.2).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub discounts: DiscountList,
    /// The tax rates of lines that have none of their own.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub default_tax_rates: Patch<Vec<TaxRateId>>,
    /// What it charges for shipping; `null` for nothing.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub shipping_cost: Patch<ShippingCostInput>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub description: Patch<String>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

impl UpdateInvoice {
    /// A change of nothing, to be filled in.
    #[must_use]
    pub fn new(id: InvoiceId) -> Self {
        Self {
            id,
            auto_advance: None,
            automatically_finalizes_at: Patch::Keep,
            collection_method: None,
            days_until_due: None,
            due_date: None,
            default_payment_method: Patch::Keep,
            effective_at: Patch::Keep,
            discounts: Patch::Keep,
            default_tax_rates: Patch::Keep,
            shipping_cost: Patch::Keep,
            description: Patch::Keep,
            metadata: Patch::Keep,
        }
    }

    /// Whether it changes what only a draft may change.
    fn edits_a_draft(&self) -> bool {
        !self.automatically_finalizes_at.is_keep()
            || self.collection_method.is_some()
            || self.days_until_due.is_some()
            || self.due_date.is_some()
            || !self.effective_at.is_keep()
            || !self.discounts.is_keep()
            || !self.default_tax_rates.is_keep()
            || !self.shipping_cost.is_keep()
            || !self.description.is_keep()
    }

    /// Whether it changes how an invoice that waits for its payment is collected.
    fn edits_collection(&self) -> bool {
        self.auto_advance.is_some() || !self.default_payment_method.is_keep()
    }
}

/// When a draft finalizes by itself, where the caller says so.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for a time that is not ahead, or too far ahead (rule 1.10).
pub(super) fn checked_finalization(
    finalizes_at: Timestamp,
    at: Timestamp,
) -> Result<Timestamp, Refusal> {
    let limit = limits::FINALIZATION_DAYS_AHEAD_MAX;
    let param = "automatically_finalizes_at";
    if finalizes_at <= at {
        return Err(Refusal::invalid(param, "it lies in the future"));
    }
    if finalizes_at > at.checked_add_days(limit)? {
        return Err(Refusal::invalid(param, format!("it lies within {limit} days")));
    }
    Ok(finalizes_at)
}

/// When a draft that goes on by itself from now on is finalized: when it was to be, but not at once.
pub(super) fn next_finalization(
    planned: Option<Timestamp>,
    at: Timestamp,
) -> Result<Timestamp, Refusal> {
    match planned.filter(|planned| *planned > at) {
        Some(planned) => Ok(planned),
        None => Ok(at.checked_add_seconds(limits::INVOICE_DRAFT_SECONDS)?),
    }
}

/// Changes an invoice (rules 8.1 and 8.2), but for its discounts and tax rates, which are the
/// caller's business.
///
/// # Errors
/// [`Refusal::InvoiceNotEditable`] for what its status no longer allows, and limits.
pub fn decide_update(
    invoice: &Invoice,
    command: &UpdateInvoice,
    (at, zone): (Timestamp, Zone),
) -> Result<Invoice, Refusal> {
    if command.edits_a_draft() {
        check_draft(invoice)?;
    }
    let waits = matches!(
        invoice.status,
        InvoiceStatus::Draft | InvoiceStatus::Open | InvoiceStatus::Uncollectible
    );
    let given_up = invoice.status == InvoiceStatus::Uncollectible;
    if command.edits_collection() && !waits || command.auto_advance == Some(true) && given_up {
        return Err(Refusal::InvoiceNotEditable {
            id: invoice.id.to_string(),
            state: invoice.status.to_string(),
        });
    }
    let mut updated = invoice.clone();
    text::check_optional(
        "default_payment_method",
        command.default_payment_method.value().map(String::as_str),
    )?;
    updated.default_payment_method =
        command.default_payment_method.clone().apply_to(updated.default_payment_method);
    text::check_optional("description", command.description.value().map(String::as_str))?;
    updated.description = command.description.clone().apply_to(updated.description);
    updated.metadata = text::patched_metadata(&updated.metadata, &command.metadata)?;
    updated.effective_at = command.effective_at.clone().apply_to(updated.effective_at);
    match &command.shipping_cost {
        Patch::Keep => {}
        Patch::Clear => updated.shipping_cost = None,
        Patch::Set(input) => updated.shipping_cost = Some(ShippingCost::of(input)?),
    }
    reschedule(&mut updated, command, at)?;
    if command.collection_method.is_some()
        || command.days_until_due.is_some()
        || command.due_date.is_some()
    {
        recollect(&mut updated, command, (at, zone))?;
    }
    Ok(updated)
}

/// Whether the invoice goes on by itself, and when.
fn reschedule(
    invoice: &mut Invoice,
    command: &UpdateInvoice,
    at: Timestamp,
) -> Result<(), Refusal> {
    if let Patch::Set(finalizes_at) = command.automatically_finalizes_at {
        if command.auto_advance == Some(false) {
            let reason = "a draft that does not go on by itself has no time of finalization";
            return Err(Refusal::invalid("automatically_finalizes_at", reason));
        }
        invoice.auto_advance = true;
        invoice.finalizes_at = Some(checked_finalization(finalizes_at, at)?);
        return Ok(());
    }
    let forgets = command.automatically_finalizes_at == Patch::Clear;
    if forgets {
        invoice.finalizes_at = None;
    }
    let before = invoice.auto_advance;
    invoice.auto_advance = command.auto_advance.unwrap_or(before);
    let draft = invoice.status == InvoiceStatus::Draft;
    if !invoice.auto_advance {
        invoice.next_payment_attempt = None;
    } else if draft && (forgets || !before) {
        invoice.finalizes_at = Some(next_finalization(invoice.finalizes_at, at)?);
    }
    if draft && invoice.auto_advance {
        invoice.last_finalization_error = None;
    }
    Ok(())
}

/// How a draft is collected, and until when it is to be paid.
fn recollect(
    invoice: &mut Invoice,
    command: &UpdateInvoice,
    (at, zone): (Timestamp, Zone),
) -> Result<(), Refusal> {
    let method = command.collection_method.unwrap_or(invoice.collection_method);
    let due_date = match (method, command.days_until_due, command.due_date) {
        (CollectionMethod::ChargeAutomatically, None, None) => None,
        (CollectionMethod::ChargeAutomatically, days, _) => {
            let param = if days.is_some() { "days_until_due" } else { "due_date" };
            return Err(Refusal::invalid(param, "only send_invoice has a due date"));
        }
        (CollectionMethod::SendInvoice, Some(days), None) => {
            Some(due_after(days, (invoice.created, zone))?)
        }
        (CollectionMethod::SendInvoice, None, Some(date)) => Some(date),
        (CollectionMethod::SendInvoice, None, None) => match invoice.due_date {
            Some(date) => Some(date),
            None => return Err(Refusal::missing("days_until_due")),
        },
        (CollectionMethod::SendInvoice, Some(_), Some(_)) => {
            let reason = "give due_date or days_until_due, not both";
            return Err(Refusal::invalid("due_date", reason));
        }
    };
    if due_date.is_some_and(|date| date < at) {
        return Err(Refusal::invalid("due_date", "a due date does not lie in the past"));
    }
    invoice.collection_method = method;
    invoice.due_date = due_date;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::{Currency, Id};
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn update(change: serde_json::Value) -> UpdateInvoice {
        let mut all = json!({ "id": "in_1" });
        all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn draft() -> Invoice {
        let created = at("2025-01-01T00:00:00Z");
        Invoice::draft(Id::derived(1), 1, Id::derived(2), Currency::USD, created)
    }

    #[test]
    fn a_draft_finalizes_when_it_is_told_to() {
        let now = at("2025-01-02T00:00:00Z");
        let cases: &[(serde_json::Value, bool, Option<&str>)] = &[
            (json!({}), false, None),
            (json!({ "auto_advance": true }), true, Some("2025-01-02T01:00:00Z")),
            (
                json!({ "automatically_finalizes_at": "2025-03-01T00:00:00Z" }),
                true,
                Some("2025-03-01T00:00:00Z"),
            ),
            (json!({ "automatically_finalizes_at": null }), false, None),
        ];
        for (change, auto_advance, finalizes_at) in cases {
            let updated =
                decide_update(&draft(), &update(change.clone()), (now, Zone::UTC)).unwrap();
            assert_eq!(updated.auto_advance, *auto_advance, "{change}");
            assert_eq!(updated.finalizes_at, finalizes_at.map(at), "{change}");
        }
        // Stopped and let go on again, it keeps its time while that lies ahead.
        let mut planned = draft();
        planned.finalizes_at = Some(at("2025-01-05T00:00:00Z"));
        let go = update(json!({ "auto_advance": true }));
        let updated = decide_update(&planned, &go, (now, Zone::UTC)).unwrap();
        assert_eq!(updated.finalizes_at, planned.finalizes_at);
        let late = at("2025-01-06T00:00:00Z");
        let updated = decide_update(&planned, &go, (late, Zone::UTC)).unwrap();
        assert_eq!(updated.finalizes_at, Some(at("2025-01-06T01:00:00Z")));
    }

    #[test]
    fn what_may_change_depends_on_the_status() {
        use InvoiceStatus::{Draft, Open, Paid, Uncollectible, Void};
        let now = at("2025-01-02T00:00:00Z");
        let cases: &[(serde_json::Value, &[InvoiceStatus])] = &[
            (json!({ "metadata": { "a": "b" } }), &[Draft, Open, Uncollectible, Paid, Void]),
            (json!({ "default_payment_method": "pm_1" }), &[Draft, Open, Uncollectible]),
            (json!({ "auto_advance": false }), &[Draft, Open, Uncollectible]),
            (json!({ "auto_advance": true }), &[Draft, Open]),
            (json!({ "description": "x" }), &[Draft]),
            (json!({ "shipping_cost": { "amount": 500 } }), &[Draft]),
            (json!({ "shipping_cost": null }), &[Draft]),
            (json!({ "discounts": null }), &[Draft]),
            (json!({ "default_tax_rates": null }), &[Draft]),
            (json!({ "effective_at": 1_735_689_600 }), &[Draft]),
            (json!({ "automatically_finalizes_at": "2025-03-01T00:00:00Z" }), &[Draft]),
            (json!({ "collection_method": "send_invoice", "days_until_due": 3 }), &[Draft]),
        ];
        for (change, allowed) in cases {
            for status in [Draft, Open, Uncollectible, Paid, Void] {
                let mut invoice = draft();
                invoice.status = status;
                let result = decide_update(&invoice, &update(change.clone()), (now, Zone::UTC));
                assert_eq!(result.is_ok(), allowed.contains(&status), "{change} on {status}");
            }
        }
    }

    #[test]
    fn what_a_draft_cannot_be_told() {
        let now = at("2025-01-02T00:00:00Z");
        for (change, param) in [
            (json!({ "automatically_finalizes_at": "2025-01-02T00:00:00Z" }), "automatically"),
            (json!({ "automatically_finalizes_at": "2030-01-02T00:00:01Z" }), "automatically"),
            (
                json!({
                    "automatically_finalizes_at": "2025-02-01T00:00:00Z", "auto_advance": false,
                }),
                "automatically",
            ),
            (json!({ "days_until_due": 3 }), "days_until_due"),
            (json!({ "due_date": "2025-02-01T00:00:00Z" }), "due_date"),
            (json!({ "collection_method": "send_invoice" }), "days_until_due"),
            (
                json!({ "collection_method": "send_invoice", "due_date": "2025-01-01T00:00:00Z" }),
                "due_date",
            ),
            // Days count from creation.
            (json!({ "collection_method": "send_invoice", "days_until_due": 0 }), "due_date"),
        ] {
            let refused =
                decide_update(&draft(), &update(change.clone()), (now, Zone::UTC)).unwrap_err();
            assert!(refused.to_string().starts_with(param), "{change}: {refused}");
        }
    }
}
