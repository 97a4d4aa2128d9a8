//! Archived segments behind the [`Storage`] seam.
//!
//! A sealed segment that was moved to an archive leaves a *stub* in the book, a file
//! `NNNNNNNNNN.stub` with its header block and its footer: enough to open the book, to find a place
//! in it, and to compute heads and proofs. [`Shelf`] stands between the log and its storage. It
//! shows a stub as the segment that it stands for, with a gap in it; with an archive attached, the
//! gap is filled from there. So nothing else in the log knows of archives.
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 4096 | the header block of the segment |
//! | 4096 | f | the footer of the segment |
//! | 4096 + f | 64 | a header (see [`header`](crate::header)): magic `CFLSTUB1`, checksum |
//! | + 12 | 4 | zero |
//! | + 16 | 8 | length of the segment |
//! | + 24 | 8 | where in the segment the footer begins |
//! | + 32 | 32 | zero |

use std::{
    collections::BTreeSet,
    fmt, io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use crate::{
    bytes::{is_zero, narrow, wide},
    error::DamageReason,
    header::{self, HEADER_BYTES, Owner, Place},
    segment::{BATCHES_AT, segment_name, segment_number},
    storage::{Access, Storage, StorageFile, StorageLock},
};

const MAGIC: [u8; 8] = *b"CFLSTUB1";
const SUFFIX: &str = ".stub";

/// The file name of the stub of a segment.
pub(crate) fn stub_name(number: u32) -> String {
    format!("{}{SUFFIX}", segment_name(number).trim_end_matches(".seg"))
}

/// The number of the segment that a stub stands for; `None` for a file that is none.
pub(crate) fn stub_number(name: &str) -> Option<u32> {
    segment_number(&format!("{}.seg", name.strip_suffix(SUFFIX)?))
}

/// The number of a segment that is there, or has a stub that stands for it.
pub(crate) fn shelved_number(name: &str) -> Option<u32> {
    segment_number(name).or_else(|| stub_number(name))
}

/// Opens a segment for reading, or the stub that stands for it, without its archive.
pub(crate) fn open_segment(storage: &dyn Storage, number: u32) -> io::Result<Box<dyn StorageFile>> {
    match storage.open(&segment_name(number), Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // It may not be there at all: then it is the segment that is missed.
            let stub = Stub::open(storage, number).map_err(|_| error)?;
            Ok(Box::new(ShelvedFile { stub, archive: None }))
        }
        opened => opened,
    }
}

/// Why a part of an archived segment cannot be read: inside the I/O error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment {segment} is in an archive that is not attached")]
pub(crate) struct Archived {
    pub(crate) segment: u32,
}

impl Archived {
    /// The segment whose archive is missing, if that is what an I/O error says.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// The storage of a book whose segments may be archived.
pub(crate) struct Shelf {
    local: Arc<dyn Storage>,
    archive: RwLock<Option<Arc<dyn Storage>>>,
    /// Held while segments are moved or copied.
    moving: Mutex<()>,
}

impl Shelf {
    pub(crate) fn new(local: Arc<dyn Storage>) -> Self {
        Self { local, archive: RwLock::new(None), moving: Mutex::new(()) }
    }

    /// The storage of the book, with its stubs as they are.
    pub(crate) fn local(&self) -> &dyn Storage {
        &*self.local
    }

    pub(crate) fn archive(&self) -> Option<Arc<dyn Storage>> {
        self.archive.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn attach(&self, archive: Option<Arc<dyn Storage>>) {
        *self.archive.write().unwrap_or_else(PoisonError::into_inner) = archive;
    }

    /// Keeps others from moving segments.
    pub(crate) fn moving(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_stub(&self, number: u32) -> io::Result<Box<dyn StorageFile>> {
        let stub = Stub::open(&*self.local, number)?;
        let archive = match self.archive() {
            Some(archive) => match archive.open(&segment_name(number), Access::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                opened => Some(opened?),
            },
            None => None,
        };
        if let Some(archive) = &archive {
            stub.check_is_of(&**archive)?;
        }
        Ok(Box::new(ShelvedFile { stub, archive }))
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("attached", &self.archive().is_some()).finish()
    }
}

impl Storage for Shelf {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        self.local.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        // A stub is listed as its segment. While one becomes the other, both may be there.
        let shown = |name: String| stub_number(&name).map_or(name, segment_name);
        let names: BTreeSet<String> = self.local.list()?.into_iter().map(shown).collect();
        Ok(names.into_iter().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.local.create(name)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        match (self.local.open(name, access), segment_number(name)) {
            (Err(error), Some(number))
                if error.kind() == io::ErrorKind::NotFound && access == Access::Read =>
            {
                match self.open_stub(number) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        // Fetched back between the two looks, or not there at all.
                        self.local.open(name, access)
                    }
                    opened => opened,
                }
            }
            (opened, _) => opened,
        }
    }

