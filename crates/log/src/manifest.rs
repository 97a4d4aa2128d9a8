//! The manifest: that this directory is a book, of which format, and how far it surely goes.
//!
//! A file of 128 bytes that begins with a header (see [`header`](crate::header)), replaced as a
//! whole by renaming:
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 12 | magic `CFLBOOK1`, checksum of the first 64 bytes |
//! | 12 | 4 | format version, 2 |
//! | 16 | 4 | state: 0 open, 1 closed |
//! | 20 | 4 | segment number |
//! | 24 | 8 | offset in the segment |
//! | 32 | 8 | number of the last record before that offset |
//! | 40 | 8 | stream position there: bytes of all records up to that one |
//! | 48 | 16 | book id |
//! | 64 | 32 | head: the hash of the record stream up to that position |
//! | 96 | 28 | zero |
//! | 124 | 4 | CRC-32C over bytes 0..124 |
//!
//! In an open book the place is where the log ended when it was opened: the log must reach it. In
//! a closed one the place is the end of the log, exactly. The first 64 bytes have the same form in
//! every version of the format, so that each build can tell what it does not read.

use crate::{
    Frontier, Lsn,
    bugs::{Bug, planted},
    bytes::{Fields, is_zero, put},
    error::{Damage, DamageReason, IoError, OpenError},
    header::{self, BookId, HEADER_BYTES, Owner, Place},
    segment::BATCHES_AT,
    storage::{Access, Storage},
    sum,
};

/// Name of the manifest within the book.
pub(crate) const MANIFEST: &str = "MANIFEST";
/// Name under which a manifest is written before it replaces the former one.
pub(crate) const MANIFEST_NEW: &str = "MANIFEST.new";
/// Version of the format that this build reads and writes.
pub(crate) const FORMAT_VERSION: u32 = 2;
/// Bytes of the manifest.
pub(crate) const MANIFEST_BYTES: usize = 128;
/// The second checksum of the manifest, over all before it.
const CHECKSUM_AT: usize = 124;

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
    /// Bytes of the record stream before it.
    pub(crate) stream: u64,
    /// What tells this book from others.
    pub(crate) book: BookId,
    /// The hash of the record stream before it.
    pub(crate) head: [u8; 32],
}

impl Manifest {
    /// That of a new book, whose first segment has only its header.
    pub(crate) fn initial(book: BookId) -> Self {
        Self {
            state: BookState::Open,
            synced: Place { segment: 1, offset: BATCHES_AT },
            last: Lsn::ZERO,
            stream: 0,
            book,
            head: Frontier::default().root(),
        }
    }

