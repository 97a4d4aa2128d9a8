//! Usage: between the meters of the book and the aggregator.

use crate::error::Error;
use counterfoil_billing::alert::{AlertEvent, AlertTriggered};
use counterfoil_billing::catalog::{MeterId, Price};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::UsageReading;
use counterfoil_billing::meter as resource;
use counterfoil_core::{Code, Decimal12, EventTime, Period, Refusal};
use counterfoil_log::Lsn;
use counterfoil_meter::{
    AdjustPolicy, Adjustment, Aggregator, AlertError, Breakdown, MeterConfig, MeterError, Position,
    UsageThreshold,
};
use counterfoil_model::{Event, UsageSource};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Usage as of everything that the aggregator has taken in.
pub(crate) struct Readings<'a>(pub(crate) &'a Aggregator);

impl UsageSource for Readings<'_> {
    fn usage(
        &self,
        meter: &MeterId,
        customer: &CustomerId,
        period: Period,
        price: &Price,
    ) -> Result<UsageReading, Refusal> {
        read_at(self.0, meter, customer, (period, Some(price)), self.0.position())
    }
}

/// Usage at a cut: all of a period, or what a price selects of it.
pub(crate) fn read_at(
    meters: &Aggregator,
    meter: &MeterId,
    customer: &CustomerId,
    (period, price): (Period, Option<&Price>),
    cut: Position,
) -> Result<UsageReading, Refusal> {
    let only: Vec<(&str, &str)> = price.into_iter().flat_map(Price::dimensions).collect();
    let mut reading = meters.usage(meter, customer.as_str(), period, cut)?;
    if !only.is_empty() {
        let selected = Breakdown::default().only(&only);
        let rows = meters.usage_by(meter, customer.as_str(), period, selected, cut)?;
        let row = rows.into_values().next();
        (reading.quantity, reading.events) =
            row.map_or((Decimal12::ZERO, 0), |row| (row.quantity, row.events));
    }
    Ok(UsageReading {
        meter: meter.clone(),
        quantity: reading.quantity,
        events: reading.events,
        position: reading.position.0,
    })
}

/// Tells the aggregator what happened, where it was to a meter or an alert.
pub(crate) fn follow(meters: &mut Aggregator, event: &Event) -> Result<(), Refusal> {
    match event {
        Event::Billing(counterfoil_billing::Event::Meter(event)) => follow_meter(meters, event)?,
        Event::Billing(counterfoil_billing::Event::Alert(event)) => follow_alert(meters, event)?,
        _ => {}
    }
    Ok(())
}

fn follow_alert(meters: &mut Aggregator, event: &AlertEvent) -> Result<(), AlertError> {
    match event {
        AlertEvent::Created(alert) => {
            let customer = alert.customer.as_ref().map(ToString::to_string);
            let threshold = UsageThreshold { meter: alert.meter.clone(), gte: alert.gte, customer };
            meters.define_alert(alert.id.clone(), &threshold)
        }
        AlertEvent::Activated(alert) => meters.activate_alert(&alert.id),
        AlertEvent::Deactivated(alert) => meters.deactivate_alert(&alert.id),
        AlertEvent::Archived(alert) => meters.archive_alert(&alert.id),
        // The block in the same record says so itself.
        AlertEvent::Triggered(_) => Ok(()),
    }
}

/// Alerts that the aggregator says went off, as the book says it.
pub(crate) fn triggered(
    alerts: &[counterfoil_meter::AlertTriggered],
) -> Result<Vec<AlertTriggered>, Refusal> {
    let of = |own: &counterfoil_meter::AlertTriggered| {
        Ok(AlertTriggered {
            alert: own.alert.clone(),
            customer: CustomerId::new(own.customer.as_str())?,
            meter: own.meter.clone(),
            value: own.value,
            position: own.position.0,
        })
    };
    alerts.iter().map(of).collect()
}

fn follow_meter(meters: &mut Aggregator, event: &resource::MeterEvent) -> Result<(), MeterError> {
    match event {
        resource::MeterEvent::Created(meter) => meters.define(meter.id.clone(), config(meter)),
        resource::MeterEvent::Updated(_) => Ok(()),
        resource::MeterEvent::Deactivated(meter) => meters.deactivate(&meter.id),
        resource::MeterEvent::Reactivated(meter) => meters.reactivate(&meter.id),
    }
}

