//! The log of this project.

use std::path::Path;

use counterfoil_log::{FileStorage, Log, LogOptions, Lsn, NewEvent, NewRecord, RecordKind};

use super::{Client, Engine};
use crate::{
    Result,
    payload::{RECORD_BYTES, Record},
};

/// A log that is open.
pub struct Counterfoil {
    log: Log,
}

/// A record with one entry that holds `body`.
pub fn record(body: Vec<u8>) -> NewRecord {
    let event = NewEvent {
        stream: "c/1".into(),
        stream_version: 1,
        type_id: 1,
        schema: 1,
        body,
        personal: Vec::new(),
    };
    NewRecord { at: 0, kind: RecordKind::Events, meta: Vec::new(), events: vec![event] }
}

impl Counterfoil {
    pub fn open(dir: &Path) -> Result<Self> {
        let (log, _) = Log::open(FileStorage::open(dir)?, LogOptions::default())?;
        Ok(Self { log })
    }
}

impl Engine for Counterfoil {
    fn client(&self) -> Result<Box<dyn Client + '_>> {
        Ok(Box::new(Door { log: &self.log, record: record(vec![0; RECORD_BYTES]) }))
    }
}

impl Drop for Counterfoil {
    fn drop(&mut self) {
        if let Err(error) = self.log.close() {
            eprintln!("closing the log: {error}");
        }
    }
}

struct Door<'l> {
    log: &'l Log,
    /// The next record, whose bytes are written over.
    record: NewRecord,
}

impl Client for Door<'_> {
    fn put(&mut self, records: &[Record]) -> Result<()> {
        let mut last = Lsn(0);
        for bytes in records {
            self.record.events[0].body.copy_from_slice(bytes);
            last = self.log.append(&self.record)?;
        }
        self.log.wait(last)?;
        Ok(())
    }
}

pub fn read_all(dir: &Path, each: &mut dyn FnMut(&[u8])) -> Result<()> {
    let (log, _) = Log::open(FileStorage::open_existing(dir)?, LogOptions::default())?;
    for record in log.read(Lsn(1)) {
        for event in record?.events {
            each(&event.body);
        }
    }
    log.close()?;
    Ok(())
}
