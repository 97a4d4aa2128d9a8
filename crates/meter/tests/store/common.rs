//! Two meters, and stores whose content can be compared.

use crate::fixture::{at, meter};
use counterfoil_core::{Period, Timestamp};
use counterfoil_log::{LogOptions, Storage, limits::SEGMENT_BYTES_MIN};
use counterfoil_meter::store::{MeterStore, StoreOptions};
use counterfoil_meter::{EventBatch, Formula, MeterConfig, Position};

pub const ALWAYS: Period = Period::new(Timestamp::MIN, Timestamp::MAX);

/// The time of receipt where it is of no account.
pub fn now() -> Timestamp {
    at("2025-03-15T12:00:00Z")
}

/// Small segments, so that a test sees several.
pub fn options() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.log = LogOptions { segment_bytes: SEGMENT_BYTES_MIN, ..LogOptions::default() };
    options
}

pub fn reopen(storage: impl Storage) -> MeterStore {
    MeterStore::open_in(storage, options()).unwrap().0
}

/// A store with the meter `calls`, which sums, and `level`, which keeps the last.
pub fn begin(storage: impl Storage, options: StoreOptions) -> MeterStore {
    let (store, opened) = MeterStore::open_in(storage, options).unwrap();
    assert!(opened.log.created);
    store.define(meter(1), MeterConfig::new("calls", Formula::Sum), now()).unwrap();
    store.define(meter(2), MeterConfig::new("level", Formula::Last), now()).unwrap();
    store
}

pub fn canonical(store: &MeterStore) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.read(|meters| meters.canonical(&mut |piece| bytes.extend_from_slice(piece))).unwrap();
    bytes
}

/// So many events of 1 each, from a number on.
pub fn batch(first: u64, events: u64) -> EventBatch {
    let mut batch = EventBatch::new("calls");
    for event in first..first + events {
        let customer = format!("cus_{}", event % 3);
        batch.push(Some(&format!("e{event}")), Some(&customer), None, Some("1")).unwrap();
    }
    batch
}

/// How many events count, at a cut.
pub fn counted(store: &MeterStore, cut: Position) -> u64 {
    let rows = store.read(|meters| meters.usage_by_customer(&meter(1), ALWAYS, cut)).unwrap();
    rows.unwrap().values().map(|reading| reading.events).sum()
}

/// A generator of numbers whose whole state is its argument.
pub fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// One of three values, by `COUNTERFOIL_RELIABILITY`.
pub fn sized<T>(ci: T, full: T, long: T) -> T {
    match std::env::var("COUNTERFOIL_RELIABILITY").as_deref() {
        Err(_) | Ok("ci") => ci,
        Ok("full") => full,
        Ok("long") => long,
        Ok(other) => panic!("COUNTERFOIL_RELIABILITY is {other}: it may be ci, full or long"),
    }
}
