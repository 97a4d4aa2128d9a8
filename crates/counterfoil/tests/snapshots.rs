//! A book is what its log says, whatever snapshots lie beside it.

mod support;

use counterfoil::{AsOf, Engine, Error, Lsn, MemStorage, Options, SnapshotPolicy, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use support::acts::{Act, Acts, Sending, World, acts};
use support::{
    assert_same_log, assert_sound, book, customer, customer_id, day, gateway, subscription,
};

/// How many seeds are tried.
fn seeds() -> u32 {
    match std::env::var("COUNTERFOIL_RELIABILITY").as_deref() {
        Ok("full") => 1_000,
        Ok("long") => 100_000,
        _ => 24,
    }
}

fn many() -> Options {
    Options::default().snapshots(SnapshotPolicy::default().keep(100))
}

fn snapshot_name(lsn: Lsn) -> String {
    format!("{:020}.snap", lsn.0)
}

/// What is done with the book between two acts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Between {
    Nothing,
    Snapshot,
    Reopen,
}

fn between() -> impl Strategy<Value = Vec<Between>> {
    let one = prop_oneof![
        6 => Just(Between::Nothing),
        2 => Just(Between::Snapshot),
        1 => Just(Between::Reopen),
    ];
    prop::collection::vec(one, 60)
}

/// Does all of it, each act by the next of `threads` threads, and says what the state hash was at
/// each snapshot.
fn live(acts: &[Act], between: &[Between], snapshots: bool, threads: usize) -> (World, Hashes) {
    let mut world = World::new(Sending::Keyed);
    world.reopen_with(many());
    let mut hashes = Hashes::new();
    for (act, then) in acts.iter().zip(between.iter().cycle()) {
        if threads == 1 {
            drop(world.act(act));
        } else {
            std::thread::scope(|scope| {
                let done = scope.spawn(|| drop(world.act(act)));
                done.join().unwrap();
            });
        }
        match then {
            Between::Snapshot if snapshots => {
                let report = world.book.snapshot().unwrap();
                hashes.insert(report.position, world.book.state_hash().unwrap());
            }
            Between::Reopen => world.reopen_with(many()),
            _ => {}
        }
    }
    (world, hashes)
}

type Hashes = BTreeMap<Lsn, [u8; 32]>;

/// The same book with those of its snapshots that are wanted.
fn with_snapshots(storage: &MemStorage, wanted: impl Fn(&str) -> bool) -> MemStorage {
    let mut files = storage.files();
    files.retain(|name, _| !name.ends_with(".snap") || wanted(name));
    MemStorage::from_files(files)
}

fn check(acts: &Acts, between: &[Between]) -> Result<(), TestCaseError> {
    let (plain, _) = live(&acts.0, between, false, 1);
    let (world, hashes) = live(&acts.0, between, true, 1);
    let (threaded, _) = live(&acts.0, between, true, 2);
    let expected = plain.book.state_hash().unwrap();
    for other in [&world, &threaded] {
        prop_assert_eq!(other.book.state_hash().unwrap(), expected);
        assert_same_log(&plain.book, &other.book);
    }
    assert_sound(&world.book);
    let usable: Vec<Lsn> = world.book.snapshots().unwrap();
    prop_assert_eq!(&usable, &hashes.keys().copied().collect::<Vec<_>>());
    let last = world.book.durable();
    for wanted in usable.iter().map(Some).chain([None]) {
        let alone = with_snapshots(&world.storage, |name| {
            wanted.is_some_and(|lsn| snapshot_name(*lsn) == name)
        });
        let book = Engine::on(alone, many()).unwrap();
        prop_assert_eq!(book.opened().snapshot, wanted.copied());
        prop_assert_eq!(book.opened().replayed, last.0 - wanted.map_or(0, |lsn| lsn.0));
        prop_assert_eq!(book.state_hash().unwrap(), expected);
        assert_sound(&book);
        prop_assert_eq!(book.state_hash().unwrap(), expected);
    }
    let book = Engine::on(world.storage.copy(), many()).unwrap();
    prop_assert_eq!(book.opened().snapshot, usable.last().copied());
    for (lsn, hash) in hashes {
        for distance in 0..3 {
            let moment = Lsn((lsn.0 + distance).min(last.0));
            let view = book.as_of(moment).unwrap();
            prop_assert_eq!(view.position(), moment);
            prop_assert_eq!(view.state_hash(), plain.book.as_of(moment).unwrap().state_hash());
            prop_assert!(distance > 0 || view.state_hash() == hash);
        }
        let at = book.as_of(lsn).unwrap().now().unwrap();
        let seen = |book: &Engine| book.as_of(at).unwrap().state_hash();
        prop_assert_eq!(seen(&book), seen(&plain.book));
    }
    Ok(())
}

