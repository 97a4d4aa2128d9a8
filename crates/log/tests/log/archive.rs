//! Segments moved to an archive and back: the book stays the same book.

use std::io;

use counterfoil_log::{
    Access, ArchiveError, BackupOptions, Log, Lsn, MemStorage, ReadError, Receipt, Storage,
    StorageFile, StorageLock,
    sim::{SimRandom, SimStorage},
    verify_against,
};

use super::{FIRST_SEGMENT, append, assert_holds, numbered, open, recorded};

const LAST: u64 = 60;
const FIRST_STUB: &str = "0000000001.stub";

fn book() -> (MemStorage, Log) {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, LAST, 2);
    (storage, log)
}

fn receipts(log: &Log) -> Vec<Receipt> {
    (0..=LAST).map(|n| log.head_at(Lsn(n)).unwrap()).collect()
}

fn segments(storage: &MemStorage, end: &str) -> usize {
    storage.files().keys().filter(|name| name.ends_with(end)).count()
}

#[test]
fn an_archived_book_reads_proves_and_opens_as_before() {
    let (storage, log) = book();
    let receipts = receipts(&log);
    let sealed = segments(&storage, ".seg") - 1;
    let archive = MemStorage::new();
    log.attach_archive(archive.clone());
    let report = log.archive(Lsn(u64::MAX)).unwrap();
    assert_eq!(report.segments.len(), sealed);
    assert_eq!((segments(&storage, ".seg"), segments(&storage, ".stub")), (1, sealed));
    assert_eq!(segments(&archive, ".seg"), sealed);
    assert_holds(&log, LAST);
    assert_eq!(self::receipts(&log), receipts);
    assert_eq!(log.archive(Lsn(u64::MAX)).unwrap().segments, []);

    append(&log, LAST + 1, LAST + 5, 1);
    log.close().unwrap();
    let (log, report) = open(storage.clone());
    assert_eq!((report.clean, report.last), (true, Lsn(LAST + 5)));
    log.attach_archive(archive);
    assert_holds(&log, LAST + 5);
    for lsn in [1, 7, 30, LAST] {
        let receipt = receipts.last().unwrap();
        let proof = log.prove(Lsn(lsn), receipt).unwrap();
        assert_eq!(proof.check(receipt), Ok(recorded(lsn, numbered(lsn))));
    }
}

#[test]
fn without_its_archive_a_book_says_what_it_cannot_read() {
    let (storage, log) = book();
    log.attach_archive(MemStorage::new());
    let moved = log.archive(Lsn(30)).unwrap();
    assert!((1..12).contains(&moved.segments.len()), "{moved:?}");
    let receipts = [log.head_at(Lsn(LAST)).unwrap(), log.head().unwrap()];
    log.close().unwrap();
    let (log, report) = open(storage.clone());
    assert!(report.clean);
    let error = log.read_one(Lsn(1)).unwrap_err();
    assert!(matches!(error, ReadError::Archived { segment: 1 }), "{error:?}");
    assert_eq!(error.to_string(), "segment 1 is in an archive that is not attached");
    let first = log.read(Lsn(1)).next().unwrap().unwrap_err();
    assert!(matches!(first, ReadError::Archived { segment: 1 }), "{first:?}");
    assert!(matches!(log.prove(Lsn(1), &receipts[0]), Err(ReadError::Archived { segment: 1 })));
    // What is in the book is read, and every head and proof of it is made from the stubs.
    assert_eq!(log.read_one(Lsn(40)).unwrap(), recorded(40, numbered(40)));
    assert_eq!(log.head().unwrap(), receipts[1]);
    let proof = log.prove(Lsn(40), &receipts[0]).unwrap();
    assert_eq!(proof.check(&receipts[0]), Ok(recorded(40, numbered(40))));
    let verified = verify_against(&storage, &receipts[0]).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(usize::try_from(verified.archived).unwrap(), moved.segments.len());
    assert!(matches!(log.fetch(Lsn(1)), Err(ArchiveError::NotAttached)));
}

#[test]
fn what_was_fetched_is_what_was_archived() {
    let (storage, log) = book();
    let before = storage.files();
    let archive = MemStorage::new();
    log.attach_archive(archive.clone());
    let moved = log.archive(Lsn(LAST)).unwrap();
    // From the middle on, then the rest.
    let late = log.fetch(Lsn(30)).unwrap();
    assert!(!late.segments.is_empty() && late.segments.len() < moved.segments.len());
    assert_holds(&log, LAST);
    let rest = log.fetch(Lsn(1)).unwrap();
    assert_eq!([rest.segments, late.segments].concat(), moved.segments);
    assert_eq!(storage.files(), before);
    assert_eq!(segments(&archive, ".seg"), moved.segments.len());
}

#[test]
fn another_segment_in_the_archive_is_refused() {
    let (storage, log) = book();
    let archive = MemStorage::new();
    log.attach_archive(archive.clone());
    log.archive(Lsn(LAST)).unwrap();
    let before = storage.files();
    let len = archive.files()[FIRST_SEGMENT].len();
    for at in [100, 5000, len - 1] {
        let file = archive.open(FIRST_SEGMENT, Access::Write).unwrap();
        let byte = archive.files()[FIRST_SEGMENT][at];
        file.write_all_at(&[byte ^ 1], at as u64).unwrap();
        let fetched = log.fetch(Lsn(1));
        assert!(matches!(fetched, Err(ArchiveError::Differs { .. })), "{at}: {fetched:?}");
        assert_eq!(storage.files(), before);
        file.write_all_at(&[byte], at as u64).unwrap();
    }
    assert!(!log.fetch(Lsn(1)).unwrap().segments.is_empty());
}

