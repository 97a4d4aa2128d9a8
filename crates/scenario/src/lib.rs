//! Scenario files: lists of commands in time order, with what is expected to come of them.
//!
//! This crate reads a scenario into steps ([`Document`]), a step's fields into the types of the
//! library's own commands ([`decode`], [`check_shape`]), a usage file into columns of meter events
//! ([`UsageReader`]), and compares a report with an expectation ([`match_subset`]).
//!
//! ```
//! use counterfoil_scenario::{Body, Document, Format, match_subset};
//! use std::path::Path;
//!
//! let text = "
//! steps:
//!   - at: 2025-02-01T00:00:00Z
//!   - expect:
//!       invoices: [ { status: paid, created: 2025-02-01T00:00:00Z, total: 7700 } ]
//! ";
//! let document = Document::parse(text, Format::Yaml, Path::new("."))?;
//! let report = serde_json::json!({ "invoices": [
//!     { "id": "in_1", "status": "open", "created": 1738368000, "total": 7700 },
//! ]});
//! for step in &document.steps {
//!     if let Body::Expect(expectation) = &step.body {
//!         let mismatch = match_subset(expectation, &report).unwrap_err();
//!         assert_eq!(mismatch.differences[0].path, "invoices[0]");
//!         assert!(mismatch.to_string().contains("status: expected \"paid\", actual \"open\""));
//!     }
//! }
//! # Ok::<(), counterfoil_scenario::Unreadable>(())
//! ```
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
mod document;
mod expect;
pub mod limits;
mod node;
mod reference;
mod shape;
mod usage;

pub use de::{DecodeError, DecodeProblem, decode};
pub use document::{Body, Document, Operation, Step, Unreadable, UnreadableProblem, UsageStep};
pub use expect::{Difference, Mismatch, match_subset};
pub use node::{Format, Key, Node, SyntaxError, Value};
pub use reference::{Reference, ReferenceError, references, resolve_references};
pub use shape::{UnknownField, check_shape};
pub use usage::{
    Columns, RefusedRow, TextColumn, TimeError, UsageChunk, UsageError, UsageFormat, UsageReader,
    parse_event_time,
};
