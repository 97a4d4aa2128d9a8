//! What a caller may ask for.

use super::{CollectionMethod, InvoiceId, ShippingCostInput};
use crate::Patch;
use crate::customer::CustomerId;
use crate::discount::DiscountList;
use crate::tax::TaxRateId;
use counterfoil_core::{Currency, MetadataPatch, Timestamp};
use serde::{Deserialize, Serialize};

/// `invoice.create`: a draft made by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateInvoice {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<InvoiceId>,
    /// Who pays.
    pub customer: CustomerId,
    /// The currency; the customer's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Whether it goes on by itself; no where absent (rule 8.2).
    #[serde(default)]
    pub auto_advance: bool,
    /// When it finalizes by itself, so that it goes on; where absent and it goes on, an hour after it
    /// was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatically_finalizes_at: Option<Timestamp>,
    /// The date on the document; that of its finalization where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// The payment method that it is collected from; the customer's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_payment_method: Option<String>,
    /// The invoice that it is to replace: the draft begins as a copy of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_invoice: Option<FromInvoice>,
    /// How it is collected.
    #[serde(default)]
    pub collection_method: CollectionMethod,
    /// Days to pay, for `send_invoice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// When it must be paid, for `send_invoice`; instead of `days_until_due`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_date: Option<Timestamp>,
    /// Whether the customer's pending items are taken.
    #[serde(default)]
    pub pending_invoice_items_behavior: PendingItems,
    /// The discounts on it; the customer's where absent, none for `null` (rule 4.2).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub discounts: DiscountList,
    /// The tax rates of lines that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_tax_rates: Option<Vec<TaxRateId>>,
    /// What it charges for shipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_cost: Option<ShippingCostInput>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

impl CreateInvoice {
    /// An empty draft for a customer, to be filled in.
    #[must_use]
    pub fn new(customer: CustomerId) -> Self {
        Self {
            id: None,
            customer,
            currency: None,
            auto_advance: false,
            automatically_finalizes_at: None,
            effective_at: None,
            default_payment_method: None,
            from_invoice: None,
            collection_method: CollectionMethod::default(),
            days_until_due: None,
            due_date: None,
            pending_invoice_items_behavior: PendingItems::default(),
            discounts: Patch::Keep,
            default_tax_rates: None,
            shipping_cost: None,
            description: None,
            metadata: None,
        }
    }
}

/// The invoice that a draft is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromInvoice {
    /// What becomes of that one.
    pub action: FromInvoiceAction,
    /// Which invoice.
    pub invoice: InvoiceId,
}

/// What becomes of the invoice that a draft is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromInvoiceAction {
    /// It is voided when the draft is finalized, which takes its place (rule 8.6).
    Revision,
}

/// Whether an invoice made by hand takes the customer's pending items (rule 8.5, point 32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingItems {
    /// It begins empty.
    #[default]
    Exclude,
    /// It takes those of its currency that belong to no subscription.
    Include,
}

/// `invoice.finalize`: fixes a draft and gives it its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalizeInvoice {
    /// Which invoice.
    pub id: InvoiceId,
    /// Whether it goes on by itself from now on; as it was where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_advance: Option<bool>,
}

/// `invoice.pay`: collects an open invoice now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayInvoice {
    /// Which invoice.
    pub id: InvoiceId,
    /// A payment method other than the customer's, for this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<String>,
    /// Whether it was paid elsewhere, so that nothing is charged.
    #[serde(default)]
    pub paid_out_of_band: bool,
    /// Whether an attempt that brings only a part pays it all the same: the rest is forgiven.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub forgive: bool,
}

impl PayInvoice {
    /// Collects an invoice from the payment method that it has.
    #[must_use]
    pub fn new(id: InvoiceId) -> Self {
        Self { id, payment_method: None, paid_out_of_band: false, forgive: false }
    }
}

/// `invoice.send`: notes that an open invoice was sent to the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendInvoice {
    /// Which invoice.
    pub id: InvoiceId,
}

/// `invoice.void`: an open or uncollectible invoice never counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidInvoice {
    /// Which invoice.
    pub id: InvoiceId,
}

/// `invoice.mark_uncollectible`: nobody expects an open invoice to be paid any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkInvoiceUncollectible {
    /// Which invoice.
    pub id: InvoiceId,
}

/// `invoice.delete`: drops a draft that was made by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteInvoice {
    /// Which invoice.
    pub id: InvoiceId,
}
