//! The events that were taken, in parts by identifier: each part has its events in the order in
//! which they came, and an index of the identifiers that are remembered.
#![expect(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "event numbers are 32 bits by construction and places are smaller"
)]

use super::chunk::Chunk;
use super::identity::Key;
use super::index::{Index, Spot};
use super::memory::prefetch;
use crate::columns::StringColumn;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parts of the events, and of usage: what one thread works on alone is some of them.
pub(crate) const PARTS: usize = 8;
const PART_BITS: u32 = PARTS.trailing_zeros();
/// How many events ahead the memory of the next one is asked for.
const AHEAD: usize = 3;
/// Events of a chunk: 768 KiB.
const CHUNK: usize = 1 << 14;
/// Events that one part can number.
const PART_EVENTS_MAX: usize = 1 << (32 - PART_BITS);

/// The number of an event: its place in its part, and the part. [`EventNo::NONE`] is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct EventNo(pub(crate) u32);

impl EventNo {
    /// Never given: a part stops one short of its numbers.
    pub(crate) const NONE: Self = Self(u32::MAX);

    #[inline(always)]
    const fn new(part: usize, place: usize) -> Self {
        Self((place as u32) << PART_BITS | part as u32)
    }

    #[inline(always)]
    const fn part(self) -> usize {
        self.0 as usize % PARTS
    }

    #[inline(always)]
    const fn place(self) -> usize {
        (self.0 >> PART_BITS) as usize
    }
}

/// The unit of [`Event::units`]: millionths, which is what most usage is metered in.
pub(crate) const UNIT: i128 = 1_000_000;
/// In place of units where a value is no whole number of them, or too large: it stands apart.
pub(crate) const WIDE: i64 = i64::MIN;

/// An event as it is kept: 48 bytes.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "spill", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub(crate) struct Event {
    /// What its identifier is told apart by.
    pub(crate) identifier: [u64; 2],
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    /// The value in millionths, or [`WIDE`].
    pub(crate) units: i64,
    pub(crate) subject: u32,
    /// With [`Event::row`] the order of receipt.
    pub(crate) epoch: u32,
    pub(crate) row: u32,
    pub(crate) meter: u16,
    pub(crate) flags: u16,
}

const _: () = assert!(size_of::<Event>() == 48);

impl Event {
    pub(super) const EMPTY: Self = Self {
        identifier: [0; 2],
        time: 0,
        units: 0,
        subject: 0,
        epoch: 0,
        row: 0,
        meter: 0,
        flags: 0,
    };
    /// It was taken back; [`Events::cancelled_at`] says when.
    pub(crate) const CANCELLED: u16 = 1;
    /// Its identifier is a text, which stands apart.
    pub(crate) const TEXT: u16 = 2;
    /// Its value was replaced; [`Events::corrections`] has the ones before.
    pub(crate) const CORRECTED: u16 = 4;

    /// When it was received, among all events.
    #[inline(always)]
    pub(crate) const fn receipt(&self) -> u64 {
        (self.epoch as u64) << 32 | self.row as u64
    }

    pub(crate) const fn is_cancelled(&self) -> bool {
        self.flags & Self::CANCELLED != 0
    }
}

/// The events of one part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    number: usize,
    key: Key,
    index: Index,
    /// Full chunks. Copies share them until one writes.
    chunks: Vec<Chunk>,
    /// Chunks before this one are in a file, or were.
    #[cfg(feature = "spill")]
    spilled: usize,
    /// The chunk that is being filled: not shared, as asking whether it is costs more than an
    /// event.
    open: Vec<Event>,
    /// Empty chunks, touched ahead.
    spare: Vec<Vec<Event>>,
    len: usize,
    /// The first event whose identifier may still be remembered.
    remembered_from: usize,
    /// Values in trillionths that are no units, by place.
    wide: BTreeMap<u32, i128>,
    /// The places of events whose identifiers are texts, ascending, and the texts.
    text_places: Vec<u32>,
    texts: StringColumn,
    /// The epoch in which each cancelled event was taken back, by place.
    cancelled: BTreeMap<u32, u32>,
    /// For each corrected event the epochs in which its value was replaced, ascending, with the
    /// value before, in trillionths; by place.
    corrections: BTreeMap<u32, Vec<(u32, i128)>>,
}

