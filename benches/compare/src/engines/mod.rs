//! The stores that are compared, each behind the same small door.

mod counterfoil;
mod fjall;
mod queue;
mod redb;
mod sqlite;

use std::path::Path;

use crate::{
    Result,
    payload::{Record, Total},
};

use counterfoil::Counterfoil;
pub use counterfoil::record;

/// A store that is open.
pub trait Engine: Sync {
    /// A door for one thread.
    fn client(&self) -> Result<Box<dyn Client + '_>>;
}

/// What one thread writes through.
pub trait Client {
    /// Writes the records and returns when all of them are on disk.
    fn put(&mut self, records: &[Record]) -> Result<()>;
}

/// One way of using one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Counterfoil,
    SqliteConnections,
    SqliteShared,
    SqliteWriter,
    RedbOwn,
    RedbWriter,
    FjallOwn,
    FjallWriter,
}

impl Side {
    pub const ALL: [Self; 8] = [
        Self::Counterfoil,
        Self::SqliteConnections,
        Self::SqliteShared,
        Self::SqliteWriter,
        Self::RedbOwn,
        Self::RedbWriter,
        Self::FjallOwn,
        Self::FjallWriter,
    ];

    /// The name in tables and arguments.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counterfoil => "counterfoil",
            Self::SqliteConnections => "sqlite-connections",
            Self::SqliteShared => "sqlite-shared",
            Self::SqliteWriter => "sqlite-writer",
            Self::RedbOwn => "redb-own",
            Self::RedbWriter => "redb-writer",
            Self::FjallOwn => "fjall-own",
            Self::FjallWriter => "fjall-writer",
        }
    }

    /// What is done, in a sentence.
    pub const fn says(self) -> &'static str {
        match self {
            Self::Counterfoil => "append, then wait; those who wait share a sync",
            Self::SqliteConnections => "a connection per thread, BEGIN IMMEDIATE, commit",
            Self::SqliteShared => "one connection behind a mutex, a commit per thread's turn",
            Self::SqliteWriter => "one writing thread, one transaction for all that is queued",
            Self::RedbOwn => "a write transaction per thread's turn, Durability::Immediate",
            Self::RedbWriter => "one writing thread, one transaction for all that is queued",
            Self::FjallOwn => "a write batch per thread's turn, PersistMode::SyncData",
            Self::FjallWriter => "one writing thread, one write batch for all that is queued",
        }
    }

    /// Opens a new store in an empty folder.
    pub fn open(self, dir: &Path) -> Result<Box<dyn Engine>> {
        Ok(match self {
            Self::Counterfoil => Box::new(Counterfoil::open(dir)?),
            Self::SqliteConnections => Box::new(sqlite::Connections::open(dir)?),
            Self::SqliteShared => Box::new(sqlite::Shared::open(dir)?),
            Self::SqliteWriter => Box::new(queue::Queued::new(sqlite::Sink::open(dir)?)),
            Self::RedbOwn => Box::new(redb::Own::open(dir)?),
            Self::RedbWriter => Box::new(queue::Queued::new(redb::Store::open(dir)?)),
            Self::FjallOwn => Box::new(fjall::Own::open(dir)?),
            Self::FjallWriter => Box::new(queue::Queued::new(fjall::Store::open(dir)?)),
        })
    }

    /// Opens what was written, after it was closed, and reads all of it in order of its keys.
    pub fn read_all(self, dir: &Path) -> Result<Total> {
        let mut total = Total::default();
        let mut each = |record: &[u8]| total.add(record);
        match self {
            Self::Counterfoil => counterfoil::read_all(dir, &mut each)?,
            Self::SqliteConnections | Self::SqliteShared | Self::SqliteWriter => {
                sqlite::read_all(dir, &mut each)?;
            }
            Self::RedbOwn | Self::RedbWriter => redb::read_all(dir, &mut each)?,
            Self::FjallOwn | Self::FjallWriter => fjall::read_all(dir, &mut each)?,
        }
        Ok(total)
    }
}
