//! The book as it was: what a view of a moment says is what the book said at that moment.

mod support;

use counterfoil::{
    AsOf, CreateMeterEvent, Engine, EventTime, Explanation, Lsn, Timestamp, TrialBalance,
};
use support::{
    CALLS, assert_sound, book, customer, customer_id, day, gateway, happened, subscription,
};

/// What a book says at a moment.
#[derive(Debug, PartialEq)]
struct Moment {
    position: Lsn,
    now: Option<Timestamp>,
    hash: [u8; 32],
    events: u64,
    balance: TrialBalance,
    explained: Vec<Explanation>,
}

impl Moment {
    fn lived(book: &Engine) -> Self {
        let position = book.durable();
        let explained = match book.invoices().list(&customer_id("cus_ada")) {
            Ok(invoices) => invoices
                .iter()
                .map(|view| book.invoices().explain(&view.invoice.id).unwrap())
                .collect(),
            Err(_) => Vec::new(),
        };
        Self {
            position,
            now: book.now().unwrap(),
            hash: book.state_hash().unwrap(),
            events: book.event_count().unwrap(),
            balance: book.trial_balance(None).unwrap(),
            explained,
        }
    }

    fn seen(book: &Engine, moment: impl Into<AsOf>) -> Self {
        let view = book.as_of(moment).unwrap();
        let explained = match view.invoices(&customer_id("cus_ada")) {
            Ok(invoices) => {
                invoices.iter().map(|seen| view.explain(&seen.invoice.id).unwrap()).collect()
            }
            Err(_) => Vec::new(),
        };
        Self {
            position: view.position(),
            now: view.now(),
            hash: view.state_hash(),
            events: view.event_count(),
            balance: view.trial_balance(None).unwrap(),
            explained,
        }
    }
}

fn calls(book: &Engine, at: Timestamp, value: i64) {
    let at = EventTime::from_timestamp(at).unwrap();
    let event = CreateMeterEvent::new(CALLS, &customer_id("cus_ada"), value).at(at);
    book.meter_events().create(&event).unwrap();
}

/// Lives through four months, and says what the book said after each of the steps.
fn lived() -> (Engine, Vec<Moment>) {
    let book = book();
    let mut moments = vec![Moment::lived(&book)];
    book.customers().create(customer("cus_ada", "pm_good")).unwrap();
    moments.push(Moment::lived(&book));
    book.subscriptions().create(subscription("sub_a", "cus_ada", "price_month")).unwrap();
    moments.push(Moment::lived(&book));
    book.subscriptions().create(subscription("sub_b", "cus_ada", "price_calls")).unwrap();
    moments.push(Moment::lived(&book));
    for days in [3, 17, 40, 41, 90, 120] {
        book.advance_to(day(days), &mut gateway).unwrap();
        calls(&book, day(days - 1), days);
        moments.push(Moment::lived(&book));
    }
    assert_sound(&book);
    (book, moments)
}

#[test]
fn a_view_of_a_position_says_what_the_book_said_there() {
    let (book, moments) = lived();
    assert!(moments.last().unwrap().explained.len() >= 4);
    for moment in &moments {
        assert_eq!(Moment::seen(&book, moment.position), *moment);
    }
    assert_eq!(Moment::seen(&book, AsOf::Latest), *moments.last().unwrap());
}

#[test]
fn a_view_of_a_time_holds_all_that_happened_by_then_and_nothing_later() {
    let (book, _) = lived();
    for days in 0..121 {
        let view = book.as_of(day(days)).unwrap();
        assert_eq!(view.now(), Some(day(days)));
        let records = book.events(Lsn(1)).map(Result::unwrap);
        let last = records.take_while(|record| record.at <= day(days)).last().unwrap().lsn;
        assert_eq!(view.position(), last, "day {days}");
        view.check_invariants().unwrap().unwrap();
    }
    // Beyond the end the book's time stands where its last record does.
    let last = book.as_of(day(500)).unwrap();
    assert_eq!((last.position(), last.now()), (book.durable(), Some(day(120))));
}

#[test]
fn a_view_stays_as_it_is_while_the_book_goes_on() {
    let (book, moments) = lived();
    let moment = moments.last().unwrap();
    let view = book.as_of(AsOf::Latest).unwrap();
    book.advance_to(day(300), &mut gateway).unwrap();
    assert!(!happened(&book, moment.position).is_empty());
    assert_eq!((view.state_hash(), view.now()), (moment.hash, moment.now));
}

#[test]
fn a_moment_before_the_book_is_empty_and_one_after_it_is_refused() {
    let (book, _) = lived();
    for moment in [AsOf::Position(Lsn::ZERO), AsOf::Time(day(-1))] {
        let view = book.as_of(moment).unwrap();
        assert_eq!((view.position(), view.now(), view.event_count()), (Lsn::ZERO, None, 0));
        assert!(view.trial_balance(None).is_err());
    }
    let beyond = book.durable().next();
    let error = book.as_of(beyond).unwrap_err();
    assert!(error.to_string().contains(&format!("record {beyond} is not there")), "{error}");
}
