//! SQLite: a table with a rowid, write-ahead log, `synchronous = FULL`.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{
    Client, Engine,
    queue::{self, Job},
};
use crate::{Result, payload::Record};

const INSERT: &str = "INSERT INTO log (body) VALUES (?1)";

/// How long a connection waits for the one that writes. Long enough that none gives up.
const BUSY: Duration = Duration::from_secs(120);

fn connect(dir: &Path) -> Result<Connection> {
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(dir.join("sqlite.db"), flags)?;
    connection.busy_timeout(BUSY)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(format!("SQLite's journal mode is {mode}").into());
    }
    connection.pragma_update(None, "synchronous", "full")?;
    // Nobody else has the file, where one connection does all: then it needs no shared memory.
    Ok(connection)
}

fn connect_alone(dir: &Path) -> Result<Connection> {
    let connection = connect(dir)?;
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    Ok(connection)
}

fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch("CREATE TABLE log (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")?;
    Ok(())
}

fn insert<'r>(
    connection: &mut Connection,
    records: impl IntoIterator<Item = &'r Record>,
) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut statement = transaction.prepare_cached(INSERT)?;
        for record in records {
            statement.execute([record.as_slice()])?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// A connection for each thread.
pub struct Connections {
    dir: std::path::PathBuf,
    /// Keeps the write-ahead log while clients come and go.
    _first: Mutex<Connection>,
}

impl Connections {
    pub fn open(dir: &Path) -> Result<Self> {
        let first = connect(dir)?;
        create(&first)?;
        Ok(Self { dir: dir.to_owned(), _first: Mutex::new(first) })
    }
}

impl Engine for Connections {
    fn client(&self) -> Result<Box<dyn Client + '_>> {
        Ok(Box::new(connect(&self.dir)?))
    }
}

impl Client for Connection {
    fn put(&mut self, records: &[Record]) -> Result<()> {
        insert(self, records)
    }
}

/// One connection, which threads use in turn.
pub struct Shared {
    connection: Mutex<Connection>,
}

impl Shared {
    pub fn open(dir: &Path) -> Result<Self> {
        let connection = connect_alone(dir)?;
        create(&connection)?;
        Ok(Self { connection: Mutex::new(connection) })
    }
}

impl Engine for Shared {
    fn client(&self) -> Result<Box<dyn Client + '_>> {
        Ok(Box::new(&self.connection))
    }
}

impl Client for &Mutex<Connection> {
    fn put(&mut self, records: &[Record]) -> Result<()> {
        insert(&mut self.lock().unwrap_or_else(PoisonError::into_inner), records)
    }
}

/// One connection, of the thread that writes for all.
pub struct Sink {
    connection: Connection,
}

impl Sink {
    pub fn open(dir: &Path) -> Result<Self> {
        let connection = connect_alone(dir)?;
        create(&connection)?;
        Ok(Self { connection })
    }
}

impl queue::Sink for Sink {
    fn write(&mut self, jobs: &[Job]) -> Result<()> {
        insert(&mut self.connection, jobs.iter().flat_map(|job| &job.records))
    }
}

pub fn read_all(dir: &Path, each: &mut dyn FnMut(&[u8])) -> Result<()> {
    let connection = connect(dir)?;
    let mut statement = connection.prepare("SELECT body FROM log ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row.get_ref(0)?.as_blob()?);
    }
    Ok(())
}
