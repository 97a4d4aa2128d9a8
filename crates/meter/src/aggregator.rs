//! The aggregator: which meters there are, and what was used on each.

mod adjust;
mod admit;
mod alerts;
mod apply;
mod breakdown;
mod canonical;
mod checkpoint;
mod judge;
mod place;
mod read;
mod restore;
mod rows;
mod running;
mod size;
mod take;
mod windows;

pub use alerts::{AlertStatus, AlertTriggered, AlertsAtMost, UsageThreshold};
pub use breakdown::Breakdown;
pub use checkpoint::{CHECKPOINT_LAYOUT, Capture, CheckpointError};
#[cfg(feature = "store")]
pub(crate) use read::largest;
pub use read::{Grouping, Summary, UsageEvent, UsageReading, UsageTotals};
pub use size::{Capacity, Memory};
pub use windows::LateUsage;

use crate::kernel::events::Events;
use crate::kernel::identity::Key;
use crate::kernel::names::Names;
use crate::kernel::usage::{self, Lanes};
use crate::{Block, DedupePolicy, MeterConfig, MeterError};
use counterfoil_core::{Id, Timestamp, kind, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The place of a block in the log: the number of the record that holds it. As a cut it means all
/// that was applied up to and with this place.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The cut behind everything.
    pub const MAX: Self = Self(u64::MAX);
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The pure kernel: a state machine over blocks of events.
///
/// Ingest has two phases, so that a log can stand between them: [`Aggregator::admit`] judges
/// events and returns a [`Block`](crate::Block); once that is logged, [`Aggregator::apply`] takes
/// it in, which cannot fail. Applying the same blocks at the same positions to an aggregator with
/// the same meters gives the same state, whatever judged them. [`Aggregator::take`] does both at
/// once, for who logs nothing or answers only when the block is logged.
#[derive(Debug, Clone)]
pub struct Aggregator {
    policy: DedupePolicy,
    key: Key,
    threads: usize,
    /// By the numbers that events carry.
    meters: Vec<Meter>,
    /// What is kept for each of them.
    lanes: Vec<Lanes>,
    by_id: BTreeMap<Id<kind::Meter>, u16>,
    by_name: BTreeMap<String, u16>,
    /// One for each block applied.
    epochs: Vec<Epoch>,
    customers: Names,
    /// For each customer the last call in which the caller said that it exists.
    known_in: Vec<u32>,
    /// Counts calls of [`Aggregator::take`].
    calls: u32,
    /// For each customer its code in the block of a call, and the call.
    codes: Vec<(u32, u32)>,
    events: Events,
    usage: Vec<usage::Part>,
    /// The memory of a block that is of no more use, for the next one.
    spare: Option<Block>,
    alerts: alerts::Alerts,
    scratch: take::Scratch,
}

/// A meter.
#[derive(Debug, Clone)]
struct Meter {
    id: Id<kind::Meter>,
    config: MeterConfig,
    active: bool,
    lanes: Lanes,
    /// How many events it ever took.
    taken: u64,
}

/// What the events of one block share.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    position: Position,
    received_at: Timestamp,
}

impl Default for Aggregator {
    fn default() -> Self {
        Self::new(DedupePolicy::default())
    }
}

impl Aggregator {
    /// An aggregator without meters.
    #[must_use]
    pub fn new(policy: DedupePolicy) -> Self {
        Self::keyed(policy, Key::default())
    }

    /// The same, with a key that those who choose identifiers do not know: without one they could
    /// choose such as slow the aggregator down. It changes no answer, and may differ from one
    /// opening to the next.
    #[must_use]
    pub fn with_key(policy: DedupePolicy, key: [u8; 32]) -> Self {
        Self::keyed(policy, Key::new(key))
    }

