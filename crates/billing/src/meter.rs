//! Meters as resources: what they are called and whether they take events (rule 12.1). The counting
//! itself is somebody else's work.

use crate::Patch;
use crate::catalog::MeterId;
use crate::text;
use counterfoil_core::{Metadata, MetadataPatch, Refusal, Timestamp, limits};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A meter.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// Its id.
    pub id: MeterId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// What a person reads.
    pub display_name: String,
    /// The name of the events it takes; no other meter takes them.
    pub event_name: String,
    /// How events become a quantity.
    pub formula: Formula,
    /// The window of input that is aggregated before it comes in (rule 12.1).
    pub event_time_window: Option<EventTimeWindow>,
    /// The payload key that names the customer.
    pub customer_payload_key: String,
    /// The payload key that holds the value.
    pub value_payload_key: String,
    /// The payload keys whose values it keeps with each event, each to be there (rule 12.2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<String>,
    /// Whether it takes events.
    pub active: bool,
    /// When it stopped taking events.
    pub deactivated_at: Option<Timestamp>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// How events become a quantity (rule 12.1).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Formula {
    /// Σ of the values.
    Sum,
    /// The number of events.
    Count,
    /// The value of the latest event.
    Last,
}

/// The window of input that is aggregated before it comes in: the last event received counts.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventTimeWindow {
    /// One event an hour.
    Hour,
    /// One event a day.
    Day,
}

/// `meter.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateMeter {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MeterId>,
    /// What a person reads.
    pub display_name: String,
    /// The name of the events it takes.
    pub event_name: String,
    /// How events become a quantity.
    pub default_aggregation: Aggregation,
    /// Where the customer stands in an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_mapping: Option<CustomerMapping>,
    /// Where the value stands in an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_settings: Option<ValueSettings>,
    /// The window of input that is aggregated before it comes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_window: Option<EventTimeWindow>,
    /// The payload keys whose values it keeps with each event; ten at most. Prices select by them,
    /// and usage is divided by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<String>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

impl CreateMeter {
    /// A meter for events of a name.
    #[must_use]
    pub fn new(event_name: impl Into<String>, formula: Formula) -> Self {
        let event_name = event_name.into();
        Self {
            id: None,
            display_name: event_name.clone(),
            event_name,
            default_aggregation: Aggregation { formula },
            customer_mapping: None,
            value_settings: None,
            event_time_window: None,
            dimensions: Vec::new(),
            metadata: None,
        }
    }
}

/// The aggregation of a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregation {
    /// How events become a quantity.
    pub formula: Formula,
}

/// Where the customer stands in an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerMapping {
    /// The payload key; `stripe_customer_id` where the mapping is absent.
    pub event_payload_key: String,
    /// The kind of mapping.
    #[serde(rename = "type", default)]
    pub kind: MappingKind,
}

/// The kind of a customer mapping: there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingKind {
    /// By the customer's id.
    #[default]
    ById,
}

/// Where the value stands in an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueSettings {
    /// The payload key; `value` where the settings are absent.
    pub event_payload_key: String,
}

/// `meter.update`: only what a person reads can be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateMeter {
    /// Which meter.
    pub id: MeterId,
    /// What a person reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

/// `meter.deactivate`: its events are refused from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeactivateMeter {
    /// Which meter.
    pub id: MeterId,
}

/// `meter.reactivate`: its events are taken again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactivateMeter {
    /// Which meter.
    pub id: MeterId,
}

/// What happened to a meter: what it is now.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MeterEvent {
    /// It was created.
    Created(Arc<Meter>),
    /// It was changed.
    Updated(Arc<Meter>),
    /// It takes no more events.
    Deactivated(Arc<Meter>),
    /// It takes events again.
    Reactivated(Arc<Meter>),
}

impl MeterEvent {
    /// The meter from now on.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        match self {
            Self::Created(meter)
            | Self::Updated(meter)
            | Self::Deactivated(meter)
            | Self::Reactivated(meter) => meter,
        }
    }
}

