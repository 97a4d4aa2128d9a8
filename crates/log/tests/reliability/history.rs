//! What a workload did to a book: what was appended, and what was acknowledged when.

use std::sync::Arc;

use counterfoil_log::{
    Lsn, NewEvent, NewRecord, Record, RecordKind, RecordedEvent, sim::SimRandom,
};

/// A record of some size that no other seed gives.
pub fn record(seed: u64, bytes: usize) -> NewRecord {
    let mut random = SimRandom::new(seed);
    let mut body = Vec::with_capacity(bytes + 8);
    while body.len() < bytes {
        body.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    body.truncate(bytes);
    let version = random.below(1 << 40);
    let event = |stream: String, body: Vec<u8>, personal: &[u8]| NewEvent {
        stream: stream.into(),
        stream_version: version,
        type_id: 3,
        schema: 2,
        body,
        personal: personal.to_vec(),
    };
    let stream = format!("customer/{}", random.below(5));
    let (kind, events) = match random.below(4) {
        0 => (RecordKind::Block, vec![event(String::new(), body, b"")]),
        1 => (RecordKind::Note, vec![event(String::new(), body, b"")]),
        _ => {
            let second = event("book".to_owned(), seed.to_le_bytes().to_vec(), b"");
            (RecordKind::Events, vec![event(stream, body, b"Ada"), second])
        }
    };
    NewRecord { at: i64::try_from(seed >> 1).unwrap(), kind, meta: b"m".to_vec(), events }
}

/// What is read after `record` was appended as `lsn`.
pub fn recorded(lsn: Lsn, record: NewRecord) -> Record {
    let NewRecord { at, kind, meta, events } = record;
    let events = events.into_iter().map(|event| RecordedEvent {
        stream: event.stream,
        stream_version: event.stream_version,
        type_id: event.type_id,
        schema: event.schema,
        body: event.body,
        personal: event.personal,
    });
    Record { lsn, at, kind, meta, events: events.collect() }
}

/// What a book may hold at some moment: all that was appended until it was next opened again, and
/// how much of it was acknowledged.
#[derive(Clone, Debug)]
pub struct Stage {
    pub generation: usize,
    /// Records that outlive the power.
    pub acknowledged: usize,
    /// Records that outlive the process.
    pub buffered: usize,
}

/// All that was done.
#[derive(Debug, Default)]
pub struct History {
    /// The records of the book as each of its users appended them, those before included. What the
    /// last one had not waited for may be gone from the next list.
    generations: Vec<Vec<Arc<Record>>>,
    /// By the mark that was set on the disk.
    stages: Vec<Stage>,
}

impl History {
    /// A book that nobody has opened.
    pub fn new() -> Self {
        let stage = Stage { generation: 0, acknowledged: 0, buffered: 0 };
        Self { generations: vec![Vec::new()], stages: vec![stage] }
    }

    fn current(&mut self) -> &mut Vec<Arc<Record>> {
        self.generations.last_mut().unwrap()
    }

    pub fn now(&self) -> Stage {
        self.stages.last().unwrap().clone()
    }

    pub fn appended(&self) -> usize {
        self.generations.last().unwrap().len()
    }

    pub fn append(&mut self, record: NewRecord) -> Lsn {
        let lsn = lsn(self.appended() + 1);
        self.current().push(Arc::new(recorded(lsn, record)));
        lsn
    }

    /// Takes back what was appended last: it was refused.
    pub fn take_back(&mut self) {
        self.current().pop();
    }

    /// All records up to this one are acknowledged. Returns the mark to be set.
    pub fn acknowledge(&mut self, lsn: Lsn) -> u64 {
        let lsn = usize::try_from(lsn.0).unwrap();
        let now = self.now();
        let acknowledged = now.acknowledged.max(lsn);
        self.stages.push(Stage { acknowledged, buffered: now.buffered.max(lsn), ..now });
        self.mark()
    }

    /// All records up to this one are with the system. Returns the mark to be set.
    pub fn buffer(&mut self, lsn: Lsn) -> u64 {
        let now = self.now();
        let buffered = now.buffered.max(usize::try_from(lsn.0).unwrap());
        self.stages.push(Stage { buffered, ..now });
        self.mark()
    }

    /// The book was opened again and holds so many records. Returns the mark to be set.
    pub fn reopen(&mut self, last: Lsn) -> u64 {
        let mut records = self.current().clone();
        let last = usize::try_from(last.0).unwrap();
        records.truncate(last);
        self.generations.push(records);
        // Opening makes durable what it finds.
        let generation = self.generations.len() - 1;
        let stage = Stage { generation, acknowledged: last, buffered: last };
        self.stages.push(stage);
        self.mark()
    }

    fn mark(&self) -> u64 {
        u64::try_from(self.stages.len() - 1).unwrap()
    }

    /// What the book may hold at a mark, and how much of it it must.
    pub fn at(&self, mark: u64) -> (&[Arc<Record>], usize) {
        let stage = &self.stages[usize::try_from(mark).unwrap()];
        (&self.generations[stage.generation], stage.acknowledged)
    }

    /// How many records a process that was killed at a mark leaves.
    pub fn buffered_at(&self, mark: u64) -> usize {
        self.stages[usize::try_from(mark).unwrap()].buffered
    }

    /// What the book may hold now, and how much of it it must.
    pub fn latest(&self) -> (&[Arc<Record>], usize) {
        self.at(self.mark())
    }
}

pub fn lsn(number: usize) -> Lsn {
    Lsn(u64::try_from(number).unwrap())
}
