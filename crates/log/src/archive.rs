//! Sealed segments moved to another storage, and fetched back.
//!
//! **Why moving one is safe.** The segment is copied to the archive under another name, synced,
//! compared with the original, and renamed; the archive's directory is synced. Then the stub is
//! written beside the segment in the same way. Only then the segment is removed, and the directory
//! synced. Wherever this ends, the segment is whole in the book or, with the stub, in the archive.
//! While both are in the book the segment counts, and moving it again goes on where it ended.
//!
//! Fetching goes the other way: the segment is copied into the book under another name, synced,
//! compared, and renamed; then the stub is removed. The copy in the archive stays.

use std::{io, sync::Arc};

use crate::{
    Log, Lsn,
    buffer::BLOCK_BYTES,
    bytes::narrow,
    copy::{Copy, CopyError, remove, replace},
    error::{IoError, LogError, ReadError},
    header::Owner,
    segment::segment_name,
    shelf::{Stub, stub_name},
    sound::check_segment,
    storage::{Access, Storage, StorageFile},
    stream::StoredStream,
};

/// What was moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveReport {
    /// Numbers of the segments, in order.
    pub segments: Vec<u32>,
    /// Bytes of those segments.
    pub bytes: u64,
}

/// Why a segment was not moved. Those before it were; it is where it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// No archive is attached.
    #[error("no archive is attached to the book")]
    NotAttached,
    /// The book cannot be read, or is poisoned.
    #[error(transparent)]
    Book(#[from] ReadError),
    /// An operation on a file of the book failed.
    #[error("in the book: {0}")]
    Local(IoError),
    /// An operation on a file of the archive failed.
    #[error("in the archive: {0}")]
    Archive(IoError),
    /// The archive has not got what was written to it, or what the stub of the segment says.
    #[error("in the archive {file} is not the segment that it stands for")]
    Differs {
        /// Name of the file in the archive.
        file: String,
    },
}

impl From<LogError> for ArchiveError {
    fn from(error: LogError) -> Self {
        Self::Book(error.into())
    }
}

impl Log {
    /// Attaches the storage to which sealed segments are archived, and from which archived ones are
    /// read: one for each book. It is not remembered; a log that is opened has none.
    pub fn attach_archive(&self, archive: impl Storage) {
        self.shared().shelf().attach(Some(Arc::new(archive)));
    }

    /// Moves all sealed segments whose records are before `before` to the archive, one after the
    /// other. The book can be read, proven and opened as before; records in those segments are read
    /// from the archive, or refused with [`ReadError::Archived`] where it is not attached.
    ///
    /// # Errors
    /// [`ArchiveError`]; what is not moved stays in the book.
    pub fn archive(&self, before: Lsn) -> Result<ArchiveReport, ArchiveError> {
        self.move_segments(|first, next| first < next && next <= before, to_archive)
    }

    /// Brings all archived segments with records from `from` on back into the book. They stay in
    /// the archive as well.
    ///
    /// # Errors
    /// [`ArchiveError`]; what is not fetched stays archived.
    pub fn fetch(&self, from: Lsn) -> Result<ArchiveReport, ArchiveError> {
        self.move_segments(|_, next| next > from, from_archive)
    }

    /// Moves the segments of which `chosen` holds, given their first record and that of the next.
    fn move_segments(
        &self,
        chosen: impl Fn(Lsn, Lsn) -> bool,
        act: impl Fn(&Move<'_>, u32) -> Result<Option<u64>, ArchiveError>,
    ) -> Result<ArchiveReport, ArchiveError> {
        let durable = self.shared().durable()?;
        let shelf = self.shared().shelf();
        let archive = shelf.archive().ok_or(ArchiveError::NotAttached)?;
        let _one_at_a_time = shelf.moving();
        let owner = self.shared().owner();
        let moves = Move { local: shelf.local(), archive: &*archive, owner };
        // Where segments begin is in the book, whatever the archive holds.
        let mut stream = StoredStream::new(shelf.local(), owner, durable.end);
        let mut report = ArchiveReport::default();
        for number in 1..durable.end.segment {
            let first = stream.start(number)?.first;
            let next = stream.start(number.saturating_add(1))?.first;
            if chosen(first, next)
                && let Some(bytes) = act(&moves, number)?
            {
                report.segments.push(number);
                report.bytes = report.bytes.saturating_add(bytes);
            }
        }
        Ok(report)
    }
}

struct Move<'a> {
    local: &'a dyn Storage,
    archive: &'a dyn Storage,
    owner: Owner,
}

