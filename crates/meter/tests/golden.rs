//! The worked examples of metering, and the table of refusals.

mod fixture;

use counterfoil_core::{Code, Decimal12, EventTime, Refusal, Timestamp};
use counterfoil_meter::{
    AdjustError, AdmitContext, Aggregator, BlockEvent, DedupePolicy, EventBatch, EventColumns,
    EventTimeWindow, Formula, Grouping, MeterConfig, MeterError, MeterEvent, Outcome, Position,
    Strings, Values,
};
use fixture::{Fixture, at, decimal, known, meter, period};
use std::collections::BTreeMap;

const NOW: &str = "2025-03-15T12:00:00Z";

#[test]
fn e30_windows_and_formulas() {
    use EventTimeWindow::{Day, Hour};
    for (formula, window, quantity, events) in [
        (Formula::Sum, Some(Hour), "9", 2),
        (Formula::Sum, None, "16", 3),
        (Formula::Count, None, "3", 3),
        (Formula::Last, None, "5", 3),
        (Formula::Sum, Some(Day), "5", 1),
        (Formula::Count, Some(Hour), "2", 2),
        (Formula::Last, Some(Hour), "5", 2),
    ] {
        let mut f = Fixture::with(formula, window, NOW);
        f.send("a", "2025-03-15T09:05:00Z", "7");
        f.send("b", "2025-03-15T09:40:00Z", "4");
        f.send("c", "2025-03-15T10:00:00Z", "5");
        let reading = f.usage(period("2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z"));
        assert_eq!(reading.quantity, decimal(quantity), "{formula:?} {window:?}");
        assert_eq!(reading.events, events, "{formula:?} {window:?}");
        assert_eq!(reading.position, Position(3));
    }
}

#[test]
fn e30_a_negative_total_is_returned_as_it_is() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    f.send("a", "2025-03-15T09:00:00Z", "3");
    f.send("b", "2025-03-15T09:00:00Z", "-10");
    let march = period("2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z");
    assert_eq!(f.usage(march).quantity, decimal("-7"));
}

#[test]
fn e40_the_limits_of_time_are_inclusive_to_the_nanosecond() {
    assert_eq!(at(NOW).unix(), 1_742_040_000);
    let second = 1_000_000_000;
    for (nanos, code) in [
        (1_739_016_000 * second, None),
        (1_739_016_000 * second - 1, Some(Code::TimestampTooFarInPast)),
        (1_742_040_300 * second, None),
        (1_742_040_300 * second + 1, Some(Code::TimestampInFuture)),
        (i64::MIN, Some(Code::TimestampTooFarInPast)),
        (i64::MAX, Some(Code::TimestampInFuture)),
    ] {
        let f = Fixture::with(Formula::Sum, None, NOW);
        let mut batch = EventBatch::new("calls");
        let time = Some(EventTime::from_nanos(nanos));
        batch.push(Some("a"), Some("cus_1"), time, Some("1")).unwrap();
        let admission = f.meters.admit(batch.columns(), &AdmitContext::new(at(NOW), &known));
        assert_eq!(admission.refused.first().map(|refused| refused.code()), code, "{nanos}");
        assert_eq!(admission.taken, u64::from(code.is_none()));
    }
}

fn event(name: &str, payload: &[(&str, &str)], second: Option<i64>) -> MeterEvent {
    MeterEvent {
        event_name: name.into(),
        identifier: Some("x".into()),
        timestamp: second.map(|s| {
            EventTime::from_timestamp(Timestamp::from_unix(at(NOW).unix() + s).unwrap()).unwrap()
        }),
        payload: payload.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    }
}

