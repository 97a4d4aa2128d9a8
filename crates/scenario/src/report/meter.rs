//! Meters and alerts in the report.

use super::quantity;
use counterfoil::{
    Alert, AlertFilterKind, AlertId, AlertStatus, AlertTriggered, AlertType, CustomerId, Decimal12,
    Formula, Metadata, Meter, MeterId, Recurrence, Timestamp,
};
use serde::Serialize;

/// A meter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeterReport {
    /// Its id.
    pub id: MeterId,
    /// What a person reads.
    pub display_name: String,
    /// The name of the events it takes.
    pub event_name: String,
    /// `active` or `inactive`.
    pub status: &'static str,
    /// How events become a quantity.
    pub default_aggregation: AggregationReport,
    /// `hour` or `day`, where input is aggregated before it comes in.
    pub event_time_window: Option<counterfoil::EventTimeWindow>,
    /// Where the customer stands in an event.
    pub customer_mapping: CustomerMappingReport,
    /// Where the value stands in an event.
    pub value_settings: ValueSettingsReport,
    /// The payload keys whose values it keeps with each event.
    pub dimensions: Vec<String>,
    /// When it changed status.
    pub status_transitions: MeterTransitionsReport,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Metadata.
    pub metadata: Metadata,
}

/// The aggregation of a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AggregationReport {
    /// `sum`, `count` or `last`.
    pub formula: Formula,
}

/// Where the customer stands in an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CustomerMappingReport {
    /// The payload key.
    pub event_payload_key: String,
    /// `by_id`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// Where the value stands in an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueSettingsReport {
    /// The payload key.
    pub event_payload_key: String,
}

/// When a meter changed status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MeterTransitionsReport {
    /// When it stopped taking events.
    pub deactivated_at: Option<Timestamp>,
}

/// An alert on usage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertReport {
    /// Its id.
    pub id: AlertId,
    /// What a person reads.
    pub title: String,
    /// `usage_threshold`.
    pub alert_type: AlertType,
    /// What it watches.
    pub usage_threshold: UsageThresholdReport,
    /// `active`, `inactive` or `archived`.
    pub status: AlertStatus,
    /// Whom it went off for since it was created or last activated, by customer.
    pub triggered: Vec<AlertTriggeredReport>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// What an alert watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageThresholdReport {
    /// The meter.
    pub meter: MeterId,
    /// It goes off where usage is this or more.
    #[serde(serialize_with = "quantity")]
    pub gte: Decimal12,
    /// `one_time`.
    pub recurrence: Recurrence,
    /// Whose usage; that of each customer where it is empty.
    pub filters: Vec<AlertFilterReport>,
}

/// Whose usage an alert watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertFilterReport {
    /// `customer`.
    #[serde(rename = "type")]
    pub kind: AlertFilterKind,
    /// The customer.
    pub customer: CustomerId,
}

/// A customer that an alert went off for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertTriggeredReport {
    /// The customer.
    pub customer: CustomerId,
    /// Its usage since the alert was created, after the events that set it off.
    #[serde(serialize_with = "quantity")]
    pub value: Decimal12,
    /// The record that holds those events.
    pub position: u64,
}

impl MeterReport {
    pub(super) fn of(meter: &Meter) -> Self {
        Self {
            id: meter.id.clone(),
            display_name: meter.display_name.clone(),
            event_name: meter.event_name.clone(),
            status: if meter.active { "active" } else { "inactive" },
            default_aggregation: AggregationReport { formula: meter.formula },
            event_time_window: meter.event_time_window,
            customer_mapping: CustomerMappingReport {
                event_payload_key: meter.customer_payload_key.clone(),
                kind: "by_id",
            },
            value_settings: ValueSettingsReport {
                event_payload_key: meter.value_payload_key.clone(),
            },
            dimensions: meter.dimensions.clone(),
            status_transitions: MeterTransitionsReport { deactivated_at: meter.deactivated_at },
            created: meter.created,
            updated: meter.updated,
            metadata: meter.metadata.clone(),
        }
    }
}

impl AlertReport {
    pub(super) fn of(alert: &Alert, triggered: &[AlertTriggered]) -> Self {
        let filter = |customer: &CustomerId| AlertFilterReport {
            kind: AlertFilterKind::Customer,
            customer: customer.clone(),
        };
        let row = |own: &AlertTriggered| AlertTriggeredReport {
            customer: own.customer.clone(),
            value: own.value,
            position: own.position,
        };
        Self {
            id: alert.id.clone(),
            title: alert.title.clone(),
            alert_type: AlertType::UsageThreshold,
            usage_threshold: UsageThresholdReport {
                meter: alert.meter.clone(),
                gte: alert.gte,
                recurrence: Recurrence::OneTime,
                filters: alert.customer.iter().map(filter).collect(),
            },
            status: alert.status,
            triggered: triggered.iter().map(row).collect(),
            created: alert.created,
            updated: alert.updated,
        }
    }
}
