//! Reads a book and says what is in it, changing nothing. Opening and verifying both begin here, so
//! that they can never disagree: opening reads the manifest and the last segment, verifying reads
//! everything, in the same way.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use crate::{
    Frontier, Lsn, TailCut,
    batch::{BatchCursor, BatchHeader, Frame, frame_at, later_mark, next_header},
    buffer::BLOCK_BYTES,
    bugs::{Bug, planted},
    bytes::{narrow, wide},
    catalog::Active,
    chain::Chain,
    error::{Damage, DamageReason, IoError, OpenError},
    footer::{self, FooterHeader, Seal},
    header::{BookId, Owner, Place},
    index::Rows,
    limits::{DAMAGE_LISTED_MAX, READ_AHEAD_BYTES, SURVEY_BYTES},
    manifest::{BookState, MANIFEST, MANIFEST_NEW, Manifest},
    segment::{BATCHES_AT, SegmentHeader, Window, segment_name},
    shelf::{Archived, open_segment, shelved_number},
    storage::{Access, Storage},
};

/// What a book holds.
pub(crate) struct Survey {
    pub(crate) manifest: Manifest,
    pub(crate) segments: u32,
    /// Segments of which only a stub was there.
    pub(crate) archived: u32,
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) events: u64,
    /// Bytes of all segments that were read up to where their batches end.
    pub(crate) bytes: u64,
    /// The last segment: its first record, and the rows of its indexes.
    pub(crate) active: Active,
    /// The hash tree at the end.
    pub(crate) chain: Chain,
    /// Where the batches of the last segment end: where the next one goes, unless it is sealed.
    pub(crate) end: Place,
    /// The last record.
    pub(crate) last: Lsn,
    /// The highest synced-through mark.
    pub(crate) marked: Lsn,
    /// Where in the last segment the bytes begin that no mark says are synced; `end` if none.
    pub(crate) unsynced_from: u64,
    /// Where the footer of the last segment ends, if it has a whole one, and the length of the file.
    pub(crate) sealed: Option<(u64, u64)>,
    /// A broken batch at the end, which a crash explains.
    pub(crate) tail: Option<TailCut>,
    /// A segment after `end` that a crash left without its header. Nothing was written to it.
    pub(crate) unfinished: Option<u32>,
    /// What no crash explains.
    pub(crate) damage: Vec<Damage>,
}

/// How much is read, and how much damage is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The last segment, to the first damaged place: enough to open the book, or to refuse it.
    Last,
    /// Everything, and at most [`DAMAGE_LISTED_MAX`] places.
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
    let numbers: BTreeSet<u32> = names.iter().filter_map(|name| shelved_number(name)).collect();
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
    let own = |name: &String| name == MANIFEST || shelved_number(name).is_some();
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
    /// Whether hash tree and rows are those of the book: not behind damage, until a segment begins.
    tree_known: bool,
    /// The segment that was looked at last, and the length of its file.
    previous: (u32, u64),
    /// The batches of this segment that no mark covers yet: last record, and where each begins.
    unmarked: VecDeque<(Lsn, u64)>,
}

impl<'s> Walk<'s> {
    fn new(storage: &'s dyn Storage, depth: Depth, manifest: Manifest, last_segment: u32) -> Self {
        let marked = manifest.last;
        let owner = Owner::of(&manifest.book);
        let survey = Survey {
            manifest,
            segments: 0,
            archived: 0,
            batches: 0,
            records: 0,
            events: 0,
            bytes: 0,
            active: Active { segment: 0, first: Lsn::ZERO.next(), rows: Rows::default() },
            chain: Chain::default(),
            end: Place { segment: 0, offset: 0 },
            last: Lsn::ZERO,
            marked,
            unsynced_from: 0,
            sealed: None,
            tail: None,
            unfinished: None,
            damage: Vec::new(),
        };
        Self {
            storage,
            depth,
            survey,
            last_segment,
            due: Some(Lsn::ZERO.next()),
            synced_passed: false,
            owner,
            tree_known: true,
            previous: (0, 0),
            unmarked: VecDeque::new(),
        }
    }

    fn book(&mut self, numbers: &BTreeSet<u32>) -> Result<(), Halt> {
        let mut number_due: u32 = 1;
        for &number in numbers {
            if number != number_due {
                self.damaged(number_due, 0, DamageReason::Missing)?;
                self.due = None;
            }
            if self.depth == Depth::All {
                self.segment(number)?;
            }
            number_due = number.saturating_add(1);
        }
        let synced = self.survey.manifest.synced;
        if self.last_segment < synced.segment {
            self.damaged(synced.segment, 0, DamageReason::Missing)?;
        }
        if self.depth == Depth::Last {
            self.last()?;
        }
        Ok(())
    }

