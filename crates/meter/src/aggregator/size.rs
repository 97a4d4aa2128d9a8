//! What an aggregator takes of memory, and room made ahead.

use super::Aggregator;
use crate::kernel::events::PARTS;
use crate::kernel::usage::Part;

/// What is to come, for [`Aggregator::reserve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capacity {
    /// Events, and so identifiers.
    pub events: usize,
    /// Customers.
    pub customers: usize,
    /// Pairs of a customer and a meter.
    pub series: usize,
    /// Triples of a customer, a meter and an hour.
    pub hours: usize,
}

/// The memory of an aggregator, in bytes, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Memory {
    /// Identifiers that are remembered.
    pub identifiers: usize,
    /// What they take: 16 bytes each, kept with the event, and the index.
    pub identifier_bytes: usize,
    /// Events that are kept.
    pub events: usize,
    /// What they take besides their identifiers' bits: when, how much, whose, the list of their
    /// hour, and the texts of identifiers that are no numbers.
    pub event_bytes: usize,
    /// Hours of a customer on a meter.
    pub hours: usize,
    /// What their sums and their index take.
    pub hour_bytes: usize,
    /// Customers.
    pub customers: usize,
    /// What customers and their series take.
    pub customer_bytes: usize,
    /// What alerts take.
    pub alert_bytes: usize,
}

impl Memory {
    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.identifier_bytes
            .saturating_add(self.event_bytes)
            .saturating_add(self.hour_bytes)
            .saturating_add(self.customer_bytes)
            .saturating_add(self.alert_bytes)
    }
}

impl Aggregator {
    /// Makes room ahead, so that nothing has to grow on the way. The memory of the indexes is
    /// touched here. An aggregator that has events already grows by itself.
    pub fn reserve(&mut self, capacity: Capacity) {
        let Capacity { events, customers, series, hours } = capacity;
        self.events.reserve(events);
        self.customers.reserve(customers);
        // Parts differ by the customers that they have, the heaviest of them more than by chance.
        let share = |all: usize| all.div_ceil(PARTS).saturating_add(all / 300).saturating_add(64);
        for part in &mut self.usage {
            let subjects = customers.div_ceil(PARTS);
            part.reserve(subjects, share(series), share(hours), share(events));
        }
    }

    /// Moves events that came longest ago to a file, 16,384 of them in a call, where more than
    /// `keep` events are in memory; how many bytes of memory that freed. No answer changes: call it
    /// after each batch for as long as it says more than 0.
    ///
    /// Events that were cancelled or corrected since are in memory again.
    ///
    /// # Errors
    /// Those of the system, for one when the disk is full; the events are in memory still.
    #[cfg(feature = "spill")]
    pub fn spill(
        &mut self,
        file: &mut crate::spill::SpillFile,
        keep: usize,
    ) -> std::io::Result<usize> {
        self.events.spill(file, keep)
    }

    /// What the aggregator takes of memory.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let identifiers = self.events.identifiers();
        // The bits of those whose events have left memory have left with them.
        let own = identifiers.min(self.events.in_memory()).saturating_mul(16);
        let links: usize = self.usage.iter().map(Part::link_bytes).sum();
        let series: usize = self.usage.iter().map(Part::series_bytes).sum();
        let known = self.known_in.capacity().saturating_mul(4);
        let known = known.saturating_add(self.scratch.bytes());
        Memory {
            identifiers,
            identifier_bytes: self.events.index_bytes().saturating_add(own),
            events: self.events.len(),
            event_bytes: self.events.event_bytes().saturating_add(links).saturating_sub(own),
            hours: self.usage.iter().map(Part::hours).sum(),
            hour_bytes: self.usage.iter().map(Part::hour_bytes).sum(),
            customers: self.customers.customers(),
            customer_bytes: self.customers.bytes().saturating_add(series).saturating_add(known),
            alert_bytes: self.alert_bytes(),
        }
    }
}
