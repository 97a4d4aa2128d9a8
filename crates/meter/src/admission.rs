//! The answer to an ingest call.

use crate::{AlertTriggered, Block, DedupePolicy};
use counterfoil_core::{Code, Decimal12, EventTime, Refusal, Timestamp, limits};

/// Who knows which customers exist. A closure `Fn(&str) -> bool` does.
pub trait Customers {
    /// Whether usage may be taken for this customer.
    fn exists(&self, customer: &str) -> bool;

    /// The same for a customer that was given as a number; its id is 16 hexadecimal digits.
    fn exists_number(&self, customer: u64) -> bool {
        self.exists(&format!("{customer:016x}"))
    }
}

/// Every customer exists: for who meters without keeping customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Anyone;

impl Customers for Anyone {
    fn exists(&self, _: &str) -> bool {
        true
    }

    fn exists_number(&self, _: u64) -> bool {
        true
    }
}

impl<F: Fn(&str) -> bool> Customers for F {
    fn exists(&self, customer: &str) -> bool {
        self(customer)
    }
}

/// What admission has to know besides the events.
#[derive(Clone, Copy)]
pub struct AdmitContext<'a> {
    /// When the events are received.
    pub now: Timestamp,
    /// Which customers exist.
    pub customers: &'a dyn Customers,
    /// Whether [`Admission::outcomes`] is wanted.
    pub outcomes: bool,
    /// Whether [`Aggregator::take`](crate::Aggregator::take) is to return the block.
    pub block: bool,
}

impl<'a> AdmitContext<'a> {
    /// A context that asks for counts and refusals only.
    #[must_use]
    pub const fn new(now: Timestamp, customers: &'a dyn Customers) -> Self {
        Self { now, customers, outcomes: false, block: false }
    }

    /// Asks for the outcome of every event too.
    #[must_use]
    pub const fn with_outcomes(mut self) -> Self {
        self.outcomes = true;
        self
    }

    /// Asks for the block of what is taken at once.
    #[must_use]
    pub const fn with_block(mut self) -> Self {
        self.block = true;
        self
    }
}

impl std::fmt::Debug for AdmitContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdmitContext")
            .field("now", &self.now)
            .field("outcomes", &self.outcomes)
            .finish_non_exhaustive()
    }
}

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It will count once the block is applied.
    Taken,
    /// Its identifier was taken before with the same content; it changes nothing.
    Duplicate,
    /// Its identifier was taken before with other content; the first one stays (point 62).
    Conflict,
    /// See [`Admission::refused`].
    Refused,
}

/// What became of a batch: each event is taken, a duplicate, or refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admission {
    /// What is to be logged and then applied; absent where no event was taken.
    pub block: Option<Block>,
    /// Events taken: those of the block.
    pub taken: u64,
    /// Events whose identifier was taken before, in this batch or earlier.
    pub duplicates: u64,
    /// Those of the duplicates whose content differs from the first (point 62).
    pub conflicts: u64,
    /// Events refused, ascending by index.
    pub refused: Vec<RefusedEvent>,
    /// The alerts that the events set off, where they were taken at once, by alert and customer.
    pub alerts: Vec<AlertTriggered>,
    /// One for each event, where [`AdmitContext::outcomes`] asked for them.
    pub outcomes: Option<Vec<Outcome>>,
}

impl Admission {
    pub(crate) fn new(ctx: &AdmitContext<'_>, events: usize) -> Self {
        Self { outcomes: ctx.outcomes.then(|| Vec::with_capacity(events)), ..Self::default() }
    }

    pub(crate) fn count(&mut self, outcome: Outcome) {
        let repeats = matches!(outcome, Outcome::Duplicate | Outcome::Conflict);
        self.taken = self.taken.saturating_add(u64::from(outcome == Outcome::Taken));
        self.duplicates = self.duplicates.saturating_add(u64::from(repeats));
        self.conflicts = self.conflicts.saturating_add(u64::from(outcome == Outcome::Conflict));
        self.note(outcome);
    }

