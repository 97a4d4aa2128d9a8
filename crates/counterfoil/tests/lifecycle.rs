//! How subscriptions begin, pause and go on, as far as only events and handles show it.

mod support;

use counterfoil::{
    CancelSubscription, CreateMeterEvent, CreateSubscription, DeclineCode, DeleteCustomer, Engine,
    Event, EventTime, InvoiceId, Lsn, MemStorage, Options, Outcome, Policies, Settings,
    Subscription, Timestamp, policy::LateUsage,
};
use counterfoil_billing::subscription::SubscriptionEvent;
use serde_json::{Value, json};
use support::{assert_sound, at, book, customer, customer_id, day, gateway, happened};

fn create(book: &Engine, params: Value) -> Result<Subscription, counterfoil::Error> {
    let params: CreateSubscription = serde_json::from_value(params).unwrap();
    book.subscriptions().create(params)
}

/// When the ends of trials were announced, and for when.
fn notices(book: &Engine) -> Vec<(Timestamp, Timestamp)> {
    let notice = |event: &Event| match event {
        Event::Billing(counterfoil_billing::Event::Subscription(
            SubscriptionEvent::TrialWillEnd { at, trial_end, .. },
        )) => Some((*at, *trial_end)),
        _ => None,
    };
    happened(book, Lsn::ZERO).iter().filter_map(notice).collect()
}

#[test]
fn the_end_of_a_trial_is_announced_three_days_before_or_at_once() {
    let hour = |n: i64| day(0).checked_add_seconds(n * 3_600).unwrap();
    for (trial_end, canceled, expected) in [
        (day(14), None, Some(day(11))),
        (day(3), None, Some(day(0))),
        (hour(72 + 1), None, Some(hour(1))),
        (hour(5), None, Some(day(0))),
        // Once it has ended there is nothing to announce.
        (day(14), Some(day(10)), None),
        (day(14), Some(day(12)), Some(day(11))),
    ] {
        let book = book();
        book.customers().create(customer("cus_1", "pm_good")).unwrap();
        let items = json!([{ "price": "price_month" }]);
        let params =
            json!({ "id": "sub_1", "customer": "cus_1", "trial_end": trial_end, "items": items });
        create(&book, params).unwrap();
        if let Some(at) = canceled {
            book.advance_to(at, &mut gateway).unwrap();
            let id = "sub_1".parse().unwrap();
            let cancel = CancelSubscription { id, invoice_now: false, prorate: false };
            book.subscriptions().cancel(cancel).unwrap();
        }
        book.advance_to(day(40), &mut gateway).unwrap();
        let expected: Vec<_> = expected.map(|at| (at, trial_end)).into_iter().collect();
        assert_eq!(notices(&book), expected, "{trial_end}");
        assert_sound(&book);
    }
}

/// A book with a subscription that waits for its first payment.
fn waiting() -> (Engine, Subscription) {
    let book = book();
    book.customers().create(customer("cus_1", "pm_good")).unwrap();
    let params = json!({
        "id": "sub_1", "customer": "cus_1", "payment_behavior": "error_if_incomplete",
        "description": "if it is paid for",
        "items": [{ "id": "si_1", "price": "price_month" }],
        "add_invoice_items": [{
            "price_data": { "product": "prod_pro", "currency": "usd", "unit_amount": 500 },
        }],
    });
    let subscription = create(&book, params).unwrap();
    (book, subscription)
}

fn resolve(book: &Engine, outcome: Outcome) {
    let attempts = book.payment_attempts().open().unwrap();
    let [attempt] = attempts.as_slice() else { panic!("{attempts:?}") };
    let command = match outcome {
        Outcome::Succeeded => json!({ "payment_attempt.succeed": { "id": attempt.id } }),
        Outcome::SucceededInPart(amount) => {
            json!({ "payment_attempt.succeed": { "id": attempt.id, "amount": amount } })
        }
        Outcome::Processing => json!({ "payment_attempt.process": { "id": attempt.id } }),
        Outcome::Failed(_) => json!({ "payment_attempt.fail": { "id": attempt.id } }),
    };
    book.execute(serde_json::from_value::<counterfoil::Command>(command).unwrap()).unwrap();
}

#[test]
fn point_68_nobody_sees_a_creation_until_it_is_paid_for() {
    let (book, given) = waiting();
    assert_eq!(given.status.to_string(), "incomplete");
    assert_eq!(given.description.as_deref(), Some("if it is paid for"));
    let unseen = |book: &Engine| {
        assert!(book.subscriptions().list(&customer_id("cus_1")).unwrap().is_empty());
        assert!(book.subscriptions().retrieve(&"sub_1".parse().unwrap()).is_err());
        assert!(book.invoices().list(&customer_id("cus_1")).unwrap().is_empty());
        assert!(book.invoice_items().list(&customer_id("cus_1")).unwrap().is_empty());
        assert!(book.customers().retrieve(&customer_id("cus_1")).unwrap().balances.is_empty());
    };
    unseen(&book);
    assert_sound(&book);
    // Its ids are taken, and its customer cannot go away.
    let again = json!({ "id": "sub_1", "customer": "cus_1", "items": [{ "price": "price_week" }] });
    assert_eq!(
        create(&book, again.clone()).unwrap_err().code().unwrap().as_str(),
        "resource_already_exists"
    );
    let delete = DeleteCustomer { id: customer_id("cus_1") };
    assert_eq!(
        book.customers().delete(delete).unwrap_err().code().unwrap().as_str(),
        "state_unsupported"
    );
    resolve(&book, Outcome::Failed(DeclineCode::GenericDecline));
    unseen(&book);
    assert_sound(&book);
    // The ids are free again, and no number was used up.
    create(&book, again).unwrap();
    book.advance_to(day(0), &mut gateway).unwrap();
    let invoices = book.invoices().list(&customer_id("cus_1")).unwrap();
    assert_eq!(invoices.len(), 1);
    assert!(invoices[0].invoice.number.as_deref().unwrap().ends_with("-0001"));
    assert_sound(&book);
}

