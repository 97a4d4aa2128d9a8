//! The rule: what is recovered is a prefix of what was written, all that was acknowledged is in
//! it, and opening the book again, or losing the power again on the way, changes nothing of that.

use std::{fmt, sync::Arc};

use counterfoil_log::{
    Log, LogError, LogOptions, Lsn, OpenError, ReadError, Record,
    limits::SEGMENT_BYTES_MIN,
    sim::{SimDisk, SimFiles, SimRandom, SimStorage},
    verify,
};

use crate::history::{lsn, record, recorded};

/// A broken promise.
#[derive(Debug)]
pub enum Violation {
    /// A book that a crash left was not opened.
    Refused(OpenError),
    /// Fewer records than were acknowledged, or more than were appended.
    Count { last: usize, acknowledged: usize, appended: usize },
    /// A record reads otherwise than it was appended, or not at all.
    Record { lsn: Lsn, what: String },
    /// Bytes of the log are gone, and the report does not say so.
    SilentCut { file: String, before: usize, after: usize },
    /// Verifying says something else than opening.
    Verify(String),
    /// Opening once more gave something else.
    Unstable(String),
    /// A call failed where nothing was wrong with the disk.
    Failed(String),
    /// A call after a failed one did not say the same.
    NotPoisoned(String),
    /// Damage that nobody found.
    Undetected(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "a book that a crash left was refused: {error}"),
            Self::Count { last, acknowledged, appended } => write!(
                f,
                "{last} records are there, {acknowledged} were acknowledged, {appended} appended"
            ),
            Self::Record { lsn, what } => write!(f, "record {lsn}: {what}"),
            Self::SilentCut { file, before, after } => {
                write!(f, "{file} was cut from {before} to {after} bytes, and no report says so")
            }
            Self::Verify(what) => write!(f, "verifying: {what}"),
            Self::Unstable(what) => write!(f, "opened again: {what}"),
            Self::Failed(what) => write!(f, "failed: {what}"),
            Self::NotPoisoned(what) => write!(f, "not poisoned: {what}"),
            Self::Undetected(what) => write!(f, "undetected: {what}"),
        }
    }
}

/// How the books of the harness are opened.
pub fn options() -> LogOptions {
    LogOptions { segment_bytes: SEGMENT_BYTES_MIN, ..LogOptions::default() }
}

/// What a book may hold and must hold.
#[derive(Clone, Copy)]
pub struct Expected<'h> {
    pub records: &'h [Arc<Record>],
    pub acknowledged: usize,
}

impl Expected<'_> {
    fn check_count(&self, last: Lsn) -> Result<usize, Violation> {
        let Self { records, acknowledged } = *self;
        let (last, appended) = (usize::try_from(last.0).unwrap(), records.len());
        if last < acknowledged || last > appended {
            return Err(Violation::Count { last, acknowledged, appended });
        }
        Ok(last)
    }
}

/// Reads the whole book and compares it.
pub fn check_records(log: &Log, records: &[Arc<Record>]) -> Result<(), Violation> {
    let mut read = log.read(Lsn(1));
    for expected in records {
        let lsn = expected.lsn;
        match read.next() {
            Some(Ok(record)) if record == **expected => {}
            Some(Ok(_)) => return Err(Violation::Record { lsn, what: "another record".into() }),
            other => return Err(Violation::Record { lsn, what: format!("{other:?}") }),
        }
    }
    match read.next() {
        None => Ok(()),
        other => {
            let lsn = lsn(records.len() + 1);
            Err(Violation::Record { lsn, what: format!("none should be there: {other:?}") })
        }
    }
}

/// Where the last byte that is not zero ends.
fn content_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Bytes of the log that were there and are not, in a file that still is.
fn cut(before: &SimFiles, after: &SimFiles) -> Option<Violation> {
    before.iter().filter(|(name, _)| name.ends_with(".seg")).find_map(|(name, old)| {
        let new = after.get(name)?;
        let (before, after) = (content_end(old), content_end(new));
        (after < before).then(|| Violation::SilentCut { file: name.clone(), before, after })
    })
}

