//! A thread that is lent to the log for hashing.

use std::{fmt, sync::Arc};

use crate::{error::LogError, group::Shared};

/// Hashes what a log writes, with a thread that the caller lends it: see [`Log::hasher`].
///
/// [`Log::hasher`]: crate::Log::hasher
pub struct Hasher {
    shared: Arc<Shared>,
}

impl Hasher {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// Hashes with the calling thread whatever is written, and sleeps in between, until the log is
    /// closed or dropped.
    ///
    /// # Errors
    /// [`LogError::Poisoned`] where the log has failed.
    pub fn run(self) -> Result<(), LogError> {
        self.shared.lend_for_hashing()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}