#[test]
fn point_68_an_outcome_that_comes_later_commits_what_was_asked_for() {
    let (book, _) = waiting();
    book.advance_to(day(2), &mut counterfoil::NoPayments).unwrap();
    resolve(&book, Outcome::Succeeded);
    assert_sound(&book);
    let subscription = book.subscriptions().retrieve(&"sub_1".parse().unwrap()).unwrap();
    assert_eq!(
        (subscription.status.to_string().as_str(), subscription.created),
        ("active", day(0))
    );
    assert_eq!(subscription.description.as_deref(), Some("if it is paid for"));
    let invoices = book.invoices().list(&customer_id("cus_1")).unwrap();
    let [view] = invoices.as_slice() else { panic!("{invoices:?}") };
    let invoice = &view.invoice;
    assert_eq!(
        (
            invoice.status.to_string().as_str(),
            invoice.total,
            invoice.amount_paid,
            invoice.attempt_count
        ),
        ("paid", 3_400, 3_400, 1),
    );
    assert!(book.payment_attempts().open().unwrap().is_empty());
}

/// What was collected is never lost: it goes to the balance, and the invoice takes it from there.
#[test]
fn point_68_a_balance_that_changed_meanwhile_is_settled_from_the_balance() {
    for (change, status, paid, ends_at) in [
        // Credit came: 3400 were collected, and 3400 − 1000 are due.
        (-1_000_i64, "paid", 0, -1_000),
        // A debt came: 3400 + 1000 are due, of which 3400 are there; the rest is charged.
        (1_000, "paid", 1_000, 0),
    ] {
        let (book, _) = waiting();
        let balance = json!({ "customer": "cus_1", "amount": change, "currency": "usd" });
        book.customer_balance_transactions()
            .create(serde_json::from_value(balance).unwrap())
            .unwrap();
        resolve(&book, Outcome::Succeeded);
        book.advance_to(day(0), &mut gateway).unwrap();
        assert_sound(&book);
        let invoices = book.invoices().list(&customer_id("cus_1")).unwrap();
        let invoice = &invoices[0].invoice;
        assert_eq!(
            (invoice.status.to_string().as_str(), invoice.amount_paid, invoice.total),
            (status, paid, 3_400),
        );
        let customer = book.customers().retrieve(&customer_id("cus_1")).unwrap();
        assert_eq!(customer.balance(counterfoil::Currency::USD), ends_at);
    }
}

/// A payment that is on its way commits the creation; what it brings days later, or does not, is for
/// the invoice as it is by then (rule 6.2).
#[test]
fn point_68_a_payment_that_takes_days_commits_what_was_asked_for() {
    for (change, comes, status, paid, balance) in [
        (0_i64, true, "paid", 3_400, 0),
        (0, false, "void", 0, 0),
        // 2400 are due, and 3400 come.
        (-1_000, true, "paid", 2_400, -1_000),
        (-1_000, false, "void", 0, -1_000),
        // 4400 are due: what came stands.
        (1_000, true, "open", 3_400, 0),
        (1_000, false, "void", 0, 1_000),
        // The balance paid for all of it.
        (-5_000, true, "paid", 0, -5_000),
        (-5_000, false, "paid", 0, -1_600),
    ] {
        let (book, _) = waiting();
        if change != 0 {
            let balance = json!({ "customer": "cus_1", "amount": change, "currency": "usd" });
            let balance = serde_json::from_value(balance).unwrap();
            book.customer_balance_transactions().create(balance).unwrap();
        }
        resolve(&book, Outcome::Processing);
        let active = || {
            let subscription = book.subscriptions().retrieve(&"sub_1".parse().unwrap()).unwrap();
            assert_eq!(subscription.status.to_string(), "active", "{change} {comes}");
            assert_sound(&book);
        };
        active();
        book.advance_to(day(4), &mut counterfoil::NoPayments).unwrap();
        let declined = Outcome::Failed(DeclineCode::InsufficientFunds);
        resolve(&book, if comes { Outcome::Succeeded } else { declined });
        active();
        let invoices = book.invoices().list(&customer_id("cus_1")).unwrap();
        let invoice = &invoices[0].invoice;
        let shown = (invoice.status.to_string(), invoice.amount_paid);
        assert_eq!(shown, (status.to_owned(), paid), "{change} {comes}");
        let customer = book.customers().retrieve(&customer_id("cus_1")).unwrap();
        assert_eq!(customer.balance(counterfoil::Currency::USD), balance, "{change} {comes}");
    }
}

