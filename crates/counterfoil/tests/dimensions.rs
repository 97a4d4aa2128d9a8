//! Dimensions of usage in a book: each event counts once, in what is read, billed and explained.

mod support;

use counterfoil::{
    Breakdown, CreateCustomer, CreateMeter, CreateMeterEvent, CreatePrice, CreateProduct, Currency,
    Decimal12, Engine, EventBatch, Formula, IntervalUnit, MeterId, Options, Period, RecurringInput,
    Timestamp, verify,
};
use std::collections::BTreeMap;
use support::{at, customer_id, gateway, price_id, subscription};

const MODELS: [&str; 3] = ["large", "small", "tiny"];
const KINDS: [&str; 2] = ["in", "out"];

fn meter() -> MeterId {
    "mtr_tokens".parse().unwrap()
}

/// A meter with two dimensions, and a price for each model but the last.
fn begin(book: &Engine) {
    book.advance_to(at("2025-01-01T00:00:00Z"), &mut gateway).unwrap();
    let product = CreateProduct { id: "prod_1".parse().ok(), ..CreateProduct::new("Tokens") };
    let product = book.products().create(product).unwrap().id;
    let create = CreateMeter {
        id: Some(meter()),
        dimensions: vec!["model".to_owned(), "kind".to_owned()],
        ..CreateMeter::new("tokens", Formula::Sum)
    };
    book.meters().create(create).unwrap();
    for model in &MODELS[..2] {
        let mut price = CreatePrice::new(product.clone(), Currency::USD);
        price.id = Some(price_id(model));
        price.unit_amount = Some(1);
        let metered = RecurringInput::metered(IntervalUnit::Month, meter());
        price.recurring = Some(metered.dimension("model", *model));
        book.prices().create(price).unwrap();
    }
    let ada = CreateCustomer {
        id: Some(customer_id("cus_1")),
        payment_method: Some("pm_good".into()),
        ..CreateCustomer::default()
    };
    book.customers().create(ada).unwrap();
    let mut create = subscription("sub_1", "cus_1", "large");
    create.items.push(price_id("small").into());
    book.subscriptions().create(create).unwrap();
    let mut batch = EventBatch::new("tokens").with_dimensions(["kind", "model"]);
    for n in 0..60_usize {
        let dimensions = [KINDS[n % 2], MODELS[n % 3]];
        let (identifier, value) = (format!("e{n}"), (n + 1).to_string());
        let customer = Some("cus_1");
        batch.push_with(Some(&identifier), customer, None, Some(&value), &dimensions).unwrap();
    }
    assert_eq!(book.meter_events().ingest(&batch).unwrap().taken, 60);
    let one = CreateMeterEvent::new("tokens", &customer_id("cus_1"), 1_000);
    let one = one.identifier("one").dimension("model", "small").dimension("kind", "in");
    assert_eq!(book.meter_events().create(&one).unwrap().taken, 1);
}

#[test]
fn each_event_is_in_one_row_and_on_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let book = Engine::open(dir.path(), Options::default()).unwrap();
    begin(&book);
    let (ever, ada) = (Period::new(Timestamp::MIN, Timestamp::MAX), customer_id("cus_1"));
    let whole = book.meter_events().usage(&meter(), &ada, ever).unwrap();
    for by in [&[][..], &["model"], &["kind"], &["model", "kind"], &["kind", "model"]] {
        let rows = book.meter_events().usage_by(&meter(), &ada, ever, Breakdown::by(by)).unwrap();
        assert_eq!(rows.values().map(|row| row.events).sum::<u64>(), whole.events, "{by:?}");
        let sum: i128 = rows.values().map(|row| row.quantity.trillionths()).sum();
        assert_eq!(sum, whole.quantity.trillionths(), "{by:?}");
    }
    let by = Breakdown::by(&["model"]);
    let rows = book.meter_events().usage_by(&meter(), &ada, ever, by).unwrap();
    let rows: BTreeMap<String, Decimal12> =
        rows.into_iter().map(|(mut values, row)| (values.remove(0), row.quantity)).collect();
    let unknown = Breakdown::by(&["region"]);
    assert!(book.meter_events().usage_by(&meter(), &ada, ever, unknown).is_err());

    // A draft, the invoice, and what is left over are the same rows.
    book.advance_to(at("2025-02-01T00:00:00Z"), &mut gateway).unwrap();
    let id = book.invoices().list(&ada).unwrap().last().unwrap().invoice.id.clone();
    let quantities = |book: &Engine| -> BTreeMap<String, Decimal12> {
        let lines = book.invoices().retrieve(&id).unwrap().lines;
        lines.iter().map(|line| (line.price.clone().unwrap().to_string(), line.quantity)).collect()
    };
    let draft = quantities(&book);
    book.advance_to(at("2025-02-01T01:00:00Z"), &mut gateway).unwrap();
    assert_eq!(quantities(&book), draft);
    let mut left: BTreeMap<String, Decimal12> = draft;
    for unbilled in book.unbilled_usage().unwrap() {
        let sum = left.entry(unbilled.dimensions["model"].clone()).or_default();
        *sum = sum.checked_add(unbilled.quantity).unwrap();
    }
    assert_eq!(left, rows);
    let explained = book.invoices().explain(&id).unwrap().to_string();
    let line = "meter mtr_tokens read 1610 of model small from 21 events";
    assert!(explained.contains(line), "{explained}");

    let hash = book.state_hash().unwrap();
    book.close().unwrap();
    drop(book);
    let verified = verify(dir.path(), &Options::default()).unwrap();
    assert_eq!((verified.findings, verified.state_hash), (vec![], hash));
    assert_eq!(verified.lines_read_again, 2);
}
