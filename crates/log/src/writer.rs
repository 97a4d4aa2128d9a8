//! Writes batches to the active segment, and begins the next one when it is full.

use std::sync::Arc;

use crate::{
    Lsn,
    batch::PendingBatch,
    bytes::{narrow, wide},
    error::IoError,
    group::Extent,
    header::{HEADER_END, Place},
    limits::{FILL_BYTES_MAX, FILL_BYTES_MIN},
    manifest::{BookState, Manifest},
    segment::{SegmentHeader, segment_name},
    storage::{Access, Storage, StorageFile},
};

/// A write of zeros.
const ZEROS: &[u8] = &[0; 64 << 10];
/// Space written ahead ends at a multiple of this, in bytes.
const FILL_ALIGN: u64 = 4 << 10;

/// The end of the log. Whoever has the writer may write; there is one.
pub(crate) struct Writer {
    storage: Arc<dyn Storage>,
    file: Box<dyn StorageFile>,
    name: String,
    /// Where the next batch goes.
    end: Place,
    /// Length of the active file.
    file_len: u64,
    segment_bytes: u64,
    /// The last record written.
    written: Lsn,
    synced: Extent,
}

impl Writer {
    /// Goes on at `end` after record `synced`; both are known to be on disk.
    pub(crate) fn resume(
        storage: Arc<dyn Storage>,
        end: Place,
        synced: Lsn,
        segment_bytes: u64,
    ) -> Result<Self, IoError> {
        let name = segment_name(end.segment);
        let file = storage.open(&name, Access::Write).map_err(IoError::at("open", &name))?;
        let file_len = file.len().map_err(IoError::at("read", &name))?;
        let synced = Extent { last: synced, end };
        Ok(Self { storage, file, name, end, file_len, segment_bytes, written: synced.last, synced })
    }

    /// How far the log was written.
    pub(crate) fn written(&self) -> Extent {
        Extent { last: self.written, end: self.end }
    }

    /// How far it is on disk.
    pub(crate) fn synced(&self) -> Extent {
        self.synced
    }

    /// Writes a batch, which may be empty, and syncs it and all before it if that is asked for.
    /// Returns where it begins.
    pub(crate) fn commit(
        &mut self,
        batch: &mut PendingBatch,
        sync: bool,
    ) -> Result<Option<Place>, IoError> {
        let place = if batch.is_empty() { None } else { Some(self.write(batch)?) };
        if sync && self.synced.last < self.written {
            self.sync()?;
        }
        Ok(place)
    }

    fn sync(&mut self) -> Result<(), IoError> {
        self.file.sync_data().map_err(IoError::at("sync", &self.name))?;
        self.synced = self.written();
        Ok(())
    }

    fn write(&mut self, batch: &mut PendingBatch) -> Result<Place, IoError> {
        let frame_len = wide(batch.frame_len());
        let full = self.end.offset.saturating_add(frame_len) > self.segment_bytes;
        if full && self.end.offset > HEADER_END {
            self.rotate(batch.first())?;
        }
        let place = self.end;
        let frame = batch.seal(place, self.synced.last);
        self.file.write_all_at(frame, place.offset).map_err(IoError::at("write", &self.name))?;
        let end = place.offset.saturating_add(frame_len);
        self.fill_ahead(end)?;
        self.end.offset = end;
        self.written = batch.next().previous();
        Ok(place)
    }

    /// Writes zeros behind `end` where the batch came to the end of the file. Later batches then
    /// change no length, which makes their sync cheaper. The space grows with the segment, so that
    /// a small book stays small.
    fn fill_ahead(&mut self, end: u64) -> Result<(), IoError> {
        if end <= self.file_len {
            return Ok(());
        }
        let ahead = end.clamp(FILL_BYTES_MIN, FILL_BYTES_MAX);
        let aligned = end.saturating_add(ahead).checked_next_multiple_of(FILL_ALIGN);
        let target = aligned.unwrap_or(end).min(self.segment_bytes).max(end);
        let mut at = end;
        while at < target {
            let len = narrow(target.saturating_sub(at)).min(ZEROS.len());
            let zeros = ZEROS.get(..len).unwrap_or(ZEROS);
            self.file.write_all_at(zeros, at).map_err(IoError::at("write", &self.name))?;
            at = at.saturating_add(wide(len));
        }
        self.file_len = target;
        Ok(())
    }

    /// Seals the active segment and begins the next one, whose first record will be `first`. Each
    /// step is on disk before the next: a segment that exists proves that the former one is whole,
    /// and one that holds a batch has its header.
    fn rotate(&mut self, first: Lsn) -> Result<(), IoError> {
        self.trim()?;
        let previous_end = self.end.offset;
        let number = self.end.segment.saturating_add(1);
        let (file, name) = create_segment(&*self.storage, number, first, previous_end)?;
        self.file = file;
        self.name = name;
        self.end = Place { segment: number, offset: HEADER_END };
        self.file_len = HEADER_END;
        Ok(())
    }

    /// Takes back the space written ahead, and syncs all.
    fn trim(&mut self) -> Result<(), IoError> {
        if self.file_len > self.end.offset {
            self.file.set_len(self.end.offset).map_err(IoError::at("shorten", &self.name))?;
            self.file_len = self.end.offset;
            self.sync()?;
        } else if self.synced.last < self.written {
            self.sync()?;
        }
        Ok(())
    }

    /// Ends the book here: from now on nothing in it is ever cut.
    pub(crate) fn close(mut self) -> Result<(), IoError> {
        self.trim()?;
        let manifest = Manifest { state: BookState::Closed, synced: self.end, last: self.written };
        manifest.replace(&*self.storage)
    }
}

/// Creates a segment without a batch, on disk with its name.
pub(crate) fn create_segment(
    storage: &dyn Storage,
    number: u32,
    first: Lsn,
    previous_end: u64,
) -> Result<(Box<dyn StorageFile>, String), IoError> {
    let name = segment_name(number);
    let file = storage.create(&name).map_err(IoError::at("create", &name))?;
    let header = SegmentHeader { first, previous_end }.encode(number);
    file.write_all_at(&header, 0).map_err(IoError::at("write", &name))?;
    file.sync_data().map_err(IoError::at("sync", &name))?;
    storage.sync_dir().map_err(IoError::at("sync", "the directory of the book"))?;
    Ok((file, name))
}
