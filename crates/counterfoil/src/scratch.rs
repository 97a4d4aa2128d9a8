//! Where closed invoices lie while a book on disk is open: a file beside its log.
//!
//! The file is scratch, as that of the meter's events is: it has no name, holds nothing that the log
//! has not, and is gone with the process. Nothing personal is in it. What is put there comes behind
//! all else and is never changed, so whoever has an older state reads what was there then.

use counterfoil_model::{ClosedStore, Shelf, Unreadable};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are collected before they are written.
const TAIL_BYTES: usize = 256 * 1024;

/// The shelf of a book in a directory: a file there, or memory where none can be made.
pub(crate) fn shelf_in(dir: &Path) -> Arc<Shelf> {
    match tempfile::tempfile_in(dir) {
        Ok(file) => Arc::new(Shelf::in_store(Box::new(Scratch::on(file)))),
        Err(_) => Arc::default(),
    }
}

#[derive(Debug)]
struct Scratch {
    file: File,
    tail: Mutex<Tail>,
}

/// What is not in the file yet.
#[derive(Debug, Default)]
struct Tail {
    /// Where it begins in the file.
    start: u64,
    bytes: Vec<u8>,
    /// Whether the file took no more.
    is_full: bool,
}

impl Scratch {
    fn on(file: File) -> Self {
        Self { file, tail: Mutex::default() }
    }
}

impl ClosedStore for Scratch {
    fn put(&self, bytes: &[u8]) -> Result<u64, Unreadable> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.bytes.len() >= TAIL_BYTES && !tail.is_full {
            match write_at(&self.file, &tail.bytes, tail.start) {
                Ok(()) => {
                    tail.start = end(&tail);
                    tail.bytes.clear();
                }
                // What is collected stays here, and what comes in memory.
                Err(_) => tail.is_full = true,
            }
        }
        if tail.is_full {
            return Err(Unreadable::because("the scratch file takes no more"));
        }
        let place = end(&tail);
        tail.bytes.extend_from_slice(bytes);
        Ok(place)
    }

    fn get(&self, place: u64, len: usize) -> Result<Vec<u8>, Unreadable> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(from) = place.checked_sub(tail.start) {
            let from = usize::try_from(from).map_err(Unreadable::because)?;
            let found = tail.bytes.get(from..from.saturating_add(len));
            return found.map(<[u8]>::to_vec).ok_or_else(|| Unreadable::because("not there"));
        }
        #[cfg(unix)]
        drop(tail);
        let mut bytes = vec![0; len];
        read_at(&self.file, &mut bytes, place).map_err(|error| {
            Unreadable(format!("a closed invoice in the scratch file: {error}"))
        })?;
        Ok(bytes)
    }
}

fn end(tail: &Tail) -> u64 {
    tail.start.saturating_add(u64::try_from(tail.bytes.len()).unwrap_or(u64::MAX))
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

/// Where a handle has one place for all, whoever reads or writes has the tail locked.
#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read_from_the_tail_and_from_the_file() {
        let scratch = Scratch::on(tempfile::tempfile().unwrap());
        let pieces: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n; 1 + usize::from(n) * 40]).collect();
        let places: Vec<u64> = pieces.iter().map(|piece| scratch.put(piece).unwrap()).collect();
        assert!(scratch.tail.lock().unwrap().start > 0, "some of it was written");
        for (piece, place) in pieces.iter().zip(&places) {
            assert_eq!(&scratch.get(*place, piece.len()).unwrap(), piece);
        }
        assert!(scratch.get(scratch.put(&[1]).unwrap(), 2).is_err());
    }

    #[test]
    fn a_file_that_takes_no_more_keeps_what_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        // Open for reading only: every write fails.
        let scratch = Scratch::on(File::open(dir.path().join("file")).unwrap());
        let piece = vec![7; TAIL_BYTES];
        let place = scratch.put(&piece).unwrap();
        assert!(scratch.put(&[1]).is_err());
        assert!(scratch.put(&[1]).is_err());
        assert_eq!(scratch.get(place, piece.len()).unwrap(), piece);
    }
}
