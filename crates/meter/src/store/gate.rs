//! The lock of the meters: one call at a time changes them, and readers come in between.
//!
//! A call holds the *intake* from its first event to its last, and with it the lock of the meters
//! while it changes something. Who reads at a cut needs only that lock; who wants to see the meters
//! between two calls shares the intake.

use super::inner::Kernel;
use super::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, wait_a_moment};
use std::sync::{PoisonError, TryLockError};

/// A thread panicked in the middle of a change.
pub(super) struct Panicked;

impl<T> From<PoisonError<T>> for Panicked {
    fn from(_: PoisonError<T>) -> Self {
        Self
    }
}

pub(super) struct Gate {
    /// Held by whoever changes the meters, and shared by those who must see no change half done.
    intake: RwLock<()>,
    kernel: RwLock<Kernel>,
}

/// The right to change the meters.
pub(super) struct Entry<'a> {
    pub(super) kernel: RwLockWriteGuard<'a, Kernel>,
    /// Given back after the other one.
    _intake: RwLockWriteGuard<'a, ()>,
}

/// The meters between two calls.
pub(super) struct Whole<'a> {
    pub(super) kernel: RwLockReadGuard<'a, Kernel>,
    _intake: RwLockReadGuard<'a, ()>,
}

impl Gate {
    pub(super) fn new(kernel: Kernel) -> Self {
        Self { intake: RwLock::new(()), kernel: RwLock::new(kernel) }
    }

    /// The meters, perhaps in the middle of a call: up to [`Kernel::last`] they are whole.
    pub(super) fn look(&self) -> Result<RwLockReadGuard<'_, Kernel>, Panicked> {
        let mut turn = 0_u32;
        loop {
            match self.kernel.try_read() {
                Ok(kernel) => return Ok(kernel),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Poisoned(_)) => return Err(Panicked),
            }
            if !wait_a_moment(turn) {
                return Ok(self.kernel.read()?);
            }
            turn = turn.wrapping_add(1);
        }
    }

    /// The meters between two calls, for whoever does not read at a cut.
    pub(super) fn whole(&self) -> Result<Whole<'_>, Panicked> {
        // Who panics in a change leaves the other lock poisoned too.
        let intake = self.intake.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Whole { kernel: self.kernel.read()?, _intake: intake })
    }

    /// The meters, to be changed by one call.
    pub(super) fn enter(&self) -> Result<Entry<'_>, Panicked> {
        let intake = self.intake.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Entry { kernel: self.kernel.write()?, _intake: intake })
    }
}
