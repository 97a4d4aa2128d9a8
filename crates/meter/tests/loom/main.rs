//! Models of the store: loom runs them in every order in which threads may take turns, up to a
//! number of preemptions. `just loom` builds them; without `--cfg loom` there is nothing here.
//!
//! What holds in each: no thread sleeps for ever (loom calls that a deadlock), whoever is told that
//! something is on disk is told so after the sync, every event that was acknowledged counts once,
//! and the store opens again with what it had. Each kind of mistake is planted, and found.
#![cfg(loom)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests have processes")]

mod disk;

use counterfoil_core::{Id, Period, Timestamp, kind};
use counterfoil_meter::store::bugs::{Bug, plant};
use counterfoil_meter::store::{MeterStore, SingleEvent, StoreError, StoreOptions};
use counterfoil_meter::{EventBatch, Formula, MeterConfig, Outcome, Position};
use disk::Disk;
use loom::thread;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The stack of the thread that opens a store: 256 KiB.
const STACK_WORDS: usize = 0x8000;

/// Runs a model on a store with one meter, over a disk that knows what was synced.
fn explore(model: fn(MeterStore, Disk)) -> u64 {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(2).min(3));
    builder.max_branches = 5_000;
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        // Opening a store takes more of the stack than loom gives its first thread.
        let first = thread::Builder::new().stack_size(STACK_WORDS).spawn(move || {
            let disk = Disk::new();
            let (store, _) = MeterStore::open_in(disk.clone(), StoreOptions::default()).unwrap();
            store.define(meter(), MeterConfig::new("calls", Formula::Sum), now()).unwrap();
            model(store, disk);
        });
        first.unwrap().join().unwrap();
    });
    runs.load(Ordering::Relaxed)
}

fn check(model: fn(MeterStore, Disk)) {
    let bug = std::env::var(PLANT).ok();
    let planted = bug.map(|bug| plant(bug_named(&bug)));
    println!("{} orders", explore(model));
    drop(planted);
}

/// In the environment of a process that is to find a bug: the bug.
const PLANT: &str = "COUNTERFOIL_PLANT";

fn bug_named(name: &str) -> Bug {
    let bugs = [
        Bug::AcknowledgedBeforeSync,
        Bug::DuplicateNotAwaited,
        Bug::FlushedOutOfOrder,
        Bug::ClearedUnderASecondLock,
        Bug::WokenWithoutLock,
        Bug::LeadNotAnnounced,
        Bug::RestNotEnded,
    ];
    bugs.into_iter().find(|bug| format!("{bug:?}") == name).unwrap()
}

