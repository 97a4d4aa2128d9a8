//! What is known of a customer.

use crate::discount::Discount;
use crate::rare::{Nothing, Rare};
use crate::tax::{TaxExempt, TaxIdId};
use counterfoil_core::{ArithmeticError, Currency, Id, Metadata, Timestamp, Zone, kind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The id of a customer.
pub type CustomerId = Id<kind::Customer>;

/// A customer, without its personal data (rule 2.1).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The customer's id.
    pub id: CustomerId,
    /// When it was created.
    pub created: Timestamp,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// The number of the key that its personal data is sealed with, and that of all it owns.
    pub key_slot: u64,
    /// Whether it was deleted. A deleted customer stays for the documents that name it.
    pub deleted: bool,
    /// When its personal data was erased, if it was (rule 2.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Timestamp>,
    /// Why nothing happens to it by itself any more, if so: due work came to an impossible result.
    pub parked: Option<String>,
    /// What it owes, by currency, in minor units: negative is credit, positive a debt.
    pub balances: BTreeMap<Currency, i64>,
    /// Its default currency: that of the book, until a subscription fixes another one.
    pub currency: Currency,
    /// The payment method that is charged, as the gateway names it.
    pub payment_method: Option<String>,
    /// Whether the latest change on any of its invoices was a failure to pay (rule 2.1).
    pub delinquent: bool,
    /// What its invoice numbers begin with.
    pub invoice_prefix: String,
    /// The sequence number of its next invoice; gap-free.
    pub next_invoice_sequence: u64,
    /// Whether it pays tax.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub tax_exempt: TaxExempt,
    /// The clock by which its new subscriptions are billed; the book's where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
    /// The discount on invoices that have none of their own nor one of their subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Discount>,
    /// Personal data, which is kept apart from everything else.
    #[serde(skip)]
    pub personal: Rare<Personal>,
}

/// Personal data of a customer: recorded apart from amounts, so that it can be erased without them.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Personal {
    /// The full name or the business name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The billing address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Free text about the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// The numbers under which authorities know it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_ids: Vec<TaxId>,
}

/// A number under which an authority knows a customer.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxId {
    /// Its id.
    pub id: TaxIdId,
    /// The kind of number: `eu_vat`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The number.
    pub value: String,
    /// When it was given.
    pub created: Timestamp,
}

/// A postal address.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Address {
    /// Street, first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line1: Option<String>,
    /// Street, second line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line2: Option<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// State or region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

impl Nothing for Personal {
    fn nothing() -> &'static Self {
        static NOTHING: Personal = Personal {
            name: None,
            email: None,
            phone: None,
            address: None,
            description: None,
            metadata: Metadata::NONE,
            tax_ids: Vec::new(),
        };
        &NOTHING
    }
}

impl Personal {
    /// What of it stands on documents: who the customer is, without what the caller notes on it.
    #[must_use]
    pub fn on_documents(&self) -> Self {
        Self { description: None, metadata: Metadata::default(), ..self.clone() }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Customer {
    /// What the customer owes in a currency: negative is credit.
    #[must_use]
    pub fn balance(&self, currency: Currency) -> i64 {
        self.balances.get(&currency).copied().unwrap_or_default()
    }

    /// The balance after a change.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] beyond `i64`.
    pub fn balance_after(&self, currency: Currency, amount: i64) -> Result<i64, ArithmeticError> {
        self.balance(currency).checked_add(amount).ok_or(ArithmeticError::Overflow)
    }

    /// The number of its next invoice: `PREFIX-0001`.
    #[must_use]
    pub fn next_invoice_number(&self) -> String {
        format!("{}-{:04}", self.invoice_prefix, self.next_invoice_sequence)
    }
}
