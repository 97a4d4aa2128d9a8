//! The primitives that group commit is made of, so that a model checker can take their place.
//!
//! With `--cfg loom` they are those of loom, which runs every order in which threads may take turns
//! (see `tests/loom`). What is not here is not modelled: a storage, and the index of places, are
//! used by whoever has the writer.

/// For what is not modelled.
pub(crate) use std::sync::Mutex as PlainMutex;
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicU8, Ordering},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicU8, Ordering},
};

/// Puts the thread that made it to sleep. An `unpark` that comes first lets the next `park` return
/// at once; `park` may return without one.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Parker(std::thread::Thread);

#[cfg(not(loom))]
impl Parker {
    pub(crate) fn new() -> Self {
        Self(std::thread::current())
    }

    pub(crate) fn park(&self) {
        std::thread::park();
    }

    pub(crate) fn unpark(&self) {
        self.0.unpark();
    }
}

/// The same for the model, whose own `unpark` would also wake a thread that waits for a lock.
#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Parker {
    unparked: Mutex<bool>,
    changed: Condvar,
}

#[cfg(loom)]
impl Parker {
    pub(crate) fn new() -> Self {
        Self { unparked: Mutex::new(false), changed: Condvar::new() }
    }

    pub(crate) fn park(&self) {
        use std::sync::PoisonError;
        let mut unparked = self.unparked.lock().unwrap_or_else(PoisonError::into_inner);
        while !*unparked {
            unparked = self.changed.wait(unparked).unwrap_or_else(PoisonError::into_inner);
        }
        *unparked = false;
    }

    pub(crate) fn unpark(&self) {
        use std::sync::PoisonError;
        *self.unparked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}
