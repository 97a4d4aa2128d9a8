//! A reader beside a writer, without write access, and before damage.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use counterfoil_log::{
    Access, BackupError, BackupOptions, FileStorage, Log, Lsn, MemStorage, OpenError, ReadError,
    Reader, Record, Storage, StorageFile, StorageLock,
    sim::{SimCall, SimDisk, SimFault, SimStorage},
    verify_against,
};

use super::{
    FIRST_SEGMENT, MANIFEST, append, closed_book, numbered, open, open_book, recorded,
    small_segments,
};

/// A storage that refuses every call that is not a look.
struct ReadOnly(MemStorage);

impl Storage for ReadOnly {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn StorageFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        match access {
            Access::Read => self.0.open(name, access),
            Access::Write => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

fn expected(last: u64) -> Vec<Record> {
    (1..=last).map(|n| recorded(n, numbered(n))).collect()
}

fn all(records: impl Iterator<Item = Result<Record, ReadError>>) -> Vec<Record> {
    records.map(Result::unwrap).collect()
}

/// A storage whose lock cannot be had for this reason.
struct Unlockable(MemStorage, io::ErrorKind);

impl Storage for Unlockable {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        Err(self.1.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.0.create(name)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        self.0.open(name, access)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }
}

#[test]
fn who_may_not_have_the_book_is_told_why() {
    for (kind, expected) in [
        (io::ErrorKind::WouldBlock, "the book is in use by another process or handle"),
        (io::ErrorKind::ReadOnlyFilesystem, "the book cannot be written to, only read: "),
        (io::ErrorKind::PermissionDenied, "the book cannot be written to, only read: "),
        (io::ErrorKind::OutOfMemory, "cannot lock the book: "),
    ] {
        let storage = MemStorage::from_files(closed_book(3));
        let before = storage.files();
        let opened = Log::open(Unlockable(storage.clone(), kind), small_segments());
        let refused = opened.map(drop).unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{kind:?}: {refused}");
        assert_eq!(storage.files(), before, "{kind:?}");
    }
}

#[test]
fn a_book_that_cannot_be_written_is_read_and_left_as_it_is() {
    for (files, clean) in [(closed_book(50), true), (open_book(50), false)] {
        let storage = MemStorage::from_files(files.clone());
        let reader = Reader::open(ReadOnly(storage.clone())).unwrap();
        let synced = if clean { 50 } else { 48 };
        assert_eq!((reader.last(), reader.synced()), (Lsn(50), Lsn(synced)));
        assert_eq!(reader.damage(), None);
        let mut records = expected(50);
        assert_eq!(all(reader.read(Lsn(1))), records);
        assert_eq!(all(reader.read_stream("book", Lsn(1))), records);
        assert_eq!(reader.read_one(Lsn(7)).unwrap(), records[6]);
        assert_eq!(reader.find_time(20).unwrap(), Lsn(25));
        records.reverse();
        assert_eq!(all(reader.read_back(Lsn(50))), records);
        assert_eq!(all(reader.read_stream_back("book", Lsn(50))), records);
        assert_eq!(storage.files(), files);
        let (log, _) = open(storage);
        for lsn in [0, 1, 31, 50] {
            assert_eq!(reader.head_at(Lsn(lsn)).unwrap(), log.head_at(Lsn(lsn)).unwrap());
        }
    }
}

#[test]
fn a_reader_beside_a_writer_sees_each_prefix_and_never_damage() {
    let dir = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(dir.path().join("book")).unwrap();
    let (log, _) = Log::open(storage.clone(), small_segments()).unwrap();
    append(&log, 1, 1, 1);
    let reader = Arc::new(Reader::open(storage).unwrap());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            append(&log, 2, 600, 3);
            log.close().unwrap();
            done.store(true, Ordering::Release);
        });
        let mut records = reader.read(Lsn(1));
        let mut stream = reader.read_stream("customer/1", Lsn(1));
        let mut seen = 0;
        loop {
            let last_look = done.load(Ordering::Acquire);
            let last = reader.refresh().unwrap();
            assert_eq!(reader.damage(), None);
            assert!(reader.synced() <= last);
            for record in records.by_ref() {
                seen += 1;
                assert_eq!(record.unwrap(), recorded(seen, numbered(seen)));
            }
            assert!(stream.by_ref().map(Result::unwrap).count() as u64 <= seen);
            assert_eq!(Lsn(seen), last);
            if last_look {
                break;
            }
        }
        assert_eq!((seen, reader.synced()), (600, Lsn(600)));
    });
    // The next writer goes on behind it.
    let (log, _) = open(FileStorage::open(dir.path().join("book")).unwrap());
    append(&log, 601, 620, 1);
    assert_eq!(reader.refresh().unwrap(), Lsn(620));
    assert_eq!(all(reader.read(Lsn(601))).len(), 20);
}

