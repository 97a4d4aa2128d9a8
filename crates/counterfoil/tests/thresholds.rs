//! Thresholds are looked at once after each call that takes usage in (rule 6.13, point 63).

use counterfoil_billing::subscription::SubscriptionEvent;
use counterfoil_model::{Event, invariants};

use counterfoil::{
    AnchorChange, Attempt, BillingReason, BillingThresholds, CancelSubscription, CreateCustomer,
    CreateMeter, CreatePrice, CreateProduct, CreateSubscription, Currency, CustomerId, Engine,
    EventBatch, Formula, IntervalUnit, Lsn, MemStorage, Options, Outcome, Policies, PriceId,
    RecurringInput, Settings, SubscriptionId, Timestamp, TrialEnd, UpdateSubscription,
    policy::LateUsage,
};

fn pay_until(book: &Engine, instant: &str) {
    let instant = Timestamp::parse(instant).unwrap();
    book.advance_to(instant, &mut |_: &Attempt| Some(Outcome::Succeeded)).unwrap();
}

fn book_with(settings: Settings) -> (Engine, PriceId) {
    let book = Engine::on(MemStorage::new(), Options::default().settings(settings)).unwrap();
    pay_until(&book, "2025-01-01T00:00:00Z");
    let product = book.products().create(CreateProduct::new("Pro")).unwrap().id;
    let meter = book.meters().create(CreateMeter::new("calls", Formula::Sum)).unwrap().id;
    let mut price = CreatePrice::new(product, Currency::USD);
    price.unit_amount = Some(10);
    price.recurring = Some(RecurringInput::metered(IntervalUnit::Month, meter));
    let price = book.prices().create(price).unwrap().id;
    (book, price)
}