#[test]
fn every_refusal_has_its_code_and_leaves_the_identifier_free() {
    let customer = ("stripe_customer_id", "cus_1");
    let long = "9".repeat(16);
    let cases: [(MeterEvent, Code); 15] = [
        (event("nothing", &[customer, ("value", "1")], None), Code::NoMeter),
        (event("retired", &[customer, ("value", "1")], None), Code::ArchivedMeter),
        (event("calls", &[("value", "1")], None), Code::MeterEventNoCustomerDefined),
        (
            event("calls", &[("stripe_customer_id", ""), ("value", "1")], None),
            Code::MeterEventNoCustomerDefined,
        ),
        (
            event("calls", &[("stripe_customer_id", "cus_9"), ("value", "1")], None),
            Code::MeterEventCustomerNotFound,
        ),
        (event("calls", &[customer], None), Code::MeterEventInvalidValue),
        (event("calls", &[customer, ("value", "")], None), Code::MeterEventInvalidValue),
        (event("calls", &[customer, ("value", "1e3")], None), Code::MeterEventInvalidValue),
        (event("calls", &[customer, ("value", "+1")], None), Code::MeterEventInvalidValue),
        (event("calls", &[customer, ("value", &long)], None), Code::MeterEventValueTooManyDigits),
        (
            event("calls", &[customer, ("value", "0.0000000000001")], None),
            Code::MeterEventValueTooManyDigits,
        ),
        (
            event("calls", &[customer, ("value", "1")], Some(-3_024_001)),
            Code::TimestampTooFarInPast,
        ),
        (event("calls", &[customer, ("value", "1")], Some(301)), Code::TimestampInFuture),
        (
            MeterEvent {
                identifier: Some("i".repeat(256)),
                ..event("calls", &[customer, ("value", "1")], None)
            },
            Code::ParameterInvalid,
        ),
        (event("mapped", &[customer, ("value", "1")], None), Code::MeterEventNoCustomerDefined),
    ];
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    f.meters.define(meter(2), MeterConfig::new("retired", Formula::Sum)).unwrap();
    f.meters.deactivate(&meter(2)).unwrap();
    let mapped = MeterConfig {
        customer_payload_key: "account".into(),
        value_payload_key: "tokens".into(),
        ..MeterConfig::new("mapped", Formula::Sum)
    };
    f.meters.define(meter(3), mapped).unwrap();
    let ctx = AdmitContext::new(at(NOW), &known).with_outcomes();
    for (event, code) in cases {
        let admission = f.meters.admit_event(&event, &ctx);
        let [refused] = admission.refused.as_slice() else { panic!("{event:?} was taken") };
        assert_eq!((refused.index, refused.code()), (0, code), "{event:?}");
        let refusal = refused.refusal("x");
        assert_eq!(refusal.code(), code);
        assert!(refusal.to_string().contains("\"x\""), "{refusal}");
        assert_eq!(admission.block, None);
        assert_eq!((admission.taken, admission.duplicates), (0, 0));
        assert_eq!(admission.outcomes, Some(vec![Outcome::Refused]));
        let good = event_of("calls", &event);
        assert_eq!(f.meters.admit_event(&good, &ctx).taken, 1);
    }
    let good = event("mapped", &[("account", "cus_1"), ("tokens", "1.5")], Some(-5));
    let block = f.meters.admit_event(&good, &ctx).block.unwrap();
    assert_eq!(block.event(0).unwrap().value, decimal("1.5"));
    f.meters.reactivate(&meter(2)).unwrap();
    let revived = event("retired", &[customer, ("value", "1")], None);
    assert_eq!(f.meters.admit_event(&revived, &ctx).taken, 1);
}

/// A good event with the identifier of another, within its length.
fn event_of(name: &str, other: &MeterEvent) -> MeterEvent {
    let identifier = other.identifier.clone().map(|text| text.chars().take(255).collect());
    let payload = &[("stripe_customer_id", "cus_1"), ("value", "1")];
    MeterEvent { identifier, ..event(name, payload, None) }
}

#[test]
fn a_count_needs_no_value_and_keeps_none() {
    for value in [None, Some("7"), Some("nonsense")] {
        let mut f = Fixture::with(Formula::Count, None, NOW);
        let mut batch = EventBatch::new("calls");
        batch.push(Some("a"), Some("cus_1"), None, value).unwrap();
        let admission = f.admit(&batch);
        assert_eq!(admission.taken, 1, "{value:?}");
        let march = period("2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z");
        assert_eq!(f.usage(march).quantity, Decimal12::ONE);
        assert_eq!(f.event_values(march), [Decimal12::ZERO]);
    }
}

