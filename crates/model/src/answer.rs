//! What a command gave back, and what is remembered of it under an idempotency key.

use counterfoil_billing::PersonalData;
use counterfoil_billing::alert::{Alert, AlertId};
use counterfoil_billing::catalog::{MeterId, Price, PriceId, Product, ProductId};
use counterfoil_billing::credit_note::{CreditNote, CreditNoteId};
use counterfoil_billing::customer::{
    BalanceTransaction, BalanceTransactionId, Customer, CustomerId,
};
use counterfoil_billing::discount::{Coupon, CouponId, PromotionCode, PromotionCodeId};
use counterfoil_billing::invoice::{Invoice, InvoiceId, InvoiceItem, InvoiceItemId};
use counterfoil_billing::meter::Meter;
use counterfoil_billing::quote::{Quote, QuoteId};
use counterfoil_billing::schedule::{SubscriptionSchedule, SubscriptionScheduleId};
use counterfoil_billing::subscription::{Subscription, SubscriptionId};
use counterfoil_billing::tax::{TaxRate, TaxRateId};
use counterfoil_core::Refusal;
use serde::{Deserialize, Serialize};

/// The object that a command was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// The book.
    Book,
    /// A product.
    Product(ProductId),
    /// A price.
    Price(PriceId),
    /// A meter.
    Meter(MeterId),
    /// An alert.
    Alert(AlertId),
    /// A coupon.
    Coupon(CouponId),
    /// A promotion code.
    PromotionCode(PromotionCodeId),
    /// A tax rate.
    TaxRate(TaxRateId),
    /// A customer.
    Customer(CustomerId),
    /// The latest transaction on a customer's balance.
    BalanceTransaction(CustomerId),
    /// One of the transactions on a customer's balance.
    BalanceTransactionOf(CustomerId, BalanceTransactionId),
    /// A subscription.
    Subscription(SubscriptionId),
    /// A subscription schedule.
    SubscriptionSchedule(SubscriptionScheduleId),
    /// A quote.
    Quote(QuoteId),
    /// An invoice.
    Invoice(InvoiceId),
    /// An invoice item.
    InvoiceItem(InvoiceItemId),
    /// A credit note.
    CreditNote(CreditNoteId),
    /// Something that is no longer there: its kind and its id.
    Deleted(String, String),
}

/// The object that a command gave back, as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Output {
    /// Nothing but the book.
    Book,
    /// A product.
    Product(Product),
    /// A price.
    Price(Price),
    /// A meter.
    Meter(Meter),
    /// An alert.
    Alert(Alert),
    /// A coupon.
    Coupon(Coupon),
    /// A promotion code.
    PromotionCode(PromotionCode),
    /// A tax rate.
    TaxRate(TaxRate),
    /// A customer.
    Customer(Customer),
    /// A transaction on a customer's balance.
    BalanceTransaction(BalanceTransaction),
    /// A subscription.
    Subscription(Box<Subscription>),
    /// A subscription schedule.
    SubscriptionSchedule(Box<SubscriptionSchedule>),
    /// A quote.
    Quote(Box<Quote>),
    /// An invoice.
    Invoice(Box<Invoice>),
    /// An invoice item.
    InvoiceItem(Box<InvoiceItem>),
    /// A credit note.
    CreditNote(Box<CreditNote>),
    /// Something that is no longer there.
    Deleted {
        /// Its kind.
        kind: String,
        /// Its id.
        id: String,
    },
}

impl Output {
    /// A copy of what is personal in the object.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        match self {
            Self::Customer(customer) => customer.personal_data(),
            Self::BalanceTransaction(transaction) => transaction.personal(),
            Self::Subscription(subscription) => subscription.personal(),
            Self::SubscriptionSchedule(schedule) => schedule.personal(),
            Self::Quote(quote) => quote.personal(),
            Self::Invoice(invoice) => invoice.personal(),
            Self::InvoiceItem(item) => item.personal(),
            Self::CreditNote(note) => note.personal(),
            Self::Book | Self::Product(_) | Self::Price(_) | Self::Meter(_) | Self::Alert(_) => {
                PersonalData::default()
            }
            Self::Coupon(_) | Self::PromotionCode(_) | Self::TaxRate(_) | Self::Deleted { .. } => {
                PersonalData::default()
            }
        }
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, data: PersonalData) {
        match self {
            Self::Customer(customer) => customer.set_personal(data),
            Self::BalanceTransaction(transaction) => transaction.set_personal(data),
            Self::Subscription(subscription) => subscription.set_personal(data),
            Self::SubscriptionSchedule(schedule) => schedule.set_personal(data),
            Self::Quote(quote) => quote.set_personal(data),
            Self::Invoice(invoice) => invoice.set_personal(data),
            Self::InvoiceItem(item) => item.set_personal(data),
            Self::CreditNote(note) => note.set_personal(data),
            Self::Book | Self::Product(_) | Self::Price(_) | Self::Meter(_) | Self::Alert(_) => {}
            Self::Coupon(_) | Self::PromotionCode(_) | Self::TaxRate(_) | Self::Deleted { .. } => {}
        }
    }
}

/// What is remembered under an idempotency key: the object, or the refusal (rule 1.7, point 55).
pub type Answer = Result<Output, Refusal>;

/// What a record says beside its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecordMeta {
    /// The idempotency key that the command came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyUse>,
    /// The object that the command was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The customer whom the command was about: what is remembered is erased with its personal
    /// data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// Why the command was refused, where only that is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// The use of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// The key.
    pub key: String,
    /// A fingerprint of the command that it came with. None where it is not kept: it would tell
    /// what is personal in the command to whoever guesses it. Then every command is given the
    /// answer.
    pub fingerprint: Option<[u8; 32]>,
}
