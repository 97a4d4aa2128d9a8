//! Events of Arrow record batches are the events of the same rows, whatever types they come in.

use arrow_array::builder::{FixedSizeBinaryBuilder, StringDictionaryBuilder};
use arrow_array::types::{
    ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    ArrayRef, Decimal32Array, Decimal64Array, Decimal128Array, Float64Array, Int8Array, Int64Array,
    LargeStringArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt32Array,
    UInt64Array,
};
use counterfoil_core::{EventTime, Id, Timestamp, kind};
use counterfoil_meter::{
    Admission, AdmitContext, Aggregator, Anyone, ArrowEvents, ColumnError, EventBatch,
    EventColumns, Field, Formula, Mapping, MappingError, MeterConfig, Outcome, Position, TimeUnit,
};
use proptest::prelude::*;
use std::sync::Arc;

const NOW: i64 = 1_742_040_000;

/// A row as a table of options.
#[derive(Debug, Clone, Default)]
struct Event {
    identifier: Option<u128>,
    name: Option<&'static str>,
    customer: Option<u64>,
    /// Seconds before now.
    ago: Option<i64>,
    /// Hundredths.
    value: Option<i64>,
    model: Option<&'static str>,
}

impl Event {
    fn identifier(&self) -> Option<String> {
        self.identifier.map(|own| format!("{own:032x}"))
    }

    fn customer(&self) -> Option<String> {
        self.customer.map(|own| format!("{own:016x}"))
    }

    fn value(&self) -> Option<String> {
        let sign = if self.value? < 0 { "-" } else { "" };
        let own = self.value?.abs();
        Some(format!("{sign}{}.{:02}", own / 100, own % 100))
    }

    fn time(&self, unit: i64) -> Option<i64> {
        Some((NOW - self.ago?) * unit)
    }
}

fn meter(number: u64) -> Id<kind::Meter> {
    Id::derived(number)
}

fn meters() -> Aggregator {
    let mut meters = Aggregator::default();
    let mut sum = MeterConfig::new("tokens", Formula::Sum).also(Formula::Last);
    sum.dimensions = vec!["model".into()];
    meters.define(meter(1), sum).unwrap();
    meters.define(meter(2), MeterConfig::new("calls", Formula::Count)).unwrap();
    meters
}

/// What became of each row, its code where it was refused, and the content that came of all.
type Taken = (Vec<(Outcome, String)>, Vec<u8>);

fn judged(admission: &Admission) -> Vec<(Outcome, String)> {
    let code = |row: usize| {
        let refused = admission.refused.iter().find(|refused| refused.index == row);
        refused.map_or_else(String::new, |refused| refused.code().to_string())
    };
    let outcomes = admission.outcomes.clone().unwrap();
    outcomes.into_iter().enumerate().map(|(row, outcome)| (outcome, code(row))).collect()
}

fn take(columns: EventColumns<'_>) -> Taken {
    let mut meters = meters();
    let now = Timestamp::from_unix(NOW).unwrap();
    let ctx = AdmitContext::new(now, &Anyone).with_outcomes();
    let admission = meters.take(Position(1), columns, &ctx);
    let mut bytes = Vec::new();
    meters.canonical(&mut |piece| bytes.extend_from_slice(piece));
    (judged(&admission), bytes)
}

/// What the rows come to, one name at a time being all that rows can do.
fn by_rows(events: &[Event]) -> Vec<(Outcome, String)> {
    let mut outcomes = Vec::new();
    let mut meters = meters();
    for (position, event) in events.iter().enumerate() {
        let mut batch = EventBatch::new(event.name.unwrap_or_default()).with_dimensions(["model"]);
        let time = event.time(1_000_000_000).map(EventTime::from_nanos);
        batch
            .push_with(
                event.identifier().as_deref(),
                event.customer().as_deref(),
                time,
                event.value().as_deref(),
                &[event.model.unwrap_or_default()],
            )
            .unwrap();
        let ctx = AdmitContext::new(Timestamp::from_unix(NOW).unwrap(), &Anyone).with_outcomes();
        let position = Position(u64::try_from(position).unwrap());
        outcomes.extend(judged(&meters.take(position, batch.columns(), &ctx)));
    }
    outcomes
}

