//! Reads the events that a book has most of, in the form in which they are written now.
//!
//! A payload names its fields, and whoever reads it may take them in any order. But written they are
//! in one, so the name that comes next is known, and comparing it is all that it costs; nothing is
//! looked up, and every field is read into its place. Whatever is not exactly as it would be written
//! (another order, a field that is not known, text that is long or not plain) makes `None`, and is
//! left to the ordinary way, which also says what is wrong. What this takes, that takes too, and as
//! the same event.

use counterfoil_billing::Event as Billing;
use counterfoil_billing::catalog::Basis;
use counterfoil_billing::invoice::{
    Attempt, BillingReason, Charge, CollectionMethod, Derivation, Finalized, Invoice, InvoiceEvent,
    InvoiceStatus, Line, UsageCharge, UsageReading,
};
use counterfoil_billing::subscription::{SubscriptionEvent, SubscriptionStatus};
use counterfoil_core::{Currency, Decimal12, Id, Kind, Period, Timestamp};
use counterfoil_model::Event;
use std::sync::Arc;

/// The event with the number of a type, if it is one of those and as it would be written.
pub(crate) fn event(type_id: u16, payload: &[u8]) -> Option<Event> {
    let mut from = Bytes(payload);
    let event = match type_id {
        302 => Billing::Subscription(renewed(&mut from)?),
        303 => Billing::Subscription(status_changed(&mut from)?),
        410 => Billing::Invoice(InvoiceEvent::Created(Quick::quick(&mut from)?)),
        412 => Billing::Invoice(InvoiceEvent::Finalized(Quick::quick(&mut from)?)),
        415 => Billing::Invoice(attempted(&mut from)?),
        416 => Billing::Invoice(paid(&mut from)?),
        _ => return None,
    };
    from.0.is_empty().then_some(Event::Billing(event))
}

/// What is left of a payload.
struct Bytes<'a>(&'a [u8]);

/// A value that is read where it comes next.
trait Quick: Sized {
    fn quick(from: &mut Bytes<'_>) -> Option<Self>;
}

impl<'a> Bytes<'a> {
    #[inline(always)]
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    #[inline(always)]
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    /// The number of entries of the map that comes next.
    #[inline(always)]
    fn map(&mut self) -> Option<usize> {
        match self.byte()? {
            marker @ 0x80..=0x8f => Some((marker & 0x0f).into()),
            0xde => Some(u16::from_be_bytes(self.chunk()?).into()),
            _ => None,
        }
    }

    /// Passes over a name, if it comes next.
    #[inline(always)]
    fn name(&mut self, name: &'static str) -> Option<()> {
        let (marker, rest) = self.0.split_first()?;
        let rest = rest.strip_prefix(name.as_bytes())?;
        // Texts of less than 32 bytes have their length in the marker; no name is longer.
        if usize::from(marker ^ 0xa0) != name.len() {
            return None;
        }
        self.0 = rest;
        Some(())
    }

    #[inline(always)]
    fn text(&mut self) -> Option<&'a [u8]> {
        let len = match self.byte()? {
            marker @ 0xa0..=0xbf => marker & 0x1f,
            0xd9 => self.byte()?,
            _ => return None,
        };
        let (text, rest) = self.0.split_at_checked(len.into())?;
        self.0 = rest;
        Some(text)
    }

    /// Passes over the beginning of a variant that has content, if it comes next.
    #[inline(always)]
    fn variant(&mut self, name: &'static str) -> Option<()> {
        let rest = self.0.strip_prefix(&[0x81])?;
        let mut after = Self(rest);
        after.name(name)?;
        self.0 = after.0;
        Some(())
    }
}

impl Quick for bool {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        match from.byte()? {
            0xc2 => Some(false),
            0xc3 => Some(true),
            _ => None,
        }
    }
}

impl Quick for i64 {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        match from.byte()? {
            small @ 0x00..=0x7f => Some(small.into()),
            0xce => Some(u32::from_be_bytes(from.chunk()?).into()),
            marker => wide(marker, from),
        }
    }
}

/// A number of the less frequent forms.
fn wide(marker: u8, from: &mut Bytes<'_>) -> Option<i64> {
    Some(match marker {
        0xcc => u8::from_be_bytes(from.chunk()?).into(),
        0xcd => u16::from_be_bytes(from.chunk()?).into(),
        0xcf => i64::try_from(u64::from_be_bytes(from.chunk()?)).ok()?,
        0xd0 => i8::from_be_bytes(from.chunk()?).into(),
        0xd1 => i16::from_be_bytes(from.chunk()?).into(),
        0xd2 => i32::from_be_bytes(from.chunk()?).into(),
        0xd3 => i64::from_be_bytes(from.chunk()?),
        0xe0..=0xff => i8::from_be_bytes([marker]).into(),
        _ => return None,
    })
}

