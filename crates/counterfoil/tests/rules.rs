//! The rules of whole books that are easily broken: order, states and what is billed once.

#[path = "support/ada.rs"]
mod ada;

use ada::*;
use counterfoil::InvoiceStatus::{Open, Paid, Uncollectible, Void};
use counterfoil::SubscriptionStatus::{Active, Canceled, Incomplete, PastDue, Trialing};
use counterfoil::*;

#[test]
fn rule_6_8_a_trial_that_begins_with_a_payment_is_still_free() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let (_, calls) = b.metered(IntervalUnit::Month);
    b.pending(500);
    let mut plan = b.plan(&[&seat, &calls]);
    plan.trial_period_days = Some(14);
    let sub = b.subscribe(plan, ok);
    assert_eq!(b.status(&sub), Trialing);
    b.until("2025-01-02", ok);
    b.calls("2025-01-02", 7);
    b.until("2025-01-16", ok);
    assert_eq!(b.totals(), [(Paid, 500), (Paid, 1000)]);
}

#[test]
fn rule_6_8_a_debt_on_the_balance_does_not_end_a_trial() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let debt = CreateBalanceTransaction {
        customer: b.ada.clone(),
        amount: 200,
        currency: Currency::USD,
        description: None,
        metadata: None,
    };
    b.book.customer_balance_transactions().create(debt).unwrap();
    let mut plan = b.plan(&[&seat]);
    plan.trial_period_days = Some(14);
    let sub = b.subscribe(plan, ok);
    b.sound();
    assert_eq!(b.status(&sub), Trialing);
}

#[test]
fn rule_8_8_a_failure_by_hand_leaves_the_retries() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    b.subscribe(b.plan(&[&seat]), ok);
    b.until("2025-02-02", declined);
    let id = b.invoices()[1].invoice.id.clone();
    let before = b.invoices()[1].invoice.next_payment_attempt;
    assert!(before.is_some());
    b.book
        .invoices()
        .pay(PayInvoice { id, payment_method: None, paid_out_of_band: false, forgive: false })
        .unwrap();
    b.settle(declined);
    let after = &b.invoices()[1].invoice;
    assert_eq!((after.attempt_count, after.next_payment_attempt), (1, before));
}

#[test]
fn rule_6_10_cancel_freezes_what_was_finalized_in_the_same_second() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let sub = b.subscribe(b.plan(&[&seat]), ok);
    b.until("2025-02-01T01:00:00Z", declined);
    b.book.subscriptions().cancel(cancel(&sub, false)).unwrap();
    let invoice = &b.invoices()[1].invoice;
    assert_eq!((invoice.auto_advance, invoice.next_payment_attempt), (false, None));
}

#[test]
fn rule_6_14_weeks_never_mix_with_months() {
    let b = Book::at("2025-01-01");
    let [day, week, month] =
        [IntervalUnit::Day, IntervalUnit::Week, IntervalUnit::Month].map(|unit| b.price(100, unit));
    let refused = b.book.subscriptions().create(b.plan(&[&day, &week, &month]));
    assert_eq!(refused.unwrap_err().code(), Some(Code::ParameterInvalid));
}

#[test]
fn rule_2_1_the_first_subscription_fixes_the_currency() {
    let b = Book::at("2025-01-01");
    let mut price = CreatePrice::new(b.product.clone(), Currency::EUR);
    price.unit_amount = Some(1000);
    price.recurring = Some(RecurringInput::every(IntervalUnit::Month));
    let price = b.book.prices().create(price).unwrap().id;
    b.subscribe(b.plan(&[&price]), ok);
    assert_eq!(b.book.customers().retrieve(&b.ada).unwrap().currency, Currency::EUR);
}

#[test]
fn rule_6_12_an_invoice_that_is_still_retried_decides_nothing() {
    let b = Book::at("2025-01-01");
    let week = b.price(1000, IntervalUnit::Week);
    let sub = b.subscribe(b.plan(&[&week]), ok);
    b.until("2025-01-15T02:00:00Z", declined);
    assert_eq!(b.status(&sub), PastDue);
    let latest = b.invoices()[2].invoice.id.clone();
    b.book.invoices().void(VoidInvoice { id: latest }).unwrap();
    assert_eq!(b.status(&sub), Active);
}

#[test]
fn point_42_usage_without_a_subscription_is_reported() {
    let b = Book::at("2025-01-01");
    b.metered(IntervalUnit::Month);
    b.calls("2025-01-01", 5);
    let found = b.book.unbilled_usage().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].reason, UnbilledReason::NoSubscription);
    assert_eq!(found[0].quantity, Decimal12::from_int(5));
}