    fn open_blocks(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.local.open_blocks(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.local.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.local.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.local.sync_dir()
    }
}

/// What stands in the book for an archived segment.
pub(crate) struct Stub {
    file: Box<dyn StorageFile>,
    number: u32,
    /// Length of the segment.
    pub(crate) segment_len: u64,
    /// Where in the segment its footer begins.
    pub(crate) footer_at: u64,
}

impl Stub {
    /// The stub of a segment, as bytes.
    pub(crate) fn encode(
        number: u32,
        header_block: &[u8],
        footer: &[u8],
        segment_len: u64,
        footer_at: u64,
    ) -> Vec<u8> {
        let fields: [&[u8]; 3] = [&[0; 4], &segment_len.to_le_bytes(), &footer_at.to_le_bytes()];
        let at = wide(header_block.len()).saturating_add(wide(footer.len()));
        let place = Place { segment: number, offset: at };
        let end = header::seal(Owner::STATED, place, MAGIC, &fields);
        [header_block, footer, &end].concat()
    }

    /// Opens the stub of a segment.
    pub(crate) fn open(storage: &dyn Storage, number: u32) -> io::Result<Self> {
        let file = storage.open(&stub_name(number), Access::Read)?;
        let at = file.len()?.saturating_sub(wide(HEADER_BYTES));
        let mut bytes = [0; HEADER_BYTES];
        read_exact(&*file, &mut bytes, at)?;
        let (segment_len, footer_at) = Self::decode(&bytes, Place { segment: number, offset: at })
            .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
        Ok(Self { file, number, segment_len, footer_at })
    }

    fn decode(bytes: &[u8], place: Place) -> Result<(u64, u64), DamageReason> {
        let mut fields = header::unseal(Owner::STATED, place, MAGIC, bytes)?;
        let form = DamageReason::HeaderForm("the stub does not fit its segment");
        let reserved = fields.u32().ok_or(form)?;
        let (len, footer_at) = (fields.u64().ok_or(form)?, fields.u64().ok_or(form)?);
        let footer_len = len.checked_sub(footer_at).ok_or(form)?;
        let fits = footer_at >= BATCHES_AT
            && place.offset.checked_sub(BATCHES_AT) == Some(footer_len)
            && reserved == 0
            && is_zero(fields.0);
        if fits { Ok((len, footer_at)) } else { Err(form) }
    }

    /// Refuses the file of another segment, or of another book, by length, header block and footer.
    pub(crate) fn check_is_of(&self, archived: &dyn StorageFile) -> io::Result<()> {
        let other =
            || io::Error::new(io::ErrorKind::InvalidData, "the archive holds another segment");
        if archived.len()? != self.segment_len {
            return Err(other());
        }
        for part in [0..BATCHES_AT, self.footer_at..self.segment_len] {
            let mut at = part.start;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            while at < part.end {
                let len = narrow(part.end.saturating_sub(at)).min(1 << 20);
                ours.resize(len, 0);
                theirs.resize(len, 0);
                self.read_kept(&mut ours, at)?;
                read_exact(archived, &mut theirs, at)?;
                if ours != theirs {
                    return Err(other());
                }
                at = at.saturating_add(wide(len));
            }
        }
        Ok(())
    }

    /// Reads a part of the segment that the stub has: all of it before or behind the gap.
    fn read_kept(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let moved = self.footer_at.saturating_sub(BATCHES_AT);
        let at = if at < BATCHES_AT { at } else { at.saturating_sub(moved) };
        read_exact(&*self.file, buffer, at)
    }

    /// What is archived of the segment.
    fn gap(&self) -> Range<u64> {
        BATCHES_AT..self.footer_at
    }
}

fn read_exact(file: &dyn StorageFile, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let read = file.read_at(buffer, at)?;
    if read == buffer.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// An archived segment, as a file for reading.
struct ShelvedFile {
    stub: Stub,
    archive: Option<Box<dyn StorageFile>>,
}

impl StorageFile for ShelvedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.stub.segment_len)
    }

    /// Without an archive, what begins before the gap is read up to it; what begins in it fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let gap = self.stub.gap();
        let (mut buffer, mut at, mut read) = (buffer, offset, 0_usize);
        for end in [gap.start, gap.end, self.stub.segment_len] {
            let len = narrow(end.saturating_sub(at)).min(buffer.len());
            if len == 0 {
                continue;
            }
            let split = std::mem::take(&mut buffer).split_at_mut_checked(len);
            let (piece, rest) = split.unwrap_or_default();
            match (gap.contains(&at), &self.archive) {
                (false, _) => self.stub.read_kept(piece, at)?,
                (true, Some(archive)) => read_exact(&**archive, piece, at)?,
                (true, None) if read > 0 => break,
                (true, None) => {
                    return Err(io::Error::other(Archived { segment: self.stub.number }));
                }
            }
            at = at.saturating_add(wide(len));
            read = read.saturating_add(len);
            buffer = rest;
        }
        Ok(read)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.stub.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemStorage;