/// All events.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    pub(crate) parts: Vec<Part>,
}

impl Part {
    /// Whether the part has numbers left for so many more events.
    pub(crate) fn has_room_for(&self, events: usize) -> bool {
        // The last numbers say what became of a row that is no event.
        self.len.saturating_add(events) < PART_EVENTS_MAX - 4
    }

    /// Where an identifier belongs, good until [`Self::moves`] grows.
    #[inline(always)]
    pub(crate) fn spot(&self, place: u64) -> Spot {
        self.index.spot(place)
    }

    #[inline(always)]
    pub(crate) fn moves(&self) -> u32 {
        self.index.moves()
    }

    /// Asks for the memory of a spot.
    #[inline(always)]
    pub(crate) fn prefetch(&self, spot: Spot) {
        self.index.prefetch(spot);
    }

    /// The last event with an identifier, remembered or not, by its spot.
    #[inline(always)]
    pub(crate) fn find_at(&self, spot: Spot, place: u64, identifier: [u64; 2]) -> Option<EventNo> {
        let same =
            |row: u32| self.event(row as usize).is_some_and(|event| event.identifier == identifier);
        self.index.find_at(spot, place, same).map(|row| EventNo::new(self.number, row as usize))
    }

    #[inline(always)]
    fn event(&self, place: usize) -> Option<&Event> {
        event_at(&self.chunks, &self.open, place)
    }

    fn event_mut(&mut self, place: usize) -> Option<&mut Event> {
        match self.chunks.get_mut(place / CHUNK) {
            Some(chunk) => chunk.make_mut().get_mut(place % CHUNK),
            None => self.open.get_mut(place % CHUNK),
        }
    }

    /// The last event with an identifier, remembered or not.
    pub(crate) fn find(&self, place: u64, identifier: [u64; 2]) -> Option<EventNo> {
        self.find_at(self.index.spot(place), place, identifier)
    }

    /// Takes an event in whose identifier is in use by `before`, if by any. It is filled where it
    /// lies: made elsewhere and copied, it would wait until all that was written before is in the
    /// cache.
    #[inline(always)]
    pub(crate) fn push(
        &mut self,
        spot: Spot,
        place: u64,
        before: Option<EventNo>,
        fill: impl FnOnce(&mut Event),
    ) -> EventNo {
        let new = self.len;
        if self.open.len() >= CHUNK {
            self.seal();
        }
        self.open.push(Event::EMPTY);
        if let Some(event) = self.open.last_mut() {
            fill(event);
        }
        if let Some(ahead) = self.open.spare_capacity_mut().get(AHEAD) {
            prefetch(ahead);
        }
        self.len = new.wrapping_add(1);
        match before {
            None => {
                let Self { index, chunks, open, key, .. } = self;
                index.insert_at(spot, place, new as u32, |row| {
                    let event = event_at(chunks, open, row as usize);
                    event.map_or(0, |event| key.place(event.identifier))
                });
            }
            Some(before) => self.index.replace(place, before.place() as u32, new as u32),
        }
        EventNo::new(self.number, new)
    }

