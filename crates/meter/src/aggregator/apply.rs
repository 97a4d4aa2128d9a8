//! The second phase of ingest: taking in a block that is logged. Cannot fail.

use super::rows::Logged;
use super::take::CUSTOMERS_MAX;
use super::{Aggregator, Position};
use crate::block::Whose;
use crate::kernel::events::{EventNo, Events};
use crate::kernel::identity::Identifier;
use crate::kernel::usage::part_of;
use crate::value::Amount;
use crate::{AlertTriggered, Block};
use counterfoil_core::Decimal12;

impl Aggregator {
    /// Takes in a block that was logged at a position. Positions ascend from 1, as 0 stands for
    /// before any block; several blocks of one record share one. A block below the last position
    /// was applied before and is passed over, as are the events of a meter that was never defined.
    ///
    /// The block is trusted: that its events were judged is history, and replaying it under other
    /// rules must not change it.
    ///
    /// The answer is the alerts that the block set off, by alert and customer: the same whenever
    /// the same blocks are taken in between the same changes of meters and alerts.
    pub fn apply(&mut self, position: Position, block: &Block) -> Vec<AlertTriggered> {
        let Some(epoch) = self.begin(position, block.received_at()) else { return Vec::new() };
        let meters = block.meters().iter().map(|id| self.by_id.get(id).copied()).collect();
        let logged = Logged { columns: &block.columns, meters };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.subjects.clear();
        self.customers_of(block, &mut scratch.subjects);
        self.take_rows(&logged, &mut scratch, epoch);
        let mut adjusted = Vec::new();
        if let Some(Some(meter)) = logged.meters.first() {
            block.corrected().for_each(|(identifier, value)| {
                if let Some(number) = self.find(*meter, identifier) {
                    adjusted.push(self.adjusting(number));
                    self.correct_event(number, epoch, value);
                }
            });
            block.cancelled().for_each(|identifier| {
                // One that is unknown or was taken back before stays as it is.
                if let Some(number) = self.find(*meter, identifier) {
                    adjusted.push(self.adjusting(number));
                    self.cancel_event(number, epoch);
                }
            });
        }
        self.forget(block.received_at());
        let alerts = self.notice(&logged, &scratch.placed, &adjusted);
        self.scratch = scratch;
        alerts
    }

    /// The number of the customer or bucket of each row of a block. Where no number is left the row stays
    /// out, which admission has made sure does not happen.
    fn customers_of(&mut self, block: &Block, subjects: &mut Vec<u32>) {
        let columns = &block.columns;
        let listed = 0..columns.customers();
        let places: Vec<u64> = listed
            .clone()
            .filter_map(|place| {
                let at = self.customers.place(columns.customer(place)?);
                self.customers.prefetch(at);
                Some(at)
            })
            .collect();
        let numbers: Vec<u32> = listed
            .zip(places)
            .map(|(place, at)| {
                let number =
                    columns.customer(place).and_then(|own| self.customers.intern_at(at, own));
                number.filter(|&number| number < CUSTOMERS_MAX).unwrap_or(u32::MAX)
            })
            .collect();
        let buckets: Vec<u32> = (0..columns.buckets())
            .map(|place| {
                let (customer, values) = columns.bucket(place)?;
                let customer = *numbers.get(customer).filter(|&&number| number < CUSTOMERS_MAX)?;
                self.customers.intern_bucket(customer, &values)
            })
            .map(|number| number.filter(|&number| number < CUSTOMERS_MAX).unwrap_or(u32::MAX))
            .collect();
        let of = |row| match columns.subject(row)? {
            Whose::Customer(place) => numbers.get(place).copied(),
            Whose::Bucket(place) => buckets.get(place).copied(),
        };
        subjects.extend((0..block.len()).map(|row| of(row).unwrap_or(u32::MAX)));
    }

    /// The last event with an identifier.
    pub(super) fn find(&self, meter: u16, identifier: &str) -> Option<EventNo> {
        let key = self.key.identifier(meter, Identifier::Text(identifier));
        let place = self.key.place(key);
        self.events.parts.get(Events::part_of(place))?.find(place, key)
    }

    /// Replaces the value of an event. One that was taken back stays as it is.
    pub(super) fn correct_event(&mut self, number: EventNo, epoch: u32, value: Decimal12) {
        let Amount { units, wide } = Amount::of(value);
        if self.events.correct(number, epoch, units, wide) {
            self.mend(number, epoch);
        }
    }

    pub(super) fn cancel_event(&mut self, number: EventNo, epoch: u32) {
        if self.events.cancel(number, epoch) {
            self.mend(number, epoch);
        }
    }

    fn mend(&mut self, number: EventNo, epoch: u32) {
        let Some(event) = self.events.get(number) else { return };
        let lanes = self.meter(event.meter).map(|meter| meter.lanes).unwrap_or_default();
        if let Some(part) = self.usage.get_mut(part_of(event.subject)) {
            part.mend(&self.events, event, lanes, epoch);
        }
    }
}
