//! The first I/O error is the last, and what was acknowledged outlives it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use counterfoil_log::{Access, Log, LogError, Lsn, MemStorage, Storage, StorageFile, StorageLock};

use super::{assert_holds, numbered, open, small_segments};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The n-th sync of a file or the directory fails; what was written may be there.
    Sync,
    /// The n-th write fails after half of it.
    ShortWrite,
    /// The n-th write fails with nothing written.
    FullDisk,
    /// The n-th creation, renaming or removal, or change of a length, fails.
    Names,
    /// The n-th sync panics.
    Panic,
}

/// A memory in which one operation goes wrong.
#[derive(Clone)]
struct Faulty {
    inner: MemStorage,
    fault: Fault,
    /// Operations of the kind of the fault that are still to succeed.
    left: Arc<AtomicU64>,
}

impl Faulty {
    fn new(inner: MemStorage, fault: Fault, left: u64) -> Self {
        Self { inner, fault, left: Arc::new(AtomicU64::new(left)) }
    }

    /// Whether this operation is the one that fails.
    fn strikes(&self, fault: Fault) -> bool {
        self.fault == fault && self.left.fetch_sub(1, Ordering::Relaxed) == 0
    }

    fn struck(&self) -> bool {
        self.left.load(Ordering::Relaxed) > u64::MAX / 2
    }

    fn sync(&self) -> io::Result<()> {
        assert!(!self.strikes(Fault::Panic), "a bug in the storage");
        if self.strikes(Fault::Sync) { Err(io::Error::other("EIO")) } else { Ok(()) }
    }

    fn names(&self) -> io::Result<()> {
        if self.strikes(Fault::Names) { Err(io::Error::other("EIO")) } else { Ok(()) }
    }

    fn file(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(FaultyFile { inner: file, storage: self.clone() })
    }
}

struct FaultyFile {
    inner: Box<dyn StorageFile>,
    storage: Faulty,
}

impl Storage for Faulty {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        self.inner.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.names()?;
        self.inner.create(name).map(|file| self.file(file))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        self.inner.open(name, access).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.names()?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.names()?;
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.sync()
    }
}

impl StorageFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.storage.strikes(Fault::ShortWrite) {
            self.inner.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::Error::other("EIO"));
        }
        if self.storage.strikes(Fault::FullDisk) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.names()?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync()
    }
}

/// Appends and waits until something fails; returns the last acknowledged record and, if it was
/// closed, whether that succeeded.
fn work(log: &Log) -> (Lsn, Result<(), LogError>) {
    let mut acknowledged = log.durable();
    for n in acknowledged.0 + 1..=40 {
        let waited = log.append(numbered(n)).and_then(|lsn| {
            if n % 2 == 0 {
                log.wait(lsn).map(|synced| acknowledged = synced.lsn())
            } else {
                Ok(())
            }
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

/// Lets the n-th operation fail, for every n, first on a new book and then on one that exists.
fn check(fault: Fault) {
    let existing = {
        let storage = MemStorage::from_files(super::open_book(9));
        storage.files()
    };
    for files in [super::Files::new(), existing] {
        let mut sites = 0;
        loop {
            let memory = MemStorage::from_files(files.clone());
            let faulty = Faulty::new(memory.clone(), fault, sites);
            let acknowledged = match Log::open(faulty.clone(), small_segments()) {
                Ok((log, report)) => {
                    let (acknowledged, ended) = work(&log);
                    assert!(acknowledged >= report.last);
                    match ended {
                        Ok(()) => assert!(!faulty.struck(), "a fault went unnoticed"),
                        Err(error) => assert_poisoned(&log, &error),
                    }
                    acknowledged
                }
                Err(error) => {
                    assert!(faulty.struck(), "{error}");
                    let before = if files.is_empty() { 0 } else { 9 };
                    Lsn(before)
                }
            };
            let (log, report) = open(memory);
            let what = format!("{fault:?} at {sites}: {report:?}");
            assert!(report.last >= acknowledged, "{what}, {acknowledged} was acknowledged");
            assert_holds(&log, report.last.0);
            if !faulty.struck() {
                break;
            }
            sites += 1;
        }
        assert!(sites >= 10, "{fault:?}: only {sites} operations");
    }
}

#[test]
fn no_fault_is_acknowledged_and_none_loses_what_was() {
    for fault in [Fault::Sync, Fault::ShortWrite, Fault::FullDisk, Fault::Names] {
        check(fault);
    }
}

#[test]
fn a_panic_while_writing_poisons_the_log() {
    let memory = MemStorage::new();
    let faulty = Faulty::new(memory.clone(), Fault::Panic, 10);
    let (log, _) = Log::open(faulty.clone(), small_segments()).unwrap();
    let last = std::thread::scope(|scope| {
        let worker = scope.spawn(|| work(&log));
        worker.join().unwrap_err();
        log.durable()
    });
    assert!(faulty.struck());
    assert_poisoned(&log, &log.commit().unwrap_err());
    drop(log);
    let (log, report) = open(memory);
    assert!(report.last >= last);
    assert_holds(&log, report.last.0);
}

#[test]
fn the_error_names_the_file_and_keeps_the_first_text() {
    let faulty = Faulty::new(MemStorage::new(), Fault::FullDisk, 3);
    let (log, _) = Log::open(faulty, small_segments()).unwrap();
    let (_, error) = work(&log);
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "the log is poisoned: cannot write 0000000001.seg: no storage space");
}
