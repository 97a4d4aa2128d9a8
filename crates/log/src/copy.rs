//! Copies files of a book from one storage to another.
//!
//! A copy is written under another name, synced, and renamed; then the directory is synced. So
//! under its own name it is whole, and what it replaces is whole until then.

use std::io;

use crate::{
    bytes::{narrow, wide},
    error::IoError,
    storage::{Access, Storage, StorageFile},
};

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 1 << 20;
/// End of the names under which files are written before they are renamed.
pub(crate) const NEW: &str = ".new";

/// On which side of a copy an operation failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    Source(IoError),
    Target(IoError),
}

/// From where to where.
#[derive(Clone, Copy)]
pub(crate) struct Copy<'a> {
    pub(crate) source: &'a dyn Storage,
    pub(crate) target: &'a dyn Storage,
}

impl Copy<'_> {
    /// Copies the first `len` bytes of a file, in place of the one that has its name, if any.
    pub(crate) fn file(&self, name: &str, len: u64) -> Result<(), CopyError> {
        let source = self.source.open(name, Access::Read).map_err(IoError::at("open", name));
        let source = source.map_err(CopyError::Source)?;
        replace(self.target, name, |target, new| pour((&*source, name), (target, new), len))
    }

    /// Overwrites a file of the target in place with the first `len` bytes of the source's: nothing
    /// of what it held is left in it, nor in blocks that were its own. Each sector has the old
    /// bytes or the new ones after a crash.
    pub(crate) fn overwrite(&self, name: &str, len: u64) -> Result<(), CopyError> {
        let source = self.source.open(name, Access::Read).map_err(IoError::at("open", name));
        let source = source.map_err(CopyError::Source)?;
        let target = self.target.open(name, Access::Write).map_err(IoError::at("open", name));
        let target = target.map_err(CopyError::Target)?;
        pour((&*source, name), (&*target, name), len)?;
        wipe(&*target, len).map_err(IoError::at("write", name)).map_err(CopyError::Target)?;
        target.set_len(len).map_err(IoError::at("shorten", name)).map_err(CopyError::Target)?;
        target.sync_data().map_err(IoError::at("sync", name)).map_err(CopyError::Target)
    }

    /// Whether the target has a file of exactly the first `len` bytes of the source's. Of a file
    /// that has `edge_bytes` only so many at either end are looked at.
    pub(crate) fn is_there(
        &self,
        name: &str,
        len: u64,
        edge_bytes: Option<u64>,
    ) -> Result<bool, CopyError> {
        let target = match self.target.open(name, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(IoError::at("open", name)).map_err(CopyError::Target)?,
        };
        let found = target.len().map_err(IoError::at("read", name)).map_err(CopyError::Target)?;
        if found != len {
            return Ok(false);
        }
        let source = self.source.open(name, Access::Read).map_err(IoError::at("open", name));
        let source = source.map_err(CopyError::Source)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let edge = edge_bytes.unwrap_or(len).min(len);
        for (start, end) in [(0, edge), (len.saturating_sub(edge).max(edge), len)] {
            let mut at = start;
            while at < end {
                read_piece(&*source, at, end, &mut ours)
                    .map_err(IoError::at("read", name))
                    .map_err(CopyError::Source)?;
                read_piece(&*target, at, end, &mut theirs)
                    .map_err(IoError::at("read", name))
                    .map_err(CopyError::Target)?;
                if ours != theirs {
                    return Ok(false);
                }
                at = at.saturating_add(wide(ours.len()));
            }
        }
        Ok(true)
    }
}

/// Writes the first `len` bytes of one file, with its name, to another.
fn pour(
    (source, name): (&dyn StorageFile, &str),
    (target, new): (&dyn StorageFile, &str),
    len: u64,
) -> Result<(), CopyError> {
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < len {
        read_piece(source, at, len, &mut buffer)
            .map_err(IoError::at("read", name))
            .map_err(CopyError::Source)?;
        let write = target.write_all_at(&buffer, at).map_err(IoError::at("write", new));
        write.map_err(CopyError::Target)?;
        at = at.saturating_add(wide(buffer.len()));
    }
    Ok(())
}

