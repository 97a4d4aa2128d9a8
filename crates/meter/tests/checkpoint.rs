//! An aggregator that was put into a checkpoint and read again is the one it was.

mod fixture;

use counterfoil_core::{EventTime, Period};
use counterfoil_meter::{
    Aggregator, DedupePolicy, EventBatch, EventTimeWindow, Formula, Grouping, Position,
};
use fixture::{Fixture, at, meter};
use proptest::prelude::*;

const START: &str = "2025-03-15T12:00:00Z";

#[derive(Debug, Clone)]
enum Step {
    Send { identifier: u8, customer: u8, minutes: i64, value: i64 },
    Cancel(u8),
    Wait(i64),
    Deactivate,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let send = (0..40_u8, 1..=3_u8, 0..3_000_i64, -9..9_i64).prop_map(
        |(identifier, customer, minutes, value)| Step::Send {
            identifier,
            customer,
            minutes,
            value,
        },
    );
    let step = prop_oneof![
        12 => send,
        4 => (0..40_u8).prop_map(Step::Cancel),
        2 => (0..90_000_i64).prop_map(Step::Wait),
        1 => Just(Step::Deactivate),
        3 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..80)
}

fn reopened(meters: &Aggregator) -> Aggregator {
    let bytes = meters.capture().encode().unwrap();
    Aggregator::from_checkpoint(&bytes, meters.policy()).unwrap()
}

/// Does one step on a book that is reopened now and then, or on one that never is.
fn perform(book: &mut Fixture, step: &Step, reopens: bool) -> Option<u64> {
    match step {
        Step::Send { identifier, customer, minutes, value } => {
            let seconds = at(START).unix() - minutes * 60;
            let time = EventTime::from_nanos(seconds * 1_000_000_000);
            let (identifier, customer) = (format!("id_{identifier}"), format!("cus_{customer}"));
            let mut batch = EventBatch::new("calls");
            let value = value.to_string();
            batch.push(Some(&identifier), Some(&customer), Some(time), Some(&value)).unwrap();
            Some(book.admit(&batch).taken)
        }
        Step::Cancel(identifier) => {
            let identifier = format!("id_{identifier}");
            let block = book.meters.admit_cancel("calls", &identifier, book.now).ok();
            book.apply(block.as_ref());
            Some(u64::from(block.is_some()))
        }
        Step::Wait(seconds) => {
            book.now = book.now.checked_add_seconds(*seconds).unwrap();
            None
        }
        Step::Deactivate => {
            book.meters.deactivate(&meter(1)).unwrap();
            book.meters.reactivate(&meter(1)).unwrap();
            None
        }
        Step::Reopen => {
            if reopens {
                book.meters = reopened(&book.meters);
            }
            None
        }
    }
}

fn check_equal(left: &Fixture, right: &Fixture) -> Result<(), TestCaseError> {
    prop_assert_eq!(left.canonical(), right.canonical());
    let start = at(START).unix();
    for cut in 0..=left.meters.position().0 + 1 {
        for minutes in [0_i64, 59, 61, 1_441, 3_001] {
            let from = counterfoil_core::Timestamp::from_unix(start - minutes * 60).unwrap();
            let period = Period::new(from, at("2026-01-01T00:00:00Z"));
            let read = |book: &Fixture| book.usage_at(period, Position(cut));
            prop_assert_eq!(read(left), read(right));
        }
    }
    let month = fixture::period("2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z");
    let by_hour = |book: &Fixture| {
        let grouping = Some(Grouping::Hour);
        book.meters.summaries(&meter(1), "cus_2", month, grouping, Position::MAX).unwrap()
    };
    prop_assert_eq!(by_hour(left), by_hour(right));
    Ok(())
}

proptest! {
    #[test]
    fn reopening_changes_nothing(
        steps in steps(),
        formula in prop::sample::select(vec![Formula::Sum, Formula::Count, Formula::Last]),
        window in prop::sample::select(vec![
            None, Some(EventTimeWindow::Hour), Some(EventTimeWindow::Day),
        ]),
        short in any::<bool>(),
    ) {
        let mut live = Fixture::with(formula, window, START);
        if short {
            let policy = DedupePolicy::window(DedupePolicy::WINDOW_SECONDS_MIN).unwrap();
            let bytes = live.meters.capture().encode().unwrap();
            live.meters = Aggregator::from_checkpoint(&bytes, policy).unwrap();
        }
        let mut other = Fixture { meters: live.meters.clone(), now: live.now };
        for step in &steps {
            let took = perform(&mut live, step, false);
            prop_assert_eq!(perform(&mut other, step, true), took, "{:?}", step);
        }
        check_equal(&live, &other)?;
    }
}

#[test]
fn a_capture_stands_still_while_the_aggregator_goes_on() {
    let mut book = Fixture::with(Formula::Sum, None, START);
    for n in 0..9_000 {
        book.send_now(&format!("id_{n}"), "1");
    }
    let (capture, before) = (book.meters.capture(), book.canonical());
    for n in 9_000..9_100 {
        book.send_now(&format!("id_{n}"), "1");
    }
    let cancelled = book.meters.admit_cancel("calls", "id_17", book.now).unwrap();
    book.apply(Some(&cancelled));
    assert_ne!(book.canonical(), before);
    let bytes = capture.encode().unwrap();
    let meters = Aggregator::from_checkpoint(&bytes, DedupePolicy::default()).unwrap();
    assert_eq!(Fixture { meters, now: book.now }.canonical(), before);
}