    #[cold]
    fn seal(&mut self) {
        let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK));
        self.chunks.push(Chunk::Memory(Arc::new(std::mem::replace(&mut self.open, next))));
    }

    /// Full chunks that are in memory and were never moved.
    #[cfg(feature = "spill")]
    fn unspilled(&self) -> usize {
        self.chunks.len().saturating_sub(self.spilled)
    }

    /// An event of this part and the value in trillionths that it came with.
    pub(crate) fn get(&self, number: EventNo) -> Option<(&Event, i128)> {
        let event = self.event(number.place())?;
        Some((event, self.value_at(number, event, 0)))
    }

    fn value_at(&self, number: EventNo, event: &Event, epoch: u32) -> i128 {
        if event.flags & Event::CORRECTED != 0 {
            let corrections = self.corrections.get(&(number.place() as u32));
            let mut corrections = corrections.into_iter().flatten();
            // An event is corrected after it came, so the first epoch has what it came with.
            let later = |&&(at, _): &&(u32, i128)| at > epoch.max(event.epoch);
            if let Some(&(_, before)) = corrections.find(later) {
                return before;
            }
        }
        self.value(number, event)
    }

    fn value(&self, number: EventNo, event: &Event) -> i128 {
        if event.units != WIDE {
            return i128::from(event.units).saturating_mul(UNIT);
        }
        self.wide.get(&(number.place() as u32)).copied().unwrap_or_default()
    }

    /// Notes the text of the identifier of the last event.
    pub(crate) fn note_text(&mut self, text: &str) {
        if self.texts.has_room_for(text.len()) {
            self.text_places.push(self.len.wrapping_sub(1) as u32);
            self.texts.push(text);
        }
    }

    /// Notes the value of the last event where it is no units.
    pub(crate) fn note_wide(&mut self, trillionths: i128) {
        self.wide.insert(self.len.wrapping_sub(1) as u32, trillionths);
    }

    /// Forgets the identifiers of events for which `old` holds, from the oldest on.
    #[inline]
    pub(crate) fn forget(&mut self, old: impl Fn(&Event) -> bool) {
        while self.remembered_from < self.len {
            let place = self.remembered_from;
            let Some(event) = self.event(place).filter(|event| old(event)) else { return };
            let home = self.key.place(event.identifier);
            self.index.remove(home, place as u32);
            self.remembered_from = place.wrapping_add(1);
        }
    }
}

#[inline(always)]
fn event_at<'a>(chunks: &'a [Chunk], open: &'a [Event], place: usize) -> Option<&'a Event> {
    match chunks.get(place / CHUNK) {
        Some(chunk) => chunk.get(place % CHUNK),
        None => open.get(place.checked_sub(chunks.len() * CHUNK)?),
    }
}

impl Events {
    pub(crate) fn new(key: Key) -> Self {
        let parts = (0..PARTS).map(|number| Part { number, key, ..Part::default() });
        Self { parts: parts.collect() }
    }

    /// The part of an identifier, by its place in the index.
    #[inline(always)]
    pub(crate) const fn part_of(place: u64) -> usize {
        (place >> 12) as usize % PARTS
    }

