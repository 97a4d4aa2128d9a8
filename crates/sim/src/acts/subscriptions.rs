//! Subscribing, changing, pausing and leaving.

use super::{Act, Tried, pick};
use crate::world::World;
use counterfoil::{BillingModeKind, Subscription, SubscriptionStatus};
use serde_json::{Value, json};

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

const COUPONS: [&str; 3] = ["coupon_n01", "coupon_n02", "coupon_n03"];
const TAX_RATES: [&str; 2] = ["txr_n01", "txr_n02"];

/// A threshold; one of three begins new periods.
pub(super) fn amount_gte(number: u16) -> Value {
    json!({
        "amount_gte": 500 + u32::from(number % 60) * 100,
        "reset_billing_cycle_anchor": (number / 60).is_multiple_of(3),
    })
}

impl Act {
    pub(super) fn subscribe(&self, world: &World) -> Tried {
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
        if self.b % 7 == 3 {
            let behavior = pick(&["default_incomplete", "error_if_incomplete"], self.a);
            fields.insert("payment_behavior".to_owned(), json!(behavior));
        }
        if self.c % 11 == 3 {
            let unit = pick(&["day", "week", "month"], self.b / 7);
            let interval = json!({ "interval": unit, "interval_count": 1 + self.b % 12 });
            fields.insert("pending_invoice_item_interval".to_owned(), interval);
        }
        if self.b % 6 == 5 {
            fields.insert("billing_thresholds".to_owned(), amount_gte(self.c));
        }
        if self.a % 5 < 2 {
            fields.insert("billing_mode".to_owned(), json!({ "type": "classic" }));
        }
        match self.c % 7 {
            0 => {
                fields.insert("trial_period_days".to_owned(), json!(1 + self.b % 40));
                let end = pick(&["create_invoice", "pause", "cancel"], self.b / 2);
                let behavior = json!({ "missing_payment_method": end });
                fields.insert("trial_settings".to_owned(), json!({ "end_behavior": behavior }));
            }
            1 => {
                let anchor = world.now.checked_add_days(i64::from(1 + self.b % 27)).unwrap();
                fields.insert("billing_cycle_anchor".to_owned(), json!(anchor));
                if self.a.is_multiple_of(3) {
                    fields.insert("proration_behavior".to_owned(), json!("none"));
                }
            }
            3 if self.b.is_multiple_of(3) => {
                let start = world.now.checked_add_days(-i64::from(1 + self.b % 50)).unwrap();
                fields.insert("backdate_start_date".to_owned(), json!(start));
            }
            4 if self.b.is_multiple_of(3) => {
                let config = json!({ "day_of_month": 1 + self.b % 31 });
                fields.insert("billing_cycle_anchor_config".to_owned(), config);
            }
            2 => {
                fields.insert("collection_method".to_owned(), json!("send_invoice"));
                fields.insert("days_until_due".to_owned(), json!(self.b % 30));
            }
            _ => {}
        }
        Some(("subscription.create", with))
    }

    /// Changes items; now and then only if that is paid for.
    fn change(&self, subscription: &Subscription, items: &Value) -> Tried {
        let mut with = json!({
            "id": subscription.id, "items": items, "proration_behavior": self.proration(),
        });
        if self.c % 8 == 7 {
            let fields = with.as_object_mut().unwrap();
            let behavior = pick(&["pending_if_incomplete", "error_if_incomplete"], self.a / 2);
            fields.insert("payment_behavior".to_owned(), json!(behavior));
            fields.insert("proration_behavior".to_owned(), json!("always_invoice"));
        }
        Some(("subscription.update", with))
    }

    pub(super) fn seats(&self, world: &World) -> Tried {
        let subscription = self.live(world)?;
        let item = subscription.items.iter().find(|item| item.quantity.is_some())?;
        self.change(&subscription, &json!([{ "id": item.id, "quantity": self.b % 9 }]))
    }

