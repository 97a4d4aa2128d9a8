//! Tickets: calls that were judged, or wait to be, and are not acknowledged yet.

use super::StoreError;
use super::gather::Results;
use super::inner::Inner;
use crate::{Admission, AlertTriggered, EventRefusal, Outcome, Position, RefusedEvent};
use counterfoil_log::Durability;
use std::fmt;
use std::sync::Arc;

/// The acknowledgement of a batch, or of a cancellation: what it came to is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ack {
    /// A position up to which everything is on disk: that of the batch's record, or, where nothing
    /// of it was taken, that of the last record before.
    pub position: Position,
    /// Events taken.
    pub taken: u64,
    /// Events whose identifier was taken before.
    pub duplicates: u64,
    /// Those of the duplicates whose content differs from the first.
    pub conflicts: u64,
    /// Events refused, ascending by index. None of them used up its identifier.
    pub refused: Vec<RefusedEvent>,
    /// One for each event, where they were asked for.
    pub outcomes: Option<Vec<Outcome>>,
    /// The alerts that it set off, by alert and customer.
    pub alerts: Vec<AlertTriggered>,
}

/// The acknowledgement of a single event: what it came to is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventAck {
    /// A position up to which everything is on disk, the event included if it was taken.
    pub position: Position,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused, where it was.
    pub refused: Option<EventRefusal>,
}

/// An acknowledgement of what the system has and the disk may not: it outlives this process, and
/// is lost with the power.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relaxed<A>(pub A);

/// A batch that was judged and is not acknowledged. Dropping it takes nothing back.
#[must_use = "nothing is acknowledged before `wait` has returned"]
pub struct Ticket {
    inner: Arc<Inner>,
    ack: Ack,
}

impl Ticket {
    pub(super) fn new(inner: &Arc<Inner>, position: u64, admission: Admission) -> Self {
        let Admission { taken, duplicates, conflicts, refused, outcomes, alerts, .. } = admission;
        let position = Position(position);
        let ack = Ack { position, taken, duplicates, conflicts, refused, outcomes, alerts };
        Self { inner: Arc::clone(inner), ack }
    }

    /// Returns when it is on disk. The caller may be the one who writes it, with all that waits.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`]; then nobody knows whether it is on disk: open the store again and
    /// send it again. [`StoreError::Closed`].
    pub fn wait(self) -> Result<Ack, StoreError> {
        self.inner.wait(self.ack.position.0, Durability::Synced)?;
        Ok(self.ack)
    }

    /// Returns when the system has it, without a sync.
    ///
    /// # Errors
    /// As [`Ticket::wait`].
    pub fn wait_buffered(self) -> Result<Relaxed<Ack>, StoreError> {
        self.inner.wait(self.ack.position.0, Durability::Buffered)?;
        Ok(Relaxed(self.ack))
    }

    /// Whether it is on disk. This writes nothing: somebody must wait.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.inner.reached(Durability::Synced) >= self.ack.position.0
    }

    /// Its position.
    #[must_use]
    pub fn position(&self) -> Position {
        self.ack.position
    }
}

/// A single event that was given and is not acknowledged. Dropping it takes nothing back.
#[must_use = "nothing is acknowledged before `wait` has returned"]
pub struct EventTicket {
    portal: Arc<Portal>,
    results: Arc<Results>,
    row: usize,
}

/// A store as the tickets of one shard hold it. To count holders of one and the same would take
/// longer, where threads on several processors do so, than all else that a ticket takes.
#[repr(align(128))]
pub(super) struct Portal {
    pub(super) inner: Arc<Inner>,
}

impl EventTicket {
    pub(super) fn new(portal: &Arc<Portal>, results: Arc<Results>, row: usize) -> Self {
        Self { portal: Arc::clone(portal), results, row }
    }

    /// Returns when it is on disk. The caller may be the one who writes it, with all that waits.
    ///
    /// # Errors
    /// As [`Ticket::wait`].
    pub fn wait(self) -> Result<EventAck, StoreError> {
        self.reach(Durability::Synced)
    }

    /// Returns when the system has it, without a sync.
    ///
    /// # Errors
    /// As [`Ticket::wait`].
    pub fn wait_buffered(self) -> Result<Relaxed<EventAck>, StoreError> {
        self.reach(Durability::Buffered).map(Relaxed)
    }

    /// Whether it is on disk. This writes nothing: somebody must wait.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.is_reached(Durability::Synced)
    }

    fn is_reached(&self, durability: Durability) -> bool {
        let judged = self.results.position();
        judged.is_some_and(|position| self.portal.inner.reached(durability) >= position)
    }

    fn reach(&self, durability: Durability) -> Result<EventAck, StoreError> {
        let inner = &self.portal.inner;
        loop {
            if let Some(position) = self.results.position()
                && inner.reached(durability) >= position
            {
                let (outcome, refused) = self.results.outcome(self.row);
                return Ok(EventAck { position: Position(position), outcome, refused });
            }
            inner.check()?;
            inner.advance(durability, || self.is_reached(durability))?;
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("ack", &self.ack).finish_non_exhaustive()
    }
}

impl fmt::Debug for EventTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventTicket").field("row", &self.row).finish_non_exhaustive()
    }
}
