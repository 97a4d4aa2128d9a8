//! The events of a meter in chunks, so that a copy of all of them costs next to nothing.

use super::usage::{Event, Ordinal};
use std::sync::Arc;

/// Events of a chunk.
const CHUNK: usize = 4096;

/// Every event ever taken, by ordinal. Clones share the chunks until one of them writes: at most
/// the last chunk, and one for a cancellation, are copied then.
#[derive(Debug, Clone, Default)]
pub(super) struct Events {
    /// Each but the last is full.
    chunks: Vec<Arc<Vec<Event>>>,
    len: usize,
}

impl Events {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, ordinal: Ordinal) -> Option<&Event> {
        self.chunks.get(ordinal / CHUNK)?.get(ordinal % CHUNK)
    }

    pub(super) fn get_mut(&mut self, ordinal: Ordinal) -> Option<&mut Event> {
        Arc::make_mut(self.chunks.get_mut(ordinal / CHUNK)?).get_mut(ordinal % CHUNK)
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::default());
        }
        if let Some(chunk) = self.chunks.last_mut() {
            Arc::make_mut(chunk).push(event);
            self.len = self.len.saturating_add(1);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Event> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}