#[test]
fn snapshots_at_any_point_change_nothing() {
    let config = ProptestConfig { cases: seeds(), failure_persistence: None, ..<_>::default() };
    let mut runner = TestRunner::new(config);
    runner.run(&(acts(), between()), |(acts, between)| check(&acts, &between)).unwrap();
}

/// A book of a year with three customers, and what the state hash was at its snapshot.
fn lived() -> (MemStorage, Lsn, [u8; 32]) {
    let storage = MemStorage::new();
    let book = support::book_on(storage.clone());
    for (n, name) in ["cus_ada", "cus_ben", "cus_eve"].into_iter().enumerate() {
        book.customers().create(customer(name, "pm_good")).unwrap();
        let id = format!("sub_{n}");
        book.subscriptions().create(subscription(&id, name, "price_month")).unwrap();
    }
    book.advance_to(day(200), &mut gateway).unwrap();
    let position = book.snapshot().unwrap().position;
    book.advance_to(day(365), &mut gateway).unwrap();
    let hash = book.state_hash().unwrap();
    (storage, position, hash)
}

/// The place of a text in the snapshot.
fn find(file: &[u8], text: &str) -> Vec<usize> {
    (0..file.len()).filter(|at| file[*at..].starts_with(text.as_bytes())).collect()
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_removed_in_time() {
    let (storage, position, hash) = lived();
    let whole = storage.files()[&snapshot_name(position)].clone();
    let last = whole.len() - 100;
    for at in [0, 20, 70, 200, last] {
        let mut files = storage.files();
        files.get_mut(&snapshot_name(position)).unwrap()[at] ^= 1;
        let storage = MemStorage::from_files(files);
        let book = Engine::on(storage.clone(), Options::default()).unwrap();
        let opened = book.opened();
        assert_eq!((opened.snapshot, opened.skipped.len()), (None, 1), "byte {at}");
        assert_eq!(opened.skipped[0].position, position);
        assert!(!opened.skipped[0].reason.is_empty());
        assert_eq!(book.state_hash().unwrap(), hash, "byte {at}");
        book.advance_to(day(366), &mut gateway).unwrap();
        book.customers().create(customer("cus_new", "pm_good")).unwrap();
        let report = book.snapshot().unwrap();
        assert_eq!(report.removed, [position]);
        assert_eq!(book.snapshots().unwrap(), [report.position]);
    }
}

#[test]
fn what_cannot_be_read_when_it_is_needed_is_an_error_and_never_missing() {
    let (storage, position, hash) = lived();
    let mut files = storage.files();
    let file = files.get_mut(&snapshot_name(position)).unwrap();
    // The part of one customer begins with its own id, which is checked when it is asked for.
    let at = find(file, "cus_ben")[0];
    file[at] ^= 0x20;
    let damaged = || MemStorage::from_files(files.clone());

    type Use = fn(&Engine) -> Option<Error>;
    let uses: [Use; 7] = [
        |book| book.customers().retrieve(&customer_id("cus_ben")).err(),
        |book| book.customers().list().err(),
        |book| book.subscriptions().list(&customer_id("cus_ben")).err(),
        |book| book.subscriptions().create(subscription("s", "cus_ben", "price_week")).err(),
        |book| book.dry_run(subscription("s", "cus_ben", "price_week")).err(),
        |book| book.advance_to(day(999), &mut gateway).err(),
        |book| book.check_invariants().err(),
    ];
    // Closed at the snapshot, so that no record that follows asks for that customer.
    for (n, wrong) in uses.into_iter().enumerate() {
        let storage = closed_at(&damaged(), position);
        let book = Engine::on(storage.clone(), Options::default()).unwrap();
        assert_eq!(book.opened().snapshot, Some(position), "{n}");
        let (last, balance) = (book.durable(), book.trial_balance(None).unwrap());
        assert!(book.customers().retrieve(&customer_id("cus_ada")).is_ok());
        let error = wrong(&book).unwrap();
        assert!(matches!(error, Error::Unreadable(_)), "{n}: {error:?}");
        let again = book.customers().retrieve(&customer_id("cus_ada")).unwrap_err();
        assert!(matches!(again, Error::Unreadable(_)), "{n}: {again:?}");
        assert!(book.snapshot().is_err());
        drop(book);
        let book = Engine::on(storage, Options::default()).unwrap();
        assert_eq!((book.opened().snapshot, book.snapshots().unwrap()), (None, vec![]), "{n}");
        assert!(book.durable() >= last);
        assert_eq!(book.as_of(last).unwrap().trial_balance(None).unwrap(), balance);
        assert_sound(&book);
    }
    // Where the records that follow ask for it, opening does without the snapshot.
    let book = Engine::on(damaged(), Options::default()).unwrap();
    assert_eq!((book.opened().snapshot, book.opened().skipped.len()), (None, 1));
    assert_eq!(book.state_hash().unwrap(), hash);
}

/// The book as if it had ended at a record.
fn closed_at(storage: &MemStorage, last: Lsn) -> MemStorage {
    let from = Engine::on(with_snapshots(storage, |_| false), Options::default()).unwrap();
    let short = MemStorage::new();
    let book = support::book_on(short.clone());
    for (n, name) in ["cus_ada", "cus_ben", "cus_eve"].into_iter().enumerate() {
        book.customers().create(customer(name, "pm_good")).unwrap();
        let id = format!("sub_{n}");
        book.subscriptions().create(subscription(&id, name, "price_month")).unwrap();
    }
    book.advance_to(day(200), &mut gateway).unwrap();
    assert_eq!(book.durable(), last);
    assert_eq!(book.state_hash().unwrap(), from.as_of(last).unwrap().state_hash());
    drop(book);
    let mut files = short.files();
    let name = snapshot_name(last);
    files.insert(name.clone(), storage.files()[&name].clone());
    MemStorage::from_files(files)
}

#[test]
fn closing_writes_a_snapshot_where_enough_follows_the_last_one() {
    let storage = MemStorage::new();
    let policy = SnapshotPolicy::default().on_close_after(Some(3)).keep(2);
    let open = || Engine::on(storage.clone(), Options::default().snapshots(policy)).unwrap();
    support::begin(&open_first(&storage, policy));
    let mut seen = Vec::new();
    for n in 0..4 {
        let book = open();
        seen.push(book.opened().snapshot.is_some());
        for m in 0..=n {
            book.customers().create(customer(&format!("cus_{n}_{m}"), "pm_good")).unwrap();
        }
        book.close().unwrap();
    }
    let book = open();
    assert_eq!(seen, [false, true, true, true]);
    assert_eq!(book.snapshots().unwrap().len(), 2);
    assert_eq!((book.opened().replayed, book.opened().skipped.len()), (0, 0));
    assert_eq!(book.customers().list().unwrap().len(), 10);
    assert_eq!(book.remove_snapshots().unwrap().len(), 2);
    assert_eq!(book.snapshots().unwrap(), []);
    assert_eq!(book.customers().list().unwrap().len(), 10);
}

fn open_first(storage: &MemStorage, policy: SnapshotPolicy) -> Engine {
    Engine::on(storage.clone(), Options::default().snapshots(policy)).unwrap()
}

#[test]
fn a_view_begins_at_the_nearest_snapshot() {
    let (storage, position, _) = lived();
    let book = Engine::on(storage.copy(), Options::default()).unwrap();
    let without = Engine::on(with_snapshots(&storage, |_| false), Options::default()).unwrap();
    assert_eq!(without.opened().snapshot, None);
    let end: Timestamp = book.now().unwrap().unwrap();
    let mut moments =
        vec![AsOf::Latest, AsOf::Time(day(100)), AsOf::Time(day(200)), AsOf::Time(end)];
    moments.extend((1..=book.durable().0).step_by(5).map(|lsn| AsOf::Position(Lsn(lsn))));
    moments.push(AsOf::Position(position));
    for moment in moments {
        let (view, other) = (book.as_of(moment).unwrap(), without.as_of(moment).unwrap());
        assert_eq!(view.position(), other.position(), "{moment:?}");
        assert_eq!(view.now(), other.now(), "{moment:?}");
        assert_eq!(view.state_hash(), other.state_hash(), "{moment:?}");
        assert_eq!(view.event_count(), other.event_count(), "{moment:?}");
        let ada = customer_id("cus_ada");
        let invoices = |view: &counterfoil::View| view.invoices(&ada).map_err(|e| e.to_string());
        assert_eq!(invoices(&view), invoices(&other), "{moment:?}");
    }
    let _ = book_is_send(book);
}

fn book_is_send<T: Send + Sync>(book: T) -> T {
    book
}

#[test]
fn a_book_without_records_has_no_snapshot() {
    assert!(matches!(Engine::in_memory().snapshot(), Err(Error::NoTime)));
    assert!(book().snapshot().is_ok());
}

/// What the snapshot of [`lived`] came to, under which fingerprint of the layout.
const KEPT: (u64, u64) = (0x7cca_e2b8_749b_b0d1, 0xcc47_3ad3_3fd3_4254);

#[test]
fn no_snapshot_changes_its_form_under_an_old_fingerprint() {
    let (storage, position, _) = lived();
    let file = &storage.files()[&snapshot_name(position)];
    let fingerprint = u64::from_le_bytes(file[32..40].try_into().unwrap());
    let content = file[4096..].iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let found = (fingerprint, content);
    assert!(
        found.1 == KEPT.1 || found.0 != KEPT.0,
        "the form of snapshots changed: raise the number in SNAPSHOT_LAYOUT (model), \
         CHECKPOINT_LAYOUT (meter) or BOOK_LAYOUT (counterfoil), then keep what is found here"
    );
    assert_eq!(found, KEPT, "({:#018x}, {:#018x})", found.0, found.1);
}