/// Moves a segment to the archive, unless it is not in the book.
fn to_archive(moves: &Move<'_>, number: u32) -> Result<Option<u64>, ArchiveError> {
    let Move { local, archive, .. } = *moves;
    let name = segment_name(number);
    let Some(file) = open_if_there(local, &name).map_err(ArchiveError::Local)? else {
        return Ok(None);
    };
    let file: Arc<dyn StorageFile> = Arc::from(file);
    let footer_at = check_segment(Arc::clone(&file), number, moves.owner)?;
    let len = file.len().map_err(IoError::at("read", &name)).map_err(ArchiveError::Local)?;
    let copy = Copy { source: local, target: archive };
    let from_local = |error| match error {
        CopyError::Source(error) => ArchiveError::Local(error),
        CopyError::Target(error) => ArchiveError::Archive(error),
    };
    if !copy.is_there(&name, len, None).map_err(from_local)? {
        copy.file(&name, len).map_err(from_local)?;
        if !copy.is_there(&name, len, None).map_err(from_local)? {
            return Err(ArchiveError::Differs { file: name });
        }
    }
    let stub = make_stub(&*file, number, len, footer_at);
    let stub = stub.map_err(IoError::at("read", &name)).map_err(ArchiveError::Local)?;
    replace(local, &stub_name(number), |file, new| {
        file.write_all_at(&stub, 0).map_err(IoError::at("write", new)).map_err(CopyError::Source)
    })
    .map_err(local_error)?;
    drop(file);
    remove(local, &name).map_err(ArchiveError::Local)?;
    Ok(Some(len))
}

/// Fetches a segment back from the archive, unless it is in the book.
fn from_archive(moves: &Move<'_>, number: u32) -> Result<Option<u64>, ArchiveError> {
    let Move { local, archive, .. } = *moves;
    let (name, stub_name) = (segment_name(number), stub_name(number));
    if open_if_there(local, &stub_name).map_err(ArchiveError::Local)?.is_none() {
        return Ok(None);
    }
    if open_if_there(local, &name).map_err(ArchiveError::Local)?.is_some() {
        // It was being moved, one way or the other, and is whole.
        remove(local, &stub_name).map_err(ArchiveError::Local)?;
        return Ok(None);
    }
    let stub = Stub::open(local, number).map_err(IoError::at("open", &stub_name));
    let stub = stub.map_err(ArchiveError::Local)?;
    let opened = archive.open(&name, Access::Read).map_err(IoError::at("open", &name));
    let archived = opened.map_err(ArchiveError::Archive)?;
    let differs = |_| ArchiveError::Differs { file: name.clone() };
    stub.check_is_of(&*archived).map_err(differs)?;
    let archived: Arc<dyn StorageFile> = Arc::from(archived);
    check_segment(archived, number, moves.owner).map_err(|error| match error {
        ReadError::Damaged(_) => ArchiveError::Differs { file: name.clone() },
        error => ArchiveError::Book(error),
    })?;
    let copy = Copy { source: archive, target: local };
    copy.file(&name, stub.segment_len).map_err(|error| match error {
        CopyError::Source(error) => ArchiveError::Archive(error),
        CopyError::Target(error) => ArchiveError::Local(error),
    })?;
    remove(local, &stub_name).map_err(ArchiveError::Local)?;
    Ok(Some(stub.segment_len))
}

/// The stub of a segment: what it keeps in the book.
fn make_stub(file: &dyn StorageFile, number: u32, len: u64, footer_at: u64) -> io::Result<Vec<u8>> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut footer = vec![0; narrow(len.saturating_sub(footer_at))];
    let read = file.read_at(&mut block, 0)?.saturating_add(file.read_at(&mut footer, footer_at)?);
    if read != block.len().saturating_add(footer.len()) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Stub::encode(number, &block, &footer, len, footer_at))
}

fn local_error(error: CopyError) -> ArchiveError {
    match error {
        CopyError::Source(error) | CopyError::Target(error) => ArchiveError::Local(error),
    }
}

fn open_if_there(
    storage: &dyn Storage,
    name: &str,
) -> Result<Option<Box<dyn StorageFile>>, IoError> {
    match storage.open(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(IoError::at("open", name)),
    }
}
