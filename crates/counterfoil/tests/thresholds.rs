//! Thresholds are looked at once after each call that takes usage in (rule 6.13, point 63).

use counterfoil::{
    Attempt, BillingReason, BillingThresholds, CreateCustomer, CreateMeter, CreatePrice,
    CreateProduct, CreateSubscription, Currency, CustomerId, Engine, EventBatch, Formula,
    IntervalUnit, Lsn, Outcome, PriceId, RecurringInput, Timestamp,
};

fn book() -> (Engine, PriceId) {
    let book = Engine::in_memory();
    let start = Timestamp::parse("2025-01-01T00:00:00Z").unwrap();
    book.advance_to(start, &mut |_: &Attempt| Some(Outcome::Succeeded)).unwrap();
    let product = book.products().create(CreateProduct::new("Pro")).unwrap().id;
    let meter = book.meters().create(CreateMeter::new("calls", Formula::Sum)).unwrap().id;
    let mut price = CreatePrice::new(product, Currency::USD);
    price.unit_amount = Some(10);
    price.recurring = Some(RecurringInput::metered(IntervalUnit::Month, meter));
    let price = book.prices().create(price).unwrap().id;
    (book, price)
}

fn subscriber(book: &Engine, price: &PriceId, amount_gte: Option<i64>) -> CustomerId {
    let params = CreateCustomer { payment_method: Some("pm_visa".into()), ..Default::default() };
    let customer = book.customers().create(params).unwrap().id;
    let mut plan = CreateSubscription::new(customer.clone(), [price.clone()]);
    plan.billing_thresholds = amount_gte.map(BillingThresholds::amount_gte);
    book.subscriptions().create(plan).unwrap();
    customer
}

fn totals(book: &Engine, customer: &CustomerId) -> Vec<i64> {
    let invoices = book.invoices().list(customer).unwrap();
    assert!(
        invoices.iter().all(|i| i.invoice.billing_reason == BillingReason::SubscriptionThreshold)
    );
    invoices.iter().map(|view| view.invoice.total).collect()
}

#[test]
fn a_batch_is_looked_at_once_and_each_customer_for_itself() {
    let (book, price) = book();
    let customers = [Some(1_000), Some(5_000), None].map(|gte| subscriber(&book, &price, gte));
    let mut batch = EventBatch::new("calls");
    for n in 0..300 {
        let customer = customers[n % 3].as_str();
        let identifier = format!("e{n}");
        batch.push(Some(&identifier), Some(customer), None, Some("3")).unwrap();
    }
    let before = book.events(Lsn(1)).count();
    let ingested = book.meter_events().ingest(&batch).unwrap();
    // 300 calls each: one invoice for all of them, where the threshold was passed three times.
    assert_eq!(customers.each_ref().map(|own| totals(&book, own)), [vec![3_000], vec![], vec![]]);
    // The block is a record, and what it reached is another.
    let records: Vec<_> = book.events(Lsn(1)).map(Result::unwrap).collect();
    assert_eq!(records.len(), before + 2);
    assert_eq!(records.last().map(|record| record.lsn), ingested.position.map(Lsn::next));
    // Sent again it is no usage, and reaches nothing.
    book.meter_events().ingest(&batch).unwrap();
    assert_eq!(totals(&book, &customers[0]), [3_000]);
}
