//! Scenario files: lists of commands in time order, with what is expected to come of them.
//!
//! This crate reads a scenario into steps ([`Document`]), a step's fields into the types of the
//! library's own commands ([`decode`], [`check_shape`]), a usage file into columns of meter events
//! ([`UsageReader`]), and compares a report with an expectation ([`match_subset`]).
//!
//! Numbers are text from the file to the type that reads them: nothing here goes through a float.
//! Whatever a file holds, reading it never panics, and takes memory in proportion to the bounds in
//! [`limits`].
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

mod de;
mod expect;
pub mod limits;
mod node;
mod shape;
mod usage;

pub use de::{DecodeError, DecodeProblem, decode};
pub use expect::{Difference, Mismatch, match_subset};
pub use node::{Format, Key, Node, SyntaxError, Value};
pub use shape::{UnknownField, check_shape};
pub use usage::{
    Columns, RefusedRow, TextColumn, TimeError, UsageChunk, UsageError, UsageFormat, UsageReader,
    parse_event_time,
};
