//! What every life begins with: the settings of its book, its catalog and its customers.

use crate::acts::{Case, pick};
use counterfoil::Timestamp;
use serde_json::{Value, json};

/// Clocks that books and customers are billed by.
pub(crate) const ZONES: [&str; 6] =
    ["UTC", "UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "+05:30"];

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
                "late_usage": pick(&["ignore", "next_invoice", "correct"], self.choices[5]),
                "time_zone": pick(&ZONES, self.choices[2] / 2),
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