/// Whether a test finds a bug. It runs in a process of its own, as loom cannot take down a model in
/// which threads sleep for ever.
fn finds(bug: Bug, test: &str) {
    if std::env::var(PLANT).is_ok() {
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(PLANT, format!("{bug:?}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("running 1 test"), "{test} is no test");
    assert!(!output.status.success(), "{bug:?} was not found");
}

fn meter() -> Id<kind::Meter> {
    Id::derived(1)
}

fn now() -> Timestamp {
    Timestamp::parse("2025-03-15T12:00:00Z").unwrap()
}

/// An event of 1, which counts as often as it is taken.
const EVENT: SingleEvent<'static> = SingleEvent::new("calls", "cus_1").value("1");

fn batch(identifier: &str) -> EventBatch {
    let mut batch = EventBatch::new("calls");
    batch.push(Some(identifier), Some("cus_1"), None, Some("1")).unwrap();
    batch
}

/// How many events count up to a cut.
fn counted(store: &MeterStore, cut: Position) -> u64 {
    let always = Period::new(Timestamp::MIN, Timestamp::MAX);
    store.usage(&meter(), "cus_1", always, cut).unwrap().events
}

/// Submits an event, waits, and looks whether the disk has it by then.
fn submit_and_wait(store: &MeterStore, disk: &Disk) {
    let ack = store.submit(&EVENT, now()).unwrap().wait().unwrap();
    assert_eq!(ack.outcome, Outcome::Taken);
    assert!(disk.synced() >= ack.position.0, "{} was told before its sync", ack.position);
    assert!(store.durable() >= ack.position);
}

fn single_events_and_a_batch(store: MeterStore, disk: Disk) {
    let other = thread::spawn({
        let (store, disk) = (store.clone(), disk.clone());
        move || submit_and_wait(&store, &disk)
    });
    let first = store.submit(&EVENT, now()).unwrap();
    let ack = store.ingest(batch("a").columns(), now()).unwrap().wait().unwrap();
    assert!(disk.synced() >= ack.position.0 && ack.taken == 1);
    let ack = first.wait().unwrap();
    assert!(disk.synced() >= ack.position.0 && ack.outcome == Outcome::Taken);
    other.join().unwrap();
    assert_eq!(counted(&store, store.durable()), 3);
    drop(store);
    let (again, _) = MeterStore::open_in(disk, StoreOptions::default()).unwrap();
    assert_eq!(counted(&again, Position::MAX), 3);
}

#[test]
fn every_event_is_told_after_its_sync_and_counts_once() {
    check(single_events_and_a_batch);
}

#[test]
fn an_acknowledgement_before_its_sync_is_found() {
    finds(Bug::AcknowledgedBeforeSync, "every_event_is_told_after_its_sync_and_counts_once");
}

#[test]
fn a_leader_that_tells_nobody_is_found() {
    finds(Bug::LeadNotAnnounced, "every_event_is_told_after_its_sync_and_counts_once");
}

/// Two events of one thread, of which the second repeats the identifier of the first.
fn one_after_the_other(store: MeterStore, _: Disk) {
    let other = thread::spawn({
        let store = store.clone();
        move || store.commit().unwrap()
    });
    let given = |value| EVENT.number(7).value(value);
    let first = store.submit(&given("1"), now()).unwrap();
    let second = store.submit(&given("2"), now()).unwrap();
    assert_eq!(second.wait().unwrap().outcome, Outcome::Conflict);
    assert_eq!(first.wait().unwrap().outcome, Outcome::Taken);
    assert!(other.join().unwrap() <= store.durable());
    assert_eq!(counted(&store, store.durable()), 1);
}

#[test]
fn events_of_a_thread_are_judged_in_its_order() {
    check(one_after_the_other);
}

#[test]
fn events_that_are_judged_out_of_order_are_found() {
    finds(Bug::FlushedOutOfOrder, "events_of_a_thread_are_judged_in_its_order");
}

#[test]
fn events_that_are_removed_after_they_were_taken_out_are_found() {
    finds(Bug::ClearedUnderASecondLock, "events_of_a_thread_are_judged_in_its_order");
}

fn the_same_batch_twice(store: MeterStore, disk: Disk) {
    let retry = |store: &MeterStore, disk: &Disk| {
        let ack = store.ingest(batch("a").columns(), now()).unwrap().wait().unwrap();
        // The record of the event is the second one, after the meter.
        assert!(disk.synced() >= 2, "told before it is on disk");
        ack.taken
    };
    let other = thread::spawn({
        let (store, disk) = (store.clone(), disk.clone());
        move || retry(&store, &disk)
    });
    let taken = retry(&store, &disk);
    assert_eq!(taken + other.join().unwrap(), 1);
}

#[test]
fn a_repetition_is_told_after_the_sync_of_what_it_repeats() {
    check(the_same_batch_twice);
}

#[test]
fn a_repetition_that_does_not_wait_is_found() {
    finds(Bug::DuplicateNotAwaited, "a_repetition_is_told_after_the_sync_of_what_it_repeats");
}

fn a_lent_writer(store: MeterStore, disk: Disk) {
    let writer = store.writer();
    let lent = thread::spawn(move || writer.run());
    drop(store.submit(&EVENT, now()).unwrap());
    // Nobody waits but for the disk.
    disk.wait_for(2);
    submit_and_wait(&store, &disk);
    store.close().unwrap();
    assert_eq!(lent.join().unwrap(), Ok(()));
    let (again, _) = MeterStore::open_in(disk, StoreOptions::default()).unwrap();
    assert_eq!(counted(&again, Position::MAX), 2);
}

#[test]
fn a_lent_thread_writes_what_nobody_waits_for_and_goes_home() {
    check(a_lent_writer);
}

#[test]
fn a_lent_thread_that_is_woken_too_early_is_found() {
    finds(Bug::WokenWithoutLock, "a_lent_thread_writes_what_nobody_waits_for_and_goes_home");
}

fn a_failed_sync(store: MeterStore, disk: Disk) {
    disk.fail_after(0);
    let writer = store.writer();
    let lent = thread::spawn(move || writer.run());
    let other = thread::spawn({
        let store = store.clone();
        move || store.submit(&EVENT, now()).and_then(|ticket| ticket.wait()).unwrap_err()
    });
    let batch = batch("a");
    let told = store.ingest(batch.columns(), now()).and_then(|ticket| ticket.wait()).unwrap_err();
    assert!(matches!(told, StoreError::Poisoned { .. }), "{told}");
    assert_eq!(other.join().unwrap(), told);
    // Nobody has let go of the store yet.
    assert_eq!(lent.join().unwrap(), Err(told.clone()));
    assert_eq!(store.close(), Err(told));
    assert_eq!(store.durable(), Position(1));
}

#[test]
fn after_a_failed_sync_nobody_is_told_anything_but_that() {
    check(a_failed_sync);
}

/// A call that fails and leads nobody, beside a thread that is lent.
fn a_failed_call(store: MeterStore, disk: Disk) {
    disk.fail_after(0);
    let writer = store.writer();
    let lent = thread::spawn(move || writer.run());
    let told = store.reserve(1 << 20).unwrap_err();
    assert!(matches!(told, StoreError::Poisoned { .. }), "{told}");
    // Nobody has let go of the store yet.
    assert_eq!(lent.join().unwrap(), Err(told.clone()));
    assert_eq!(store.submit(&EVENT, now()).unwrap_err(), told);
}

#[test]
fn a_lent_thread_that_rests_is_told_of_a_failure() {
    check(a_failed_call);
}

#[test]
fn a_lent_thread_that_is_not_told_is_found() {
    finds(Bug::RestNotEnded, "a_lent_thread_that_rests_is_told_of_a_failure");
}

fn closing(store: MeterStore, disk: Disk) {
    let other = thread::spawn({
        let (store, disk) = (store.clone(), disk.clone());
        move || match store.submit(&EVENT, now()).and_then(|ticket| ticket.wait()) {
            Ok(ack) => {
                assert!(disk.synced() >= ack.position.0);
                1
            }
            Err(error) => {
                assert_eq!(error, StoreError::Closed);
                0
            }
        }
    });
    let first = store.submit(&EVENT, now()).unwrap();
    store.close().unwrap();
    // What was given before is on disk, and its ticket says so.
    assert_eq!(first.wait().unwrap().outcome, Outcome::Taken);
    let told = 1 + other.join().unwrap();
    assert_eq!(store.submit(&EVENT, now()).unwrap_err(), StoreError::Closed);
    drop(store);
    let (again, opened) = MeterStore::open_in(disk, StoreOptions::default()).unwrap();
    assert!(opened.log.clean);
    assert!((told..=2).contains(&counted(&again, Position::MAX)));
}

#[test]
fn closing_takes_an_event_or_refuses_it() {
    check(closing);
}

fn reading(store: MeterStore, disk: Disk) {
    let reader = thread::spawn({
        let store = store.clone();
        move || {
            let cut = store.durable();
            let now = counted(&store, cut);
            let position = store.position().unwrap();
            assert!(position >= cut && counted(&store, position) >= now);
            (cut, now)
        }
    });
    for identifier in ["a", "b"] {
        store.ingest(batch(identifier).columns(), now()).unwrap().wait().unwrap();
    }
    let (cut, then) = reader.join().unwrap();
    // Each of the two events has a record, after that of the meter.
    assert_eq!(then, cut.0 - 1);
    assert_eq!(counted(&store, cut), then);
    assert!(disk.synced() >= cut.0);
}

#[test]
fn a_reading_at_a_durable_cut_stays_as_it_is() {
    check(reading);
}