#[test]
fn a_creation_that_waits_is_in_the_book_that_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options::default().entropy(counterfoil::Entropy::FIXED);
    let book = Engine::open(folder.path(), options()).unwrap();
    support::begin(&book);
    book.customers().create(customer("cus_1", "pm_good")).unwrap();
    let params = json!({
        "id": "sub_1", "customer": "cus_1", "payment_behavior": "error_if_incomplete",
        "metadata": { "contract": "9" }, "items": [{ "price": "price_month" }],
    });
    create(&book, params).unwrap();
    let hash = book.state_hash().unwrap();
    book.snapshot().unwrap();
    book.close().unwrap();
    drop(book);
    let book = Engine::open_existing(folder.path(), options()).unwrap();
    assert_eq!(book.state_hash().unwrap(), hash);
    resolve(&book, Outcome::Succeeded);
    let subscription = book.subscriptions().retrieve(&"sub_1".parse().unwrap()).unwrap();
    assert_eq!(subscription.metadata.entries().get("contract").map(String::as_str), Some("9"));
    let first: Option<&InvoiceId> = subscription.first_invoice.as_ref();
    assert!(book.invoices().retrieve(first.unwrap()).is_ok());
    assert_sound(&book);
    assert!(book.now().unwrap() >= Some(at(support::START)));
}

/// Found by review: without prorations nothing was charged for a period that was made longer in the
/// very second in which it had begun, although what it lacked was free then.
#[test]
fn new_periods_without_prorations_cost_the_same_in_the_first_second_and_after_it() {
    for (first, expected) in [("none", vec![2_900]), ("create_prorations", vec![935, 2_900])] {
        for seconds in [0, 1] {
            let book = book();
            book.customers().create(customer("cus_1", "pm_good")).unwrap();
            let params = json!({
                "id": "sub_1", "customer": "cus_1", "items": [{ "price": "price_month" }],
                "billing_mode": { "type": "classic" }, "proration_behavior": first,
                "billing_cycle_anchor": day(10),
            });
            create(&book, params).unwrap();
            let then = day(0).checked_add_seconds(seconds).unwrap();
            book.advance_to(then, &mut gateway).unwrap();
            let update = json!({
                "id": "sub_1", "billing_cycle_anchor": "now", "proration_behavior": "none",
            });
            let update = serde_json::from_value(update).unwrap();
            book.subscriptions().update(update).unwrap();
            let invoices = book.invoices().list(&customer_id("cus_1")).unwrap();
            let totals: Vec<_> = invoices.iter().map(|view| view.invoice.total).collect();
            assert_eq!(totals, expected, "{first}, {seconds} s later");
            assert_sound(&book);
        }
    }
}

/// Found by review: late usage had the discounts that its item had when anything had been recorded last,
/// not those of the instant at which it was billed.
#[test]
fn late_usage_has_the_discounts_of_the_instant_at_which_it_is_billed() {
    let policies = Policies { late_usage: LateUsage::NextInvoice, ..Policies::default() };
    let settings = Settings { policies, ..Settings::default() };
    for workers in [0, 1] {
        let options = Options::default().settings(settings.clone()).workers(workers);
        let book = Engine::on(MemStorage::new(), options).unwrap();
        support::begin(&book);
        book.customers().create(customer("cus_1", "pm_good")).unwrap();
        let coupon = json!({
            "id": "half", "percent_off": "50", "duration": "repeating", "duration_in_months": 1,
        });
        book.coupons().create(serde_json::from_value(coupon).unwrap()).unwrap();
        let items = json!([{ "id": "si_1", "price": "price_calls" }]);
        create(&book, json!({ "id": "sub_1", "customer": "cus_1", "items": items })).unwrap();
        book.advance_to(day(14), &mut gateway).unwrap();
        let items = json!([{ "id": "si_1", "discounts": [{ "coupon": "half" }] }]);
        let update = serde_json::from_value(json!({ "id": "sub_1", "items": items })).unwrap();
        book.subscriptions().update(update).unwrap();
        // The first period was billed, and the discount is over in the second one.
        book.advance_to(day(33), &mut gateway).unwrap();
        let event = CreateMeterEvent::new(support::CALLS, &customer_id("cus_1"), 1_000)
            .identifier("late")
            .at(EventTime::from_timestamp(day(20)).unwrap());
        book.meter_events().create(&event).unwrap();
        book.advance_to(day(65), &mut gateway).unwrap();
        let invoices = book.invoices().list(&customer_id("cus_1")).unwrap();
        let lines = invoices.iter().flat_map(|view| &view.lines);
        let late = lines.filter(|line| line.derivation.reading().is_some() && line.amount > 0);
        let discounts: Vec<_> = late.map(|line| line.discount_amounts.len()).collect();
        assert_eq!(discounts, [0], "{workers}");
        assert_sound(&book);
    }
}
