//! What happened.

use crate::Settings;
use counterfoil_billing::PersonalData;
use counterfoil_billing::catalog::{PriceEvent, ProductEvent};
use counterfoil_billing::customer::{CustomerEvent, CustomerId};
use counterfoil_billing::invoice::InvoiceEvent;
use counterfoil_billing::meter::MeterEvent;
use counterfoil_billing::subscription::SubscriptionEvent;
use counterfoil_core::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "events of the book itself are rare")]
pub enum Event {
    /// To the book.
    Book(BookEvent),
    /// To something that is billed.
    Billing(counterfoil_billing::Event),
}

/// Something that happened to the book itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BookEvent {
    /// It was created.
    Created {
        /// When.
        at: Timestamp,
        /// With these settings.
        settings: Settings,
    },
}

/// The type of an event: a number for the log and a name for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventType {
    /// The number; never used again for another type.
    pub id: u16,
    /// The name: `invoice.finalized`.
    pub name: &'static str,
    /// The version of its form.
    pub schema: u16,
}

const fn first(id: u16, name: &'static str) -> EventType {
    EventType { id, name, schema: 1 }
}

const fn second(id: u16, name: &'static str) -> EventType {
    EventType { id, name, schema: 2 }
}

impl Event {
    /// The type of the event.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        use counterfoil_billing::Event as Billing;
        match self {
            Self::Book(_) => first(1, "book.created"),
            Self::Billing(Billing::Product(event)) => match event {
                ProductEvent::Created(_) => first(100, "product.created"),
                ProductEvent::Updated(_) => first(101, "product.updated"),
            },
            Self::Billing(Billing::Price(event)) => match event {
                PriceEvent::Created(_) => first(110, "price.created"),
                PriceEvent::Updated(_) => first(111, "price.updated"),
            },
            Self::Billing(Billing::Meter(event)) => match event {
                MeterEvent::Created(_) => first(120, "meter.created"),
                MeterEvent::Updated(_) => first(121, "meter.updated"),
                MeterEvent::Deactivated(_) => first(122, "meter.deactivated"),
                MeterEvent::Reactivated(_) => first(123, "meter.reactivated"),
            },
            Self::Billing(Billing::Customer(event)) => customer_type(event),
            Self::Billing(Billing::Subscription(event)) => match event {
                SubscriptionEvent::Created(_) => first(300, "subscription.created"),
                SubscriptionEvent::Updated { .. } => first(301, "subscription.updated"),
                SubscriptionEvent::Renewed { .. } => first(302, "subscription.renewed"),
                SubscriptionEvent::StatusChanged { .. } => {
                    first(303, "subscription.status_changed")
                }
                SubscriptionEvent::Ended { .. } => first(304, "subscription.ended"),
            },
            Self::Billing(Billing::Invoice(event)) => invoice_type(event),
        }
    }
}

impl Event {
    /// Whose; none for the book and the catalog.
    #[must_use]
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Book(_) => None,
            Self::Billing(event) => event.customer(),
        }
    }

    /// The personal data that the event carries beside its body.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        match self {
            Self::Book(_) => PersonalData::default(),
            Self::Billing(event) => event.personal(),
        }
    }

    /// Gives the event its personal data back, after both were read.
    pub fn set_personal(&mut self, data: PersonalData) {
        if let Self::Billing(event) = self {
            event.set_personal(data);
        }
    }
}

fn customer_type(event: &CustomerEvent) -> EventType {
    match event {
        CustomerEvent::Created(_) => first(200, "customer.created"),
        CustomerEvent::Updated { .. } => first(201, "customer.updated"),
        CustomerEvent::Deleted { .. } => first(202, "customer.deleted"),
        CustomerEvent::BalanceTransacted(_) => first(203, "customer.balance_transacted"),
        CustomerEvent::DelinquencyChanged { .. } => first(204, "customer.delinquency_changed"),
        CustomerEvent::Parked { .. } => first(205, "customer.parked"),
        CustomerEvent::Erased { .. } => first(206, "customer.erased"),
    }
}

fn invoice_type(event: &InvoiceEvent) -> EventType {
    match event {
        InvoiceEvent::ItemCreated(_) => second(400, "invoiceitem.created"),
        InvoiceEvent::ItemUpdated(_) => second(401, "invoiceitem.updated"),
        InvoiceEvent::ItemDeleted { .. } => first(402, "invoiceitem.deleted"),
        InvoiceEvent::Created(_) => first(410, "invoice.created"),
        InvoiceEvent::Deleted { .. } => first(411, "invoice.deleted"),
        InvoiceEvent::Finalized(_) => first(412, "invoice.finalized"),
        InvoiceEvent::AutoAdvanceSet { .. } => first(413, "invoice.auto_advance_set"),
        InvoiceEvent::Sent { .. } => first(414, "invoice.sent"),
        InvoiceEvent::PaymentAttempted { .. } => first(415, "invoice.payment_attempted"),
        InvoiceEvent::Paid { .. } => first(416, "invoice.paid"),
        InvoiceEvent::PaymentFailed { .. } => first(417, "invoice.payment_failed"),
        InvoiceEvent::PaymentCameLate(_) => first(418, "invoice.payment_came_late"),
        InvoiceEvent::Overdue { .. } => first(419, "invoice.overdue"),
        InvoiceEvent::MarkedUncollectible { .. } => first(420, "invoice.marked_uncollectible"),
        InvoiceEvent::Voided(_) => first(421, "invoice.voided"),
    }
}

impl From<BookEvent> for Event {
    fn from(event: BookEvent) -> Self {
        Self::Book(event)
    }
}

macro_rules! billing_events {
    ($($variant:ident($event:ty)),*) => {$(
        impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Self::Billing(counterfoil_billing::Event::$variant(event))
            }
        }
    )*};
}

billing_events! {
    Product(ProductEvent),
    Price(PriceEvent),
    Meter(MeterEvent),
    Customer(CustomerEvent),
    Subscription(SubscriptionEvent),
    Invoice(InvoiceEvent)
}
