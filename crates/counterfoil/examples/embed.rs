//! A service that embeds billing: a seat plan and metered calls, a year of time, a restart.

use counterfoil::{
    Attempt, CreateCustomer, CreateMeter, CreateMeterEvent, CreatePrice, CreateProduct,
    CreateSubscription, Currency, Engine, Formula, IntervalUnit, Options, Outcome, RecurringInput,
    Request, Timestamp,
};

/// Stands for the adapter to a card network: it is asked once for every attempt.
fn charge(attempt: &Attempt) -> Option<Outcome> {
    println!("  charging {} for {}", attempt.customer, attempt.invoice);
    Some(Outcome::Succeeded)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("counterfoil-embed-{}", std::process::id()));
    let book = Engine::open(&dir, Options::default())?;
    let start: Timestamp = "2024-01-31T09:00:00Z".parse()?;
    book.advance_to(start, &mut charge)?; // in production: book.tick(now, 1000)

    // The catalog: 29.00 a month, and calls at a twentieth of a cent.
    let product = book.products().create(CreateProduct::new("Pro"))?;
    let mut seat = CreatePrice::new(product.id.clone(), Currency::USD);
    seat.unit_amount = Some(2900);
    seat.recurring = Some(RecurringInput::every(IntervalUnit::Month));
    let seat = book.prices().create(seat)?;
    let meter = book.meters().create(CreateMeter::new("api_call", Formula::Sum))?;
    let mut calls = CreatePrice::new(product.id, Currency::USD);
    calls.unit_amount_decimal = Some("0.05".parse()?);
    calls.recurring = Some(RecurringInput::metered(IntervalUnit::Month, meter.id));
    let calls = book.prices().create(calls)?;

    // A customer, created once however often the request is repeated.
    let request = Request::from(CreateCustomer {
        id: Some("cus_ada".parse()?),
        name: Some("Ada".into()),
        payment_method: Some("pm_card_visa".into()),
        ..CreateCustomer::default()
    })
    .idempotency_key("signup-4711");
    book.execute(request.clone())?;
    book.execute(request)?;
    let ada = book.customers().retrieve(&"cus_ada".parse()?)?.id;
    let plan = CreateSubscription::new(ada.clone(), [seat.id, calls.id]);
    let preview = book.dry_run(plan.clone())?;
    println!("subscribing would cause {} events", preview.events.len());
    book.subscriptions().create(plan)?;
    book.advance_to(start, &mut charge)?;

    // Usage: sent twice, counted once. Then a month passes.
    for _ in 0..2 {
        let usage = CreateMeterEvent::new("api_call", &ada, 12_345).identifier("batch-1");
        println!("usage taken: {}", book.meter_events().create(&usage)?.taken);
    }
    book.advance_to("2024-03-01T00:00:00Z".parse()?, &mut charge)?;
    let hash = book.state_hash()?;
    book.close()?;

    // The book is the log: opened again, it says the same.
    let book = Engine::open(&dir, Options::default())?;
    assert_eq!(book.state_hash()?, hash);
    for invoice in book.invoices().list(&ada)? {
        print!("{}", book.invoices().explain(&invoice.invoice.id)?);
    }
    assert!(book.trial_balance(None)?.balanced);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
