//! Exactly-once usage metering as a pure state machine: events in, exact quantities of any
//! period out. No I/O, no clock, no threads, no randomness, no float.
//!
//! ```
//! use counterfoil_core::{Id, Period, Timestamp};
//! use counterfoil_meter::{
//!     AdmitContext, Aggregator, Block, DedupePolicy, EventBatch, Formula, MeterConfig, Position,
//! };
//!
//! let mut meters = Aggregator::new(DedupePolicy::default());
//! let calls = Id::new("mtr_calls")?;
//! meters.define(calls.clone(), MeterConfig::new("api_call", Formula::Sum))?;
//!
//! // A retry repeats an identifier; it is a duplicate and changes nothing.
//! let mut batch = EventBatch::new("api_call");
//! batch.push(Some("req_1"), Some("cus_ada"), None, Some("2.5"))?;
//! batch.push(Some("req_2"), Some("cus_ada"), None, Some("4"))?;
//! batch.push(Some("req_1"), Some("cus_ada"), None, Some("2.5"))?;
//!
//! let now = Timestamp::parse("2025-03-15T12:00:00Z")?;
//! let known = |customer: &str| customer == "cus_ada";
//! let admission = meters.admit(batch.columns(), &AdmitContext::new(now, &known));
//! assert_eq!((admission.taken, admission.duplicates), (2, 1));
//!
//! // A log would keep these bytes before anything is acknowledged.
//! let bytes = admission.block.expect("two events were taken").encode()?;
//! meters.apply(Position(1), &Block::decode(&bytes)?);
//!
//! let march = Period::new(
//!     Timestamp::parse("2025-03-01T00:00:00Z")?,
//!     Timestamp::parse("2025-03-15T12:00:01Z")?,
//! );
//! let reading = meters.usage(&calls, "cus_ada", march, Position::MAX)?;
//! assert_eq!(reading.quantity, "6.5".parse()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The main types are [`Aggregator`], what goes in ([`EventColumns`], borrowed, or the
//! [`EventBatch`] that is filled row by row), the [`Block`] that a log keeps between judging and
//! counting, and the [`Position`] at which it is read.
//!
//! # What holds
//! - An event is counted once, by its identifier, however often, late or out of order it comes
//!   ([`DedupePolicy`] says for how long that is remembered). Order of arrival changes no quantity
//!   but where the rules ask for it: ties of `last`, pre-aggregated windows, and equal identifiers
//!   with unequal content, of which the first one wins and the others are counted as conflicts.
//! - Any period to the second is exact: whole hours are kept as sums, the edges are resolved from
//!   the events. Values are decimals of 15 and 12 digits, sums are integers of 128 bits, and no
//!   choice of events that fits the aggregator can overflow them.
//! - A meter keeps the dimensions of its events that it is told to ([`MeterConfig::dimensions`]).
//!   Each event is in one combination of their values, and usage is divided by any of them
//!   ([`Aggregator::usage_by`]).
//! - An alert goes off when a block brings a customer's usage to its threshold, once until it is
//!   armed again ([`Aggregator::define_alert`]); the same blocks set the same alerts off.
//! - Windows are those of UTC, of the caller's own instants ([`Aggregator::usage_in`]) or, with the
//!   feature `zones`, of the clock in a named time zone (`Zone`, `Aggregator::summaries_in`).
//! - A read at a cut sees the past as it was: later events are not there, later cancellations and
//!   corrections have not happened.
//! - Bytes that are no block are refused with what is wrong with them, and never cost more memory
//!   than their length.
//!
//! - Threads change no answer: a large batch may be taken in by several ([`Aggregator::threads`]).
//!
//! # Where events come from
//! | from | type | feature |
//! |---|---|---|
//! | rows, one by one or many of one name | [`MeterEvent`], [`EventBatch`] | |
//! | columns in memory, of any names | [`EventColumns`] | |
//! | Arrow record batches, not copied where their types allow | `ArrowEvents` | `arrow` |
//! | CSV and NDJSON, batch by batch | `files::UsageFile` | `files` |
//! | the same compressed with gzip | | `gzip` |
//! | Parquet, plain or with Snappy, LZ4 or gzip | | `parquet` |
//! | Parquet with Zstandard, which is C code | | `zstd` |
//!
//! A `Mapping` says which column is what. Of a file a fault is told by line (of Parquet by row) and
//! column, and stops nothing or everything, as one likes; a file that was read in part goes on where
//! it was. Floats are refused: values are exact decimals. `examples/read_file.rs` reads a file and
//! prints what it comes to.
//!
//! # Durable, and alone
//! With the feature `store` there is `store::MeterStore`: the same meters on a log of their own, in
//! a directory or any storage of `counterfoil-log`. Batches and single events of many threads are
//! acknowledged once they are on disk, checkpoints shorten opening, and the time of receipt stays an
//! argument. The kernel needs nothing of it; who has a log already, as the engine does, leaves it
//! out.
//!
//! # More than memory holds
//! With the feature `spill`, events that came longest ago leave memory for a scratch file
//! (`Aggregator::spill`), and no answer changes.
//!
//! # What it does not do
//! It keeps every event, in memory but for what `spill` moves out ([`Aggregator::memory`] says what
//! that takes). Which customers exist is asked of the caller ([`Customers`]), what a quantity costs
//! is nobody's business here: a negative total is returned as it is.
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::float_arithmetic,
        clippy::as_conversions
    )
)]

mod admission;
mod aggregator;
#[cfg(feature = "arrow")]
mod arrow;
mod block;
mod columns;
mod config;
mod dimensions;
#[cfg(feature = "files")]
pub mod files;
#[doc(hidden)]
pub mod fuzz;
mod kernel;
#[cfg(any(feature = "arrow", feature = "files"))]
mod mapping;
#[cfg(feature = "spill")]
mod spill;
#[cfg(feature = "store")]
pub mod store;
mod value;
#[cfg(any(test, feature = "workload"))]
pub mod workload;
#[cfg(feature = "zones")]
mod zone;

pub use admission::{
    AdjustError, AdjustPolicy, Adjustment, Admission, AdmitContext, Anyone, Customers,
    EventRefusal, Outcome, RefusedEvent,
};
pub use aggregator::{
    Aggregator, AlertStatus, AlertTriggered, AlertsAtMost, Breakdown, CHECKPOINT_LAYOUT, Capacity,
    Capture, CheckpointError, Grouping, LateUsage, Memory, Position, Summary, UsageEvent,
    UsageReading, UsageThreshold, UsageTotals,
};
#[cfg(feature = "arrow")]
pub use arrow::ArrowEvents;
pub use block::{Block, BlockError, BlockEvent};
pub use columns::{
    ColumnError, CustomerIds, EventBatch, EventColumns, EventNames, Identifiers, MeterEvent,
    Strings, Values,
};
pub use config::{AlertError, DedupePolicy, EventTimeWindow, Formula, MeterConfig, MeterError};
pub use dimensions::DimensionColumn;
#[cfg(any(feature = "arrow", feature = "files"))]
pub use mapping::{EventView, Field, Mapping, MappingError, TimeUnit};
#[cfg(feature = "spill")]
pub use spill::SpillFile;
#[cfg(feature = "zones")]
pub use zone::{UnknownZone, Zone};
