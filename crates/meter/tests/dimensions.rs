//! Dimensions: which events have them, and how usage is divided by them.

mod fixture;

use counterfoil_core::{Code, Decimal12};
use counterfoil_meter::{
    Admission, AdmitContext, Aggregator, Anyone, Breakdown, CustomerIds, DimensionColumn,
    EventBatch, EventColumns, EventNames, EventRefusal, Formula, Identifiers, MeterConfig,
    MeterError, MeterEvent, Position, Strings, Values,
};
use fixture::{Fixture, at, decimal, known, meter};
use std::collections::BTreeMap;

const NOW: &str = "2025-03-15T12:00:00Z";

/// Names of dimensions with values.
type Named<'a> = &'a [(&'a str, &'a str)];

fn tokens() -> Aggregator {
    let mut meters = Aggregator::default();
    let config = MeterConfig::new("tokens", Formula::Sum).with_dimensions(["model", "kind"]);
    meters.define(meter(1), config).unwrap();
    meters
}

fn event(identifier: &str, value: &str, dimensions: &[(&str, &str)]) -> MeterEvent {
    let fields = [("stripe_customer_id", "cus_1"), ("value", value)];
    let fields = fields.iter().chain(dimensions);
    MeterEvent {
        event_name: "tokens".into(),
        identifier: Some(identifier.into()),
        timestamp: None,
        payload: fields.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

/// Sends events one by one, as a batch of rows, and as one that is taken at once: all three say
/// and leave the same.
fn send(meters: &mut Aggregator, events: &[MeterEvent]) -> Vec<Admission> {
    let ctx = AdmitContext::new(at(NOW), &known).with_outcomes().with_block();
    let (mut one_by_one, mut at_once) = (meters.clone(), meters.clone());
    let mut batch = EventBatch::new("tokens");
    let config = meters.config(&meter(1)).unwrap().clone();
    let mut admissions = Vec::new();
    for event in events {
        let admission = one_by_one.admit_event(event, &ctx);
        if let Some(block) = &admission.block {
            one_by_one.apply(Position(1), block);
        }
        admissions.push(admission);
        batch.push_row(event, &config).unwrap();
    }
    let whole = meters.admit(batch.columns(), &ctx);
    assert_eq!(at_once.take(Position(1), batch.columns(), &ctx), whole);
    if let Some(block) = &whole.block {
        meters.apply(Position(1), block);
        let named: Vec<Vec<&str>> = block.events().map(|event| event.dimensions).collect();
        assert!(named.iter().all(|values| values.len() == 2), "{named:?}");
    }
    let causes: Vec<_> = whole.refused.iter().map(|refused| refused.cause).collect();
    let alone = admissions.iter().flat_map(|admission| &admission.refused);
    assert_eq!(causes, alone.map(|refused| refused.cause).collect::<Vec<_>>());
    let canonical = |meters: &Aggregator| {
        let mut bytes = Vec::new();
        meters.canonical(&mut |piece| bytes.extend_from_slice(piece));
        bytes
    };
    assert_eq!(canonical(&one_by_one), canonical(meters));
    assert_eq!(canonical(&at_once), canonical(meters));
    admissions
}

fn rows(meters: &Aggregator, breakdown: Breakdown<'_>) -> BTreeMap<String, Decimal12> {
    let rows =
        meters.usage_by(&meter(1), "cus_1", Fixture::ALWAYS, breakdown, Position::MAX).unwrap();
    rows.into_iter().map(|(group, row)| (group.join(" "), row.quantity)).collect()
}

#[test]
fn usage_is_divided_by_what_the_meter_keeps() {
    let mut meters = tokens();
    let sent = [
        ("a", "1", [("model", "small"), ("kind", "in"), ("region", "eu")]),
        ("b", "20", [("model", "large"), ("kind", "in"), ("region", "us")]),
        ("c", "300", [("model", "large"), ("kind", "out"), ("region", "eu")]),
        ("d", "4000", [("model", "small"), ("kind", "in"), ("region", "us")]),
    ];
    let events: Vec<_> =
        sent.iter().map(|(identifier, value, own)| event(identifier, value, own)).collect();
    assert!(send(&mut meters, &events).iter().all(|admission| admission.taken == 1));
    let table = |rows: &[(&str, &str)]| -> BTreeMap<String, Decimal12> {
        rows.iter().map(|(group, value)| ((*group).to_owned(), decimal(value))).collect()
    };
    let cases: [(&[&str], Named<'_>, Named<'_>); 6] = [
        (&[], &[], &[("", "4321")]),
        (&["model"], &[], &[("large", "320"), ("small", "4001")]),
        (&["kind"], &[], &[("in", "4021"), ("out", "300")]),
        (
            &["kind", "model"],
            &[],
            &[("in large", "20"), ("in small", "4001"), ("out large", "300")],
        ),
        (&["model"], &[("kind", "in")], &[("large", "20"), ("small", "4001")]),
        (&["model"], &[("kind", "in"), ("kind", "out"), ("model", "large")], &[("large", "320")]),
    ];
    for (by, only, expected) in cases {
        let breakdown = Breakdown::by(by).only(only);
        assert_eq!(rows(&meters, breakdown), table(expected), "{breakdown:?}");
    }
    let unkept = meters.usage_by(
        &meter(1),
        "cus_1",
        Fixture::ALWAYS,
        Breakdown::by(&["region"]),
        Position::MAX,
    );
    let dimension = "region".to_owned();
    assert_eq!(unkept, Err(MeterError::UnknownDimension { meter: meter(1), dimension }));
    let of = |own: &[(&str, &str)]| own.iter().map(|(_, value)| (*value).to_owned()).collect();
    let kept: Vec<Vec<String>> = sent.iter().map(|(.., own)| of(&own[..2])).collect();
    let events = meters.events(&meter(1), "cus_1", Fixture::ALWAYS, Position::MAX).unwrap();
    assert_eq!(events.map(|event| event.dimensions).collect::<Vec<_>>(), kept);
}

#[test]
fn an_event_has_every_dimension_of_its_meter_and_not_too_many() {
    let long = "v".repeat(256);
    let names: Vec<String> = (0..9).map(|n| format!("other_{n}")).collect();
    let mut many = vec![("model", "m"), ("kind", "k")];
    many.extend(names.iter().map(|name| (name.as_str(), "x")));
    let mut meters = tokens();
    let cases: [(Named<'_>, EventRefusal, Code); 5] = [
        (
            &[("model", "m")],
            EventRefusal::MissingDimension { place: 1 },
            Code::MissingDimensionPayloadKeys,
        ),
        (
            &[("model", ""), ("kind", "k")],
            EventRefusal::MissingDimension { place: 0 },
            Code::MissingDimensionPayloadKeys,
        ),
        (&[], EventRefusal::MissingDimension { place: 0 }, Code::MissingDimensionPayloadKeys),
        (
            &many,
            EventRefusal::TooManyDimensions { count: 11 },
            Code::MeterEventDimensionCountTooHigh,
        ),
        (
            &[("model", &long), ("kind", "k")],
            EventRefusal::DimensionTooLong { bytes: 256 },
            Code::ParameterInvalid,
        ),
    ];
    for (dimensions, cause, code) in cases {
        let refused = send(&mut meters, &[event("a", "1", dimensions)]);
        let [refused] = refused[0].refused.as_slice() else { panic!("{dimensions:?}") };
        assert_eq!((refused.cause, refused.code()), (cause, code));
    }
    // The identifier stayed free; ten dimensions are not too many; an equal repeat with another
    // value of a dimension that is kept is a conflict, of one that is not, a duplicate.
    many.pop();
    let sent = [
        event("a", "1", &many),
        event("a", "1", &[("model", "m"), ("kind", "k")]),
        event("a", "1", &[("model", "m"), ("kind", "l")]),
        event("a", "1", &[("model", "m")]),
    ];
    let counts: Vec<_> = send(&mut meters, &sent)
        .iter()
        .map(|own| (own.taken, own.duplicates, own.conflicts))
        .collect();
    assert_eq!(counts, [(1, 0, 0), (0, 1, 0), (0, 1, 1), (0, 1, 1)]);
}

#[test]
fn a_meter_keeps_few_dimensions_of_different_names() {
    let long = "n".repeat(256);
    let many: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for names in [&["a", "a"][..], &[""], &[&long], &["value"], &["stripe_customer_id"], &many] {
        let config = MeterConfig::new("tokens", Formula::Sum).with_dimensions(names.to_vec());
        let error = Aggregator::default().define(meter(1), config).unwrap_err();
        assert_eq!(
            matches!(error, MeterError::TooManyDimensions { count: 11 }),
            names.len() == 11,
            "{error}"
        );
    }
}

#[test]
fn coded_columns_bring_dimensions_by_name() {
    let text = "inoutlarge";
    let kinds = Strings::new(text, &[2, 5]).unwrap_err();
    assert!(kinds.to_string().contains("ends"), "{kinds}");
    let kinds = Strings::new("inout", &[2, 5]).unwrap();
    let models = Strings::new("large", &[5]).unwrap();
    let column = |name, values, codes| DimensionColumn { name, values, codes };
    let columns = EventColumns::of(
        EventNames::One("tokens"),
        Identifiers::Numbers(&[1, 2, 3]),
        CustomerIds::Numbers(&[7, 7, 8]),
        None,
        Values::Units { units: &[1, 2, 3], digits: 0 },
    )
    .unwrap();
    for codes in [&[0_u32, 1][..], &[0, 1, 2]] {
        assert!(columns.with_dimensions(&[column("kind", kinds, codes)]).is_err());
    }
    let dimensions = [column("kind", kinds, &[0, 1, 1]), column("model", models, &[0, 0, 0])];
    let columns = columns.with_dimensions(&dimensions).unwrap();
    let mut meters = tokens();
    let admission = meters.take(Position(1), columns, &AdmitContext::new(at(NOW), &Anyone));
    assert_eq!(admission.taken, 3);
    let read = |customer: &str| {
        let by = Breakdown::by(&["kind"]);
        let rows =
            meters.usage_by(&meter(1), customer, Fixture::ALWAYS, by, Position::MAX).unwrap();
        rows.into_iter().map(|(group, row)| (group.concat(), row.quantity)).collect::<Vec<_>>()
    };
    let one = Decimal12::ONE;
    assert_eq!(read("0000000000000007"), [("in".into(), one), ("out".into(), decimal("2"))]);
    assert_eq!(read("0000000000000008"), [("out".into(), decimal("3"))]);
    let all = meters.usage_by_customer(&meter(1), Fixture::ALWAYS, Position::MAX).unwrap();
    assert_eq!(all.values().map(|row| row.events).collect::<Vec<_>>(), [2, 1]);
}
