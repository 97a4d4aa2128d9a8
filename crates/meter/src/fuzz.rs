//! Hostile bytes as ordinary functions: what a fuzzer feeds, and what the tests feed.
#![cfg_attr(not(test), expect(clippy::expect_used, reason = "a broken promise is to be found"))]

use crate::columns::StringColumn;
use crate::{
    AdjustPolicy, Adjustment, AdmitContext, Aggregator, Anyone, Block, Breakdown, ColumnError,
    CustomerIds, DedupePolicy, DimensionColumn, EventBatch, EventColumns, EventNames,
    EventTimeWindow, Formula, Identifiers, MeterConfig, Position, Strings, UsageThreshold, Values,
};
use counterfoil_core::{Decimal12, EventTime, Id, Period, Timestamp, kind};
#[cfg(feature = "files")]
use std::collections::BTreeSet;

const NOW: i64 = 1_742_040_000;
const ALWAYS: Period = Period::new(Timestamp::MIN, Timestamp::MAX);

fn now() -> Timestamp {
    Timestamp::from_unix(NOW).unwrap_or(Timestamp::MIN)
}

fn meter() -> Id<kind::Meter> {
    Id::derived(1)
}

fn aggregator(kind: u8) -> Aggregator {
    let mut meters = Aggregator::new(DedupePolicy::default());
    let formula = Formula::of_code(kind % 8).unwrap_or(Formula::Sum);
    let mut config = MeterConfig::new("calls", formula);
    config.event_time_window = match kind / 8 % 3 {
        0 => None,
        1 => Some(EventTimeWindow::Hour),
        _ => Some(EventTimeWindow::Day),
    };
    if kind & 0x80 != 0 {
        config = config.also(Formula::Last).also(Formula::Max).also(Formula::Min);
    }
    meters.define(meter(), config).expect("the only meter");
    let threshold = UsageThreshold { meter: meter(), gte: Decimal12::ONE, customer: None };
    // A weighted sum has no threshold.
    meters.define_alert(Id::derived(1), &threshold).ok();
    meters
}

fn canonical(meters: &Aggregator) -> Vec<u8> {
    let mut bytes = Vec::new();
    meters.canonical(&mut |piece| bytes.extend_from_slice(piece));
    bytes
}

/// Every read of every customer that has usage, and no more than some hundred of them.
fn read_all(meters: &Aggregator) -> Vec<String> {
    let mut found = Vec::new();
    let ids: Vec<_> = meters.meters().map(|(id, ..)| id.clone()).collect();
    for id in ids {
        for customer in meters.customers_with_usage(&id).take(16) {
            let usage = meters.usage(&id, &customer, ALWAYS, Position::MAX);
            let totals = meters.totals(&id, &customer, ALWAYS, Position::MAX);
            found.push(format!("{usage:?} {totals:?}"));
        }
    }
    found
}

/// A block from bytes that came from anywhere: it is refused with a typed error, or taken in and
/// read, and its bytes are those of what was read.
///
/// # Panics
/// If one of the promises above is broken.
pub fn block_hostile(bytes: &[u8]) {
    let Ok(block) = Block::decode(bytes) else { return };
    assert_eq!(block.events().count(), block.len(), "a row that cannot be read");
    let again = block.encode().expect("what was read can be written");
    assert_eq!(Block::decode(&again).as_ref(), Ok(&block), "another block comes back");
    let mut meters = Aggregator::new(DedupePolicy::default());
    for (number, id) in block.meters().iter().enumerate().take(8) {
        let config = MeterConfig::new(format!("m{number}"), Formula::Sum);
        // A hostile block may name a meter twice.
        let _ = meters.define(id.clone(), config.also(Formula::Last));
    }
    meters.apply(Position(1), &block);
    read_all(&meters);
    let checkpoint = meters.capture().encode().expect("a small aggregator");
    let read = Aggregator::from_checkpoint(&checkpoint, DedupePolicy::default());
    assert_eq!(canonical(&read.expect("our own checkpoint")), canonical(&meters));
}

