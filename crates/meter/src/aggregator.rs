//! The aggregator: which meters there are, and what was used on each.

mod admit;
mod apply;
mod canonical;
mod checkpoint;
mod events;
mod read;
mod usage;

pub use checkpoint::{CHECKPOINT_LAYOUT, Capture, CheckpointError};
pub use read::{Grouping, Summary, UsageEvent, UsageReading};

use crate::{DedupePolicy, MeterConfig, MeterError};
use counterfoil_core::{Id, kind, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use usage::MeterState;

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
/// the same meters gives the same state, whatever judged them. Copies share each meter until one of
/// them changes it.
#[derive(Debug, Clone, Default)]
pub struct Aggregator {
    policy: DedupePolicy,
    /// Shared between copies until one of them writes.
    meters: BTreeMap<Id<kind::Meter>, Arc<MeterState>>,
    names: BTreeMap<String, Id<kind::Meter>>,
    /// The positions applied so far, each once, ascending.
    positions: Vec<Position>,
}

impl Aggregator {
    /// An aggregator without meters.
    #[must_use]
    pub fn new(policy: DedupePolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Adds a meter, active.
    ///
    /// # Errors
    /// [`MeterError::AlreadyDefined`], [`MeterError::EventNameTaken`] (a name belongs to its meter
    /// even while that is inactive) and [`MeterError::EventNameLength`]; nothing changes.
    pub fn define(
        &mut self,
        meter: Id<kind::Meter>,
        config: MeterConfig,
    ) -> Result<(), MeterError> {
        let event_name = &config.event_name;
        if event_name.is_empty() || event_name.len() > limits::ID_BYTES_MAX {
            return Err(MeterError::EventNameLength { bytes: event_name.len() });
        }
        if self.meters.contains_key(&meter) {
            return Err(MeterError::AlreadyDefined { meter });
        }
        if let Some(owner) = self.names.get(event_name) {
            let event_name = event_name.clone();
            return Err(MeterError::EventNameTaken { event_name, meter: owner.clone() });
        }
        self.names.insert(event_name.clone(), meter.clone());
        self.meters.insert(meter, Arc::new(MeterState::new(config)));
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
        match self.meters.get_mut(meter) {
            Some(state) => {
                Arc::make_mut(state).active = active;
                Ok(())
            }
            None => Err(MeterError::Unknown { meter: meter.clone() }),
        }
    }

    /// How long identifiers are remembered.
    #[must_use]
    pub const fn policy(&self) -> DedupePolicy {
        self.policy
    }

    /// All meters by id, with whether each is active.
    pub fn meters(&self) -> impl Iterator<Item = (&Id<kind::Meter>, &MeterConfig, bool)> {
        self.meters.iter().map(|(id, state)| (id, &state.config, state.active))
    }

    /// The meter that takes this event name, active or not.
    #[must_use]
    pub fn meter_of(&self, event_name: &str) -> Option<&Id<kind::Meter>> {
        self.names.get(event_name)
    }

    /// What a meter counts.
    #[must_use]
    pub fn config(&self, meter: &Id<kind::Meter>) -> Option<&MeterConfig> {
        self.meters.get(meter).map(|state| &state.config)
    }

    /// The position of the last block applied; 0 before any.
    #[must_use]
    pub fn position(&self) -> Position {
        self.positions.last().copied().unwrap_or_default()
    }

    fn named(&self, event_name: &str) -> Option<(&Id<kind::Meter>, &MeterState)> {
        let id = self.names.get(event_name)?;
        self.meters.get(id).map(|state| (id, state.as_ref()))
    }

    fn state(&self, meter: &Id<kind::Meter>) -> Result<&MeterState, MeterError> {
        self.meters
            .get(meter)
            .map(AsRef::as_ref)
            .ok_or_else(|| MeterError::Unknown { meter: meter.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Formula;

    #[test]
    fn it_can_be_shared_between_threads() {
        fn check<T: Send + Sync>() {}
        check::<Aggregator>();
        check::<crate::Block>();
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