#[test]
fn point_42_usage_in_the_second_of_cancellation_is_reported() {
    let b = Book::at("2025-01-01");
    let (_, calls) = b.metered(IntervalUnit::Month);
    let sub = b.subscribe(b.plan(&[&calls]), ok);
    b.until("2025-01-10", ok);
    b.calls("2025-01-09", 100);
    b.calls("2025-01-10", 3);
    b.book.subscriptions().cancel(cancel(&sub, true)).unwrap();
    b.settle(ok);
    b.sound();
    assert_eq!(b.totals(), [(Paid, 100)]);
    let found = b.book.unbilled_usage().unwrap();
    assert_eq!(found.iter().map(|u| u.quantity).collect::<Vec<_>>(), [Decimal12::from_int(3)]);
}

#[test]
fn point_28_cancel_in_the_second_of_creation_bills_a_line_of_zero() {
    let b = Book::at("2025-01-01");
    let (_, calls) = b.metered(IntervalUnit::Month);
    let sub = b.subscribe(b.plan(&[&calls]), ok);
    b.book.subscriptions().cancel(cancel(&sub, true)).unwrap();
    b.sound();
    assert_eq!(b.totals(), [(Paid, 0)]);
}

#[test]
fn rule_6_2_a_first_payment_after_the_stub_catches_up() {
    let b = Book::at("2025-01-01T12:00:00Z");
    let seat = b.price(310_000, IntervalUnit::Month);
    let mut plan = b.plan(&[&seat]);
    plan.billing_cycle_anchor = Some(t("2025-01-01T14:00:00Z"));
    let sub = b.subscribe(plan, |_| None);
    b.until("2025-01-01T20:00:00Z", |_| None);
    assert_eq!(b.status(&sub), Incomplete);
    b.until("2025-01-01T20:00:00Z", ok);
    b.until("2025-01-01T20:00:01Z", ok);
    let sub = b.book.subscriptions().retrieve(&sub).unwrap();
    assert_eq!(sub.status, Active);
    assert_eq!(
        sub.items[0].period,
        Period::new(t("2025-01-01T14:00:00Z"), t("2025-02-01T14:00:00Z"))
    );
    assert_eq!(b.invoices()[1].invoice.created, t("2025-01-01T20:00:00Z"));
}

#[test]
fn rule_6_2_a_draft_does_not_hide_that_the_latest_invoice_was_paid() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let mut plan = b.plan(&[&seat]);
    plan.collection_method = CollectionMethod::SendInvoice;
    plan.days_until_due = Some(7);
    let sub = b.subscribe(plan, ok);
    b.until("2025-02-01T00:30:00Z", ok);
    assert_eq!(b.status(&sub), PastDue);
    let id = b.invoices()[0].invoice.id.clone();
    b.book
        .invoices()
        .pay(PayInvoice { id, payment_method: None, paid_out_of_band: true, forgive: false })
        .unwrap();
    assert_eq!(b.status(&sub), Active);
}

#[test]
fn rule_8_1_an_uncollectible_invoice_can_still_be_paid() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let sub = b.subscribe(b.plan(&[&seat]), ok);
    b.until("2025-02-02", |_| None);
    let id = b.invoices()[1].invoice.id.clone();
    b.book.invoices().mark_uncollectible(MarkInvoiceUncollectible { id }).unwrap();
    b.sound();
    assert_eq!(b.totals()[1].0, Uncollectible);
    b.settle(ok);
    b.sound();
    assert_eq!((b.totals()[1].0, b.status(&sub)), (Paid, Active));
}

#[test]
fn rule_19_14_one_big_step_is_many_small_ones() {
    let run = |days: i64| {
        let b = Book::at("2024-01-31");
        let [day, year] =
            [(100, IntervalUnit::Day), (9000, IntervalUnit::Year)].map(|(u, i)| b.price(u, i));
        let (_, calls) = b.metered(IntervalUnit::Month);
        let pay = |a: &Attempt| match a.created.unix() / 86400 % 3 {
            0 => declined(a),
            _ => ok(a),
        };
        b.subscribe(b.plan(&[&day, &year, &calls]), ok);
        let mut plan = b.plan(&[&year]);
        plan.collection_method = CollectionMethod::SendInvoice;
        plan.days_until_due = Some(3);
        plan.trial_period_days = Some(5);
        b.subscribe(plan, ok);
        let mut at = t("2024-01-31");
        let end = t("2024-04-15");
        while at < end {
            at = at.checked_add_days(days).unwrap().min(end);
            b.book.advance_to(at, &mut { pay }).unwrap();
        }
        b.sound();
        (b.book.state_hash().unwrap(), b.book.durable())
    };
    assert_eq!(run(1), run(1000));
    assert_eq!(run(7), run(1000));
}

