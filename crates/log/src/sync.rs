//! The primitives that group commit is made of, so that a model checker can take their place.
//!
//! With `--cfg loom` they are those of loom, which runs every order in which threads may take turns
//! (see `tests/loom`). What is not here is not modelled: a storage, and the index of places, are
//! used by whoever has the writer.

#[cfg(not(loom))]
pub(crate) use std::{
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
    thread::{Thread, current, park},
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
    thread::{Thread, current, park},
};
