//! redb: a table by number, commits with `Durability::Immediate`.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{
    Client, Engine,
    queue::{self, Job},
};
use crate::{Result, payload::Record};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

/// A database that is open.
pub struct Store {
    database: Database,
    next: AtomicU64,
}

impl Store {
    pub fn open(dir: &Path) -> Result<Self> {
        let database = Database::create(dir.join("log.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(LOG)?;
        transaction.commit()?;
        Ok(Self { database, next: AtomicU64::new(0) })
    }

    fn insert<'r>(&self, records: impl IntoIterator<Item = &'r Record>) -> Result<()> {
        // A transaction waits for the one before it.
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(LOG)?;
            for record in records {
                // Numbered under the lock of the transaction, so always at the end of the tree.
                table.insert(self.next.fetch_add(1, Ordering::Relaxed), record.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

impl queue::Sink for Store {
    fn write(&mut self, jobs: &[Job]) -> Result<()> {
        self.insert(jobs.iter().flat_map(|job| &job.records))
    }
}

/// Transactions of all threads, one after the other.
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
    let database = Database::open(dir.join("log.redb"))?;
    let transaction = database.begin_read()?;
    for entry in transaction.open_table(LOG)?.iter()? {
        each(entry?.1.value());
    }
    Ok(())
}
