//! The worked examples of prices, E1 to E9 of section 21, as far as they are arithmetic on one
//! price: commands as a caller writes them go in, lines come out.

use counterfoil_billing::Policies;
use counterfoil_billing::catalog::{
    CreatePrice, CreateProduct, Price, Product, TierLines, decide_create_price,
    decide_create_product, rate,
};
use counterfoil_core::{Currency, Decimal12, Timestamp};
use serde_json::{Value, json};

fn product() -> Product {
    let at = Timestamp::parse("2025-01-01T00:00:00Z").unwrap();
    let event = decide_create_product(&CreateProduct::new("API"), "prod_1".parse().unwrap(), at);
    Product::clone(event.unwrap().product())
}

fn price(currency: &str, with: &Value) -> Price {
    let mut command = json!({ "product": "prod_1", "currency": currency });
    command.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    let command: CreatePrice = serde_json::from_value(command).unwrap();
    let product = product();
    let event =
        decide_create_price(&command, "price_1".parse().unwrap(), &product, product.created);
    Price::clone(event.unwrap().price())
}

fn tiered(mode: &str, tiers: &Value) -> Value {
    json!({ "billing_scheme": "tiered", "tiers_mode": mode, "tiers": tiers })
}

fn amounts(price: &Price, quantity: &str, tier_lines: TierLines) -> Vec<i64> {
    let quantity: Decimal12 = quantity.parse().unwrap();
    let policies = Policies { tier_lines, ..Policies::default() };
    let lines = rate(price, price.currency, quantity, &policies).unwrap();
    lines.iter().map(|line| line.amount_minor).collect()
}

fn total(price: &Price, quantity: i64) -> i64 {
    amounts(price, &quantity.to_string(), TierLines::PerTier).iter().sum()
}

#[track_caller]
fn check(example: &str, price: &Price, expected: &[(i64, i64)]) {
    for (quantity, amount) in expected {
        assert_eq!(total(price, *quantity), *amount, "{example}, quantity {quantity}");
    }
}

#[test]
fn e1_a_decimal_unit_amount_is_rounded_once() {
    check("E1 usd", &price("usd", &json!({ "unit_amount_decimal": "0.05" })), &[(30, 2)]);
    check("E1 jpy", &price("jpy", &json!({ "unit_amount_decimal": "0.5" })), &[(3, 2)]);
}

fn three_tiers(mode: &str) -> Price {
    let tiers = json!([
        { "up_to": 5, "unit_amount": 700 },
        { "up_to": 10, "unit_amount": 650 },
        { "up_to": "inf", "unit_amount": 600 },
    ]);
    price("gbp", &tiered(mode, &tiers))
}

#[test]
fn e2_graduated() {
    let expected = [(1, 700), (5, 3_500), (6, 4_150), (20, 12_750), (25, 15_750)];
    check("E2", &three_tiers("graduated"), &expected);
}

#[test]
fn e3_volume() {
    let expected = [(1, 700), (5, 3_500), (6, 3_900), (20, 12_000), (25, 15_000)];
    check("E3", &three_tiers("volume"), &expected);
}

#[test]
fn e4_flat_amounts() {
    let tiers = json!([
        { "up_to": 5, "unit_amount": 500, "flat_amount": 1000 },
        { "up_to": 10, "unit_amount": 400, "flat_amount": 2000 },
        { "up_to": 15, "unit_amount": 300, "flat_amount": 3000 },
        { "up_to": 20, "unit_amount": 200, "flat_amount": 4000 },
        { "up_to": "inf", "unit_amount": 100, "flat_amount": 5000 },
    ]);
    check("E4 volume", &price("usd", &tiered("volume", &tiers)), &[(12, 6_600), (0, 1_000)]);
    check("E4 graduated", &price("usd", &tiered("graduated", &tiers)), &[(12, 11_100), (0, 1_000)]);
}

fn package(currency: &str, unit_amount: i64, divide_by: u64, round: &str) -> Price {
    let transform = json!({ "divide_by": divide_by, "round": round });
    price(currency, &json!({ "unit_amount": unit_amount, "transform_quantity": transform }))
}