    fn keyed(policy: DedupePolicy, key: Key) -> Self {
        Self {
            policy,
            key,
            threads: 1,
            meters: Vec::new(),
            lanes: Vec::new(),
            by_id: BTreeMap::new(),
            by_name: BTreeMap::new(),
            epochs: Vec::new(),
            customers: Names::new(key),
            known_in: Vec::new(),
            calls: 0,
            codes: Vec::new(),
            events: Events::new(key),
            alerts: alerts::Alerts::default(),
            usage: (0..crate::kernel::events::PARTS).map(|_| usage::Part::new(key)).collect(),
            spare: None,
            scratch: take::Scratch::default(),
        }
    }

    /// Lets large batches be taken in by so many threads, at most eight; 1 where nothing is said.
    /// It changes no answer.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, crate::kernel::events::PARTS);
        self
    }

    /// An aggregator without meters, under the same policy, key and number of threads.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::keyed(self.policy, self.key).threads(self.threads)
    }

    /// Adds a meter, active.
    ///
    /// # Errors
    /// [`MeterError::AlreadyDefined`], [`MeterError::EventNameTaken`] (a name belongs to its meter
    /// even while that is inactive), [`MeterError::EventNameLength`], [`MeterError::TooMany`],
    /// [`MeterError::TooManyDimensions`] and [`MeterError::Dimension`]; nothing changes.
    pub fn define(
        &mut self,
        meter: Id<kind::Meter>,
        config: MeterConfig,
    ) -> Result<(), MeterError> {
        let event_name = &config.event_name;
        if event_name.is_empty() || event_name.len() > limits::ID_BYTES_MAX {
            return Err(MeterError::EventNameLength { bytes: event_name.len() });
        }
        config.check_dimensions()?;
        if self.by_id.contains_key(&meter) {
            return Err(MeterError::AlreadyDefined { meter });
        }
        if let Some(owner) = self.meter_of(event_name) {
            let event_name = event_name.clone();
            return Err(MeterError::EventNameTaken { event_name, meter: owner.clone() });
        }
        let number = match u16::try_from(self.meters.len()) {
            Ok(number) if number < u16::MAX => number,
            _ => return Err(MeterError::TooMany { meter }),
        };
        self.by_name.insert(event_name.clone(), number);
        self.by_id.insert(meter.clone(), number);
        let lanes = config.lanes();
        self.lanes.push(lanes);
        self.meters.push(Meter { id: meter, config, active: true, lanes, taken: 0 });
        Ok(())
    }

    /// Makes a meter refuse events from now on (rule 12.1). What it counted stays, and can still
    /// be cancelled. An inactive meter stays as it is.
    ///
    /// # Errors
    /// [`MeterError::Unknown`].
    pub fn deactivate(&mut self, meter: &Id<kind::Meter>) -> Result<(), MeterError> {
        self.set_active(meter, false)
    }

    /// Makes a meter take events again (rule 12.1). An active meter stays as it is.
    ///
    /// # Errors
    /// [`MeterError::Unknown`].
    pub fn reactivate(&mut self, meter: &Id<kind::Meter>) -> Result<(), MeterError> {
        self.set_active(meter, true)
    }

    fn set_active(&mut self, meter: &Id<kind::Meter>, active: bool) -> Result<(), MeterError> {
        let number = self.number(meter)?;
        if let Some(meter) = self.meters.get_mut(usize::from(number)) {
            meter.active = active;
        }
        Ok(())
    }

    /// Lets the next block be made in the memory of one that is of no more use.
    #[cfg(feature = "store")]
    pub(crate) fn lend(&mut self, block: Option<Block>) {
        self.spare = block;
    }

    /// How long identifiers are remembered.
    #[must_use]
    pub const fn policy(&self) -> DedupePolicy {
        self.policy
    }

    /// All meters by id, with whether each is active.
    pub fn meters(&self) -> impl Iterator<Item = (&Id<kind::Meter>, &MeterConfig, bool)> {
        let meters = self.by_id.values().filter_map(|&number| self.meter(number));
        meters.map(|meter| (&meter.id, &meter.config, meter.active))
    }

    /// The meter that takes this event name, active or not.
    #[must_use]
    pub fn meter_of(&self, event_name: &str) -> Option<&Id<kind::Meter>> {
        self.named(event_name).map(|(_, meter)| &meter.id)
    }

    /// What a meter counts.
    #[must_use]
    pub fn config(&self, meter: &Id<kind::Meter>) -> Option<&MeterConfig> {
        self.meter(*self.by_id.get(meter)?).map(|meter| &meter.config)
    }

    /// The position of the last block applied; 0 before any.
    #[must_use]
    pub fn position(&self) -> Position {
        self.epochs.last().map(|epoch| epoch.position).unwrap_or_default()
    }

    fn meter(&self, number: u16) -> Option<&Meter> {
        self.meters.get(usize::from(number))
    }

    fn number(&self, meter: &Id<kind::Meter>) -> Result<u16, MeterError> {
        let number = self.by_id.get(meter).copied();
        number.ok_or_else(|| MeterError::Unknown { meter: meter.clone() })
    }

    fn named(&self, event_name: &str) -> Option<(u16, &Meter)> {
        let number = *self.by_name.get(event_name)?;
        Some((number, self.meter(number)?))
    }

    /// Begins an epoch at a position; its number. `None` below the last position, and where epochs
    /// are used up.
    fn begin(&mut self, position: Position, received_at: Timestamp) -> Option<u32> {
        if position < self.position() {
            return None;
        }
        // The last number stands for an epoch that never comes.
        let epoch = u32::try_from(self.epochs.len()).ok().filter(|&epoch| epoch < u32::MAX)?;
        self.epochs.push(Epoch { position, received_at });
        Some(epoch)
    }

    /// Forgets the identifiers that are no longer remembered at a time.
    fn forget(&mut self, now: Timestamp) {
        if self.policy.window_seconds().is_none() {
            return;
        }
        let Self { policy, epochs, events, .. } = self;
        for part in &mut events.parts {
            part.forget(|event| !remembers(*policy, epochs, event.epoch, now));
        }
    }
}

