//! Bad input: each kind is refused by its code, changes nothing, and names what is at fault.

use counterfoil::{Engine, Entropy, MemStorage, Options};
use counterfoil_scenario::{Document, Failure, Format, run, settings_of};
use std::path::Path;

/// A book with one of everything, at 2025-03-15T12:00:00Z.
const BOOK: &str = r#"
settings: { currency: usd }
steps:
  - at: 2025-01-15T12:00:00Z
    do: product.create
    with: { id: prod_1, name: Pro }
  - do: product.create
    with: { id: prod_old, name: Old }
  - do: meter.create
    with: { id: mtr_1, display_name: Calls, event_name: calls, default_aggregation: { formula: sum } }
  - do: meter.create
    with: { id: mtr_off, display_name: Off, event_name: off, default_aggregation: { formula: sum } }
  - do: meter.deactivate
    with: { id: mtr_off }
  - do: price.create
    with: { id: price_1, product: prod_1, currency: usd, unit_amount: 2900, recurring: { interval: month } }
  - do: price.create
    with: { id: price_eur, product: prod_1, currency: eur, unit_amount: 2900, recurring: { interval: month } }
  - do: price.create
    with: { id: price_week, product: prod_1, currency: usd, unit_amount: 2900, recurring: { interval: week } }
  - do: price.create
    with: { id: price_once, product: prod_1, currency: usd, unit_amount: 2900 }
  - do: price.create
    with: { id: price_old, product: prod_1, currency: usd, unit_amount: 1, recurring: { interval: month } }
  - do: price.update
    with: { id: price_old, active: false }
  - do: price.create
    with: { id: price_calls, product: prod_1, currency: usd, unit_amount: 1, recurring: { interval: month, usage_type: metered, meter: mtr_1 } }
  - do: product.update
    with: { id: prod_old, active: false }
  - do: customer.create
    with: { id: cus_1, payment_method: pm_card_visa }
  - do: subscription.create
    with: { id: sub_1, customer: cus_1, items: [ { id: si_1, price: price_1 }, { price: price_calls } ] }
  - do: subscription.create
    with: { id: sub_ended, customer: cus_1, items: [ { id: si_ended, price: price_1 } ] }
  - do: subscription.cancel
    with: { id: sub_ended }
  - do: invoice.create
    with: { id: in_draft, customer: cus_1 }
  - at: 2025-03-15T12:00:00Z
"#;

/// Steps after [`BOOK`].
fn with_step(step: &str) -> Document {
    Document::parse(&format!("{BOOK}{step}"), Format::Yaml, Path::new(".")).unwrap()
}

fn book(document: &Document) -> Engine {
    let options =
        Options::default().settings(settings_of(document).unwrap()).entropy(Entropy::FIXED);
    Engine::on(MemStorage::new(), options).unwrap()
}

fn failure(document: &Document) -> Option<Failure> {
    run(document, &book(document), &mut ()).unwrap().failure
}

