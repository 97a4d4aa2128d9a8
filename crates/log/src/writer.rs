//! Writes batches to the active segment, and begins the next one when it is full.

use std::{collections::VecDeque, io, sync::Arc};

use crate::{
    Lsn,
    batch::{BatchStart, PendingBatch},
    buffer::BlockBuffer,
    bugs::{Bug, planted},
    bytes::{narrow, wide},
    catalog::{Active, Catalog},
    chain::{Chain, Hashing},
    error::IoError,
    footer::{self, Seal},
    group::Extent,
    header::{BookId, Owner, Place},
    index::Rows,
    limits::{FILL_BYTES_MAX, FILL_BYTES_MIN, FILL_SHARE, SEGMENT_STREAM_ROWS_MAX},
    manifest::{BookState, Manifest},
    segment::{BATCHES_AT, SegmentHeader, segment_name, segment_number},
    storage::{Access, Storage, StorageFile},
    trace,
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
    /// Lengths of the files of zeros that the next segments will be made of, in order.
    prepared: VecDeque<u64>,
    segment_bytes: u64,
    /// The last record written.
    written: Lsn,
    synced: Extent,
    book: BookId,
    /// Bytes of the record stream up to `end`.
    stream: u64,
    /// The hash tree over the records up to `end`, as far as they were put in.
    hashing: Arc<Hashing>,
    /// Where records are.
    catalog: Arc<Catalog>,
}

/// Where a writer goes on.
pub(crate) struct Resume {
    /// Where the next batch goes.
    pub(crate) end: Place,
    /// The last record before it.
    pub(crate) last: Lsn,
    pub(crate) book: BookId,
    /// The hash tree over all records before it.
    pub(crate) chain: Chain,
    /// The segment of `end`.
    pub(crate) active: Active,
}

impl Writer {
    /// Goes on at a place; all before it is known to be on disk.
    pub(crate) fn resume(
        storage: Arc<dyn Storage>,
        from: Resume,
        segment_bytes: u64,
    ) -> Result<Self, IoError> {
        let Resume { end, last, book, chain, active } = from;
        let catalog = Catalog::new(Arc::clone(&storage), Owner::of(&book), active);
        let name = segment_name(end.segment);
        let file = storage.open(&name, Access::Write).map_err(IoError::at("open", &name))?;
        let file_len = file.len().map_err(IoError::at("read", &name))?;
        let synced = Extent { last, end };
        let blocks = storage.open_blocks(&name).map_err(IoError::at("open", &name))?;
        let tail = read_tail(&*file, end.offset).map_err(IoError::at("read", &name))?;
        Ok(Self {
            prepared: VecDeque::new(),
            storage,
            file,
            blocks,
            tail,
            name,
            end,
            file_len,
            segment_bytes,
            written: last,
            synced,
            book,
            stream: chain.stream_len(),
            hashing: Arc::new(Hashing::new(chain)),
            catalog: Arc::new(catalog),
        })
    }

    /// Where in its block the batch begins that follows one of `frame_len` bytes.
    pub(crate) fn lead_after(&self, frame_len: usize) -> usize {
        let start = if self.is_full(frame_len) { BATCHES_AT } else { self.end.offset };
        in_block(start.saturating_add(wide(frame_len)))
    }

    /// Where in its block the next batch begins.
    pub(crate) fn lead(&self) -> usize {
        self.tail.len()
    }

    /// To which book the headers of batches are bound.
    pub(crate) fn owner(&self) -> Owner {
        Owner::of(&self.book)
    }

    /// The hash tree.
    pub(crate) fn hashing(&self) -> &Arc<Hashing> {
        &self.hashing
    }

    /// Where records are.
    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Whether a batch of `frame_len` bytes begins a segment.
    fn is_full(&self, frame_len: usize) -> bool {
        let end = self.end.offset.saturating_add(wide(frame_len));
        let many = self.catalog.active().rows.streams.len() >= SEGMENT_STREAM_ROWS_MAX;
        (many || end > self.segment_bytes) && self.end.offset > BATCHES_AT
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
        if planted(Bug::AcknowledgedBeforeSync) {
            self.sync()?;
        }
        let place = if batch.is_empty() { None } else { Some(self.write(batch)?) };
        if planted(Bug::AcknowledgedBeforeSync) {
            self.synced = self.written();
        }
        if sync && self.synced.last < self.written {
            self.sync()?;
        }
        Ok(place)
    }

    fn sync(&mut self) -> Result<(), IoError> {
        if planted(Bug::SyncLeftOut) {
            self.synced = self.written();
            return Ok(());
        }
        let mut synced = self.file.sync_data();
        if planted(Bug::FailedSyncRetried) && synced.is_err() {
            synced = self.file.sync_data();
        }
        synced.map_err(IoError::at("sync", &self.name))?;
        self.synced = self.written();
        Ok(())
    }

