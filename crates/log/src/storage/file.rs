//! A storage in a directory.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{Access, Storage, StorageFile, StorageLock};
use crate::{
    bytes::wide,
    error::{IoError, OpenError},
    manifest::MANIFEST,
};

/// Name of the file that is locked while a process has the book. It is empty and stays.
const LOCK: &str = "LOCK";

/// A storage in a directory, locked against other processes by a file `LOCK` in it.
#[derive(Clone, Debug)]
pub struct FileStorage {
    dir: PathBuf,
}

impl FileStorage {
    /// Takes a directory, and creates it, with those above it, where it is missing.
    ///
    /// # Errors
    /// [`OpenError::NotABook`] where the path is that of a file, [`OpenError::Io`] where the
    /// directory cannot be created.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let dir = dir.into();
        if !dir.exists() {
            create_dirs(&dir)
                .map_err(IoError::at("create the directory", &dir.to_string_lossy()))?;
        }
        Self::of_directory(dir)
    }

    /// Takes a directory that must hold a book.
    ///
    /// # Errors
    /// [`OpenError::NotABook`] where it holds none, is a file, or does not exist;
    /// [`OpenError::Io`] where permission is missing to look.
    pub fn open_existing(dir: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let storage = Self::of_directory(dir.into())?;
        match storage.path(MANIFEST).try_exists() {
            Ok(true) => Ok(storage),
            Ok(false) => Err(OpenError::NotABook { found: format!("it holds no {MANIFEST}") }),
            Err(error) => Err(IoError::at("look for", MANIFEST)(error).into()),
        }
    }

    fn of_directory(dir: PathBuf) -> Result<Self, OpenError> {
        match fs::metadata(&dir) {
            Ok(found) if found.is_dir() => Ok(Self { dir }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(IoError::at("look for", &dir.to_string_lossy())(error).into())
            }
            _ => {
                Err(OpenError::NotABook { found: format!("{} is not a directory", dir.display()) })
            }
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Creates a directory so that its name outlives a crash, and those of the ones above it.
fn create_dirs(dir: &Path) -> io::Result<()> {
    let above = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    if !above.exists() {
        create_dirs(above)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    sync_dir(above)
}

/// Only Unix has directories that can be synced; elsewhere the file system answers for names.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

impl Storage for FileStorage {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        let options = OpenOptions::new().create(true).truncate(false).write(true).clone();
        let file = options.open(self.path(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(FileLock(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name() != LOCK && !entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let options = OpenOptions::new().read(true).write(true).create_new(true).clone();
        Ok(Box::new(DiskFile(options.open(self.path(name))?)))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        let options = OpenOptions::new().read(true).write(access == Access::Write).clone();
        Ok(Box::new(DiskFile(options.open(self.path(name))?)))
    }

    fn open_blocks(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        match open_direct(&self.path(name))? {
            Some(direct) => {
                let cached = OpenOptions::new().read(true).write(true).open(self.path(name))?;
                Ok(Box::new(DirectFile { direct: DiskFile(direct), cached: DiskFile(cached) }))
            }
            None => self.open(name, Access::Write),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_dir(&self.dir)
    }
}

/// Opens a file past the page cache; `None` where the file system does not take part in that.
#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<Option<File>> {
    use std::os::unix::fs::OpenOptionsExt;
    match OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}

/// Elsewhere the caches are used: no flag for opening a file means the same there.
#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// A file that is written past the page cache.
struct DirectFile {
    direct: DiskFile,
    cached: DiskFile,
}

impl StorageFile for DirectFile {
    fn len(&self) -> io::Result<u64> {
        self.cached.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.cached.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self.direct.write_all_at(bytes, offset) {
            // Some file systems open such a file and then want other blocks, or ended a write in
            // the middle of one. No byte was taken of the piece that was refused.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.cached.write_all_at(bytes, offset)
            }
            written => written,
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.cached.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.cached.sync_data()
    }
}

struct FileLock(File);

impl StorageLock for FileLock {}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the file gives the lock back too; a failure here changes nothing.
        drop(self.0.unlock());
    }
}

struct DiskFile(File);

impl DiskFile {
    #[cfg(unix)]
    fn read_some_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buffer, offset)
    }

    #[cfg(windows)]
    fn read_some_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, buffer, offset)
    }

    #[cfg(unix)]
    fn write_some_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.0, bytes, offset)
    }

    #[cfg(windows)]
    fn write_some_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset)
    }
}

impl StorageFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_some_at(rest, offset.saturating_add(wide(done))) {
                Ok(0) => break,
                Ok(read) => done = done.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match self.write_some_at(rest, offset.saturating_add(wide(done))) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done = done.saturating_add(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