#[test]
fn hostile_bytes_are_refused_or_read() {
    let mut book = Fixture::with(Formula::Last, Some(EventTimeWindow::Day), START);
    for n in 0..9 {
        book.send_now(&format!("id_{n}"), "1.5");
    }
    let bytes = book.meters.capture().encode().unwrap();
    let read = |bytes: &[u8]| Aggregator::from_checkpoint(bytes, DedupePolicy::default());
    for at in 0..bytes.len() {
        assert!(read(&bytes[..at]).is_err());
        for byte in [0, 1, 0x7f, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] = byte;
            if let Ok(meters) = read(&damaged) {
                let _ = Fixture { meters, now: book.now }.canonical();
            }
        }
    }
}

/// Takes events of a form in: their identifiers, and values in trillionths.
fn take(meters: &mut Aggregator, position: u64, rows: &[(u128, i128)], texts: bool) -> u64 {
    use counterfoil_core::Decimal12;
    use counterfoil_meter::{
        AdmitContext, Anyone, CustomerIds, EventColumns, EventNames, Identifiers, Strings, Values,
    };
    let numbers: Vec<u128> = rows.iter().map(|(identifier, _)| *identifier).collect();
    let mut text = String::new();
    let ends: Vec<u32> = numbers
        .iter()
        .map(|number| {
            text.push_str(&format!("id {number}"));
            text.len() as u32
        })
        .collect();
    let identifiers = match texts {
        true => Identifiers::Texts(Strings::new(&text, &ends).unwrap()),
        false => Identifiers::Numbers(&numbers),
    };
    let customers: Vec<u64> = numbers.iter().map(|number| (number % 37) as u64).collect();
    let values: Vec<Decimal12> =
        rows.iter().map(|(_, value)| Decimal12::from_trillionths(*value)).collect();
    let columns = EventColumns::of(
        EventNames::One("calls"),
        identifiers,
        CustomerIds::Numbers(&customers),
        None,
        Values::Decimals(&values),
    );
    let ctx = AdmitContext::new(at(START), &Anyone);
    meters.take(Position(position), columns.unwrap(), &ctx).taken
}

#[test]
fn batches_of_any_form_are_read_as_they_were_taken() {
    use counterfoil_core::Decimal12;
    use counterfoil_meter::{AdjustPolicy, Adjustment, MeterConfig};
    let mut meters = Aggregator::new(DedupePolicy::default());
    let config = MeterConfig::new("calls", Formula::Sum).also(Formula::Max).also(Formula::Last);
    meters.define(meter(1), config).unwrap();
    // Every eleventh value is no whole millionths, and every seventh event repeats another one.
    let row = |n: u64| {
        let identifier = u128::from(if n % 7 == 6 { n / 2 } else { n });
        (identifier, i128::from(n % 1_000) * if n.is_multiple_of(11) { 1 } else { 1_000_000 })
    };
    let rows: Vec<_> = (0..9_000).map(row).collect();
    assert!(take(&mut meters, 1, &rows, false) < 9_000);
    assert!(take(&mut meters, 2, &rows[..700], true) < 700);
    // Nearly all of this is there already: what is left of it is far apart.
    let more: Vec<_> =
        (0..9_000).map(|n| row(if n % 2_000 == 5 { 20_000 + n } else { n })).collect();
    assert!((3..6).contains(&take(&mut meters, 3, &more, false)));
    let later = at(START).checked_add_seconds(60).unwrap();
    for (position, identifier) in (4..).zip(["id 13", "id 22", "id 300"]) {
        let adjustment = match identifier {
            "id 22" => Adjustment::Correct(Decimal12::from_trillionths(7)),
            _ => Adjustment::Cancel,
        };
        let policy = AdjustPolicy::Day;
        let block = meters.admit_adjustment("calls", identifier, adjustment, policy, later);
        meters.apply(Position(position), &block.unwrap());
    }
    let canonical = |meters: &Aggregator| {
        let mut bytes = Vec::new();
        meters.canonical(&mut |piece| bytes.extend_from_slice(piece));
        bytes
    };
    let bytes = meters.capture().encode().unwrap();
    for threads in [1, 3] {
        let again = Aggregator::with_key(DedupePolicy::default(), [threads; 32]);
        let mut again = again.threads(threads.into()).restored(&bytes).unwrap();
        assert!(canonical(&again) == canonical(&meters), "{threads} threads");
        let always =
            Period::new(counterfoil_core::Timestamp::MIN, counterfoil_core::Timestamp::MAX);
        for customer in 0..37 {
            let customer = format!("{customer:016x}");
            for cut in [1, 2, 3, 4, 5, 9].map(Position) {
                let totals = |of: &Aggregator| of.totals(&meter(1), &customer, always, cut);
                assert_eq!(totals(&again), totals(&meters), "{customer} at {cut}");
            }
        }
        assert_eq!(again.capture().encode().unwrap()[..], bytes[..]);
        // What was taken is remembered.
        assert_eq!(take(&mut again, 9, &rows, false), 0);
        assert_eq!(take(&mut again, 9, &rows[..700], true), 0);
    }
}