#[test]
fn the_first_event_wins_and_unequal_ones_are_conflicts() {
    // Identifier, customer, seconds after 12:00 or none, value.
    type Row = (&'static str, &'static str, Option<i64>, &'static str);
    let rows: [(Row, Outcome); 11] = [
        (("a", "cus_9", Some(0), "1"), Outcome::Refused),
        (("a", "cus_1", Some(0), "1.0"), Outcome::Taken),
        (("a", "cus_1", Some(0), "1.00"), Outcome::Duplicate),
        (("a", "cus_1", Some(1), "1"), Outcome::Conflict),
        (("a", "cus_2", Some(0), "1"), Outcome::Conflict),
        (("a", "cus_1", Some(0), "2"), Outcome::Conflict),
        (("a", "cus_1", Some(0), "x"), Outcome::Conflict),
        (("a", "cus_1", None, "1"), Outcome::Duplicate),
        (("b", "cus_1", None, "1"), Outcome::Taken),
        (("", "cus_1", None, "1"), Outcome::Taken),
        (("", "cus_1", None, "1"), Outcome::Taken),
    ];
    let push = |batch: &mut EventBatch, (identifier, customer, after, value): Row| {
        let time = after.map(|s| EventTime::from_nanos((at(NOW).unix() + s) * 1_000_000_000));
        batch.push(Some(identifier), Some(customer), time, Some(value)).unwrap();
    };
    // In one batch, and each in a batch of its own.
    let mut whole = Fixture::with(Formula::Sum, None, NOW);
    let mut batch = EventBatch::new("calls");
    rows.iter().for_each(|(row, _)| push(&mut batch, *row));
    let ctx = AdmitContext::new(at(NOW), &known).with_outcomes();
    let admission = whole.meters.admit(batch.columns(), &ctx);
    let expected: Vec<Outcome> = rows.iter().map(|(_, outcome)| *outcome).collect();
    assert_eq!(admission.outcomes.as_ref(), Some(&expected));
    assert_eq!((admission.taken, admission.duplicates, admission.conflicts), (4, 6, 4));
    assert_eq!(admission.refused.len(), 1);
    whole.apply(admission.block.as_ref());

    let mut single = Fixture::with(Formula::Sum, None, NOW);
    for (row, outcome) in rows {
        let mut batch = EventBatch::new("calls");
        push(&mut batch, row);
        let ctx = AdmitContext::new(at(NOW), &known).with_outcomes();
        let admission = single.meters.admit(batch.columns(), &ctx);
        assert_eq!(admission.outcomes, Some(vec![outcome]), "{row:?}");
        single.apply(admission.block.as_ref());
    }
    assert_eq!(whole.canonical(), single.canonical());
    let identifiers: Vec<String> = whole
        .meters
        .events(&meter(1), "cus_1", Fixture::ALWAYS, Position::MAX)
        .unwrap()
        .map(|event| event.identifier.into_owned())
        .collect();
    assert_eq!(identifiers, ["a", "b", "mtrevt_3", "mtrevt_4"]);
}

#[test]
fn a_generated_identifier_avoids_those_in_use() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    let mut batch = EventBatch::new("calls");
    for identifier in [Some("mtrevt_2"), None, None] {
        batch.push(identifier, Some("cus_1"), None, Some("1")).unwrap();
    }
    let block = f.admit(&batch).block.unwrap();
    let identifiers: Vec<_> = block.events().map(|event| event.identifier).collect();
    assert_eq!(identifiers, ["mtrevt_2", "mtrevt_3", "mtrevt_4"]);
}

#[test]
fn identifiers_are_remembered_for_the_window_and_no_longer() {
    let day = DedupePolicy::window(86_400).unwrap();
    for (policy, age, duplicate) in [
        (day, 86_400, true),
        (day, 86_401, false),
        (DedupePolicy::default(), 35 * 86_400, true),
        (DedupePolicy::default(), 35 * 86_400 + 1, false),
        (DedupePolicy::FOREVER, 900 * 86_400, true),
    ] {
        // Whether or not later blocks have passed in between makes no difference.
        for later_block in [false, true] {
            let mut f = Fixture::with(Formula::Sum, None, NOW);
            f.meters = Aggregator::new(policy);
            f.meters.define(meter(1), MeterConfig::new("calls", Formula::Sum)).unwrap();
            f.send_now("a", "1");
            f.now = f.now.checked_add_seconds(age).unwrap();
            if later_block {
                f.send_now("b", "10");
            }
            let admission = f.send_now("a", "1");
            assert_eq!(admission.duplicates == 1, duplicate, "{policy} {age} {later_block}");
            assert_eq!(admission.taken == 1, !duplicate, "{policy} {age} {later_block}");
        }
    }
}

