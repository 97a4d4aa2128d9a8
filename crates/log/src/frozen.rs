//! A book as it was at one moment, while its writer goes on: what a check of all its files needs, to
//! which an unfinished write looks like damage.
//!
//! What was whole does not change any more. So the files as they are, the last segment only as far
//! as it was whole, with a manifest that says: closed, here, are a book that was closed there. A
//! backup copies just that.

use std::{io, sync::Arc};

use crate::{
    MemStorage,
    header::Place,
    manifest::{MANIFEST, Manifest},
    segment::segment_name,
    shelf::{Shelf, shelved_number},
    storage::{Access, Storage, StorageFile, StorageLock},
};

/// The files of a book up to a place, for reading.
pub(crate) struct Frozen {
    shelf: Arc<Shelf>,
    manifest: MemStorage,
    end: Place,
}

impl Frozen {
    /// The book up to where the manifest says that it was closed.
    pub(crate) fn new(shelf: Arc<Shelf>, closed: &Manifest) -> Self {
        let manifest = [(MANIFEST.to_owned(), closed.encode().to_vec())].into();
        Self { shelf, manifest: MemStorage::from_files(manifest), end: closed.synced }
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::PermissionDenied.into())
}

impl Storage for Frozen {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        refused()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.shelf.list()?;
        names.retain(|name| shelved_number(name).is_none_or(|number| number <= self.end.segment));
        Ok(names)
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn StorageFile>> {
        refused()
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        if access == Access::Write {
            return refused();
        }
        if name == MANIFEST {
            return self.manifest.open(name, access);
        }
        let file = self.shelf.open(name, access)?;
        if name == segment_name(self.end.segment) {
            return Ok(Box::new(Head { file, len: self.end.offset }));
        }
        Ok(file)
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self) -> io::Result<()> {
        refused()
    }
}

/// The first bytes of a file.
struct Head {
    file: Box<dyn StorageFile>,
    len: u64,
}

impl StorageFile for Head {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len.min(self.file.len()?))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = crate::bytes::narrow(self.len.saturating_sub(offset));
        let len = buffer.len().min(left);
        self.file.read_at(buffer.get_mut(..len).unwrap_or_default(), offset)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }
}
