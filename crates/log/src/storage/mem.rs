//! A storage in memory.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Access, Storage, StorageFile, StorageLock};
use crate::bytes::{narrow, wide};

type Bytes = Arc<RwLock<Vec<u8>>>;

/// A storage in memory. A clone shares the bytes and the lock, so that a log can be opened again;
/// [`MemStorage::copy`] shares nothing.
#[derive(Clone, Debug, Default)]
pub struct MemStorage {
    files: Arc<Mutex<BTreeMap<String, Bytes>>>,
    locked: Arc<AtomicBool>,
}

impl MemStorage {
    /// A storage without a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A storage that holds these files.
    #[must_use]
    pub fn from_files(files: BTreeMap<String, Vec<u8>>) -> Self {
        let files = files.into_iter().map(|(name, bytes)| (name, Arc::new(RwLock::new(bytes))));
        Self { files: Arc::new(Mutex::new(files.collect())), locked: Arc::default() }
    }

    /// All files as they are now, by name.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let files = self.names();
        files.iter().map(|(name, bytes)| (name.clone(), read(bytes).to_vec())).collect()
    }

    /// The bytes as they are now in a storage of their own, which nobody has locked.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::from_files(self.files())
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(bytes: &RwLock<Vec<u8>>) -> std::sync::RwLockReadGuard<'_, Vec<u8>> {
    bytes.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(bytes: &RwLock<Vec<u8>>) -> std::sync::RwLockWriteGuard<'_, Vec<u8>> {
    bytes.write().unwrap_or_else(PoisonError::into_inner)
}

impl Storage for MemStorage {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        if self.locked.swap(true, Ordering::AcqRel) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemLock(Arc::clone(&self.locked))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut files = self.names();
        if files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let bytes = Bytes::default();
        files.insert(name.to_owned(), Arc::clone(&bytes));
        Ok(Box::new(MemFile { bytes, access: Access::Write }))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        let bytes = self.names().get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemFile { bytes, access }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.names();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.names().remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
}

struct MemLock(Arc<AtomicBool>);

impl StorageLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

struct MemFile {
    bytes: Bytes,
    access: Access,
}

impl MemFile {
    fn writable(&self) -> io::Result<std::sync::RwLockWriteGuard<'_, Vec<u8>>> {
        match self.access {
            Access::Read => Err(io::ErrorKind::PermissionDenied.into()),
            Access::Write => Ok(write(&self.bytes)),
        }
    }
}

impl StorageFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(wide(read(&self.bytes).len()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = read(&self.bytes);
        let rest = bytes.get(narrow(offset)..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = self.writable()?;
        let start = narrow(offset);
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if file.len() < end {
            file.resize(end, 0);
        }
        if let Some(slot) = file.get_mut(start..end) {
            slot.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?.resize(narrow(len), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
