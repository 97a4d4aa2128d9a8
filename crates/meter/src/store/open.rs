//! Opening a store: from the latest checkpoint that can be used, or from nothing, and then what the
//! log says from there on. Writing checkpoints.

use super::gate::Whole;
use super::inner::{Inner, Kernel};
use super::record::Fact;
use super::{StoreCheckpointError, StoreError, StoreOpenError, StoreOptions};
use crate::block::fnv1a;
use crate::{Aggregator, AlertError, AlertStatus, CHECKPOINT_LAYOUT, Capacity, Position};
use counterfoil_core::{Id, Timestamp, kind};
use counterfoil_log::{Durability, Log, Lsn, RecordRef, SnapshotStamp, Storage};
use std::sync::PoisonError;

/// The section that holds the meters.
const METERS: u32 = 1;
/// What changes whenever a checkpoint would be read as another one than was written.
const FINGERPRINT: u64 = fnv1a(CHECKPOINT_LAYOUT.as_bytes())
    ^ fnv1a(concat!("meter store 1; ", env!("CARGO_PKG_VERSION")).as_bytes());

/// What was found when a store was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreOpened {
    /// What the log says of it.
    pub log: counterfoil_log::OpenReport,
    /// The checkpoint that it stands on; none where all of the log was replayed.
    pub checkpoint: Option<Position>,
    /// Records that were replayed.
    pub replayed: u64,
    /// Checkpoints that could not be used, and why. The log alone says the same.
    pub skipped: Vec<(Position, String)>,
}

/// A checkpoint that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The record up to which it goes.
    pub position: Position,
    /// Bytes of it.
    pub bytes: u64,
    /// The older ones that were removed.
    pub removed: Vec<Position>,
}

pub(super) fn open(
    storage: impl Storage,
    options: StoreOptions,
) -> Result<(Inner, StoreOpened), StoreOpenError> {
    let (log, report) = Log::open(storage, options.log.clone())?;
    let mut opened =
        StoreOpened { log: report, checkpoint: None, replayed: 0, skipped: Vec::new() };
    let listed = log.snapshots().unwrap_or_else(|error| {
        opened.skipped.push((Position(0), error.to_string()));
        Vec::new()
    });
    for lsn in listed.into_iter().rev() {
        // Where a record does not fit the checkpoint, it is replayed again without.
        let begun = begin(&log, lsn, &options)
            .and_then(|kernel| spilling(kernel, &options).map_err(|error| error.to_string()))
            .and_then(|kernel| replay(&log, kernel).map_err(|error| error.to_string()));
        match begun {
            Ok(kernel) => {
                opened.checkpoint = Some(Position(lsn.0));
                return Ok(finish(log, kernel, options, opened, lsn));
            }
            Err(reason) => opened.skipped.push((Position(lsn.0), reason)),
        }
    }
    let mut meters = empty(&options);
    meters.reserve(options.capacity);
    let kernel = replay(&log, spilling(Kernel::new(meters, 0, 0), &options)?)?;
    Ok(finish(log, kernel, options, opened, Lsn::ZERO))
}

fn finish(
    log: Log,
    kernel: Kernel,
    options: StoreOptions,
    mut opened: StoreOpened,
    from: Lsn,
) -> (Inner, StoreOpened) {
    opened.replayed = kernel.last.saturating_sub(from.0);
    (Inner::new(log, kernel, options), opened)
}

/// The kernel, which moves events out of memory where that is asked for.
#[cfg(feature = "spill")]
fn spilling(mut kernel: Kernel, options: &StoreOptions) -> Result<Kernel, StoreOpenError> {
    kernel.spilling = options.spill.as_ref().map(super::spilling::Spilling::begin).transpose()?;
    kernel.spill();
    Ok(kernel)
}

/// The kernel itself.
#[cfg(not(feature = "spill"))]
#[expect(clippy::unnecessary_wraps, reason = "as above")]
fn spilling(kernel: Kernel, _: &StoreOptions) -> Result<Kernel, StoreOpenError> {
    Ok(kernel)
}

fn empty(options: &StoreOptions) -> Aggregator {
    let meters = match options.key {
        Some(key) => Aggregator::with_key(options.dedupe, key),
        None => Aggregator::new(options.dedupe),
    };
    meters.threads(options.threads)
}

