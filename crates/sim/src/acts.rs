//! What happens in a life: each act is a few numbers, so that a case shrinks to few small ones.

use crate::world::{Step, World};
use counterfoil::{InvoiceStatus, Subscription, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

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

fn pick<T: Copy>(list: &[T], number: impl Into<usize>) -> T {
    list[number.into() % list.len()]
}

const STARTS: [&str; 8] = [
    "2024-01-31T00:00:00Z",
    "2023-12-31T23:59:59Z",
    "2024-02-29T12:00:00Z",
    "2025-01-30T01:02:03Z",
    "2022-10-31T00:00:01Z",
    "2023-03-29T22:30:00Z",
    "2025-01-01T00:00:00Z",
    "2024-08-15T08:15:00Z",
];

impl Case {
    /// When the book begins: mostly on days that not every month has.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        Timestamp::parse(pick(&STARTS, self.choices[0])).unwrap()
    }

    /// The settings of the book, with a value of every policy.
    #[must_use]
    pub fn settings(&self) -> Value {
        let then = pick(&["past_due", "canceled", "unpaid"], self.choices[1]);
        let invoice = pick(&["open", "uncollectible"], self.choices[2]);
        let days: &[u32] = pick(&[&[3, 5, 7], &[1], &[2, 2, 2, 2]], self.choices[3]);
        json!({
            "retries": { "after_days": days, "then": then, "invoice": invoice },
            "policies": {
                "tier_lines": pick(&["per_tier", "single"], self.choices[4]),
                "late_usage": pick(&["ignore", "next_invoice"], self.choices[5]),
                "rounding": pick(&["half_away_from_zero", "half_even", "half_up"], self.choices[6]),
                "tax_rounding": pick(&["line", "invoice"], self.choices[7]),
                "proration_basis": pick(&["second", "day"], self.choices[4] / 2),
                "day_count": pick(&["exclusive", "inclusive"], self.choices[5] / 2),
                "quantity_lines": pick(&["full", "added"], self.choices[6] / 3),
                "stub_denominator": pick(&["aligned", "imagined"], self.choices[7] / 2),
            },
        })
    }
}

/// The catalog and the customers that every case begins with.
pub fn beginning() -> Vec<(&'static str, Value)> {
    let mut steps = vec![
        ("product.create", json!({ "id": "prod_n01", "name": "Pro" })),
        ("product.create", json!({ "id": "prod_n02", "name": "Extra" })),
        (
            "meter.create",
            json!({
                "id": "mtr_n01", "display_name": "Calls", "event_name": "calls",
                "default_aggregation": { "formula": "sum" },
            }),
        ),
    ];
    let recurring =
        |interval: &str, count: u8| json!({ "interval": interval, "interval_count": count });
    let metered = || json!({ "interval": "month", "usage_type": "metered", "meter": "mtr_n01" });
    let tiers = json!([
        { "up_to": 3, "unit_amount": 700, "flat_amount": 100 },
        { "up_to": "inf", "unit_amount_decimal": "333.3" },
    ]);
    for (id, product, more) in [
        (
            "price_n01",
            "prod_n01",
            json!({ "unit_amount": 2_900, "recurring": recurring("month", 1) }),
        ),
        (
            "price_n02",
            "prod_n01",
            json!({ "unit_amount": 9_999, "recurring": recurring("month", 1) }),
        ),
        (
            "price_n03",
            "prod_n02",
            json!({ "unit_amount": 29_000, "recurring": recurring("year", 1) }),
        ),
        ("price_n04", "prod_n02", json!({ "unit_amount": 700, "recurring": recurring("week", 1) })),
        (
            "price_n05",
            "prod_n01",
            json!({ "unit_amount": 8_001, "recurring": recurring("month", 3) }),
        ),
        (
            "price_n06",
            "prod_n02",
            json!({
                "billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": tiers.clone(),
                "recurring": recurring("month", 1),
            }),
        ),
        (
            "price_n07",
            "prod_n02",
            json!({
                "billing_scheme": "tiered", "tiers_mode": "volume", "tiers": tiers,
                "recurring": metered(),
            }),
        ),
        ("price_n08", "prod_n02", json!({ "unit_amount_decimal": "0.35", "recurring": metered() })),
        ("price_n09", "prod_n01", json!({ "unit_amount": 41, "recurring": recurring("day", 1) })),
    ] {
        let mut with = json!({ "id": id, "product": product, "currency": "usd" });
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        steps.push(("price.create", with));
    }
    for (id, benefit) in [
        ("coupon_n01", json!({ "percent_off": "12.5", "duration": "forever" })),
        ("coupon_n02", json!({ "amount_off": 700, "currency": "usd", "duration": "once" })),
        (
            "coupon_n03",
            json!({ "percent_off": 50, "duration": "repeating", "duration_in_months": 3 }),
        ),
    ] {
        let mut with = json!({ "id": id });
        with.as_object_mut().unwrap().extend(benefit.as_object().unwrap().clone());
        steps.push(("coupon.create", with));
    }
    for (id, percentage, inclusive) in [("txr_n01", "7.25", false), ("txr_n02", "20", true)] {
        steps.push((
            "tax_rate.create",
            json!({
                "id": id, "display_name": "Tax", "percentage": percentage, "inclusive": inclusive,
            }),
        ));
    }
    for (n, card) in [(1, "pm_card_visa"), (2, "pm_card_visa")] {
        let id = format!("cus_n{n:02}");
        steps.push(("customer.create", json!({ "id": id, "payment_method": card })));
    }
    steps
}