    pub(crate) fn refuse(&mut self, index: usize, cause: EventRefusal) {
        self.refused.push(RefusedEvent { index, cause });
        self.note(Outcome::Refused);
    }

    #[inline(always)]
    pub(crate) fn note(&mut self, outcome: Outcome) {
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.push(outcome);
        }
    }
}

/// An event that was refused. It does not use up its identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedEvent {
    /// Its row in the columns that were given.
    pub index: usize,
    /// Why.
    pub cause: EventRefusal,
}

impl RefusedEvent {
    /// The stable code of the cause.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.cause.code()
    }

    /// The refusal of a command that gave this event alone.
    #[must_use]
    pub fn refusal(&self, identifier: &str) -> Refusal {
        Refusal::MeterEvent {
            code: self.code(),
            identifier: identifier.to_owned(),
            reason: self.cause.to_string(),
        }
    }
}

/// Why an event was refused (rule 12.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventRefusal {
    /// No meter takes this event name.
    #[error("no meter takes events of this name")]
    NoMeter,
    /// The meter was deactivated.
    #[error("the meter is inactive")]
    ArchivedMeter,
    /// The identifier is too long.
    #[error(
        "an identifier has at most {} bytes, this one {bytes}",
        limits::METER_IDENTIFIER_BYTES_MAX
    )]
    IdentifierTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The payload names no customer.
    #[error("the payload names no customer")]
    NoCustomer,
    /// The customer does not exist.
    #[error("no such customer")]
    CustomerNotFound,
    /// Older than is accepted.
    #[error("{} is before {oldest}, the oldest time that is accepted", time.second())]
    TimestampTooFarInPast {
        /// When it happened.
        time: EventTime,
        /// The oldest time that is accepted, 35 days back.
        oldest: Timestamp,
    },
    /// Later than the clock allows.
    #[error("{} is after {newest}, the latest time that is accepted", time.second())]
    TimestampInFuture {
        /// When it happened.
        time: EventTime,
        /// The latest time that is accepted, five minutes ahead.
        newest: Timestamp,
    },
    /// It has no time, and the clock shows none that can be kept to the nanosecond.
    #[error("the time of receipt, {now}, is outside the years that event times can express")]
    TimestampNotRepresentable {
        /// When it was received.
        now: Timestamp,
    },
    /// The payload lacks a dimension that the meter keeps.
    #[error("the payload lacks dimension {} of those that the meter keeps", place.saturating_add(1))]
    MissingDimension {
        /// The place of the dimension in [`MeterConfig::dimensions`](crate::MeterConfig::dimensions).
        place: usize,
    },
    /// It names more dimensions than one event may, kept or not.
    #[error("an event names at most {} dimensions, this one {count}", limits::METER_DIMENSIONS_MAX)]
    TooManyDimensions {
        /// How many it names.
        count: usize,
    },
    /// The value of a dimension is too long.
    #[error(
        "the value of a dimension has at most {} bytes, this one {bytes}",
        limits::METER_DIMENSION_BYTES_MAX
    )]
    DimensionTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A meter that sums or keeps the last needs a value.
    #[error("the payload holds no value")]
    NoValue,
    /// Not a decimal number.
    #[error("the value is not of the form -?digits[.digits]")]
    InvalidValue,
    /// More digits than are kept.
    #[error(
        "a value has at most {} integer and {} fractional digits",
        limits::METER_VALUE_INTEGER_DIGITS_MAX,
        limits::METER_VALUE_FRACTION_DIGITS_MAX
    )]
    ValueTooManyDigits,
    /// The aggregator has as many events, customers or blocks as it has numbers for.
    #[error("the aggregator is full: it numbers 2^32 events and 2^31 customers")]
    Full,
}

