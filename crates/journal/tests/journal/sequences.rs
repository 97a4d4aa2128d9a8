//! Random histories of a customer: abstract actions, resolved to events by the deciders.

use crate::book::{Book, at};
use counterfoil_core::{Currency, Period, Timestamp};
use counterfoil_journal::{
    Account, Journal, PostingRules, invariant_customer_balance_equals,
    invariant_every_entry_balances, invariant_receivables_equal,
    invariant_schedules_equal_deferred_revenue, invariant_trial_balance_balances,
};
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Debug, Clone)]
enum Action {
    Adjust(i64, Currency),
    /// Amounts, each over a period that begins so many seconds from now and lasts so many.
    Invoice(Currency, Vec<(i64, i64, i64)>),
    Pay(Index),
    GiveUp(Index),
    Void(Index),
    PayLate(Index, i64),
}

fn currency() -> impl Strategy<Value = Currency> {
    // One of them is charged in steps only.
    prop::sample::select(vec!["usd", "jpy", "ugx"]).prop_map(|code| code.parse().unwrap())
}

fn action() -> impl Strategy<Value = Action> {
    let line = (-3_000_i64..9_000, -3_000_000_i64..3_000_000, 0_i64..6_000_000);
    let adjustment = prop_oneof![-9_000_i64..=-1, 1_i64..=9_000];
    let invoice = || any::<Index>();
    prop_oneof![
        (adjustment, currency()).prop_map(|(amount, currency)| Action::Adjust(amount, currency)),
        (currency(), prop::collection::vec(line, 1..4))
            .prop_map(|(currency, lines)| Action::Invoice(currency, lines)),
        invoice().prop_map(Action::Pay),
        invoice().prop_map(Action::GiveUp),
        invoice().prop_map(Action::Void),
        (invoice(), 0_i64..9_000).prop_map(|(index, amount)| Action::PayLate(index, amount)),
    ]
}

fn perform(book: &mut Book, action: &Action, now: Timestamp) {
    let after = |from: Timestamp, seconds| from.checked_add_seconds(seconds).unwrap();
    let pick = |index: &Index| index.index(book.invoices.len().max(1));
    match action {
        Action::Adjust(amount, currency) => book.adjust(*amount, *currency, now),
        Action::Invoice(currency, lines) => {
            let line = |&(amount, offset, seconds)| {
                let start = after(now, offset);
                (amount, Period::new(start, after(start, seconds)))
            };
            let lines: Vec<_> = lines.iter().map(line).collect();
            book.invoice(*currency, &lines, now);
        }
        _ if book.invoices.is_empty() => {}
        Action::Pay(index) => book.pay(pick(index), now),
        Action::GiveUp(index) => book.give_up(pick(index), now),
        Action::Void(index) => book.void(pick(index), now),
        Action::PayLate(index, amount) => book.pay_late(pick(index), *amount, now),
    }
}

fn check(book: &Book, journal: &Journal, now: Timestamp) -> Result<(), TestCaseError> {
    let all = || {
        invariant_trial_balance_balances(journal, now)?;
        invariant_schedules_equal_deferred_revenue(journal)?;
        for currency in journal.currencies() {
            invariant_receivables_equal(journal, currency, book.receivable(currency))?;
            let balance = book.customer.balance(currency).into();
            invariant_customer_balance_equals(journal, currency, balance)?;
        }
        Ok::<(), counterfoil_journal::InvariantViolation>(())
    };
    all().map_err(|violation| TestCaseError::fail(violation.to_string()))
}

proptest! {
    #[test]
    fn invariants_hold_after_every_event(
        actions in prop::collection::vec((action(), 0_i64..2_000_000), 1..40),
    ) {
        let mut now = at("2024-01-31T23:30:00");
        let mut book = Book::new(now);
        let mut journal = Journal::default();
        let mut recorded = 0;
        for (action, seconds) in &actions {
            now = now.checked_add_seconds(*seconds).unwrap();
            perform(&mut book, action, now);
            for event in &book.events[recorded..] {
                prop_assert!(journal.record(event, PostingRules::V1).is_ok());
            }
            recorded = book.events.len();
            check(&book, &journal, now)?;
        }
        prop_assert!(invariant_every_entry_balances(&book.events, PostingRules::V1).is_ok());

        // In the end everything is earned that was invoiced and not voided.
        let end = Timestamp::MAX;
        check(&book, &journal, end)?;
        for currency in journal.currencies() {
            let kept = book.invoices.iter().filter(|invoice| {
                invoice.currency == currency && invoice.status_transitions.voided_at.is_none()
            });
            let invoiced: i128 = kept.map(|invoice| i128::from(invoice.total)).sum();
            prop_assert_eq!(journal.balance(Account::Revenue, currency, end), -invoiced);
            prop_assert_eq!(journal.balance(Account::DeferredRevenue, currency, end), 0);
        }
    }

    #[test]
    fn equal_journals_are_encoded_equally(
        actions in prop::collection::vec(action(), 1..20), cut in any::<Index>(),
    ) {
        let now = at("2024-02-01");
        let mut book = Book::new(now);
        for action in &actions {
            perform(&mut book, action, now);
        }
        let record = |order: &mut dyn Iterator<Item = &counterfoil_billing::Event>| {
            let mut journal = Journal::default();
            for event in order {
                journal.record(event, PostingRules::V1).unwrap();
            }
            journal
        };
        let journal = record(&mut book.events.iter());
        let bytes = rmp_serde::to_vec_named(&journal).unwrap();
        let json = serde_json::to_string(&journal).unwrap();

        let (first, second) = book.events.split_at(cut.index(book.events.len()));
        let turned = record(&mut second.iter().chain(first));
        prop_assert_eq!(&rmp_serde::to_vec_named(&turned).unwrap(), &bytes);
        prop_assert_eq!(&rmp_serde::from_slice::<Journal>(&bytes).unwrap(), &journal);
        prop_assert_eq!(&serde_json::from_str::<Journal>(&json).unwrap(), &journal);
    }
}
