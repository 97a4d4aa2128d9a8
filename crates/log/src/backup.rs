//! A consistent copy of a book that is in use.
//!
//! The copy ends at a record that is durable when it begins, and is closed there. What lies before
//! that record does not change any more, so it is copied while others append: sealed segments as
//! they are, the one that is written to as far as it goes, and a manifest that says: closed, here.
//!
//! **Why an interrupted copy does no harm.** The steps are those of the log itself. First a
//! manifest that says the copy is closed is replaced by one that says it is open at the same place.
//! Then the segments are copied in order, each whole under its name or not there; whatever prefix
//! of them is there, the target is a book that goes at least as far as before. Then come keys and
//! snapshot; and last the manifest that closes the copy at its new end. A first copy that is
//! interrupted has no manifest, so it is not a book at all. Both are taken up again by the next
//! one.

use std::collections::BTreeSet;

use crate::{
    History, Lsn, Receipt,
    copy::{Copy, CopyError, NEW, names, remove, wipe_and_remove},
    error::{IoError, LogError, OpenError, ReadError},
    header::Place,
    history::{receipt_within, stream_within},
    manifest::{BookState, MANIFEST, Manifest},
    segment::{segment_name, segment_number},
    shelf::{Stub, stub_name, stub_number},
    storage::{Access, Storage},
};

/// End of the names of the files that hold keys.
const KEYS: &str = ".keys";
/// End of the names of snapshots.
const SNAPSHOT: &str = ".snap";
/// What is compared of a sealed segment at each end, in bytes: its header with the state of the
/// hash tree, and the end of its footer.
const EDGE_BYTES: u64 = 4096;

/// What a backup takes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Also the newest snapshot, so that the copy opens faster.
    pub snapshot: bool,
}

/// What a backup did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// What the copy is: all records up to this one.
    pub receipt: Receipt,
    /// Segments that were copied.
    pub segments_copied: u32,
    /// Segments that were there already.
    pub segments_kept: u32,
    /// Bytes written to the target.
    pub bytes_written: u64,
    /// The snapshot that was taken along, or was there already.
    pub snapshot: Option<Lsn>,
}

/// Why a backup was not made. The target is as it was, or is completed by the next backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The book is poisoned or closed, or cannot be read.
    #[error(transparent)]
    Book(#[from] ReadError),
    /// The book that is to be copied cannot be read.
    #[error("in the book: {0}")]
    Source(IoError),
    /// The target cannot be read or written.
    #[error("in the backup: {0}")]
    Target(IoError),
    /// Somebody has the target open.
    #[error("the backup is in use by another process or handle")]
    TargetLocked,
    /// The target holds something else.
    #[error("the target is not a backup of this book: {found}")]
    OtherTarget {
        /// What it is instead.
        found: String,
    },
    /// The target is a book that went on in another way, and would lose records.
    #[error("the target has records that this book has not: its last one is {last}")]
    Diverged {
        /// The last record of the target.
        last: Lsn,
    },
}

impl From<CopyError> for BackupError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Source(error) => Self::Source(error),
            CopyError::Target(error) => Self::Target(error),
        }
    }
}

impl From<LogError> for BackupError {
    fn from(error: LogError) -> Self {
        Self::Book(error.into())
    }
}

impl History {
    /// Copies the book, up to the last record that there is now, into `target`: a storage that is
    /// empty, or holds a former backup of this book, of which only what is missing is written.
    /// Others may append meanwhile, in another process too. The copy is a book that was closed.
    ///
    /// A sealed segment that is there already is compared by its length, its header, which holds
    /// the hash of all before it, and the end of its footer. Use [`verify`](crate::verify) on the
    /// copy to be sure of every byte.
    ///
    /// Keys of personal data are copied as they are now: those of erased customers are not in it,
    /// and are removed from a former backup. A segment that was [archived](crate::Log::archive) is copied
    /// as the stub that stands for it.
    ///
    /// # Errors
    /// [`BackupError`]; the book itself is never changed.
    pub fn backup(
        &self,
        target: &dyn Storage,
        options: BackupOptions,
    ) -> Result<BackupReport, BackupError> {
        let _one_at_a_time = self.source().shelf().moving();
        let manifest = self.closed_manifest()?;
        let _lock = target.lock().map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => BackupError::TargetLocked,
            _ => BackupError::Target(IoError::at("lock", "the backup")(error)),
        })?;
        let source = self.source().shelf().local();
        let mut backup = Backup { copy: Copy { source, target }, manifest, written: 0 };
        backup.prepare(self)?;
        let (segments_copied, segments_kept) = backup.segments()?;
        backup.keys()?;
        let snapshot = backup.snapshot(options)?;
        backup.finish()?;
        let Manifest { last, stream, head, .. } = manifest;
        Ok(BackupReport {
            receipt: Receipt { lsn: last, stream_bytes: stream, head },
            segments_copied,
            segments_kept,
            bytes_written: backup.written,
            snapshot,
        })
    }
}