/// Opens what a crash left and holds it to the rule. The points of the storage are kept.
fn open_left(disk: &SimDisk, expected: Expected<'_>) -> Result<(Log, SimStorage), Violation> {
    let storage = SimStorage::of(disk.clone(), 1);
    let before = disk.files();
    let verified = verify(&storage);
    if before != storage.disk().files() {
        return Err(Violation::Verify("it changed the book".into()));
    }
    storage.keep_points();
    let (log, report) = Log::open(storage.clone(), options()).map_err(Violation::Refused)?;
    let last = expected.check_count(report.last)?;
    match verified {
        Ok(found) if !found.damage.is_empty() => {
            return Err(Violation::Verify(format!("damage in a book that opens: {found:?}")));
        }
        Ok(found) if found.last != report.last || found.tail != report.tail_cut => {
            return Err(Violation::Verify(format!("{found:?} and {report:?}")));
        }
        Err(error) if !report.created => return Err(Violation::Verify(error.to_string())),
        _ => {}
    }
    if report.tail_cut.is_none()
        && let Some(silent) = cut(&before, &storage.disk().files())
    {
        return Err(silent);
    }
    check_records(&log, &expected.records[..last])?;
    Ok((log, storage))
}

/// Opens what a crash left, opens it once more, appends to it, closes it, and opens it again.
/// Then lets the power go at so many of the moments of all that. Returns how many books that were.
pub fn check(
    disk: &SimDisk,
    expected: Expected<'_>,
    random: &mut SimRandom,
    second_crashes: usize,
) -> Result<u64, Violation> {
    let (log, storage) = open_left(disk, expected)?;
    let last = usize::try_from(log.last().0).unwrap();
    let all = check_stable(log, &storage, &expected.records[..last], random)?;
    let points = storage.take_points();
    let mut states = 1;
    for _ in 0..second_crashes {
        let Some(point) = random.pick(&points) else { break };
        let expected = match point.mark {
            // What the first opening found: it makes that durable, and may not have come so far.
            0 => expected,
            1 => Expected { records: &all, acknowledged: last },
            _ => Expected { records: &all, acknowledged: last + 1 },
        };
        let left = point.disk.after_power_loss(random);
        open_left(&left, expected)?;
        states += 1;
    }
    Ok(states)
}

/// A recovered book stays as it is, and can be used. Returns all its records, those `before` and
/// one more.
fn check_stable(
    log: Log,
    storage: &SimStorage,
    before: &[Arc<Record>],
    random: &mut SimRandom,
) -> Result<Vec<Arc<Record>>, Violation> {
    let last = log.last();
    let read = |error: ReadError| Violation::Failed(error.to_string());
    let head = log.head().map_err(read)?;
    drop(log);
    let (log, report) = Log::open(storage.clone(), options()).map_err(Violation::Refused)?;
    if report.last != last || report.tail_cut.is_some() || report.created {
        return Err(Violation::Unstable(format!("{last} before, then {report:?}")));
    }
    if log.head().map_err(read)? != head {
        return Err(Violation::Unstable(format!("another head at {last}")));
    }
    storage.mark(1);
    let failed = |error: LogError| Violation::Failed(error.to_string());
    let seed = random.next_u64();
    let next = log.append(record(seed, 100)).map_err(failed)?;
    log.wait(next).map_err(failed)?;
    storage.mark(2);
    log.close().map_err(failed)?;
    drop(log);
    let (log, report) = Log::open(storage.clone(), options()).map_err(Violation::Refused)?;
    if report.last != next || !report.clean {
        return Err(Violation::Unstable(format!("closed at {next}, then {report:?}")));
    }
    let mut all = before.to_vec();
    all.push(Arc::new(recorded(next, record(seed, 100))));
    check_records(&log, &all)?;
    if log.head_at(last).map_err(read)? != head {
        return Err(Violation::Unstable(format!("later another head at {last}")));
    }
    match verify(storage) {
        Ok(found) if found.damage.is_empty() && found.last == next => Ok(all),
        other => Err(Violation::Verify(format!("{other:?}"))),
    }
}
