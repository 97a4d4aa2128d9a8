//! fjall: a keyspace by big-endian number, write batches with `PersistMode::SyncData`.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{
    Client, Engine,
    queue::{self, Job},
};
use crate::{Result, payload::Record};

/// A database that is open.
pub struct Store {
    database: Database,
    log: Keyspace,
    next: AtomicU64,
}

fn open(dir: &Path) -> Result<(Database, Keyspace)> {
    let database = Database::builder(dir.join("fjall")).open()?;
    let log = database.keyspace("log", KeyspaceCreateOptions::default)?;
    Ok((database, log))
}

impl Store {
    pub fn open(dir: &Path) -> Result<Self> {
        let (database, log) = open(dir)?;
        Ok(Self { database, log, next: AtomicU64::new(0) })
    }

    fn insert<'r>(&self, records: impl IntoIterator<Item = &'r Record>) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for record in records {
            let key = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            batch.insert(&self.log, key, record.as_slice());
        }
        batch.commit()?;
        Ok(())
    }
}

impl queue::Sink for Store {
    fn write(&mut self, jobs: &[Job]) -> Result<()> {
        self.insert(jobs.iter().flat_map(|job| &job.records))
    }
}

/// Batches of all threads.
pub struct Own {
    store: Store,
}

impl Own {
    pub fn open(dir: &Path) -> Result<Self> {
        Ok(Self { store: Store::open(dir)? })
    }
}

impl Engine for Own {
    fn client(&self) -> Result<Box<dyn Client + '_>> {
        Ok(Box::new(&self.store))
    }
}

impl Client for &Store {
    fn put(&mut self, records: &[Record]) -> Result<()> {
        self.insert(records)
    }
}

pub fn read_all(dir: &Path, each: &mut dyn FnMut(&[u8])) -> Result<()> {
    let (_database, log) = open(dir)?;
    for entry in log.iter() {
        each(&entry.value()?);
    }
    Ok(())
}