impl EventRefusal {
    /// The stable code of rule 12.2; `parameter_invalid` and `amount_too_large` where that rule
    /// has none.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::NoMeter => Code::NoMeter,
            Self::ArchivedMeter => Code::ArchivedMeter,
            Self::IdentifierTooLong { .. }
            | Self::DimensionTooLong { .. }
            | Self::TimestampNotRepresentable { .. } => Code::ParameterInvalid,
            Self::MissingDimension { .. } => Code::MissingDimensionPayloadKeys,
            Self::TooManyDimensions { .. } => Code::MeterEventDimensionCountTooHigh,
            Self::NoCustomer => Code::MeterEventNoCustomerDefined,
            Self::CustomerNotFound => Code::MeterEventCustomerNotFound,
            Self::TimestampTooFarInPast { .. } => Code::TimestampTooFarInPast,
            Self::TimestampInFuture { .. } => Code::TimestampInFuture,
            Self::NoValue | Self::InvalidValue => Code::MeterEventInvalidValue,
            Self::ValueTooManyDigits => Code::MeterEventValueTooManyDigits,
            Self::Full => Code::AmountTooLarge,
        }
    }
}

/// What is done to an event that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Adjustment {
    /// It was not meant to be.
    Cancel,
    /// It has another value.
    Correct(Decimal12),
}

/// How long after its receipt an event may be adjusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AdjustPolicy {
    /// 24 hours, the last second inclusive (rule 12.4).
    #[default]
    Day,
    /// So many seconds, the last one inclusive.
    Within(i64),
    /// As long as its identifier is remembered, which bounds the others too.
    Remembered,
}

/// Why an event could not be cancelled or corrected (rule 12.4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdjustError {
    /// No meter takes this event name.
    #[error("no meter takes events named {event_name:?}")]
    NoMeter {
        /// The name that was given.
        event_name: String,
    },
    /// No event has this identifier, or none that is still remembered.
    #[error("no event named {event_name:?} has identifier {identifier:?} (remembered: {policy})")]
    Unknown {
        /// The name that was given.
        event_name: String,
        /// The identifier that was given.
        identifier: String,
        /// How long identifiers are remembered.
        policy: DedupePolicy,
    },
    /// It was cancelled before.
    #[error("meter event {identifier:?} was cancelled before")]
    Cancelled {
        /// The identifier that was given.
        identifier: String,
    },
    /// Too long after it was received.
    #[error(
        "meter event {identifier:?} was received at {received_at} and can be adjusted for \
         {seconds} s"
    )]
    TooLate {
        /// The identifier that was given.
        identifier: String,
        /// When it was received.
        received_at: Timestamp,
        /// How long it could be adjusted.
        seconds: i64,
    },
    /// The meter counts events, and keeps no values.
    #[error("meter event {identifier:?} has no value: its meter counts")]
    NoValue {
        /// The identifier that was given.
        identifier: String,
    },
    /// The new value has more digits than are kept.
    #[error("the new value of meter event {identifier:?} has too many digits")]
    Value {
        /// The identifier that was given.
        identifier: String,
    },
    /// It has this value.
    #[error("meter event {identifier:?} has this value")]
    Unchanged {
        /// The identifier that was given.
        identifier: String,
    },
}

impl From<AdjustError> for Refusal {
    fn from(error: AdjustError) -> Self {
        let reason = error.to_string();
        match error {
            AdjustError::NoMeter { .. } => {
                Self::MeterEvent { code: Code::NoMeter, identifier: String::new(), reason }
            }
            AdjustError::Unknown { identifier, .. } => Self::unknown("meter_event", identifier),
            AdjustError::Cancelled { identifier } => {
                Self::state("meter_event", identifier, "cancelled", reason)
            }
            AdjustError::TooLate { identifier, .. } => {
                Self::state("meter_event", identifier, "settled", reason)
            }
            AdjustError::NoValue { identifier } => {
                Self::state("meter_event", identifier, "counted", reason)
            }
            AdjustError::Unchanged { identifier } => {
                Self::state("meter_event", identifier, "unchanged", reason)
            }
            AdjustError::Value { identifier } => {
                let code = Code::MeterEventValueTooManyDigits;
                Self::MeterEvent { code, identifier, reason }
            }
        }
    }
}