#[test]
fn identifiers_belong_to_the_event_name_not_to_the_customer() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    f.meters.define(meter(2), MeterConfig::new("tokens", Formula::Sum)).unwrap();
    let ctx = AdmitContext::new(at(NOW), &known);
    for (name, customer, taken) in
        [("calls", "cus_1", 1), ("calls", "cus_2", 0), ("tokens", "cus_1", 1)]
    {
        let mut batch = EventBatch::new(name);
        batch.push(Some("a"), Some(customer), None, Some("1")).unwrap();
        let admission = f.meters.admit(batch.columns(), &ctx);
        assert_eq!(admission.taken, taken, "{name} {customer}");
        f.apply(admission.block.as_ref());
    }
}

#[test]
fn cancelling_is_exact_once_and_within_a_day_of_receipt() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    f.send_now("a", "3");
    f.send_now("b", "4");
    let received = f.now;
    let later = |seconds| received.checked_add_seconds(seconds).unwrap();
    let cancel = |f: &Fixture, name: &str, identifier: &str, now| {
        f.meters.admit_cancel(name, identifier, now).map_err(|error| {
            let code = Refusal::from(error.clone()).code();
            (error, code)
        })
    };
    let code = |f: &Fixture, name, identifier, now| cancel(f, name, identifier, now).unwrap_err().1;
    assert_eq!(code(&f, "nothing", "a", received), Code::NoMeter);
    assert_eq!(code(&f, "calls", "z", received), Code::ResourceMissing);
    assert_eq!(code(&f, "calls", "a", later(86_401)), Code::StateUnsupported);
    let block = cancel(&f, "calls", "a", later(86_400)).unwrap();
    assert_eq!(block.cancelled().collect::<Vec<_>>(), ["a"]);
    assert_eq!((block.len(), block.is_empty()), (0, false));

    let before = f.meters.position();
    f.apply(Some(&block));
    assert_eq!(f.usage(Fixture::ALWAYS).quantity, decimal("4"));
    assert_eq!(f.usage_at(Fixture::ALWAYS, before).quantity, decimal("7"));
    let (error, code) = cancel(&f, "calls", "a", later(86_400)).unwrap_err();
    assert!(matches!(error, AdjustError::Cancelled { .. }));
    assert_eq!(code, Code::StateUnsupported);
    // Applied again, as a careless caller may: nothing more is taken back.
    f.apply(Some(&block));
    assert_eq!(f.usage(Fixture::ALWAYS).quantity, decimal("4"));
    // The identifier stays used.
    assert_eq!(f.send_now("a", "3").duplicates, 1);
    // An inactive meter can still be corrected.
    f.meters.deactivate(&meter(1)).unwrap();
    assert!(cancel(&f, "calls", "b", received).is_ok());
}

#[test]
fn cancelling_the_event_that_counts_brings_back_the_one_before() {
    for (formula, window, steps) in [
        (Formula::Last, None, ["9", "7", "5", "0"]),
        (Formula::Sum, Some(EventTimeWindow::Hour), ["9", "7", "5", "0"]),
        (Formula::Count, Some(EventTimeWindow::Day), ["1", "1", "1", "0"]),
    ] {
        let mut f = Fixture::with(formula, window, NOW);
        for (identifier, value) in [("a", "5"), ("b", "7"), ("c", "9")] {
            // Equal times: the one received later is the last.
            f.send(identifier, "2025-03-15T11:30:00Z", value);
        }
        for (identifier, quantity) in ["c", "b", "a", ""].into_iter().zip(steps) {
            let name = format!("{formula:?} {window:?} before {identifier:?}");
            assert_eq!(f.usage(Fixture::ALWAYS).quantity, decimal(quantity), "{name}");
            if !identifier.is_empty() {
                let block = f.meters.admit_cancel("calls", identifier, f.now).unwrap();
                f.apply(Some(&block));
            }
        }
    }
}

