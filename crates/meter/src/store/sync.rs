//! The primitives that the store is made of, so that a model checker can take their place.
//!
//! With `--cfg loom` they are those of loom, which runs every order in which threads may take turns
//! (see `tests/loom`). What is not here is not modelled: the kernel is used by whoever has it.

/// For what is not modelled.
pub(super) use std::sync::Mutex as PlainMutex;
#[cfg(not(loom))]
pub(super) use std::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
};

#[cfg(loom)]
pub(super) use loom::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
};

/// Waits a moment for another thread, the `turn`-th time; `false` once that took too long.
#[cfg(not(loom))]
pub(super) fn wait_a_moment(turn: u32) -> bool {
    /// Some 20 microseconds, in which whoever runs on another processor does something short.
    const SPINS: u32 = 400;
    const YIELDS: u32 = 4;
    if turn < SPINS {
        std::hint::spin_loop();
    } else {
        // Perhaps it waits for this very processor.
        std::thread::yield_now();
    }
    turn < SPINS.saturating_add(YIELDS)
}

/// In a model nobody waits but at a lock.
#[cfg(loom)]
pub(super) fn wait_a_moment(_: u32) -> bool {
    false
}

/// A number of the calling thread, the same for as long as it lives.
#[cfg(not(loom))]
pub(super) fn thread_number() -> usize {
    use std::cell::Cell;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.get().unwrap_or_else(|| {
        let own = NEXT.fetch_add(1, Ordering::Relaxed);
        OWN.set(Some(own));
        own
    })
}

#[cfg(loom)]
pub(super) fn thread_number() -> usize {
    // Loom says a thread's number only in its text.
    let text = format!("{:?}", loom::thread::current().id());
    text.bytes()
        .filter(u8::is_ascii_digit)
        .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}
