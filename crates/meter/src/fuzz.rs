//! Hostile bytes as ordinary functions: what a fuzzer feeds, and what the tests feed.
#![cfg_attr(not(test), expect(clippy::expect_used, reason = "a broken promise is to be found"))]

use crate::{
    AdmitContext, Aggregator, Anyone, Block, DedupePolicy, EventBatch, EventTimeWindow, Formula,
    MeterConfig, Position, UsageThreshold,
};
use counterfoil_core::{Decimal12, EventTime, Id, Period, Timestamp, kind};

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