    pub(crate) fn encode(&self) -> [u8; MANIFEST_BYTES] {
        let state: u32 = match self.state {
            BookState::Open => 0,
            BookState::Closed => 1,
        };
        let fields: [&[u8]; 7] = [
            &FORMAT_VERSION.to_le_bytes(),
            &state.to_le_bytes(),
            &self.synced.segment.to_le_bytes(),
            &self.synced.offset.to_le_bytes(),
            &self.last.0.to_le_bytes(),
            &self.stream.to_le_bytes(),
            &self.book,
        ];
        let mut bytes = [0; MANIFEST_BYTES];
        put(&mut bytes, 0, &header::seal(Owner::STATED, Place::MANIFEST, MAGIC, &fields));
        put(&mut bytes, HEADER_BYTES, &self.head);
        let crc = sum::crc32c(bytes.get(..CHECKSUM_AT).unwrap_or_default());
        put(&mut bytes, CHECKSUM_AT, &crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut fields = header::unseal(Owner::STATED, Place::MANIFEST, MAGIC, bytes)?;
        let version = fields.u32().ok_or(DamageReason::HeaderCut)?;
        if version != FORMAT_VERSION {
            return Err(ManifestError::Version(version));
        }
        let state = match fields.u32() {
            Some(0) => BookState::Open,
            Some(1) => BookState::Closed,
            _ => return Err(DamageReason::HeaderForm("unknown state").into()),
        };
        let cut = DamageReason::HeaderCut;
        let segment = fields.u32().ok_or(cut)?;
        let offset = fields.u64().ok_or(cut)?;
        if segment == 0 || offset < BATCHES_AT {
            return Err(DamageReason::HeaderForm("it names no place of a segment").into());
        }
        let last = Lsn(fields.u64().ok_or(cut)?);
        let stream = fields.u64().ok_or(cut)?;
        let book = fields.array().ok_or(cut)?;
        let mut rest = Fields(bytes.get(HEADER_BYTES..CHECKSUM_AT).ok_or(cut)?);
        let head = rest.array().ok_or(cut)?;
        let crc = sum::crc32c(bytes.get(..CHECKSUM_AT).ok_or(cut)?);
        if bytes.get(CHECKSUM_AT..MANIFEST_BYTES).ok_or(cut)? != crc.to_le_bytes() {
            return Err(DamageReason::HeaderChecksum.into());
        }
        if !is_zero(rest.0) {
            return Err(DamageReason::HeaderForm("a reserved byte is not zero").into());
        }
        if bytes.len() != MANIFEST_BYTES {
            return Err(DamageReason::AfterEnd.into());
        }
        Ok(Self { state, synced: Place { segment, offset }, last, stream, book, head })
    }

    /// Reads the manifest of a book that has one.
    pub(crate) fn read(storage: &dyn Storage) -> Result<Self, OpenError> {
        let file = storage.open(MANIFEST, Access::Read).map_err(IoError::at("open", MANIFEST))?;
        // One byte more than it may have: enough to see that it is too long.
        let mut bytes = [0; MANIFEST_BYTES + 1];
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
        if planted(Bug::ManifestNotRenamed) && names.iter().any(|name| name == MANIFEST) {
            let file = storage.open(MANIFEST, Access::Write);
            let file = file.map_err(IoError::at("open", MANIFEST))?;
            file.set_len(0).map_err(IoError::at("shorten", MANIFEST))?;
            file.write_all_at(&self.encode(), 0).map_err(IoError::at("write", MANIFEST))?;
            return file.sync_data().map_err(IoError::at("sync", MANIFEST));
        }
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

/// Makes both checksums of a changed manifest right again: for hostile bytes.
pub(crate) fn reseal(bytes: &mut [u8]) {
    if let Some(header) = bytes.get_mut(..HEADER_BYTES) {
        header::reseal(Owner::STATED, Place::MANIFEST, header);
    }
    if let Some(manifest) = bytes.get_mut(..MANIFEST_BYTES) {
        let crc = sum::crc32c(manifest.get(..CHECKSUM_AT).unwrap_or_default());
        put(manifest, CHECKSUM_AT, &crc.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemStorage;

    fn read(bytes: Vec<u8>) -> Result<Manifest, OpenError> {
        Manifest::read(&MemStorage::from_files([(MANIFEST.to_owned(), bytes)].into()))
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        for state in [BookState::Open, BookState::Closed] {
            let synced = Place { segment: 7, offset: 1 << 40 };
            let (stream, book, head) = (1 << 50, [9; 16], [7; 32]);
            let manifest = Manifest { state, synced, last: Lsn(99), stream, book, head };
            assert_eq!(read(manifest.encode().to_vec()).unwrap(), manifest);
        }
    }

    #[test]
    fn what_no_writer_of_this_format_writes_is_refused() {
        let changed = |at: usize, byte: u8| {
            let mut bytes = Manifest::initial([0; 16]).encode().to_vec();
            put(&mut bytes, at, &[byte]);
            reseal(&mut bytes);
            read(bytes).unwrap_err().to_string()
        };
        let cases = [
            (12, 1, "MANIFEST has format version 1; this build reads 2"),
            (12, 3, "MANIFEST has format version 3; this build reads 2"),
            (16, 2, "MANIFEST is damaged at byte 0: the header is malformed: unknown state"),
            (20, 0, "MANIFEST is damaged at byte 0: the header is malformed: it names no place"),
            (25, 1, "MANIFEST is damaged at byte 0: the header is malformed: it names no place"),
            (96, 1, "MANIFEST is damaged at byte 0: the header is malformed: a reserved byte"),
            (123, 1, "MANIFEST is damaged at byte 0: the header is malformed: a reserved byte"),
            (0, 0, "MANIFEST is damaged at byte 0: no header stands where one must be"),
        ];
        for (at, byte, expected) in cases {
            let found = changed(at, byte);
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn a_manifest_of_the_first_format_is_refused_by_its_version() {
        let fields: [&[u8]; 4] =
            [&1_u32.to_le_bytes(), &0_u32.to_le_bytes(), &1_u32.to_le_bytes(), &[64, 0]];
        let bytes = header::seal(Owner::STATED, Place::MANIFEST, MAGIC, &fields);
        let error = read(bytes.to_vec()).unwrap_err();
        assert!(matches!(error, OpenError::Version { found: 1, supported: 2, .. }), "{error}");
    }
}