impl Quick for u64 {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        i64::quick(from)?.try_into().ok()
    }
}

impl Quick for u32 {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        i64::quick(from)?.try_into().ok()
    }
}

impl Quick for Timestamp {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        Self::from_unix(i64::quick(from)?).ok()
    }
}

/// An integer, or else text.
impl Quick for Decimal12 {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        match from.0.first()? {
            0xa0..=0xbf => std::str::from_utf8(from.text()?).ok()?.parse().ok(),
            _ => Some(Self::from_int(i64::quick(from)?)),
        }
    }
}

impl Quick for Currency {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        Self::of_code(from.text()?)
    }
}

impl Quick for String {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        Some(std::str::from_utf8(from.text()?).ok()?.to_owned())
    }
}

impl<K: Kind> Quick for Id<K> {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        Self::plain(from.text()?)
    }
}

impl<T: Quick> Quick for Option<T> {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        match from.0.split_first()? {
            (0xc0, rest) => {
                from.0 = rest;
                Some(None)
            }
            _ => T::quick(from).map(Some),
        }
    }
}

impl<T: Quick> Quick for Arc<T> {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        T::quick(from).map(Self::new)
    }
}

impl<T: Quick> Quick for Vec<T> {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        let marker = from.byte()?;
        if !(0x90..=0x9f).contains(&marker) {
            return None;
        }
        let count = usize::from(marker & 0x0f);
        let mut items = Self::with_capacity(count);
        for _ in 0..count {
            items.push(T::quick(from)?);
        }
        Some(items)
    }
}

impl<A: Quick, B: Quick> Quick for (A, B) {
    #[inline(always)]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        from.0 = from.0.strip_prefix(&[0x92])?;
        Some((A::quick(from)?, B::quick(from)?))
    }
}

/// Reads a field: `is`, one that is always written; `may`, one that is left out where it has its
/// default; `no`, one that has it here (an event that says otherwise is not taken); `yes`, one that is
/// true here.
macro_rules! field {
    ($from:ident $left:ident is $name:ident) => {{
        $left = $left.checked_sub(1)?;
        $from.name(stringify!($name))?;
        Quick::quick($from)?
    }};
    ($from:ident $left:ident may $name:ident) => {
        if $left > 0 && $from.name(stringify!($name)).is_some() {
            $left = $left.wrapping_sub(1);
            Quick::quick($from)?
        } else {
            Default::default()
        }
    };
    ($from:ident $left:ident no $name:ident) => {
        Default::default()
    };
    ($from:ident $left:ident yes $name:ident) => {
        true
    };
}

/// Reads a map of these fields, in their order, and nothing else.
macro_rules! fields {
    ($from:ident => $($type:ident)::+ { $($how:ident $name:ident,)* }) => {{
        let mut left = $from.map()?;
        $(let $name = field!($from left $how $name);)*
        (left == 0).then_some($($type)::+ { $($name,)* })
    }};
}

macro_rules! structs {
    ($($type:ident { $($how:ident $name:ident,)* })*) => {$(
        impl Quick for $type {
            #[inline]
            fn quick(from: &mut Bytes<'_>) -> Option<Self> {
                fields!(from => $type { $($how $name,)* })
            }
        }
    )*};
}

structs! {
    Period { is start, is end, }
    Invoice {
        is id, is seq, is customer, may subscription, is currency, is created, is status,
        is billing_reason, is collection_method, may auto_advance, is period, may due_date,
        may finalizes_at, no last_finalization_error, may effective_at, no revises,
        no latest_revision, no threshold_reason, no corrects, no latest_correction, is charges,
        no number, no discounts,
        no default_tax_rates, no customer_tax_exempt, no total_discount_amounts, no total_taxes,
        no shipping_cost, may subtotal, may total, no starting_balance,
        no ending_balance, may amount_due, no amount_paid, no amount_overpaid,
        no amount_forgiven, no pre_payment_credit_notes_amount,
        no post_payment_credit_notes_amount, no payments, no paid_out_of_band,
        no balance_transactions, no attempt_count, no attempts_made, no next_payment_attempt,
        no open_attempt, no hard_declines, may default_payment_method, no retries_exhausted,
        no overdue, no status_transitions, no collection_paused, no customer_details,
        no description, no metadata,
    }
    UsageCharge {
        is subscription_item, is price, is meter, is period, no discounts, no tax_rates,
        no spared_discounts,
    }
    Line {
        is id, is name, no description, is amount, is quantity, may unit_amount, may price,
        is period, may proration, may subscription_item, may invoice_item, is derivation,
        yes discountable, no discounts, no discount_amounts, no included_discounts,
        no spared_discounts, no tax_rates, no taxes,
    }
    UsageReading { is meter, is quantity, is events, is position, }
    Finalized {
        is customer, is id, is at, is number, is currency, is lines, is subtotal, is total,
        is starting_balance, is ending_balance, no balance_transactions, is amount_due,
        is status, is auto_advance, no total_discount_amounts, no total_taxes, no shipping_cost,
        no customer_tax_exempt, no discounts_used_up, no customer_details,
    }
    Attempt {
        is id, is invoice, is customer, is amount, is currency, is payment_method, is created,
        is retried, no payment, no forgive, no processing_since, no begins_subscription,
    }
}

