//! What happens in a life: each act is a few numbers, so that a case shrinks to few small ones.

mod documents;
mod plans;
mod subscriptions;

use crate::world::World;
use counterfoil::{InvoiceStatus, InvoiceView, Subscription};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

/// One life of all customers of a book.
#[derive(Debug, Clone)]
pub struct Case {
    /// The choices of the book: when it begins, its settings, its policies.
    pub choices: [u8; 8],
    /// What happens, in order.
    pub acts: Vec<Act>,
}

/// Something that somebody does after a while; what it is follows from the numbers.
#[derive(Debug, Clone)]
pub struct Act {
    kind: u8,
    a: u16,
    b: u16,
    c: u16,
    wait_hours: u16,
}

/// Any life.
pub fn case() -> impl Strategy<Value = Case> {
    let wait = prop_oneof![
        2 => Just(0_u16),
        1 => 1_u16..48,
        4 => 48_u16..1_000,
        1 => 1_000_u16..4_000,
    ];
    let act = (any::<u8>(), any::<u16>(), any::<u16>(), any::<u16>(), wait)
        .prop_map(|(kind, a, b, c, wait_hours)| Act { kind, a, b, c, wait_hours });
    (any::<[u8; 8]>(), vec(act, 10..70)).prop_map(|(choices, acts)| Case { choices, acts })
}
pub(crate) fn pick<T: Copy>(list: &[T], number: impl Into<usize>) -> T {
    list[number.into() % list.len()]
}

/// An operation and its parameters.
type Tried = Option<(&'static str, Value)>;

impl Act {
    /// How long it waits, in seconds.
    #[must_use]
    pub fn wait_seconds(&self) -> i64 {
        // Not only at whole hours.
        i64::from(self.wait_hours) * 3_600 + i64::from(self.c % 3) * 17
    }

    /// What is tried; nothing where it is about something that is not there.
    #[must_use]
    pub fn step(&self, world: &World) -> Tried {
        match self.kind % 54 {
            0..=5 => self.subscribe(world),
            6..=9 => self.usage(world),
            10..=11 => self.seats(world),
            12 => self.other_price(world),
            13 => self.added_item(world),
            14 => self.removed_item(world),
            15 => self.cancel_at_period_end(world),
            16 => self.cancel(world),
            17..=18 => self.card(),
            19 => self.balance(),
            20..=21 => self.invoice_item(world),
            22 => self.one_off(world),
            23 => self.pay(world),
            24 => self.void(world),
            25 => self.uncollectible(world),
            26 => self.adjust_usage(world),
            27 => self.cancel_at(world),
            28 => self.pause_collection(world),
            29 => self.resume(world),
            30 => self.discounts(world),
            31 => self.taxes(world),
            32 => self.trial(world),
            33 => self.anchor_now(world),
            34 => self.payment_in_part(world),
            35 => self.revision(world),
            36 => self.exemption(),
            37 => self.credit(world),
            38 => self.credited_line(world),
            39 => self.refund(world),
            40 => self.voided_note(world),
            41..=42 => self.threshold(world),
            43 => self.schedule(world),
            44 => self.mirrored(world),
            45 => self.schedule_end(world),
            46 => self.quote(world),
            47..=48 => self.quote_goes_on(world),
            49 => self.migrate(world),
            50 => self.customer_discount(),
            51 => self.payment_arrives(world),
            52 => self.shipping(world),
            _ => self.added_once(world),
        }
    }

    fn customer(&self) -> String {
        format!("cus_n{:02}", 1 + self.a % 2)
    }

    /// A subscription that has not ended, of all customers.
    fn live(&self, world: &World) -> Option<Subscription> {
        self.live_that(world, |_| true)
    }

    /// The same of those that are as asked for.
    fn live_that(&self, world: &World, is: impl Fn(&Subscription) -> bool) -> Option<Subscription> {
        let mut live = Vec::new();
        for n in 1..=2 {
            let customer = format!("cus_n{n:02}").parse().unwrap();
            let own = world.engine.subscriptions().list(&customer).unwrap();
            live.extend(own.into_iter().filter(|own| !own.is_ended() && is(own)));
        }
        let place = usize::from(self.a) % live.len().max(1);
        live.into_iter().nth(place)
    }

    /// The invoices of the customer, the latest first.
    fn invoices(&self, world: &World) -> Vec<InvoiceView> {
        let customer = self.customer().parse().unwrap();
        let mut invoices = world.engine.invoices().list(&customer).unwrap();
        invoices.reverse();
        invoices
    }

    /// The latest invoice in a state.
    fn invoice(&self, world: &World, status: InvoiceStatus) -> Option<String> {
        let found = self.invoices(world).into_iter().find(|view| view.invoice.status == status)?;
        Some(found.invoice.id.to_string())
    }

    /// How a change of items is prorated.
    fn proration(&self) -> &'static str {
        pick(&["create_prorations", "always_invoice", "none"], self.c / 8)
    }
}
