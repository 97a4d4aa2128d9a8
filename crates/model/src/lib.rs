//! The whole book as one pure machine: [`Command`]s in, [`Event`]s out, and a [`State`] that is
//! nothing but the events applied in order. No I/O, no clock, no randomness, no float.
//!
//! - [`execute`] decides a command on a fork of the state; [`State::apply`] applies an event and
//!   cannot fail.
//! - Time is an input: what falls due is part of the state ([`State::next_due`]), and [`work`] does
//!   one due item at its own time.
//! - Usage is an input as well: whoever decides is given a [`UsageSource`] to read from, and keeps
//!   what it read in the event.
//! - [`invariants`] says by name what is true of every book after every record.
//!
//! A state is cheap to clone: its collections share what they have in common.
#![forbid(unsafe_code)]
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

mod answer;
mod base;
mod closed;
mod command;
mod decide;
mod due;
mod event;
mod evolve;
mod hash;
pub mod invariants;
mod late;
mod notes;
mod owners;
mod personal;
mod preview;
mod settings;
mod shard;
mod snapshot;
mod state;
mod terms;
mod threshold;
mod upcast;
mod usage;
mod view;

pub use answer::{Answer, KeyUse, Output, RecordMeta, Target};
pub use base::{Part, SealedPlace, Source, Unreadable};
pub use closed::{ClosedStore, InvoiceHead, Shelf};
pub use command::{
    Command, CommandReader, FailPaymentAttempt, ProcessPaymentAttempt, SucceedPaymentAttempt,
};
pub use decide::{
    Ahead, Context, Decision, Step, correct_late_usage, create_book, cross_thresholds, execute,
    work, work_ahead,
};
pub use due::{DueClass, DueKey, DueTarget};
pub use event::{BookEvent, Event, EventType};
pub use personal::CustomerPersonal;
pub use preview::{Preview, PreviewOf, preview};
pub use settings::Settings;
pub use shard::Shard;
pub use snapshot::{SNAPSHOT_LAYOUT, Sink};
pub use state::State;
pub use upcast::{UpcastError, known_type, upcast};
pub use usage::{NoUsage, UsageSource};
pub use view::{InvoiceView, UnbilledReason};
