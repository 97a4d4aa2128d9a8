//! A book as it was: read-only, with the questions that an open book answers.

use crate::codec;
use crate::engine::Engine;
use crate::error::{BookError, Error};
use crate::explain::Explanation;
use crate::metering::{self, Readings};
use crate::query::{self, UnbilledUsage};
use crate::sequencer::Sequencer;
use crate::snapshot::{self, Kept};
use counterfoil_billing::alert::{AlertId, AlertTriggered};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::InvoiceId;
use counterfoil_core::{Refusal, Timestamp};
use counterfoil_journal::TrialBalance;
use counterfoil_log::{History, Lsn, ReadError, Record};
use counterfoil_model::{InvoiceView, Preview, PreviewOf, State, invariants};

/// Which moment of a book is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AsOf {
    /// The latest.
    #[default]
    Latest,
    /// After this record.
    Position(Lsn),
    /// After everything that happened up to and in this second.
    Time(Timestamp),
}

impl From<Lsn> for AsOf {
    fn from(lsn: Lsn) -> Self {
        Self::Position(lsn)
    }
}

impl From<Timestamp> for AsOf {
    fn from(at: Timestamp) -> Self {
        Self::Time(at)
    }
}

/// A book as it was at one moment. Nothing that happens to the book afterwards changes it.
///
/// ```
/// use counterfoil::{CreateCustomer, Engine, NoPayments, Timestamp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let book = Engine::in_memory();
/// let monday = Timestamp::parse("2024-01-01T00:00:00Z")?;
/// book.advance_to(monday, &mut NoPayments)?;
/// book.advance_to(Timestamp::parse("2024-01-02T00:00:00Z")?, &mut NoPayments)?;
/// let ada = book.customers().create(CreateCustomer::default())?;
///
/// assert!(book.as_of(monday)?.state().customer(&ada.id).is_err());
/// assert!(book.as_of(book.durable())?.state().customer(&ada.id).is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct View {
    book: Sequencer,
}

impl View {
    /// The book in a log at a moment: from the nearest snapshot before it, or from the beginning.
    pub(crate) fn of_log(log: &History, kept: &Kept, moment: AsOf) -> Result<Self, BookError> {
        let wanted = |lsn: Lsn| match moment {
            AsOf::Latest => true,
            AsOf::Position(last) => lsn <= last,
            AsOf::Time(time) => log
                .open_snapshot(lsn, snapshot::fingerprint())
                .is_ok_and(|snapshot| snapshot.info().at <= time.unix()),
        };
        let go_on = |book: Sequencer| {
            let records = log.read(book.last.next());
            Self::replay(book, records, moment).map(|view| (view.book, ()))
        };
        let (book, (), _) = snapshot::begin(log, kept, wanted, go_on)?;
        Ok(Self { book })
    }

