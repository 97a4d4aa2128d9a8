//! The first half of taking events in: identifiers find their places, and events are kept.

use super::rows::Rows;
use super::take::{CONFLICT, DUPLICATE};
use super::{Epoch, remembers};
use crate::DedupePolicy;
use crate::kernel::events::{self, Event, EventNo, Events, PARTS};
use crate::kernel::identity::Key;
use crate::kernel::index::Spot;
use crate::kernel::usage::{self, Arrival};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many rows ahead the memory of one is asked for.
pub(super) const AHEAD: usize = 32;

/// What one thread works with.
#[derive(Debug, Default)]
pub(super) struct Worker {
    /// Rows of a window, by the part of their identifier.
    seekers: [Vec<Seeker>; PARTS],
    /// Events that were kept, by the part of their customer.
    pub(super) arrivals: [Vec<Arrival>; PARTS],
    pub(super) counts: Counts,
}

/// How many rows of a call became what.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// By meter.
    pub(super) taken: Vec<u64>,
    pub(super) duplicates: u64,
    pub(super) conflicts: u64,
}

impl Worker {
    pub(super) fn bytes(&self) -> usize {
        let seekers = self.seekers.iter().map(Vec::capacity).sum::<usize>();
        let arrivals = self.arrivals.iter().map(Vec::capacity).sum::<usize>();
        seekers
            .saturating_mul(size_of::<Seeker>())
            .saturating_add(arrivals.saturating_mul(size_of::<Arrival>()))
    }
}

/// A row on its way to its place: one line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Seeker {
    pub(super) identifier: [u64; 2],
    /// Where it belongs in the index.
    pub(super) place: u64,
    pub(super) time: i64,
    pub(super) units: i64,
    pub(super) subject: u32,
    pub(super) row: u32,
    pub(super) meter: u16,
    pub(super) flags: u16,
}

impl Seeker {
    /// Its time and millionths are judged.
    pub(super) const JUDGED: u16 = 1;
    /// Its identifier is a text that is no number.
    pub(super) const TEXT: u16 = 2;

    const EMPTY: Self = Self {
        identifier: [0; 2],
        place: 0,
        time: 0,
        units: 0,
        subject: 0,
        row: 0,
        meter: 0,
        flags: 0,
    };

    fn row(&self) -> usize {
        usize::try_from(self.row).unwrap_or(usize::MAX)
    }
}

/// Rows by the part of their identifier, as far as they belong to some of the parts.
pub(super) struct Queues<'a> {
    seekers: &'a mut [Vec<Seeker>; PARTS],
    /// The first of these parts, and how many they are.
    first: usize,
    parts: usize,
}

impl Queues<'_> {
    /// Adds a row, filled where it lies.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        key: &Key,
        row: usize,
        meter: u16,
        identifier: [u64; 2],
        fill: impl FnOnce(&mut Seeker),
    ) {
        let place = key.place(identifier);
        let part = Events::part_of(place);
        if part.wrapping_sub(self.first) >= self.parts {
            return;
        }
        if let Some(queue) = self.seekers.get_mut(part) {
            queue.push(Seeker::EMPTY);
            if let Some(own) = queue.last_mut() {
                (own.identifier, own.place, own.meter) = (identifier, place, meter);
                own.row = u32::try_from(row).unwrap_or(u32::MAX);
                fill(own);
            }
        }
    }
}

/// The first half: identifiers find their places, and events are kept.
pub(super) struct Placing<'a, R> {
    pub(super) rows: &'a R,
    pub(super) subjects: &'a [u32],
    pub(super) placed: &'a [AtomicU32],
    pub(super) policy: DedupePolicy,
    pub(super) key: Key,
    pub(super) epochs: &'a [Epoch],
    pub(super) epoch: u32,
}