/// Makes a meter. The caller has seen that no other meter takes its events.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for empty or overlong texts, and for dimensions that are too many,
/// named twice, or the key of customer or value.
pub fn decide_create(
    command: &CreateMeter,
    id: MeterId,
    seq: u64,
    at: Timestamp,
) -> Result<MeterEvent, Refusal> {
    let customer_key = command.customer_mapping.as_ref().map(|map| map.event_payload_key.clone());
    let value_key = command.value_settings.as_ref().map(|set| set.event_payload_key.clone());
    let meter = Meter {
        id,
        seq,
        display_name: named("display_name", &command.display_name)?,
        event_name: event_name(&command.event_name)?,
        formula: command.default_aggregation.formula,
        event_time_window: command.event_time_window,
        customer_payload_key: named(
            "customer_mapping.event_payload_key",
            customer_key.as_deref().unwrap_or("stripe_customer_id"),
        )?,
        value_payload_key: named(
            "value_settings.event_payload_key",
            value_key.as_deref().unwrap_or("value"),
        )?,
        dimensions: command.dimensions.clone(),
        active: true,
        deactivated_at: None,
        created: at,
        updated: at,
        metadata: Metadata::of(command.metadata.as_ref())?,
    };
    check_dimensions(&meter)?;
    Ok(MeterEvent::Created(meter.into()))
}

/// Changes what a person reads.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for empty or overlong texts.
pub fn decide_update(
    meter: &Meter,
    command: &UpdateMeter,
    at: Timestamp,
) -> Result<MeterEvent, Refusal> {
    let mut meter = meter.clone();
    if let Some(name) = &command.display_name {
        meter.display_name = named("display_name", name)?;
    }
    meter.metadata = text::patched_metadata(&meter.metadata, &command.metadata)?;
    meter.updated = at;
    Ok(MeterEvent::Updated(meter.into()))
}

/// Stops a meter from taking events.
///
/// # Errors
/// [`Refusal::StateUnsupported`] where it takes none already.
pub fn decide_deactivate(meter: &Meter, at: Timestamp) -> Result<MeterEvent, Refusal> {
    if !meter.active {
        return Err(Refusal::state("meter", &meter.id, "inactive", "it takes no events already"));
    }
    let mut meter = meter.clone();
    (meter.active, meter.deactivated_at, meter.updated) = (false, Some(at), at);
    Ok(MeterEvent::Deactivated(meter.into()))
}

/// Lets a meter take events again.
///
/// # Errors
/// [`Refusal::StateUnsupported`] where it takes them already.
pub fn decide_reactivate(meter: &Meter, at: Timestamp) -> Result<MeterEvent, Refusal> {
    if meter.active {
        return Err(Refusal::state("meter", &meter.id, "active", "it takes events already"));
    }
    let mut meter = meter.clone();
    (meter.active, meter.deactivated_at, meter.updated) = (true, None, at);
    Ok(MeterEvent::Reactivated(meter.into()))
}

fn check_dimensions(meter: &Meter) -> Result<(), Refusal> {
    let (count, limit) = (meter.dimensions.len(), limits::METER_DIMENSIONS_MAX);
    if count > limit {
        return Err(Refusal::invalid("dimensions", format!("{count} (the limit is {limit})")));
    }
    for (place, name) in meter.dimensions.iter().enumerate() {
        let invalid = |reason: String| {
            Err(Refusal::invalid(format!("dimensions[{place}]"), format!("{name:?} {reason}")))
        };
        let limit = limits::METER_DIMENSION_BYTES_MAX;
        if name.is_empty() || name.len() > limit {
            return invalid(format!("has {} bytes (1 to {limit} are allowed)", name.len()));
        }
        if meter.dimensions.iter().take(place).any(|before| before == name) {
            return invalid("is there twice".to_owned());
        }
        if *name == meter.customer_payload_key || *name == meter.value_payload_key {
            return invalid("is the key of the customer or the value".to_owned());
        }
    }
    Ok(())
}

fn event_name(name: &str) -> Result<String, Refusal> {
    let limit = limits::METER_EVENT_NAME_BYTES_MAX;
    if name.len() > limit {
        let reason = format!("{} bytes (the limit is {limit})", name.len());
        return Err(Refusal::invalid("event_name", reason));
    }
    named("event_name", name)
}

fn named(param: &str, text: &str) -> Result<String, Refusal> {
    if text.is_empty() {
        return Err(Refusal::invalid(param, "it is empty"));
    }
    text::check(param, text)?;
    Ok(text.to_owned())
}
