//! The tables of the aggregator.

mod chunk;
pub(crate) mod events;
pub(crate) mod identity;
pub(crate) mod index;
mod memory;
pub(crate) mod names;
mod rows;
pub(crate) mod sums;
pub(crate) mod usage;