/// Each operation is refused with its code, and what the error says names the thing.
#[track_caller]
fn check(refusals: &[(&str, &str, &str, &str)]) {
    let whole = with_step("");
    let before = book(&whole);
    assert!(run(&whole, &before, &mut ()).unwrap().failure.is_none());
    for (operation, with, code, needle) in refusals {
        let what = format!("{operation} {with}");
        let step = format!("  - do: {operation}\n    with: {with}\n");
        let document = with_step(&format!("{step}    fails: {code}\n"));
        let engine = book(&document);
        let outcome = run(&document, &engine, &mut ()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(outcome.failure.is_none(), "{what}: {}", outcome.failure.unwrap());
        let (hash, expected) = (engine.state_hash().unwrap(), before.state_hash().unwrap());
        assert_eq!(hash, expected, "{what} changed something");
        let text = failure(&with_step(&step)).unwrap().to_string();
        assert!(text.contains(needle), "{what}: {text}");
        assert!(text.starts_with(&format!("step {}, line ", document.steps.len())), "{text}");
    }
}

#[test]
fn ids_that_are_unknown_or_taken() {
    check(&[
        ("product.update", "{ id: prod_x }", "resource_missing", "no such product: prod_x"),
        ("price.update", "{ id: price_x }", "resource_missing", "price_x"),
        ("customer.update", "{ id: cus_x }", "resource_missing", "no such customer: cus_x"),
        ("subscription.update", "{ id: sub_x }", "resource_missing", "sub_x"),
        ("subscription.cancel", "{ id: sub_x }", "resource_missing", "sub_x"),
        ("invoice.pay", "{ id: in_x }", "resource_missing", "no such invoice: in_x"),
        ("invoice.pay", "{ id: '{{invoice sub_1 9}}' }", "resource_missing", "9 of sub_1"),
        ("invoice.pay", "{ id: '{{invoice sub_x 1}}' }", "resource_missing", "sub_x"),
        ("invoiceitem.delete", "{ id: ii_x }", "resource_missing", "ii_x"),
        ("meter.deactivate", "{ id: mtr_x }", "resource_missing", "mtr_x"),
        ("payment_attempt.succeed", "{ id: pa_x }", "resource_missing", "pa_x"),
        (
            "price.create",
            "{ product: prod_x, currency: usd, unit_amount: 1 }",
            "resource_missing",
            "prod_x",
        ),
        (
            "price.create",
            "{ product: prod_1, currency: usd, unit_amount: 1, \
               recurring: { interval: month, usage_type: metered, meter: mtr_x } }",
            "resource_missing",
            "mtr_x",
        ),
        (
            "subscription.create",
            "{ customer: cus_x, items: [ { price: price_1 } ] }",
            "resource_missing",
            "cus_x",
        ),
        (
            "subscription.create",
            "{ customer: cus_1, items: [ { price: price_x } ] }",
            "resource_missing",
            "price_x",
        ),
        (
            "subscription.update",
            "{ id: sub_1, proration_behavior: none, items: [ { id: si_x, quantity: 2 } ] }",
            "resource_missing",
            "si_x",
        ),
        ("customer.create", "{ id: cus_1 }", "resource_already_exists", "cus_1"),
        ("product.create", "{ id: prod_1, name: X }", "resource_already_exists", "prod_1"),
        (
            "meter.create",
            "{ display_name: X, event_name: calls, default_aggregation: { formula: sum } }",
            "parameter_invalid",
            "\"calls\" belongs to mtr_1",
        ),
        (
            "subscription.create",
            "{ customer: cus_1, items: [ { id: si_1, price: price_1 } ] }",
            "resource_already_exists",
            "si_1",
        ),
    ]);
}

#[test]
fn parameters_that_are_missing_or_of_the_wrong_type_or_form() {
    let long = "x".repeat(256);
    let id = format!("{{ id: {long} }}");
    let key = format!("{{ metadata: {{ {}: v }} }}", "k".repeat(41));
    let value = format!("{{ metadata: {{ k: {} }} }}", "v".repeat(501));
    let keys: Vec<_> = (0..51).map(|n| format!("k{n}: v")).collect();
    let keys = format!("{{ metadata: {{ {} }} }}", keys.join(", "));
    let items = format!("{{ customer: cus_1, items: [ {} ] }}", "{ price: price_1 }, ".repeat(21));
    check(&[
        ("product.create", "{ id: prod_2 }", "parameter_missing", "name is required"),
        ("subscription.create", "{ customer: cus_1 }", "parameter_missing", "items is required"),
        (
            "price.create",
            "{ product: prod_1, currency: usd, billing_scheme: tiered, tiers_mode: volume, \
               tiers: [ { unit_amount: 1 } ] }",
            "parameter_missing",
            "tiers[0].up_to",
        ),
        ("product.create", "{ name: 5 }", "parameter_invalid", "name: expected"),
        ("product.create", "{ name: [ a ] }", "parameter_invalid", "name: expected"),
        ("customer.create", "{ balance: much }", "parameter_invalid", "balance"),
        ("customer.create", "{ balance: 1.5 }", "parameter_invalid", "balance"),
        ("customer.create", "{ id: '' }", "parameter_invalid", "1 to 255 bytes"),
        ("customer.create", "{ id: 'a b' }", "parameter_invalid", "white space"),
        ("customer.create", &id, "parameter_invalid", "1 to 255 bytes"),
        ("customer.create", "{ invoice_prefix: ab }", "parameter_invalid", "3 to 12"),
        ("customer.create", &key, "parameter_invalid", "40"),
        ("customer.create", &value, "parameter_invalid", "500"),
        ("customer.create", &keys, "parameter_invalid", "50"),
        ("customer.create", "{ metadata: { 'a[b]': v } }", "parameter_invalid", "a[b]"),
        ("subscription.create", &items, "parameter_invalid", "20"),
        ("subscription.create", "{ customer: cus_1, items: [] }", "parameter_invalid", "1 to 20"),
        (
            "subscription.create",
            "{ customer: cus_1, items: [ { price: price_1, quantity: -1 } ] }",
            "parameter_invalid",
            "quantity",
        ),
        (
            "subscription.create",
            "{ customer: cus_1, items: [ { price: price_once } ] }",
            "parameter_invalid",
            "price_once",
        ),
        (
            "subscription.create",
            "{ customer: cus_1, items: [ { price: price_1 }, { price: price_week } ] }",
            "parameter_invalid",
            "items",
        ),
        (
            "subscription.create",
            "{ customer: cus_1, trial_period_days: 731, items: [ { price: price_1 } ] }",
            "parameter_invalid",
            "730",
        ),
        (
            "subscription.create",
            "{ customer: cus_1, billing_cycle_anchor: 2025-03-01T00:00:00Z, \
               items: [ { price: price_1 } ] }",
            "parameter_invalid",
            "billing_cycle_anchor",
        ),
        (
            "subscription.create",
            "{ customer: cus_1, billing_cycle_anchor: soon, items: [ { price: price_1 } ] }",
            "parameter_invalid",
            "billing_cycle_anchor",
        ),
        (
            "subscription.create",
            "{ customer: cus_1, billing_cycle_anchor_config: { day_of_month: 32 }, \
               items: [ { price: price_1 } ] }",
            "parameter_invalid",
            "day_of_month",
        ),
        ("invoiceitem.create", "{ customer: cus_1 }", "parameter_missing", "amount"),
    ]);
}

#[test]
fn prices_that_are_none() {
    let bad = |fields: &str| format!("{{ product: prod_1, currency: usd, {fields} }}");
    let tiers = |tiers: &str| {
        bad(&format!("billing_scheme: tiered, tiers_mode: graduated, tiers: [ {tiers} ]"))
    };
    let table = [
        (bad("nickname: x"), "parameter_missing", "unit_amount"),
        (bad("unit_amount: -1"), "parameter_invalid", "unit_amount"),
        (bad("unit_amount: 1, unit_amount_decimal: '1'"), "parameter_invalid", "unit_amount"),
        (bad("unit_amount_decimal: '0.0000000000001'"), "parameter_invalid", "12"),
        (bad("unit_amount_decimal: 1e3"), "parameter_invalid", "unit_amount_decimal"),
        (bad("unit_amount: 1, recurring: { interval: hour }"), "parameter_invalid", "hour"),
        (
            bad("unit_amount: 1, recurring: { interval: year, interval_count: 4 }"),
            "parameter_invalid",
            "3",
        ),
        (
            bad("unit_amount: 1, recurring: { interval: month, interval_count: 0 }"),
            "parameter_invalid",
            "interval_count",
        ),
        (
            bad("unit_amount: 1, recurring: { interval: month, usage_type: metered }"),
            "parameter_missing",
            "meter",
        ),
        (
            bad("unit_amount: 1, transform_quantity: { divide_by: 0, round: up }"),
            "parameter_invalid",
            "divide_by",
        ),
        (tiers("{ up_to: 5, unit_amount: 1 }"), "parameter_invalid", "inf"),
        (
            tiers("{ up_to: 5, unit_amount: 1 }, { up_to: 5, unit_amount: 1 }"),
            "parameter_invalid",
            "tiers",
        ),
        (tiers("{ up_to: inf }"), "parameter_invalid", "tiers[0]"),
    ];
    let rows: Vec<_> = table
        .iter()
        .map(|(with, code, needle)| ("price.create", with.as_str(), *code, *needle))
        .collect();
    check(&rows);
}

#[test]
fn currencies() {
    check(&[
        (
            "price.create",
            "{ product: prod_1, currency: xyz, unit_amount: 1 }",
            "invalid_currency",
            "\"xyz\"",
        ),
        (
            "price.create",
            "{ product: prod_1, currency: USD, unit_amount: 1 }",
            "invalid_currency",
            "\"USD\"",
        ),
        (
            "subscription.create",
            "{ customer: cus_1, items: [ { price: price_1 }, { price: price_eur } ] }",
            "currency_mismatch",
            "eur",
        ),
        (
            "invoiceitem.create",
            "{ customer: cus_1, invoice: in_draft, amount: 1, currency: eur }",
            "currency_mismatch",
            "eur",
        ),
    ]);
}

#[test]
fn states_that_forbid_it() {
    check(&[
        ("subscription.cancel", "{ id: sub_ended }", "state_unsupported", "canceled"),
        (
            "subscription.update",
            "{ id: sub_ended, cancel_at_period_end: true }",
            "state_unsupported",
            "canceled",
        ),
        ("invoice.pay", "{ id: in_draft }", "state_unsupported", "draft"),
        ("invoice.send", "{ id: in_draft }", "state_unsupported", "draft"),
        ("invoice.void", "{ id: in_draft }", "state_unsupported", "draft"),
        ("invoice.mark_uncollectible", "{ id: in_draft }", "state_unsupported", "draft"),
        ("invoice.void", "{ id: '{{invoice sub_1 1}}' }", "state_unsupported", "paid"),
        ("invoice.finalize", "{ id: '{{invoice sub_1 1}}' }", "invoice_not_editable", "paid"),
        (
            "invoiceitem.create",
            "{ customer: cus_1, invoice: '{{invoice sub_1 1}}', amount: 1 }",
            "invoice_not_editable",
            "paid",
        ),
        ("invoice.finalize", "{ id: in_draft }", "invoice_no_customer_line_items", "cus_1"),
        (
            "price.create",
            "{ product: prod_old, currency: usd, unit_amount: 1 }",
            "product_inactive",
            "prod_old",
        ),
        (
            "subscription.create",
            "{ customer: cus_1, items: [ { price: price_old } ] }",
            "price_inactive",
            "price_old",
        ),
    ]);
}

#[test]
fn amounts_out_of_range() {
    check(&[
        (
            "price.create",
            "{ product: prod_1, currency: usd, unit_amount: 9999999999999999 }",
            "amount_too_large",
            "999999999999999",
        ),
        (
            "invoiceitem.create",
            "{ customer: cus_1, amount: 9999999999999999 }",
            "amount_too_large",
            "999999999999999",
        ),
        (
            "customer_balance_transaction.create",
            "{ customer: cus_1, currency: usd, amount: -9999999999999999 }",
            "amount_too_large",
            "999999999999999",
        ),
        (
            "invoiceitem.create",
            "{ customer: cus_1, amount: 99999999999999999999 }",
            "parameter_invalid",
            "amount",
        ),
    ]);
}

#[test]
fn meter_events() {
    let event = |fields: &str| format!("{{ event_name: calls, identifier: e-1, {fields} }}");
    let value =
        |value: &str| event(&format!("payload: {{ stripe_customer_id: cus_1, value: '{value}' }}"));
    let at = |time: &str| {
        event(&format!("timestamp: {time}, payload: {{ stripe_customer_id: cus_1, value: '1' }}"))
    };
    let named = |name: &str| {
        let payload = "payload: { stripe_customer_id: cus_1, value: '1' }";
        format!("{{ event_name: {name}, identifier: e-1, {payload} }}")
    };
    let table = [
        (named("x"), "no_meter", "e-1"),
        (named("off"), "archived_meter", "e-1"),
        (event("payload: { value: '1' }"), "meter_event_no_customer_defined", "e-1"),
        (
            event("payload: { stripe_customer_id: cus_x, value: '1' }"),
            "meter_event_customer_not_found",
            "e-1",
        ),
        (event("payload: { stripe_customer_id: cus_1 }"), "meter_event_invalid_value", "e-1"),
        (value(""), "meter_event_invalid_value", "e-1"),
        (value("1e3"), "meter_event_invalid_value", "digits"),
        (value("+1"), "meter_event_invalid_value", "digits"),
        (value("NaN"), "meter_event_invalid_value", "digits"),
        (value("1."), "meter_event_invalid_value", "digits"),
        (value("1234567890123456"), "meter_event_value_too_many_digits", "15"),
        (value("0.1234567890123"), "meter_event_value_too_many_digits", "12"),
        (at("1739016000"), "", ""),
        (at("1739015999"), "timestamp_too_far_in_past", "e-1"),
        (at("1742040301"), "timestamp_in_future", "e-1"),
        (at("yesterday"), "parameter_invalid", "timestamp"),
        (event("payload: { stripe_customer_id: cus_1, value: 1 }"), "parameter_invalid", "value"),
        (event("payload: []"), "parameter_invalid", "payload"),
    ];
    let rows: Vec<_> = table
        .iter()
        .filter(|(_, code, _)| !code.is_empty())
        .map(|(with, code, needle)| ("meter_event.create", with.as_str(), *code, *needle))
        .collect();
    assert_eq!(rows.len(), table.len() - 1);
    check(&rows);
    // The one at the limit is taken.
    let step = format!("  - do: meter_event.create\n    with: {}\n", at("1739016000"));
    assert!(failure(&with_step(&step)).is_none());
}

#[test]
fn what_was_announced_must_come() {
    for (step, needle) in [
        (
            "  - do: customer.create\n    with: { id: cus_2 }\n    fails: resource_missing\n",
            "customer.create should have been refused with resource_missing, and was done",
        ),
        (
            "  - do: customer.create\n    with: { id: cus_1 }\n    fails: resource_missing\n",
            "was refused with resource_already_exists",
        ),
        ("  - expect: { invoices: [] }\n", "the report is not as expected"),
        ("  - expect: { customers: [ { id: '{{invoice sub_x 1}}' } ] }\n", "sub_x"),
    ] {
        let document = with_step(step);
        let outcome = run(&document, &book(&document), &mut ()).unwrap();
        let failure = outcome.failure.unwrap();
        assert!(failure.to_string().contains(needle), "{failure}");
        assert!(!failure.problem.is_unreadable());
        let customers = outcome.report.unwrap().customers.len();
        assert!(customers >= 1, "the report of what went before is there");
    }
}
