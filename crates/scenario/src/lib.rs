//! Scenario files: lists of commands in time order, with what is expected to come of them, run on a
//! book.
//!
//! ```
//! use counterfoil::Engine;
//! use counterfoil_scenario::{Document, Format, run};
//! use std::path::Path;
//!
//! let text = "
//! steps:
//!   - at: 2025-01-31T00:00:00Z
//!     do: product.create
//!     with: { id: prod_1, name: Pro }
//!   - do: price.create
//!     with: { id: price_1, product: prod_1, currency: usd, unit_amount: 2900,
//!             recurring: { interval: month } }
//!   - do: customer.create
//!     with: { id: cus_1, payment_method: pm_card_visa }
//!   - do: subscription.create
//!     with: { id: sub_1, customer: cus_1, items: [ { price: price_1 } ] }
//!   - at: 2025-03-01T00:00:00Z
//!   - expect:
//!       invoices: [ { status: open, created: 2025-02-28T00:00:00Z, total: 2900 } ]
//! ";
//! let document = Document::parse(text, Format::Yaml, Path::new("."))?;
//! let outcome = run(&document, &Engine::in_memory(), &mut ())?;
//! // The invoice of 28 February was paid an hour later, so the expectation does not hold.
//! let failure = outcome.failure.unwrap().to_string();
//! assert!(failure.contains("status: expected \"open\", actual \"paid\""), "{failure}");
//! assert_eq!(outcome.report.unwrap().invoices.len(), 2);
//! # Ok::<(), counterfoil_scenario::Unreadable>(())
//! ```
//!
//! - [`Document`] is a scenario file as steps, [`settings_of`] what it says of its book, and [`run`]
//!   does the steps on an open book. An [`Observer`] watches; there is no terminal in this crate.
//! - [`Report`] is what a book holds, in the words of the format, to be serialized.
//! - [`SimulatedGateway`] answers attempts to collect by the name of the payment method.
//! - The parts serve alone as well: [`decode`] and [`check_shape`] read a tree into the types of the
//!   library's own commands, and [`match_subset`] compares a report with an expectation. Usage files
//!   are read by [`counterfoil::files`]; those of Parquet with the feature `parquet`.
//!
//! `invoice.create_preview` is no command: it changes nothing, and `expect` in its own step says what
//! it comes to (`{ made: [ … ], upcoming: { … } }`, invoices as in the report).
//!
//! Not read yet: the operations of what the library does not have yet (see the page of the
//! `counterfoil` crate); they make a scenario unreadable. The report has their lists already, empty.
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
mod gateway;
pub mod limits;
mod node;
mod reference;
pub mod report;
mod runner;
mod shape;
mod usage;

pub use de::{DecodeError, DecodeProblem, decode};
pub use document::{Body, Document, Operation, Step, Unreadable, UnreadableProblem, UsageStep};
pub use expect::{Difference, Mismatch, match_subset};
pub use gateway::SimulatedGateway;
pub use node::{Format, Key, Node, SyntaxError, Value};
pub use reference::{Reference, ReferenceError, references, resolve_references};
pub use report::{RejectedRow, Report};
pub use runner::{
    Failure, FailureProblem, Observer, Outcome, UsageSummary, check, run, settings_of,
};
pub use shape::{UnknownField, check_shape};
pub use usage::Columns;
