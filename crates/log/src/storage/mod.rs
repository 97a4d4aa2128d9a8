//! The one seam between the log and a disk.
//!
//! [`FileStorage`] is a directory, [`MemStorage`] is memory. What is written is certain to outlive
//! a crash only after a sync: bytes and length of a file after [`StorageFile::sync_data`], names
//! after [`Storage::sync_dir`]. Until then any part of it may be there, in any order. Another
//! implementation may hold the log to that.

mod file;
mod mem;

use std::{io, sync::Arc};

pub use file::FileStorage;
pub use mem::MemStorage;

/// A flat set of named files that one log has for itself. Names are those that the log chooses:
/// ASCII letters, digits and dots.
pub trait Storage: Send + Sync + 'static {
    /// Takes the book for one user, until the result is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where another process or handle has it.
    fn lock(&self) -> io::Result<Box<dyn StorageLock>>;

    /// The names of all files, in any order, that of a lock excepted.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates an empty file, open for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where the name is taken.
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where it does not.
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file that exists for writing whole blocks past the caches of the system, where it has
    /// such a way. Offset, length and memory of each write are multiples of 4096 bytes. What is
    /// written is seen through every other opening of the file at once, and is as little certain to
    /// outlive a crash as any other write. A storage that knows no difference need not write this.
    ///
    /// # Errors
    /// As [`Storage::open`].
    fn open_blocks(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.open(name, Access::Write)
    }

    /// Gives a file another name at once; a file that had that name is gone.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where it does not exist.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every creation, renaming and removal so far outlive a crash.
    ///
    /// # Errors
    /// What the system says; then nothing is known about what is on disk.
    fn sync_dir(&self) -> io::Result<()>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading only.
    Read,
    /// For reading and writing.
    Write,
}

/// An open file of a [`Storage`]. Offsets and lengths are in bytes.
#[expect(clippy::len_without_is_empty, reason = "a file is not a collection")]
pub trait StorageFile: Send + Sync + 'static {
    /// The length of the file.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Reads from `offset` until the buffer is full or the file ends; returns how much was read.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`; the file grows as needed, a gap reads as zeros.
    ///
    /// # Errors
    /// What the system says; any part may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file off at `len`, or lengthens it with zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the bytes and the length outlive a crash.
    ///
    /// # Errors
    /// What the system says; then nothing is known about what is on disk.
    fn sync_data(&self) -> io::Result<()>;
}

/// A book taken by [`Storage::lock`]; given back when dropped.
pub trait StorageLock: Send + Sync {}

impl<S: Storage + ?Sized> Storage for Arc<S> {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        (**self).lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        (**self).list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        (**self).create(name)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        (**self).open(name, access)
    }

    fn open_blocks(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        (**self).open_blocks(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (**self).remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        (**self).sync_dir()
    }
}

impl<S: Storage + ?Sized> Storage for Box<S> {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        (**self).lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        (**self).list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        (**self).create(name)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        (**self).open(name, access)
    }

    fn open_blocks(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        (**self).open_blocks(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (**self).remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        (**self).sync_dir()
    }
}
