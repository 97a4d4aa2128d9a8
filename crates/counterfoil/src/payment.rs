//! Where the outcomes of attempts to collect come from.

use counterfoil_billing::invoice::{Attempt, Outcome, PaymentAttemptId};
use counterfoil_core::Timestamp;
use counterfoil_model::Event;
use std::collections::VecDeque;

/// How many of the attempts that were opened last are known by their ids.
const LATEST_MAX: usize = 64;

/// The attempts that were opened through a handle, so that whoever puts them to a source looks at
/// new ones and not at all that are open, again and again.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    count: u64,
    /// The latest of them, oldest first.
    latest: VecDeque<PaymentAttemptId>,
}

impl Opened {
    /// Takes in what happened.
    pub(crate) fn follow(&mut self, events: &[Event]) {
        for id in events.iter().filter_map(Event::opens_attempt) {
            self.count = self.count.saturating_add(1);
            if self.latest.len() >= LATEST_MAX {
                self.latest.pop_front();
            }
            self.latest.push_back(id.clone());
        }
    }

    /// How many there were so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Those that came after the first so many; none where they are not all known any more.
    pub(crate) fn since(&self, seen: u64) -> Option<impl Iterator<Item = &PaymentAttemptId>> {
        let new = usize::try_from(self.count.checked_sub(seen)?).ok()?;
        let known = self.latest.len().checked_sub(new)?;
        Some(self.latest.iter().skip(known))
    }
}

/// A source of payment outcomes: a simulated gateway, or an adapter to a real one.
pub trait PaymentSource {
    /// The outcome of an attempt; none where it is not known yet. The attempt stays open then, and
    /// its outcome comes as a command.
    fn outcome(&mut self, attempt: &Attempt) -> Option<Outcome>;

    /// Told after every item of due work: its time, and how many were done so far.
    fn progress(&mut self, _at: Timestamp, _worked: usize) {}
}

/// No source: attempts stay open.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPayments;

impl PaymentSource for NoPayments {
    fn outcome(&mut self, _attempt: &Attempt) -> Option<Outcome> {
        None
    }
}

/// A source from a function.
impl<F: FnMut(&Attempt) -> Option<Outcome>> PaymentSource for F {
    fn outcome(&mut self, attempt: &Attempt) -> Option<Outcome> {
        self(attempt)
    }
}

/// What moving the time did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Items of due work that were done.
    pub worked: usize,
    /// Attempts whose outcome was taken.
    pub settled: usize,
    /// Whether more is due, because the budget was used up.
    pub remaining: bool,
}
