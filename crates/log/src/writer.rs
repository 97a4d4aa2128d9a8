//! Writes batches to the active segment, and begins the next one when it is full.

use std::{io, sync::Arc};

use crate::{
    Lsn,
    batch::PendingBatch,
    buffer::BlockBuffer,
    bytes::{narrow, wide},
    error::IoError,
    group::Extent,
    header::{HEADER_END, Place},
    limits::{FILL_BYTES_MAX, FILL_BYTES_MIN, FILL_SHARE},
    manifest::{BookState, Manifest},
    segment::{SegmentHeader, segment_name},
    storage::{Access, Storage, StorageFile},
};

/// [`BLOCK_BYTES`] as a length in a file.
const BLOCK: u64 = 4 << 10;

/// The end of the log. Whoever has the writer may write; there is one.
///
/// It writes whole blocks, past the caches of the system where it can: there a sync has nothing to
/// look for, and space that was written ahead makes it a matter of the disk alone. So the block in
/// which a batch ends is written again with the next batch. That is safe as far as any write is:
/// the bytes of it that were synced are the same before and after, so wherever the disk stops
/// between two sectors, they are there. A system that writes pages from a cache does just that.
pub(crate) struct Writer {
    storage: Arc<dyn Storage>,
    /// The active file, through the caches.
    file: Box<dyn StorageFile>,
    /// The same file, for whole blocks.
    blocks: Box<dyn StorageFile>,
    /// The bytes of the log in its last block, where that is not full.
    tail: Vec<u8>,
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
        let blocks = storage.open_blocks(&name).map_err(IoError::at("open", &name))?;
        let tail = read_tail(&*file, end.offset).map_err(IoError::at("read", &name))?;
        let written = synced.last;
        Ok(Self {
            storage,
            file,
            blocks,
            tail,
            name,
            end,
            file_len,
            segment_bytes,
            written,
            synced,
        })
    }

    /// Where in its block the batch begins that follows one of `frame_len` bytes.
    pub(crate) fn lead_after(&self, frame_len: usize) -> usize {
        let start = if self.is_full(frame_len) { HEADER_END } else { self.end.offset };
        in_block(start.saturating_add(wide(frame_len)))
    }

    /// Where in its block the next batch begins.
    pub(crate) fn lead(&self) -> usize {
        self.tail.len()
    }

    /// Whether a batch of `frame_len` bytes begins a segment.
    fn is_full(&self, frame_len: usize) -> bool {
        let end = self.end.offset.saturating_add(wide(frame_len));
        end > self.segment_bytes && self.end.offset > HEADER_END
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
        if self.is_full(batch.frame_len()) {
            self.rotate(batch.first())?;
        }
        let place = self.end;
        let blocks = batch.seal(place, self.synced.last, &self.tail);
        let start = place.offset.saturating_sub(wide(self.tail.len()));
        let end = start.saturating_add(wide(blocks.len()));
        self.blocks.write_all_at(blocks, start).map_err(IoError::at("write", &self.name))?;
        self.fill_ahead(end, blocks.len())?;
        self.tail.clear();
        self.tail.extend_from_slice(batch.tail());
        self.end.offset = place.offset.saturating_add(wide(batch.frame_len()));
        self.written = batch.next().previous();
        Ok(place)
    }

    /// Writes zeros behind `end` where a batch of `len` bytes came to the end of the file. Later
    /// batches then change no length, which makes their sync cheaper. The space grows with the
    /// segment, so that a small book stays small. Behind a large batch it is not worth its price,
    /// for the next one would use it up.
    fn fill_ahead(&mut self, end: u64, len: usize) -> Result<(), IoError> {
        if end <= self.file_len {
            return Ok(());
        }
        self.file_len = end;
        let ahead = end.clamp(FILL_BYTES_MIN, FILL_BYTES_MAX);
        if wide(len) > ahead / FILL_SHARE {
            return Ok(());
        }
        let target = end.saturating_add(ahead).min(self.segment_bytes);
        self.write_zeros(target.checked_next_multiple_of(BLOCK).unwrap_or(end))
    }

    /// Writes zeros from the end of the file to `target`, a multiple of the block size.
    fn write_zeros(&mut self, target: u64) -> Result<(), IoError> {
        let piece = narrow(target.saturating_sub(self.file_len).min(FILL_BYTES_MAX));
        let zeros = BlockBuffer::zeroed(piece);
        while self.file_len < target {
            let len = narrow(target.saturating_sub(self.file_len)).min(piece);
            let zeros = zeros.bytes().get(..len).unwrap_or_default();
            let written = self.blocks.write_all_at(zeros, self.file_len);
            written.map_err(IoError::at("write", &self.name))?;
            self.file_len = self.file_len.saturating_add(wide(len));
        }
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
        self.blocks = self.storage.open_blocks(&name).map_err(IoError::at("open", &name))?;
        self.tail = read_tail(&*file, HEADER_END).map_err(IoError::at("read", &name))?;
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

/// Where in its block an offset lies.
fn in_block(offset: u64) -> usize {
    narrow(offset.checked_rem(BLOCK).unwrap_or(0))
}

/// The bytes from the start of a block to `end` in it.
fn read_tail(file: &dyn StorageFile, end: u64) -> io::Result<Vec<u8>> {
    let mut tail = vec![0; in_block(end)];
    if tail.is_empty() {
        return Ok(tail);
    }
    let start = end.saturating_sub(wide(tail.len()));
    let found = file.read_at(&mut tail, start)?;
    if found < tail.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(tail) }
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