impl<R: Rows> Placing<'_, R> {
    /// Places the rows whose identifiers belong to some of the parts.
    pub(super) fn place(
        &self,
        first: usize,
        parts: &mut [events::Part],
        worker: &mut Worker,
        range: Range<usize>,
    ) {
        let Worker { seekers, arrivals, counts } = worker;
        seekers.iter_mut().for_each(Vec::clear);
        arrivals.iter_mut().for_each(Vec::clear);
        let subjects = self.subjects.get(range.clone()).unwrap_or_default();
        let mut queues = Queues { seekers: &mut *seekers, first, parts: parts.len() };
        self.rows.seek(&self.key, range, subjects, &mut queues);
        for (part, seekers) in parts.iter_mut().zip(seekers.iter().skip(first)) {
            self.place_in(part, seekers, arrivals, counts);
        }
    }

    /// Places rows in their part. The memory of one is asked for while those before it find their
    /// places.
    #[expect(clippy::indexing_slicing, reason = "the ring is as long as what its index is cut to")]
    fn place_in(
        &self,
        part: &mut events::Part,
        seekers: &[Seeker],
        arrivals: &mut [Vec<Arrival>; PARTS],
        counts: &mut Counts,
    ) {
        let mut ring = [Spot::NONE; AHEAD];
        let ask = |part: &events::Part, spot: &mut Spot, seeker: &Seeker| {
            *spot = part.spot(seeker.place);
            part.prefetch(*spot);
        };
        seekers.iter().zip(&mut ring).for_each(|(seeker, spot)| ask(part, spot, seeker));
        let mut moves = part.moves();
        for (nth, seeker) in seekers.iter().enumerate() {
            if part.moves() != moves {
                // Lines moved, and with them what was asked for.
                let ahead = seekers.iter().enumerate().skip(nth).take(AHEAD);
                ahead.for_each(|(nth, own)| ring[nth % AHEAD] = part.spot(own.place));
                moves = part.moves();
            }
            let spot = ring[nth % AHEAD];
            if let Some(next) = seekers.get(nth.wrapping_add(AHEAD)) {
                ask(part, &mut ring[nth % AHEAD], next);
            }
            self.place_one(part, seeker, spot, arrivals, counts);
        }
    }

    #[inline(always)]
    fn place_one(
        &self,
        part: &mut events::Part,
        seeker: &Seeker,
        spot: Spot,
        arrivals: &mut [Vec<Arrival>; PARTS],
        counts: &mut Counts,
    ) -> Option<()> {
        let Seeker { identifier, place, subject, row, meter, flags, .. } = *seeker;
        let placed = self.placed.get(seeker.row())?;
        let before = part.find_at(spot, place, identifier);
        if let Some(repeats) = before.and_then(|before| self.repeats(part, before, seeker)) {
            let (repeated, count) = match repeats {
                true => (DUPLICATE, &mut counts.duplicates),
                false => (CONFLICT, &mut counts.conflicts),
            };
            placed.store(repeated, Relaxed);
            *count = count.wrapping_add(1);
            return None;
        }
        let (time, units) = match flags & Seeker::JUDGED {
            0 => self.rows.judge(seeker.row(), subject)?,
            _ => (seeker.time, seeker.units),
        };
        let text = flags & Seeker::TEXT != 0;
        let number = part.push(spot, place, before, |event| {
            event.identifier = identifier;
            event.time = time;
            event.units = units;
            event.subject = subject;
            event.epoch = self.epoch;
            event.row = row;
            event.meter = meter;
            event.flags = if text { Event::TEXT } else { 0 };
        });
        if text && let Some(text) = self.rows.text(seeker.row()) {
            part.note_text(text);
        }
        if units == events::WIDE {
            part.note_wide(self.rows.wide(seeker.row()));
        }
        placed.store(number.0, Relaxed);
        let taken = counts.taken.get_mut(usize::from(meter))?;
        *taken = taken.wrapping_add(1);
        let arrivals = arrivals.get_mut(usage::part_of(subject))?;
        arrivals.push(Arrival::NONE);
        let own = arrivals.last_mut()?;
        (own.time, own.units, own.number) = (time, units, number);
        (own.subject, own.row, own.meter) = (subject, row, meter);
        Some(())
    }

    /// Whether a row repeats the event that has its identifier; `None` where that is forgotten.
    #[cold]
    fn repeats(&self, part: &events::Part, before: EventNo, seeker: &Seeker) -> Option<bool> {
        let (event, value) = part.get(before)?;
        if !remembers(self.policy, self.epochs, event.epoch, self.now()?) {
            return None;
        }
        self.rows.repeats(seeker.row(), seeker.subject, event, value)
    }

    fn now(&self) -> Option<counterfoil_core::Timestamp> {
        let epoch = usize::try_from(self.epoch).ok()?;
        Some(self.epochs.get(epoch)?.received_at)
    }
}