impl History {
    /// The manifest that the book would have if it were closed after the last durable record.
    pub(crate) fn closed_manifest(&self) -> Result<Manifest, ReadError> {
        if let Some(damage) = self.source().damage() {
            return Err(ReadError::Damaged(damage));
        }
        let durable = self.source().extent()?;
        let Receipt { lsn: last, stream_bytes: stream, head } =
            receipt_within(self.source(), durable.last, durable)?;
        let book = stream_within(self.source(), Lsn::ZERO, durable)?.start(1)?.book;
        let (state, synced) = (BookState::Closed, durable.end);
        Ok(Manifest { state, synced, last, stream, book, head })
    }
}

struct Backup<'a> {
    copy: Copy<'a>,
    /// That of the copy: closed at its end.
    manifest: Manifest,
    written: u64,
}

impl Backup<'_> {
    /// Refuses a target that is something else, and opens a former backup.
    fn prepare(&mut self, history: &History) -> Result<(), BackupError> {
        let target = self.copy.target;
        let found = names(target).map_err(BackupError::Target)?;
        if !found.iter().any(|name| name == MANIFEST) {
            let other = found.iter().find(|name| !is_of_backup(name));
            return match other {
                Some(name) => Err(BackupError::OtherTarget { found: format!("it holds {name}") }),
                None => Ok(()),
            };
        }
        let former = match Manifest::read(target) {
            Ok(former) => former,
            Err(OpenError::Io(error)) => return Err(BackupError::Target(error)),
            Err(error) => return Err(BackupError::OtherTarget { found: error.to_string() }),
        };
        if former.book != self.manifest.book {
            return Err(BackupError::OtherTarget { found: "it holds another book".to_owned() });
        }
        let last = former.last;
        let ahead =
            last > self.manifest.last || last_segment(&found) > self.manifest.synced.segment;
        if ahead || history.head_at(last)?.head != former.head {
            return Err(BackupError::Diverged { last });
        }
        if former.state == BookState::Closed {
            let open = Manifest { state: BookState::Open, ..former };
            open.replace(target).map_err(BackupError::Target)?;
        }
        Ok(())
    }

    /// Copies all segments, in order.
    fn segments(&mut self) -> Result<(u32, u32), BackupError> {
        let (mut copied, mut kept) = (0_u32, 0_u32);
        for number in 1..=self.manifest.synced.segment {
            if self.segment(number)? {
                kept = kept.saturating_add(1);
            } else {
                copied = copied.saturating_add(1);
            }
        }
        Ok((copied, kept))
    }

    /// Copies a segment, or the stub that stands for it; returns whether it was there already.
    fn segment(&mut self, number: u32) -> Result<bool, BackupError> {
        let name = segment_name(number);
        let Place { segment: active, offset: end } = self.manifest.synced;
        if number == active {
            // It may be the same at both ends and differ between them.
            return self.keep_or_copy(&name, end, None);
        }
        let copied =
            self.source_len(&name).and_then(|len| self.keep_or_copy(&name, len, Some(EDGE_BYTES)));
        let kept = match copied {
            Err(BackupError::Source(error)) if is_gone(&error) => return self.stub(number),
            kept => kept?,
        };
        // Fetched back since the former backup.
        remove_if_there(self.copy.target, &stub_name(number))?;
        Ok(kept)
    }

    /// Copies the stub of an archived segment, unless the target has the segment itself.
    fn stub(&mut self, number: u32) -> Result<bool, BackupError> {
        let (name, stub_name) = (segment_name(number), stub_name(number));
        let stub = Stub::open(self.copy.source, number).map_err(IoError::at("open", &stub_name));
        let stub = stub.map_err(BackupError::Source)?;
        if let Ok(file) = self.copy.target.open(&name, Access::Read)
            && stub.check_is_of(&*file).is_ok()
        {
            return Ok(true);
        }
        let len = self.source_len(&stub_name)?;
        let kept = self.keep_or_copy(&stub_name, len, None)?;
        remove_if_there(self.copy.target, &name)?;
        Ok(kept)
    }

    /// Makes the keys those of the book. A secret that was destroyed since the former backup is
    /// overwritten in the target, as it was in the book.
    fn keys(&mut self) -> Result<(), BackupError> {
        let is_keys = |name: &String| name.ends_with(KEYS);
        let source = names(self.copy.source).map_err(BackupError::Source)?;
        let source: BTreeSet<String> = source.into_iter().filter(is_keys).collect();
        let target = names(self.copy.target).map_err(BackupError::Target)?;
        for name in &source {
            let len = self.source_len(name)?;
            if target.contains(name) && !self.copy.is_there(name, len, None)? {
                self.copy.overwrite(name, len)?;
                self.written = self.written.saturating_add(len);
            } else {
                self.keep_or_copy(name, len, None)?;
            }
        }
        for name in target.iter().filter(|name| is_keys(name) && !source.contains(*name)) {
            wipe_and_remove(self.copy.target, name).map_err(BackupError::Target)?;
        }
        Ok(())
    }

    /// Takes the newest snapshot along that is not ahead of the copy, if it is asked for. Others in
    /// the target are removed: they are older, or of records that the copy has not.
    fn snapshot(&mut self, options: BackupOptions) -> Result<Option<Lsn>, BackupError> {
        let mut taken = None;
        let mut found = names(self.copy.source).map_err(BackupError::Source)?;
        found.retain(|name| snapshot_lsn(name).is_some_and(|lsn| lsn <= self.manifest.last));
        for name in found.iter().rev().filter(|_| options.snapshot) {
            // Snapshots are disposable: one that is removed meanwhile is passed over.
            let copied = self.source_len(name).and_then(|len| {
                self.keep_or_copy(name, len, None)?;
                Ok(())
            });
            match copied {
                Err(BackupError::Source(error)) if is_gone(&error) => {}
                copied => {
                    copied?;
                    taken = Some(name);
                    break;
                }
            }
        }
        let target = names(self.copy.target).map_err(BackupError::Target)?;
        for name in target.iter().filter(|name| name.ends_with(SNAPSHOT)) {
            if Some(name) != taken {
                remove(self.copy.target, name).map_err(BackupError::Target)?;
            }
        }
        Ok(taken.and_then(|name| snapshot_lsn(name)))
    }

    /// Closes the copy at its end.
    fn finish(&mut self) -> Result<(), BackupError> {
        self.manifest.replace(self.copy.target).map_err(BackupError::Target)
    }

    /// Whether the file was there already.
    fn keep_or_copy(
        &mut self,
        name: &str,
        len: u64,
        edge_bytes: Option<u64>,
    ) -> Result<bool, BackupError> {
        if self.copy.is_there(name, len, edge_bytes)? {
            return Ok(true);
        }
        self.copy.file(name, len)?;
        self.written = self.written.saturating_add(len);
        Ok(false)
    }

    fn source_len(&self, name: &str) -> Result<u64, BackupError> {
        let opened = self.copy.source.open(name, Access::Read);
        let file = opened.map_err(IoError::at("open", name)).map_err(BackupError::Source)?;
        file.len().map_err(IoError::at("read", name)).map_err(BackupError::Source)
    }
}

fn remove_if_there(target: &dyn Storage, name: &str) -> Result<(), BackupError> {
    match target.open(name, Access::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => remove(target, name).map_err(BackupError::Target),
    }
}

fn is_gone(error: &IoError) -> bool {
    error.source.kind() == std::io::ErrorKind::NotFound
}

/// Whether a backup that was interrupted may have left this file.
fn is_of_backup(name: &str) -> bool {
    let name = name.strip_suffix(NEW).unwrap_or(name);
    let is_segment = segment_number(name).or(stub_number(name)).is_some();
    is_segment || name == MANIFEST || name.ends_with(KEYS) || snapshot_lsn(name).is_some()
}

fn last_segment(names: &[String]) -> u32 {
    names
        .iter()
        .filter_map(|name| segment_number(name).or(stub_number(name)))
        .max()
        .unwrap_or_default()
}

fn snapshot_lsn(name: &str) -> Option<Lsn> {
    name.strip_suffix(SNAPSHOT)?.parse().ok().map(Lsn)
}
