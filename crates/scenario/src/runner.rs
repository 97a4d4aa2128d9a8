//! Running a scenario on a book, step by step.

mod operation;
mod shape;
mod usage;

pub use shape::{check, settings_of};
pub use usage::UsageSummary;

use crate::SimulatedGateway;
use crate::document::{Body, Document, Operation, Step, Unreadable, UsageStep};
use crate::expect::{Mismatch, match_subset};
use crate::node::Node;
use crate::reference::{Reference, ReferenceError, resolve_references};
use crate::report::{PreviewReport, RejectedRow, Report};
use counterfoil::{
    Attempt, Engine, Error, InvariantViolation, Outcome as PaymentOutcome, PaymentSource, Preview,
    SubscriptionId,
};
use counterfoil_core::{Code, Refusal, Timestamp};
use operation::Parsed;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Runs a scenario on a book: checks the shape of all of it, then does its steps one after the
/// other and stops at the first that does not do what it says.
///
/// Attempts to collect are answered by [`SimulatedGateway`]. After every step that changed anything
/// all invariants of the book are checked. A book that goes on from an earlier run must not be
/// ahead of the first time in the scenario.
///
/// ```
/// use counterfoil::Engine;
/// use counterfoil_scenario::{Document, Format, run};
/// use std::path::Path;
///
/// let text = "
/// steps:
///   - at: 2025-01-01T00:00:00Z
///     do: customer.create
///     with: { id: cus_1, name: Ada }
///   - do: customer.create
///     with: { id: cus_1 }
///     fails: resource_already_exists
///   - expect: { customers: { exactly: [ { id: cus_1, balance: 0 } ] } }
/// ";
/// let document = Document::parse(text, Format::Yaml, Path::new("."))?;
/// let outcome = run(&document, &Engine::in_memory(), &mut ())?;
/// assert!(outcome.failure.is_none());
/// assert_eq!(outcome.report.unwrap().customers.len(), 1);
/// # Ok::<(), counterfoil_scenario::Unreadable>(())
/// ```
///
/// # Errors
/// [`Unreadable`] for an unknown operation, an unknown field at any depth, settings out of their
/// limits, a usage file that cannot be opened or lacks a column, and a time before that of the
/// book. Nothing was done then. What happens later is [`Outcome::failure`].
pub fn run(
    document: &Document,
    engine: &Engine,
    observer: &mut dyn Observer,
) -> Result<Outcome, Unreadable> {
    check(document)?;
    let mut runner = Runner {
        engine,
        observer,
        rejected: Vec::new(),
        seen: BTreeSet::new(),
        usage: Vec::new(),
        checked: None,
    };
    let failure = match engine.now() {
        Ok(now) => {
            shape::check_clock(document, now)?;
            runner.run(document)
        }
        Err(error) => Some(Failure { step: 0, line: 0, problem: error.into() }),
    };
    let (rejected, usage) = (runner.rejected, runner.usage);
    let (report, failure) = match (Report::of(engine, &rejected), failure) {
        (Ok(report), failure) => (Some(report), failure),
        (Err(_), Some(failure)) => (None, Some(failure)),
        (Err(error), None) => {
            let last = document.steps.last();
            let (step, line) = last.map_or((0, 0), |step| (step.number, step.line));
            (None, Some(Failure { step, line, problem: error.into() }))
        }
    };
    Ok(Outcome { report, usage, failure })
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What the book holds after the last step that was done; none where it can no longer be read.
    pub report: Option<Report>,
    /// What became of each usage file, in the order of the steps.
    pub usage: Vec<UsageSummary>,
    /// Why the run stopped before its end, if it did.
    pub failure: Option<Failure>,
}

/// A step that did not do what it says.
#[derive(Debug)]
pub struct Failure {
    /// The step, from 1; 0 where the book failed before the first.
    pub step: usize,
    /// The line of what is at fault, from 1; 0 where the book failed before the first step.
    pub line: usize,
    /// What went wrong.
    pub problem: FailureProblem,
}

