//! What happened.

use crate::Settings;
use counterfoil_billing::PersonalData;
use counterfoil_billing::alert::AlertEvent;
use counterfoil_billing::catalog::{PriceEvent, ProductEvent};
use counterfoil_billing::credit_note::CreditNoteEvent;
use counterfoil_billing::customer::{CustomerEvent, CustomerId};
use counterfoil_billing::discount::{CouponEvent, PromotionCodeEvent};
use counterfoil_billing::invoice::{InvoiceEvent, PaymentAttemptId};
use counterfoil_billing::meter::MeterEvent;
use counterfoil_billing::quote::QuoteEvent;
use counterfoil_billing::schedule::SubscriptionScheduleEvent;
use counterfoil_billing::subscription::SubscriptionEvent;
use counterfoil_billing::tax::TaxRateEvent;
use counterfoil_core::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that happened.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// To the book.
    Book(BookEvent),
    /// To something that is billed.
    Billing(counterfoil_billing::Event),
}

/// Something that happened to the book itself.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The variants around the payload, from the outside in: what the number stands for in the log.
    pub variants: &'static [&'static str],
}

/// Lists the types of events once: number, version, name, variant, for [`Event::event_type`] and
/// [`EventType::of`].
macro_rules! event_types {
    (
        $book_id:literal $book_schema:literal $book_name:literal $book_variant:ident;
        $($id:literal $schema:literal $name:literal $group:ident $event:ident $variant:ident;)*
    ) => {
        impl Event {
            /// The type of the event.
            #[must_use]
            pub fn event_type(&self) -> EventType {
                use counterfoil_billing::Event as Billing;
                match self {
                    Self::Book(BookEvent::$book_variant { .. }) => EventType {
                        id: $book_id,
                        name: $book_name,
                        schema: $book_schema,
                        variants: &["Book", stringify!($book_variant)],
                    },
                    $(Self::Billing(Billing::$group($event::$variant { .. })) => EventType {
                        id: $id,
                        name: $name,
                        schema: $schema,
                        variants: &["Billing", stringify!($group), stringify!($variant)],
                    },)*
                }
            }
        }

        impl EventType {
            /// Every type, in the order of the numbers.
            pub const ALL: &'static [Self] = &[
                Self {
                    id: $book_id,
                    name: $book_name,
                    schema: $book_schema,
                    variants: &["Book", stringify!($book_variant)],
                },
                $(Self {
                    id: $id,
                    name: $name,
                    schema: $schema,
                    variants: &["Billing", stringify!($group), stringify!($variant)],
                },)*
            ];

            /// The type with a number, if there is one.
            #[must_use]
            pub fn of(id: u16) -> Option<Self> {
                let (schema, name, variants): (_, _, &[&str]) = match id {
                    $book_id => ($book_schema, $book_name, &["Book", stringify!($book_variant)]),
                    $($id => {
                        ($schema, $name, &["Billing", stringify!($group), stringify!($variant)])
                    })*
                    _ => return None,
                };
                Some(Self { id, name, schema, variants })
            }
        }
    };
}