/// The meters of a checkpoint, or why it is of no use.
fn begin(log: &Log, lsn: Lsn, options: &StoreOptions) -> Result<Kernel, String> {
    let snapshot = log.open_snapshot(lsn, FINGERPRINT).map_err(|error| error.to_string())?;
    let bytes = snapshot.section(METERS).map_err(|error| error.to_string())?;
    let mut meters = empty(options);
    if options.capacity != Capacity::default() {
        meters.reserve(options.capacity);
    }
    let meters = meters.restored(&bytes).map_err(|error| error.to_string())?;
    if meters.position() > Position(lsn.0) {
        return Err("it goes further than its record".to_owned());
    }
    Ok(Kernel::new(meters, lsn.0, snapshot.info().at))
}

/// Takes in the records that follow.
fn replay(log: &Log, mut kernel: Kernel) -> Result<Kernel, StoreOpenError> {
    let mut records = log.read(Lsn(kernel.last.saturating_add(1)));
    while let Some(record) = records.next_ref() {
        let record = record?;
        let applied = apply(&mut kernel, record);
        applied.map_err(|reason| StoreOpenError::Record { lsn: record.lsn(), reason })?;
        (kernel.last, kernel.at) = (record.lsn().0, record.at());
    }
    Ok(kernel)
}

fn apply(kernel: &mut Kernel, record: RecordRef<'_>) -> Result<(), String> {
    let fact = Fact::decode(record)?;
    kernel.note(&fact);
    let meters = &mut kernel.meters;
    let changed = match fact {
        Fact::Block(block) => {
            meters.apply(Position(record.lsn().0), &block);
            kernel.spill();
            Ok(())
        }
        Fact::Defined(meter, config) => meters.define(meter, config),
        Fact::Deactivated(meter) => meters.deactivate(&meter),
        Fact::Reactivated(meter) => meters.reactivate(&meter),
        Fact::AlertDefined(alert, threshold) => {
            let defined = meters.define_alert(alert, &threshold);
            return defined.map_err(|error| error.to_string());
        }
        Fact::AlertChanged(alert, status) => {
            let changed = set_alert(meters, &alert, status);
            return changed.map_err(|error| error.to_string());
        }
    };
    changed.map_err(|error| error.to_string())
}

/// Changes whether an alert watches.
pub(super) fn set_alert(
    meters: &mut Aggregator,
    alert: &Id<kind::Alert>,
    status: AlertStatus,
) -> Result<(), AlertError> {
    match status {
        AlertStatus::Active => meters.activate_alert(alert),
        AlertStatus::Inactive => meters.deactivate_alert(alert),
        AlertStatus::Archived => meters.archive_alert(alert),
    }
}

impl Inner {
    /// Writes a checkpoint of what is there now, and removes those that are too old to be kept.
    pub(super) fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreCheckpointError> {
        // What the lock guards is on disk, and whole whatever became of the thread that had it.
        let _one = self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        let (capture, last, at) = {
            let Whole { kernel, .. } = &self.whole()?;
            (kernel.meters.capture(), kernel.last, kernel.at)
        };
        if last == 0 {
            return Ok(None);
        }
        self.wait(last, Durability::Synced)?;
        let bytes = capture.encode()?;
        drop(capture);
        let stamp = SnapshotStamp { lsn: Lsn(last), at, fingerprint: FINGERPRINT };
        let written = self.log.write_snapshot(stamp, |writer| {
            writer.begin(METERS)?;
            writer.write(&bytes)
        });
        let written = written.and_then(|info| {
            Ok((info, self.log.retain_snapshots(self.options.checkpoints_kept.max(1))?))
        });
        if written.is_err() {
            // A directory that cannot be synced is the end of the log as well.
            let poisoned = self.log.poll(Lsn::ZERO);
            poisoned.map_err(|error| self.fail(error.into()))?;
        }
        let (info, removed) = written?;
        let removed = removed.into_iter().map(|lsn| Position(lsn.0)).collect();
        Ok(Some(Checkpoint { position: Position(last), bytes: info.bytes, removed }))
    }

    /// Judges and writes all that was given, and closes the log.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        if self.check() == Err(StoreError::Closed) {
            return Ok(());
        }
        let settled = self.settle();
        let closed = self.log.close().map_err(|error| self.fail(error.into()));
        self.fail(StoreError::Closed);
        self.end();
        settled.and(closed)
    }

    /// Makes all that was given durable; how far that is.
    pub(super) fn settle(&self) -> Result<u64, StoreError> {
        self.flush()?;
        let last = self.look()?.last;
        self.wait(last, Durability::Synced)?;
        Ok(last)
    }

    /// A time as the log keeps it.
    pub(super) fn written_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let kernel = self.look()?;
        Ok((kernel.last > 0).then(|| Timestamp::from_unix(kernel.at).ok()).flatten())
    }
}
