//! Reads a whole book and says what is in it, changing nothing. Opening and verifying both begin
//! here, so that they can never disagree.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    Lsn, TailCut,
    batch::{BatchCursor, BatchHeader, Frame, frame_at, next_header},
    buffer::BLOCK_BYTES,
    bugs::{Bug, planted},
    bytes::narrow,
    chain::Chain,
    error::{Damage, DamageReason, IoError, OpenError},
    header::{BookId, Owner, Place},
    index::Index,
    limits::{DAMAGE_LISTED_MAX, READ_AHEAD_BYTES},
    manifest::{BookState, MANIFEST, MANIFEST_NEW, Manifest},
    segment::{BATCHES_AT, SegmentHeader, Window, segment_name, segment_number},
    storage::{Access, Storage},
};

/// What a book holds.
pub(crate) struct Survey {
    pub(crate) manifest: Manifest,
    pub(crate) segments: u32,
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) events: u64,
    /// Bytes of all segments up to where their batches end.
    pub(crate) bytes: u64,
    pub(crate) index: Index,
    /// The hash tree at the end.
    pub(crate) chain: Chain,
    /// Where the next batch goes.
    pub(crate) end: Place,
    /// The last record.
    pub(crate) last: Lsn,
    /// From where on no mark says that the last segment is synced; `end` if all of it is. Without
    /// a batch that vouches for what is before it, not even the header is sure to be on disk.
    pub(crate) unsynced_from: u64,
    /// A broken batch at the end, which a crash explains.
    pub(crate) tail: Option<TailCut>,
    /// A segment after `end` that a crash left without its header. Nothing was written to it.
    pub(crate) unfinished: Option<u32>,
    /// What no crash explains.
    pub(crate) damage: Vec<Damage>,
}

/// How much damage is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// To the first damaged place: enough to refuse the book.
    First,
    /// To the end, at most [`DAMAGE_LISTED_MAX`] places.
    All,
}

/// What is in the storage.
pub(crate) enum Found {
    /// Nothing, or what an interrupted creation left: these files.
    New(Vec<String>),
    /// A book.
    Book(Box<Survey>),
}

/// Reads the whole book.
pub(crate) fn survey(storage: &dyn Storage, depth: Depth) -> Result<Found, OpenError> {
    let names = storage.list().map_err(IoError::at("list", "the book"))?;
    let numbers: BTreeSet<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
    let mut damage = Vec::new();
    let manifest = if names.iter().any(|name| name == MANIFEST) {
        match Manifest::read(storage) {
            Err(OpenError::Damaged(found)) => {
                damage.push(found);
                Manifest::initial(BookId::default())
            }
            other => other?,
        }
    } else {
        if left_by_creation(storage, &names, &numbers)? {
            return Ok(Found::New(names));
        }
        damage.push(Damage { file: MANIFEST.to_owned(), offset: 0, reason: DamageReason::Missing });
        Manifest::initial(BookId::default())
    };
    let mut walk = Walk::new(storage, depth, manifest, numbers.last().copied().unwrap_or(0));
    walk.survey.damage = damage;
    if depth == Depth::All || walk.survey.damage.is_empty() {
        match walk.book(&numbers) {
            Ok(()) | Err(Halt::Enough) => {}
            Err(Halt::Io(error)) => return Err(error.into()),
        }
    }
    Ok(Found::Book(Box::new(walk.survey)))
}

/// Refuses a storage that holds other files and nothing of a book.
///
/// # Errors
/// [`OpenError::NotABook`] naming one of them.
pub(crate) fn refuse_foreign(names: &[String]) -> Result<(), OpenError> {
    let own = |name: &String| name == MANIFEST || segment_number(name).is_some();
    if names.iter().any(own) {
        return Ok(());
    }
    match names.iter().find(|name| *name != MANIFEST_NEW) {
        Some(name) => {
            Err(OpenError::NotABook { found: format!("it holds {name} and no {MANIFEST}") })
        }
        None => Ok(()),
    }
}

/// Whether a storage without a manifest is empty, or was left so by a creation that a crash
/// interrupted: the manifest comes last, so no more than a first segment without a batch is there.
fn left_by_creation(
    storage: &dyn Storage,
    names: &[String],
    numbers: &BTreeSet<u32>,
) -> Result<bool, OpenError> {
    refuse_foreign(names)?;
    match (numbers.first(), numbers.len()) {
        (None, _) => Ok(true),
        (Some(1), 1) => {
            let name = segment_name(1);
            let file = storage.open(&name, Access::Read).map_err(IoError::at("open", &name))?;
            let len = file.len().map_err(IoError::at("read", &name))?;
            let mut window = Window::new(Arc::from(file), len, READ_AHEAD_BYTES);
            let end = window.content_end(BATCHES_AT).map_err(IoError::at("read", &name))?;
            Ok(end == BATCHES_AT)
        }
        _ => Ok(false),
    }
}

/// Why a walk ends before the end of the book.
enum Halt {
    Io(IoError),
    /// As much damage was found as was looked for.
    Enough,
}