fn renewed(from: &mut Bytes<'_>) -> Option<SubscriptionEvent> {
    fields!(from => SubscriptionEvent::Renewed {
        is customer, is id, is at, is periods, may trial_ended,
    })
}

fn status_changed(from: &mut Bytes<'_>) -> Option<SubscriptionEvent> {
    fields!(from => SubscriptionEvent::StatusChanged {
        is customer, is id, is at, is status, is incomplete_expires_at,
    })
}

fn attempted(from: &mut Bytes<'_>) -> Option<InvoiceEvent> {
    fields!(from => InvoiceEvent::PaymentAttempted { is attempt, is attempt_count, })
}

fn paid(from: &mut Bytes<'_>) -> Option<InvoiceEvent> {
    fields!(from => InvoiceEvent::Paid {
        is customer, is id, is at, may attempt, is amount, is currency, may recovered,
    })
}

/// Reads variants without content, which are their names.
macro_rules! names {
    ($($type:ident { $($name:literal $variant:ident,)* })*) => {$(
        impl Quick for $type {
            #[inline]
            fn quick(from: &mut Bytes<'_>) -> Option<Self> {
                let name = from.text()?;
                $(if name == $name.as_bytes() {
                    return Some(Self::$variant);
                })*
                None
            }
        }
    )*};
}

names! {
    InvoiceStatus { "draft" Draft, "open" Open, "paid" Paid, }
    BillingReason {
        "subscription_cycle" SubscriptionCycle, "subscription_create" SubscriptionCreate,
        "manual" Manual,
    }
    CollectionMethod {
        "charge_automatically" ChargeAutomatically, "send_invoice" SendInvoice,
    }
    SubscriptionStatus {
        "active" Active, "past_due" PastDue, "trialing" Trialing, "incomplete" Incomplete,
    }
    Basis { "per_unit" PerUnit, "tiered_single" TieredSingle, }
}

impl Quick for Charge {
    #[inline]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        if from.variant("Line").is_some() {
            return Quick::quick(from).map(Self::Line);
        }
        if from.variant("Usage").is_some() {
            return UsageCharge::quick(from).map(Self::from);
        }
        from.variant("Item")?;
        Quick::quick(from).map(Self::Item)
    }
}

