//! Snapshots are whole, of this history and of the layout asked for, or not used.

use counterfoil_log::{
    Log, Lsn, MemStorage, SnapshotError, SnapshotStamp, Storage, fuzz,
    sim::{SimRandom, SimStorage},
};
use proptest::prelude::*;

use crate::{append, assert_holds, open};

const FINGERPRINT: u64 = 0xfeed;

fn content(n: u64, section: u32) -> Vec<u8> {
    let byte = u8::try_from(n % 200).unwrap() + u8::try_from(section).unwrap();
    vec![byte; usize::try_from(n * 1000 % 4321).unwrap() + 1]
}

fn write(log: &Log, lsn: u64) -> Result<(), SnapshotError> {
    let stamp = SnapshotStamp { lsn: Lsn(lsn), at: 3, fingerprint: FINGERPRINT };
    let info = log.write_snapshot(stamp, |writer| {
        for section in 1..4 {
            writer.begin(section)?;
            for piece in content(lsn, section).chunks(100) {
                writer.write(piece)?;
            }
        }
        Ok(())
    })?;
    assert_eq!((info.lsn, info.at, info.fingerprint), (Lsn(lsn), 3, FINGERPRINT));
    Ok(())
}

fn check(log: &Log, lsn: u64) -> Result<(), SnapshotError> {
    let snapshot = log.open_snapshot(Lsn(lsn), FINGERPRINT)?;
    for section in 1..4 {
        let expected = content(lsn, section);
        assert_eq!(snapshot.section(section)?, expected);
        let half = expected.len() / 2;
        let range = snapshot.range(section, half as u64, expected.len() - half)?;
        assert_eq!(range, expected[half..]);
    }
    Ok(())
}

fn name(lsn: u64) -> String {
    format!("{lsn:020}.snap")
}

#[test]
fn a_snapshot_is_read_as_it_was_written_and_old_ones_go() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 9, 2);
    for lsn in [3, 9, 5] {
        write(&log, lsn).unwrap();
        check(&log, lsn).unwrap();
    }
    // The one at record 5 is written again, over the first.
    write(&log, 5).unwrap();
    assert_eq!(log.snapshots().unwrap(), [Lsn(3), Lsn(5), Lsn(9)]);
    log.close().unwrap();
    let (log, report) = open(storage.clone());
    assert!(report.clean);
    check(&log, 5).unwrap();
    assert_eq!(log.retain_snapshots(2).unwrap(), [Lsn(3)]);
    assert!(matches!(check(&log, 3), Err(SnapshotError::Missing { lsn: Lsn(3) })));
    log.remove_snapshot(Lsn(9)).unwrap();
    log.remove_snapshot(Lsn(9)).unwrap();
    assert_eq!(log.snapshots().unwrap(), [Lsn(5)]);
    assert!(storage.files().keys().all(|name| !name.ends_with(".new")));
    assert_holds(&log, 9);
}

#[test]
fn a_snapshot_of_another_history_or_layout_is_not_used() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 6, 1);
    write(&log, 6).unwrap();
    let layout = log.open_snapshot(Lsn(6), FINGERPRINT + 1);
    assert!(matches!(layout, Err(SnapshotError::Layout { .. })), "{layout:?}");
    let file = storage.files()[&name(6)].clone();

    let (shorter, _) = open(beside(MemStorage::new(), &file));
    append(&shorter, 1, 5, 1);
    assert!(matches!(check(&shorter, 6), Err(SnapshotError::Foreign { .. })));
    append(&shorter, 6, 6, 1);
    check(&shorter, 6).unwrap();

    let (other, _) = open(beside(MemStorage::new(), &file));
    append(&other, 1, 5, 1);
    let mut record = crate::numbered(6);
    record.at += 1;
    other.wait(other.append(record).unwrap()).unwrap();
    assert!(matches!(check(&other, 6), Err(SnapshotError::Foreign { .. })));
}

/// A new book with a snapshot at record 6 beside it.
fn beside(storage: MemStorage, snapshot: &[u8]) -> MemStorage {
    open(storage.clone()).0.close().unwrap();
    let mut files = storage.files();
    files.insert(name(6), snapshot.to_vec());
    MemStorage::from_files(files)
}

