//! The first I/O error is the last, and every call says so. What is left after an error at any
//! call is held to the rule by the tests of `reliability`.

use counterfoil_log::{
    Log, LogError, Lsn, Storage,
    sim::{SimCall, SimFault, SimStorage},
};

use super::{assert_holds, numbered, open, small_segments};

/// Appends and waits until something fails; returns the last acknowledged record and, if it was
/// closed, whether that succeeded.
fn work(log: &Log) -> (Lsn, Result<(), LogError>) {
    let mut acknowledged = log.durable();
    for n in acknowledged.0 + 1..=40 {
        let waited = log.append(numbered(n)).and_then(|lsn| {
            if n % 2 == 0 { log.wait(lsn).map(|_| acknowledged = lsn) } else { Ok(()) }
        });
        if let Err(error) = waited {
            return (acknowledged, Err(error));
        }
    }
    (acknowledged, log.close())
}

/// Every call of a poisoned handle gives the same error.
#[track_caller]
fn assert_poisoned(log: &Log, error: &LogError) {
    assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
    let durable = log.durable();
    assert_eq!(log.append(numbered(1)).as_ref(), Err(error));
    assert_eq!(log.wait(durable).as_ref(), Err(error));
    assert_eq!(log.wait_buffered(durable).as_ref(), Err(error));
    assert_eq!(log.durability(durable).as_ref(), Err(error));
    assert_eq!(log.poll(durable).as_ref(), Err(error));
    assert_eq!(log.commit().as_ref(), Err(error));
    assert_eq!(log.wait_durable_beyond(durable, std::time::Duration::MAX).as_ref(), Err(error));
    assert_eq!(log.reserve(1 << 16).as_ref(), Err(error));
    assert_eq!(log.close().as_ref(), Err(error));
    assert!(log.read(Lsn(1)).next().is_some_and(|record| record.is_err()));
    assert!(log.read_one(Lsn(1)).is_err());
    assert_eq!(log.durable(), durable);
}

#[test]
fn every_call_after_a_fault_gives_its_error() {
    for (call, fault) in [
        (SimCall::Sync, SimFault::Io),
        (SimCall::SyncDir, SimFault::Io),
        (SimCall::Write, SimFault::Io),
        (SimCall::Write, SimFault::Short),
        (SimCall::Write, SimFault::Full),
        (SimCall::Create, SimFault::Full),
        (SimCall::Rename, SimFault::Io),
        (SimCall::SetLen, SimFault::Io),
    ] {
        let mut sites = 0;
        for nth in 0.. {
            let storage = SimStorage::new(nth);
            let (log, _) = Log::open(storage.clone(), small_segments()).unwrap();
            storage.fail(call, nth, fault);
            let (_, ended) = work(&log);
            match ended {
                Err(error) => assert_poisoned(&log, &error),
                Ok(()) => {
                    assert_eq!(storage.struck(), None, "a fault went unnoticed");
                    break;
                }
            }
            sites += 1;
        }
        assert!(sites > 0, "{fault:?} at {call:?}");
    }
}

#[test]
fn a_fault_in_a_reserve_or_in_what_is_made_of_it_loses_nothing() {
    for (call, fault) in [
        (SimCall::Create, SimFault::Full),
        (SimCall::Open, SimFault::Io),
        (SimCall::Write, SimFault::Full),
        (SimCall::Write, SimFault::Short),
        (SimCall::Sync, SimFault::Io),
        (SimCall::Rename, SimFault::Io),
        (SimCall::SyncDir, SimFault::Io),
        (SimCall::Remove, SimFault::Io),
    ] {
        for nth in 0.. {
            let storage = SimStorage::new(nth);
            let (log, _) = Log::open(storage.clone(), small_segments()).unwrap();
            storage.fail(call, nth, fault);
            let (acknowledged, ended) = match log.reserve(12 * small_segments().segment_bytes) {
                Ok(()) => work(&log),
                Err(error) => (Lsn::ZERO, Err(error)),
            };
            let Err(error) = ended else {
                assert_eq!(storage.struck(), None, "a fault went unnoticed");
                assert!(nth > 0, "{fault:?} at {call:?}");
                break;
            };
            assert_poisoned(&log, &error);
            drop(log);
            storage.limit_bytes(None);
            let (log, report) = open(storage.clone());
            assert!(report.last >= acknowledged, "{fault:?} at {call:?} {nth}: {report:?}");
            assert_holds(&log, report.last.0);
            let left = storage.list().unwrap().into_iter().find(|name| name.ends_with(".seg.new"));
            assert_eq!(left, None);
        }
    }
}

#[test]
fn a_panic_while_writing_poisons_the_log() {
    for (call, nth) in [(SimCall::Sync, 5), (SimCall::Write, 7), (SimCall::Create, 0)] {
        let storage = SimStorage::new(1);
        let (log, _) = Log::open(storage.clone(), small_segments()).unwrap();
        storage.fail(call, nth, SimFault::Panic);
        let last = std::thread::scope(|scope| {
            scope.spawn(|| work(&log)).join().unwrap_err();
            log.durable()
        });
        assert!(storage.struck().is_some_and(|site| site.call == call));
        assert_poisoned(&log, &log.commit().unwrap_err());
        drop(log);
        let (log, report) = open(storage);
        assert!(report.last >= last);
        assert_holds(&log, report.last.0);
    }
}

#[test]
fn the_error_names_the_file_and_keeps_the_first_text() {
    let storage = SimStorage::new(1);
    let (log, _) = Log::open(storage.clone(), small_segments()).unwrap();
    storage.fail(SimCall::Write, 0, SimFault::Full);
    let (_, error) = work(&log);
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "the log is poisoned: cannot write 0000000001.seg: no storage space");
}