    const LEN: u64 = 10_000;
    const FOOTER_AT: u64 = 9_000;

    fn segment() -> Vec<u8> {
        (0..LEN).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
    }

    fn stub() -> Vec<u8> {
        let bytes = segment();
        Stub::encode(3, &bytes[..4096], &bytes[9_000..], LEN, FOOTER_AT)
    }

    fn storage(name: &str, bytes: Vec<u8>) -> MemStorage {
        MemStorage::from_files([(name.to_owned(), bytes)].into())
    }

    fn shelf(archive: Option<Vec<u8>>) -> Shelf {
        let shelf = Shelf::new(Arc::new(storage("0000000003.stub", stub())));
        if let Some(bytes) = archive {
            shelf.attach(Some(Arc::new(storage("0000000003.seg", bytes))));
        }
        shelf
    }

    #[test]
    fn names_and_numbers_go_both_ways() {
        assert_eq!(stub_name(3), "0000000003.stub");
        assert_eq!(stub_number("0000000003.stub"), Some(3));
        for name in ["0000000003.seg", "3.stub", "0000000000.stub", ".stub", "0000000003.stub.new"]
        {
            assert_eq!(stub_number(name), None, "{name}");
        }
    }

    #[test]
    fn with_its_archive_a_stub_reads_as_the_segment() {
        let bytes = segment();
        let shelf = shelf(Some(bytes.clone()));
        assert_eq!(shelf.list().unwrap(), ["0000000003.seg"]);
        let file = shelf.open("0000000003.seg", Access::Read).unwrap();
        assert_eq!(file.len().unwrap(), LEN);
        for at in [0, 1, 4095, 4096, 4097, 8999, 9000, 9001, 9999, 10_000, 12_000] {
            for len in [0, 1, 2, 5000, 9000, 20_000] {
                let mut buffer = vec![0; len];
                let read = file.read_at(&mut buffer, wide(at)).unwrap();
                let expected = bytes.get(at..).unwrap_or_default();
                let expected = &expected[..len.min(expected.len())];
                assert_eq!(&buffer[..read], expected, "{len} bytes at {at}");
            }
        }
    }

    #[test]
    fn without_it_only_header_and_footer_are_read() {
        let bytes = segment();
        let shelf = shelf(None);
        let file = shelf.open("0000000003.seg", Access::Read).unwrap();
        for (at, len, expected) in [
            (0, 4096, Some(4096)),
            (4000, 9000, Some(96)),
            (4096, 1, None),
            (8999, 1, None),
            (8999, 2, None),
            (9000, 1000, Some(1000)),
            (9990, 100, Some(10)),
            (10_000, 1, Some(0)),
        ] {
            let mut buffer = vec![0; len];
            match (file.read_at(&mut buffer, wide(at)), expected) {
                (Ok(read), Some(expected)) => {
                    assert_eq!((read, &buffer[..read]), (expected, &bytes[at..at + read]));
                }
                (Err(error), None) => assert_eq!(Archived::of(&error).unwrap().segment, 3),
                (found, _) => panic!("{len} bytes at {at}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_segment_that_is_there_comes_before_its_stub() {
        let local = storage("0000000003.stub", stub());
        local.create("0000000003.seg").unwrap().write_all_at(b"here", 0).unwrap();
        let shelf = Shelf::new(Arc::new(local));
        assert_eq!(shelf.list().unwrap(), ["0000000003.seg"]);
        assert_eq!(shelf.open("0000000003.seg", Access::Read).unwrap().len().unwrap(), 4);
        let missing = shelf.open("0000000004.seg", Access::Read).map(|_| ());
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn another_segment_in_the_archive_and_a_changed_stub_are_refused() {
        for at in [0, 4095, 9000, 9999] {
            let mut bytes = segment();
            bytes[at] ^= 1;
            let opened = shelf(Some(bytes)).open("0000000003.seg", Access::Read).map(|_| ());
            assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::InvalidData, "{at}");
        }
        let end = stub().len() - HEADER_BYTES;
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = stub();
            bytes[end + bit / 8] ^= 1 << (bit % 8);
            let opened = Stub::open(&storage("0000000003.stub", bytes), 3).map(|_| ());
            assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::InvalidData, "bit {bit}");
        }
        for cut in [0, 63, 64, 4096, end + 63] {
            let bytes = stub()[..cut].to_vec();
            assert!(Stub::open(&storage("0000000003.stub", bytes), 3).is_err(), "{cut}");
        }
    }
}
