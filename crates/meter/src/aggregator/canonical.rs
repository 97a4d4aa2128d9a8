//! The content of an aggregator as bytes, for hashing.

use super::Aggregator;
use super::usage::{Event, MeterState, Ordinal};
use crate::{EventTimeWindow, Formula};

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
        for (id, meter) in &self.meters {
            text(sink, id.as_str());
            meter.canonical(sink);
        }
    }
}

impl MeterState {
    fn canonical(&self, sink: &mut dyn FnMut(&[u8])) {
        let config = &self.config;
        for field in [&config.event_name, &config.customer_payload_key, &config.value_payload_key] {
            text(sink, field);
        }
        let formula = match config.formula {
            Formula::Sum => 0,
            Formula::Count => 1,
            Formula::Last => 2,
        };
        let window = match config.event_time_window {
            None => 0,
            Some(EventTimeWindow::Hour) => 1,
            Some(EventTimeWindow::Day) => 2,
        };
        sink(&[formula, window, u8::from(self.active)]);
        length(sink, self.customers.len());
        for (customer, usage) in &self.customers {
            text(sink, customer);
            let mut events: Vec<(Ordinal, &Event)> = usage
                .by_time
                .iter()
                .filter_map(|(_, ordinal)| Some((*ordinal, self.events.get(*ordinal)?)))
                .collect();
            self.sort_canonically(&mut events);
            length(sink, events.len());
            for (_, event) in events {
                text(sink, &event.identifier);
                sink(&event.time.to_le_bytes());
                sink(&event.value.trillionths().to_le_bytes());
                sink(&event.received_at.unix().to_le_bytes());
                sink(&[u8::from(event.cancelled.is_some())]);
            }
        }
    }

    /// By time (by window where one counts for all of it), then in order of receipt where that is
    /// observable, else by content.
    fn sort_canonically(&self, events: &mut [(Ordinal, &Event)]) {
        let content = |event: &Event| {
            let cancelled = event.cancelled.is_some();
            (event.identifier.clone(), event.value, event.received_at, cancelled)
        };
        match (self.config.event_time_window, self.config.formula) {
            (Some(window), _) => events
                .sort_by_key(|(ordinal, event)| (event.time.div_euclid(window.nanos()), *ordinal)),
            (None, Formula::Last) => events.sort_by_key(|(ordinal, event)| (event.time, *ordinal)),
            (None, Formula::Sum | Formula::Count) => {
                events.sort_by_cached_key(|(_, event)| (event.time, content(event)));
            }
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