/// A checkpoint from bytes that came from anywhere: it is refused with a typed error, or is an
/// aggregator that can be read, goes on, and is what its own checkpoint says.
///
/// # Panics
/// If one of the promises above is broken.
pub fn checkpoint_hostile(bytes: &[u8]) {
    let policy = DedupePolicy::default();
    let Ok(meters) = Aggregator::from_checkpoint(bytes, policy) else { return };
    read_all(&meters);
    let again = meters.capture().encode().expect("what was read can be written");
    let again = Aggregator::from_checkpoint(&again, policy).expect("our own checkpoint");
    assert_eq!(canonical(&again), canonical(&meters), "another state comes back");
    assert_eq!(read_all(&again), read_all(&meters));
}

/// Batches of events that the bytes describe, six bytes an event: taken in at once, and judged and
/// applied apart by way of the bytes of each block, with a checkpoint in between. All three say
/// the same of every event and come to the same.
///
/// # Panics
/// If they do not.
pub fn batches_hostile(bytes: &[u8]) {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let (mut at_once, mut apart) = (aggregator(kind), aggregator(kind));
    let ctx = AdmitContext::new(now(), &Anyone).with_outcomes();
    let mut position = 0_u64;
    for rows in rest.chunks(6 * 24) {
        position = position.saturating_add(1);
        let mut batch = EventBatch::new("calls");
        rows.chunks_exact(6).for_each(|row| push(&mut batch, row));
        let judged = apart.admit(batch.columns(), &ctx);
        let taken = at_once.take(Position(position), batch.columns(), &ctx);
        assert_eq!(judged.outcomes, taken.outcomes, "they judge differently");
        assert_eq!(judged.refused, taken.refused);
        if let Some(block) = judged.block {
            let block = Block::decode(&block.encode().expect("an admitted block"));
            apart.apply(Position(position), &block.expect("our own block"));
        }
        if let Some([first, ..]) = rows.chunks_exact(6).next().map(|row| [row.first().copied()]) {
            cancel(&mut apart, first, position);
            cancel(&mut at_once, first, position);
        }
    }
    assert_eq!(canonical(&apart), canonical(&at_once));
    assert_eq!(read_all(&apart), read_all(&at_once));
    let checkpoint = apart.capture().encode().expect("a small aggregator");
    let read = Aggregator::from_checkpoint(&checkpoint, DedupePolicy::default());
    let read = read.expect("our own checkpoint");
    assert_eq!(canonical(&read), canonical(&apart));
    assert_eq!(read_all(&read), read_all(&apart));
}

fn cancel(meters: &mut Aggregator, identifier: Option<u8>, position: u64) {
    let identifier = identifier.unwrap_or_default();
    if identifier & 1 == 0
        && let Ok(block) = meters.admit_cancel("calls", &format!("id{}", identifier % 32), now())
    {
        meters.apply(Position(position), &block);
    }
}

/// Identifier, customer, two bytes of time, kind and figure of the value.
fn push(batch: &mut EventBatch, row: &[u8]) {
    let &[identifier, customer, hours, offset, kind, figure] = row else { return };
    let identifier = match identifier % 33 {
        32 => None,
        number => Some(format!("id{number}")),
    };
    let customer = match customer % 8 {
        7 => None,
        number if number % 2 == 0 => Some(format!("cus_{number}")),
        number => Some(format!("{number:016x}")),
    };
    let seconds = NOW.saturating_sub(i64::from(hours).saturating_mul(3_600));
    let nanos = seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(offset) / 4);
    let time = (offset != 255).then(|| EventTime::from_nanos(nanos));
    let value = match kind % 8 {
        0 => None,
        1 => Some(format!("-{figure}")),
        2 => Some(format!("0.{figure:012}")),
        3 => Some(format!("{figure}e5")),
        4 => Some(format!("{}", u64::from(figure).saturating_mul(4_000_000_000_000))),
        5 => Some(format!("0.{figure:06}")),
        6 => Some(format!("1{figure:0>15}")),
        _ => Some(figure.to_string()),
    };
    let pushed = batch.push(identifier.as_deref(), customer.as_deref(), time, value.as_deref());
    pushed.expect("a small batch");
}