#[test]
fn rule_6_10_mixed_intervals_end_with_the_first_period() {
    let b = Book::at("2025-01-01");
    let [m, y] =
        [(1000, IntervalUnit::Month), (9000, IntervalUnit::Year)].map(|(u, i)| b.price(u, i));
    let mut plan = b.plan(&[&m, &y]);
    plan.cancel_at_period_end = true;
    let sub = b.subscribe(plan, ok);
    b.until("2025-02-02", ok);
    assert_eq!(b.status(&sub), Canceled);
}

#[test]
fn rule_6_3_default_incomplete_leaves_the_first_invoice_open() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let mut plan = b.plan(&[&seat]);
    plan.payment_behavior = PaymentBehavior::DefaultIncomplete;
    let sub = b.subscribe(plan, ok);
    assert_eq!((b.status(&sub), b.totals()), (Incomplete, vec![(Open, 1000)]));
    b.book.subscriptions().cancel(cancel(&sub, true)).unwrap();
    b.until("2025-01-05", ok);
    assert_eq!((b.status(&sub), b.totals()), (Canceled, vec![(Open, 1000)]));
    let id = b.invoices()[0].invoice.id.clone();
    assert!(b.book.invoices().explain(&id).unwrap().to_string().contains("1000"));
}

#[test]
fn rule_2_1_an_item_of_a_subscription_is_in_its_currency() {
    let b = Book::at("2025-01-01");
    let mut price = CreatePrice::new(b.product.clone(), Currency::EUR);
    price.unit_amount = Some(1000);
    price.recurring = Some(RecurringInput::every(IntervalUnit::Month));
    let price = b.book.prices().create(price).unwrap().id;
    let sub = b.subscribe(b.plan(&[&price]), ok);
    let mut own = item(&b.ada, 300);
    own.subscription = Some(sub);
    assert_eq!(b.book.invoice_items().create(own).unwrap().currency, Currency::EUR);
}

#[test]
fn rule_6_1_canceled_at_is_the_first_request() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let sub = b.subscribe(b.plan(&[&seat]), ok);
    let update = UpdateSubscription {
        cancel_at_period_end: Some(true),
        ..UpdateSubscription::new(sub.clone())
    };
    b.book.subscriptions().update(update.clone()).unwrap();
    b.until("2025-01-05", ok);
    let again = b.book.subscriptions().update(update).unwrap();
    assert_eq!(again.canceled_at, Some(t("2025-01-01")));
}

#[test]
fn rule_6_10_an_attempt_that_fails_after_cancel_is_not_retried() {
    // a cancel while an attempt is open: its failure is not retried
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let sub = b.subscribe(b.plan(&[&seat]), ok);
    b.until("2025-02-02", |_| None);
    b.book.subscriptions().cancel(cancel(&sub, false)).unwrap();
    b.settle(declined);
    b.until("2025-04-01", ok);
    assert_eq!(b.totals(), [(Paid, 1000), (Open, 1000)]);
    assert_eq!(b.invoices()[1].invoice.next_payment_attempt, None);
}

#[test]
fn point_67_a_success_after_voiding_is_credit() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    b.subscribe(b.plan(&[&seat]), ok);
    b.until("2025-02-02", |_| None);
    let id = b.invoices()[1].invoice.id.clone();
    b.book.invoices().void(VoidInvoice { id }).unwrap();
    b.settle(ok);
    b.sound();
    assert_eq!(b.book.customers().retrieve(&b.ada).unwrap().balance(Currency::USD), -1000);
    b.until("2025-03-02", ok);
    assert_eq!(b.totals(), [(Paid, 1000), (Void, 1000), (Paid, 1000)]);
    assert_eq!(b.book.customers().retrieve(&b.ada).unwrap().balance(Currency::USD), 0);
}