    /// Reads the last segment, or the one before if a crash left the last without its header.
    fn last(&mut self) -> Result<(), Halt> {
        self.enter_late(self.last_segment)?;
        self.segment(self.last_segment)?;
        if self.survey.unfinished.is_some() {
            let number = self.last_segment.saturating_sub(1);
            self.enter_late(number)?;
            self.segment(number)?;
        }
        // Each segment was numbered from 1, and all are there.
        self.survey.segments = self.survey.end.segment;
        Ok(())
    }

    /// Begins with a later segment than the first: what its header says of those before is taken
    /// for true, but for what can be seen without reading them.
    fn enter_late(&mut self, number: u32) -> Result<(), Halt> {
        self.due = None;
        self.tree_known = false;
        if number > 1 {
            let name = segment_name(number.saturating_sub(1));
            let number = number.saturating_sub(1);
            let file = open_segment(self.storage, number).map_err(IoError::at("open", &name))?;
            let len = file.len().map_err(IoError::at("read", &name))?;
            self.previous = (number, len);
        }
        if self.survey.manifest.synced.segment < number {
            self.synced_passed = true;
        }
        Ok(())
    }

    fn segment(&mut self, number: u32) -> Result<(), Halt> {
        let name = segment_name(number);
        let file = open_segment(self.storage, number).map_err(IoError::at("open", &name))?;
        let len = file.len().map_err(IoError::at("read", &name))?;
        let mut window = Window::new(Arc::from(file), len, SURVEY_BYTES);
        if !self.segment_header(number, &mut window)? || self.is_archived(number, &mut window)? {
            return Ok(());
        }
        self.survey.segments = self.survey.segments.saturating_add(1);
        self.survey.unsynced_from = 0;
        self.survey.sealed = None;
        self.unmarked.clear();
        let end = self.batches(number, &mut window)?;
        self.survey.end = Place { segment: number, offset: end };
        self.survey.bytes = self.survey.bytes.saturating_add(end);
        if self.survey.batches > 0 {
            self.survey.unsynced_from = self.unmarked.front().map_or(end, |(_, offset)| *offset);
        }
        self.segment_end(number, end, len)
    }

    /// Whether the records of the segment are in an archive that is not attached. Then only what the
    /// stub has of it is checked.
    fn is_archived(&mut self, number: u32, window: &mut Window) -> Result<bool, Halt> {
        match window.get(BATCHES_AT, 1) {
            Err(error) if Archived::of(&error).is_some() => {}
            _ => return Ok(false),
        }
        self.survey.segments = self.survey.segments.saturating_add(1);
        self.survey.archived = self.survey.archived.saturating_add(1);
        self.previous = (number, window.limit());
        self.synced_passed |= number == self.survey.manifest.synced.segment;
        let failed = |error| IoError::at("read", &segment_name(number))(error);
        let found = match footer::find(window, self.owner, number).map_err(failed)? {
            Ok((place, header)) => {
                footer::check(window, self.owner, place, &header).map_err(failed)?.map(drop)
            }
            Err(broken) => Err(broken),
        };
        if let Err((offset, reason)) = found {
            self.damaged(number, offset, reason)?;
        }
        self.due = None;
        self.tree_known = false;
        Ok(true)
    }

    /// Whether the segment has a header, or must be read as if it had.
    fn segment_header(&mut self, number: u32, window: &mut Window) -> Result<bool, Halt> {
        let name = segment_name(number);
        let failed = |error| IoError::at("read", &name)(error);
        let len = BLOCK_BYTES.min(narrow(window.limit()));
        let bytes = window.get(0, len).map_err(failed)?.unwrap_or_default();
        let header = match SegmentHeader::decode(bytes, number) {
            Ok(header) => header,
            Err(reason) => {
                let content = window.content_end(BATCHES_AT).map_err(failed)?;
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
                return Ok(true);
            }
        };
        let due = self.due.replace(header.first);
        let known = std::mem::replace(&mut self.tree_known, true) && due.is_some();
        let before = self.survey.chain.settle().clone();
        let wrong = self.misfit(number, &header, due, known.then_some(&before));
        self.survey.chain = Chain::new(header.frontier);
        self.survey.active = Active { segment: number, first: header.first, rows: Rows::default() };
        self.survey.last = header.first.previous();
        self.survey.marked = self.survey.marked.max(header.first.previous());
        if let Some(reason) = wrong {
            self.damaged(number, 0, reason)?;
        }
        Ok(true)
    }

