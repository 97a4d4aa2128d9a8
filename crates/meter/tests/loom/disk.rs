//! A disk in memory that knows which records were synced, on which syncs may fail from one on, and
//! at which a thread can wait for a record to be synced.

use counterfoil_log::{Access, MemStorage, Storage, StorageFile, StorageLock};
use loom::sync::{Condvar, Mutex};
use std::io;
use std::sync::Arc;

#[derive(Clone)]
pub struct Disk {
    memory: MemStorage,
    known: Arc<Known>,
}

struct Known {
    records: Mutex<Records>,
    /// Signalled when more is synced.
    synced: Condvar,
}

struct Records {
    written: u64,
    synced: u64,
    /// Syncs until one fails.
    syncs_left: u64,
}

impl Disk {
    pub fn new() -> Self {
        let records = Records { written: 0, synced: 0, syncs_left: u64::MAX };
        let known = Known { records: Mutex::new(records), synced: Condvar::new() };
        Self { memory: MemStorage::new(), known: Arc::new(known) }
    }

    /// From now on the n-th sync fails, and all after it.
    pub fn fail_after(&self, syncs: u64) {
        self.known.records.lock().unwrap().syncs_left = syncs;
    }

    /// The last record synced.
    pub fn synced(&self) -> u64 {
        self.known.records.lock().unwrap().synced
    }

    /// Sleeps until a record is synced.
    pub fn wait_for(&self, record: u64) {
        let mut records = self.known.records.lock().unwrap();
        while records.synced < record {
            records = self.known.synced.wait(records).unwrap();
        }
    }

    fn file(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(DiskFile { file, known: Arc::clone(&self.known) })
    }
}

struct DiskFile {
    file: Box<dyn StorageFile>,
    known: Arc<Known>,
}

impl Storage for Disk {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        self.memory.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.memory.create(name).map(|file| self.file(file))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        self.memory.open(name, access).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.memory.sync_dir()
    }
}

/// The last record of the last batch that begins in these bytes: number of the first record at byte
/// 24 of its header, their count at byte 16.
fn last_record(bytes: &[u8]) -> Option<u64> {
    let headers = bytes.windows(32).filter(|header| header.starts_with(b"CFLBATCH"));
    headers.last().map(|header| {
        let first = u64::from_le_bytes(header[24..32].try_into().unwrap());
        first + u64::from(u32::from_le_bytes(header[16..20].try_into().unwrap())) - 1
    })
}

impl StorageFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        if let Some(last) = last_record(bytes) {
            let mut records = self.known.records.lock().unwrap();
            records.written = records.written.max(last);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut records = self.known.records.lock().unwrap();
        if records.syncs_left == 0 {
            return Err(io::Error::other("EIO"));
        }
        records.syncs_left -= 1;
        records.synced = records.written;
        self.known.synced.notify_all();
        Ok(())
    }
}