#[test]
fn rule_9_retries_run_their_whole_schedule() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let sub = b.subscribe(b.plan(&[&seat]), ok);
    let times = std::cell::RefCell::new(Vec::new());
    b.until("2025-02-28", |a: &Attempt| {
        times.borrow_mut().push(a.created);
        declined(a)
    });
    let want = [
        "2025-02-01T01:00:00Z",
        "2025-02-04T01:00:00Z",
        "2025-02-09T01:00:00Z",
        "2025-02-16T01:00:00Z",
    ];
    assert_eq!(times.into_inner(), want.map(t));
    assert_eq!((b.status(&sub), b.invoices()[1].invoice.attempt_count), (PastDue, 4));
    assert!(b.book.customers().retrieve(&b.ada).unwrap().delinquent);
}

#[test]
fn e17_stubs_are_charged_in_part_or_free() {
    for (start, anchor, behavior, want) in [
        ("2025-02-05", "2025-02-10", None, vec![500, 3100]),
        ("2025-02-05", "2025-02-10", Some(ProrationBehavior::None), vec![3100]),
        ("2025-02-05", "2025-03-05", None, vec![3100]),
        ("2025-02-05", "2025-03-05", Some(ProrationBehavior::None), vec![3100]),
    ] {
        let b = Book::at(start);
        let seat = b.price(3100, IntervalUnit::Month);
        let mut plan = b.plan(&[&seat]);
        plan.billing_cycle_anchor = Some(t(anchor));
        plan.proration_behavior = behavior;
        b.subscribe(plan, ok);
        b.until("2025-03-01", ok);
        let totals: Vec<i64> = b.totals().into_iter().map(|(_, total)| total).collect();
        assert_eq!(totals, want, "{start} {anchor} {behavior:?}");
    }
}

#[test]
fn e18_a_trial_before_an_anchor() {
    let b = Book::at("2025-07-15");
    let seat = b.price(3100, IntervalUnit::Month);
    let mut plan = b.plan(&[&seat]);
    plan.billing_cycle_anchor = Some(t("2025-08-01"));
    plan.trial_period_days = Some(7);
    let sub = b.subscribe(plan, ok);
    assert_eq!(b.status(&sub), Trialing);
    b.until("2025-08-02", ok);
    assert_eq!(b.totals(), [(Paid, 0), (Paid, 1000), (Paid, 3100)]);
}

#[test]
fn rule_1_7_keys_are_kept_for_a_day() {
    let b = Book::at("2025-01-01");
    let make = |key: &str, name: &str| {
        b.book.execute(Request::from(CreateProduct::new(name)).idempotency_key(key))
    };
    make("k", "one").unwrap();
    make("k", "one").unwrap();
    assert_eq!(make("k", "two").unwrap_err().code(), Some(Code::IdempotencyError));
    b.until("2025-01-02", ok);
    make("other", "x").unwrap();
    assert_eq!(make("k", "two").unwrap_err().code(), Some(Code::IdempotencyError));
    b.until("2025-01-02T00:00:01Z", ok);
    make("another", "x").unwrap();
    make("k", "two").unwrap();
}

#[test]
fn rules_6_8_and_3_3_items_added_in_and_after_a_trial() {
    let b = Book::at("2025-01-01");
    let seat = b.price(1000, IntervalUnit::Month);
    let year = b.price(9000, IntervalUnit::Year);
    let (_, calls) = b.metered(IntervalUnit::Month);
    let mut plan = b.plan(&[&seat]);
    plan.trial_period_days = Some(9);
    let sub = b.subscribe(plan, ok);
    b.until("2025-01-05", ok);
    let add = |price: &PriceId| {
        let mut update = UpdateSubscription::new(sub.clone());
        update.proration_behavior = Some(ProrationBehavior::None);
        update.items = vec![ItemChange { price: Some(price.clone()), ..ItemChange::default() }];
        b.book.subscriptions().update(update).unwrap();
    };
    add(&calls);
    b.until("2025-01-08", ok);
    b.calls("2025-01-07", 1);
    b.until("2025-01-15", ok);
    add(&year);
    b.calls("2025-01-10", 200);
    b.until("2025-02-10T00:30:00Z", ok);
    b.calls("2025-02-10", 4000);
    b.calls("2025-02-09T23:59:59Z", 30);
    b.until("2025-03-10T02:00:00Z", ok);
    assert_eq!(b.totals(), [(Paid, 0), (Paid, 1000), (Paid, 1230), (Paid, 5000)]);
    let reasons: Vec<_> =
        b.book.unbilled_usage().unwrap().into_iter().map(|u| (u.reason, u.quantity)).collect();
    assert_eq!(reasons, [(UnbilledReason::Trial, Decimal12::from_int(1))]);
    b.until("2026-01-10T02:00:00Z", ok);
    assert_eq!(b.totals().last().unwrap().1, 10000);
}
