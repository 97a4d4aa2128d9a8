//! Snapshots: what somebody derived from the log, beside the log, so that it need not be derived
//! again.
//!
//! A snapshot is a file `NNNNNNNNNNNNNNNNNNNN.snap`, named by the record up to which it goes. To
//! the log its content is bytes in numbered sections. It is disposable: whoever opens one is
//! given it whole and of this history, or told why not, and derives from the log instead.
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic `CFLSNAP1` |
//! | 8 | 4 | CRC-32C over bytes 0..8 and 12..4096 |
//! | 12 | 4 | version of this form, 1 |
//! | 16 | 8 | number of the record |
//! | 24 | 8 | time of the record |
//! | 32 | 8 | fingerprint of the layout of the sections, given by the writer |
//! | 40 | 8 | length of the file |
//! | 48 | 4 | number of sections, at most 64 |
//! | 52 | 12 | zero |
//! | 64 | 32 | head of the record stream up to the record |
//! | 96 | 32 | zero |
//! | 128 | 24 each | sections: kind (4), CRC-32C (4), offset (8), length (8) |
//! | … 4096 | | zero |
//!
//! Sections follow in the order of their rows, each at a multiple of 16, the gaps zero. The number
//! in the header must be that in the name.
//!
//! **Why writing one is safe.** It is written under another name, synced, and renamed; then the
//! directory is synced. So under its name it is whole, or not there. No step touches a file that
//! the log needs.

use std::{
    fmt,
    sync::{MutexGuard, PoisonError},
};

use crate::{
    History, Log, Lsn,
    bugs::{Bug, planted},
    bytes::{Fields, aligned, is_zero, narrow, put, wide},
    error::{IoError, LogError, ReadError},
    storage::{Access, Storage, StorageFile},
    sum,
};

/// Bytes of the header with the table of sections.
const HEADER_BYTES: usize = 4096;
const MAGIC: [u8; 8] = *b"CFLSNAP1";
const VERSION: u32 = 1;
const ROWS_AT: usize = 128;
const ROW_BYTES: usize = 24;
/// Sections of one snapshot.
const SECTIONS_MAX: usize = 64;
/// Bytes written at once.
const WRITE_BYTES: usize = 1 << 20;
const SUFFIX: &str = ".snap";

/// What a snapshot says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The record up to which it goes.
    pub lsn: Lsn,
    /// The time of that record.
    pub at: i64,
    /// The fingerprint of the layout of its sections.
    pub fingerprint: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What a snapshot is to be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotStamp {
    /// The record up to which it goes.
    pub lsn: Lsn,
    /// The time of that record.
    pub at: i64,
    /// A number that changes whenever the layout of the sections does.
    pub fingerprint: u64,
}

/// Why a snapshot was not written, or cannot be used. The log is whole without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// An operation on a file failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The log is poisoned or closed, or has no such record.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log cannot be read where the snapshot stands.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It does not fit its checksums or its form.
    #[error("{file} is damaged: {reason}")]
    Damaged {
        /// Name of the file within the book.
        file: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// It goes further than the log, or belongs to another history.
    #[error("{file} is of another history than this log")]
    Foreign {
        /// Name of the file within the book.
        file: String,
    },
    /// It was written with another layout, or another version of the form.
    #[error("{file} has layout {found:016x}; this build reads {expected:016x}")]
    Layout {
        /// Name of the file within the book.
        file: String,
        /// The fingerprint found.
        found: u64,
        /// The fingerprint asked for.
        expected: u64,
    },
    /// There is no snapshot at this record.
    #[error("there is no snapshot at record {lsn}")]
    Missing {
        /// The record.
        lsn: Lsn,
    },
    /// Whoever filled it could not, or asked for too much.
    #[error("the snapshot cannot be written: {reason}")]
    Content {
        /// Why.
        reason: String,
    },
}