/// Reads a piece of what lies between `at` and `end`, which the file must reach.
fn read_piece(file: &dyn StorageFile, at: u64, end: u64, piece: &mut Vec<u8>) -> io::Result<()> {
    let len = narrow(end.saturating_sub(at)).min(PIECE_BYTES);
    piece.resize(len, 0);
    if file.read_at(piece, at)? == len { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Replaces a file, so that after a crash either the former or this one is there.
pub(crate) fn replace(
    storage: &dyn Storage,
    name: &str,
    write: impl FnOnce(&dyn StorageFile, &str) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let new = format!("{name}{NEW}");
    let failed = CopyError::Target;
    match storage.remove(&new) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(IoError::at("remove", &new)).map_err(failed)?,
    }
    let file = storage.create(&new).map_err(IoError::at("create", &new)).map_err(failed)?;
    write(&*file, &new)?;
    file.sync_data().map_err(IoError::at("sync", &new)).map_err(failed)?;
    drop(file);
    storage.rename(&new, name).map_err(IoError::at("rename", &new)).map_err(failed)?;
    sync_dir(storage).map_err(failed)
}

/// Writes zeros from `from` to the end of a file.
fn wipe(file: &dyn StorageFile, from: u64) -> io::Result<()> {
    let len = file.len()?;
    let mut at = from;
    while at < len {
        let piece = narrow(len.saturating_sub(at)).min(PIECE_BYTES);
        file.write_all_at(&vec![0; piece], at)?;
        at = at.saturating_add(wide(piece));
    }
    Ok(())
}

/// Overwrites a file with zeros, and removes it.
pub(crate) fn wipe_and_remove(storage: &dyn Storage, name: &str) -> Result<(), IoError> {
    let file = storage.open(name, Access::Write).map_err(IoError::at("open", name))?;
    wipe(&*file, 0).map_err(IoError::at("write", name))?;
    file.sync_data().map_err(IoError::at("sync", name))?;
    drop(file);
    remove(storage, name)
}

/// Removes a file, and syncs the directory.
pub(crate) fn remove(storage: &dyn Storage, name: &str) -> Result<(), IoError> {
    storage.remove(name).map_err(IoError::at("remove", name))?;
    sync_dir(storage)
}

fn sync_dir(storage: &dyn Storage) -> Result<(), IoError> {
    storage.sync_dir().map_err(IoError::at("sync", "the directory of the book"))
}

/// The names of all files.
pub(crate) fn names(storage: &dyn Storage) -> Result<Vec<String>, IoError> {
    let mut names = storage.list().map_err(IoError::at("list", "the book"))?;
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemStorage;

    fn storage(files: &[(&str, Vec<u8>)]) -> MemStorage {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone()));
        MemStorage::from_files(files.collect())
    }

    #[test]
    fn a_copy_has_the_bytes_and_replaces_what_was_there() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let source = storage(&[("a", bytes.clone())]);
        for len in [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000] {
            let target = storage(&[("a", vec![9; 70]), ("a.new", vec![8; 7])]);
            let copy = Copy { source: &source, target: &target };
            copy.file("a", len).unwrap();
            let expected = bytes[..narrow(len)].to_vec();
            assert_eq!(target.files(), [("a".to_owned(), expected)].into());
            assert!(copy.is_there("a", len, None).unwrap());
        }
    }

    #[test]
    fn overwriting_leaves_nothing_of_what_was_there() {
        for (len, former) in [(0, 5), (100, 70), (100, 100), (100, 200)] {
            let source = storage(&[("a", vec![1; 100])]);
            let target = storage(&[("a", vec![9; former])]);
            Copy { source: &source, target: &target }.overwrite("a", len).unwrap();
            assert_eq!(target.files()["a"], vec![1; narrow(len)]);
            wipe_and_remove(&target, "a").unwrap();
            assert!(target.files().is_empty());
        }
    }

    #[test]
    fn a_difference_is_seen_where_it_is_looked_for() {
        let source = storage(&[("a", vec![1; 100])]);
        let mut other = vec![1; 100];
        other[49] = 2;
        other[50] = 2;
        let target = storage(&[("a", other)]);
        let copy = Copy { source: &source, target: &target };
        for (name, len, edge_bytes, expected) in [
            ("a", 100, Some(50), false),
            ("a", 100, Some(49), true),
            ("a", 100, Some(51), false),
            ("a", 100, Some(1000), false),
            ("a", 100, None, false),
            ("a", 99, Some(1), false),
            ("b", 100, Some(1), false),
        ] {
            let found = copy.is_there(name, len, edge_bytes).unwrap();
            assert_eq!(found, expected, "{name} {len} {edge_bytes:?}");
        }
    }

    #[test]
    fn a_source_that_is_too_short_leaves_the_target_as_it_was() {
        let source = storage(&[("a", vec![1; 100])]);
        let target = storage(&[("a", vec![2; 9])]);
        let copy = Copy { source: &source, target: &target };
        assert!(matches!(copy.file("a", 101), Err(CopyError::Source(_))));
        assert_eq!(target.files()["a"], vec![2; 9]);
        assert!(matches!(copy.file("b", 1), Err(CopyError::Source(_))));
    }
}
