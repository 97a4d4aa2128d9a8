//! Events that leave memory for a file.
//!
//! An aggregator answers from its events wherever they are: those of a [`SpillFile`] are mapped, so
//! that the system brings in what is read and takes the memory back when it is short of it. What
//! ingest looks at for every event, the index of identifiers and the sums, stays in memory: some
//! 16 bytes an event instead of 64, and 54 an hour of a customer on a meter. Only an identifier that
//! may be a repetition is compared with its event, wherever that is.
//!
//! The file is scratch: it has no name, holds nothing that the log or the caller has not, and is
//! gone with the process.
#![expect(clippy::disallowed_types, reason = "a file is what this is about")]

use bytemuck::Pod;
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Bytes that are mapped at once.
const REGION: usize = 1 << 30;
/// Rows begin at a multiple of this.
const ALIGN: usize = 4096;

/// A file without a name for what leaves memory.
#[derive(Debug)]
pub struct SpillFile {
    file: File,
    /// The last region of the file, mapped.
    region: Arc<Mmap>,
    /// Where it begins in the file.
    start: u64,
    /// Bytes of it that are used.
    used: usize,
    /// Bytes of a region.
    region_bytes: usize,
}

impl SpillFile {
    /// Makes a file in a directory. It has no name there, or loses it when it is closed where the
    /// system knows no files without one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn create(directory: impl AsRef<Path>) -> io::Result<Self> {
        Self::with_regions(directory.as_ref(), REGION)
    }

    fn with_regions(directory: &Path, region_bytes: usize) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory)?;
        let region = Arc::new(map(&file, 0, region_bytes)?);
        Ok(Self { file, region, start: 0, used: 0, region_bytes })
    }

    /// Bytes that were moved there.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.start.saturating_add(u64::try_from(self.used).unwrap_or(u64::MAX))
    }

    /// Writes rows, which are read through the extent from here on.
    pub(crate) fn keep<T: Pod>(&mut self, rows: &[T]) -> io::Result<Extent> {
        let bytes: &[u8] = bytemuck::cast_slice(rows);
        let whole = bytes.len().checked_next_multiple_of(ALIGN);
        let whole = whole.filter(|&whole| whole <= self.region_bytes).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "rows do not fit a region of a spill file")
        })?;
        if self.used.saturating_add(whole) > self.region_bytes {
            let region_bytes = u64::try_from(self.region_bytes).unwrap_or(u64::MAX);
            let start = self.start.saturating_add(region_bytes);
            self.region = Arc::new(map(&self.file, start, self.region_bytes)?);
            (self.start, self.used) = (start, 0);
        }
        write_at(&self.file, bytes, self.bytes())?;
        let extent =
            Extent { region: Arc::clone(&self.region), start: self.used, len: bytes.len() };
        self.used = self.used.saturating_add(whole);
        Ok(extent)
    }
}

/// Makes the file long enough and maps a region of it.
fn map(file: &File, start: u64, bytes: usize) -> io::Result<Mmap> {
    let end = start.checked_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    file.set_len(end.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?)?;
    #[expect(unsafe_code, reason = "a file that is mapped could be changed by others")]
    // SAFETY: the file has no name and no other handle, so nobody else can write or shorten it.
    // This module makes it longer only, and writes only bytes beyond those of every extent.
    unsafe {
        MmapOptions::new().offset(start).len(bytes).map(file)
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// Rows in a spill file.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    region: Arc<Mmap>,
    start: usize,
    len: usize,
}

impl Extent {
    /// The rows, of the type that was kept.
    #[inline]
    pub(crate) fn rows<T: Pod>(&self) -> &[T] {
        let end = self.start.saturating_add(self.len);
        let bytes = self.region.get(self.start..end).unwrap_or_default();
        bytemuck::try_cast_slice(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "the directory is looked at")]
    use super::*;

    #[test]
    fn what_was_kept_is_read_and_does_not_change() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = SpillFile::with_regions(directory.path(), 3 * ALIGN).unwrap();
        let rows = |n: u64| (0..300 + n).map(|row| row * 1000 + n).collect::<Vec<_>>();
        let kept: Vec<Extent> = (0..20).map(|n| file.keep(&rows(n)).unwrap()).collect();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        for (n, extent) in (0..).zip(&kept) {
            assert_eq!(extent.rows::<u64>(), rows(n));
        }
        // Six regions are full, and two pieces of one page lie in the seventh.
        assert_eq!(file.bytes(), 6 * 3 * 4096 + 2 * 4096);
        drop(file);
        assert_eq!(kept[7].rows::<u64>(), rows(7));
    }

    #[test]
    fn rows_that_fit_no_region_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = SpillFile::with_regions(directory.path(), ALIGN).unwrap();
        let error = file.keep(&[0_u64; 513]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(file.keep(&[7_u64; 512]).unwrap().rows::<u64>(), [7; 512]);
    }
}
