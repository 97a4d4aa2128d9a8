//! What is done to a book: a sequence of steps that follows from a seed.

use std::{fmt, time::Duration};

use counterfoil_log::{
    Log, LogError, LogOptions, Lsn, NewRecord, OpenError,
    limits::SEGMENT_BYTES_MIN,
    sim::{SimRandom, SimStorage},
};

use crate::{
    history::{History, record},
    oracle::{Violation, options},
};

/// Threads that take turns.
const WRITERS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A writer appends a record of so many bytes and does not wait.
    Append {
        writer: usize,
        bytes: usize,
        seed: u64,
    },
    /// A writer appends a record that carries the first batches of the log, as somebody does who
    /// keeps one log in another.
    Carry {
        writer: usize,
        seed: u64,
    },
    /// Space is written ahead.
    Reserve {
        bytes: u64,
    },
    /// A writer waits until what it appended last is with the system, and no longer.
    Buffer {
        writer: usize,
    },
    /// A writer waits for what it appended last.
    Wait {
        writer: usize,
    },
    Commit,
    /// The book is closed or dropped, and opened again.
    Reopen {
        close: bool,
    },
}

/// Steps on a book.
#[derive(Clone, Debug)]
pub struct Workload {
    steps: Vec<Step>,
    pub options: LogOptions,
}

impl Workload {
    /// So many steps. Most records are small, some take a good part of a segment, and one in thirty
    /// is larger than a segment.
    pub fn new(seed: u64, steps: usize) -> Self {
        let mut random = SimRandom::new(seed);
        let segment = usize::try_from(SEGMENT_BYTES_MIN).unwrap();
        let mut step = |_| {
            let writer = random.index(WRITERS);
            match random.below(20) {
                0 => Step::Reopen { close: random.one_in(2) },
                1 => Step::Commit,
                2..=5 => Step::Wait { writer },
                6 | 7 => Step::Buffer { writer },
                8 if random.one_in(3) => Step::Reserve { bytes: random.below(SEGMENT_BYTES_MIN) },
                9 if random.one_in(3) => Step::Carry { writer, seed: random.next_u64() },
                _ => {
                    let bytes = match random.below(30) {
                        0 => segment + random.index(segment),
                        1..=8 => random.index(segment / 3),
                        _ => random.index(200),
                    };
                    Step::Append { writer, bytes, seed: random.next_u64() }
                }
            }
        };
        let steps = (0..steps).map(&mut step).collect();
        let pending_bytes_max = if random.one_in(3) { segment / 2 } else { 1 << 20 };
        let options = LogOptions { pending_bytes_max, ..options() };
        Self { steps, options }
    }

    /// Does the steps, and closes the book. Every acknowledgement sets a mark on the disk.
    pub fn run(&self, storage: &SimStorage, history: &mut History) -> Ended {
        match self.steps(storage, history) {
            Ok(()) => Ended::Well,
            Err(ended) => ended,
        }
    }

    fn steps(&self, storage: &SimStorage, history: &mut History) -> Result<(), Ended> {
        let mut log = self.open(storage, history)?;
        let mut last_of = [Lsn::ZERO; WRITERS];
        for step in &self.steps {
            let failed = |error| ended(&log, error);
            match *step {
                Step::Append { writer, bytes, seed } => {
                    last_of[writer] = append(&log, history, record(seed, bytes))?;
                }
                Step::Carry { writer, seed } => {
                    let mut carrier = record(seed, 0);
                    if let Some(event) = carrier.events.first_mut() {
                        event.body = first_batches(storage);
                    }
                    last_of[writer] = append(&log, history, carrier)?;
                }
                Step::Reserve { bytes } => log.reserve(bytes).map_err(failed)?,
                Step::Wait { writer } => {
                    log.wait(last_of[writer]).map_err(failed)?;
                    storage.mark(history.acknowledge(last_of[writer]));
                }
                Step::Buffer { writer } => {
                    log.wait_buffered(last_of[writer]).map_err(failed)?;
                    storage.mark(history.buffer(last_of[writer]));
                }
                Step::Commit => {
                    let durable = log.commit().map_err(failed)?;
                    storage.mark(history.acknowledge(durable));
                }
                Step::Reopen { close } => {
                    if close {
                        log.close().map_err(failed)?;
                        storage.mark(history.acknowledge(log.last()));
                    }
                    drop(log);
                    log = self.open(storage, history)?;
                    last_of = [Lsn::ZERO; WRITERS];
                }
            }
        }
        log.close().map_err(|error| ended(&log, error))?;
        storage.mark(history.acknowledge(log.last()));
        Ok(())
    }

    fn open(&self, storage: &SimStorage, history: &mut History) -> Result<Log, Ended> {
        let (log, report) =
            Log::open(storage.clone(), self.options.clone()).map_err(Ended::NotOpened)?;
        let (records, _) = history.latest();
        let acknowledged = history.now().buffered;
        let last = usize::try_from(report.last.0).unwrap();
        if last < acknowledged || last > records.len() {
            let appended = records.len();
            return Err(Ended::Violated(Violation::Count { last, acknowledged, appended }));
        }
        storage.mark(history.reopen(report.last));
        Ok(log)
    }
}

/// Appends a record. It may be written by this already, and is by no means acknowledged.
fn append(log: &Log, history: &mut History, record: NewRecord) -> Result<Lsn, Ended> {
    let expected = history.append(record.clone());
    let given = log.append(record).map_err(|error| {
        history.take_back();
        ended(log, error)
    })?;
    assert_eq!(given, expected);
    Ok(given)
}

/// Some bytes of the first segment, from its first batch on.
fn first_batches(storage: &SimStorage) -> Vec<u8> {
    let files = storage.disk().files();
    let segment = files.get("0000000001.seg").map(Vec::as_slice).unwrap_or_default();
    let first = segment.windows(8).position(|bytes| bytes == b"CFLBATCH").unwrap_or(0);
    segment[first..].iter().copied().take(1_000).collect()
}

/// How a workload ended.
#[derive(Debug)]
pub enum Ended {
    /// With the book closed.
    Well,
    /// With a call that failed, after which all others gave the same error.
    Poisoned(LogError),
    /// The book was not opened again.
    NotOpened(OpenError),
    /// With a promise that was broken.
    Violated(Violation),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well => f.write_str("well"),
            Self::Poisoned(error) => error.fmt(f),
            Self::NotOpened(error) => write!(f, "not opened: {error}"),
            Self::Violated(violation) => violation.fmt(f),
        }
    }
}

/// What every call of a failed handle must say.
fn ended(log: &Log, error: LogError) -> Ended {
    let durable = log.durable();
    let calls = [
        ("append", log.append(record(1, 10)).map(drop)),
        ("wait", log.wait(durable).map(drop)),
        ("poll", log.poll(durable).map(drop)),
        ("commit", log.commit().map(drop)),
        ("wait beyond", log.wait_durable_beyond(durable, Duration::MAX).map(drop)),
        ("close", log.close()),
    ];
    if log.read_one(Lsn(1)).is_ok() || log.read(Lsn(1)).next().is_some_and(|read| read.is_ok()) {
        return Ended::Violated(Violation::NotPoisoned(format!("after {error}, it read")));
    }
    for (call, result) in calls {
        if result.as_ref() != Err(&error) {
            let what = format!("after {error}, {call} said {result:?}");
            return Ended::Violated(Violation::NotPoisoned(what));
        }
    }
    Ended::Poisoned(error)
}
