//! Credit notes, as the report shows them.

use super::{DiscountAmountReport, ShippingCostReport, TaxAmountReport, terms};
use counterfoil::{
    CreditNote, CreditNoteId, CreditNoteLine, CreditNoteLineId, CreditNoteReason, CreditNoteStatus,
    CreditNoteType, Credited, Currency, CustomerId, Decimal12, Id, InvoiceId, InvoiceLineId,
    Metadata, Refund, Timestamp, kind,
};
use serde::Serialize;

/// A credit note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreditNoteReport {
    /// Its id.
    pub id: CreditNoteId,
    /// The number of the invoice with its own behind it.
    pub number: String,
    /// The invoice that it takes something off.
    pub invoice: InvoiceId,
    /// Whose invoice.
    pub customer: CustomerId,
    /// The currency of every amount on it.
    pub currency: Currency,
    /// Whether it counts.
    pub status: CreditNoteStatus,
    /// Whether it lowers what is to be paid, gives back what was paid, or both.
    #[serde(rename = "type")]
    pub kind: CreditNoteType,
    /// Why it was made.
    pub reason: Option<CreditNoteReason>,
    /// When it was created.
    pub created: Timestamp,
    /// The date on the document.
    pub effective_at: Timestamp,
    /// When it was voided.
    pub voided_at: Option<Timestamp>,
    /// What it takes off line by line.
    pub lines: Vec<CreditNoteLineReport>,
    /// What it takes off shipping.
    pub shipping_cost: Option<ShippingCostReport>,
    /// The same, with tax.
    pub amount_shipping: i64,
    /// Σ of the lines, and of shipping, before discounts and without the tax that is added; the amount without that tax
    /// where there are none.
    pub subtotal: i64,
    /// What of all discounts does not count after all.
    pub discount_amount: i64,
    /// What of each discount does not count after all.
    pub discount_amounts: Vec<DiscountAmountReport>,
    /// What of each tax is not owed after all.
    pub total_taxes: Vec<TaxAmountReport>,
    /// The total less all tax.
    pub total_excluding_tax: i64,
    /// What it comes to.
    pub amount: i64,
    /// The same.
    pub total: i64,
    /// What of it lowers what is still to be paid.
    pub pre_payment_amount: i64,
    /// What of it gives back what was paid.
    pub post_payment_amount: i64,
    /// What is refunded to the payment method.
    pub refund_amount: i64,
    /// Refunds that were made already.
    pub refunds: Vec<Refund>,
    /// What became credit of the customer.
    pub credit_amount: i64,
    /// What was given back elsewhere.
    pub out_of_band_amount: i64,
    /// The transaction on the customer's balance.
    pub customer_balance_transaction: Option<Id<kind::CustomerBalanceTransaction>>,
    /// The invoice that bills anew what it takes off, because usage came late.
    pub correction: Option<InvoiceId>,
    /// Free text on the document.
    pub memo: Option<String>,
    /// Metadata.
    pub metadata: Metadata,
}

/// A line of a credit note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreditNoteLineReport {
    /// Its id.
    pub id: CreditNoteLineId,
    /// `invoice_line_item` or `custom_line_item`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The line of the invoice.
    pub invoice_line_item: Option<InvoiceLineId>,
    /// What a person reads.
    pub description: String,
    /// Before discounts and without the tax that is added; negative on a negative line.
    pub amount: i64,
    /// What of all discounts does not count after all.
    pub discount_amount: i64,
    /// What of each discount does not count after all.
    pub discount_amounts: Vec<DiscountAmountReport>,
    /// What of each tax is not owed after all.
    pub taxes: Vec<TaxAmountReport>,
    /// How many.
    pub quantity: Option<i64>,
    /// The price of one, where it is whole.
    pub unit_amount: Option<i64>,
    /// The price of one.
    pub unit_amount_decimal: Option<Decimal12>,
}

impl CreditNoteReport {
    pub(super) fn of(note: &CreditNote) -> Self {
        let transaction = note.balance_transaction.as_ref();
        Self {
            id: note.id.clone(),
            number: note.number.clone(),
            invoice: note.invoice.clone(),
            customer: note.customer.clone(),
            currency: note.currency,
            status: note.status,
            kind: note.kind,
            reason: note.reason,
            created: note.created,
            effective_at: note.effective_at,
            voided_at: note.voided_at,
            lines: note
                .lines
                .iter()
                .filter(|line| line.credited != Credited::Shipping)
                .map(CreditNoteLineReport::of)
                .collect(),
            shipping_cost: note.shipping().map(ShippingCostReport::of_note),
            amount_shipping: note.shipping().map_or(0, CreditNoteLine::total),
            subtotal: note.subtotal,
            discount_amount: note.discount_amount(),
            discount_amounts: terms::discount_amounts(&note.discount_amounts()),
            total_taxes: terms::tax_amounts(&note.total_taxes),
            total_excluding_tax: note.total_excluding_tax(),
            amount: note.total,
            total: note.total,
            pre_payment_amount: note.pre_payment_amount,
            post_payment_amount: note.post_payment_amount,
            refund_amount: note.refund_amount,
            refunds: note.refunds.clone(),
            credit_amount: note.credit_amount(),
            out_of_band_amount: note.out_of_band_amount,
            customer_balance_transaction: transaction.map(|given| given.id.clone()),
            correction: note.correction.clone(),
            memo: note.memo.clone(),
            metadata: note.metadata.clone(),
        }
    }
}

impl CreditNoteLineReport {
    fn of(line: &CreditNoteLine) -> Self {
        Self {
            id: line.id.clone(),
            kind: match line.credited {
                Credited::Quantity(_) | Credited::Amount(_) => "invoice_line_item",
                Credited::Custom | Credited::Shipping => "custom_line_item",
            },
            invoice_line_item: line.invoice_line().cloned(),
            description: line.text().to_owned(),
            amount: line.amount,
            discount_amount: line.discount_amount(),
            discount_amounts: terms::discount_amounts(&line.discount_amounts),
            taxes: terms::tax_amounts(&line.taxes),
            quantity: line.quantity,
            unit_amount: line.unit_amount.and_then(|unit| unit.as_int()),
            unit_amount_decimal: line.unit_amount,
        }
    }
}