/// Prices that may be in one subscription.
const PLANS: [&[&str]; 8] = [
    &["price_n01"],
    &["price_n01", "price_n08"],
    &["price_n01", "price_n03"],
    &["price_n04"],
    &["price_n06", "price_n07"],
    &["price_n01", "price_n05"],
    &["price_n08"],
    &["price_n02", "price_n07"],
];
const DAILY: &[&str] = &["price_n09", "price_n01"];
const CARDS: [&str; 4] = [
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_chargeCustomerFail",
    "pm_card_chargeDeclinedInsufficientFunds",
];

const COUPONS: [&str; 3] = ["coupon_n01", "coupon_n02", "coupon_n03"];
const TAX_RATES: [&str; 2] = ["txr_n01", "txr_n02"];

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
        match self.kind % 36 {
            0..=3 => self.subscribe(world),
            4..=6 => self.usage(world),
            7 => self.seats(world),
            8 => self.other_price(world),
            9 => self.added_item(world),
            10 => self.removed_item(world),
            11 => self.cancel_at_period_end(world),
            12 => self.cancel(world),
            13..=14 => self.card(),
            15 => self.balance(),
            16..=17 => self.invoice_item(world),
            18 => self.one_off(world),
            19 => self.pay(world),
            20 => self.void(world),
            21 => self.uncollectible(world),
            22 => self.adjust_usage(world),
            23 => self.cancel_at(world),
            24 => self.pause_collection(world),
            25 => self.resume(world),
            26 => self.discounts(world),
            27 => self.taxes(world),
            28 => self.trial(world),
            29 => self.anchor_now(world),
            30 => self.payment_in_part(world),
            31 => self.revision(world),
            32 => self.exemption(),
            33 => self.credit(world),
            _ => self.subscribe(world),
        }
    }

    fn customer(&self) -> String {
        format!("cus_n{:02}", 1 + self.a % 2)
    }

    /// A subscription that has not ended, of all customers.
    fn live(&self, world: &World) -> Option<Subscription> {
        let mut live = Vec::new();
        for n in 1..=2 {
            let customer = format!("cus_n{n:02}").parse().unwrap();
            let own = world.engine.subscriptions().list(&customer).unwrap();
            live.extend(own.into_iter().filter(|subscription| !subscription.is_ended()));
        }
        let place = usize::from(self.a) % live.len().max(1);
        live.into_iter().nth(place)
    }

    /// An invoice in a state, the latest first.
    fn invoice(&self, world: &World, status: InvoiceStatus) -> Option<String> {
        let customer = self.customer().parse().unwrap();
        let invoices = world.engine.invoices().list(&customer).unwrap();
        let found = invoices.into_iter().rev().find(|view| view.invoice.status == status)?;
        Some(found.invoice.id.to_string())
    }

    fn subscribe(&self, world: &World) -> Tried {
        let number = world.steps.iter().filter(|s| s.operation == "subscription.create").count();
        if number >= 20 {
            return None;
        }
        // Daily bills are rare: one life of them has as many records as thirty others.
        let plan = if self.b % 40 == 39 { DAILY } else { pick(&PLANS, self.b) };
        let items: Vec<Value> = plan
            .iter()
            .enumerate()
            .map(|(n, price)| {
                let id = format!("si_n{:02}", number * 4 + n);
                let licensed = !matches!(*price, "price_n07" | "price_n08");
                match licensed {
                    true => json!({ "id": id, "price": price, "quantity": 1 + self.c % 5 }),
                    false => json!({ "id": id, "price": price }),
                }
            })
            .collect();
        let mut with = json!({
            "id": format!("sub_n{number:02}"), "customer": self.customer(), "items": items,
        });
        let fields = with.as_object_mut().unwrap();
        if self.b.is_multiple_of(5) {
            let coupon = pick(&COUPONS, self.c / 3);
            fields.insert("discounts".to_owned(), json!([{ "coupon": coupon }]));
        }
        if self.b % 4 == 1 {
            fields.insert("default_tax_rates".to_owned(), json!([pick(&TAX_RATES, self.c / 5)]));
        }
        if self.a % 5 < 2 {
            fields.insert("billing_mode".to_owned(), json!({ "type": "classic" }));
        }
        match self.c % 7 {
            0 => drop(fields.insert("trial_period_days".to_owned(), json!(1 + self.b % 40))),
            1 => {
                let anchor = world.now.checked_add_days(i64::from(1 + self.b % 27)).unwrap();
                fields.insert("billing_cycle_anchor".to_owned(), json!(anchor));
                if self.a.is_multiple_of(3) {
                    fields.insert("proration_behavior".to_owned(), json!("none"));
                }
            }
            2 => {
                fields.insert("collection_method".to_owned(), json!("send_invoice"));
                fields.insert("days_until_due".to_owned(), json!(self.b % 30));
            }
            _ => {}
        }
        Some(("subscription.create", with))
    }

    fn usage(&self, world: &World) -> Tried {
        let back = i64::from(self.c % 30) * 86_400;
        let when = world.now.checked_add_seconds(-back).unwrap();
        let (value, identifier) = (self.b % 400, format!("e{}", world.steps.len()));
        Some((
            "meter_event.create",
            json!({
                "event_name": "calls", "identifier": identifier, "timestamp": when,
                "payload": { "stripe_customer_id": self.customer(), "value": value.to_string() },
            }),
        ))
    }

    fn adjust_usage(&self, world: &World) -> Tried {
        let usage = |step: &&Step| step.operation == "meter_event.create";
        let last = world.steps.iter().rev().find(usage)?;
        let identifier = last.with["identifier"].clone();
        Some((
            "meter_event_adjustment.create",
            json!({ "event_name": "calls", "type": "cancel", "cancel": { "identifier": identifier } }),
        ))
    }

    /// How a change of items is prorated.
    fn proration(&self) -> &'static str {
        pick(&["create_prorations", "always_invoice", "none"], self.c / 8)
    }

    fn change(&self, subscription: &Subscription, items: &Value) -> Tried {
        let with = json!({
            "id": subscription.id, "items": items, "proration_behavior": self.proration(),
        });
        Some(("subscription.update", with))
    }

    fn seats(&self, world: &World) -> Tried {
        let subscription = self.live(world)?;
        let item = subscription.items.iter().find(|item| item.quantity.is_some())?;
        self.change(&subscription, &json!([{ "id": item.id, "quantity": self.b % 9 }]))
    }

    fn other_price(&self, world: &World) -> Tried {
        let subscription = self.live(world)?;
        let place = usize::from(self.b) % subscription.items.len();
        let item = &subscription.items[place];
        let to = match item.price.as_str() {
            "price_n01" => "price_n02",
            "price_n02" => "price_n01",
            _ => return None,
        };
        let quantity = 1 + self.c % 4;
        let items = json!([{ "id": item.id, "price": to, "quantity": quantity }]);
        self.change(&subscription, &items)
    }

    fn added_item(&self, world: &World) -> Tried {
        let subscription = self.live(world)?;
        let price = pick(&["price_n01", "price_n03", "price_n06", "price_n08"], self.b);
        if subscription.items.iter().any(|item| item.price.as_str() == price) {
            return None;
        }
        self.change(&subscription, &json!([{ "price": price }]))
    }

    fn removed_item(&self, world: &World) -> Tried {
        let subscription = self.live(world)?;
        if subscription.items.len() < 2 {
            return None;
        }
        let place = usize::from(self.b) % subscription.items.len();
        let item = &subscription.items[place];
        self.change(&subscription, &json!([{ "id": item.id, "deleted": true }]))
    }

    fn cancel_at_period_end(&self, world: &World) -> Tried {
        let id = self.live(world)?.id;
        let yes = self.b.is_multiple_of(2);
        Some(("subscription.update", json!({ "id": id, "cancel_at_period_end": yes })))
    }

    fn cancel(&self, world: &World) -> Tried {
        let id = self.live(world)?.id;
        let (invoice_now, prorate) = (self.b.is_multiple_of(2), self.c.is_multiple_of(2));
        let with = json!({ "id": id, "invoice_now": invoice_now, "prorate": prorate });
        Some(("subscription.cancel", with))
    }

    fn card(&self) -> Tried {
        let card = pick(&CARDS, self.b);
        Some(("customer.update", json!({ "id": self.customer(), "payment_method": card })))
    }

    fn balance(&self) -> Tried {
        let amount = i32::from(self.b % 4_000) - 3_000;
        let with = json!({ "customer": self.customer(), "amount": amount, "currency": "usd" });
        Some(("customer_balance_transaction.create", with))
    }

    fn invoice_item(&self, world: &World) -> Tried {
        let mut with = json!({
            "customer": self.customer(), "amount": i32::from(self.b % 3_000) - 800,
        });
        let subscription = self.live(world).filter(|own| own.customer.as_str() == self.customer());
        if let (Some(own), true) = (subscription, self.c.is_multiple_of(2)) {
            with.as_object_mut().unwrap().insert("subscription".to_owned(), json!(own.id));
        }
        Some(("invoiceitem.create", with))
    }

    fn one_off(&self, world: &World) -> Tried {
        if self.b.is_multiple_of(2)
            && let Some(id) = self.invoice(world, InvoiceStatus::Draft)
        {
            return Some(("invoice.finalize", json!({ "id": id })));
        }
        let auto = self.c.is_multiple_of(3);
        let with = json!({
            "customer": self.customer(), "auto_advance": auto,
            "pending_invoice_items_behavior": "include",
        });
        Some(("invoice.create", with))
    }

    fn pay(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Open)?;
        let elsewhere = self.b.is_multiple_of(2);
        Some(("invoice.pay", json!({ "id": id, "paid_out_of_band": elsewhere })))
    }

    fn void(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Open)?;
        Some(("invoice.void", json!({ "id": id })))
    }

    fn uncollectible(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Open)?;
        Some(("invoice.mark_uncollectible", json!({ "id": id })))
    }

    fn update(&self, world: &World, field: &str, value: &Value) -> Tried {
        let id = self.live(world)?.id;
        Some(("subscription.update", json!({ "id": id, field: value })))
    }

    fn cancel_at(&self, world: &World) -> Tried {
        let when = world.now.checked_add_days(i64::from(1 + self.b % 90)).unwrap();
        let cleared = self.c.is_multiple_of(3);
        let value = if cleared { Value::Null } else { json!(when) };
        let id = self.live(world)?.id;
        let with = json!({ "id": id, "cancel_at": value, "proration_behavior": self.proration() });
        Some(("subscription.update", with))
    }

    fn pause_collection(&self, world: &World) -> Tried {
        let behavior = pick(&["keep_as_draft", "void", "mark_uncollectible"], self.b);
        let until = world.now.checked_add_days(i64::from(1 + self.c % 60)).unwrap();
        let value = match self.c % 3 {
            0 => Value::Null,
            1 => json!({ "behavior": behavior }),
            _ => json!({ "behavior": behavior, "resumes_at": until }),
        };
        self.update(world, "pause_collection", &value)
    }

    fn resume(&self, world: &World) -> Tried {
        let id = self.live(world)?.id;
        let anchor = pick(&["now", "unchanged"], self.b);
        Some(("subscription.resume", json!({ "id": id, "billing_cycle_anchor": anchor })))
    }

    fn discounts(&self, world: &World) -> Tried {
        let value = match self.b % 4 {
            0 => Value::Null,
            n => json!([{ "coupon": pick(&COUPONS, n) }]),
        };
        self.update(world, "discounts", &value)
    }

    fn taxes(&self, world: &World) -> Tried {
        let value = match self.b % 3 {
            0 => Value::Null,
            n => json!([pick(&TAX_RATES, n)]),
        };
        self.update(world, "default_tax_rates", &value)
    }

    fn trial(&self, world: &World) -> Tried {
        let until = world.now.checked_add_days(i64::from(1 + self.b % 45)).unwrap();
        let value = if self.c.is_multiple_of(3) { json!("now") } else { json!(until) };
        let id = self.live(world)?.id;
        let with = json!({ "id": id, "trial_end": value, "proration_behavior": self.proration() });
        Some(("subscription.update", with))
    }

    fn anchor_now(&self, world: &World) -> Tried {
        let id = self.live(world)?.id;
        let behavior = self.proration();
        let with =
            json!({ "id": id, "billing_cycle_anchor": "now", "proration_behavior": behavior });
        Some(("subscription.update", with))
    }

    fn payment_in_part(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Open)?;
        let record = format!("record-{}", world.steps.len());
        let with = json!({ "id": id, "amount": 1 + self.b % 3_000, "payment_record": record });
        Some(("invoice.attach_payment", with))
    }

    fn revision(&self, world: &World) -> Tried {
        let id = self.invoice(world, InvoiceStatus::Open)?;
        let from = json!({ "action": "revision", "invoice": id });
        Some(("invoice.create", json!({ "customer": self.customer(), "from_invoice": from })))
    }

    fn exemption(&self) -> Tried {
        let exempt = pick(&["none", "exempt", "reverse"], self.b);
        Some(("customer.update", json!({ "id": self.customer(), "tax_exempt": exempt })))
    }

    /// A note of an amount: what is open of an invoice, or what was paid, to the balance.
    fn credit(&self, world: &World) -> Tried {
        let amount = i64::from(1 + self.b % 2_500);
        if let Some(id) = self.invoice(world, InvoiceStatus::Open) {
            return Some(("credit_note.create", json!({ "invoice": id, "amount": amount })));
        }
        let id = self.invoice(world, InvoiceStatus::Paid)?;
        let with = json!({ "invoice": id, "amount": amount, "credit_amount": amount });
        Some(("credit_note.create", with))
    }
}