/// What can go wrong in a step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FailureProblem {
    /// It was refused, and nothing had announced that.
    #[error("{operation} was refused: {refusal} ({})", refusal.code())]
    Refused {
        /// What was to be done.
        operation: String,
        /// Why it was not.
        refusal: Refusal,
    },
    /// It should have been refused.
    #[error("{operation} should have been refused with {expected}, and was done")]
    NotRefused {
        /// What was done.
        operation: String,
        /// The code that was announced.
        expected: String,
    },
    /// It was refused with another code than was announced.
    #[error(
        "{operation} should have been refused with {expected}, and was refused with {}: {refusal}",
        refusal.code()
    )]
    OtherCode {
        /// What was to be done.
        operation: String,
        /// The code that was announced.
        expected: String,
        /// Why it was not done.
        refusal: Refusal,
    },
    /// The report is not as expected.
    #[error("the report is not as expected\n{0}")]
    Expectation(Mismatch),
    /// The book is wrong.
    #[error("an invariant does not hold: {0}")]
    Invariant(InvariantViolation),
    /// A usage file could not be read to its end.
    #[error(transparent)]
    Usage(#[from] counterfoil::files::FileError),
    /// The book could not be read or written.
    #[error(transparent)]
    Book(#[from] Error),
}

impl FailureProblem {
    /// Whether a file or the book could not be read, rather than being other than the scenario
    /// says.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::Book(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.step > 0 {
            write!(f, "step {}, line {}: ", self.step, self.line)?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.problem)
    }
}

/// Watches a run. Nothing it does has an effect on the run; `()` watches nothing.
pub trait Observer {
    /// A step begins, one of `steps`.
    fn step_began(&mut self, _step: &Step, _steps: usize) {}

    /// Another item of due work was done in a step: its time, and how many there were so far.
    fn work_done(&mut self, _step: &Step, _at: Timestamp, _worked: usize) {}

    /// A usage file was read and taken in that far.
    fn usage_read(&mut self, _usage: &UsageStep, _bytes: u64, _total_bytes: u64) {}

    /// A usage file came to its end.
    fn usage_taken(&mut self, _summary: &UsageSummary) {}
}

impl Observer for () {}

/// A run under way.
struct Runner<'r> {
    engine: &'r Engine,
    observer: &'r mut dyn Observer,
    rejected: Vec<RejectedRow>,
    /// The rows among them, to name each once.
    seen: BTreeSet<(Arc<str>, u64, Code)>,
    usage: Vec<UsageSummary>,
    /// The number of events and the time at which the invariants were last seen to hold.
    checked: Option<(u64, Timestamp)>,
}

/// What went wrong, and the line where that is not the step's own.
struct Fault {
    line: Option<usize>,
    problem: Box<FailureProblem>,
}

impl<P: Into<FailureProblem>> From<P> for Fault {
    fn from(problem: P) -> Self {
        Self { line: None, problem: Box::new(problem.into()) }
    }
}

impl Runner<'_> {
    /// Does the steps until one fails.
    fn run(&mut self, document: &Document) -> Option<Failure> {
        for step in &document.steps {
            self.observer.step_began(step, document.steps.len());
            if let Err(Fault { line, problem }) = self.step(step) {
                let line = line.unwrap_or(step.line);
                return Some(Failure { step: step.number, line, problem: *problem });
            }
        }
        None
    }

    fn step(&mut self, step: &Step) -> Result<(), Fault> {
        if let Some(at) = step.at {
            self.advance(step, at)?;
        }
        match &step.body {
            Body::Advance => {}
            Body::Do(operation) => self.operate(step, operation)?,
            Body::Usage(usage) => {
                self.ingest(step, usage)?;
                // What it reached may be invoiced at once (rule 6.13).
                if let Some(now) = self.engine.now()? {
                    self.advance(step, now)?;
                }
            }
            Body::Expect(expectation) => return self.expect(expectation),
        }
        self.check_invariants()
    }

    /// Moves the book's time; where it stays, what became due at once is done.
    fn advance(&mut self, step: &Step, to: Timestamp) -> Result<(), Error> {
        let mut payments = Payments { step, observer: &mut *self.observer };
        self.engine.advance_to(to, &mut payments).map(drop)
    }

    fn operate(&mut self, step: &Step, operation: &Operation) -> Result<(), Fault> {
        let (line, error) = match (self.execute(operation), &operation.fails) {
            (Ok(Some(preview)), None) => return self.compare(operation, &preview),
            (Ok(None), None) => {
                let now = self.engine.now()?.ok_or(Error::NoTime)?;
                return Ok(self.advance(step, now)?);
            }
            (Ok(_), Some(expected)) => {
                let (operation, expected) = (operation.name.clone(), expected.clone());
                return Err(FailureProblem::NotRefused { operation, expected }.into());
            }
            (Err(stopped), _) => stopped,
        };
        let Error::Refused(refusal) = error else { return Err(error.into()) };
        let name = operation.name.clone();
        let problem = match &operation.fails {
            Some(expected) if refusal.code().as_str() == expected => return Ok(()),
            Some(expected) => {
                let expected = expected.clone();
                FailureProblem::OtherCode { operation: name, expected, refusal }
            }
            None => FailureProblem::Refused { operation: name, refusal },
        };
        Err(Fault { line, problem: Box::new(problem) })
    }

    /// Does one operation. An error comes with its line, where that is known.
    fn execute(&self, operation: &Operation) -> Result<Option<Preview>, (Option<usize>, Error)> {
        let with = self.resolve(&operation.with).map_err(|error| (None, error))?;
        let parsed = Parsed::decode(&operation.name, &with)
            .map_err(|error| (Some(error.line), Refusal::from(error).into()))?;
        let key = operation.idempotency_key.as_deref();
        parsed.execute(self.engine, key).map_err(|error| (None, error))
    }

    fn expect(&self, expectation: &Node) -> Result<(), Fault> {
        let report = Report::of(self.engine, &self.rejected)?;
        self.match_report(expectation, &report)
    }

    /// Compares what a preview came to with what its step says of it.
    fn compare(&self, operation: &Operation, preview: &Preview) -> Result<(), Fault> {
        match &operation.expect {
            Some(expectation) => self.match_report(expectation, &PreviewReport::of(preview)),
            None => Ok(()),
        }
    }

    fn match_report(&self, expectation: &Node, report: &impl Serialize) -> Result<(), Fault> {
        let resolved = self.resolve(expectation).map_err(|error| match error {
            Error::Refused(refusal) => {
                let operation = "expect".to_owned();
                Fault::from(FailureProblem::Refused { operation, refusal })
            }
            error => error.into(),
        })?;
        let report =
            serde_json::to_value(report).map_err(|error| Error::Read(error.to_string()))?;
        match_subset(&resolved, &report)
            .map_err(|mismatch| FailureProblem::Expectation(mismatch).into())
    }

    /// The same tree with the ids that its references stand for.
    fn resolve(&self, node: &Node) -> Result<Node, Error> {
        let resolved = resolve_references(node, |reference| {
            referent(self.engine, reference).map_err(Unresolved)
        });
        resolved.map_err(|Unresolved(error)| error)
    }

    /// Checks every invariant, unless nothing happened and no time went by since the last check.
    fn check_invariants(&mut self) -> Result<(), Fault> {
        let Some(now) = self.engine.now()? else { return Ok(()) };
        let seen = Some((self.engine.state()?.event_count(), now));
        if self.checked == seen {
            return Ok(());
        }
        self.engine.check_invariants()?.map_err(FailureProblem::Invariant)?;
        self.checked = seen;
        Ok(())
    }
}

