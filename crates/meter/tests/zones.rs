//! Usage by the clock of a time zone: days of 23 and 25 hours, hours that begin at half past, and
//! whatever else a plain list says.

mod fixture;

use counterfoil_core::{Decimal12, EventTime, Period, Timestamp};
use counterfoil_meter::{EventBatch, EventTimeWindow, Formula, Grouping, Position, Summary, Zone};
use fixture::{Fixture, at, decimal, meter, period};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NOW: &str = "2025-04-01T12:00:00Z";

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

fn summaries(f: &Fixture, period: Period, grouping: Grouping, name: &str) -> Vec<Summary> {
    let (cut, zone) = (Position::MAX, zone(name));
    f.meters.summaries_in(&meter(1), "cus_1", period, grouping, zone, cut).unwrap()
}

fn rows(summaries: &[Summary]) -> Vec<(String, i64, String)> {
    let row = |own: &Summary| {
        (own.period.start.to_string(), own.period.seconds() / 60, own.value.to_string())
    };
    summaries.iter().map(row).collect()
}

fn check(found: &[Summary], expected: &[(&str, i64, &str)]) {
    let own = |&(start, minutes, value): &(&str, i64, &str)| {
        (start.to_owned(), minutes, value.to_owned())
    };
    assert_eq!(rows(found), expected.iter().map(own).collect::<Vec<_>>());
}

#[test]
fn a_day_has_the_hours_that_its_clock_had() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    for (identifier, time, value) in [
        // Berlin: the thirtieth of March 2025 begins at 23:00 UTC and has 23 hours.
        ("a", "2025-03-29T22:59:59Z", "1"),
        ("b", "2025-03-29T23:00:00Z", "20"),
        ("c", "2025-03-30T21:59:59Z", "300"),
        ("d", "2025-03-30T22:00:00Z", "4000"),
        ("e", "2025-03-31T22:00:00Z", "50000"),
    ] {
        f.send(identifier, time, value);
    }
    let whole = period("2025-03-15T23:00:00Z", "2025-04-01T22:00:00Z");
    check(
        &summaries(&f, whole, Grouping::Day, "Europe/Berlin"),
        &[
            ("2025-03-28T23:00:00Z", 1_440, "1"),
            ("2025-03-29T23:00:00Z", 1_380, "320"),
            ("2025-03-30T22:00:00Z", 1_440, "4000"),
            ("2025-03-31T22:00:00Z", 1_440, "50000"),
        ],
    );
    // A month is cut by the period: these are sixteen days, one of them short.
    check(
        &summaries(&f, whole, Grouping::Month, "Europe/Berlin"),
        &[("2025-03-15T23:00:00Z", 23_040 - 60, "4321"), ("2025-03-31T22:00:00Z", 1_440, "50000")],
    );

    let mut f = Fixture::with(Formula::Max, None, "2025-11-03T12:00:00Z");
    for (identifier, time, value) in [
        // New York: the second of November 2025 begins at 4:00 UTC and has 25 hours.
        ("a", "2025-11-02T03:59:59Z", "9"),
        ("b", "2025-11-02T04:00:00Z", "7"),
        ("c", "2025-11-03T04:59:59Z", "8"),
        ("d", "2025-11-03T05:00:00Z", "6"),
    ] {
        f.send(identifier, time, value);
    }
    let whole = period("2025-11-01T04:00:00Z", "2025-11-04T05:00:00Z");
    check(
        &summaries(&f, whole, Grouping::Day, "America/New_York"),
        &[
            ("2025-11-01T04:00:00Z", 1_440, "9"),
            ("2025-11-02T04:00:00Z", 1_500, "8"),
            ("2025-11-03T05:00:00Z", 1_440, "6"),
        ],
    );
}