/// Columns of events that the bytes describe, eight bytes an event after three that say of which
/// types they are: names, customers and dimensions by codes, identifiers and values as numbers,
/// with cancellations and corrections in between. Taken in at once, and judged and applied apart by
/// way of the bytes of each block, they say and come to the same, as does a checkpoint of it.
///
/// # Panics
/// If they do not.
pub fn columns_hostile(bytes: &[u8]) {
    let Some((&[kind, types, wild], rest)) = bytes.split_first_chunk() else { return };
    let (mut at_once, mut apart) = (two_meters(kind), two_meters(kind));
    let ctx = AdmitContext::new(now(), &Anyone).with_outcomes();
    for (position, rows) in (1..).zip(rest.chunks(8 * 24)) {
        let lists = Lists::of(types, wild, rows);
        let ids = lists.ids.checked().expect("a built column");
        let names = ["calls", "tokens", "unknown"];
        let models = lists.models.checked().expect("a built column");
        let dimensions = [
            DimensionColumn { name: "model", values: models, codes: &lists.model },
            DimensionColumn { name: "region", values: models, codes: &lists.region },
        ];
        let Ok(columns) = lists.columns(ids, &names, &dimensions) else { continue };
        let judged = apart.admit(columns, &ctx);
        let taken = at_once.take(Position(position), columns, &ctx);
        assert_eq!(judged.outcomes, taken.outcomes, "they judge differently");
        assert_eq!(judged.refused, taken.refused);
        if let Some(block) = judged.block {
            let block = Block::decode(&block.encode().expect("an admitted block"));
            apart.apply(Position(position), &block.expect("our own block"));
        }
        let Some(&[number, what, ..]) = rows.first_chunk::<8>() else { continue };
        adjust(&mut apart, number, what, position);
        adjust(&mut at_once, number, what, position);
    }
    assert_eq!(canonical(&apart), canonical(&at_once));
    assert_eq!(read_all(&apart), read_all(&at_once));
    assert_eq!(divided(&apart), divided(&at_once));
    let checkpoint = apart.capture().encode().expect("a small aggregator");
    let read = Aggregator::from_checkpoint(&checkpoint, DedupePolicy::default());
    let read = read.expect("our own checkpoint");
    assert_eq!(canonical(&read), canonical(&apart));
    assert_eq!(divided(&read), divided(&apart));
}

fn two_meters(kind: u8) -> Aggregator {
    let mut meters = aggregator(kind);
    let config = MeterConfig::new("tokens", Formula::Sum).also(Formula::Min);
    let config = config.with_dimensions(["model", "region"]);
    meters.define(Id::derived(2), config).expect("another name");
    meters
}

/// Usage of the meter with dimensions, by both of them.
fn divided(meters: &Aggregator) -> Vec<String> {
    let id = Id::derived(2);
    let customers: Vec<String> = meters.customers_with_usage(&id).take(16).collect();
    let usage = customers.iter().map(|own| {
        let by = Breakdown::by(&["model", "region"]);
        format!("{:?}", meters.usage_by(&id, own, ALWAYS, by, Position::MAX))
    });
    usage.collect()
}

/// Cancels or corrects an event.
fn adjust(meters: &mut Aggregator, number: u8, what: u8, position: u64) {
    let adjustment = match what % 4 {
        0 => Adjustment::Cancel,
        1 => Adjustment::Correct(Decimal12::from_trillionths(what.into())),
        2 => Adjustment::Correct(Decimal12::from(i64::from(what).saturating_neg())),
        _ => return,
    };
    let name = if what & 4 == 0 { "calls" } else { "tokens" };
    let identifier = format!("{:032x}", u128::from(number % 32) << 96);
    let policy = AdjustPolicy::Remembered;
    if let Ok(block) = meters.admit_adjustment(name, &identifier, adjustment, policy, now()) {
        let bytes = block.encode().expect("an admitted block");
        meters.apply(Position(position), &Block::decode(&bytes).expect("our own block"));
    }
}

/// What columns are made of.
#[derive(Default)]
struct Lists {
    types: u8,
    identifiers: Vec<u128>,
    codes: Vec<u16>,
    ids: StringColumn,
    customers: Vec<u32>,
    numbers: Vec<u64>,
    times: Vec<i64>,
    units: Vec<i64>,
    decimals: Vec<Decimal12>,
    models: StringColumn,
    model: Vec<u32>,
    region: Vec<u32>,
}