#[test]
fn beside_a_writer_a_book_is_verified_and_copied_as_one_that_lies_still() {
    let dir = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(dir.path().join("book")).unwrap();
    let (log, _) = Log::open(storage.clone(), small_segments()).unwrap();
    append(&log, 1, 5, 1);
    let reader = Reader::open(storage.clone()).unwrap();
    let target = MemStorage::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = log;
            for round in 0..60 {
                let from = 6 + round * 10;
                append(&log, from, from + 9, 3);
                if round % 20 == 19 {
                    // Closed and opened again, which changes the manifest.
                    log.close().unwrap();
                    drop(log);
                    log = open(storage.clone()).0;
                }
            }
            done.store(true, Ordering::Release);
        });
        let (mut looks, mut receipt) = (0, reader.head().unwrap());
        while !done.load(Ordering::Acquire) || looks < 5 {
            let report = reader.verify(Some(&receipt)).unwrap();
            assert!(report.is_sound(), "{report:?}");
            assert!(report.last >= receipt.lsn && report.head.is_some());
            assert_eq!(reader.sync().unwrap(), reader.last());
            assert_eq!(reader.synced(), reader.last());
            receipt = reader.backup(&target, BackupOptions::default()).unwrap().receipt;
            let copy = verify_against(&target, &receipt).unwrap();
            assert!(copy.is_sound() && copy.clean && copy.last == receipt.lsn, "{copy:?}");
            looks += 1;
        }
    });
    assert_eq!(reader.refresh().unwrap(), Lsn(605));
    assert_eq!(reader.verify(None).unwrap().last, Lsn(605));
}

#[test]
fn a_reader_syncs_what_its_writer_has_not_and_says_where_that_fails() {
    for fails_first in [false, true] {
        let disk = SimStorage::new(7);
        let (log, _) = open(disk.clone());
        append(&log, 1, 3, 1);
        let written = log.append(numbered(4)).unwrap();
        log.wait_buffered(written).unwrap();
        let reader = Reader::open(disk.clone()).unwrap();
        assert_eq!(reader.last(), written);
        assert!(reader.synced() < written);
        let least = || {
            let ends = disk.disk().ends_of_power_loss().into_iter();
            let lasts = ends.map(|files| {
                Reader::open(SimStorage::of(SimDisk::holding(files), 1)).unwrap().last()
            });
            lasts.min().unwrap()
        };
        assert_eq!(least(), Lsn(3), "it is not on disk yet");
        if fails_first {
            disk.fail(SimCall::Sync, 0, SimFault::Io);
            // The second sync succeeds, and says nothing of what the first one left out.
            for _ in 0..2 {
                assert_eq!(reader.sync().unwrap_err().action, "sync");
                assert!(reader.synced() < written);
            }
            continue;
        }
        assert_eq!(reader.sync().unwrap(), written);
        assert_eq!((reader.synced(), least()), (written, written));
    }
}

#[test]
fn who_waits_for_a_writer_sees_what_it_appends_and_damage() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 3, 1);
    let reader = Reader::open(storage.clone()).unwrap();
    let none = Duration::ZERO;
    assert_eq!(reader.wait_beyond(Lsn(3), none).unwrap(), Lsn(3));
    thread::scope(|scope| {
        scope.spawn(|| append(&log, 4, 4, 1));
        assert_eq!(reader.wait_beyond(Lsn(3), Duration::from_secs(60)).unwrap(), Lsn(4));
    });
    log.close().unwrap();
    drop(log);
    let reader = Reader::open(ReadOnly(storage.clone())).unwrap();
    let file = storage.open(FIRST_SEGMENT, Access::Write).unwrap();
    file.set_len(file.len().unwrap() - 8).unwrap();
    assert_eq!(reader.wait_beyond(Lsn(3), none).unwrap(), Lsn(4));
    let reader = Reader::open(ReadOnly(storage)).unwrap();
    let last = reader.wait_beyond(Lsn(4), Duration::from_secs(60)).unwrap();
    assert!(last < Lsn(4) && reader.damage().is_some());
    let refused = reader.backup(&MemStorage::new(), BackupOptions::default()).unwrap_err();
    assert!(matches!(refused, BackupError::Book(ReadError::Damaged(_))), "{refused}");
}

#[test]
fn what_lies_before_damage_is_read_and_the_damage_is_named() {
    let files = open_book(7);
    let end = files[FIRST_SEGMENT].iter().rposition(|byte| *byte != 0).unwrap();
    let names = files.keys().filter(|name| name.ends_with(".seg")).count();
    assert_eq!(names, 2);
    // In a sealed segment, in a batch of the last one that was synced, and in a torn tail.
    let second = "0000000002.seg";
    let tail = files[second].iter().rposition(|byte| *byte != 0).unwrap();
    for (file, at, last, readable, damage) in [
        (FIRST_SEGMENT, 4_200, 7, 0, true),
        (second, 4_200, 4, 4, true),
        (second, tail, 6, 6, false),
    ] {
        let mut files = files.clone();
        files.get_mut(file).unwrap()[at] ^= 1;
        let storage = MemStorage::from_files(files.clone());
        let reader = Reader::open(ReadOnly(storage.clone())).unwrap();
        assert_eq!(reader.last(), Lsn(last), "{file} at {at}");
        let found: Vec<_> = reader.read(Lsn(1)).collect();
        assert_eq!(found.iter().filter(|record| record.is_ok()).count(), readable);
        let named =
            matches!(found.last(), Some(Err(ReadError::Damaged(found))) if found.file == file);
        assert_eq!(named, damage, "{file} at {at}");
        assert_eq!(storage.files(), files);
    }
    assert!(end > 4_200);
}

#[test]
fn what_is_no_book_is_refused() {
    let mut newer = closed_book(3);
    newer.remove(MANIFEST);
    let foreign = [("notes.txt".to_owned(), b"x".to_vec())].into();
    for files in [newer, foreign, std::collections::BTreeMap::new()] {
        let refused = Reader::open(MemStorage::from_files(files)).unwrap_err();
        assert!(matches!(refused, OpenError::NotABook { .. }), "{refused}");
    }
}