    /// Whatever is answered, unless a part of the state that it rests on could not be read.
    fn readable<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        self.book.check_readable()?;
        answer
    }

    /// Goes through records up to a moment.
    pub(crate) fn replay(
        mut book: Sequencer,
        records: impl IntoIterator<Item = Result<Record, ReadError>>,
        as_of: AsOf,
    ) -> Result<Self, BookError> {
        let mut records = records.into_iter();
        // Behind the position that is asked for nothing is read: it may be damaged.
        while as_of != AsOf::Position(book.last)
            && let Some(record) = records.next()
        {
            let record = record.map_err(|error| BookError::reading(book.last.next(), error))?;
            let beyond = match as_of {
                AsOf::Latest => false,
                AsOf::Position(last) => record.lsn > last,
                AsOf::Time(time) => record.at > time.unix(),
            };
            if beyond {
                // Something happened later, so the book's time went past this moment.
                if let (AsOf::Time(time), Some(clock)) = (as_of, book.clock) {
                    book.clock = Some(clock.max(time));
                }
                break;
            }
            let decoded = codec::decode(&record, book.keys())?;
            book.replay(record.lsn, &decoded)?;
        }
        Ok(Self { book })
    }

    /// The last record that it knows of.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.book.last
    }

    /// The time of the book at that moment; none where the book had not begun.
    #[must_use]
    pub fn now(&self) -> Option<Timestamp> {
        self.book.clock
    }

    /// The state: customers, subscriptions, invoices, the catalog, the journal. What it says counts
    /// as long as [`State::fault`] has nothing to say.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.book.state
    }

    /// The hash of state and usage; that of the book at the same position is equal.
    #[must_use]
    pub fn state_hash(&self) -> [u8; 32] {
        self.book.hash()
    }

    /// How many things had happened: events of the book, and meter events that were taken.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.book.state.event_count().saturating_add(self.book.usage_events)
    }

    /// An invoice as it read then. Usage on a draft is what the meters said.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn invoice(&self, id: &InvoiceId) -> Result<InvoiceView, Error> {
        let view = self.book.state.view(id, &Readings(&self.book.meters));
        self.readable(view.map_err(Error::from))
    }

    /// The id of the invoice with a number.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn invoice_by_number(&self, number: &str) -> Result<InvoiceId, Error> {
        self.readable(query::invoice_by_number(&self.book.state, number))
    }

    /// A customer's invoices as they read then, oldest first.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn invoices(&self, customer: &CustomerId) -> Result<Vec<InvoiceView>, Error> {
        self.readable(query::invoices(&self.book, customer))
    }

    /// What would have been invoiced then, as [`Engine::preview_invoice`].
    ///
    /// # Errors
    /// As [`Engine::preview_invoice`].
    pub fn preview_invoice(&self, of: &PreviewOf) -> Result<Preview, Error> {
        self.readable(self.book.preview(of))
    }

    /// How every amount of an invoice came about.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn explain(&self, id: &InvoiceId) -> Result<Explanation, Error> {
        self.readable(Explanation::of(&self.book, id))
    }

    /// The balance of every account of the journal, with the revenue that is earned by an instant;
    /// by the book's time at that moment where none is given.
    ///
    /// # Errors
    /// [`Error::NoTime`].
    pub fn trial_balance(&self, at: Option<Timestamp>) -> Result<TrialBalance, Error> {
        let at = at.or(self.book.clock).ok_or(Error::NoTime)?;
        Ok(self.book.state.journal().trial_balance(at))
    }

    /// Usage that was taken and that no invoice will take, as [`Engine::unbilled_usage`].
    ///
    /// # Errors
    /// [`Error::Refused`] where a quantity is out of range.
    pub fn unbilled_usage(&self) -> Result<Vec<UnbilledUsage>, Error> {
        self.readable(query::unbilled(&self.book))
    }

    /// Whom an alert had gone off for since it was created or last activated, by customer.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn triggered(&self, alert: &AlertId) -> Result<Vec<AlertTriggered>, Error> {
        self.book.state.alert(alert)?;
        Ok(metering::triggered(&self.book.meters.triggered(alert))?)
    }

    /// Checks every invariant of the book at that moment. A violation is the inner `Err`.
    ///
    /// # Errors
    /// [`Error::NoTime`].
    pub fn check_invariants(&self) -> Result<Result<(), invariants::InvariantViolation>, Error> {
        let now = self.book.clock.ok_or(Error::NoTime)?;
        self.readable(Ok(invariants::check_all(&self.book.state, now)))
    }
}

impl Engine {
    /// The book as it was after a record or at a time: `engine.as_of(lsn)`, `engine.as_of(time)`.
    /// Only what is on disk is seen. A time before the book began gives an empty book.
    ///
    /// # Errors
    /// [`Error::Refused`] for a position that is not on disk; [`Error::Read`] where a record cannot
    /// be read, [`Error::Damaged`] where it is damaged.
    pub fn as_of(&self, moment: impl Into<AsOf>) -> Result<View, Error> {
        let moment = moment.into();
        check(moment, self.durable())?;
        View::of_log(self.log(), &self.kept()?, moment).map_err(Error::from)
    }
}

/// Refuses a position that is not there.
pub(crate) fn check(moment: AsOf, last: Lsn) -> Result<(), Refusal> {
    match moment {
        AsOf::Position(position) if position > last => {
            let reason = format!("record {position} is not there: the last one is {last}");
            Err(Refusal::invalid("as_of", reason))
        }
        _ => Ok(()),
    }
}