impl Quick for Derivation {
    #[inline]
    fn quick(from: &mut Bytes<'_>) -> Option<Self> {
        if from.variant("Rated").is_some() {
            return fields!(from => Self::Rated { is basis, });
        }
        from.variant("Metered")?;
        fields!(from => Self::Metered { is basis, is reading, })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload;
    use crate::{
        Attempt, CreateCustomer, CreateMeter, CreatePrice, CreateProduct, CreateSubscription,
        Engine, EventBatch, Formula, IntervalUnit, Lsn, Outcome, RecurringInput,
    };
    use counterfoil_model::EventType;
    use std::collections::BTreeSet;

    /// What a year of a customer with a licensed and a metered item is made of, one payment of which
    /// fails, with the number of the type and the payload of each event.
    fn events() -> Vec<(u16, Vec<u8>, Event)> {
        let book = Engine::in_memory();
        let mut attempts = 0;
        let mut gateway = |_: &Attempt| {
            attempts += 1;
            let failed = Outcome::Failed(crate::DeclineCode::InsufficientFunds);
            Some(if attempts == 3 { failed } else { Outcome::Succeeded })
        };
        let day = |text: &str| Timestamp::parse(&format!("{text}T00:00:00Z")).unwrap();
        book.advance_to(day("2024-01-31"), &mut gateway).unwrap();
        let product = book.products().create(CreateProduct::new("Größe")).unwrap().id;
        let mut seat = CreatePrice::new(product.clone(), Currency::EUR);
        seat.unit_amount = Some(2_900);
        seat.recurring = Some(RecurringInput::every(IntervalUnit::Month));
        let meter = book.meters().create(CreateMeter::new("tokens", Formula::Sum)).unwrap().id;
        let mut tokens = CreatePrice::new(product, Currency::EUR);
        tokens.unit_amount_decimal = Some("0.0003".parse().unwrap());
        tokens.recurring = Some(RecurringInput::metered(IntervalUnit::Month, meter));
        let prices = [seat, tokens].map(|price| book.prices().create(price).unwrap().id);
        let customer =
            CreateCustomer { payment_method: Some("pm_visa".to_owned()), ..Default::default() };
        let customer = book.customers().create(customer).unwrap().id;
        book.subscriptions().create(CreateSubscription::new(customer.clone(), prices)).unwrap();
        for month in 2..12 {
            let mut batch = EventBatch::new("tokens");
            let (identifier, value) = (format!("event-{month}"), format!("{month}000.5"));
            batch.push(Some(&identifier), Some(customer.as_str()), None, Some(&value)).unwrap();
            book.meter_events().ingest(&batch).unwrap();
            book.advance_to(day(&format!("2024-{month:02}-28")), &mut gateway).unwrap();
        }
        let events = book.events(Lsn(1)).flat_map(|record| record.unwrap().events);
        let stored =
            |event: Event| (event.event_type().id, payload::encode(&event).unwrap(), event);
        events.map(stored).collect()
    }

    fn ordinary(type_id: u16, payload: &[u8]) -> Result<Event, String> {
        payload::decode(EventType::of(type_id).unwrap(), payload)
    }

    /// None is left to the ordinary way unless it is rare: a field that is written elsewhere than it
    /// is expected would be noticed by nothing but the time that it takes.
    #[test]
    fn what_a_book_has_most_of_is_read_as_it_is_written() {
        let mut taken = BTreeSet::new();
        for (type_id, payload, event) in events() {
            assert_eq!(ordinary(type_id, &payload).as_ref(), Ok(&event));
            match super::event(type_id, &payload) {
                Some(quick) => {
                    assert_eq!(quick, event);
                    taken.insert(type_id);
                }
                None => assert!(![302, 303, 410, 412, 415, 416].contains(&type_id), "{event:?}"),
            }
        }
        assert_eq!(Vec::from_iter(taken), [302, 303, 410, 412, 415, 416]);
    }

    #[test]
    fn numbers_are_read_in_every_form() {
        let edges = [0_i64, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000];
        let numbers = edges.iter().flat_map(|edge| [*edge, -edge, -edge - 1]);
        for number in numbers.chain([-0x20, -0x21, -0x8001, i64::MAX, i64::MIN]) {
            let bytes = rmp_serde::to_vec(&number).unwrap();
            let mut from = Bytes(&bytes);
            assert_eq!((i64::quick(&mut from), from.0), (Some(number), &[][..]), "{bytes:02x?}");
            assert_eq!(u64::quick(&mut Bytes(&bytes)), number.try_into().ok());
        }
        let beyond = rmp_serde::to_vec(&u64::MAX).unwrap();
        assert_eq!(i64::quick(&mut Bytes(&beyond)), None);
    }

    /// A payload that is changed anywhere is left to the ordinary way, or read as that reads it.
    #[test]
    fn it_takes_nothing_that_the_ordinary_way_reads_otherwise() {
        let mut seen = BTreeSet::new();
        let mut taken = 0;
        for (type_id, payload, event) in events() {
            // Of each type one early, one late, one that is longer.
            if !seen.insert((type_id, payload.len() / 64)) {
                continue;
            }
            for at in 0..payload.len() {
                assert_eq!(super::event(type_id, &payload[..at]), None, "{event:?} up to {at}");
                for byte in [0, 1, 0x80, 0x90, 0xa0, 0xc0, 0xc2, 0xcf, 0xd9, 0xff] {
                    let mut changed = payload.clone();
                    changed[at] = changed[at].wrapping_add(byte);
                    if let Some(quick) = super::event(type_id, &changed) {
                        assert_eq!(ordinary(type_id, &changed), Ok(quick), "{event:?} at {at}");
                        taken += 1;
                    }
                }
            }
            let longer = [payload.as_slice(), &[0xc0]].concat();
            assert_eq!(super::event(type_id, &longer), None);
        }
        assert!(taken > 100, "{taken} changed payloads were read");
    }
}
