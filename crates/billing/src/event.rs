//! Everything that can happen in the billing domain.

use crate::PersonalData;
use crate::alert::AlertEvent;
use crate::catalog::{PriceEvent, ProductEvent};
use crate::credit_note::CreditNoteEvent;
use crate::customer::{BalanceTransaction, CustomerEvent, CustomerId};
use crate::discount::{CouponEvent, PromotionCodeEvent};
use crate::invoice::InvoiceEvent;
use crate::meter::MeterEvent;
use crate::quote::QuoteEvent;
use crate::schedule::SubscriptionScheduleEvent;
use crate::subscription::SubscriptionEvent;
use crate::tax::TaxRateEvent;
use serde::{Deserialize, Serialize};

/// Something that happened in the billing domain.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// To a product.
    Product(ProductEvent),
    /// To a price.
    Price(PriceEvent),
    /// To a meter.
    Meter(MeterEvent),
    /// To an alert.
    Alert(AlertEvent),
    /// To a coupon.
    Coupon(CouponEvent),
    /// To a promotion code.
    PromotionCode(PromotionCodeEvent),
    /// To a tax rate.
    TaxRate(TaxRateEvent),
    /// To a customer.
    Customer(CustomerEvent),
    /// To a subscription.
    Subscription(SubscriptionEvent),
    /// To a schedule of a subscription.
    Schedule(SubscriptionScheduleEvent),
    /// To a quote.
    Quote(QuoteEvent),
    /// To an invoice or an item that waits for one.
    Invoice(InvoiceEvent),
    /// To a credit note.
    CreditNote(CreditNoteEvent),
}

impl Event {
    /// Whose; none for the catalog, alerts on a customer included.
    #[must_use]
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Product(_) | Self::Price(_) | Self::Meter(_) => None,
            Self::Coupon(_) | Self::PromotionCode(_) | Self::TaxRate(_) => None,
            Self::Alert(event) => event.customer(),
            Self::Customer(event) => Some(event.customer()),
            Self::Subscription(event) => Some(event.customer()),
            Self::Schedule(event) => Some(event.customer()),
            Self::Quote(event) => Some(event.customer()),
            Self::Invoice(event) => Some(event.customer()),
            Self::CreditNote(event) => Some(event.customer()),
        }
    }

    /// The personal data that the event carries beside its body.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        match self {
            Self::Customer(event) => event.personal(),
            Self::Subscription(event) => event.personal(),
            Self::Schedule(event) => event.personal(),
            Self::Quote(event) => event.personal(),
            Self::Invoice(event) => event.personal(),
            Self::CreditNote(event) => event.personal(),
            Self::Product(_)
            | Self::Price(_)
            | Self::Meter(_)
            | Self::Alert(_)
            | Self::Coupon(_)
            | Self::PromotionCode(_)
            | Self::TaxRate(_) => PersonalData::default(),
        }
    }

    /// Gives the event its personal data back, after both were read.
    pub fn set_personal(&mut self, data: PersonalData) {
        match self {
            Self::Customer(event) => event.set_personal(data),
            Self::Subscription(event) => event.set_personal(data),
            Self::Schedule(event) => event.set_personal(data),
            Self::Quote(event) => event.set_personal(data),
            Self::Invoice(event) => event.set_personal(data),
            Self::CreditNote(event) => event.set_personal(data),
            Self::Product(_)
            | Self::Price(_)
            | Self::Meter(_)
            | Self::Alert(_)
            | Self::Coupon(_)
            | Self::PromotionCode(_)
            | Self::TaxRate(_) => {}
        }
    }

    /// The changes of customer balances that the event made, in order.
    #[must_use]
    pub fn balance_transactions(&self) -> Vec<&BalanceTransaction> {
        match self {
            Self::Customer(CustomerEvent::BalanceTransacted(transaction)) => vec![transaction],
            Self::Invoice(event) => event.balance_transactions().collect(),
            Self::CreditNote(event) => event.balance_transaction().into_iter().collect(),
            _ => Vec::new(),
        }
    }
}