impl Lists {
    /// Codes beyond their lists come only of `wild` bytes.
    fn of(types: u8, wild: u8, bytes: &[u8]) -> Self {
        let mut own = Self { types, ..Self::default() };
        ["cus_1", "", "00000000000000ff", "cus_2"].iter().for_each(|id| own.ids.push(id));
        ["", "small", "large", &"x".repeat(256)].iter().for_each(|model| own.models.push(model));
        let code = |byte: u8, names: u8| {
            if wild == 255 { byte } else { byte.checked_rem(names).unwrap_or_default() }
        };
        for row in bytes.chunks_exact(8) {
            let &[identifier, customer, name, hours, offset, figure, model, region] = row else {
                continue;
            };
            own.identifiers.push(u128::from(identifier % 32) << 96);
            own.codes.push(code(name, 3).into());
            own.customers.push(code(customer, 4).into());
            own.numbers.push(u64::from(customer % 4) << 60);
            let seconds = NOW.saturating_sub(i64::from(hours).saturating_mul(3_600));
            let nanos = seconds.saturating_mul(1_000_000_000).saturating_add(offset.into());
            let receipt = offset == 255;
            own.times.push(if receipt { EventColumns::RECEIPT_TIME } else { nanos });
            own.units.push(match figure {
                0 => i64::MIN,
                255 => i64::MAX,
                figure => i64::from(figure).saturating_sub(100).saturating_mul(999_999),
            });
            let shift = u32::from(figure % 120);
            own.decimals.push(Decimal12::from_trillionths(i128::from(figure) << shift));
            own.model.push(code(model, 4).into());
            own.region.push(code(region, 4).into());
        }
        own
    }

    fn columns<'a>(
        &'a self,
        ids: Strings<'a>,
        names: &'a [&'a str],
        dimensions: &'a [DimensionColumn<'a>],
    ) -> Result<EventColumns<'a>, ColumnError> {
        let types = self.types;
        let is = |bit: u8| types >> bit & 1 == 1;
        let names = match is(0) {
            true => EventNames::One("tokens"),
            false => EventNames::Coded { names, codes: &self.codes },
        };
        let identifiers = match is(1) {
            true if is(2) => Identifiers::Generated,
            _ => Identifiers::Numbers(&self.identifiers),
        };
        let customers = match is(3) {
            true => CustomerIds::Numbers(&self.numbers),
            false => CustomerIds::Coded { ids, codes: &self.customers },
        };
        let values = match types >> 4 & 7 {
            0 => Values::Absent,
            1 | 2 => Values::Decimals(&self.decimals),
            3 => Values::Units { units: &self.units, digits: 0 },
            4 => Values::Units { units: &self.units, digits: 2 },
            5 => Values::Units { units: &self.units, digits: 12 },
            _ => Values::Units { units: &self.units, digits: 6 },
        };
        let times = (!is(7)).then_some(self.times.as_slice());
        EventColumns::of(names, identifiers, customers, times, values)?.with_dimensions(dimensions)
    }
}

/// A file of any bytes after two that say what it is taken for: it is refused with a typed error, or
/// its rows are events or are refused, each of them once; fed twice, each event counts once; and
/// where a bad row is to stop it, what comes before that row is the same.
///
/// # Panics
/// If one of the promises above is broken.
#[cfg(feature = "files")]
pub fn file_hostile(bytes: &[u8]) {
    use crate::files::FileFormat;
    let Some((&[format, columns], rest)) = bytes.split_first_chunk() else { return };
    let format = if format % 2 == 0 { FileFormat::Csv } else { FileFormat::Ndjson };
    read_file(format, columns, rest);
}

/// A file of any bytes taken for Parquet: as [`file_hostile`].
///
/// The library panics over some, which is caught where it is called, and told by the hook of the
/// process: who watches that hook has to be told so.
///
/// # Panics
/// As [`file_hostile`].
#[cfg(feature = "parquet")]
pub fn parquet_hostile(bytes: &[u8]) {
    let Some((&columns, rest)) = bytes.split_first() else { return };
    read_file(crate::files::FileFormat::Parquet, columns, rest);
}