fn dictionary<K: ArrowDictionaryKeyType>(texts: Vec<Option<String>>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<K>::new();
    texts.iter().for_each(|text| builder.append_option(text.as_deref()));
    Arc::new(builder.finish())
}

fn texts(kind: u8, texts: Vec<Option<String>>) -> ArrayRef {
    match kind % 8 {
        0 => Arc::new(StringArray::from(texts)),
        1 => Arc::new(LargeStringArray::from(texts)),
        2 => Arc::new(StringViewArray::from(texts)),
        3 => dictionary::<Int8Type>(texts),
        4 => dictionary::<Int16Type>(texts),
        5 => dictionary::<Int32Type>(texts),
        6 => dictionary::<UInt16Type>(texts),
        _ => dictionary::<UInt32Type>(texts),
    }
}

fn identifiers(kind: u8, events: &[Event]) -> ArrayRef {
    if !kind.is_multiple_of(3) {
        return texts(kind / 3, events.iter().map(Event::identifier).collect());
    }
    let mut builder = FixedSizeBinaryBuilder::new(16);
    for event in events {
        match event.identifier {
            Some(own) => builder.append_value(own.to_be_bytes()).unwrap(),
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

fn customers(kind: u8, events: &[Event]) -> ArrayRef {
    match kind.is_multiple_of(3) {
        true => Arc::new(events.iter().map(|own| own.customer).collect::<UInt64Array>()),
        false => texts(kind / 3, events.iter().map(Event::customer).collect()),
    }
}

fn times(kind: u8, events: &[Event]) -> (ArrayRef, TimeUnit) {
    let of = |unit: i64| events.iter().map(move |own| own.time(unit)).collect::<Vec<_>>();
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond];
    let array: ArrayRef = match kind % 8 {
        0 => Arc::new(TimestampSecondArray::from(of(1))),
        1 => Arc::new(TimestampMillisecondArray::from(of(1_000)).with_timezone("+02:00")),
        2 => Arc::new(TimestampMicrosecondArray::from(of(1_000_000))),
        3 => Arc::new(TimestampNanosecondArray::from(of(1_000_000_000))),
        4 => Arc::new(Int64Array::from(of(1))),
        5 => Arc::new(Int64Array::from(of(1_000))),
        6 => Arc::new(Int64Array::from(of(1_000_000))),
        _ => {
            let array = Int64Array::from(of(1_000_000_000));
            return (Arc::new(array), TimeUnit::Nanosecond);
        }
    };
    (array, units[usize::from(kind % 8).saturating_sub(4)])
}

fn values(kind: u8, events: &[Event]) -> ArrayRef {
    let scaled = |factor: i64| events.iter().map(move |own| Some(own.value? * factor));
    let wide = |digits: u32| {
        let scale = i8::try_from(digits).unwrap();
        let power = 10_i128.pow(digits) / 100;
        let values = events.iter().map(|own| Some(i128::from(own.value?) * power));
        values.collect::<Decimal128Array>().with_precision_and_scale(38, scale).unwrap()
    };
    match kind % 8 {
        0 => {
            let values: Decimal64Array = scaled(1).collect();
            Arc::new(values.with_precision_and_scale(18, 2).unwrap())
        }
        1 => {
            let values: Decimal64Array = scaled(10_000).collect();
            Arc::new(values.with_precision_and_scale(18, 6).unwrap())
        }
        2 => {
            let value = |own: Option<i64>| own.map(|own| i32::try_from(own).unwrap());
            let values: Decimal32Array = scaled(1).map(value).collect();
            Arc::new(values.with_precision_and_scale(9, 2).unwrap())
        }
        3 => Arc::new(wide(2)),
        4 => Arc::new(wide(12)),
        5 => Arc::new(wide(20)),
        _ => texts(kind / 8, events.iter().map(Event::value).collect()),
    }
}

fn batch(kinds: [u8; 6], events: &[Event]) -> (RecordBatch, Mapping) {
    let (times, time_unit) = times(kinds[2], events);
    let own = |text: Option<&str>| text.map(str::to_owned);
    let columns: [(&str, ArrayRef, bool); 6] = [
        ("timestamp", times, true),
        ("value", values(kinds[3], events), true),
        ("model_name", texts(kinds[5], events.iter().map(|e| own(e.model)).collect()), true),
        ("stripe_customer_id", customers(kinds[1], events), true),
        ("event_name", texts(kinds[4], events.iter().map(|e| own(e.name)).collect()), true),
        ("identifier", identifiers(kinds[0], events), true),
    ];
    let mapping = Mapping { time_unit, ..Mapping::default() }.dimension("model", "model_name");
    (RecordBatch::try_from_iter_with_nullable(columns).unwrap(), mapping)
}

fn event() -> impl Strategy<Value = Event> {
    let model = prop::option::weighted(0.9, prop::sample::select(vec!["", "m", "é"]));
    let name = prop::sample::select(vec!["tokens", "calls", "", "other"]);
    (
        prop::option::weighted(0.9, 0..12_u128),
        prop::option::weighted(0.95, name),
        prop::option::weighted(0.95, 0..3_u64),
        prop::option::weighted(0.9, -400..4_000_000_i64),
        prop::option::weighted(0.9, -200_000..200_000_i64),
        model,
    )
        .prop_map(|(identifier, name, customer, ago, value, model)| {
            let identifier = identifier.map(|own| own << 100 | own);
            Event { identifier, name, customer, ago, value, model }
        })
}

proptest! {
    #[test]
    fn any_types_are_the_same_events(
        events in prop::collection::vec(event(), 0..40),
        kinds: [u8; 6],
        cut in any::<prop::sample::Index>(),
    ) {
        let (whole, mapping) = batch(kinds, &events);
        let arrow = ArrowEvents::new(&whole, &mapping).unwrap();
        prop_assert_eq!(arrow.len(), events.len());
        let view = arrow.view().unwrap();
        prop_assert_eq!(take(view.columns().unwrap()).0, by_rows(&events));

        // A slice of a batch is the batch of those rows, with its arrays somewhere inside.
        let from = if events.is_empty() { 0 } else { cut.index(events.len()) };
        let slice = whole.slice(from, events.len() - from);
        let arrow = ArrowEvents::new(&slice, &mapping).unwrap();
        let view = arrow.view().unwrap();
        let (alone, _) = batch(kinds, &events[from..]);
        let alone = ArrowEvents::new(&alone, &mapping).unwrap();
        let alone = alone.view().unwrap();
        prop_assert_eq!(take(view.columns().unwrap()), take(alone.columns().unwrap()));
    }
}

fn simple(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<(Outcome, String)>, MappingError> {
    let mapping = Mapping { event_name: Field::Constant("calls".into()), ..Mapping::default() };
    simple_as(columns, &mapping)
}

fn simple_as(
    mut columns: Vec<(&str, ArrayRef)>,
    mapping: &Mapping,
) -> Result<Vec<(Outcome, String)>, MappingError> {
    if !columns.iter().any(|(name, _)| *name == "customer") {
        columns.push(("customer", Arc::new(StringArray::from(vec!["cus_1"]))));
    }
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let events = ArrowEvents::new(&batch, mapping)?;
    let view = events.view()?;
    Ok(take(view.columns()?).0)
}

#[test]
fn columns_that_are_not_what_they_should_be_are_refused_by_name() {
    let floats = || Arc::new(Float64Array::from(vec![0.1]));
    let numbers = || Arc::new(UInt32Array::from(vec![7]));
    for (column, array, expected) in [
        ("value", floats() as ArrayRef, "value: column \"value\" is of type Float64"),
        ("timestamp", floats(), "timestamp: column \"timestamp\" is of type Float64"),
        ("identifier", numbers(), "identifier: column \"identifier\" is of type UInt32"),
        ("customer", Arc::new(Int64Array::from(vec![7])), "customer: column \"customer\" is of"),
    ] {
        let error = simple(vec![(column, array)]).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let float = simple(vec![("value", floats())]).unwrap_err().to_string();
    assert!(float.ends_with("a float is no exact decimal: cast it to one)"), "{float}");
    let mapping = Mapping { identifier: Field::Row, ..Mapping::default() };
    let name: (&str, ArrayRef) = ("event_name", Arc::new(StringArray::from(vec!["calls"])));
    assert_eq!(simple_as(vec![name], &mapping), Err(MappingError::NotAFile));
    let error = simple_as(vec![], &Mapping::default());
    assert_eq!(error, Err(MappingError::Required { field: "event_name" }));
}

#[test]
fn times_and_values_beyond_the_range_are_refused_in_their_rows() {
    let cause = |columns| match simple(columns).unwrap().as_slice() {
        [(Outcome::Refused, code)] => code.clone(),
        other => panic!("{other:?}"),
    };
    for (seconds, expected) in
        [(i64::MIN, "timestamp_too_far_in_past"), (i64::MAX, "timestamp_in_future")]
    {
        let times = Arc::new(TimestampSecondArray::from(vec![seconds]));
        assert_eq!(cause(vec![("timestamp", times)]), expected);
    }
    // The one number that stands for the time of receipt is a time like others here.
    let times = Arc::new(TimestampNanosecondArray::from(vec![i64::MIN]));
    assert_eq!(cause(vec![("timestamp", times)]), "timestamp_too_far_in_past");

    let tokens = Mapping { event_name: Field::Constant("tokens".into()), ..Mapping::default() }
        .dimension("model", "model");
    let taken = |values: ArrayRef| {
        let model: ArrayRef = Arc::new(StringArray::from(vec!["m"]));
        simple_as(vec![("value", values), ("model", model)], &tokens).unwrap().remove(0)
    };
    let decimal = |value: i128, scale| {
        let values = Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale);
        taken(Arc::new(values.unwrap()))
    };
    let code = |(_, code): (Outcome, String)| code;
    let digits = "meter_event_value_too_many_digits";
    assert_eq!(code(decimal(10_i128.pow(27), 12)), digits);
    assert_eq!(code(decimal(1, 13)), digits);
    assert_eq!(code(taken(Arc::new(UInt64Array::from(vec![u64::MAX])))), digits);
    assert_eq!(decimal(10, 13).0, Outcome::Taken);
    assert_eq!(taken(Arc::new(Int8Array::from(vec![-128]))).0, Outcome::Taken);
    let none = Int64Array::from(vec![None]);
    assert_eq!(code(taken(Arc::new(none))), "meter_event_invalid_value");
}

#[test]
fn constants_stand_for_every_row() {
    let mapping = Mapping {
        event_name: Field::Constant("tokens".into()),
        customer: Field::Constant("cus_1".into()),
        timestamp: Field::Constant("2025-03-15T11:00:00Z".into()),
        value: Field::Constant("2.5".into()),
        ..Mapping::default()
    }
    .dimension("model", "model");
    let models: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
    let batch = RecordBatch::try_from_iter([("model", models)]).unwrap();
    let events = ArrowEvents::new(&batch, &mapping).unwrap();
    let view = events.view().unwrap();
    let mut own = meters();
    let now = Timestamp::from_unix(NOW).unwrap();
    let columns = view.columns().unwrap();
    assert_eq!(own.take(Position(1), columns, &AdmitContext::new(now, &Anyone)).taken, 3);
    let always = counterfoil_core::Period::new(Timestamp::MIN, Timestamp::MAX);
    let usage = own.usage(&meter(1), "cus_1", always, Position::MAX).unwrap();
    assert_eq!(usage.quantity, "7.5".parse().unwrap());
    for constant in [
        Mapping { timestamp: Field::Constant("noon".into()), ..mapping.clone() },
        Mapping { value: Field::Constant("many".into()), ..mapping },
    ] {
        let error = ArrowEvents::new(&batch, &constant).unwrap_err();
        assert!(matches!(error, MappingError::Constant { .. }), "{error}");
    }
}

#[test]
fn too_many_rows_and_keys_of_another_table_are_refused() {
    let rows = EventColumns::EVENTS_MAX + 1;
    let customers: ArrayRef = Arc::new(UInt64Array::from(vec![7; rows]));
    let batch = RecordBatch::try_from_iter([("customer", customers)]).unwrap();
    let mapping = Mapping { event_name: Field::Constant("calls".into()), ..Mapping::default() };
    let error = ArrowEvents::new(&batch, &mapping).unwrap_err();
    assert_eq!(error, MappingError::Columns(ColumnError::TooManyEvents));
    assert_eq!(ArrowEvents::new(&batch.slice(1, rows - 1), &mapping).unwrap().len(), rows - 1);

    // Keys of 64 bits are copied.
    let names = dictionary::<UInt64Type>(vec![Some("calls".into())]);
    assert_eq!(simple(vec![("identifier", names)]), Ok(vec![(Outcome::Taken, String::new())]));
}