impl SnapshotError {
    /// What a filler says that cannot go on.
    #[must_use]
    pub fn content(reason: impl fmt::Display) -> Self {
        Self::Content { reason: reason.to_string() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Section {
    kind: u32,
    crc: u32,
    offset: u64,
    len: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    info: SnapshotInfo,
    history: [u8; 32],
    sections: Vec<Section>,
}

fn file_name(lsn: Lsn) -> String {
    format!("{:020}{SUFFIX}", lsn.0)
}

/// What is wrong with a snapshot, if the file is one: its header, or a section.
pub(crate) fn damage_of_snapshot(
    storage: &dyn Storage,
    name: &str,
) -> Result<Option<&'static str>, IoError> {
    let Some(lsn) = lsn_of(name) else { return Ok(None) };
    let read = Snapshot::open(storage, lsn).and_then(|snapshot| {
        let mut kinds = snapshot.header.sections.iter().map(|section| section.kind);
        kinds.try_for_each(|kind| snapshot.section(kind).map(drop))
    });
    match read {
        Err(SnapshotError::Damaged { reason, .. }) => Ok(Some(reason)),
        Err(SnapshotError::Io(error)) => Err(error),
        // One that is gone meanwhile is not damaged.
        _ => Ok(None),
    }
}

/// The record that a snapshot of this name stands at.
fn lsn_of(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).map(Lsn)
}

fn checksum(block: &[u8]) -> u32 {
    let crc = sum::crc32c(block.get(..8).unwrap_or_default());
    sum::crc32c_append(crc, block.get(12..HEADER_BYTES).unwrap_or_default())
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; HEADER_BYTES];
        let count = u32::try_from(self.sections.len()).unwrap_or(u32::MAX);
        put(&mut block, 0, &MAGIC);
        put(&mut block, 12, &VERSION.to_le_bytes());
        put(&mut block, 16, &self.info.lsn.0.to_le_bytes());
        put(&mut block, 24, &self.info.at.to_le_bytes());
        put(&mut block, 32, &self.info.fingerprint.to_le_bytes());
        put(&mut block, 40, &self.info.bytes.to_le_bytes());
        put(&mut block, 48, &count.to_le_bytes());
        put(&mut block, 64, &self.history);
        let mut at = ROWS_AT;
        for section in &self.sections {
            put(&mut block, at, &section.kind.to_le_bytes());
            put(&mut block, at.saturating_add(4), &section.crc.to_le_bytes());
            put(&mut block, at.saturating_add(8), &section.offset.to_le_bytes());
            put(&mut block, at.saturating_add(16), &section.len.to_le_bytes());
            at = at.saturating_add(ROW_BYTES);
        }
        let crc = checksum(&block);
        put(&mut block, 8, &crc.to_le_bytes());
        block
    }

    /// Reads and checks a header; `len` is the length of the file.
    fn decode(block: &[u8], lsn: Lsn, len: u64) -> Result<Self, &'static str> {
        const CUT: &str = "it ends inside its header";
        if block.len() < HEADER_BYTES {
            return Err(CUT);
        }
        let mut fields = Fields(block);
        if fields.take(8) != Some(&MAGIC[..]) {
            return Err("it does not begin as a snapshot does");
        }
        if fields.u32() != Some(checksum(block)) {
            return Err("the checksum of its header is wrong");
        }
        if fields.u32() != Some(VERSION) {
            return Err("its version is not one that this build reads");
        }
        let found = Lsn(fields.u64().ok_or(CUT)?);
        let at = fields.i64().ok_or(CUT)?;
        let fingerprint = fields.u64().ok_or(CUT)?;
        let bytes = fields.u64().ok_or(CUT)?;
        let count = fields.len32().ok_or(CUT)?;
        if found != lsn || bytes != len || count > SECTIONS_MAX {
            return Err("its header does not fit its name or its length");
        }
        if !is_zero(fields.take(12).ok_or(CUT)?) {
            return Err("a reserved byte is not zero");
        }
        let mut history = [0; 32];
        history.copy_from_slice(fields.take(32).ok_or(CUT)?);
        if !is_zero(fields.take(32).ok_or(CUT)?) {
            return Err("a reserved byte is not zero");
        }
        let mut sections: Vec<Section> = Vec::with_capacity(count);
        let mut free = wide(HEADER_BYTES);
        for _ in 0..count {
            let kind = fields.u32().ok_or(CUT)?;
            let crc = fields.u32().ok_or(CUT)?;
            let offset = fields.u64().ok_or(CUT)?;
            let section = Section { kind, crc, offset, len: fields.u64().ok_or(CUT)? };
            let end = offset.checked_add(section.len).filter(|end| *end <= len);
            let known = sections.iter().any(|other| other.kind == kind);
            free = end.filter(|_| offset >= free && !known).ok_or("its sections overlap")?;
            sections.push(section);
        }
        let rest = block.get(HEADER_BYTES.saturating_sub(fields.0.len())..HEADER_BYTES);
        if !is_zero(rest.unwrap_or_default()) {
            return Err("a reserved byte is not zero");
        }
        let info = SnapshotInfo { lsn, at, fingerprint, bytes };
        Ok(Self { info, history, sections })
    }
}