#[test]
fn e5_a_package_rounded_up() {
    let expected = [(1, 1_000), (3, 1_000), (5, 1_000), (6, 2_000), (7, 2_000)];
    check("E5", &package("usd", 1_000, 5, "up"), &expected);
}

#[test]
fn e6_packages_rounded_down_and_up() {
    let metered = json!({
        "unit_amount": 10,
        "transform_quantity": { "divide_by": 1000, "round": "down" },
        "recurring": { "interval": "month", "usage_type": "metered", "meter": "mtr_1" },
    });
    check("E6 down", &price("usd", &metered), &[(999, 0), (1_000, 10), (2_999, 20)]);
    check("E6 up", &package("usd", 4, 100, "up"), &[(150, 8)]);
}

#[test]
fn e7_one_line_per_tier_or_one_for_the_whole() {
    let tiers = json!([
        { "up_to": 10, "unit_amount_decimal": "0.25" },
        { "up_to": "inf", "unit_amount_decimal": "0.25" },
    ]);
    let price = price("usd", &tiered("graduated", &tiers));
    assert_eq!(amounts(&price, "13", TierLines::PerTier), [3, 1]);
    assert_eq!(amounts(&price, "13", TierLines::Single), [3]);
}

fn threshold_tiers(mode: &str) -> Price {
    let tiers =
        json!([{ "up_to": 10_000, "unit_amount": 50 }, { "up_to": "inf", "unit_amount": 40 }]);
    price("usd", &tiered(mode, &tiers))
}

#[test]
fn e8_tiers_persist_over_threshold_invoices() {
    let price = threshold_tiers("graduated");
    for (from, to) in [(0, 200), (9_800, 10_000), (10_000, 10_250), (10_250, 10_500)] {
        let threshold = total(&price, to) - total(&price, from);
        assert_eq!(threshold, 10_000, "E8, units {from} to {to}");
    }
    assert!(total(&price, 199) < 10_000);
    assert!(total(&price, 10_249) - total(&price, 10_000) < 10_000);
}

#[test]
fn e9_volume_tiers_re_rate_what_was_billed() {
    let price = threshold_tiers("volume");
    let billed = total(&price, 10_000);
    check("E9", &price, &[(10_000, 500_000), (10_001, 400_040), (25_000, 1_000_000)]);
    assert_eq!(total(&price, 10_001) - billed, -99_960);
    assert_eq!(total(&price, 25_000) - billed, 500_000);
    assert!(total(&price, 12_500) - billed < 500_000, "no invoice at 12,500");
}

#[test]
fn e28_the_two_prices_of_one_period() {
    // The arithmetic alone: which usage goes to which price is the subscription's business.
    let (a, b) = (package("usd", 10, 100, "up"), package("usd", 15, 100, "up"));
    assert_eq!(total(&a, 1_000) + total(&b, 500), 175);
    assert_eq!(total(&b, 500), 75);
}

/// 18,059,974 context tokens at 3 USD and 245,896 generated tokens at 15 USD per million.
#[test]
fn tokens_at_a_price_per_million() {
    for (unit_amount, tokens, amount) in [("0.0003", 18_059_974, 5_418), ("0.0015", 245_896, 369)] {
        let price = price("usd", &json!({ "unit_amount_decimal": unit_amount }));
        check("tokens", &price, &[(tokens, amount)]);
    }
}

#[test]
fn a_currency_option_prices_in_its_own_amounts() {
    let with =
        json!({ "unit_amount": 2900, "currency_options": { "eur": { "unit_amount": 2700 } } });
    let price = price("usd", &with);
    let eur: Currency = "eur".parse().unwrap();
    let lines = rate(&price, eur, Decimal12::from_int(2), &Policies::default()).unwrap();
    assert_eq!(lines[0].amount_minor, 5_400);
    assert_eq!(total(&price, 2), 5_800);
    let refusal = rate(&price, "jpy".parse().unwrap(), Decimal12::ONE, &Policies::default());
    assert_eq!(
        refusal.unwrap_err().to_string(),
        "price price_1: expected usd, got jpy",
        "a currency without an option is refused by name"
    );
}
