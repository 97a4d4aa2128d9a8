//! Bugs that were fixed, each with the test that found it.

#[path = "support/ada.rs"]
mod ada;

use ada::*;
use counterfoil::InvoiceStatus::{Paid, Void};
use counterfoil::SubscriptionStatus::{Active, PastDue, Trialing};
use counterfoil::*;

#[test]
fn a_refused_meter_leaves_the_book_readable() {
    let dir = tempfile::tempdir().unwrap();
    let book = Engine::open(dir.path(), Options::default()).unwrap();
    book.advance_to(t("2025-01-01"), &mut ok).unwrap();
    let records = book.durable();
    let refused = book.meters().create(CreateMeter::new("x".repeat(300), Formula::Sum));
    assert!(refused.is_err());
    book.flush().unwrap();
    assert_eq!(book.durable(), records, "a refusal writes nothing");
    book.close().unwrap();
    Engine::open(dir.path(), Options::default()).expect("the book opens again");
}

#[test]
fn an_empty_draft_does_not_stop_the_customer() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    b.subscribe(b.plan(&[&seat]), ok);
    let mut draft = CreateInvoice::new(b.ada.clone());
    draft.auto_advance = true;
    b.book.invoices().create(draft).unwrap();
    b.until("2025-03-02", ok);
    let paid = b.totals().into_iter().filter(|(status, _)| *status == Paid).count();
    assert_eq!(paid, 3);
}

#[test]
fn an_item_deleted_from_a_draft_does_not_stop_the_customer() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let other = b.price(2000, IntervalUnit::Month);
    b.subscribe(b.plan(&[&other]), ok);
    let mut plan = b.plan(&[&seat]);
    plan.cancel_at_period_end = true;
    let sub = b.subscribe(plan, ok);
    let mut own = item(&b.ada, 300);
    own.subscription = Some(sub);
    let own = b.book.invoice_items().create(own).unwrap().id;
    b.until("2025-02-01T00:10:00Z", ok);
    b.book.invoice_items().delete(DeleteInvoiceItem { id: own }).unwrap();
    b.until("2025-04-02", ok);
    assert_eq!(b.book.customers().retrieve(&b.ada).unwrap().parked, None);
}

#[test]
fn an_amount_beyond_its_range_is_refused_behind_a_trial() {
    let b = Book::at("2025-01-01");
    let seat = b.price(999_999_999, IntervalUnit::Month);
    let other = b.price(1000, IntervalUnit::Month);
    b.subscribe(b.plan(&[&other]), ok);
    let mut plan = b.plan(&[&seat]);
    plan.items[0].quantity = Some(limits::QUANTITY_MAX);
    assert!(b.book.subscriptions().create(plan.clone()).is_err(), "without a trial");
    plan.trial_period_days = Some(3);
    assert!(b.book.subscriptions().create(plan).is_err(), "with a trial");
}

#[test]
fn an_amount_beyond_its_range_is_refused_by_an_update() {
    let b = Book::at("2025-01-01");
    let seat = b.price(999_999_999, IntervalUnit::Month);
    let sub = b.book.subscriptions().create(b.plan(&[&seat])).unwrap();
    let mut update = UpdateSubscription::new(sub.id);
    b.settle(ok);
    update.proration_behavior = Some(ProrationBehavior::None);
    update.items = vec![ItemChange {
        id: Some(sub.items[0].id.clone()),
        quantity: Some(limits::QUANTITY_MAX),
        ..ItemChange::default()
    }];
    let refused = b.book.subscriptions().update(update).is_err();
    b.until("2025-03-02", ok);
    assert!(refused, "{:?}", b.book.customers().retrieve(&b.ada).unwrap().parked);
}

#[test]
fn paying_what_a_void_left_as_the_latest_makes_well() {
    let retries = RetryPolicy { after_days: vec![1], ..RetryPolicy::default() };
    let b = Book::with("2025-01-01", Settings { retries, ..Settings::default() });
    let week = b.price(1000, IntervalUnit::Week);
    let sub = b.subscribe(b.plan(&[&week]), ok);
    b.until("2025-01-17", declined);
    let [second, third] = [1, 2].map(|n: usize| b.invoices()[n].invoice.id.clone());
    b.book.invoices().void(VoidInvoice { id: third }).unwrap();
    assert_eq!(b.status(&sub), PastDue);
    let pay =
        PayInvoice { id: second, payment_method: None, paid_out_of_band: true, forgive: false };
    b.book.invoices().pay(pay).unwrap();
    assert_eq!(b.status(&sub), Active);
}