#[test]
fn a_window_emptied_by_cancelling_starts_afresh() {
    let mut f = Fixture::with(Formula::Sum, Some(EventTimeWindow::Hour), NOW);
    f.send("a", "2025-03-15T11:30:00Z", "5");
    let block = f.meters.admit_cancel("calls", "a", f.now).unwrap();
    f.apply(Some(&block));
    let hours = |f: &Fixture| {
        let day = period("2025-03-15T00:00:00Z", "2025-03-16T00:00:00Z");
        f.meters.summaries(&meter(1), "cus_1", day, Some(Grouping::Hour), Position::MAX).unwrap()
    };
    assert_eq!(hours(&f), []);
    f.send("b", "2025-03-15T11:40:00Z", "7");
    assert_eq!(f.usage(Fixture::ALWAYS).quantity, decimal("7"));
    assert_eq!(hours(&f).len(), 1);
}

#[test]
fn canonical_content_keeps_the_order_of_receipt_where_it_decides() {
    use EventTimeWindow::Hour;
    let (early, late) = ("2025-03-15T11:10:00Z", "2025-03-15T11:50:00Z");
    for (formula, window, times, decides) in [
        (Formula::Sum, None, [early, early], false),
        (Formula::Count, None, [early, late], false),
        (Formula::Last, None, [early, late], false),
        (Formula::Last, None, [early, early], true),
        (Formula::Sum, Some(Hour), [early, late], true),
        (Formula::Sum, Some(Hour), [early, "2025-03-15T10:50:00Z"], false),
    ] {
        let fill = |order: [usize; 2]| {
            let mut f = Fixture::with(formula, window, NOW);
            for i in order {
                f.send(["a", "b"][i], times[i], ["1", "2"][i]);
            }
            (f.canonical(), f.usage(Fixture::ALWAYS).quantity)
        };
        let (one, other) = (fill([0, 1]), fill([1, 0]));
        assert_eq!(one.0 != other.0, decides, "{formula:?} {window:?} {times:?}");
        assert_eq!(one.1 != other.1, decides, "{formula:?} {window:?} {times:?}");
    }
}

#[test]
fn no_customer_has_a_name_longer_than_an_id() {
    let f = Fixture::with(Formula::Sum, None, NOW);
    let anyone = |_: &str| true;
    for (bytes, taken) in [(255, 1), (256, 0)] {
        let mut batch = EventBatch::new("calls");
        batch.push(Some("a"), Some(&"c".repeat(bytes)), None, Some("1")).unwrap();
        let admission = f.meters.admit(batch.columns(), &AdmitContext::new(f.now, &anyone));
        assert_eq!(admission.taken, taken);
        let code = admission.refused.first().map(|refused| refused.code());
        assert_eq!(code, (taken == 0).then_some(Code::MeterEventCustomerNotFound));
    }
}

#[test]
fn a_window_across_the_edge_of_a_period_counts_on_one_side_only() {
    let mut f = Fixture::with(Formula::Sum, Some(EventTimeWindow::Hour), NOW);
    f.send("a", "2025-03-15T11:10:00Z", "7");
    f.send("b", "2025-03-15T11:50:00Z", "4");
    let edge = "2025-03-15T11:30:00Z";
    let before = f.usage(period("2025-03-15T00:00:00Z", edge)).quantity;
    let after = f.usage(period(edge, "2025-03-16T00:00:00Z")).quantity;
    assert_eq!((before, after), (decimal("0"), decimal("4")));
}

#[test]
fn periods_are_half_open_to_the_nanosecond() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    let noon = at("2025-03-15T11:00:00Z").unix() * 1_000_000_000;
    for (i, (nanos, value)) in
        [(noon - 1, "1"), (noon, "10"), (noon + 999_999_999, "100"), (noon + 1_000_000_000, "1000")]
            .into_iter()
            .enumerate()
    {
        let mut batch = EventBatch::new("calls");
        let time = Some(EventTime::from_nanos(nanos));
        batch.push(Some(&i.to_string()), Some("cus_1"), time, Some(value)).unwrap();
        f.admit(&batch);
    }
    let second = period("2025-03-15T11:00:00Z", "2025-03-15T11:00:01Z");
    assert_eq!(f.usage(second).quantity, decimal("110"));
    for empty in [
        period("2025-03-15T11:00:00Z", "2025-03-15T11:00:00Z"),
        period("2025-03-15T11:00:01Z", "2025-03-15T11:00:00Z"),
    ] {
        assert_eq!(f.usage(empty).events, 0);
    }
}