    /// What of a header does not fit what comes before it.
    fn misfit(
        &self,
        number: u32,
        header: &SegmentHeader,
        due: Option<Lsn>,
        before: Option<&Frontier>,
    ) -> Option<DamageReason> {
        let Manifest { synced, last, stream, book, .. } = self.survey.manifest;
        if header.book != book {
            return Some(DamageReason::OtherBook);
        }
        let (previous, len) = self.previous;
        if previous == number.saturating_sub(1) && header.previous_end != len {
            return Some(DamageReason::HeaderForm("the segment before has another length"));
        }
        if let Some(expected) = due.filter(|due| *due != header.first) {
            return Some(DamageReason::FirstLsn { found: header.first, expected });
        }
        let later = synced.segment < number;
        let other = before.is_some_and(|before| *before != header.frontier);
        if other && !planted(Bug::TreeNotChecked)
            || (later && header.frontier.stream_len() < stream)
        {
            return Some(DamageReason::Tree);
        }
        (later && header.first <= last).then_some(DamageReason::EndsEarly { synced: last })
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
                Frame::Footer(header) => match self.footer(place, header, window)? {
                    Ok(()) => return Ok(place.offset),
                    Err(broken) => broken,
                },
                Frame::Batch(header) => match self.batch(place, header, window)? {
                    Ok(()) => {
                        place.offset = place.offset.saturating_add(header.frame_len());
                        continue;
                    }
                    Err(broken) => broken,
                },
            };
            if planted(Bug::CutAtFirstBadBatch) || self.tail_may_be_torn(place, broken.1, window)? {
                let end = window.content_end(place.offset).map_err(failed)?;
                let bytes = end.saturating_sub(place.offset);
                let file = segment_name(number);
                self.survey.tail = Some(TailCut { file, offset: place.offset, bytes });
                return Ok(place.offset);
            }
            self.damaged(number, broken.0, broken.1)?;
            self.due = None;
            let later = next_header(window, self.owner, number, place.offset).map_err(failed)?;
            match later {
                Some((offset, header)) => {
                    place.offset = offset;
                    self.due = Some(header.first);
                }
                None => return Ok(place.offset),
            }
        }
    }

    /// Whether a crash explains this: it lies in the last segment of an open book, and no record
    /// from there on is known to be synced, whatever says so.
    fn tail_may_be_torn(
        &mut self,
        place: Place,
        reason: DamageReason,
        window: &mut Window,
    ) -> Result<bool, Halt> {
        let Some(due) = self.due else { return Ok(false) };
        let may_be = reason.may_be_torn() && self.may_be_cut(place) && self.survey.marked < due;
        if !may_be {
            return Ok(false);
        }
        let name = segment_name(place.segment);
        let mark = later_mark(window, self.owner, place.segment, place.offset);
        let mark = mark.map_err(IoError::at("read", &name))?;
        self.survey.marked = self.survey.marked.max(mark);
        Ok(mark < due)
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
        let mark = self.survey.active.rows.mark();
        let events = match self.records(place, header, window)? {
            Ok(events) => events,
            Err(broken) => {
                self.survey.active.rows.rewind(mark);
                return Ok(Err(broken));
            }
        };
        let survey = &mut self.survey;
        survey.batches = survey.batches.saturating_add(1);
        survey.records = survey.records.saturating_add(u64::from(header.count));
        survey.events = survey.events.saturating_add(events);
        survey.last = header.last();
        survey.marked = survey.marked.max(header.synced);
        let marked = survey.marked;
        self.unmarked.push_back((header.last(), place.offset));
        while self.unmarked.front().is_some_and(|(last, _)| *last <= marked) {
            self.unmarked.pop_front();
        }
        self.due = Some(header.last().next());
        Ok(Ok(()))
    }

    /// Checks the records of a batch and takes them into rows and tree, or says where and how one is
    /// broken. Returns the number of their entries. They are hashed from the buffer that they were
    /// read into, a run of them each time that it is used up: so they are still in the cache.
    fn records(
        &mut self,
        place: Place,
        header: BatchHeader,
        window: &mut Window,
    ) -> Result<Result<u64, (u64, DamageReason)>, Halt> {
        let failed = |error| IoError::at("read", &segment_name(place.segment))(error);
        // A torn batch is cut, and the tree goes on without it: such a batch is checked before any
        // of it is hashed. Behind a broken one anywhere else the tree is known no more.
        let may_be_cut = self.may_be_cut(place);
        if may_be_cut {
            window.get(place.offset, narrow(header.frame_len())).map_err(failed)?;
        }
        let Survey { active, chain, .. } = &mut self.survey;
        active.rows.begin_batch(header.first, place.offset, header.stream);
        let mut hash_run = |window: &mut Window, from: u64, to: u64| {
            let run = window.get(from, narrow(to.saturating_sub(from))).map_err(failed)?;
            chain.take(run.unwrap_or_default());
            Ok::<(), Halt>(())
        };
        let mut cursor = BatchCursor::new(header, place.offset);
        let mut run_from = cursor.offset();
        let mut events: u64 = 0;
        loop {
            let at = cursor.offset();
            if !may_be_cut && at > run_from && !cursor.is_held(window) {
                hash_run(window, run_from, at)?;
                run_from = at;
            }
            match cursor.advance(window).map_err(failed)? {
                Ok(Some(view)) => {
                    events = events.saturating_add(wide(view.entries));
                    active.rows.record(&view);
                }
                Ok(None) => break,
                Err(reason) => return Ok(Err((at, reason))),
            }
        }
        hash_run(window, run_from, cursor.offset())?;
        Ok(Ok(events))
    }

    /// Whether a crash could explain a broken batch at this place.
    fn may_be_cut(&self, place: Place) -> bool {
        self.survey.manifest.state == BookState::Open && place.segment == self.last_segment
    }

    /// Checks the footer of a segment, or says where and how it is broken.
    fn footer(
        &mut self,
        place: Place,
        header: FooterHeader,
        window: &mut Window,
    ) -> Result<Result<(), (u64, DamageReason)>, Halt> {
        let name = segment_name(place.segment);
        let failed = |error| IoError::at("read", &name)(error);
        let end = match footer::check(window, self.owner, place, &header).map_err(failed)? {
            Ok(end) => end,
            Err(broken) => return Ok(Err(broken)),
        };
        if self.tree_known && self.due.is_some() {
            let stream = self.survey.chain.settle().stream_len();
            let seal = Seal {
                owner: self.owner,
                place,
                groups: self.survey.chain.groups(),
                last: self.survey.last,
                stream,
                synced: header.synced,
            };
            let rows = &self.survey.active.rows;
            if !footer::says(window, header.len(), rows, &seal).map_err(failed)? {
                let reason = DamageReason::FooterForm("it is not that of its segment");
                return Ok(Err((place.offset, reason)));
            }
        }
        self.survey.marked = self.survey.marked.max(header.synced);
        let len = window.limit();
        if window.content_end(end).map_err(failed)? > end {
            return Ok(Err((end, DamageReason::AfterEnd)));
        }
        self.survey.sealed = Some((end, len));
        Ok(Ok(()))
    }

    /// Compares what was read so far with the manifest, where that names this place.
    fn pass(&mut self, place: Place) -> Result<(), Halt> {
        let Manifest { synced, last, stream, head, .. } = self.survey.manifest;
        if place != synced {
            return Ok(());
        }
        self.synced_passed = true;
        let Some(due) = self.due else { return Ok(()) };
        let frontier = self.survey.chain.settle();
        let other = frontier.stream_len() != stream || frontier.root() != head;
        if due != last.next() {
            self.damaged(place.segment, place.offset, DamageReason::EndsEarly { synced: last })?;
        } else if self.tree_known && other && !planted(Bug::TreeNotChecked) {
            self.damaged(place.segment, place.offset, DamageReason::Tree)?;
        }
        Ok(())
    }

    fn segment_end(&mut self, number: u32, end: u64, len: u64) -> Result<(), Halt> {
        let Manifest { state, synced, last, .. } = self.survey.manifest;
        let whole = self.due.is_some();
        self.previous = (number, len);
        if number == synced.segment && !self.synced_passed && whole {
            self.damaged(number, end, DamageReason::EndsEarly { synced: last })?;
        }
        let closed_here = state == BookState::Closed && number == synced.segment;
        if closed_here && number < self.last_segment {
            self.damaged(number.saturating_add(1), 0, DamageReason::AfterEnd)?;
        }
        if closed_here {
            if whole && (len > synced.offset || self.survey.sealed.is_some()) {
                self.damaged(number, synced.offset, DamageReason::AfterEnd)?;
            }
        } else if number < self.last_segment && whole {
            match self.survey.sealed {
                None => self.damaged(number, end, DamageReason::FooterMissing)?,
                Some((sealed, len)) if len > sealed => {
                    self.damaged(number, sealed, DamageReason::AfterEnd)?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn damaged(&mut self, segment: u32, offset: u64, reason: DamageReason) -> Result<(), Halt> {
        self.survey.damage.push(Damage { file: segment_name(segment), offset, reason });
        self.tree_known = false;
        let enough = match self.depth {
            Depth::Last => 1,
            Depth::All => DAMAGE_LISTED_MAX,
        };
        if self.survey.damage.len() >= enough { Err(Halt::Enough) } else { Ok(()) }
    }
}