fn subscriber(
    book: &Engine,
    price: &PriceId,
    billing_thresholds: Option<BillingThresholds>,
) -> CustomerId {
    let params = CreateCustomer { payment_method: Some("pm_visa".into()), ..Default::default() };
    let customer = book.customers().create(params).unwrap().id;
    let mut plan = CreateSubscription::new(customer.clone(), [price.clone()]);
    plan.billing_thresholds = billing_thresholds;
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
    let (book, price) = book_with(Settings::default());
    let customers = [Some(1_000), Some(5_000), None]
        .map(|gte| subscriber(&book, &price, gte.map(BillingThresholds::amount_gte)));
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

#[test]
fn usage_that_comes_late_for_a_period_that_a_threshold_ended_is_late() {
    for (late_usage, totals_then, lines_at_the_end) in [
        (LateUsage::Ignore, &[1_000][..], &[20][..]),
        (LateUsage::NextInvoice, &[1_000], &[20, 50]),
        // The first one was paid: what it billed is credited, and all usage billed anew.
        (LateUsage::Correct, &[1_000, 1_050], &[20]),
    ] {
        let policies = Policies { late_usage, ..Policies::default() };
        let (book, price) = book_with(Settings { policies, ..Settings::default() });
        let thresholds = BillingThresholds {
            reset_billing_cycle_anchor: true,
            ..BillingThresholds::amount_gte(1_000)
        };
        let customer = subscriber(&book, &price, Some(thresholds));
        let use_calls = |count: &str, identifier: &str| {
            let mut batch = EventBatch::new("calls");
            batch.push(Some(identifier), Some(customer.as_str()), None, Some(count)).unwrap();
            book.meter_events().ingest(&batch).unwrap();
        };
        pay_until(&book, "2025-01-11T00:00:00Z");
        use_calls("100", "first");
        pay_until(&book, "2025-01-11T00:00:00Z");
        use_calls("5", "late");
        assert_eq!(totals(&book, &customer), totals_then, "{late_usage:?}");
        let invoices = book.invoices().list(&customer).unwrap();
        for view in &invoices {
            let reason = view.invoice.threshold_reason.as_deref();
            assert!(reason.is_some_and(|own| own.began_anew && own.amount_gte == Some(1_000)));
            let told = book.invoices().explain(&view.invoice.id).unwrap().to_string();
            let expected = "usage reached 10.00 USD; new periods began with it";
            assert!(told.contains(expected), "{told}");
        }
        pay_until(&book, "2025-01-12T00:00:00Z");
        use_calls("2", "then");
        pay_until(&book, "2025-02-11T02:00:00Z");
        let last = book.invoices().list(&customer).unwrap().pop().unwrap();
        let mut amounts: Vec<_> = last.lines.iter().map(|line| line.amount).collect();
        amounts.sort_unstable();
        assert_eq!(amounts, lines_at_the_end, "{late_usage:?}");
        assert_eq!(book.check_invariants().unwrap(), Ok(()));
    }
}

#[test]
fn an_invariant_finds_usage_that_would_be_billed_again() {
    let (book, price) = book_with(Settings::default());
    let thresholds = BillingThresholds {
        reset_billing_cycle_anchor: true,
        ..BillingThresholds::amount_gte(1_000)
    };
    let customer = subscriber(&book, &price, Some(thresholds));
    pay_until(&book, "2025-01-11T00:00:00Z");
    let mut batch = EventBatch::new("calls");
    batch.push(Some("first"), Some(customer.as_str()), None, Some("100")).unwrap();
    book.meter_events().ingest(&batch).unwrap();
    let mut state = book.state().unwrap();
    let mut own = book.subscriptions().list(&customer).unwrap().remove(0);
    let at = own.anchor.at;
    // The second in which the threshold was reached was billed.
    assert_eq!(own.items[0].usage_since.take(), at.checked_add_seconds(1).ok());
    invariants::check_all(&state, at).unwrap();
    let event = SubscriptionEvent::Updated { at, subscription: own.into() };
    state.apply(at, &Event::from(event));
    let violation = invariants::check_all(&state, at).unwrap_err();
    assert_eq!(violation.name, "usage_is_billed_once");
}

/// What happens in the very second in which a threshold began new periods.
type Then = fn(&Engine, &SubscriptionId);

#[test]
fn nothing_that_follows_in_the_same_second_bills_it_again() {
    fn update(book: &Engine, id: &SubscriptionId, change: impl FnOnce(&mut UpdateSubscription)) {
        let mut command = UpdateSubscription::new(id.clone());
        change(&mut command);
        book.subscriptions().update(command).unwrap();
    }
    fn anchor(book: &Engine, id: &SubscriptionId) {
        update(book, id, |own| own.billing_cycle_anchor = Some(AnchorChange::Now));
    }
    fn trial(book: &Engine, id: &SubscriptionId) {
        let end = Timestamp::parse("2025-01-20T00:00:00Z").unwrap();
        update(book, id, |own| own.trial_end = Some(TrialEnd::At(end)));
        update(book, id, |own| own.trial_end = Some(TrialEnd::Now));
    }
    let steps: [(Then, i64); 2] = [(anchor, 1_000), (trial, 1_000)];
    for (n, (then, billed)) in steps.into_iter().enumerate() {
        let (book, price) = book_with(Settings::default());
        let thresholds = BillingThresholds {
            reset_billing_cycle_anchor: true,
            ..BillingThresholds::amount_gte(1_000)
        };
        let customer = subscriber(&book, &price, Some(thresholds));
        let id = book.subscriptions().list(&customer).unwrap().remove(0).id;
        pay_until(&book, "2025-01-11T00:00:00Z");
        let mut batch = EventBatch::new("calls");
        batch.push(Some("first"), Some(customer.as_str()), None, Some("100")).unwrap();
        book.meter_events().ingest(&batch).unwrap();
        then(&book, &id);
        assert_eq!(book.check_invariants().unwrap(), Ok(()), "{n}");
        pay_until(&book, "2025-02-12T00:00:00Z");
        let invoices = book.invoices().list(&customer).unwrap();
        let total: i64 = invoices.iter().map(|view| view.invoice.total).sum();
        assert_eq!(total, billed, "{n}");
        let own = book.subscriptions().list(&customer).unwrap().remove(0);
        assert_eq!(own.items[0].usage_since, None, "{n}: a period that begins is whole");
    }
}

#[test]
fn a_subscription_that_ends_in_the_same_second_has_no_other_invoice() {
    let (book, price) = book_with(Settings::default());
    let thresholds = BillingThresholds {
        reset_billing_cycle_anchor: true,
        ..BillingThresholds::amount_gte(1_000)
    };
    let customer = subscriber(&book, &price, Some(thresholds));
    let id = book.subscriptions().list(&customer).unwrap().remove(0).id;
    pay_until(&book, "2025-01-11T00:00:00Z");
    let mut batch = EventBatch::new("calls");
    batch.push(Some("first"), Some(customer.as_str()), None, Some("100")).unwrap();
    book.meter_events().ingest(&batch).unwrap();
    let command = CancelSubscription { id, invoice_now: true, prorate: false };
    book.subscriptions().cancel(command).unwrap();
    assert_eq!(totals(&book, &customer), [1_000]);
}