impl From<IoError> for Halt {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

struct Walk<'s> {
    storage: &'s dyn Storage,
    depth: Depth,
    survey: Survey,
    last_segment: u32,
    /// The record that is due; `None` behind damage, where any may come.
    due: Option<Lsn>,
    /// Whether the place that the manifest names was passed.
    synced_passed: bool,
    owner: Owner,
    /// Whether the hash tree is that of the book: not behind damage, until a segment begins.
    tree_known: bool,
    /// The records of the batch that is being read.
    records: Vec<u8>,
}

impl<'s> Walk<'s> {
    fn new(storage: &'s dyn Storage, depth: Depth, manifest: Manifest, last_segment: u32) -> Self {
        let survey = Survey {
            manifest,
            segments: 0,
            batches: 0,
            records: 0,
            events: 0,
            bytes: 0,
            index: Index::default(),
            chain: Chain::default(),
            end: Place { segment: 0, offset: 0 },
            last: Lsn::ZERO,
            unsynced_from: 0,
            tail: None,
            unfinished: None,
            damage: Vec::new(),
        };
        let due = Some(Lsn::ZERO.next());
        let owner = Owner::of(&survey.manifest.book);
        let records = Vec::new();
        Self {
            storage,
            depth,
            survey,
            last_segment,
            due,
            synced_passed: false,
            owner,
            tree_known: true,
            records,
        }
    }

    fn book(&mut self, numbers: &BTreeSet<u32>) -> Result<(), Halt> {
        let mut number_due: u32 = 1;
        for &number in numbers {
            if number != number_due {
                self.damaged(number_due, 0, DamageReason::Missing)?;
                self.due = None;
            }
            self.segment(number)?;
            number_due = number.saturating_add(1);
        }
        let synced = self.survey.manifest.synced;
        if self.last_segment < synced.segment {
            self.damaged(synced.segment, 0, DamageReason::Missing)?;
        }
        Ok(())
    }

    fn segment(&mut self, number: u32) -> Result<(), Halt> {
        let name = segment_name(number);
        let file = self.storage.open(&name, Access::Read).map_err(IoError::at("open", &name))?;
        let len = file.len().map_err(IoError::at("read", &name))?;
        let mut window = Window::new(Arc::from(file), len, READ_AHEAD_BYTES);
        if !self.segment_header(number, &mut window)? {
            return Ok(());
        }
        self.survey.segments = self.survey.segments.saturating_add(1);
        self.survey.unsynced_from = 0;
        let end = self.batches(number, &mut window)?;
        self.survey.end = Place { segment: number, offset: end };
        self.survey.bytes = self.survey.bytes.saturating_add(end);
        self.segment_end(number, end, len)
    }

    /// Whether the segment has a header, or must be read as if it had.
    fn segment_header(&mut self, number: u32, window: &mut Window) -> Result<bool, Halt> {
        let name = segment_name(number);
        let bytes = window
            .get(0, BLOCK_BYTES.min(narrow(window.limit())))
            .map_err(IoError::at("read", &name))?
            .unwrap_or_default();
        match SegmentHeader::decode(bytes, number) {
            Ok(header) => {
                let due = self.due.replace(header.first);
                let known = std::mem::replace(&mut self.tree_known, true) && due.is_some();
                let chain =
                    std::mem::replace(&mut self.survey.chain, Chain::new(header.frontier.clone()))
                        .settle()
                        .clone();
                if header.book != self.survey.manifest.book {
                    self.damaged(number, 0, DamageReason::OtherBook)?;
                } else if let Some(expected) = due.filter(|due| *due != header.first) {
                    let reason = DamageReason::FirstLsn { found: header.first, expected };
                    self.damaged(number, 0, reason)?;
                } else if due.is_some() && header.previous_end != self.survey.end.offset {
                    let reason = DamageReason::HeaderForm("the segment before has another length");
                    self.damaged(number, 0, reason)?;
                } else if known && header.frontier != chain && !planted(Bug::TreeNotChecked) {
                    self.damaged(number, 0, DamageReason::Tree)?;
                }
                Ok(true)
            }
            Err(reason) => {
                let content = window.content_end(BATCHES_AT).map_err(IoError::at("read", &name))?;
                if reason.may_be_torn()
                    && self.survey.manifest.state == BookState::Open
                    && number == self.last_segment
                    && number > self.survey.manifest.synced.segment
                    && content == BATCHES_AT
                {
                    self.survey.unfinished = Some(number);
                    return Ok(false);
                }
                self.damaged(number, 0, reason)?;
                self.due = None;
                Ok(true)
            }
        }
    }