fn config(meter: &resource::Meter) -> MeterConfig {
    MeterConfig {
        also: BTreeSet::new(),
        dimensions: meter.dimensions.clone(),
        event_name: meter.event_name.clone(),
        formula: match meter.formula {
            resource::Formula::Count => counterfoil_meter::Formula::Count,
            resource::Formula::Last => counterfoil_meter::Formula::Last,
            _ => counterfoil_meter::Formula::Sum,
        },
        event_time_window: meter.event_time_window.map(|window| match window {
            resource::EventTimeWindow::Hour => counterfoil_meter::EventTimeWindow::Hour,
            resource::EventTimeWindow::Day => counterfoil_meter::EventTimeWindow::Day,
        }),
        customer_payload_key: meter.customer_payload_key.clone(),
        value_payload_key: meter.value_payload_key.clone(),
    }
}

/// `meter_event.create`: usage of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateMeterEvent {
    /// The name of the events that a meter takes.
    pub event_name: String,
    /// What makes the event the same one when it is sent again; generated where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// When it happened; now where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<EventInstant>,
    /// The customer and the value, under the keys that the meter maps.
    #[serde(default)]
    pub payload: BTreeMap<String, String>,
}

impl CreateMeterEvent {
    /// A value for a customer, under the keys that meters map where nothing else is said.
    #[must_use]
    pub fn new(
        event_name: impl Into<String>,
        customer: &CustomerId,
        value: impl fmt::Display,
    ) -> Self {
        let payload = BTreeMap::from([
            ("stripe_customer_id".to_owned(), customer.to_string()),
            ("value".to_owned(), value.to_string()),
        ]);
        Self { event_name: event_name.into(), identifier: None, timestamp: None, payload }
    }

    /// The same with an identifier, so that it may be sent again.
    #[must_use]
    pub fn identifier(mut self, identifier: impl Into<String>) -> Self {
        self.identifier = Some(identifier.into());
        self
    }

    /// The same with a value of a dimension.
    #[must_use]
    pub fn dimension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.payload.insert(name.into(), value.into());
        self
    }

    /// The same at a time.
    #[must_use]
    pub fn at(mut self, time: EventTime) -> Self {
        self.timestamp = Some(EventInstant(time));
        self
    }

    pub(crate) fn row(&self) -> counterfoil_meter::MeterEvent {
        counterfoil_meter::MeterEvent {
            event_name: self.event_name.clone(),
            identifier: self.identifier.clone(),
            timestamp: self.timestamp.map(|instant| instant.0),
            payload: self.payload.clone(),
        }
    }
}

/// `meter_event_adjustment.create`: an event was not meant to be, or not so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateMeterEventAdjustment {
    /// The name of the event.
    pub event_name: String,
    /// Which one does not count, for [`AdjustmentKind::Cancel`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelMeterEvent>,
    /// Which one has another value, for [`AdjustmentKind::Correct`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct: Option<CorrectMeterEvent>,
    /// The kind of adjustment.
    #[serde(rename = "type", default)]
    pub kind: AdjustmentKind,
    /// How long after its receipt an event may be adjusted.
    #[serde(default)]
    pub window: AdjustmentWindow,
}

impl CreateMeterEventAdjustment {
    /// Cancels an event by its identifier.
    #[must_use]
    pub fn cancel(event_name: impl Into<String>, identifier: impl Into<String>) -> Self {
        Self {
            event_name: event_name.into(),
            cancel: Some(CancelMeterEvent { identifier: identifier.into() }),
            correct: None,
            kind: AdjustmentKind::Cancel,
            window: AdjustmentWindow::Day,
        }
    }

    /// Gives an event another value.
    #[must_use]
    pub fn correct(
        event_name: impl Into<String>,
        identifier: impl Into<String>,
        value: Decimal12,
    ) -> Self {
        Self {
            event_name: event_name.into(),
            cancel: None,
            correct: Some(CorrectMeterEvent { identifier: identifier.into(), value }),
            kind: AdjustmentKind::Correct,
            window: AdjustmentWindow::Day,
        }
    }

    /// The same for as long as the identifier is remembered.
    #[must_use]
    pub fn while_remembered(mut self) -> Self {
        self.window = AdjustmentWindow::Remembered;
        self
    }

