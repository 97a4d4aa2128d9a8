//! Schedules of revenue: those that a checkpoint brought lie still, with what changed since above
//! them.

use crate::journal::Schedule;
use rpds::RedBlackTreeMapSync;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// How many more times each schedule was deferred than taken back; never 0.
#[derive(Debug, Clone)]
pub(crate) struct Schedules {
    /// In order.
    base: Arc<[(Schedule, i64)]>,
    /// What differs from the base; 0 for what only that has.
    delta: RedBlackTreeMapSync<Schedule, i64>,
}

impl Default for Schedules {
    fn default() -> Self {
        Self { base: Arc::new([]), delta: RedBlackTreeMapSync::new_sync() }
    }
}

impl Schedules {
    /// Those of a checkpoint, which come in order.
    pub(crate) fn on(base: Vec<(Schedule, i64)>) -> Self {
        Self { base: base.into(), ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn in_base(&self, schedule: &Schedule) -> Option<i64> {
        let place = self.base.binary_search_by(|(other, _)| other.cmp(schedule)).ok()?;
        self.base.get(place).map(|(_, count)| *count)
    }

    pub(crate) fn get(&self, schedule: &Schedule) -> i64 {
        match self.delta.get(schedule) {
            Some(count) => *count,
            None => self.in_base(schedule).unwrap_or_default(),
        }
    }

    pub(crate) fn set(&mut self, schedule: Schedule, count: i64) {
        if count == 0 && self.in_base(&schedule).is_none() {
            self.delta.remove_mut(&schedule);
        } else if let Some(known) = self.delta.get_mut(&schedule) {
            *known = count;
        } else {
            self.delta.insert_mut(schedule, count);
        }
    }

    /// All of them in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Schedule, i64)> {
        let mut base = self.base.iter().peekable();
        let mut delta = self.delta.iter().peekable();
        let merged = std::iter::from_fn(move || match (base.peek(), delta.peek()) {
            (Some((old, _)), Some((new, _))) if old == *new => {
                base.next();
                delta.next().map(|(schedule, count)| (schedule, *count))
            }
            (Some((old, _)), other) if other.is_none_or(|(new, _)| old < *new) => {
                base.next().map(|(schedule, count)| (schedule, *count))
            }
            _ => delta.next().map(|(schedule, count)| (schedule, *count)),
        });
        merged.filter(|(_, count)| *count != 0)
    }
}

impl PartialEq for Schedules {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Schedules {}

/// A sequence of pairs: formats whose keys are texts can hold it too.
impl Serialize for Schedules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs = serializer.serialize_seq(Some(self.iter().count()))?;
        for pair in self.iter() {
            pairs.serialize_element(&pair)?;
        }
        pairs.end()
    }
}

impl<'de> Deserialize<'de> for Schedules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(Schedule, i64)>::deserialize(deserializer)?;
        Ok(Self { delta: pairs.into_iter().collect(), ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::{Period, Timestamp};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Whenever they become a base, they are the schedules they were.
        #[test]
        fn layered_schedules_are_a_map(steps in prop::collection::vec((0_i64..9, 0_i64..4), 1..99)) {
            let (mut schedules, mut expected) = (Schedules::default(), BTreeMap::new());
            for (amount_minor, count) in steps {
                let schedule = Schedule { period: Period::instant(Timestamp::MIN), amount_minor };
                if count == 3 {
                    schedules = Schedules::on(schedules.iter().map(|(s, n)| (*s, n)).collect());
                } else {
                    schedules.set(schedule, count);
                    expected.insert(schedule, count);
                    expected.retain(|_, count| *count != 0);
                }
                prop_assert_eq!(schedules.get(&schedule), expected.get(&schedule).copied().unwrap_or(0));
                prop_assert!(schedules.iter().eq(expected.iter().map(|(s, n)| (s, *n))));
            }
        }
    }
}