/// Whether what was received in an epoch is still remembered.
#[inline(always)]
fn remembers(policy: DedupePolicy, epochs: &[Epoch], epoch: u32, now: Timestamp) -> bool {
    let epoch = usize::try_from(epoch).ok().and_then(|epoch| epochs.get(epoch));
    epoch.is_some_and(|epoch| policy.remembers(now.seconds_since(epoch.received_at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Formula;

    #[test]
    fn it_can_be_shared_between_threads() {
        fn check<T: Send + Sync>() {}
        check::<Aggregator>();
        check::<Block>();
    }

    #[test]
    fn an_event_name_belongs_to_one_meter() {
        let (first, second) = (Id::derived(1), Id::derived(2));
        let config = || MeterConfig::new("calls", Formula::Sum);
        let mut meters = Aggregator::default();
        meters.define(first.clone(), config()).unwrap();
        meters.deactivate(&first).unwrap();
        assert_eq!(
            meters.define(second.clone(), config()),
            Err(MeterError::EventNameTaken { event_name: "calls".into(), meter: first.clone() })
        );
        assert_eq!(
            meters.define(first.clone(), MeterConfig::new("other", Formula::Sum)),
            Err(MeterError::AlreadyDefined { meter: first.clone() })
        );
        for name in ["", "n".repeat(256).as_str()] {
            let error = meters.define(second.clone(), MeterConfig::new(name, Formula::Sum));
            assert_eq!(error, Err(MeterError::EventNameLength { bytes: name.len() }));
        }
        let unknown = MeterError::Unknown { meter: second.clone() };
        assert_eq!(meters.deactivate(&second), Err(unknown.clone()));
        assert_eq!(meters.reactivate(&second), Err(unknown));
        assert_eq!(meters.meters().collect::<Vec<_>>(), [(&first, &config(), false)]);
        assert_eq!(meters.meter_of("calls"), Some(&first));
        assert_eq!(meters.meter_of("other"), None);
    }
}
