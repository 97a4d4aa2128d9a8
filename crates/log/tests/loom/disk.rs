//! A disk in memory that knows which records were written and which of them were synced.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use counterfoil_log::{Access, Lsn, MemStorage, Storage, StorageFile, StorageLock};

#[derive(Clone)]
pub struct Disk {
    memory: MemStorage,
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    /// The last record written.
    written: AtomicU64,
    /// The last record synced.
    synced: AtomicU64,
    /// Syncs until one fails; every one succeeds before the book is open.
    syncs_left: AtomicU64,
}

impl Disk {
    pub fn new() -> Self {
        let disk = Self { memory: MemStorage::new(), known: Arc::default() };
        disk.begin(None);
        disk
    }

    /// From now on the n-th sync fails, and all after it.
    pub fn begin(&self, failing_sync: Option<u64>) {
        self.known.syncs_left.store(failing_sync.unwrap_or(u64::MAX / 2), SeqCst);
    }

    pub fn written(&self) -> Lsn {
        Lsn(self.known.written.load(SeqCst))
    }

    pub fn synced(&self) -> Lsn {
        Lsn(self.known.synced.load(SeqCst))
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
            self.known.written.fetch_max(last, SeqCst);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let left = self.known.syncs_left.load(SeqCst);
        if left == 0 {
            return Err(io::Error::other("EIO"));
        }
        self.known.syncs_left.store(left - 1, SeqCst);
        self.known.synced.fetch_max(self.known.written.load(SeqCst), SeqCst);
        Ok(())
    }
}
