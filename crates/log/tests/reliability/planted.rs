//! R28: the harness finds bugs. Each one is planted, and the checks named in the table must report
//! a violation, which they do not without it.

use counterfoil_log::{
    bugs::{Bug, plant},
    sim::{SimCall, SimFault},
};

use crate::{
    beside, faults, names, oracle::Violation, power_loss, sectors, size::is_large, truncation,
};

/// A check of the harness, as small as it may be to find the bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// R2
    PowerLoss,
    /// R2 where many batches wait for one sync
    Relaxed,
    /// R3
    Truncation,
    /// R4
    Bits,
    /// R4 in a book that was not closed
    BitsOpen,
    /// R5
    Sectors,
    /// R17
    Forgeries,
    /// R6
    FailedSyncs,
    /// Batches that a torn record carries
    Carried,
    /// R7
    FullDisk,
    /// R8
    Names,
    /// Snapshots of power losses and of other books
    Snapshots,
    /// Destroyed keys and power losses
    Keys,
}

impl Check {
    const ALL: [Self; 13] = [
        Self::PowerLoss,
        Self::Relaxed,
        Self::Truncation,
        Self::Bits,
        Self::BitsOpen,
        Self::Sectors,
        Self::Forgeries,
        Self::FailedSyncs,
        Self::Carried,
        Self::FullDisk,
        Self::Names,
        Self::Snapshots,
        Self::Keys,
    ];

    /// Whether it reports a violation, and which.
    fn run(self) -> Result<(), Violation> {
        let each = |check: &dyn Fn(u64) -> Result<(), Violation>| (0..4).try_for_each(check);
        match self {
            Self::PowerLoss => each(&|seed| power_loss::sweep(seed, 25, 2).map(drop)),
            Self::Relaxed => power_loss::sweep_relaxed(1, 40).map(drop),
            Self::Truncation => truncation::sweep(3, 8 << 10, 31),
            Self::Bits => sectors::sweep_bits(4, 8 << 10, 61),
            Self::BitsOpen => sectors::sweep_bits_open(5, 6 << 10, 61).map(drop),
            Self::Forgeries => each(&|seed| sectors::sweep_forged(seed, 30).map(drop)),
            Self::Snapshots => each(&|seed| beside::sweep_snapshots(seed).map(drop)),
            Self::Keys => each(&|seed| beside::sweep_keys(seed).map(drop)),
            Self::Sectors => each(&|seed| sectors::sweep(seed, 40).map(drop)),
            Self::FailedSyncs => {
                each(&|seed| faults::sweep(seed, 25, SimCall::Sync, SimFault::Io).map(drop))
            }
            Self::FullDisk => {
                each(&|seed| faults::sweep(seed, 25, SimCall::Write, SimFault::Short).map(drop))
            }
            Self::Carried => sectors::carried_batches(),
            Self::Names => each(&|seed| names::sweep(seed, 25, 1).map(drop)),
        }
    }
}

/// The check that finds a bug first. At the larger sizes all of them are tried on each bug.
const TABLE: &[(Bug, Check)] = &[
    (Bug::SyncLeftOut, Check::PowerLoss),
    (Bug::DirectorySyncLeftOut, Check::PowerLoss),
    (Bug::AcknowledgedBeforeSync, Check::PowerLoss),
    (Bug::FailedSyncRetried, Check::FailedSyncs),
    (Bug::ErrorForgotten, Check::FailedSyncs),
    (Bug::FullDiskIgnored, Check::FullDisk),
    (Bug::SegmentSyncedWithBatch, Check::PowerLoss),
    (Bug::MarkTooHigh, Check::Relaxed),
    (Bug::ManifestNotRenamed, Check::Names),
    (Bug::ClosedBeforeSync, Check::PowerLoss),
    (Bug::ChecksumWithoutPlace, Check::Carried),
    (Bug::CutAtFirstBadBatch, Check::BitsOpen),
    (Bug::CutNotReported, Check::PowerLoss),
    (Bug::TailNotCut, Check::PowerLoss),
    (Bug::RewriteLeftOut, Check::FailedSyncs),
    (Bug::RecordNotSummed, Check::BitsOpen),
    (Bug::PaddingNotChecked, Check::BitsOpen),
    (Bug::TreeNotChecked, Check::Forgeries),
    (Bug::SnapshotTrusted, Check::Snapshots),
    (Bug::ErasureNotSynced, Check::Keys),
];

#[test]
fn r28_every_planted_bug_is_found() {
    for check in Check::ALL {
        if let Err(violation) = check.run() {
            panic!("{check:?} without a bug: {violation}");
        }
    }
    let mut missed = Vec::new();
    for (bug, finder) in TABLE {
        let _planted = plant(*bug);
        let checks = if is_large() { Check::ALL.to_vec() } else { vec![*finder] };
        let found = checks.into_iter().filter_map(|check| Some((check, check.run().err()?)));
        let found: Vec<(Check, Violation)> = found.collect();
        let finders: Vec<Check> = found.iter().map(|(check, _)| *check).collect();
        match found.iter().find(|(check, _)| check == finder) {
            Some((_, violation)) => println!("R28: {bug:?} by {finders:?}: {violation}"),
            None => missed.push((bug, finder)),
        }
    }
    println!("R28: {} of {} planted bugs found", TABLE.len() - missed.len(), TABLE.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}