#[test]
fn a_deleted_customer_is_not_charged() {
    let b = Book::at("2025-01-01");
    let mut draft = CreateInvoice::new(b.ada.clone());
    draft.auto_advance = true;
    let draft = b.book.invoices().create(draft).unwrap().id;
    let mut on = item(&b.ada, 900);
    on.invoice = Some(draft);
    b.book.invoice_items().create(on).unwrap();
    b.book.customers().delete(DeleteCustomer { id: b.ada.clone() }).unwrap();
    b.until("2025-01-05", ok);
    assert_eq!(b.invoices()[0].invoice.attempt_count, 0);
}

#[test]
fn plain_items_survive_a_cancellation() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let sub = b.subscribe(b.plan(&[&seat]), ok);
    let plain = b.pending(500);
    b.book.subscriptions().cancel(cancel(&sub, true)).unwrap();
    assert_eq!(b.invoices().len(), 1);
    assert_eq!(b.book.invoice_items().retrieve(&plain).unwrap().invoice, None);
}

#[test]
fn usage_is_taken_while_due_work_is_left() {
    let b = Book::at("2025-01-01");
    let day = b.price(100, IntervalUnit::Day);
    b.metered(IntervalUnit::Month);
    b.subscribe(b.plan(&[&day]), ok);
    assert!(b.book.tick(t("2025-01-20"), 1).unwrap().remaining);
    let event = CreateMeterEvent::new("calls", &b.ada, 1)
        .at(EventTime::from_timestamp(t("2025-01-20")).unwrap());
    b.book.meter_events().create(&event).unwrap();
}

#[test]
fn a_subscription_ends_once() {
    let retries = RetryPolicy {
        after_days: vec![],
        then: AfterRetries::Canceled,
        invoice: InvoiceAfterRetries::Open,
        ..RetryPolicy::default()
    };
    let b = Book::with("2025-01-01", Settings { retries, ..Settings::default() });
    let (_, calls) = b.metered(IntervalUnit::Month);
    let sub = b.subscribe(b.plan(&[&calls]), ok);
    let clear =
        UpdateCustomer { payment_method: Patch::Clear, ..UpdateCustomer::new(b.ada.clone()) };
    b.book.customers().update(clear).unwrap();
    b.until("2025-01-05", ok);
    b.calls("2025-01-04", 700);
    let run = b.book.dry_run(cancel(&sub, true)).unwrap();
    let ended = run.events.iter().filter(|event| format!("{event:?}").contains("Ended")).count();
    assert_eq!(ended, 1);
}

#[test]
fn invoice_numbers_are_unique_in_a_book() {
    let b = Book::at("2025-01-01");
    let one = CreateCustomer { invoice_prefix: Some("ACME".into()), ..CreateCustomer::default() };
    b.book.customers().create(one.clone()).unwrap();
    assert!(b.book.customers().create(one).is_err());
}

#[test]
fn a_new_card_is_tried_on_what_is_past_due() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let sub = b.subscribe(b.plan(&[&seat]), ok);
    b.until("2025-02-02", declined);
    let card = UpdateCustomer {
        payment_method: Patch::Set("pm2".into()),
        ..UpdateCustomer::new(b.ada.clone())
    };
    b.book.customers().update(card).unwrap();
    b.settle(ok);
    assert_eq!(b.status(&sub), Active);
}

#[test]
fn the_id_of_a_billed_item_is_not_given_again() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let mut first = item(&b.ada, 100);
    first.id = Some("ii_one".parse().unwrap());
    b.book.invoice_items().create(first.clone()).unwrap();
    b.subscribe(b.plan(&[&seat]), ok);
    assert_eq!(
        b.book.invoice_items().create(first).unwrap_err().code(),
        Some(Code::ResourceAlreadyExists)
    );
}

#[test]
fn the_id_of_a_removed_subscription_item_is_not_given_again() {
    let b = Book::at("2025-01-01");
    let [a, c, d] = [100, 200, 300].map(|unit| b.price(unit, IntervalUnit::Month));
    let sub = b.book.subscriptions().create(b.plan(&[&a, &c])).unwrap();
    b.settle(ok);
    let gone = sub.items[0].id.clone();
    let mut update = UpdateSubscription::new(sub.id.clone());
    update.proration_behavior = Some(ProrationBehavior::None);
    update.items =
        vec![ItemChange { id: Some(gone.clone()), deleted: true, ..ItemChange::default() }];
    b.book.subscriptions().update(update.clone()).unwrap();
    update.items = vec![ItemChange { price: Some(d), ..ItemChange::default() }];
    let updated = b.book.subscriptions().update(update).unwrap();
    assert!(updated.items.iter().all(|item| item.id != gone));
}

#[test]
fn an_item_of_a_subscription_is_refused_on_the_draft_of_another() {
    let b = Book::at("2025-01-01");
    let [one, two] = [1000, 2000].map(|u| b.price(u, IntervalUnit::Month));
    let one = b.subscribe(b.plan(&[&one]), ok);
    b.subscribe(b.plan(&[&two]), ok);
    b.until("2025-02-01T00:30:00Z", ok);
    let draft = b.invoices()[3].invoice.id.clone();
    assert_ne!(b.invoices()[3].invoice.subscription, Some(one.clone()));
    let mut wrong = item(&b.ada, 100);
    (wrong.invoice, wrong.subscription) = (Some(draft), Some(one));
    assert!(b.book.invoice_items().create(wrong).is_err());
}