#[test]
fn summaries_are_aligned() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    f.send("a", "2025-03-14T23:59:59Z", "1");
    f.send("b", "2025-03-15T00:00:00Z", "10");
    f.send("c", "2025-03-15T00:30:00Z", "100");
    f.send("d", "2025-03-15T09:00:00Z", "1000");
    let rows = |start: &str, end: &str, grouping| {
        let summaries =
            f.meters.summaries(&meter(1), "cus_1", period(start, end), grouping, Position::MAX)?;
        let row =
            |s: &counterfoil_meter::Summary| (s.period.start.to_string(), s.value.to_string());
        Ok::<_, Refusal>(summaries.iter().map(row).collect::<Vec<_>>())
    };
    let row = |start: &str, value: &str| (start.to_owned(), value.to_owned());
    let (start, end) = ("2025-03-14T00:00:00Z", "2025-03-16T00:00:00Z");
    assert_eq!(rows(start, end, None).unwrap(), [row(start, "1111")]);
    assert_eq!(
        rows(start, end, Some(Grouping::Day)).unwrap(),
        [row(start, "1"), row("2025-03-15T00:00:00Z", "1110")]
    );
    assert_eq!(
        rows(start, end, Some(Grouping::Hour)).unwrap(),
        [
            row("2025-03-14T23:00:00Z", "1"),
            row("2025-03-15T00:00:00Z", "110"),
            row("2025-03-15T09:00:00Z", "1000")
        ]
    );
    // One row even where nothing was used, none by hour.
    assert_eq!(rows("2025-03-16T00:00:00Z", "2025-03-17T00:00:00Z", None).unwrap().len(), 1);
    let all_time = ("0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z");
    assert_eq!(rows(all_time.0, all_time.1, Some(Grouping::Hour)).unwrap().len(), 3);

    for (start, end, grouping, param) in [
        ("2025-03-14T00:00:01Z", "2025-03-15T00:00:00Z", None, "start_time"),
        ("2025-03-14T00:00:00Z", "2025-03-15T00:00:30Z", None, "end_time"),
        ("2025-03-14T00:01:00Z", "2025-03-15T00:00:00Z", Some(Grouping::Hour), "start_time"),
        ("2025-03-14T00:00:00Z", "2025-03-15T01:00:00Z", Some(Grouping::Day), "end_time"),
        ("2025-03-14T00:00:00Z", "2025-03-14T00:00:00Z", None, "end_time"),
        ("2025-03-15T00:00:00Z", "2025-03-14T00:00:00Z", Some(Grouping::Day), "end_time"),
    ] {
        match rows(start, end, grouping).unwrap_err() {
            Refusal::ParameterInvalid { param: got, .. } => assert_eq!(got, param, "{start} {end}"),
            other => panic!("{other}"),
        }
    }
    assert!(rows("2025-03-14T00:01:00Z", "2025-03-15T00:02:00Z", None).is_ok());
    let unknown = f.meters.summaries(&meter(9), "cus_1", Fixture::ALWAYS, None, Position::MAX);
    assert_eq!(unknown.unwrap_err().code(), Code::ResourceMissing);
}

#[test]
fn reads_of_what_is_not_there() {
    let mut f = Fixture::with(Formula::Last, None, NOW);
    assert_eq!(f.meters.position(), Position(0));
    let reading = f.usage(Fixture::ALWAYS);
    assert_eq!((reading.quantity, reading.events), (Decimal12::ZERO, 0));
    let unknown = MeterError::Unknown { meter: meter(9) };
    let reading = f.meters.usage(&meter(9), "cus_1", Fixture::ALWAYS, Position::MAX);
    assert_eq!(reading, Err(unknown.clone()));
    let events = f.meters.events(&meter(9), "cus_1", Fixture::ALWAYS, Position::MAX);
    assert_eq!(events.map(Iterator::count), Err(unknown));
    assert_eq!(f.meters.customers_with_usage(&meter(9)).count(), 0);
    f.send_now("a", "1");
    assert_eq!(f.meters.customers_with_usage(&meter(1)).collect::<Vec<_>>(), ["cus_1"]);
}