/// A snapshot that is being written: sections one after the other.
pub struct SnapshotWriter {
    file: Box<dyn StorageFile>,
    name: String,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    flushed: u64,
    sections: Vec<Section>,
}

impl fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotWriter").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SnapshotWriter {
    fn end(&self) -> u64 {
        self.flushed.saturating_add(wide(self.buffer.len()))
    }

    /// Ends the section before and begins another one.
    ///
    /// # Errors
    /// [`SnapshotError::Content`] for a kind that was written before, or one section too many.
    pub fn begin(&mut self, kind: u32) -> Result<(), SnapshotError> {
        if self.sections.len() >= SECTIONS_MAX || self.sections.iter().any(|s| s.kind == kind) {
            return Err(SnapshotError::content(format_args!("section {kind} is one too many")));
        }
        let len = self.buffer.len();
        self.buffer.resize(aligned(len), 0);
        let offset = self.end();
        self.sections.push(Section { kind, crc: 0, offset, len: 0 });
        Ok(())
    }

    /// Bytes written to the section so far.
    #[must_use]
    pub fn section_len(&self) -> u64 {
        self.sections.last().map_or(0, |section| section.len)
    }

    /// Adds bytes to the section.
    ///
    /// # Errors
    /// [`SnapshotError::Io`]; [`SnapshotError::Content`] before the first section.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let section = self.sections.last_mut();
        let section = section.ok_or_else(|| SnapshotError::content("no section was begun"))?;
        section.crc = sum::crc32c_append(section.crc, bytes);
        section.len = section.len.saturating_add(wide(bytes.len()));
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IoError> {
        // Whole pieces of 16 bytes, so that the next section is aligned in the file as well.
        let len = self.buffer.len() & !15;
        let whole = self.buffer.get(..len).unwrap_or_default();
        self.file.write_all_at(whole, self.flushed).map_err(IoError::at("write", &self.name))?;
        self.buffer.drain(..len);
        self.flushed = self.flushed.saturating_add(wide(len));
        Ok(())
    }

    fn finish(mut self, stamp: SnapshotStamp, history: [u8; 32]) -> Result<SnapshotInfo, IoError> {
        let len = self.buffer.len();
        self.buffer.resize(aligned(len), 0);
        self.flush()?;
        let SnapshotStamp { lsn, at, fingerprint } = stamp;
        let info = SnapshotInfo { lsn, at, fingerprint, bytes: self.flushed };
        let header = Header { info, history, sections: self.sections };
        self.file.write_all_at(&header.encode(), 0).map_err(IoError::at("write", &self.name))?;
        self.file.sync_data().map_err(IoError::at("sync", &self.name))?;
        Ok(info)
    }
}

/// An open snapshot. It stays readable where the system allows it, even once it was removed.
pub struct Snapshot {
    file: Box<dyn StorageFile>,
    name: String,
    header: Header,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("info", &self.header.info).finish_non_exhaustive()
    }
}