#[test]
fn hours_that_are_not_those_of_utc_are_read_by_events() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    for (identifier, time, value) in [
        ("a", "2025-03-15T11:14:59Z", "1"),
        ("b", "2025-03-15T11:15:00Z", "20"),
        ("c", "2025-03-15T11:29:59Z", "300"),
        ("d", "2025-03-15T11:30:00Z", "4000"),
        ("e", "2025-03-15T12:14:59Z", "50000"),
    ] {
        f.send(identifier, time, value);
    }
    let quarter = period("2025-03-15T10:15:00Z", "2025-03-15T12:15:00Z");
    check(
        &summaries(&f, quarter, Grouping::Hour, "Asia/Kathmandu"),
        &[("2025-03-15T10:15:00Z", 60, "1"), ("2025-03-15T11:15:00Z", 60, "54320")],
    );
    let half = period("2025-03-15T10:30:00Z", "2025-03-15T12:30:00Z");
    check(
        &summaries(&f, half, Grouping::Hour, "Asia/Kolkata"),
        &[("2025-03-15T10:30:00Z", 60, "321"), ("2025-03-15T11:30:00Z", 60, "54000")],
    );
    // The days of Kathmandu begin at 18:15 UTC.
    let day = period("2025-03-14T18:15:00Z", "2025-03-15T18:15:00Z");
    check(
        &summaries(&f, day, Grouping::Day, "Asia/Kathmandu"),
        &[("2025-03-14T18:15:00Z", 1_440, "54321")],
    );
    let minute = period("2025-03-15T11:14:00Z", "2025-03-15T11:16:00Z");
    check(
        &summaries(&f, minute, Grouping::Minute, "Asia/Kathmandu"),
        &[("2025-03-15T11:14:00Z", 1, "1"), ("2025-03-15T11:15:00Z", 1, "20")],
    );
}

