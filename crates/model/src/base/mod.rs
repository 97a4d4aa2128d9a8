//! What a state that was opened from a snapshot stands on: tables that lie still, under the maps
//! that change.
//!
//! A table is read as a whole, checked once, and then asked by key; nothing of it is decoded before
//! it is asked for. Customers' shards stay where the snapshot keeps them until one is needed.

mod compact;
mod due_queue;
mod forked;
mod layered;
mod shards;
mod table;
mod tree;

pub(crate) use compact::{decode, encode};
pub(crate) use due_queue::DueQueue;
pub(crate) use forked::Forked;
pub(crate) use layered::{Layered, Text};
pub(crate) use shards::Shards;
pub(crate) use table::{Archive, TextTable, TextTableBuilder};
pub(crate) use tree::{Near, Tree};

use crate::shard::Shard;
use counterfoil_billing::customer::CustomerId;
use counterfoil_core::Timestamp;
use std::fmt;

/// The parts of a snapshot of a state. The numbers stand in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// Settings, catalog and counters.
    Core,
    /// The journal.
    Journal,
    /// The customers' shards, one after the other.
    Shards,
    /// Where each shard lies.
    ShardTable,
    /// Who owns a subscription.
    Subscriptions,
    /// Which subscription has an item.
    SubscriptionItems,
    /// Who owns an invoice.
    Invoices,
    /// Where an invoice item is.
    InvoiceItems,
    /// Whose a prefix of invoice numbers is.
    Prefixes,
    /// What falls due.
    Due,
    /// Open attempts and remembered keys.
    Small,
}

impl Part {
    /// The number of the part in files.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Core => 1,
            Self::Journal => 2,
            Self::Shards => 3,
            Self::ShardTable => 4,
            Self::Subscriptions => 5,
            Self::SubscriptionItems => 6,
            Self::Invoices => 7,
            Self::InvoiceItems => 8,
            Self::Prefixes => 9,
            Self::Due => 10,
            Self::Small => 11,
        }
    }
}

/// Where the parts of a snapshot are read from. The implementation answers for their integrity:
/// of a whole part always, of a range not.
pub trait Source: Send + Sync {
    /// A whole part.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn part(&self, part: Part) -> Result<Vec<u8>, Unreadable>;

    /// Some bytes of a part, unchecked.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn range(&self, part: Part, from: u64, len: usize) -> Result<Vec<u8>, Unreadable>;

    /// What was sealed for a place.
    ///
    /// # Errors
    /// Why it cannot be opened: it was changed, belongs elsewhere, or was erased.
    fn open(&self, place: &SealedPlace, sealed: &[u8]) -> Result<Vec<u8>, Unreadable>;
}

/// What is sealed in a snapshot, for it can be opened nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPlace {
    /// Whose.
    pub customer: CustomerId,
    /// What: 0 the customer with all it owns, 1 what is remembered under an idempotency key.
    pub kind: u16,
    /// The version of the customer, or the time at which something was remembered.
    pub version: u64,
}

impl SealedPlace {
    pub(crate) fn of_shard(shard: &Shard) -> Self {
        Self { customer: shard.customer.id.clone(), kind: 0, version: shard.version }
    }

    pub(crate) fn of_answer(customer: &CustomerId, at: Timestamp) -> Self {
        let version = u64::from_le_bytes(at.unix().to_le_bytes());
        Self { customer: customer.clone(), kind: 1, version }
    }
}

/// Why a part of a snapshot cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl Unreadable {
    /// For this reason.
    #[must_use]
    pub fn because(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}
