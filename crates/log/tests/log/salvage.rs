//! What is saved of a damaged book: all that is whole, and nothing that is not.

use std::{io, ops::Range, sync::Arc};

use counterfoil_log::{
    Access, Log, Lsn, MemStorage, Missing, Orphans, Receipt, Record, SalvageError, SalvageReport,
    Secret, Storage, StorageFile, StorageLock, Vault, salvage, verify_against,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    FIRST_SEGMENT, Files, MANIFEST, SECOND_SEGMENT, append, assert_holds, closed_book, numbered,
    open, recorded, small_segments,
};

const LAST: u64 = 40;

/// Salvages a book of `numbered` records, and checks all that must be true of any of them.
fn salvaged(files: &Files) -> (SalvageReport, Vec<Record>) {
    let source = MemStorage::from_files(files.clone());
    let target = MemStorage::new();
    let report = salvage(Arc::new(source.clone()), target.clone(), small_segments()).unwrap();
    let orphans: Vec<Record> = Orphans::of(Arc::new(source.clone())).unwrap().collect();
    assert_eq!(source.files(), *files, "the damaged book was changed");
    let last = report.receipt.lsn.0;
    let verified = verify_against(&target, &report.receipt).unwrap();
    assert!(verified.is_sound() && verified.clean);
    let (log, opened) = open(target);
    assert!(opened.clean);
    assert_holds(&log, last);
    // No record is of this history that was not written to it, and none is there twice.
    assert_eq!(report.orphans, u64::try_from(orphans.len()).unwrap());
    let mut found: Vec<u64> = orphans.iter().map(|record| record.lsn.0).collect();
    for orphan in &orphans {
        assert_eq!(*orphan, recorded(orphan.lsn.0, numbered(orphan.lsn.0)));
    }
    // Each record is saved, an orphan, or said to be missing.
    found.extend(1..=last);
    for Missing { from, to, damage } in &report.missing {
        assert!(!damage.is_empty() || to.is_some());
        found.extend(from.0..=to.map_or(from.0 - 1, |to| to.0));
    }
    found.sort_unstable();
    let end = found.last().copied().unwrap_or_default();
    assert_eq!(found, (1..=end).collect::<Vec<_>>(), "{report:?}");
    (report, orphans)
}

/// Where the body of record `n` stands, in which file.
fn body_of(files: &Files, n: u64) -> (String, Range<usize>) {
    let body = &numbered(n).events[0].body;
    // The other event of the record has its number, right behind.
    let needle = [&body[..], &n.to_le_bytes()].concat();
    files
        .iter()
        .find_map(|(name, bytes)| {
            let at = bytes.windows(needle.len()).position(|found| found == needle)?;
            Some((name.clone(), at..at + body.len()))
        })
        .unwrap()
}

#[test]
fn a_sound_book_is_copied_whole() {
    let mut files = closed_book(LAST);
    let vaulted = MemStorage::new();
    let (log, _) = open(vaulted.clone());
    Vault::of(&log).free_from(0, &|_| Ok(Secret::from([7; 32]))).unwrap();
    let keys = vaulted.files()["0000000001.keys"].clone();
    files.insert("0000000001.keys".to_owned(), keys.clone());
    let (report, orphans) = salvaged(&files);
    assert_eq!((report.missing, orphans), (vec![], vec![]));
    let (log, _) = open(MemStorage::from_files(files.clone()));
    assert_eq!(report.receipt, log.head().unwrap());
    let target = MemStorage::new();
    let source = Arc::new(MemStorage::from_files(files));
    salvage(source, target.clone(), small_segments()).unwrap();
    assert_eq!(target.files()["0000000001.keys"], keys);
}

#[test]
fn records_behind_a_damaged_one_are_orphans() {
    for n in [1, 2, 7, 20, 39, 40] {
        let mut files = closed_book(LAST);
        let (name, at) = body_of(&files, n);
        files.get_mut(&name).unwrap()[at.start] ^= 1;
        let (report, orphans) = salvaged(&files);
        assert_eq!(report.receipt.lsn, Lsn(n - 1));
        let [missing] = &report.missing[..] else { panic!("{report:?}") };
        assert_eq!((missing.from, missing.to), (Lsn(n), Some(Lsn(n))));
        assert_eq!(missing.damage[0].file, name);
        let line = missing.to_string();
        assert!(line.starts_with(&format!("record {n}: {name} is damaged at byte ")), "{line}");
        assert_eq!(orphans.len() as u64, LAST - n);
    }
}

