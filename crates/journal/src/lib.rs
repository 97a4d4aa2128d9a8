//! Double-entry postings and revenue recognition: a pure function of billing events. No I/O, no
//! clock, no randomness, no float; every input is an argument.
//!
//! [`post`] turns an event into the balanced [`Entry`] that it posts, if it moves money, under
//! [`PostingRules`] that are named by version. [`Journal`] adds entries up and answers with a
//! [`TrialBalance`] at any instant. Revenue is deferred when an invoice is finalized;
//! [`recognized`] says how much of it is earned by an instant, so that no event a day is needed.
//!
//! ```
//! use counterfoil_billing::Event;
//! use counterfoil_billing::invoice::{Derivation, Finalized, InvoiceEvent, InvoiceStatus, Line};
//! use counterfoil_core::{Currency, Id, Period, Timestamp};
//! use counterfoil_journal::{Account, Journal, PostingRules};
//! use std::sync::Arc;
//!
//! let (start, end) = ("2024-02-01T00:00:00Z".parse()?, "2024-03-01T00:00:00Z".parse()?);
//! let event = Event::Invoice(InvoiceEvent::Finalized(Arc::new(Finalized {
//!     customer: Id::new("cus_ada")?,
//!     id: Id::derived(1),
//!     at: start,
//!     number: "ADA-0001".into(),
//!     currency: Currency::USD,
//!     // 29.00 for the leap February of 29 days.
//!     lines: vec![Arc::new(Line::new(
//!         Id::derived(1),
//!         "Plan".into(),
//!         2_900,
//!         Period::new(start, end),
//!         Derivation::Given,
//!     ))],
//!     subtotal: 2_900,
//!     total: 2_900,
//!     amount_due: 2_900,
//! #   starting_balance: 0,
//! #   ending_balance: 0,
//! #   balance_transactions: Vec::new(),
//! #   status: InvoiceStatus::Open,
//! #   auto_advance: true,
//! #   total_discount_amounts: Vec::new(),
//! #   total_taxes: Vec::new(),
//! #   shipping_cost: None,
//! #   customer_tax_exempt: Default::default(),
//! #   discounts_used_up: Vec::new(),
//! #   customer_details: Default::default(),
//!     // …
//! })));
//!
//! let mut journal = Journal::default();
//! journal.record(&event, PostingRules::V1)?;
//!
//! // Ten days later ten of 29 days are earned. Debits are positive, credits negative.
//! let at: Timestamp = "2024-02-11T00:00:00Z".parse()?;
//! let balance = |account| journal.balance(account, Currency::USD, at);
//! assert_eq!(balance(Account::AccountsReceivable), 2_900);
//! assert_eq!(balance(Account::DeferredRevenue), -1_900);
//! assert_eq!(balance(Account::Revenue), -1_000);
//! assert!(journal.trial_balance(at).balanced);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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

mod account;
mod checkpoint;
mod entry;
mod invariant;
mod journal;
mod recognition;
mod rules;
mod schedules;
mod trial_balance;

pub use account::Account;
pub use checkpoint::CheckpointError;
pub use entry::{Entry, Posting, PostingError};
pub use invariant::{
    InvariantViolation, invariant_customer_balance_equals, invariant_every_entry_balances,
    invariant_receivables_equal, invariant_schedules_equal_deferred_revenue,
    invariant_trial_balance_balances,
};
pub use journal::Journal;
pub use recognition::recognized;
pub use rules::{PostingRules, post};
pub use trial_balance::{Row, TrialBalance};
