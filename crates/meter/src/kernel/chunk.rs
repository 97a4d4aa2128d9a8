//! Events of a full chunk: in memory, or in a file that is mapped.

use super::events::Event;
#[cfg(feature = "spill")]
use crate::spill::{Extent, SpillFile};
use std::ops::Deref;
use std::sync::Arc;

/// Copies share it until one writes.
#[derive(Debug, Clone)]
pub(super) enum Chunk {
    Memory(Arc<Vec<Event>>),
    #[cfg(feature = "spill")]
    File(Extent),
}

impl Deref for Chunk {
    type Target = [Event];

    #[inline(always)]
    fn deref(&self) -> &[Event] {
        match self {
            Self::Memory(events) => events,
            #[cfg(feature = "spill")]
            Self::File(extent) => extent.rows(),
        }
    }
}

impl Chunk {
    /// The events to be written to; what was in a file is in memory from here on.
    pub(super) fn make_mut(&mut self) -> &mut [Event] {
        #[cfg(feature = "spill")]
        if let Self::File(extent) = self {
            *self = Self::Memory(Arc::new(extent.rows().to_vec()));
        }
        match self {
            Self::Memory(events) => Arc::make_mut(events).as_mut_slice(),
            #[cfg(feature = "spill")]
            Self::File(_) => &mut [],
        }
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Memory(events) => events.capacity().saturating_mul(size_of::<Event>()),
            #[cfg(feature = "spill")]
            Self::File(_) => 0,
        }
    }

    /// Moves the events to a file; how many bytes that were.
    #[cfg(feature = "spill")]
    pub(super) fn spill(&mut self, file: &mut SpillFile) -> std::io::Result<usize> {
        let Self::Memory(events) = self else { return Ok(0) };
        let extent = file.keep::<Event>(events)?;
        let bytes = self.bytes();
        *self = Self::File(extent);
        Ok(bytes)
    }
}
