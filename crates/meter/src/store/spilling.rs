//! Moving events out of memory as they come.

use super::{Spill, Spilled, StoreOpenError};
use crate::{Aggregator, SpillFile};

/// The file, and how many events stay in memory.
pub(super) struct Spilling {
    file: SpillFile,
    keep: usize,
    failed: Option<String>,
}

impl Spilling {
    pub(super) fn begin(options: &Spill) -> Result<Self, StoreOpenError> {
        let directory = options.directory.clone();
        let file = SpillFile::create(&directory)
            .map_err(|error| StoreOpenError::Spill { directory, error })?;
        Ok(Self { file, keep: options.keep_events, failed: None })
    }

    /// Moves what is too much. After an error, all that comes stays in memory.
    pub(super) fn spill(&mut self, meters: &mut Aggregator) {
        while self.failed.is_none() {
            match meters.spill(&mut self.file, self.keep) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => self.failed = Some(error.to_string()),
            }
        }
    }

    pub(super) fn spilled(&self) -> Spilled {
        Spilled { bytes: self.file.bytes(), failed: self.failed.clone() }
    }
}