    fn write(&mut self, batch: &mut PendingBatch) -> Result<Place, IoError> {
        if self.is_full(batch.frame_len()) {
            self.rotate(batch.first())?;
        }
        let place = self.end;
        let (owner, stream) = (self.owner(), self.stream);
        let too_high = planted(Bug::MarkTooHigh);
        let synced = if too_high { self.written } else { self.synced.last };
        let blocks = batch.seal(&BatchStart { owner, place, synced, stream }, &self.tail);
        let start = place.offset.saturating_sub(wide(self.tail.len()));
        let end = start.saturating_add(wide(blocks.len()));
        let mut written = self.blocks.write_all_at(blocks, start);
        if planted(Bug::FullDiskIgnored)
            && written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull)
        {
            written = Ok(());
        }
        written.map_err(IoError::at("write", &self.name))?;
        self.fill_ahead(end, blocks.len())?;
        self.tail.clear();
        self.tail.extend_from_slice(batch.tail());
        self.end.offset = place.offset.saturating_add(wide(batch.frame_len()));
        self.written = batch.next().previous();
        self.stream = stream.saturating_add(wide(batch.records().len()));
        Ok(place)
    }

    /// Takes the records of the batch that was just committed into the indexes. Nobody needs that
    /// before the next batch, so it is done once those who waited were told.
    pub(crate) fn take_in(&mut self, place: Place, batch: &PendingBatch) {
        let records = batch.records();
        let stream = self.stream.saturating_sub(wide(records.len()));
        self.catalog.active_mut().rows.batch(batch.first(), place.offset, stream, records);
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
        self.extend(target)
    }

    /// Writes zeros from the end of the active file to `target`.
    fn extend(&mut self, target: u64) -> Result<(), IoError> {
        let (from, to) = (to_block(self.file_len), to_block(target));
        if from < to {
            write_zeros(&*self.blocks, from, to).map_err(IoError::at("write", &self.name))?;
            self.file_len = to;
        }
        Ok(())
    }

    /// Writes zeros ahead, and syncs them, so that this many bytes find room that was written
    /// before: in the active segment and, as files that have another name until their turn comes,
    /// in the next ones.
    pub(crate) fn reserve(&mut self, bytes: u64) -> Result<(), IoError> {
        let wanted = self.end.offset.saturating_add(bytes);
        if wanted > self.file_len {
            self.extend(wanted.min(self.segment_bytes))?;
            self.sync()?;
        }
        let prepared = self.prepared.iter().fold(0_u64, |sum, len| sum.saturating_add(*len));
        let room = self.segment_bytes.saturating_add(prepared);
        let mut rest = wanted.saturating_sub(room);
        while rest > 0 {
            let len = to_block(self.segment_bytes.min(rest));
            self.prepare(len)?;
            rest = rest.saturating_sub(len);
        }
        Ok(())
    }

    /// Makes a file of `len` zeros that a later segment will be made of.
    fn prepare(&mut self, len: u64) -> Result<(), IoError> {
        let ahead = u32::try_from(self.prepared.len()).unwrap_or(u32::MAX).saturating_add(1);
        let name = prepared_name(self.end.segment.saturating_add(ahead));
        let file = self.storage.create(&name).map_err(IoError::at("create", &name))?;
        let blocks = self.storage.open_blocks(&name).map_err(IoError::at("open", &name))?;
        write_zeros(&*blocks, 0, len).map_err(IoError::at("write", &name))?;
        file.sync_data().map_err(IoError::at("sync", &name))?;
        self.prepared.push_back(len);
        Ok(())
    }

    /// Seals the active segment and begins the next one, whose first record will be `first`. Each
    /// step is on disk before the next: a segment that exists proves that the former one is whole,
    /// and one that holds a batch has its header.
    fn rotate(&mut self, first: Lsn) -> Result<(), IoError> {
        let hashing = Arc::clone(&self.hashing);
        // No batch of the next segment is in the tree: who puts one in has the writer.
        let mut chain = hashing.settle().map_err(IoError::at("hash", &self.name))?;
        let previous_end = self.seal(&mut chain)?;
        let number = self.end.segment.saturating_add(1);
        let frontier = chain.settle().clone();
        chain.begin_segment();
        drop(chain);
        let header = SegmentHeader { first, previous_end, book: self.book, frontier };
        let prepared = self.prepared.pop_front();
        let (file, name) = match prepared {
            Some(_) => name_segment(&*self.storage, number, &header)?,
            None => create_segment(&*self.storage, number, &header)?,
        };
        self.blocks = self.storage.open_blocks(&name).map_err(IoError::at("open", &name))?;
        self.tail.clear();
        self.file = file;
        self.name = name;
        self.end = Place { segment: number, offset: BATCHES_AT };
        self.file_len = prepared.unwrap_or(BATCHES_AT);
        *self.catalog.active_mut() = Active { segment: number, first, rows: Rows::default() };
        trace::began_segment(number, first);
        Ok(())
    }

    /// Writes the footer of the active segment behind its last batch, takes back the space written
    /// ahead, and syncs all; returns where the file ends.
    fn seal(&mut self, chain: &mut Chain) -> Result<u64, IoError> {
        let stream = chain.settle().stream_len();
        debug_assert_eq!(stream, self.stream, "all that was written was hashed");
        let seal = Seal {
            owner: self.owner(),
            place: self.end,
            groups: chain.groups(),
            last: self.written,
            stream,
            synced: self.synced.last,
        };
        let footer = footer::encode(&self.catalog.active().rows, &seal).unwrap_or_default();
        let end = self.end.offset.saturating_add(wide(footer.len()));
        let written = self.file.write_all_at(&footer, self.end.offset);
        written.map_err(IoError::at("write", &self.name))?;
        if self.file_len > end {
            self.file.set_len(end).map_err(IoError::at("shorten", &self.name))?;
        }
        self.sync()?;
        Ok(end)
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
        if !planted(Bug::ClosedBeforeSync) {
            self.trim()?;
        }
        for ahead in 1..=u32::try_from(self.prepared.len()).unwrap_or(u32::MAX) {
            let name = prepared_name(self.end.segment.saturating_add(ahead));
            self.storage.remove(&name).map_err(IoError::at("remove", &name))?;
        }
        let mut chain = self.hashing.settle().map_err(IoError::at("hash", &self.name))?;
        let frontier = chain.settle();
        let manifest = Manifest {
            state: BookState::Closed,
            synced: self.end,
            last: self.written,
            stream: frontier.stream_len(),
            book: self.book,
            head: frontier.root(),
        };
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

/// The first multiple of the block size at or after an offset.
fn to_block(offset: u64) -> u64 {
    offset.checked_next_multiple_of(BLOCK).unwrap_or(offset)
}

/// Writes zeros from one multiple of the block size to another.
fn write_zeros(blocks: &dyn StorageFile, from: u64, to: u64) -> io::Result<()> {
    let piece = narrow(to.saturating_sub(from).min(FILL_BYTES_MAX));
    let zeros = BlockBuffer::zeroed(piece);
    let mut at = from;
    while at < to {
        let len = narrow(to.saturating_sub(at)).min(piece);
        blocks.write_all_at(zeros.bytes().get(..len).unwrap_or_default(), at)?;
        at = at.saturating_add(wide(len));
    }
    Ok(())
}

/// What a file of zeros is called before it becomes a segment.
fn prepared_name(number: u32) -> String {
    format!("{}{NEW}", segment_name(number))
}

/// What the name of such a file ends with.
const NEW: &str = ".new";

/// Removes what was prepared and did not become a segment, because of a crash.
pub(crate) fn remove_prepared(storage: &dyn Storage) -> Result<(), IoError> {
    for name in storage.list().map_err(IoError::at("list", "the book"))? {
        if name.strip_suffix(NEW).is_some_and(|name| segment_number(name).is_some()) {
            storage.remove(&name).map_err(IoError::at("remove", &name))?;
        }
    }
    Ok(())
}

/// Creates a segment without a batch, on disk with its name.
pub(crate) fn create_segment(
    storage: &dyn Storage,
    number: u32,
    header: &SegmentHeader,
) -> Result<(Box<dyn StorageFile>, String), IoError> {
    let name = segment_name(number);
    let file = storage.create(&name).map_err(IoError::at("create", &name))?;
    file.write_all_at(&header.encode(number), 0).map_err(IoError::at("write", &name))?;
    if !planted(Bug::SegmentSyncedWithBatch) {
        file.sync_data().map_err(IoError::at("sync", &name))?;
    }
    if !planted(Bug::DirectorySyncLeftOut) {
        storage.sync_dir().map_err(IoError::at("sync", "the directory of the book"))?;
    }
    Ok((file, name))
}

/// Makes a segment without a batch of a file that was prepared. Its header is on disk before it has
/// its name; up to then it is of no account, and removed when the book is opened after a crash.
fn name_segment(
    storage: &dyn Storage,
    number: u32,
    header: &SegmentHeader,
) -> Result<(Box<dyn StorageFile>, String), IoError> {
    let (name, prepared) = (segment_name(number), prepared_name(number));
    let file = storage.open(&prepared, Access::Write).map_err(IoError::at("open", &prepared))?;
    file.write_all_at(&header.encode(number), 0).map_err(IoError::at("write", &prepared))?;
    file.sync_data().map_err(IoError::at("sync", &prepared))?;
    storage.rename(&prepared, &name).map_err(IoError::at("rename", &prepared))?;
    storage.sync_dir().map_err(IoError::at("sync", "the directory of the book"))?;
    Ok((file, name))
}
