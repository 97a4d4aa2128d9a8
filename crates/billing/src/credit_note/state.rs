//! A credit note.

use super::share::{total, without_tax};
use super::{CreditNoteId, CreditNoteLineId};
use crate::customer::{BalanceTransaction, CustomerId};
use crate::discount::DiscountAmount;
use crate::invoice::{Deferral, InvoiceId, InvoiceLineId};
use crate::tax::TaxAmount;
use counterfoil_core::{Currency, Decimal12, Metadata, Timestamp};
use serde::{Deserialize, Serialize};

/// A credit note (rule 10). Only its memo and metadata ever change, and whether it is void.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNote {
    /// Its id.
    pub id: CreditNoteId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// Whose invoice.
    pub customer: CustomerId,
    /// The invoice that it takes something off.
    pub invoice: InvoiceId,
    /// The number of the invoice with `-CN-01` and so on behind it.
    pub number: String,
    /// The currency of every amount on it.
    pub currency: Currency,
    /// When it was created.
    pub created: Timestamp,
    /// The date on the document.
    pub effective_at: Timestamp,
    /// Whether it counts.
    pub status: CreditNoteStatus,
    /// Whether it lowers what is to be paid, gives back what was paid, or both.
    #[serde(rename = "type")]
    pub kind: CreditNoteType,
    /// Why it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CreditNoteReason>,
    /// What it takes off line by line; nothing where it takes off an amount of the whole.
    pub lines: Vec<CreditNoteLine>,
    /// Σ of the lines before discounts and without the tax that is added, in minor units; the amount
    /// without that tax where there are none.
    pub subtotal: i64,
    /// What of each tax is not owed after all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub total_taxes: Vec<TaxAmount>,
    /// What it comes to with discounts and tax, in minor units; more than nothing.
    pub total: i64,
    /// What of it lowers what is still to be paid, in minor units.
    pub pre_payment_amount: i64,
    /// What of it gives back what was paid, in minor units.
    pub post_payment_amount: i64,
    /// What is refunded to the payment method, in minor units.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub refund_amount: i64,
    /// Refunds that were made already; they are part of `refund_amount`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<Refund>,
    /// What was given back elsewhere, in minor units.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub out_of_band_amount: i64,
    /// The credit that the customer was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_transaction: Option<BalanceTransaction>,
    /// The revenue that is not earned after all.
    pub taken_back: Vec<Deferral>,
    /// What discounts took off that revenue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contra_taken_back: Vec<Deferral>,
    /// The invoice that bills anew what this note takes off (rule 12.8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<InvoiceId>,
    /// Whether the invoice was uncollectible.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub was_uncollectible: bool,
    /// When it was voided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voided_at: Option<Timestamp>,
    /// Free text on the document; personal.
    #[serde(skip)]
    pub memo: Option<String>,
    /// Metadata (rule 1.6); personal.
    #[serde(skip)]
    pub metadata: Metadata,
}

/// A line of a credit note.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNoteLine {
    /// Its id.
    pub id: CreditNoteLineId,
    /// What it takes off.
    pub credited: Credited,
    /// What a person reads where there is no description: what the invoice calls it.
    pub name: String,
    /// What a person reads, in the caller's words; personal.
    #[serde(skip)]
    pub description: Option<String>,
    /// Before discounts and without the tax that is added, in minor units; negative on a negative
    /// line.
    pub amount: i64,
    /// How many, where it goes by quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// The price of one in minor units, of a line that is none of the invoice's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<Decimal12>,
    /// What of the discounts of the invoice's line does not count after all, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discount_amounts: Vec<DiscountAmount>,
    /// What of the taxes is not owed after all, in the order of the invoice's line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<TaxAmount>,
}

/// What a line of a credit note takes off.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credited {
    /// Units of a line of the invoice.
    Quantity(InvoiceLineId),
    /// An amount of a line of the invoice.
    Amount(InvoiceLineId),
    /// Something that is no line of the invoice.
    Custom,
    /// What the invoice charges for shipping.
    Shipping,
}

/// Whether a credit note counts.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditNoteStatus {
    /// It does.
    Issued,
    /// It never did; final.
    Void,
}

/// Whether a credit note lowers what is to be paid, gives back what was paid, or both.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditNoteType {
    /// It only lowers what is to be paid.
    PrePayment,
    /// It only gives back what was paid.
    PostPayment,
    /// Both.
    Mixed,
}

/// Why a credit note was made.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditNoteReason {
    /// It was billed twice.
    Duplicate,
    /// It was fraud.
    Fraudulent,
    /// The order changed.
    OrderChange,
    /// What was sold was not good.
    ProductUnsatisfactory,
}

/// A refund that was made already, as it is named at the gateway.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Its name there; no personal data.
    pub refund: String,
    /// How much, in minor units.
    pub amount_refunded: i64,
}

impl CreditNote {
    /// Whether it counts.
    #[must_use]
    pub fn is_issued(&self) -> bool {
        self.status == CreditNoteStatus::Issued
    }

    /// What it takes off shipping, which stands among the lines.
    #[must_use]
    pub fn shipping(&self) -> Option<&CreditNoteLine> {
        self.lines.iter().find(|line| line.credited == Credited::Shipping)
    }

    /// The credit that the customer was given, in minor units; positive.
    #[must_use]
    pub fn credit_amount(&self) -> i64 {
        let amount = self.balance_transaction.as_ref().map_or(0, |given| given.amount);
        amount.saturating_neg()
    }

    /// What of each discount does not count after all, in minor units.
    #[must_use]
    pub fn discount_amounts(&self) -> Vec<DiscountAmount> {
        let mut sums: Vec<DiscountAmount> = Vec::new();
        for own in self.lines.iter().flat_map(|line| &line.discount_amounts) {
            match sums.iter_mut().find(|sum| sum.discount == own.discount) {
                Some(sum) => sum.amount = sum.amount.saturating_add(own.amount),
                None => sums.push(own.clone()),
            }
        }
        sums
    }

    /// What of all discounts does not count after all, in minor units.
    #[must_use]
    pub fn discount_amount(&self) -> i64 {
        self.lines.iter().map(CreditNoteLine::discount_amount).fold(0, i64::saturating_add)
    }

    /// The total less all tax, in minor units.
    #[must_use]
    pub fn total_excluding_tax(&self) -> i64 {
        without_tax(self.total, &self.total_taxes)
    }

    /// What of all taxes is not owed after all, in minor units.
    #[must_use]
    pub fn total_tax(&self) -> i64 {
        self.total.saturating_sub(self.total_excluding_tax())
    }
}

impl CreditNoteLine {
    /// What a person reads.
    #[must_use]
    pub fn text(&self) -> &str {
        self.description.as_deref().unwrap_or(&self.name)
    }

    /// What of all discounts does not count after all, in minor units.
    #[must_use]
    pub fn discount_amount(&self) -> i64 {
        self.discount_amounts.iter().map(|own| own.amount).fold(0, i64::saturating_add)
    }

    /// What it comes to with discounts and tax, in minor units.
    #[must_use]
    pub fn total(&self) -> i64 {
        total(self.amount, &self.discount_amounts, &self.taxes)
    }

    /// The line of the invoice that it takes something off.
    #[must_use]
    pub fn invoice_line(&self) -> Option<&InvoiceLineId> {
        match &self.credited {
            Credited::Quantity(line) | Credited::Amount(line) => Some(line),
            Credited::Custom | Credited::Shipping => None,
        }
    }
}
