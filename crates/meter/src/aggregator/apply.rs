//! The second phase of ingest: taking in a block that is logged. Cannot fail.

use super::{Aggregator, Position};
use crate::Block;
use std::sync::Arc;

impl Aggregator {
    /// Takes in a block that was logged at a position. Positions ascend from 1, as 0 stands for
    /// before any block; several blocks of one record share one. A block below the last position
    /// was applied before and is passed over, as is one of a meter that was never defined.
    ///
    /// The block is trusted: that its events were judged is history, and replaying it under other
    /// rules must not change it.
    pub fn apply(&mut self, position: Position, block: &Block) {
        if position < self.position() {
            return;
        }
        if self.positions.last() != Some(&position) {
            self.positions.push(position);
        }
        let Some(meter) = self.meters.get_mut(block.meter()) else { return };
        let meter = Arc::make_mut(meter);
        for event in block.events() {
            meter.take(event, block.received_at(), position);
        }
        for identifier in block.cancelled() {
            meter.cancel(identifier, position);
        }
        meter.forget(block.received_at(), self.policy);
    }
}