#[test]
fn a_failing_filler_leaves_nothing_and_poisons_nothing() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 3, 1);
    let stamp = SnapshotStamp { lsn: Lsn(3), at: 3, fingerprint: FINGERPRINT };
    type Fill = fn(&mut counterfoil_log::SnapshotWriter) -> Result<(), SnapshotError>;
    let fillers: [Fill; 3] = [
        |_| Err(SnapshotError::content("no")),
        |writer| writer.write(b"before any section"),
        |writer| writer.begin(1).and_then(|()| writer.begin(1)),
    ];
    for fill in fillers {
        let failed = log.write_snapshot(stamp, fill);
        assert!(matches!(failed, Err(SnapshotError::Content { .. })), "{failed:?}");
        assert!(storage.files().keys().all(|name| !name.contains("snap")));
    }
    let beyond = SnapshotStamp { lsn: Lsn(4), ..stamp };
    assert!(matches!(log.write_snapshot(beyond, |_| Ok(())), Err(SnapshotError::Log(_))));
    write(&log, 3).unwrap();
    log.close().unwrap();
    assert!(matches!(write(&log, 2), Err(SnapshotError::Log(_))));
    assert!(matches!(log.remove_snapshot(Lsn(3)), Err(SnapshotError::Log(_))));
}

#[test]
fn every_flipped_bit_and_every_cut_is_seen() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 3, 1);
    write(&log, 3).unwrap();
    let whole = storage.files()[&name(3)].clone();
    let gaps = |at: usize| at >= 4096 && !storage_sections(&log).iter().any(|s| s.contains(&at));
    let file = storage.open(&name(3), counterfoil_log::Access::Write).unwrap();
    for at in (0..whole.len()).filter(|at| at % 7 == 0 || *at < 512) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        file.write_all_at(&bytes, 0).unwrap();
        assert!(check_quietly(&log, 3).is_err() || gaps(at), "byte {at}");
    }
    file.write_all_at(&whole, 0).unwrap();
    check(&log, 3).unwrap();
    for len in [0, 1, 63, 4095, 4096, 5000, whole.len() - 1, whole.len() + 1] {
        file.set_len(len as u64).unwrap();
        assert!(check_quietly(&log, 3).is_err(), "cut to {len}");
        file.write_all_at(&whole, 0).unwrap();
        file.set_len(whole.len() as u64).unwrap();
    }
    assert_holds(&log, 3);
}

/// Where the sections of the snapshot at record 3 lie in the file.
fn storage_sections(log: &Log) -> Vec<std::ops::Range<usize>> {
    let mut at = 4096_usize;
    let mut found = Vec::new();
    for section in 1..4 {
        let len = content(3, section).len();
        found.push(at..at + len);
        at = (at + len).next_multiple_of(16);
    }
    assert!(log.snapshots().is_ok());
    found
}

/// As [`check`], but for content that differs without an error, which is one here.
fn check_quietly(log: &Log, lsn: u64) -> Result<(), SnapshotError> {
    let snapshot = log.open_snapshot(Lsn(lsn), FINGERPRINT)?;
    (1..4).try_for_each(|section| snapshot.section(section).map(drop))
}

#[test]
fn after_a_power_loss_at_any_call_a_snapshot_is_whole_or_not_there() {
    let mut seen = [0, 0];
    for fail in 0..40 {
        let storage = SimStorage::new(fail);
        let (log, _) = Log::open(storage.clone(), Default::default()).unwrap();
        append(&log, 1, 4, 1);
        write(&log, 2).unwrap();
        storage.keep_points();
        write(&log, 4).unwrap();
        for (n, point) in storage.take_points().into_iter().enumerate() {
            let mut random = SimRandom::new(fail * 1000 + n as u64);
            let left = point.disk.after_power_loss(&mut random);
            let (log, report) = Log::open(SimStorage::of(left, 1), Default::default()).unwrap();
            assert_eq!(report.last, Lsn(4));
            check(&log, 2).unwrap();
            match check(&log, 4) {
                Ok(()) => seen[1] += 1,
                Err(SnapshotError::Missing { .. }) => seen[0] += 1,
                Err(error) => panic!("point {n}: {error}"),
            }
            append(&log, 5, 6, 1);
            write(&log, 6).unwrap();
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

proptest! {
    #[test]
    fn hostile_snapshots_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::snapshot_hostile(&bytes);
    }

    #[test]
    fn damaged_headers_with_right_checksums_are_refused(
        at in 0_u16..4200, bytes in prop::collection::vec(any::<u8>(), 1..24),
    ) {
        let mut input = vec![3];
        input.extend(at.to_le_bytes());
        input.extend(bytes);
        fuzz::snapshot_hostile(&input);
    }
}
