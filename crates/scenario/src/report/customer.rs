//! Customers and their balance, as the report shows them.

use super::{DiscountReport, opposite, terms};
use counterfoil::{
    Address, BalanceTransaction, BalanceTransactionKind, CreditNoteId, Currency, Customer,
    CustomerId, Id, InvoiceId, Metadata, Refusal, TaxExempt, TaxId, TimeZone, Timestamp, kind,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CustomerReport {
    /// Its id.
    pub id: CustomerId,
    /// The full name or the business name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The phone number.
    pub phone: Option<String>,
    /// The billing address.
    pub address: Option<Address>,
    /// Free text.
    pub description: Option<String>,
    /// What it owes in its own currency: negative is credit.
    pub balance: i64,
    /// Its credit by currency: positive is credit.
    pub invoice_credit_balance: BTreeMap<Currency, i64>,
    /// Its own currency.
    pub currency: Currency,
    /// Whether the latest change on any of its invoices was a failure to pay.
    pub delinquent: bool,
    /// What its invoice numbers begin with.
    pub invoice_prefix: String,
    /// The sequence number of its next invoice.
    pub next_invoice_sequence: u64,
    /// The payment method that is charged.
    pub payment_method: Option<String>,
    /// Whether it pays tax.
    pub tax_exempt: TaxExempt,
    /// The clock by which its new subscriptions are billed, as POSIX writes it.
    pub time_zone: Option<TimeZone>,
    /// The numbers under which authorities know it.
    pub tax_ids: Vec<TaxId>,
    /// The discount on invoices that have no other.
    pub discount: Option<DiscountReport>,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it was deleted.
    pub deleted: bool,
    /// When its personal data was erased, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased: Option<Timestamp>,
    /// Why nothing happens to it by itself any more, if so.
    pub parked: Option<String>,
    /// Metadata.
    pub metadata: Metadata,
}

/// A transaction on a customer's balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BalanceTransactionReport {
    /// Its id.
    pub id: Id<kind::CustomerBalanceTransaction>,
    /// Whose balance.
    pub customer: CustomerId,
    /// The change: negative is credit.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
    /// The balance after it.
    pub ending_balance: i64,
    /// Why.
    #[serde(rename = "type")]
    pub kind: BalanceTransactionKind,
    /// The invoice that caused it.
    pub invoice: Option<InvoiceId>,
    /// The credit note that caused it.
    pub credit_note: Option<CreditNoteId>,
    /// Free text.
    pub description: Option<String>,
    /// When.
    pub created: Timestamp,
    /// Metadata.
    pub metadata: Metadata,
}

impl CustomerReport {
    pub(super) fn of(customer: &Customer) -> Result<Self, Refusal> {
        let personal = &customer.personal;
        Ok(Self {
            id: customer.id.clone(),
            name: personal.name.clone(),
            email: personal.email.clone(),
            phone: personal.phone.clone(),
            address: personal.address.clone(),
            description: personal.description.clone(),
            balance: customer.balance(customer.currency),
            invoice_credit_balance: opposite(&customer.balances)?,
            currency: customer.currency,
            delinquent: customer.delinquent,
            invoice_prefix: customer.invoice_prefix.clone(),
            next_invoice_sequence: customer.next_invoice_sequence,
            payment_method: customer.payment_method.clone(),
            tax_exempt: customer.tax_exempt,
            time_zone: customer.time_zone,
            tax_ids: personal.tax_ids.clone(),
            discount: terms::discounts(&customer.discount).pop(),
            created: customer.created,
            deleted: customer.deleted,
            erased: customer.erased,
            parked: customer.parked.clone(),
            metadata: personal.metadata.clone(),
        })
    }
}

impl BalanceTransactionReport {
    pub(super) fn of(transaction: &BalanceTransaction) -> Self {
        Self {
            id: transaction.id.clone(),
            customer: transaction.customer.clone(),
            amount: transaction.amount,
            currency: transaction.currency,
            ending_balance: transaction.ending_balance,
            kind: transaction.kind,
            invoice: transaction.invoice.clone(),
            credit_note: transaction.credit_note.clone(),
            description: transaction.description.clone(),
            created: transaction.created,
            metadata: transaction.metadata.clone(),
        }
    }
}