    #[inline(always)]
    pub(crate) fn get(&self, number: EventNo) -> Option<&Event> {
        self.parts.get(number.part())?.event(number.place())
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len).sum()
    }

    /// Identifiers that are remembered.
    pub(crate) fn identifiers(&self) -> usize {
        self.parts.iter().map(|part| part.index.len()).sum()
    }

    /// Events that are in memory.
    pub(crate) fn in_memory(&self) -> usize {
        let part = |part: &Part| {
            let full = part.chunks.iter().filter(|chunk| chunk.bytes() > 0).count();
            full * CHUNK + part.open.len()
        };
        self.parts.iter().map(part).sum()
    }

    /// Bytes of the indexes of identifiers.
    pub(crate) fn index_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.index.bytes()).sum()
    }

    /// Bytes of the events themselves.
    pub(crate) fn event_bytes(&self) -> usize {
        let part = |part: &Part| {
            let chunks = part.chunks.iter().map(Chunk::bytes).sum::<usize>();
            let rest = part.spare.iter().chain([&part.open]).map(Vec::capacity).sum::<usize>();
            let text = part.texts.text.capacity().saturating_add(part.texts.ends.capacity() * 8);
            chunks + rest * size_of::<Event>() + text + part.wide.len() * 32
        };
        self.parts.iter().map(part).sum()
    }

    /// Moves the oldest full chunk to a file where more than `keep` events are in full chunks in
    /// memory; how many bytes that were.
    #[cfg(feature = "spill")]
    pub(crate) fn spill(
        &mut self,
        file: &mut crate::spill::SpillFile,
        keep: usize,
    ) -> std::io::Result<usize> {
        let unspilled = self.parts.iter().map(Part::unspilled).sum::<usize>();
        if unspilled.saturating_mul(CHUNK) <= keep {
            return Ok(0);
        }
        let Some(part) = self.parts.iter_mut().max_by_key(|part| part.unspilled()) else {
            return Ok(0);
        };
        let Some(chunk) = part.chunks.get_mut(part.spilled) else { return Ok(0) };
        let bytes = chunk.spill(file)?;
        part.spilled = part.spilled.wrapping_add(1);
        Ok(bytes)
    }

    /// Makes room for so many more events. The memory is touched here.
    pub(crate) fn reserve(&mut self, events: usize) {
        // Parts differ by chance.
        let share = events / PARTS;
        let share = share.saturating_add(share / 100).saturating_add(64);
        for part in &mut self.parts {
            part.index.reserve(share);
            if part.len == 0 {
                part.spare.resize_with(share.div_ceil(CHUNK), Vec::new);
                for chunk in &mut part.spare {
                    chunk.resize(CHUNK.min(share), Event::EMPTY);
                    chunk.clear();
                }
            }
        }
    }

    /// The value of an event in trillionths.
    pub(crate) fn value(&self, number: EventNo, event: &Event) -> i128 {
        self.parts.get(number.part()).map_or(0, |part| part.value(number, event))
    }

    /// The text of the identifier of an event where it is a text.
    pub(crate) fn text(&self, number: EventNo) -> Option<&str> {
        let part = self.parts.get(number.part())?;
        let row = part.text_places.binary_search(&(number.place() as u32)).ok()?;
        part.texts.as_strings().get(row)
    }

    /// The epoch in which an event was taken back.
    pub(crate) fn cancelled_at(&self, number: EventNo) -> Option<u32> {
        let part = self.parts.get(number.part())?;
        part.cancelled.get(&(number.place() as u32)).copied()
    }

    /// Takes an event back; `false` where it was before or there is none.
    pub(crate) fn cancel(&mut self, number: EventNo, epoch: u32) -> bool {
        let Some(part) = self.parts.get_mut(number.part()) else { return false };
        let place = number.place();
        let Some(event) = part.event_mut(place) else { return false };
        if event.is_cancelled() {
            return false;
        }
        event.flags |= Event::CANCELLED;
        part.cancelled.insert(place as u32, epoch);
        true
    }

    /// The value of an event in trillionths at the end of an epoch.
    #[inline(always)]
    pub(crate) fn value_at(&self, number: EventNo, event: &Event, epoch: u32) -> i128 {
        match event.flags & Event::CORRECTED {
            0 => self.value(number, event),
            _ => {
                self.parts.get(number.part()).map_or(0, |part| part.value_at(number, event, epoch))
            }
        }
    }

    /// The epochs in which the value of an event was replaced, each with the value before.
    pub(crate) fn corrections(&self, number: EventNo) -> &[(u32, i128)] {
        let part = self.parts.get(number.part());
        let own = part.and_then(|part| part.corrections.get(&(number.place() as u32)));
        own.map(Vec::as_slice).unwrap_or_default()
    }

    /// Replaces the value of an event; `false` where it was taken back or there is none.
    pub(crate) fn correct(&mut self, number: EventNo, epoch: u32, units: i64, wide: i128) -> bool {
        let Some(part) = self.parts.get_mut(number.part()) else { return false };
        let place = number.place();
        let Some(event) = part.event(place).copied().filter(|event| !event.is_cancelled()) else {
            return false;
        };
        let before = part.value(number, &event);
        part.corrections.entry(place as u32).or_default().push((epoch, before));
        match units {
            WIDE => part.wide.insert(place as u32, wide),
            _ => part.wide.remove(&(place as u32)),
        };
        if let Some(event) = part.event_mut(place) {
            event.units = units;
            event.flags |= Event::CORRECTED;
        }
        true
    }

    /// Whether an event was taken and not yet taken back at the end of an epoch.
    #[inline(always)]
    pub(crate) fn is_live(&self, number: EventNo, event: &Event, epoch: u32) -> bool {
        event.epoch <= epoch
            && (!event.is_cancelled() || self.cancelled_at(number).is_some_and(|at| at > epoch))
    }

    /// Every event in the order of receipt.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (EventNo, &Event)> {
        let mut next = [0_usize; PARTS];
        std::iter::from_fn(move || {
            let heads = self.parts.iter().zip(&next).filter_map(|(part, &place)| {
                Some((EventNo::new(part.number, place), part.event(place)?))
            });
            let first = heads.min_by_key(|(_, event)| event.receipt())?;
            if let Some(place) = next.get_mut(first.0.part()) {
                *place = place.wrapping_add(1);
            }
            Some(first)
        })
    }

    /// The same events, to be read by number and in order: nothing is found by identifier.
    pub(crate) fn without_indexes(&self) -> Self {
        let part = |part: &Part| Part {
            number: part.number,
            key: part.key,
            index: Index::default(),
            chunks: part.chunks.clone(),
            #[cfg(feature = "spill")]
            spilled: part.spilled,
            open: part.open.clone(),
            spare: Vec::new(),
            len: part.len,
            remembered_from: part.remembered_from,
            wide: part.wide.clone(),
            text_places: part.text_places.clone(),
            texts: part.texts.clone(),
            cancelled: part.cancelled.clone(),
            corrections: part.corrections.clone(),
        };
        Self { parts: self.parts.iter().map(part).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::identity::{Identifier, halves};

    #[test]
    fn events_are_found_by_identifier_until_they_are_forgotten() {
        let key = Key::default();
        let mut events = Events::new(key);
        let identifier = |n: u128| key.identifier(0, Identifier::Number(n));
        let event = |n: u32| Event {
            identifier: identifier(n.into()),
            time: 0,
            units: n.into(),
            subject: 0,
            epoch: n / 1000,
            row: n % 1000,
            meter: 0,
            flags: 0,
        };
        let mut numbers = Vec::new();
        for n in 0..600_000_u32 {
            let place = key.place(identifier(n.into()));
            let part = &mut events.parts[Events::part_of(place)];
            assert_eq!(part.find(place, identifier(n.into())), None);
            let spot = part.spot(place);
            numbers.push(part.push(spot, place, None, |own| *own = event(n)));
        }
        let find = |events: &Events, n: u32| {
            let place = key.place(identifier(n.into()));
            events.parts[Events::part_of(place)].find(place, identifier(n.into()))
        };
        for (n, &number) in (0..).zip(&numbers) {
            assert_eq!(find(&events, n), Some(number));
            assert_eq!(events.get(number).unwrap().units, i64::from(n));
        }
        assert!(events.cancel(numbers[5], 700) && !events.cancel(numbers[5], 701));
        let cancelled = *events.get(numbers[5]).unwrap();
        assert!(events.is_live(numbers[5], &cancelled, 699));
        assert!(!events.is_live(numbers[5], &cancelled, 700));
        events.parts.iter_mut().for_each(|part| part.forget(|event| event.epoch < 100));
        assert_eq!(events.identifiers(), 500_000);
        assert_eq!(find(&events, 99_999), None);
        assert_eq!(find(&events, 100_000), Some(numbers[100_000]));
        assert_eq!(events.len(), 600_000);
        assert_ne!(halves(1 << 64), halves(1));
    }
}