event_types! {
    1 2 "book.created" Created;
    100 1 "product.created" Product ProductEvent Created;
    101 1 "product.updated" Product ProductEvent Updated;
    110 3 "price.created" Price PriceEvent Created;
    111 3 "price.updated" Price PriceEvent Updated;
    120 2 "meter.created" Meter MeterEvent Created;
    121 2 "meter.updated" Meter MeterEvent Updated;
    122 2 "meter.deactivated" Meter MeterEvent Deactivated;
    123 2 "meter.reactivated" Meter MeterEvent Reactivated;
    130 1 "alert.created" Alert AlertEvent Created;
    131 1 "alert.activated" Alert AlertEvent Activated;
    132 1 "alert.deactivated" Alert AlertEvent Deactivated;
    133 1 "alert.archived" Alert AlertEvent Archived;
    134 1 "alert.triggered" Alert AlertEvent Triggered;
    200 2 "customer.created" Customer CustomerEvent Created;
    201 2 "customer.updated" Customer CustomerEvent Updated;
    202 1 "customer.deleted" Customer CustomerEvent Deleted;
    203 2 "customer.balance_transacted" Customer CustomerEvent BalanceTransacted;
    204 1 "customer.delinquency_changed" Customer CustomerEvent DelinquencyChanged;
    205 1 "customer.parked" Customer CustomerEvent Parked;
    206 1 "customer.erased" Customer CustomerEvent Erased;
    207 1 "customer.balance_transaction_updated" Customer CustomerEvent BalanceTransactionUpdated;
    208 1 "customer.unparked" Customer CustomerEvent Unparked;
    300 2 "subscription.created" Subscription SubscriptionEvent Created;
    301 2 "subscription.updated" Subscription SubscriptionEvent Updated;
    302 1 "subscription.renewed" Subscription SubscriptionEvent Renewed;
    303 2 "subscription.status_changed" Subscription SubscriptionEvent StatusChanged;
    304 2 "subscription.ended" Subscription SubscriptionEvent Ended;
    313 1 "subscription.pending_items_due" Subscription SubscriptionEvent PendingItemsDue;
    315 1 "subscription.trial_will_end" Subscription SubscriptionEvent TrialWillEnd;
    316 1 "subscription.paused" Subscription SubscriptionEvent Paused;
    317 1 "subscription.resumed" Subscription SubscriptionEvent Resumed;
    318 1 "subscription.creation_pending" Subscription SubscriptionEvent CreationPending;
    319 1 "subscription.creation_abandoned" Subscription SubscriptionEvent CreationAbandoned;
    400 3 "invoiceitem.created" Invoice InvoiceEvent ItemCreated;
    401 3 "invoiceitem.updated" Invoice InvoiceEvent ItemUpdated;
    402 1 "invoiceitem.deleted" Invoice InvoiceEvent ItemDeleted;
    410 2 "invoice.created" Invoice InvoiceEvent Created;
    411 1 "invoice.deleted" Invoice InvoiceEvent Deleted;
    412 2 "invoice.finalized" Invoice InvoiceEvent Finalized;
    413 1 "invoice.auto_advance_set" Invoice InvoiceEvent AutoAdvanceSet;
    414 1 "invoice.sent" Invoice InvoiceEvent Sent;
    415 2 "invoice.payment_attempted" Invoice InvoiceEvent PaymentAttempted;
    416 1 "invoice.paid" Invoice InvoiceEvent Paid;
    417 2 "invoice.payment_failed" Invoice InvoiceEvent PaymentFailed;
    418 2 "invoice.payment_came_late" Invoice InvoiceEvent PaymentCameLate;
    419 1 "invoice.overdue" Invoice InvoiceEvent Overdue;
    420 1 "invoice.marked_uncollectible" Invoice InvoiceEvent MarkedUncollectible;
    421 2 "invoice.voided" Invoice InvoiceEvent Voided;
    430 1 "invoice.payment_received" Invoice InvoiceEvent PaymentReceived;
    431 1 "invoice.updated" Invoice InvoiceEvent Updated;
    432 1 "invoice.finalization_failed" Invoice InvoiceEvent FinalizationFailed;
    433 1 "invoice.payment_processing" Invoice InvoiceEvent PaymentProcessing;
    500 1 "coupon.created" Coupon CouponEvent Created;
    501 1 "coupon.updated" Coupon CouponEvent Updated;
    502 1 "coupon.deleted" Coupon CouponEvent Deleted;
    503 1 "coupon.redeemed" Coupon CouponEvent Redeemed;
    510 1 "promotion_code.created" PromotionCode PromotionCodeEvent Created;
    511 1 "promotion_code.updated" PromotionCode PromotionCodeEvent Updated;
    520 1 "tax_rate.created" TaxRate TaxRateEvent Created;
    521 1 "tax_rate.updated" TaxRate TaxRateEvent Updated;
    540 1 "subscription_schedule.created" Schedule SubscriptionScheduleEvent Created;
    541 1 "subscription_schedule.updated" Schedule SubscriptionScheduleEvent Updated;
    542 1 "subscription_schedule.phase_entered" Schedule SubscriptionScheduleEvent PhaseEntered;
    543 1 "subscription_schedule.expiring" Schedule SubscriptionScheduleEvent Expiring;
    544 1 "subscription_schedule.ended" Schedule SubscriptionScheduleEvent Ended;
    550 1 "quote.created" Quote QuoteEvent Created;
    551 1 "quote.updated" Quote QuoteEvent Updated;
    552 1 "quote.finalized" Quote QuoteEvent Finalized;
    553 1 "quote.accepted" Quote QuoteEvent Accepted;
    554 1 "quote.canceled" Quote QuoteEvent Canceled;
    530 1 "credit_note.created" CreditNote CreditNoteEvent Created;
    531 1 "credit_note.updated" CreditNote CreditNoteEvent Updated;
    532 1 "credit_note.voided" CreditNote CreditNoteEvent Voided;
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

    /// The attempt to collect that it opens, if it does: its outcome is awaited from then on.
    #[must_use]
    pub fn opens_attempt(&self) -> Option<&PaymentAttemptId> {
        use counterfoil_billing::Event as Billing;
        match self {
            Self::Billing(Billing::Invoice(InvoiceEvent::PaymentAttempted { attempt, .. })) => {
                Some(&attempt.id)
            }
            Self::Billing(Billing::Subscription(SubscriptionEvent::CreationPending(pending))) => {
                Some(&pending.attempt.id)
            }
            _ => None,
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
    Alert(AlertEvent),
    Coupon(CouponEvent),
    PromotionCode(PromotionCodeEvent),
    TaxRate(TaxRateEvent),
    Customer(CustomerEvent),
    Subscription(SubscriptionEvent),
    Schedule(SubscriptionScheduleEvent),
    Quote(QuoteEvent),
    Invoice(InvoiceEvent),
    CreditNote(CreditNoteEvent)
}