#[cfg(feature = "files")]
fn read_file(format: crate::files::FileFormat, columns: u8, bytes: &[u8]) {
    use crate::files::{BadRows, FilePosition, UsageFile};
    let (path, mapping) = (std::path::Path::new("usage"), some_mapping(columns));
    let open = |at: u64| {
        UsageFile::from_bytes_at(path, format, bytes.to_vec(), &mapping, FilePosition(at))
    };
    let Ok(file) = open(0) else { return };
    let mut meters = two_meters(columns);
    let (mut seen, mut stopped, mut end) = (BTreeSet::new(), None, 0);
    for batch in file {
        let Ok(batch) = batch else { return };
        let view = batch.view().expect("columns of a file");
        let events = view.columns().expect("columns of a file");
        assert_eq!(events.len(), batch.len());
        let places = (0..batch.len()).map(|row| batch.place(row).expect("a row"));
        for place in places.chain(batch.refused.iter().map(|row| row.place)) {
            assert!(seen.insert(place), "{place} came twice");
        }
        let first = batch.refused.first().map(|row| row.place);
        stopped = stopped.or(first);
        end = batch.end.0;
        let ctx = AdmitContext::new(now(), &Anyone);
        let position = meters.position().0.saturating_add(1);
        let taken = meters.take(Position(position), events, &ctx);
        for refused in &taken.refused {
            batch.refused_event(refused).expect("a row of the file");
        }
        let again = meters.take(Position(position.saturating_add(1)), events, &ctx);
        assert_eq!(again.taken, 0, "an event counts twice");
    }
    read_all(&meters);
    assert!(open(end).is_ok_and(|mut rest| rest.next().is_none()), "there is more");
    let _ = open(u64::from(columns));
    let before = seen.iter().filter(|&&place| stopped.is_none_or(|stop| place < stop)).count();
    let mut found = 0_usize;
    for batch in open(0).expect("a file that was opened").on_bad_rows(BadRows::Stop) {
        let Ok(batch) = batch else { break };
        found = found.saturating_add(batch.len());
    }
    assert_eq!(found, before, "a bad row takes others with it");
}

#[cfg(feature = "files")]
fn some_mapping(columns: u8) -> crate::Mapping {
    use crate::{Field, Mapping, TimeUnit};
    let is = |bit: u8| columns >> bit & 1 == 1;
    let mut mapping =
        Mapping { event_name: Field::Constant("tokens".into()), ..Mapping::default() };
    if is(0) {
        mapping.customer = Field::ColumnOrConstant("c".into());
        mapping.timestamp = Field::ColumnOrConstant("t".into());
        mapping.value = Field::ColumnOrConstant("v".into());
    }
    if is(1) {
        mapping.customer = Field::Constant("cus_1".into());
    }
    if is(2) {
        mapping.identifier = Field::Column("i".into());
    }
    if is(3) {
        mapping = mapping.dimension("model", "m").dimension("region", "r");
    }
    if is(4) {
        mapping.time_unit = TimeUnit::Millisecond;
    }
    if is(5) {
        (mapping.timestamp, mapping.value) = (Field::Absent, Field::Absent);
    }
    mapping
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some_block() -> Vec<u8> {
        let meters = aggregator(0);
        let mut batch = EventBatch::new("calls");
        for row in 0..9_u8 {
            push(&mut batch, &[row, row, row, row, row, row + 1]);
        }
        let admission = meters.admit(batch.columns(), &AdmitContext::new(now(), &Anyone));
        admission.block.unwrap().encode().unwrap()
    }

    fn damaged(bytes: &[u8], damage: &[(prop::sample::Index, u8)]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn batches(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            batches_hostile(&bytes);
        }

        #[test]
        fn columns(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
            columns_hostile(&bytes);
        }

        #[test]
        #[cfg(feature = "files")]
        fn files(
            format: u8,
            columns: u8,
            rows in prop::collection::vec(
                "[ct\"iv,01\r]{0,9}|c,t,v,i|cus,1742040000,1,[ab]|\\{\"[cti]\": ?[1-9]\\}", 0..8,
            ),
        ) {
            let mut bytes = vec![format, columns];
            bytes.extend_from_slice(rows.join("\n").as_bytes());
            file_hostile(&bytes);
        }

        #[test]
        #[cfg(feature = "parquet")]
        fn files_of_parquet(
            columns: u8,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let file = include_bytes!("../tests/files/duck.parquet");
            let mut bytes = vec![columns];
            bytes.extend(damaged(file, &damage));
            parquet_hostile(&bytes);
        }

        #[test]
        fn blocks(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            block_hostile(&damaged(&some_block(), &damage));
        }

        #[test]
        fn checkpoints(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut meters = aggregator(0x80);
            meters.apply(Position(1), &Block::decode(&some_block()).unwrap());
            let bytes = meters.capture().encode().unwrap();
            checkpoint_hostile(&damaged(&bytes, &damage));
        }
    }
}