#[test]
fn a_period_begins_and_ends_with_a_window_there() {
    let f = Fixture::with(Formula::Sum, None, NOW);
    for (start, end, grouping, expected) in [
        (
            "2025-03-15T00:00:00Z",
            "2025-03-15T23:00:00Z",
            Grouping::Day,
            "2025-03-15T00:00:00Z is not the beginning of a day in Europe/Berlin",
        ),
        (
            "2025-03-15T23:00:00Z",
            "2025-03-16T22:00:00Z",
            Grouping::Month,
            "2025-03-16T22:00:00Z is not the beginning of a day in Europe/Berlin",
        ),
        (
            "2025-03-15T23:00:00Z",
            "2025-03-16T22:30:00Z",
            Grouping::Hour,
            "2025-03-16T22:30:00Z is not a whole hour in Europe/Berlin",
        ),
        (
            "2025-03-15T23:00:01Z",
            "2025-03-16T22:30:00Z",
            Grouping::Minute,
            "2025-03-15T23:00:01Z is not a whole minute in Europe/Berlin",
        ),
        (
            "2025-03-15T23:00:00Z",
            "2025-03-15T23:00:00Z",
            Grouping::Day,
            "2025-03-15T23:00:00Z is not after start_time 2025-03-15T23:00:00Z",
        ),
    ] {
        let (range, zone) = (period(start, end), zone("Europe/Berlin"));
        let error = f.meters.summaries_in(&meter(1), "cus_1", range, grouping, zone, Position::MAX);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let unknown = f.meters.summaries_in(
        &meter(2),
        "cus_1",
        period("2025-03-15T23:00:00Z", "2025-03-16T23:00:00Z"),
        Grouping::Day,
        zone("Europe/Berlin"),
        Position::MAX,
    );
    assert_eq!(unknown.unwrap_err().code().to_string(), "resource_missing");
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Chatham",
];

fn of_list(formula: Formula, values: &[Decimal12]) -> Decimal12 {
    let parts = values.iter().map(|own| own.trillionths());
    match formula {
        Formula::Sum => Decimal12::from_trillionths(parts.sum()),
        Formula::Count => Decimal12::from(i64::try_from(values.len()).unwrap()),
        Formula::Max => Decimal12::from_trillionths(parts.max().unwrap()),
        Formula::UniqueCount => {
            let unique = parts.collect::<std::collections::BTreeSet<_>>().len();
            Decimal12::from(i64::try_from(unique).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Each event is in one window, and each row is what the events of its window come to.
    #[test]
    fn rows_are_what_a_plain_list_says(
        // Seconds before now, in the 34 days around the change of clocks; and thousandths.
        events in prop::collection::vec((0..2_900_000_i64, 0..1_000_i64, -50..50_i64), 0..60),
        name in prop::sample::select(ZONES.to_vec()),
        grouping in prop::sample::select(vec![
            Grouping::Minute, Grouping::Hour, Grouping::Day, Grouping::Month,
        ]),
        formula in prop::sample::select(vec![
            Formula::Sum, Formula::Count, Formula::Max, Formula::UniqueCount,
        ]),
        cancelled in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        bounds in (0..2_900_000_i64, 0..2_900_000_i64),
    ) {
        let mut f = Fixture::with(formula, None, NOW);
        let (zone, now) = (zone(name), at(NOW).unix());
        let mut batch = EventBatch::new("calls");
        let mut live = BTreeMap::new();
        for (number, (ago, milli, value)) in events.iter().enumerate() {
            let time = EventTime::from_nanos(((now - ago) * 1_000 + milli) * 1_000_000);
            let time = if time.second() > at(NOW) { EventTime::clamped(at(NOW)) } else { time };
            let (id, value) = (format!("e{number}"), value.to_string());
            batch.push(Some(&id), Some("cus_1"), Some(time), Some(&value)).unwrap();
            let value = if formula == Formula::Count { "0".to_owned() } else { value };
            live.insert(id, (time, decimal(&value)));
        }
        let taken = f.admit(&batch);
        prop_assert_eq!(taken.taken, u64::try_from(events.len()).unwrap());
        for index in cancelled {
            let id = format!("e{}", index.index(events.len() + 1));
            if let Ok(block) = f.meters.admit_cancel("calls", &id, f.now) {
                f.apply(Some(&block));
                live.remove(&id);
            }
        }
        // A period of whole windows; of whole days where it is grouped by months.
        let unit = if grouping == Grouping::Month { Grouping::Day } else { grouping };
        let edge = |ago: i64| zone.window(unit, Timestamp::from_unix(now - ago).unwrap());
        let (early, late) = (bounds.0.max(bounds.1), bounds.0.min(bounds.1));
        let range = Period::new(edge(early).start, edge(late).end);

        let mut expected = BTreeMap::<Period, Vec<Decimal12>>::new();
        for (time, value) in live.values() {
            if range.contains(time.second()) {
                let own = zone.window(grouping, time.second());
                let own = Period::new(own.start.max(range.start), own.end.min(range.end));
                expected.entry(own).or_default().push(*value);
            }
        }
        let expected: Vec<Summary> = expected
            .into_iter()
            .map(|(period, values)| Summary { period, value: of_list(formula, &values) })
            .collect();
        prop_assert_eq!(&summaries(&f, range, grouping, name), &expected);
        // The windows that the caller cuts at the zone's bounds say the same.
        let list = zone.bounds(grouping, range, usize::MAX);
        if list.len() < 5_000 {
            let read = f.meters.usage_in(&meter(1), "cus_1", &list, Position::MAX).unwrap();
            let own = list.array_windows().map(|&[start, end]| Period::new(start, end));
            let read = own.zip(read).filter(|(_, reading)| reading.events > 0);
            let read: Vec<Summary> =
                read.map(|(period, own)| Summary { period, value: own.quantity }).collect();
            prop_assert_eq!(read, expected);
        }
    }
}

#[test]
fn pre_aggregated_windows_keep_their_rule() {
    let mut f = Fixture::with(Formula::Sum, Some(EventTimeWindow::Hour), NOW);
    // Of one hour of UTC only what came last counts, by whatever clock it is then grouped.
    f.send("a", "2025-03-15T11:10:00Z", "1");
    f.send("b", "2025-03-15T11:20:00Z", "20");
    let range = period("2025-03-15T10:15:00Z", "2025-03-15T12:15:00Z");
    check(
        &summaries(&f, range, Grouping::Hour, "Asia/Kathmandu"),
        &[("2025-03-15T11:15:00Z", 60, "20")],
    );
}