    /// Walks over the batches of a segment; returns where they end.
    fn batches(&mut self, number: u32, window: &mut Window) -> Result<u64, Halt> {
        let failed = |error| IoError::at("read", &segment_name(number))(error);
        let mut place = Place { segment: number, offset: BATCHES_AT };
        loop {
            self.pass(place)?;
            let broken = match frame_at(window, self.owner, place).map_err(failed)? {
                Frame::End => return Ok(place.offset),
                Frame::Broken(reason) => (place.offset, reason),
                Frame::Batch(header) => match self.batch(place, header, window)? {
                    Ok(()) => {
                        place.offset = place.offset.saturating_add(header.frame_len());
                        continue;
                    }
                    Err(broken) => broken,
                },
            };
            let later = next_header(window, self.owner, number, place.offset).map_err(failed)?;
            if planted(Bug::CutAtFirstBadBatch)
                || later.is_none() && self.tail_may_be_torn(place, broken.1)
            {
                let end = window.content_end(place.offset).map_err(failed)?;
                let bytes = end.saturating_sub(place.offset);
                let file = segment_name(number);
                self.survey.tail = Some(TailCut { file, offset: place.offset, bytes });
                return Ok(place.offset);
            }
            self.damaged(number, broken.0, broken.1)?;
            self.due = None;
            match later {
                Some((offset, header)) => {
                    place.offset = offset;
                    self.due = Some(header.first);
                }
                None => return Ok(place.offset),
            }
        }
    }

    /// Whether a crash explains this: it is the end of an open book, beyond what was synced.
    fn tail_may_be_torn(&self, place: Place, reason: DamageReason) -> bool {
        let Manifest { state, synced, .. } = self.survey.manifest;
        let beyond = (place.segment, place.offset) >= (synced.segment, synced.offset);
        reason.may_be_torn()
            && state == BookState::Open
            && place.segment == self.last_segment
            && beyond
    }

    /// Checks a batch and counts it, or says where and how it is broken.
    fn batch(
        &mut self,
        place: Place,
        header: BatchHeader,
        window: &mut Window,
    ) -> Result<Result<(), (u64, DamageReason)>, Halt> {
        if let Some(expected) = self.due.filter(|due| *due != header.first) {
            let reason = DamageReason::FirstLsn { found: header.first, expected };
            return Ok(Err((place.offset, reason)));
        }
        let expected = self.survey.chain.stream_len();
        if self.tree_known && header.stream != expected {
            let reason = DamageReason::StreamPosition { found: header.stream, expected };
            return Ok(Err((place.offset, reason)));
        }
        self.records.clear();
        let name = segment_name(place.segment);
        let mut cursor = BatchCursor::new(header, place.offset);
        let mut events: u64 = 0;
        loop {
            let at = cursor.offset();
            match cursor.advance(window).map_err(IoError::at("read", &name))? {
                Ok(Some(view)) => {
                    events = events.saturating_add(crate::bytes::wide(view.entries));
                    self.records.extend_from_slice(view.bytes);
                }
                Ok(None) => break,
                Err(reason) => return Ok(Err((at, reason))),
            }
        }
        let survey = &mut self.survey;
        survey.batches = survey.batches.saturating_add(1);
        survey.records = survey.records.saturating_add(u64::from(header.count));
        survey.events = survey.events.saturating_add(events);
        survey.index.add(header.first, place);
        if header.synced == header.first.previous() {
            survey.unsynced_from = place.offset;
        }
        survey.last = header.last();
        survey.chain.take(&self.records);
        self.due = Some(header.last().next());
        Ok(Ok(()))
    }

    /// Compares what was read so far with the manifest, where that names this place.
    fn pass(&mut self, place: Place) -> Result<(), Halt> {
        let Manifest { synced, last, stream, head, .. } = self.survey.manifest;
        if place == synced {
            self.synced_passed = true;
            let Some(due) = self.due else { return Ok(()) };
            let frontier = self.survey.chain.settle();
            let reason = if due != last.next() {
                DamageReason::EndsEarly { synced: last }
            } else if self.tree_known
                && !planted(Bug::TreeNotChecked)
                && (frontier.stream_len() != stream || frontier.root() != head)
            {
                DamageReason::Tree
            } else {
                return Ok(());
            };
            self.damaged(place.segment, place.offset, reason)?;
        }
        Ok(())
    }

    fn segment_end(&mut self, number: u32, end: u64, len: u64) -> Result<(), Halt> {
        let Manifest { state, synced, last, .. } = self.survey.manifest;
        let whole = self.due.is_some();
        if number == synced.segment && !self.synced_passed && whole {
            self.damaged(number, end, DamageReason::EndsEarly { synced: last })?;
        }
        let closed_here = state == BookState::Closed && number == synced.segment;
        if closed_here && number < self.last_segment {
            self.damaged(number.saturating_add(1), 0, DamageReason::AfterEnd)?;
        }
        let limit = if closed_here { synced.offset } else { end };
        if (closed_here || number < self.last_segment) && whole && len > limit {
            self.damaged(number, limit, DamageReason::AfterEnd)?;
        }
        Ok(())
    }

    fn damaged(&mut self, segment: u32, offset: u64, reason: DamageReason) -> Result<(), Halt> {
        self.survey.damage.push(Damage { file: segment_name(segment), offset, reason });
        self.tree_known = false;
        let enough = match self.depth {
            Depth::First => 1,
            Depth::All => DAMAGE_LISTED_MAX,
        };
        if self.survey.damage.len() >= enough { Err(Halt::Enough) } else { Ok(()) }
    }
}
