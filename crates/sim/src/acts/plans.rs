//! Schedules of phases, and quotes.

use super::subscriptions::amount_gte;
use super::{Act, Tried, pick};
use crate::world::World;
use serde_json::{Value, json};

const LICENSED: [&str; 4] = ["price_n01", "price_n02", "price_n05", "price_n06"];

impl Act {
    fn number(world: &World, operation: &str) -> usize {
        world.steps.iter().filter(|step| step.operation == operation).count()
    }

    /// Two or three phases, from today on, from a later day, or from one that is over.
    pub(super) fn schedule(&self, world: &World) -> Tried {
        let number = Self::number(world, "subscription_schedule.create");
        if number >= 8 {
            return None;
        }
        let phases: Vec<Value> = (0..2 + self.b % 2)
            .map(|n| {
                let (price, quantity) = (pick(&LICENSED, self.b / 2 + n), 1 + (self.c + n) % 3);
                let interval = pick(&["month", "month", "week", "day"], self.c / 3 + n);
                let count = if interval == "day" { 11 } else { 1 + (self.b / 3 + n) % 3 };
                let mut phase = json!({
                    "items": [{ "price": price, "quantity": quantity }],
                    "duration": { "interval": interval, "interval_count": count },
                    "proration_behavior": self.proration(),
                });
                if (self.b + n).is_multiple_of(4) {
                    let start = pick(&["max_item_period_start", "phase_start"], self.c + n);
                    let end = pick(&["min_item_period_end", "phase_end"], self.b / 5 + n);
                    let data = json!({
                        "product": "prod_n01", "currency": "usd", "unit_amount": 700 + n,
                    });
                    let once = json!([{
                        "price_data": data,
                        "period": { "start": { "type": start }, "end": { "type": end } },
                    }]);
                    phase.as_object_mut().unwrap().insert("add_invoice_items".to_owned(), once);
                }
                if self.a % 7 > 3 {
                    phase["items"].as_array_mut().unwrap().push(json!({ "price": "price_n08" }));
                    phase["billing_thresholds"] = amount_gte(self.c.wrapping_add(60 * n));
                }
                phase
            })
            .collect();
        let mut with = json!({
            "id": format!("sched_n{number:02}"), "customer": self.customer(), "phases": phases,
            "end_behavior": pick(&["release", "cancel", "renew"], self.c),
        });
        if with["end_behavior"] == "renew" {
            let unit = pick(&["month", "month", "week", "day"], self.b);
            let interval = json!({ "interval": unit, "length": 9 + self.b % 3 });
            with.as_object_mut().unwrap().insert("renewal_interval".to_owned(), interval);
        }
        let days = [0, 0, 20, -15][usize::from(self.a / 2 % 4)];
        if days != 0 {
            let start = world.now.checked_add_days(days).unwrap();
            with.as_object_mut().unwrap().insert("start_date".to_owned(), json!(start));
        }
        Some(("subscription_schedule.create", with))
    }

    /// A schedule of a subscription that is there.
    pub(super) fn mirrored(&self, world: &World) -> Tried {
        let number = Self::number(world, "subscription_schedule.create");
        if number >= 8 {
            return None;
        }
        let id = self.live(world)?.id;
        let with = json!({ "id": format!("sched_n{number:02}"), "from_subscription": id });
        Some(("subscription_schedule.create", with))
    }

    pub(super) fn schedule_end(&self, world: &World) -> Tried {
        let number = Self::number(world, "subscription_schedule.create");
        let place = usize::from(self.b).checked_rem(number)?;
        let operation =
            pick(&["subscription_schedule.release", "subscription_schedule.cancel"], self.c);
        Some((operation, json!({ "id": format!("sched_n{place:02}") })))
    }

    pub(super) fn quote(&self, world: &World) -> Tried {
        let number = Self::number(world, "quote.create");
        if number >= 8 {
            return None;
        }
        let data = json!({
            "product": "prod_n01", "currency": "usd", "unit_amount": i32::from(self.b % 3_000) - 100,
        });
        let items = match self.c % 3 {
            0 => json!([{ "price_data": data, "quantity": 1 + self.b % 2 }]),
            1 => json!([{ "price": pick(&LICENSED, self.b), "quantity": 1 + self.b % 3 }]),
            _ => json!([{ "price": pick(&LICENSED, self.b) }, { "price_data": data }]),
        };
        let expires = world.now.checked_add_days(400).unwrap();
        let with = json!({
            "id": format!("qt_n{number:02}"), "customer": self.customer(), "line_items": items,
            "expires_at": expires,
        });
        Some(("quote.create", with))
    }

    /// The latest quote is finalized, accepted or canceled.
    pub(super) fn quote_goes_on(&self, world: &World) -> Tried {
        let latest = Self::number(world, "quote.create").checked_sub(1)?;
        let id = format!("qt_n{latest:02}");
        let of_it = |step: &&crate::Step| {
            step.fails.is_none() && step.with.get("id").is_some_and(|own| *own == json!(id))
        };
        let last = world.steps.iter().rev().find(of_it)?;
        let operation = match last.operation.as_str() {
            "quote.create" => "quote.finalize",
            "quote.finalize" if self.c.is_multiple_of(4) => "quote.cancel",
            "quote.finalize" => "quote.accept",
            _ => return None,
        };
        Some((operation, json!({ "id": id })))
    }
}