    pub(super) fn other_price(&self, world: &World) -> Tried {
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

    pub(super) fn added_item(&self, world: &World) -> Tried {
        let subscription = self.live(world)?;
        let price = pick(&["price_n01", "price_n03", "price_n06", "price_n08"], self.b);
        if subscription.items.iter().any(|item| item.price.as_str() == price) {
            return None;
        }
        self.change(&subscription, &json!([{ "price": price }]))
    }

    pub(super) fn removed_item(&self, world: &World) -> Tried {
        let subscription = self.live(world)?;
        if subscription.items.len() < 2 {
            return None;
        }
        let place = usize::from(self.b) % subscription.items.len();
        let item = &subscription.items[place];
        self.change(&subscription, &json!([{ "id": item.id, "deleted": true }]))
    }

    pub(super) fn cancel_at_period_end(&self, world: &World) -> Tried {
        let id = self.live(world)?.id;
        let yes = self.b.is_multiple_of(2);
        Some(("subscription.update", json!({ "id": id, "cancel_at_period_end": yes })))
    }

    pub(super) fn cancel(&self, world: &World) -> Tried {
        let id = self.live(world)?.id;
        let (invoice_now, prorate) = (self.b.is_multiple_of(2), self.c.is_multiple_of(2));
        let with = json!({ "id": id, "invoice_now": invoice_now, "prorate": prorate });
        Some(("subscription.cancel", with))
    }

    fn update(&self, world: &World, field: &str, value: &Value) -> Tried {
        let id = self.live(world)?.id;
        Some(("subscription.update", json!({ "id": id, field: value })))
    }

    pub(super) fn cancel_at(&self, world: &World) -> Tried {
        let when = world.now.checked_add_days(i64::from(1 + self.b % 90)).unwrap();
        let cleared = self.c.is_multiple_of(3);
        let value = if cleared { Value::Null } else { json!(when) };
        let id = self.live(world)?.id;
        let with = json!({ "id": id, "cancel_at": value, "proration_behavior": self.proration() });
        Some(("subscription.update", with))
    }

    pub(super) fn pause_collection(&self, world: &World) -> Tried {
        let behavior = pick(&["keep_as_draft", "void", "mark_uncollectible"], self.b);
        let until = world.now.checked_add_days(i64::from(1 + self.c % 60)).unwrap();
        let value = match self.c % 3 {
            0 => Value::Null,
            1 => json!({ "behavior": behavior }),
            _ => json!({ "behavior": behavior, "resumes_at": until }),
        };
        self.update(world, "pause_collection", &value)
    }

    pub(super) fn resume(&self, world: &World) -> Tried {
        let id = self.live_that(world, |own| own.status == SubscriptionStatus::Paused)?.id;
        let anchor = pick(&["now", "unchanged"], self.b);
        Some(("subscription.resume", json!({ "id": id, "billing_cycle_anchor": anchor })))
    }

    pub(super) fn discounts(&self, world: &World) -> Tried {
        let value = match self.b % 4 {
            0 => Value::Null,
            n => json!([{ "coupon": pick(&COUPONS, n) }]),
        };
        self.update(world, "discounts", &value)
    }

    pub(super) fn taxes(&self, world: &World) -> Tried {
        let value = match self.b % 3 {
            0 => Value::Null,
            n => json!([pick(&TAX_RATES, n)]),
        };
        self.update(world, "default_tax_rates", &value)
    }

    pub(super) fn trial(&self, world: &World) -> Tried {
        let until = world.now.checked_add_days(i64::from(1 + self.b % 45)).unwrap();
        let value = if self.c.is_multiple_of(3) { json!("now") } else { json!(until) };
        let id = self.live(world)?.id;
        let with = json!({ "id": id, "trial_end": value, "proration_behavior": self.proration() });
        Some(("subscription.update", with))
    }

    pub(super) fn anchor_now(&self, world: &World) -> Tried {
        let id = self.live(world)?.id;
        let behavior = self.proration();
        let with =
            json!({ "id": id, "billing_cycle_anchor": "now", "proration_behavior": behavior });
        Some(("subscription.update", with))
    }

    pub(super) fn threshold(&self, world: &World) -> Tried {
        let value = if self.b.is_multiple_of(4) { Value::Null } else { amount_gte(self.c) };
        self.update(world, "billing_thresholds", &value)
    }

    pub(super) fn migrate(&self, world: &World) -> Tried {
        let classic = BillingModeKind::Classic;
        let id = self.live_that(world, |own| own.billing_mode.kind == classic)?.id;
        let with = json!({ "id": id, "billing_mode": { "type": "flexible" } });
        Some(("subscription.migrate", with))
    }

    /// Something that is charged once, beside what recurs.
    pub(super) fn added_once(&self, world: &World) -> Tried {
        let data = json!({
            "product": "prod_n02", "currency": "usd", "unit_amount": 100 + self.b % 900,
        });
        let items = json!([{ "price_data": data, "quantity": 1 + self.c % 3 }]);
        self.update(world, "add_invoice_items", &items)
    }
}
