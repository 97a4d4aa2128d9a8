//! The billing domain as pure state machines: what a command may do, and what an event did. No
//! I/O, no clock, no randomness, no float; every input is an argument.
//!
//! One module per resource: [`catalog`] (products, prices and the rating of a quantity),
//! [`customer`] (and its balance), [`discount`] (coupons and their codes), [`tax`], [`subscription`], [`invoice`] (and the items that wait for one)
//! and [`meter`]. In each, *commands* are what a caller asks for, *decide* turns a command into
//! events or a [`Refusal`](counterfoil_core::Refusal), and *evolve* applies an event and cannot
//! fail. An event carries every amount it caused, so replaying events never computes one again.
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

pub mod alert;
pub mod catalog;
pub mod credit_note;
pub mod customer;
pub mod discount;
mod event;
pub mod invoice;
pub mod meter;
mod patch;
mod personal;
pub mod policy;
pub mod quote;
mod rare;
pub mod schedule;
pub mod subscription;
pub mod tax;
pub mod text;
mod upcast;

pub use event::Event;
pub use patch::Patch;
pub use personal::{PersonalData, Texts};
pub use policy::Policies;
pub use rare::{Nothing, Rare};
pub use upcast::{Stored, UPCASTS, Upcast};

/// Whether a field need not be written: reading puts the same value there.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
