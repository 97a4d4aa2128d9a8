//! What a caller may ask for.

use super::{CreditNoteId, CreditNoteReason};
use crate::Patch;
use crate::invoice::{InvoiceId, InvoiceLineId};
use crate::tax::TaxRateId;
use counterfoil_core::{Decimal12, MetadataPatch, Timestamp};
use serde::{Deserialize, Serialize};

/// `credit_note.create`: of an amount, of lines or of shipping, and of one of them only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateCreditNote {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CreditNoteId>,
    /// The invoice.
    pub invoice: InvoiceId,
    /// What is taken off as a whole, with tax, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// What is taken off line by line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<CreditNoteLineInput>,
    /// What is taken off what the invoice charges for shipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_cost: Option<CreditShippingInput>,
    /// What of it is refunded to the payment method, beside `refunds`, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_amount: Option<i64>,
    /// Refunds that were made already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<RefundInput>,
    /// What of it becomes credit of the customer, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_amount: Option<i64>,
    /// What of it was given back elsewhere, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_band_amount: Option<i64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CreditNoteReason>,
    /// Free text on the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<String>,
    /// The date on the document; now where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

/// What a credit note is to take off shipping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreditShippingInput {
    /// How much, without the tax that is added, in minor units; all that is left where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
}

/// A line of a credit note to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNoteLineInput {
    /// Whether it takes something off a line of the invoice.
    #[serde(rename = "type")]
    pub kind: CreditNoteLineType,
    /// The line of the invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice_line_item: Option<InvoiceLineId>,
    /// How many units, of the invoice's line or of `unit_amount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// How much of the invoice's line, before discounts and without the tax that is added, in minor
    /// units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// The price of one, of a line that is none of the invoice's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<i64>,
    /// The same with a fraction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount_decimal: Option<Decimal12>,
    /// The tax rates of a line that is none of the invoice's; none where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<TaxRateId>,
    /// The taxes of such a line as the caller computed them; instead of `tax_rates`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_amounts: Vec<TaxAmountInput>,
    /// What a person reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A tax of a line of a credit note, as the caller computed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxAmountInput {
    /// The tax, in minor units.
    pub amount: i64,
    /// What it is on, in minor units.
    pub taxable_amount: i64,
    /// Whose tax it is; that says too whether it is in the amount of the line.
    pub tax_rate: TaxRateId,
}

/// Whether a line of a credit note takes something off a line of the invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditNoteLineType {
    /// It does.
    InvoiceLineItem,
    /// It stands for itself.
    CustomLineItem,
}

/// A refund that was made already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundInput {
    /// What it is called at the gateway.
    pub refund: String,
    /// How much of it this note stands for, in minor units.
    pub amount_refunded: i64,
}

/// `credit_note.update`: memo and metadata, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateCreditNote {
    /// Which credit note.
    pub id: CreditNoteId,
    /// Free text on the document; `null` removes it.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub memo: Patch<String>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

/// `credit_note.void`: only while its invoice is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidCreditNote {
    /// Which credit note.
    pub id: CreditNoteId,
}

impl CreateCreditNote {
    /// A note on an invoice, to be filled in.
    #[must_use]
    pub fn new(invoice: InvoiceId) -> Self {
        Self {
            id: None,
            invoice,
            amount: None,
            lines: Vec::new(),
            shipping_cost: None,
            refund_amount: None,
            refunds: Vec::new(),
            credit_amount: None,
            out_of_band_amount: None,
            reason: None,
            memo: None,
            effective_at: None,
            metadata: None,
        }
    }

    /// Whether it says anything personal.
    pub(super) fn is_personal(&self) -> bool {
        self.memo.is_some()
            || self.metadata.is_some()
            || self.lines.iter().any(|line| line.description.is_some())
    }
}

impl CreditNoteLineInput {
    fn of(kind: CreditNoteLineType) -> Self {
        Self {
            kind,
            invoice_line_item: None,
            quantity: None,
            amount: None,
            unit_amount: None,
            unit_amount_decimal: None,
            tax_rates: Vec::new(),
            tax_amounts: Vec::new(),
            description: None,
        }
    }

    /// Units of a line of the invoice.
    #[must_use]
    pub fn units(line: InvoiceLineId, quantity: i64) -> Self {
        let own = Self::of(CreditNoteLineType::InvoiceLineItem);
        Self { invoice_line_item: Some(line), quantity: Some(quantity), ..own }
    }

    /// An amount of a line of the invoice.
    #[must_use]
    pub fn amount(line: InvoiceLineId, amount_minor: i64) -> Self {
        let own = Self::of(CreditNoteLineType::InvoiceLineItem);
        Self { invoice_line_item: Some(line), amount: Some(amount_minor), ..own }
    }

    /// Units of something that is no line of the invoice.
    #[must_use]
    pub fn custom(quantity: i64, unit_amount_minor: i64) -> Self {
        let own = Self::of(CreditNoteLineType::CustomLineItem);
        Self { quantity: Some(quantity), unit_amount: Some(unit_amount_minor), ..own }
    }
}