    /// The identifier, and what is to become of the event.
    pub(crate) fn parts(&self) -> Result<(&str, Adjustment), Refusal> {
        match (self.kind, &self.cancel, &self.correct) {
            (AdjustmentKind::Cancel, Some(cancel), None) => {
                Ok((&cancel.identifier, Adjustment::Cancel))
            }
            (AdjustmentKind::Correct, None, Some(correct)) => {
                Ok((&correct.identifier, Adjustment::Correct(correct.value)))
            }
            (AdjustmentKind::Cancel, None, _) => Err(Refusal::missing("cancel")),
            (AdjustmentKind::Correct, _, None) => Err(Refusal::missing("correct")),
            (AdjustmentKind::Cancel, ..) => {
                Err(Refusal::invalid("correct", "it goes only with type: correct"))
            }
            (AdjustmentKind::Correct, ..) => {
                Err(Refusal::invalid("cancel", "it goes only with type: cancel"))
            }
        }
    }
}

/// The event that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelMeterEvent {
    /// Its identifier.
    pub identifier: String,
}

/// The event that has another value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectMeterEvent {
    /// Its identifier.
    pub identifier: String,
    /// The value from now on.
    pub value: Decimal12,
}

/// The kind of an adjustment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdjustmentKind {
    /// The event does not count.
    #[default]
    Cancel,
    /// The event has another value.
    Correct,
}

/// How long after its receipt an event may be adjusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdjustmentWindow {
    /// 24 hours, the last second included (rule 12.4).
    #[default]
    Day,
    /// As long as its identifier is remembered.
    Remembered,
}

impl AdjustmentWindow {
    pub(crate) const fn policy(self) -> AdjustPolicy {
        match self {
            Self::Day => AdjustPolicy::Day,
            Self::Remembered => AdjustPolicy::Remembered,
        }
    }
}

/// The time of an event as a caller gives it: Unix seconds, or RFC 3339 to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventInstant(pub EventTime);

impl Serialize for EventInstant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanos = self.0.nanos();
        match (nanos.rem_euclid(1_000_000_000), self.0.second()) {
            (0, second) => second.serialize(serializer),
            (fraction, second) => {
                let text = second.to_string();
                let whole = text.strip_suffix('Z').unwrap_or(&text);
                serializer.serialize_str(&format!("{whole}.{fraction:09}Z"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for EventInstant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = EventInstant;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time: Unix seconds or RFC 3339")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<EventInstant, E> {
                let at = counterfoil_core::Timestamp::from_unix(value).map_err(E::custom)?;
                EventTime::from_timestamp(at).map(EventInstant).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<EventInstant, E> {
                self.visit_i64(i64::try_from(value).map_err(E::custom)?)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<EventInstant, E> {
                EventTime::parse(text).map(EventInstant).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What became of usage that was handed in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ingested {
    /// The position that holds what was taken; none where nothing was.
    pub position: Option<Lsn>,
    /// Events that count from now on.
    pub taken: u64,
    /// Events that were known already, by their identifier.
    pub duplicates: u64,
    /// Those of the duplicates whose content differs from the first one's (point 62).
    pub conflicts: u64,
    /// Events that were refused, in order.
    pub refused: Vec<RefusedUsage>,
    /// The alerts that the events set off, by alert and customer. They are events of the book too,
    /// in the same record.
    pub alerts: Vec<AlertTriggered>,
}

/// What became of the adjustment of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjusted {
    /// The position from which it counts so.
    pub position: Lsn,
    /// The alerts that it set off, by alert and customer.
    pub alerts: Vec<AlertTriggered>,
}

/// A refused event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedUsage {
    /// Its row, counted from 0.
    pub row: usize,
    /// The code.
    pub code: Code,
    /// Why.
    pub reason: String,
}

impl Ingested {
    pub(crate) fn of(admission: &counterfoil_meter::Admission, held: Option<Adjusted>) -> Self {
        let refused = admission.refused.iter().map(|refused| RefusedUsage {
            row: refused.index,
            code: refused.code(),
            reason: refused.cause.to_string(),
        });
        let (position, alerts) = match held {
            Some(Adjusted { position, alerts }) => (Some(position), alerts),
            None => (None, Vec::new()),
        };
        Self {
            position,
            alerts,
            taken: admission.taken,
            duplicates: admission.duplicates,
            conflicts: admission.conflicts,
            refused: refused.collect(),
        }
    }
}

impl From<MeterError> for Error {
    fn from(error: MeterError) -> Self {
        Self::Refused(error.into())
    }
}