#[test]
fn a_damaged_segment_is_not_moved() {
    let (storage, log) = book();
    let file = storage.open(FIRST_SEGMENT, Access::Write).unwrap();
    let byte = storage.files()[FIRST_SEGMENT][5000];
    file.write_all_at(&[byte ^ 1], 5000).unwrap();
    log.attach_archive(MemStorage::new());
    let moved = log.archive(Lsn(LAST));
    assert!(matches!(moved, Err(ArchiveError::Book(ReadError::Damaged(_)))), "{moved:?}");
    assert_eq!(segments(&storage, ".stub"), 0);
}

#[test]
fn a_backup_takes_stubs_along_and_keeps_the_segments_that_it_has() {
    let (storage, log) = book();
    let full = MemStorage::new();
    log.backup(&full, BackupOptions::default()).unwrap();
    let archive = MemStorage::new();
    log.attach_archive(archive.clone());
    let moved = log.archive(Lsn(30)).unwrap().segments.len();
    let with_stubs = MemStorage::new();
    log.backup(&with_stubs, BackupOptions::default()).unwrap();
    assert_eq!(segments(&with_stubs, ".stub"), moved);
    let (copy, report) = open(with_stubs.clone());
    assert!(report.clean);
    copy.attach_archive(archive);
    assert_holds(&copy, LAST);
    drop(copy);
    let again = log.backup(&full, BackupOptions::default()).unwrap();
    assert_eq!((again.segments_copied, segments(&full, ".stub")), (0, 0));
    assert_holds(&open(full).0, LAST);
    // And the other way: what was fetched back replaces its stub.
    log.fetch(Lsn(1)).unwrap();
    let fetched = MemStorage::from_files(with_stubs.files());
    let (copy, _) = open(fetched.clone());
    copy.close().unwrap();
    drop(copy);
    log.backup(&fetched, BackupOptions::default()).unwrap();
    assert_eq!(segments(&fetched, ".stub"), 0);
    assert_holds(&open(fetched).0, LAST);
    assert_eq!(segments(&storage, ".stub"), 0);
}

#[test]
fn disk_use_tells_what_the_files_are_for() {
    let (storage, log) = book();
    let files = |end: &str| -> u64 {
        let lens = storage.files().into_iter().filter(|(name, _)| name.ends_with(end));
        lens.map(|(_, bytes)| bytes.len() as u64).sum()
    };
    storage.create("0000000001.keys").unwrap().write_all_at(&[1; 64], 0).unwrap();
    storage.create("00000000000000000009.snap").unwrap().write_all_at(&[1; 99], 0).unwrap();
    let before = log.disk_use().unwrap();
    assert_eq!(before.records + before.ahead + before.footers, files(".seg"));
    assert_eq!((before.keys, before.snapshots, before.archived), (64, 99, 0));
    assert_eq!((before.other, before.total()), (128, files("")));
    assert!(before.footers > 0 && before.records > before.footers);
    log.attach_archive(MemStorage::new());
    let moved = log.archive(Lsn(30)).unwrap();
    let after = log.disk_use().unwrap();
    assert_eq!(after.archived, moved.bytes);
    assert_eq!(after.footers, before.footers);
    assert_eq!(after.total(), files(""));
    // A header block and 64 bytes of each segment that was moved stay behind.
    assert_eq!(after.other - before.other, moved.segments.len() as u64 * (4096 + 64));
}

/// The book and its archive on one disk, so that the power goes for both at once.
#[derive(Clone)]
struct Half {
    disk: SimStorage,
    prefix: &'static str,
}

impl Half {
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Storage for Half {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        self.disk.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = self.disk.list()?;
        let ours = names.iter().filter_map(|name| name.strip_prefix(self.prefix));
        Ok(ours.map(str::to_owned).collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.disk.create(&self.name(name))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        self.disk.open(&self.name(name), access)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.name(from), &self.name(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(&self.name(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
}

fn halves(disk: SimStorage) -> (Half, Half) {
    (Half { disk: disk.clone(), prefix: "book." }, Half { disk, prefix: "archive." })
}

#[test]
fn wherever_the_power_goes_no_record_is_lost() {
    const LAST: u64 = 24;
    let disk = SimStorage::new(3);
    let (local, archive) = halves(disk.clone());
    let (log, _) = open(local.clone());
    append(&log, 1, LAST, 2);
    disk.keep_points();
    log.attach_archive(archive.clone());
    let moved = log.archive(Lsn(LAST)).unwrap();
    assert!(moved.segments.len() > 1);
    log.fetch(Lsn(1)).unwrap();
    drop(log);
    let points = disk.take_points();
    assert!(points.len() > 20, "{} points", points.len());
    for (seed, point) in (0..).zip(&points) {
        for round in 0..4 {
            let left = point.disk.after_power_loss(&mut SimRandom::new(seed * 4 + round));
            let (local, archive) = halves(SimStorage::of(left, 1));
            let (log, _) = open(local.clone());
            log.attach_archive(archive);
            assert_holds(&log, LAST);
            log.archive(Lsn(LAST)).unwrap();
            assert_holds(&log, LAST);
            assert!(local.list().unwrap().contains(&FIRST_STUB.to_owned()), "{:?}", point.site);
            assert!(!local.list().unwrap().contains(&FIRST_SEGMENT.to_owned()));
            log.fetch(Lsn(1)).unwrap();
            assert_holds(&log, LAST);
            assert!(!local.list().unwrap().contains(&FIRST_STUB.to_owned()));
        }
    }
}