impl Snapshot {
    fn open(storage: &dyn Storage, lsn: Lsn) -> Result<Self, SnapshotError> {
        let name = file_name(lsn);
        let file = match storage.open(&name, Access::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SnapshotError::Missing { lsn });
            }
            other => other.map_err(IoError::at("open", &name))?,
        };
        let len = file.len().map_err(IoError::at("read", &name))?;
        let mut block = vec![0; HEADER_BYTES];
        let read = file.read_at(&mut block, 0).map_err(IoError::at("read", &name))?;
        let block = block.get(..read).unwrap_or_default();
        match Header::decode(block, lsn, len) {
            Ok(header) => Ok(Self { file, name, header }),
            Err(reason) => Err(SnapshotError::Damaged { file: name, reason }),
        }
    }

    /// What it says about itself.
    #[must_use]
    pub fn info(&self) -> SnapshotInfo {
        self.header.info
    }

    fn find(&self, kind: u32) -> Result<Section, SnapshotError> {
        let section = self.header.sections.iter().find(|section| section.kind == kind);
        section.copied().ok_or_else(|| self.damaged("a section is missing"))
    }

    fn damaged(&self, reason: &'static str) -> SnapshotError {
        SnapshotError::Damaged { file: self.name.clone(), reason }
    }

    /// The length of a section.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] where there is none of this kind.
    pub fn section_len(&self, kind: u32) -> Result<u64, SnapshotError> {
        Ok(self.find(kind)?.len)
    }

    /// A whole section, its checksum checked.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`], [`SnapshotError::Io`].
    pub fn section(&self, kind: u32) -> Result<Vec<u8>, SnapshotError> {
        let section = self.find(kind)?;
        let bytes = self.range(kind, 0, narrow(section.len))?;
        if sum::crc32c(&bytes) != section.crc {
            return Err(self.damaged("the checksum of a section is wrong"));
        }
        Ok(bytes)
    }

    /// A part of a section. The checksum of the section does not help here: the caller checks what
    /// it reads against one of its own.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] where the part lies outside the section, [`SnapshotError::Io`].
    pub fn range(&self, kind: u32, from: u64, len: usize) -> Result<Vec<u8>, SnapshotError> {
        let section = self.find(kind)?;
        let end = from.checked_add(wide(len)).filter(|end| *end <= section.len);
        let place = end.and_then(|_| section.offset.checked_add(from));
        let place = place.ok_or_else(|| self.damaged("a part lies outside its section"))?;
        // The section lies within the file, so no more is allocated than the file is long.
        let mut bytes = vec![0; len];
        let read = self.file.read_at(&mut bytes, place).map_err(IoError::at("read", &self.name))?;
        if read != len {
            return Err(self.damaged("it ends inside a section"));
        }
        Ok(bytes)
    }
}

