//! Taking events back, and replacing their values.

use super::{Aggregator, remembers};
use crate::value::check_value;
use crate::{AdjustError, AdjustPolicy, Adjustment, Block};
use counterfoil_core::{Decimal12, Timestamp, limits};

impl Aggregator {
    /// Judges the cancellation of an event (rule 12.4): possible once, within 24 hours of its
    /// receipt, the last second inclusive. The identifier stays used. The meter may be inactive.
    ///
    /// # Errors
    /// An [`AdjustError`] that says why not.
    pub fn admit_cancel(
        &self,
        event_name: &str,
        identifier: &str,
        now: Timestamp,
    ) -> Result<Block, AdjustError> {
        self.admit_adjustment(event_name, identifier, Adjustment::Cancel, AdjustPolicy::Day, now)
    }

    /// Judges the adjustment of an event, possible as long after its receipt as the policy says
    /// and never once it was cancelled. Cuts before the block is applied read the event as it was,
    /// cuts from there on as it is then. Its time, its identifier and its place in the order of
    /// receipt stay, so a repeat is still compared with what came first. The meter may be inactive.
    ///
    /// # Errors
    /// An [`AdjustError`] that says why not.
    pub fn admit_adjustment(
        &self,
        event_name: &str,
        identifier: &str,
        adjustment: Adjustment,
        policy: AdjustPolicy,
        now: Timestamp,
    ) -> Result<Block, AdjustError> {
        let (number, meter) = self
            .named(event_name)
            .ok_or_else(|| AdjustError::NoMeter { event_name: event_name.to_owned() })?;
        let named = || identifier.to_owned();
        let found =
            self.find(number, identifier).and_then(|own| Some((own, self.events.get(own)?)));
        let (own, event) = found
            .filter(|(_, event)| remembers(self.policy, &self.epochs, event.epoch, now))
            .ok_or_else(|| AdjustError::Unknown {
                event_name: event_name.to_owned(),
                identifier: named(),
                policy: self.policy,
            })?;
        if event.is_cancelled() {
            return Err(AdjustError::Cancelled { identifier: named() });
        }
        let epoch = usize::try_from(event.epoch).ok().and_then(|epoch| self.epochs.get(epoch));
        let received_at = epoch.map_or(now, |epoch| epoch.received_at);
        let age = now.seconds_since(received_at);
        if let Some(seconds) = policy.seconds().filter(|&seconds| age > seconds) {
            return Err(AdjustError::TooLate { identifier: named(), received_at, seconds });
        }
        let value = match adjustment {
            Adjustment::Cancel => return Ok(Block::cancelling(&meter.id, identifier, now)),
            Adjustment::Correct(value) => value,
        };
        if !meter.is_valued() {
            return Err(AdjustError::NoValue { identifier: named() });
        }
        let value = check_value(value).map_err(|_| AdjustError::Value { identifier: named() })?;
        if value == Decimal12::from_trillionths(self.events.value(own, event)) {
            return Err(AdjustError::Unchanged { identifier: named() });
        }
        Ok(Block::correcting(&meter.id, identifier, value, now))
    }
}

impl AdjustPolicy {
    const fn seconds(self) -> Option<i64> {
        match self {
            Self::Day => Some(limits::METER_CANCEL_SECONDS_MAX),
            Self::Within(seconds) => Some(seconds),
            Self::Remembered => None,
        }
    }
}