/// Why a reference stands for nothing.
struct Unresolved(Error);

impl From<ReferenceError> for Unresolved {
    fn from(error: ReferenceError) -> Self {
        Self(Refusal::invalid("reference", error.to_string()).into())
    }
}

/// The id that a reference stands for.
fn referent(engine: &Engine, reference: &Reference) -> Result<String, Error> {
    let (subscription, n) = match reference {
        Reference::Invoice { subscription, n }
        | Reference::PaymentAttempt { subscription, n }
        | Reference::Line { subscription, n, .. } => (SubscriptionId::new(subscription)?, *n),
    };
    let state = engine.state()?;
    let shard = state.shard(&state.subscription(&subscription)?.customer)?;
    let heads = shard.invoice_heads().filter(|head| head.subscription == Some(&subscription));
    let mut heads: Vec<_> = heads.collect();
    heads.sort_by_key(|head| head.seq);
    let head = heads.get(n.saturating_sub(1));
    let head = head.ok_or_else(|| Refusal::unknown("invoice", format!("{n} of {subscription}")))?;
    let invoice = state.invoice(head.id)?;
    let price = match reference {
        Reference::Invoice { .. } => return Ok(invoice.id.to_string()),
        Reference::PaymentAttempt { .. } => {
            let none = || Refusal::unknown("payment_attempt", format!("of {}", invoice.id));
            return Ok(invoice.open_attempt.as_ref().ok_or_else(none)?.id.to_string());
        }
        Reference::Line { price, .. } => price,
    };
    let lines = engine.invoices().retrieve(&invoice.id)?.lines;
    let of_price = |id: &counterfoil::PriceId| id.as_str() == price;
    let line = lines.into_iter().find(|line| line.price.as_ref().is_some_and(of_price));
    let none = || Refusal::unknown("line_item", format!("on {price} of {}", invoice.id));
    Ok(line.ok_or_else(none)?.id.to_string())
}

/// The simulated gateway, and somebody who watches the time go by.
struct Payments<'a> {
    step: &'a Step,
    observer: &'a mut dyn Observer,
}

impl PaymentSource for Payments<'_> {
    fn outcome(&mut self, attempt: &Attempt) -> Option<PaymentOutcome> {
        SimulatedGateway.outcome(attempt)
    }

    fn progress(&mut self, at: Timestamp, worked: usize) {
        self.observer.work_done(self.step, at, worked);
    }
}