impl History {
    /// The snapshots that are there, usable or not, oldest first.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub fn snapshots(&self) -> Result<Vec<Lsn>, SnapshotError> {
        let names = self.source().shelf().list().map_err(IoError::at("list", "the book"))?;
        let mut found: Vec<Lsn> = names.iter().filter_map(|name| lsn_of(name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Opens the snapshot at a record, if it is whole, of this history and of this layout. Only its
    /// header is read.
    ///
    /// # Errors
    /// [`SnapshotError`] that says why it cannot be used.
    pub fn open_snapshot(&self, lsn: Lsn, fingerprint: u64) -> Result<Snapshot, SnapshotError> {
        let snapshot = Snapshot::open(self.source().shelf(), lsn)?;
        let (file, found) = (file_name(lsn), snapshot.header.info.fingerprint);
        if found != fingerprint {
            return Err(SnapshotError::Layout { file, found, expected: fingerprint });
        }
        if (lsn > self.source().extent()?.last
            || self.head_at(lsn)?.head != snapshot.header.history)
            && !planted(Bug::SnapshotTrusted)
        {
            return Err(SnapshotError::Foreign { file });
        }
        Ok(snapshot)
    }
}

impl Log {
    /// Writes a snapshot that goes up to a record, which is made durable first. One at the same
    /// record is replaced. `fill` writes the sections; commands may be appended meanwhile.
    ///
    /// A file that cannot be written is an error and is removed; it does not poison the log, which
    /// needs nothing of it. A directory that cannot be synced does, as after any other change.
    ///
    /// # Errors
    /// [`SnapshotError`]: what `fill` returned, or what the disk or the log said.
    pub fn write_snapshot(
        &self,
        stamp: SnapshotStamp,
        fill: impl FnOnce(&mut SnapshotWriter) -> Result<(), SnapshotError>,
    ) -> Result<SnapshotInfo, SnapshotError> {
        let _one = self.snapshots_lock();
        self.wait(stamp.lsn)?;
        self.shared().check_open()?;
        let history = self.head_at(stamp.lsn)?.head;
        let storage = self.shared().storage();
        let (name, new) = (file_name(stamp.lsn), format!("{}.new", file_name(stamp.lsn)));
        let names = storage.list().map_err(IoError::at("list", "the book"))?;
        if names.contains(&new) {
            storage.remove(&new).map_err(IoError::at("remove", &new))?;
        }
        let file = storage.create(&new).map_err(IoError::at("create", &new))?;
        let mut writer = SnapshotWriter {
            file,
            name: new.clone(),
            buffer: Vec::with_capacity(WRITE_BYTES),
            flushed: wide(HEADER_BYTES),
            sections: Vec::new(),
        };
        let written = fill(&mut writer)
            .and_then(|()| Ok(writer.finish(stamp, history)?))
            .and_then(|info| self.shared().check_open().map(|()| info).map_err(Into::into));
        let info = match written {
            Ok(info) => info,
            Err(error) => {
                // Nobody would look at it; if it cannot be removed, the next opening does.
                drop(storage.remove(&new));
                return Err(error);
            }
        };
        self.change_names("rename", &new, || storage.rename(&new, &name))?;
        Ok(info)
    }

    /// Removes a snapshot. One that is not there is removed already.
    ///
    /// # Errors
    /// [`SnapshotError::Io`], and then the log is poisoned; [`SnapshotError::Log`].
    pub fn remove_snapshot(&self, lsn: Lsn) -> Result<(), SnapshotError> {
        let _one = self.snapshots_lock();
        self.shared().check_open()?;
        if !self.snapshots()?.contains(&lsn) {
            return Ok(());
        }
        let name = file_name(lsn);
        self.change_names("remove", &name, || self.shared().storage().remove(&name))
    }

    /// Removes all but the `keep` latest snapshots, and says which.
    ///
    /// # Errors
    /// As [`Log::remove_snapshot`].
    pub fn retain_snapshots(&self, keep: usize) -> Result<Vec<Lsn>, SnapshotError> {
        let mut old = self.snapshots()?;
        old.truncate(old.len().saturating_sub(keep));
        for lsn in &old {
            self.remove_snapshot(*lsn)?;
        }
        Ok(old)
    }

    /// A change of names, on disk. What comes of it is not known after an error, and the log has
    /// names in the same directory.
    fn change_names(
        &self,
        action: &'static str,
        file: &str,
        change: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<(), SnapshotError> {
        let directory = "the directory of the book";
        let changed = change().map_err(IoError::at(action, file)).and_then(|()| {
            self.shared().storage().sync_dir().map_err(IoError::at("sync", directory))
        });
        changed.map_err(|error| {
            self.shared().give_up(&error.to_string());
            error.into()
        })
    }

    fn snapshots_lock(&self) -> MutexGuard<'_, ()> {
        self.shared().snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Lets the bytes of a snapshot be others: for hostile ones.
    pub(crate) fn replace_snapshot_file(&self, lsn: Lsn, change: impl FnOnce(&mut Vec<u8>)) {
        let Ok(file) = self.shared().storage().open(&file_name(lsn), Access::Write) else { return };
        let mut bytes = vec![0; narrow(file.len().unwrap_or_default())];
        drop(file.read_at(&mut bytes, 0));
        change(&mut bytes);
        drop(file.set_len(wide(bytes.len())));
        drop(file.write_all_at(&bytes, 0));
    }
}

/// Makes the checksum of a header right again: for hostile bytes that should get past it.
pub(crate) fn reseal(block: &mut [u8]) {
    if block.len() >= HEADER_BYTES {
        let len = wide(block.len()).to_le_bytes();
        put(block, 40, &len);
        let crc = checksum(block);
        put(block, 8, &crc.to_le_bytes());
    }
}
