//! Where the outcomes of attempts to collect come from.

use counterfoil_billing::invoice::{Attempt, Outcome};
use counterfoil_core::Timestamp;

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