#[test]
fn whole_parts_are_found_whatever_is_gone() {
    let sound = closed_book(LAST);
    let head = |last: u64| {
        let (log, _) = open(MemStorage::from_files(sound.clone()));
        log.head_at(Lsn(last)).unwrap()
    };
    let change = |change: &dyn Fn(&mut Files)| {
        let mut files = sound.clone();
        change(&mut files);
        salvaged(&files)
    };
    // Neither is needed to know the records.
    for name in [MANIFEST, FIRST_SEGMENT] {
        let (report, _) = change(&|files| files.get_mut(name).unwrap()[20] ^= 1);
        assert_eq!((report.receipt, report.missing), (head(LAST), vec![]), "{name}");
    }
    let (report, _) = change(&|files| drop(files.remove(MANIFEST)));
    assert_eq!((report.receipt, report.missing), (head(LAST), vec![]));
    // A whole segment: its records are missing, and those behind it orphans.
    let (report, orphans) = change(&|files| drop(files.remove(SECOND_SEGMENT)));
    let last = report.receipt.lsn.0;
    assert_eq!(report.receipt, head(last));
    assert_eq!((report.missing.len(), report.missing[0].from), (1, Lsn(last + 1)));
    assert_eq!(report.missing[0].to, Some(orphans[0].lsn.previous_of()));
    assert_eq!(orphans.last().unwrap().lsn, Lsn(LAST));
    // All of them.
    let (report, orphans) = change(&|files| files.retain(|name, _| name == MANIFEST));
    assert_eq!((report.receipt, orphans), (Receipt::EMPTY, vec![]));
    assert_eq!((report.missing[0].from, report.missing[0].to), (Lsn(1), Some(Lsn(LAST))));
    // A footer is no record.
    let last = sound[FIRST_SEGMENT].len() - 1;
    let (report, orphans) = change(&|files| files.get_mut(FIRST_SEGMENT).unwrap()[last - 70] ^= 1);
    assert_eq!((report.receipt, report.missing, orphans), (head(LAST), vec![], vec![]));
    // A part in the middle, over several batches.
    let (report, orphans) =
        change(&|files| files.get_mut(FIRST_SEGMENT).unwrap()[5000..7000].fill(0));
    assert!(report.receipt.lsn.0 < 5 && !orphans.is_empty(), "{report:?}");
}

trait PreviousOf {
    fn previous_of(self) -> Self;
}

impl PreviousOf for Lsn {
    fn previous_of(self) -> Self {
        Lsn(self.0 - 1)
    }
}

#[test]
fn what_is_no_book_is_refused_and_a_target_must_be_empty() {
    let refused = |files: Files| {
        let source = Arc::new(MemStorage::from_files(files));
        let error = salvage(source, MemStorage::new(), small_segments()).unwrap_err();
        assert!(matches!(error, SalvageError::Source(_)), "{error}");
        error.to_string()
    };
    assert!(refused(Files::new()).contains("neither a manifest nor"));
    assert!(refused([("a".to_owned(), vec![1])].into()).contains("neither a manifest nor"));
    let target = MemStorage::from_files([("a".to_owned(), vec![1])].into());
    let source = Arc::new(MemStorage::from_files(closed_book(3)));
    let error = salvage(source, target.clone(), small_segments()).unwrap_err();
    assert_eq!(error.to_string(), "in the new book: not a book: it already holds a");
    assert_eq!(target.files().len(), 1);
}

/// A disk with blocks that cannot be read.
struct BadBlocks {
    disk: MemStorage,
    bad: Range<u64>,
}

struct BadFile {
    file: Box<dyn StorageFile>,
    bad: Range<u64>,
}

impl Storage for BadBlocks {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        panic!("a damaged book is not locked");
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn StorageFile>> {
        panic!("nothing is created in a damaged book");
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        assert_eq!(access, Access::Read);
        let bad = if name == FIRST_SEGMENT { self.bad.clone() } else { 0..0 };
        Ok(Box::new(BadFile { file: self.disk.open(name, access)?, bad }))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        panic!("nothing is renamed in a damaged book");
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        panic!("nothing is removed from a damaged book");
    }

    fn sync_dir(&self) -> io::Result<()> {
        panic!("nothing is synced in a damaged book");
    }
}

impl StorageFile for BadFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = offset + u64::try_from(buffer.len()).unwrap();
        if offset < self.bad.end && end > self.bad.start {
            return Err(io::Error::other("input/output error"));
        }
        self.file.read_at(buffer, offset)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        panic!("nothing is written to a damaged book");
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        panic!("nothing is written to a damaged book");
    }

    fn sync_data(&self) -> io::Result<()> {
        panic!("nothing is synced in a damaged book");
    }
}

#[test]
fn blocks_that_cannot_be_read_are_passed_over() {
    let storage = MemStorage::new();
    let (log, _) = Log::open(storage.clone(), Default::default()).unwrap();
    append(&log, 1, LAST, 1);
    log.close().unwrap();
    let source = Arc::new(BadBlocks { disk: storage, bad: 10_000..10_100 });
    let target = MemStorage::new();
    let report = salvage(Arc::clone(&source) as _, target.clone(), small_segments()).unwrap();
    assert_eq!(report.unreadable_bytes, 4096);
    assert!(report.receipt.lsn > Lsn(2) && report.orphans > 20, "{report:?}");
    assert_holds(&open(target).0, report.receipt.lsn.0);
    let orphans: Vec<Record> = Orphans::of(source).unwrap().collect();
    assert_eq!(orphans.len() as u64, report.orphans);
    for orphan in orphans {
        assert_eq!(orphan, recorded(orphan.lsn.0, numbered(orphan.lsn.0)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_damage_leaves_whole_records_whole(
        damage in vec((any::<Index>(), any::<Index>(), 0_usize..4000, any::<u8>()), 1..5),
        removed in prop::option::weighted(0.3, any::<Index>()),
    ) {
        let mut files = closed_book(LAST);
        let names: Vec<String> = files.keys().cloned().collect();
        for (name, at, len, byte) in &damage {
            let bytes = files.get_mut(&names[name.index(names.len())]).unwrap();
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + len);
            bytes[at..end].fill(*byte);
        }
        if let Some(name) = removed {
            files.remove(&names[name.index(names.len())]);
        }
        salvaged(&files);
    }
}