#[test]
fn time_that_only_passed_is_kept_by_closing() {
    let dir = tempfile::tempdir().unwrap();
    let book = Engine::open(dir.path(), Options::default()).unwrap();
    book.advance_to(t("2025-01-01"), &mut ok).unwrap();
    book.advance_to(t("2025-02-01"), &mut ok).unwrap();
    book.close().unwrap();
    let book = Engine::open(dir.path(), Options::default()).unwrap();
    assert_eq!(book.now().unwrap(), Some(t("2025-02-01")));
}

#[test]
fn a_malformed_command_is_not_kept_under_its_key() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let mut plan = b.plan(&[&seat]);
    plan.trial_period_days = Some(9999);
    let refused = b.book.execute(Request::from(plan.clone()).idempotency_key("k"));
    assert!(refused.is_err());
    plan.trial_period_days = None;
    b.book.execute(Request::from(plan).idempotency_key("k")).unwrap();
}

#[test]
fn the_version_of_no_such_stream_is_refused() {
    let b = Book::at("2025-01-01");
    let request = Request::from(CreateProduct::new("x")).expected_version("catalogue", 0);
    assert!(b.book.execute(request).is_err());
}

#[test]
fn an_expired_subscription_leaves_no_invoice_to_pay() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    b.subscribe(b.plan(&[&seat]), declined);
    let id = b.invoices()[0].invoice.id.clone();
    b.book.invoices().mark_uncollectible(MarkInvoiceUncollectible { id }).unwrap();
    b.until("2025-01-03", ok);
    assert_eq!(b.totals(), [(Void, 1000)]);
}

#[test]
fn a_decline_code_has_a_limit() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    b.book.subscriptions().create(b.plan(&[&seat])).unwrap();
    let attempt = b.book.payment_attempts().open().unwrap()[0].id.clone();
    let code = Some("x".repeat(1_000_000));
    assert!(b.book.execute(FailPaymentAttempt { id: attempt, code }).is_err());
}

#[test]
fn a_command_comes_after_what_was_due_in_its_second() {
    let b = Book::at("2025-01-01");
    let (seat, more) = (b.price(1000, IntervalUnit::Month), b.price(500, IntervalUnit::Month));
    let mut plan = b.plan(&[&seat]);
    plan.trial_period_days = Some(7);
    let subs = [b.subscribe(plan.clone(), ok), b.subscribe(plan, ok)];
    // The ends of the trials were announced; both come in one second, and the budget is for one.
    b.until("2025-01-06", ok);
    assert!(b.book.tick(t("2025-01-09"), 1).unwrap().remaining);
    assert_eq!(b.status(&subs[1]), Trialing);
    let mut update = UpdateSubscription::new(subs[1].clone());
    update.proration_behavior = Some(ProrationBehavior::None);
    update.items = vec![ItemChange { price: Some(more), ..ItemChange::default() }];
    let updated = b.book.subscriptions().update(update).unwrap();
    assert_eq!(updated.status, Active);
    let periods: Vec<Period> = updated.items.iter().map(|item| item.period).collect();
    assert_eq!(periods[0], periods[1]);
    assert_eq!(periods[0].end, t("2025-02-08"));
    b.book.check_invariants().unwrap().unwrap();
}

#[test]
fn an_empty_directory_is_no_book_to_look_into() {
    let dir = tempfile::tempdir().unwrap();
    let not_a_book = |error: BookError| {
        assert!(matches!(error, BookError::Log(OpenError::NotABook { .. })), "{error}");
    };
    not_a_book(Engine::open_existing(dir.path(), Options::default()).unwrap_err());
    not_a_book(verify(dir.path(), &Options::default()).unwrap_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let book = Engine::open(dir.path(), Options::default()).unwrap();
    book.close().unwrap();
    Engine::open_existing(dir.path(), Options::default()).unwrap();
}

#[test]
fn a_refused_command_leaves_what_was_due_before_it_undone() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let mut plan = b.plan(&[&seat]);
    plan.trial_period_days = Some(7);
    let subs = [b.subscribe(plan.clone(), ok), b.subscribe(plan.clone(), ok)];
    assert!(b.book.tick(t("2025-01-09"), 1).unwrap().remaining);
    let (before, records) = (b.book.state_hash().unwrap(), b.book.durable());
    plan.id = Some(subs[0].clone());
    assert!(b.book.subscriptions().create(plan).is_err());
    assert_eq!((b.book.state_hash().unwrap(), b.book.durable()), (before, records));
}
