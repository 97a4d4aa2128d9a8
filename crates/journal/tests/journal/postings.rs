//! The entry of each event.

use crate::book::{Book, at};
use counterfoil_billing::Event;
use counterfoil_billing::invoice::{Deferral, InvoiceEvent};
use counterfoil_core::{Currency, Period};
use counterfoil_journal::{
    Account, Entry, Journal, PostingError, PostingRules, Row, invariant_customer_balance_equals,
    invariant_every_entry_balances, invariant_receivables_equal,
    invariant_schedules_equal_deferred_revenue, invariant_trial_balance_balances, post,
};
use std::sync::Arc;

const USD: Currency = Currency::USD;

/// The account, then the amount: a debit is positive.
type Expected<'a> = &'a [(&'a str, i128)];

fn february() -> Period {
    Period::new(at("2024-02-01"), at("2024-03-01"))
}

fn last_entry(book: &Book) -> Option<Entry> {
    post(book.events.last().unwrap(), PostingRules::V1).unwrap()
}

/// Checks the last entry of a book that begins with a balance and lets something happen.
fn check(balance: i64, happen: impl FnOnce(&mut Book), expected: Expected<'_>) {
    let mut book = Book::new(at("2024-01-01"));
    if balance != 0 {
        book.adjust(balance, USD, at("2024-01-01"));
    }
    happen(&mut book);
    let entry = last_entry(&book);
    let postings: Vec<_> = entry.iter().flat_map(Entry::postings).collect();
    let posted: Vec<_> =
        postings.iter().map(|posting| (posting.account.as_str(), posting.amount_minor)).collect();
    assert_eq!(posted, expected, "{:?}", book.events.last());
}

/// The only line is for February.
fn finalize(book: &mut Book, amount: i64) -> usize {
    book.invoice(USD, &[(amount, february())], at("2024-02-01"))
}

#[test]
fn finalization_splits_the_total_between_receivables_and_the_balance() {
    let cases: &[(i64, i64, Expected<'_>)] = &[
        (0, 2_900, &[("accounts_receivable", 2_900), ("deferred_revenue", -2_900)]),
        // Credit is consumed in part and in full.
        (
            -900,
            2_900,
            &[
                ("accounts_receivable", 2_000),
                ("customer_balance", 900),
                ("deferred_revenue", -2_900),
            ],
        ),
        (-5_000, 2_900, &[("customer_balance", 2_900), ("deferred_revenue", -2_900)]),
        // A debt is folded in.
        (
            30,
            2_900,
            &[
                ("accounts_receivable", 2_930),
                ("customer_balance", -30),
                ("deferred_revenue", -2_900),
            ],
        ),
        // Below the minimum charge.
        (0, 30, &[("customer_balance", 30), ("deferred_revenue", -30)]),
        // A credit.
        (0, -334, &[("customer_balance", -334), ("deferred_revenue", 334)]),
        // A free period with a debt that is charged, and one without anything.
        (50, 0, &[("accounts_receivable", 50), ("customer_balance", -50)]),
        (0, 0, &[]),
    ];
    for &(balance, amount, expected) in cases {
        let happen = |book: &mut Book| {
            finalize(book, amount);
        };
        check(balance, happen, expected);
    }
}

#[test]
fn each_event_that_moves_money_has_its_entry() {
    type Happen = fn(&mut Book);
    let cases: &[(i64, Happen, Expected<'_>)] = &[
        (-500, |_| {}, &[("customer_balance", -500), ("balance_adjustments", 500)]),
        (500, |_| {}, &[("customer_balance", 500), ("balance_adjustments", -500)]),
        (
            -900,
            |book| {
                let index = finalize(book, 2_900);
                book.pay(index, at("2024-02-02"));
            },
            &[("cash_clearing", 2_000), ("accounts_receivable", -2_000)],
        ),
        (
            0,
            |book| {
                let index = finalize(book, 2_900);
                book.give_up(index, at("2024-02-02"));
            },
            &[("bad_debt", 2_900), ("accounts_receivable", -2_900)],
        ),
        (
            0,
            |book| {
                let index = finalize(book, 2_900);
                book.give_up(index, at("2024-02-02"));
                book.pay(index, at("2024-02-03"));
            },
            &[("cash_clearing", 2_900), ("bad_debt", -2_900)],
        ),
        (
            -900,
            |book| {
                let index = finalize(book, 2_900);
                book.void(index, at("2024-02-02"));
            },
            &[
                ("deferred_revenue", 2_900),
                ("accounts_receivable", -2_000),
                ("customer_balance", -900),
            ],
        ),
        (
            30,
            |book| {
                let index = finalize(book, 2_900);
                book.give_up(index, at("2024-02-02"));
                book.void(index, at("2024-02-03"));
            },
            &[("deferred_revenue", 2_900), ("bad_debt", -2_930), ("customer_balance", 30)],
        ),
        (
            0,
            |book| {
                let index = finalize(book, 2_900);
                book.pay(index, at("2024-02-02"));
                book.pay_late(index, 2_900, at("2024-02-03"));
            },
            &[("cash_clearing", 2_900), ("customer_balance", -2_900)],
        ),
        // A late failure, and a new customer.
        (
            0,
            |book| {
                let index = finalize(book, 2_900);
                book.pay(index, at("2024-02-02"));
                book.pay_late(index, 0, at("2024-02-03"));
            },
            &[],
        ),
        (0, |_| {}, &[]),
    ];
    for &(balance, happen, expected) in cases {
        check(balance, happen, expected);
    }
}

#[test]
fn each_line_is_deferred_over_its_own_period() {
    let (half, instant) =
        (Period::new(at("2024-02-15"), at("2024-03-01")), Period::instant(at("2024-02-15")));
    let lines = [(2_900, february()), (-1_500, half), (0, half), (700, instant)];
    let deferral = |(amount, period)| Deferral { amount, period };
    let opposite = |(amount, period): (i64, _)| Deferral { amount: -amount, period };
    let lasting = [lines[0], lines[1], lines[3]];

    let mut book = Book::new(at("2024-01-01"));
    let index = book.invoice(USD, &lines, at("2024-02-15"));
    assert_eq!(last_entry(&book).unwrap().deferrals(), lasting.map(deferral));
    book.void(index, at("2024-02-20"));
    assert_eq!(last_entry(&book).unwrap().deferrals(), lasting.map(opposite));
}

#[test]
fn lines_that_cancel_each_other_still_move_revenue() {
    let march = Period::new(at("2024-03-01"), at("2024-04-01"));
    let mut book = Book::new(at("2024-01-01"));
    book.invoice(USD, &[(2_900, february()), (-2_900, march)], at("2024-02-01"));
    let journal = recorded(&book);
    for (day, earned) in [("2024-02-01", 0), ("2024-02-11", 1_000), ("2024-03-01", 2_900)] {
        assert_eq!(journal.balance(Account::Revenue, USD, at(day)), -earned);
        assert_eq!(journal.balance(Account::DeferredRevenue, USD, at(day)), earned);
        assert_eq!(invariant_trial_balance_balances(&journal, at(day)), Ok(()));
    }
    assert_eq!(journal.balance(Account::Revenue, USD, at("2024-04-01")), 0);
}

fn recorded(book: &Book) -> Journal {
    let mut journal = Journal::default();
    for event in &book.events {
        journal.record(event, PostingRules::V1).unwrap();
    }
    journal
}

fn rows(journal: &Journal, day: &str) -> Vec<(&'static str, String, i128, i128)> {
    let balance = journal.trial_balance(at(day));
    assert!(balance.balanced);
    let row = |row: &Row| (row.account.as_str(), row.currency.to_string(), row.debit, row.credit);
    balance.rows.iter().map(row).collect()
}

#[test]
fn the_trial_balance_of_two_currencies() {
    let mut book = Book::new(at("2024-01-01"));
    book.adjust(-900, USD, at("2024-01-01"));
    let index = finalize(&mut book, 2_900);
    book.pay(index, at("2024-02-01"));
    book.adjust(70, Currency::EUR, at("2024-02-01"));
    let journal = recorded(&book);
    assert_eq!(journal.entries(), 4);
    assert_eq!(journal.currencies().collect::<Vec<_>>(), [Currency::EUR, USD]);
    let row = |account, code: &str, debit, credit| (account, code.to_owned(), debit, credit);
    assert_eq!(
        rows(&journal, "2024-02-11"),
        [
            row("customer_balance", "eur", 70, 0),
            row("tax_payable", "eur", 0, 0),
            row("balance_adjustments", "eur", 0, 70),
            row("cash_clearing", "usd", 2_000, 0),
            row("accounts_receivable", "usd", 0, 0),
            row("customer_balance", "usd", 0, 0),
            row("deferred_revenue", "usd", 0, 1_900),
            row("tax_payable", "usd", 0, 0),
            row("revenue", "usd", 0, 1_000),
            row("balance_adjustments", "usd", 900, 0),
        ]
    );
    let json = serde_json::to_value(journal.trial_balance(at("2024-03-01"))).unwrap();
    assert_eq!(json["balanced"], true);
    let revenue =
        serde_json::json!({"account": "revenue", "currency": "usd", "debit": 0, "credit": 2_900});
    assert_eq!(json["accounts"][8], revenue);
}

#[test]
fn an_empty_journal_balances() {
    let journal = Journal::default();
    assert_eq!(rows(&journal, "2024-02-01"), []);
    assert_eq!(journal.balance(Account::Revenue, USD, at("2024-02-01")), 0);
}

#[test]
fn a_void_undoes_everything_at_any_date() {
    for (balance, given_up) in [(0, false), (0, true), (-900, false), (-900, true), (30, true)] {
        let mut book = Book::new(at("2024-01-01"));
        let kept = book.invoice(USD, &[(1_000, february())], at("2024-01-20"));
        book.pay(kept, at("2024-01-20"));
        if balance != 0 {
            book.adjust(balance, USD, at("2024-01-20"));
        }
        let before = recorded(&book);
        let lines = [(2_900, february()), (-400, Period::instant(at("2024-02-03")))];
        let voided = book.invoice(USD, &lines, at("2024-02-01"));
        if given_up {
            book.give_up(voided, at("2024-02-02"));
        }
        book.void(voided, at("2024-02-20"));
        let after = recorded(&book);
        for day in ["2024-01-31", "2024-02-10", "2024-02-20", "2024-03-01", "2030-01-01"] {
            for account in Account::ALL {
                let [before, after] =
                    [&before, &after].map(|journal| journal.balance(account, USD, at(day)));
                assert_eq!(after, before, "{account} on {day}");
            }
        }
        let [before, after] = [&before, &after].map(|journal| {
            serde_json::to_value(journal).unwrap()["ledgers"]["usd"]["schedules"].clone()
        });
        assert_eq!(after, before);
    }
}

#[test]
fn an_event_that_contradicts_itself_is_refused_and_changes_nothing() {
    let mut book = Book::new(at("2024-01-01"));
    let index = finalize(&mut book, 2_900);
    book.pay(index, at("2024-02-01"));
    book.pay_late(index, 2_900, at("2024-02-02"));
    let mut journal = recorded(&book);
    let before = journal.clone();
    let events = book.events.clone();

    let broken = |position: usize, change: fn(&mut InvoiceEvent)| {
        let mut event = events[position].clone();
        let Event::Invoice(inner) = &mut event else { panic!("{event:?}") };
        change(inner);
        event
    };
    let cases: [(Event, &str); 4] = [
        (
            broken(1, |event| {
                let InvoiceEvent::Finalized(event) = event else { panic!("{event:?}") };
                Arc::make_mut(event).amount_due += 1;
            }),
            "the entry at 2024-02-01T00:00:00Z does not balance: debits less credits are 1 usd",
        ),
        (
            broken(1, |event| {
                let InvoiceEvent::Finalized(event) = event else { panic!("{event:?}") };
                Arc::make_mut(&mut Arc::make_mut(event).lines[0]).amount -= 1;
            }),
            "the entry at 2024-02-01T00:00:00Z defers 2900 usd, but schedules 2899",
        ),
        (
            broken(3, |event| {
                let InvoiceEvent::PaymentCameLate(event) = event else { panic!("{event:?}") };
                Arc::make_mut(event).amount -= 1;
            }),
            "the entry at 2024-02-02T00:00:00Z does not balance: debits less credits are -1 usd",
        ),
        (
            broken(3, |event| {
                let InvoiceEvent::PaymentCameLate(event) = event else { panic!("{event:?}") };
                Arc::make_mut(event).balance_transaction = None;
            }),
            "a late payment of 2900 on invoice in_1 was credited to nobody",
        ),
    ];
    for (event, message) in cases {
        let error = journal.record(&event, PostingRules::V1).unwrap_err();
        assert_eq!(error.to_string(), message);
        let violation = invariant_every_entry_balances([&event], PostingRules::V1).unwrap_err();
        assert_eq!(
            (violation.name, violation.detail.as_str()),
            ("invariant_every_entry_balances", message)
        );
        assert_eq!(journal, before);
    }
    assert_eq!(invariant_every_entry_balances(&events, PostingRules::V1), Ok(()));
}

#[test]
fn totals_out_of_range_are_refused_and_change_nothing() {
    let entry = |currency, amount: i64| {
        let deferrals = [amount, -1, -(amount + 1), 2]
            .map(|amount| Deferral { amount, period: Period::instant(at("2024-02-01")) });
        Entry::new(at("2024-02-01"), currency, Vec::new(), deferrals.to_vec())
    };
    let (currency, at) = (USD, at("2024-02-01"));
    let mut journal = Journal::default();
    // The smallest integer has no opposite, so it could never be taken back.
    let error = journal.append(&entry(USD, i64::MIN).unwrap()).unwrap_err();
    assert_eq!(error, PostingError::OutOfRange { at, currency });
    assert_eq!(journal, Journal::default());
    journal.append(&entry(USD, -i64::MAX).unwrap()).unwrap();
    assert_eq!(journal.entries(), 1);
}

#[test]
fn invariants_name_what_differs() {
    let mut book = Book::new(at("2024-01-01"));
    book.adjust(30, USD, at("2024-01-01"));
    finalize(&mut book, 2_900);
    book.adjust(-7, USD, at("2024-01-01"));
    let journal = recorded(&book);
    assert_eq!(invariant_receivables_equal(&journal, USD, 2_930), Ok(()));
    assert_eq!(invariant_customer_balance_equals(&journal, USD, -7), Ok(()));
    assert_eq!(invariant_schedules_equal_deferred_revenue(&journal), Ok(()));
    for (violation, message) in [
        (
            invariant_receivables_equal(&journal, USD, 2_900),
            "invariant_receivables_equal: the journal has 2930 usd, expected are 2900",
        ),
        (
            invariant_customer_balance_equals(&journal, USD, 0),
            "invariant_customer_balance_equals: the journal has -7 usd, expected are 0",
        ),
        (
            invariant_receivables_equal(&journal, Currency::EUR, 1),
            "invariant_receivables_equal: the journal has 0 eur, expected are 1",
        ),
    ] {
        assert_eq!(violation.unwrap_err().to_string(), message);
    }
}

#[test]
fn a_damaged_journal_is_seen() {
    let mut book = Book::new(at("2024-01-01"));
    finalize(&mut book, 2_900);
    let text = serde_json::to_string(&recorded(&book)).unwrap();
    let damaged = |from: &str, to: &str| -> Journal {
        assert!(text.contains(from), "{text}");
        serde_json::from_str(&text.replace(from, to)).unwrap()
    };
    let journal = damaged(r#""debit_minor":2900"#, r#""debit_minor":2901"#);
    assert_eq!(
        invariant_trial_balance_balances(&journal, at("2024-02-11")).unwrap_err().to_string(),
        "invariant_trial_balance_balances: debits less credits are 1 usd"
    );
    let journal = damaged(r#""amount_minor":2900"#, r#""amount_minor":2800"#);
    assert_eq!(
        invariant_schedules_equal_deferred_revenue(&journal).unwrap_err().to_string(),
        "invariant_schedules_equal_deferred_revenue: the journal has 2900 usd, expected are 2800"
    );
}