#[test]
fn positions_ascend_and_a_reading_names_the_last_one_behind_its_cut() {
    let mut f = Fixture::with(Formula::Sum, None, NOW);
    let block = |f: &Fixture, identifier: &str, value: &str| {
        let mut batch = EventBatch::new("calls");
        batch.push(Some(identifier), Some("cus_1"), None, Some(value)).unwrap();
        let admission = f.meters.admit(batch.columns(), &AdmitContext::new(at(NOW), &known));
        admission.block.unwrap()
    };
    let first = block(&f, "a", "1");
    f.meters.apply(Position(5), &first);
    let second = block(&f, "b", "10");
    f.meters.apply(Position(9), &second);
    f.meters.apply(Position(5), &first);
    for (cut, quantity, position) in [
        (Position(4), "0", 0),
        (Position(5), "1", 5),
        (Position(8), "1", 5),
        (Position(9), "11", 9),
        (Position::MAX, "11", 9),
    ] {
        let reading = f.usage_at(Fixture::ALWAYS, cut);
        assert_eq!((reading.quantity, reading.position), (decimal(quantity), Position(position)));
        assert_eq!(f.usage_at(Fixture::ALWAYS, reading.position), reading);
    }
    // A second block of the same record.
    let third = block(&f, "c", "100");
    f.meters.apply(Position(9), &third);
    assert_eq!(f.usage_at(Fixture::ALWAYS, Position(9)).quantity, decimal("111"));
}

#[test]
fn borrowed_columns_of_numbers_do_as_rows_do() {
    let f = Fixture::with(Formula::Sum, None, NOW);
    let too_wide = Decimal12::from_trillionths(10_i128.pow(27));
    let values = [decimal("1.5"), too_wide, decimal("-2")];
    let now = EventColumns::RECEIPT_TIME;
    let times = [at(NOW).unix() * 1_000_000_000, now, now];
    let columns = EventColumns::new(
        "calls",
        Some(Strings::new("abc", &[1, 2, 3]).unwrap()),
        Strings::new("cus_1cus_1cus_2", &[5, 10, 15]).unwrap(),
        Some(&times),
        Values::Decimals(&values),
    )
    .unwrap();
    let admission = f.meters.admit(columns, &AdmitContext::new(at(NOW), &known));
    assert_eq!(admission.refused[0].code(), Code::MeterEventValueTooManyDigits);
    let block = admission.block.unwrap();
    let row = |e: BlockEvent<'_>| format!("{} {} {}", e.identifier, e.customer, e.value);
    let taken: Vec<_> = block.events().map(row).collect();
    assert_eq!(taken, ["a cus_1 1.5", "c cus_2 -2"]);
    assert_eq!(block.customers().collect::<Vec<_>>(), ["cus_1", "cus_2"]);
    let noon = EventTime::from_timestamp(at(NOW)).unwrap();
    assert_eq!(block.time_range(), Some((noon, noon)));
    let bare = EventColumns::new(
        "calls",
        None,
        Strings::new("cus_1", &[5]).unwrap(),
        None,
        Values::Absent,
    );
    let admission = f.meters.admit(bare.unwrap(), &AdmitContext::new(at(NOW), &known));
    assert_eq!(admission.refused[0].code(), Code::MeterEventInvalidValue);
}

#[test]
fn a_clock_beyond_event_times_refuses_what_has_no_time() {
    let f = Fixture::with(Formula::Sum, None, "2300-01-01T00:00:00Z");
    let event = MeterEvent {
        timestamp: None,
        ..event("calls", &[("stripe_customer_id", "cus_1"), ("value", "1")], None)
    };
    let admission = f.meters.admit_event(&event, &AdmitContext::new(f.now, &known));
    assert_eq!(admission.refused[0].code(), Code::ParameterInvalid);
}

#[test]
fn a_row_is_read_from_text() {
    let row: MeterEvent = serde_json::from_str(
        r#"{"event_name": "calls", "payload": {"stripe_customer_id": "cus_1", "value": "2"}}"#,
    )
    .unwrap();
    let payload = [("stripe_customer_id", "cus_1"), ("value", "2")];
    let payload: BTreeMap<String, String> =
        payload.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert_eq!((row.identifier, row.timestamp, row.payload), (None, None, payload));
}
