//! The manifest: that this directory is a book, of which format, and how far it surely goes.
//!
//! A file of one header (see [`header`](crate::header)), replaced as a whole by renaming:
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 12 | magic `CFLBOOK1`, checksum |
//! | 12 | 4 | format version, 1 |
//! | 16 | 4 | state: 0 open, 1 closed |
//! | 20 | 4 | segment number |
//! | 24 | 8 | offset in the segment |
//! | 32 | 8 | number of the last record before that offset |
//! | 40 | 24 | zero |
//!
//! In an open book the place is where the log ended when it was opened: the log must reach it. In
//! a closed one the place is the end of the log, exactly.

use crate::{
    Lsn,
    bytes::is_zero,
    error::{Damage, DamageReason, IoError, OpenError},
    header::{self, HEADER_BYTES, HEADER_END, Place},
    storage::{Access, Storage},
};

/// Name of the manifest within the book.
pub(crate) const MANIFEST: &str = "MANIFEST";
/// Name under which a manifest is written before it replaces the former one.
pub(crate) const MANIFEST_NEW: &str = "MANIFEST.new";
/// Version of the format that this build reads and writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

pub(crate) const MAGIC: [u8; 8] = *b"CFLBOOK1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BookState {
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) state: BookState,
    /// A boundary between two batches, or the end, that is known to be synced.
    pub(crate) synced: Place,
    /// The last record before it.
    pub(crate) last: Lsn,
}

impl Manifest {
    /// That of a new book, whose first segment has only its header.
    pub(crate) const INITIAL: Self = Self {
        state: BookState::Open,
        synced: Place { segment: 1, offset: HEADER_END },
        last: Lsn::ZERO,
    };

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let state: u32 = match self.state {
            BookState::Open => 0,
            BookState::Closed => 1,
        };
        let fields: [&[u8]; 5] = [
            &FORMAT_VERSION.to_le_bytes(),
            &state.to_le_bytes(),
            &self.synced.segment.to_le_bytes(),
            &self.synced.offset.to_le_bytes(),
            &self.last.0.to_le_bytes(),
        ];
        header::seal(Place::MANIFEST, MAGIC, &fields)
    }

    fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut fields = header::unseal(Place::MANIFEST, MAGIC, bytes)?;
        let version = fields.u32().ok_or(DamageReason::HeaderCut)?;
        if version != FORMAT_VERSION {
            return Err(ManifestError::Version(version));
        }
        let state = match fields.u32() {
            Some(0) => BookState::Open,
            Some(1) => BookState::Closed,
            _ => return Err(DamageReason::HeaderForm("unknown state").into()),
        };
        let segment = fields.u32().ok_or(DamageReason::HeaderCut)?;
        let offset = fields.u64().ok_or(DamageReason::HeaderCut)?;
        let last = Lsn(fields.u64().ok_or(DamageReason::HeaderCut)?);
        if !is_zero(fields.0) {
            return Err(DamageReason::HeaderForm("a reserved byte is not zero").into());
        }
        if bytes.len() != HEADER_BYTES {
            return Err(DamageReason::AfterEnd.into());
        }
        Ok(Self { state, synced: Place { segment, offset }, last })
    }

    /// Reads the manifest of a book that has one.
    pub(crate) fn read(storage: &dyn Storage) -> Result<Self, OpenError> {
        let file = storage.open(MANIFEST, Access::Read).map_err(IoError::at("open", MANIFEST))?;
        // One byte more than it may have: enough to see that it is too long.
        let mut bytes = [0; HEADER_BYTES + 1];
        let len = file.read_at(&mut bytes, 0).map_err(IoError::at("read", MANIFEST))?;
        let file = MANIFEST.to_owned();
        match Self::decode(bytes.get(..len).unwrap_or_default()) {
            Ok(manifest) => Ok(manifest),
            Err(ManifestError::Version(found)) => {
                Err(OpenError::Version { file, found, supported: FORMAT_VERSION })
            }
            Err(ManifestError::Damaged(reason)) => {
                Err(OpenError::Damaged(Damage { file, offset: 0, reason }))
            }
        }
    }

    /// Replaces the manifest, so that after a crash either the former or this one is there.
    pub(crate) fn replace(&self, storage: &dyn Storage) -> Result<(), IoError> {
        let names = storage.list().map_err(IoError::at("list", "the book"))?;
        if names.iter().any(|name| name == MANIFEST_NEW) {
            storage.remove(MANIFEST_NEW).map_err(IoError::at("remove", MANIFEST_NEW))?;
        }
        let file = storage.create(MANIFEST_NEW).map_err(IoError::at("create", MANIFEST_NEW))?;
        file.write_all_at(&self.encode(), 0).map_err(IoError::at("write", MANIFEST_NEW))?;
        file.sync_data().map_err(IoError::at("sync", MANIFEST_NEW))?;
        drop(file);
        storage.rename(MANIFEST_NEW, MANIFEST).map_err(IoError::at("rename", MANIFEST_NEW))?;
        storage.sync_dir().map_err(IoError::at("sync", "the directory of the book"))
    }
}

enum ManifestError {
    Version(u32),
    Damaged(DamageReason),
}

impl From<DamageReason> for ManifestError {
    fn from(reason: DamageReason) -> Self {
        Self::Damaged(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemStorage, bytes::put, header::reseal};

    fn read(bytes: Vec<u8>) -> Result<Manifest, OpenError> {
        Manifest::read(&MemStorage::from_files([(MANIFEST.to_owned(), bytes)].into()))
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        for state in [BookState::Open, BookState::Closed] {
            let synced = Place { segment: 7, offset: 1 << 40 };
            let manifest = Manifest { state, synced, last: Lsn(99) };
            assert_eq!(read(manifest.encode().to_vec()).unwrap(), manifest);
        }
    }

    #[test]
    fn what_no_writer_of_this_format_writes_is_refused() {
        let changed = |at: usize, byte: u8| {
            let mut bytes = Manifest::INITIAL.encode().to_vec();
            put(&mut bytes, at, &[byte]);
            reseal(Place::MANIFEST, &mut bytes);
            read(bytes).unwrap_err().to_string()
        };
        let cases = [
            (12, 2, "MANIFEST has format version 2; this build reads 1"),
            (16, 2, "MANIFEST is damaged at byte 0: the header is malformed: unknown state"),
            (63, 1, "MANIFEST is damaged at byte 0: the header is malformed: a reserved byte"),
            (0, 0, "MANIFEST is damaged at byte 0: no header stands where one must be"),
        ];
        for (at, byte, expected) in cases {
            let found = changed(at, byte);
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
