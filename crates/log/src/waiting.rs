//! Threads that wait for a batch, each parked on its own: a batch wakes those whose record it
//! brought to where they want it, and one more to write the next batch. Nobody wakes in vain, and
//! who is woken for good touches no lock.

use std::sync::Arc;

use crate::{
    Lsn,
    ack::Durability,
    sync::{AtomicU8, Ordering, Parker},
};

/// Why a thread was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// What it waited for has come.
    Reached,
    /// It must look again: it may be its turn to write, or the log has failed or was closed.
    LookAgain,
}

const ASLEEP: u8 = 0;
const REACHED: u8 = 1;
const LOOK_AGAIN: u8 = 2;

/// A parked thread. It is woken once, by whoever took it off the list.
#[derive(Debug)]
pub(crate) struct Waiter {
    parker: Parker,
    state: AtomicU8,
}

impl Waiter {
    fn new() -> Self {
        Self { parker: Parker::new(), state: AtomicU8::new(ASLEEP) }
    }

    /// Sleeps until woken. Called without a lock, by the thread that the waiter was made for.
    pub(crate) fn sleep(&self) -> Woken {
        loop {
            match self.state.load(Ordering::Acquire) {
                REACHED => return Woken::Reached,
                LOOK_AGAIN => return Woken::LookAgain,
                _ => self.parker.park(),
            }
        }
    }

    pub(crate) fn wake(&self, why: Woken) {
        let state = match why {
            Woken::Reached => REACHED,
            Woken::LookAgain => LOOK_AGAIN,
        };
        self.state.store(state, Ordering::Release);
        self.parker.unpark();
    }
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// That a record comes so far.
    Record(Lsn, Durability),
    /// That the pending batch is taken, so that there is room for another one.
    Room,
    /// That something changes.
    Any,
}

/// The threads that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    list: Vec<(Goal, Arc<Waiter>)>,
}

/// Threads to be woken, after the lock was given back.
#[derive(Debug, Default)]
pub(crate) struct ToWake {
    list: Vec<(Woken, Arc<Waiter>)>,
}

impl ToWake {
    pub(crate) fn wake(self) {
        for (why, waiter) in self.list {
            waiter.wake(why);
        }
    }
}

impl Waiting {
    /// Puts the calling thread on the list.
    pub(crate) fn join(&mut self, goal: Goal) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter::new());
        self.list.push((goal, Arc::clone(&waiter)));
        waiter
    }

    /// Whether somebody waits for a sync.
    pub(crate) fn want_sync(&self) -> bool {
        let synced = |goal: &Goal| matches!(goal, Goal::Record(_, Durability::Synced));
        self.list.iter().any(|(goal, _)| synced(goal))
    }

    /// Takes off the list those who wait for room.
    pub(crate) fn take_room(&mut self) -> ToWake {
        let room = |(goal, _): &mut (Goal, Arc<Waiter>)| *goal == Goal::Room;
        let list = self.list.extract_if(.., room);
        ToWake { list: list.map(|(_, waiter)| (Woken::LookAgain, waiter)).collect() }
    }

    /// Takes off the list whoever has what it waits for, now that records have come so far.
    pub(crate) fn take_done(&mut self, written: Lsn, synced: Lsn) -> ToWake {
        let reached = |(goal, _): &mut (Goal, Arc<Waiter>)| match *goal {
            Goal::Record(lsn, Durability::Buffered) => lsn <= written,
            Goal::Record(lsn, Durability::Synced) => lsn <= synced,
            Goal::Room | Goal::Any => false,
        };
        let done = self.list.extract_if(.., reached);
        ToWake { list: done.map(|(_, waiter)| (Woken::Reached, waiter)).collect() }
    }

    /// Takes off the list whoever has what it waits for, now that records have come so far, and
    /// one more, the first to be woken, whose turn it is to write.
    ///
    /// The writer must be there to be taken. So at any time when it lies there and somebody waits,
    /// one who was woken is on the way to it; should another be quicker, that one comes here again.
    pub(crate) fn take_reached(&mut self, written: Lsn, synced: Lsn) -> ToWake {
        let done = self.take_done(written, synced);
        let next = if self.list.is_empty() { None } else { Some(self.list.remove(0)) };
        let next = next.into_iter().map(|(_, waiter)| (Woken::LookAgain, waiter));
        ToWake { list: next.chain(done.list).collect() }
    }

    /// Takes all off the list: the log has failed or was closed.
    pub(crate) fn take_all(&mut self) -> ToWake {
        let list = std::mem::take(&mut self.list);
        ToWake { list: list.into_iter().map(|(_, waiter)| (Woken::LookAgain, waiter)).collect() }
    }
}
