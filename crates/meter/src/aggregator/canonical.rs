//! The content of an aggregator as bytes, for hashing.

use super::{Aggregator, AlertStatus, Meter};
use crate::kernel::events::{Event, EventNo};
use crate::kernel::usage::{HOUR_NANOS, part_of};
use crate::{EventTimeWindow, Formula, MeterConfig};
use counterfoil_core::Timestamp;
use std::collections::BTreeMap;

impl Aggregator {
    /// Gives the content in one canonical form, piece by piece: equal bytes mean equal answers to
    /// every read at [`Position::MAX`](super::Position::MAX) and to every later call.
    ///
    /// Positions are not in it, nor how events were cut into blocks, nor their order of receipt
    /// but where a rule asks for it: among equal times of `last`, and within a window of
    /// pre-aggregated input. (A generated identifier says how many events came before it.)
    pub fn canonical(&self, sink: &mut dyn FnMut(&[u8])) {
        match self.policy.window_seconds() {
            None => sink(&[0]),
            Some(seconds) => {
                sink(&[1]);
                sink(&seconds.to_le_bytes());
            }
        }
        length(sink, self.meters.len());
        for &number in self.by_id.values() {
            if let Some(meter) = self.meter(number) {
                text(sink, meter.id.as_str());
                self.canonical_meter(number, meter, sink);
            }
        }
        self.canonical_alerts(sink);
    }

    /// Alerts, with whom each went off for. Which events each counts is said with the events.
    fn canonical_alerts(&self, sink: &mut dyn FnMut(&[u8])) {
        for alert in self.alerts.iter() {
            let Some(meter) = self.meter(alert.meter) else { continue };
            text(sink, alert.id.as_str());
            text(sink, meter.id.as_str());
            sink(&alert.gte.trillionths().to_le_bytes());
            sink(&[u8::from(alert.customer.is_some()), alert.status.code()]);
            let customer = alert.customer.map(|customer| self.customer_text(customer));
            text(sink, &customer.unwrap_or_default());
            let fired = alert.fired.iter().map(|(&own, fired)| (self.customer_text(own), fired));
            let fired: BTreeMap<String, _> = fired.collect();
            length(sink, fired.len());
            for (customer, (value, _)) in fired {
                text(sink, &customer);
                sink(&value.trillionths().to_le_bytes());
            }
        }
    }

    fn canonical_meter(&self, number: u16, meter: &Meter, sink: &mut dyn FnMut(&[u8])) {
        let config = &meter.config;
        for field in [&config.event_name, &config.customer_payload_key, &config.value_payload_key] {
            text(sink, field);
        }
        let window = EventTimeWindow::code(config.event_time_window);
        sink(&[config.formula.code(), window, u8::from(meter.active)]);
        if !config.also.is_empty() {
            config.also.iter().for_each(|&formula| sink(&[formula.code()]));
        }
        length(sink, config.dimensions.len());
        config.dimensions.iter().for_each(|name| text(sink, name));
        let mut subjects = BTreeMap::new();
        for subject in self.usage.iter().flat_map(|part| part.subjects_on(number)) {
            if let Some(name) = self.customers.get(self.customers.customer_of(subject)) {
                let values: Vec<&str> = self.customers.values_of(subject).collect();
                subjects.insert((name.to_text(), values), subject);
            }
        }
        let on = self.alerts.iter().filter(|alert| alert.meter == number);
        let watching = on.filter(|alert| alert.status != AlertStatus::Archived);
        let since: Vec<u32> = watching.map(|alert| alert.since).collect();
        length(sink, subjects.len());
        for ((name, values), subject) in subjects {
            text(sink, &name);
            values.iter().for_each(|value| text(sink, value));
            let part = self.usage.get(part_of(subject));
            let series = part.and_then(|part| Some((part, part.series(subject, number)?)));
            let mut events: Vec<(EventNo, &Event)> = series
                .map(|(part, series)| {
                    part.events_in(&self.events, series, &(i64::MIN..i64::MAX)).collect()
                })
                .unwrap_or_default();
            self.sort_canonically(config, &mut events);
            length(sink, events.len());
            for (number, event) in events {
                text(sink, &self.identifier(number, event));
                sink(&event.time.to_le_bytes());
                sink(&self.events.value(number, event).to_le_bytes());
                sink(&self.received_at(event).unix().to_le_bytes());
                sink(&[u8::from(event.is_cancelled())]);
                // Which alerts count it, in the order of their ids.
                since.iter().for_each(|&since| sink(&[u8::from(event.epoch >= since)]));
                // What a repeat of it is compared with.
                if let Some((_, came_with)) = self.events.corrections(number).first() {
                    sink(&[2]);
                    sink(&came_with.to_le_bytes());
                }
            }
        }
    }

    fn received_at(&self, event: &Event) -> Timestamp {
        let epoch = usize::try_from(event.epoch).ok().and_then(|epoch| self.epochs.get(epoch));
        epoch.map_or(Timestamp::MIN, |epoch| epoch.received_at)
    }

    /// By time (by window where one counts for all of it), then in order of receipt where that is
    /// observable, else by content.
    fn sort_canonically(&self, config: &MeterConfig, events: &mut [(EventNo, &Event)]) {
        let last = config.formula == Formula::Last || config.also.contains(&Formula::Last);
        match config.event_time_window {
            Some(EventTimeWindow::Hour) => {
                events.sort_by_key(|(_, e)| (e.time.div_euclid(HOUR_NANOS), e.receipt()));
            }
            Some(EventTimeWindow::Day) => {
                events.sort_by_key(|(_, e)| (e.time.div_euclid(24 * HOUR_NANOS), e.receipt()));
            }
            None if last => events.sort_by_key(|(_, event)| (event.time, event.receipt())),
            None => events.sort_by_cached_key(|&(number, event)| {
                let value = self.events.value(number, event);
                let identifier = self.identifier(number, event);
                let received_at = self.received_at(event);
                (event.time, identifier, value, received_at, event.is_cancelled())
            }),
        }
    }
}

fn length(sink: &mut dyn FnMut(&[u8]), len: usize) {
    sink(&u64::try_from(len).unwrap_or(u64::MAX).to_le_bytes());
}

fn text(sink: &mut dyn FnMut(&[u8]), text: &str) {
    length(sink, text.len());
    sink(text.as_bytes());
}
