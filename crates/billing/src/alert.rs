//! Alerts as resources: what usage they watch, and whether they do (rule 12.7). The watching itself
//! is somebody else's work.

use crate::catalog::MeterId;
use crate::customer::CustomerId;
use crate::text;
use counterfoil_core::{Decimal12, Id, Refusal, Timestamp, kind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The id of an alert.
pub type AlertId = Id<kind::Alert>;

/// An alert on the usage of a meter.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// What a person reads.
    pub title: String,
    /// The meter whose usage it watches.
    pub meter: MeterId,
    /// It goes off where the usage of a customer since its creation is this or more.
    pub gte: Decimal12,
    /// The one customer that it watches; each where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// Whether it watches.
    pub status: AlertStatus,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// Whether an alert watches.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    /// It does.
    Active,
    /// It counts, and is silent.
    Inactive,
    /// It never will again.
    Archived,
}

impl AlertStatus {
    /// The status as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Archived => "archived",
        }
    }
}

/// An alert that went off for a customer.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertTriggered {
    /// The alert.
    pub alert: AlertId,
    /// Whose usage.
    pub customer: CustomerId,
    /// On which meter.
    pub meter: MeterId,
    /// The usage since the alert was created, after the events that set it off.
    pub value: Decimal12,
    /// The position of the record that holds those events, which is that of this event as well.
    pub position: u64,
}

/// `alert.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAlert {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AlertId>,
    /// What a person reads.
    pub title: String,
    /// The kind of alert.
    #[serde(default)]
    pub alert_type: AlertType,
    /// What it watches.
    pub usage_threshold: UsageThreshold,
}

impl CreateAlert {
    /// An alert on the usage of each customer on a meter.
    #[must_use]
    pub fn new(title: impl Into<String>, meter: MeterId, gte: Decimal12) -> Self {
        let recurrence = Recurrence::OneTime;
        let usage_threshold = UsageThreshold { meter, gte, recurrence, filters: Vec::new() };
        Self {
            id: None,
            title: title.into(),
            alert_type: AlertType::UsageThreshold,
            usage_threshold,
        }
    }

    /// The same of one customer.
    #[must_use]
    pub fn of_customer(mut self, customer: CustomerId) -> Self {
        let kind = AlertFilterKind::Customer;
        self.usage_threshold.filters = vec![AlertFilter { kind, customer }];
        self
    }
}

/// The kind of an alert: there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertType {
    /// Usage reaches a threshold.
    #[default]
    UsageThreshold,
}

/// What an alert watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageThreshold {
    /// The meter.
    pub meter: MeterId,
    /// It goes off where usage is this or more; above 0.
    pub gte: Decimal12,
    /// How often.
    #[serde(default)]
    pub recurrence: Recurrence,
    /// Whose usage; that of each customer where there is none. One at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<AlertFilter>,
}

/// How often an alert goes off: there is one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recurrence {
    /// Once for a customer, until it is activated again.
    #[default]
    OneTime,
}

/// Whose usage an alert watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertFilter {
    /// The kind of filter.
    #[serde(rename = "type", default)]
    pub kind: AlertFilterKind,
    /// The customer.
    pub customer: CustomerId,
}

/// The kind of a filter: there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertFilterKind {
    /// By customer.
    #[default]
    Customer,
}

/// `alert.activate`: it watches, and may go off again for every customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivateAlert {
    /// Which alert.
    pub id: AlertId,
}

/// `alert.deactivate`: it is silent, and goes on counting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeactivateAlert {
    /// Which alert.
    pub id: AlertId,
}

/// `alert.archive`: it is silent for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveAlert {
    /// Which alert.
    pub id: AlertId,
}

/// What happened to an alert: what it is now, or that it went off.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertEvent {
    /// It was created.
    Created(Arc<Alert>),
    /// It watches, and may go off again for every customer.
    Activated(Arc<Alert>),
    /// It is silent.
    Deactivated(Arc<Alert>),
    /// It is silent for ever.
    Archived(Arc<Alert>),
    /// It went off for a customer.
    Triggered(Arc<AlertTriggered>),
}

impl AlertEvent {
    /// The alert from now on; none where it went off, which does not change it.
    #[must_use]
    pub fn alert(&self) -> Option<&Arc<Alert>> {
        match self {
            Self::Created(alert)
            | Self::Activated(alert)
            | Self::Deactivated(alert)
            | Self::Archived(alert) => Some(alert),
            Self::Triggered(_) => None,
        }
    }

    /// For whom it went off; none where it was changed.
    #[must_use]
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Triggered(triggered) => Some(&triggered.customer),
            _ => None,
        }
    }
}

/// The customer that an alert is to watch; none where it is to watch each.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for more than one filter.
pub fn watched(command: &CreateAlert) -> Result<Option<&CustomerId>, Refusal> {
    match command.usage_threshold.filters.as_slice() {
        [] => Ok(None),
        [filter] => Ok(Some(&filter.customer)),
        more => {
            let reason = format!("there are {} (the limit is 1)", more.len());
            Err(Refusal::invalid("usage_threshold.filters", reason))
        }
    }
}

/// Makes an alert. The caller has seen that meter and customer exist.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for an empty or overlong title, a threshold that is not above 0,
/// and more than one filter.
pub fn decide_create(
    command: &CreateAlert,
    id: AlertId,
    seq: u64,
    at: Timestamp,
) -> Result<AlertEvent, Refusal> {
    let threshold = &command.usage_threshold;
    if threshold.gte <= Decimal12::ZERO {
        let reason = format!("{} is not above 0", threshold.gte);
        return Err(Refusal::invalid("usage_threshold.gte", reason));
    }
    if command.title.is_empty() {
        return Err(Refusal::invalid("title", "it is empty"));
    }
    text::check("title", &command.title)?;
    let alert = Alert {
        id,
        seq,
        title: command.title.clone(),
        meter: threshold.meter.clone(),
        gte: threshold.gte,
        customer: watched(command)?.cloned(),
        status: AlertStatus::Active,
        created: at,
        updated: at,
    };
    Ok(AlertEvent::Created(alert.into()))
}

/// Lets an alert watch, and arms it again; one that is active as well.
///
/// # Errors
/// [`Refusal::StateUnsupported`] where it is archived.
pub fn decide_activate(alert: &Alert, at: Timestamp) -> Result<AlertEvent, Refusal> {
    changed(alert, AlertStatus::Active, at).map(AlertEvent::Activated)
}

/// Makes an alert silent.
///
/// # Errors
/// [`Refusal::StateUnsupported`] where it is silent already.
pub fn decide_deactivate(alert: &Alert, at: Timestamp) -> Result<AlertEvent, Refusal> {
    if alert.status == AlertStatus::Inactive {
        return Err(Refusal::state("alert", &alert.id, "inactive", "it is silent already"));
    }
    changed(alert, AlertStatus::Inactive, at).map(AlertEvent::Deactivated)
}

/// Makes an alert silent for ever.
///
/// # Errors
/// [`Refusal::StateUnsupported`] where it is archived.
pub fn decide_archive(alert: &Alert, at: Timestamp) -> Result<AlertEvent, Refusal> {
    changed(alert, AlertStatus::Archived, at).map(AlertEvent::Archived)
}

fn changed(alert: &Alert, status: AlertStatus, at: Timestamp) -> Result<Arc<Alert>, Refusal> {
    if alert.status == AlertStatus::Archived {
        return Err(Refusal::state("alert", &alert.id, "archived", "it is so for ever"));
    }
    Ok(Alert { status, updated: at, ..alert.clone() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::Code;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    #[test]
    fn archived_is_for_ever_and_active_can_be_armed_again() {
        use AlertStatus::{Active, Archived, Inactive};
        let create = CreateAlert::new("much", Id::derived(1), Decimal12::ONE);
        let created = decide_create(&create, Id::derived(2), 3, at(1)).unwrap();
        let new = created.alert().unwrap().as_ref();
        type Decide = fn(&Alert, Timestamp) -> Result<AlertEvent, Refusal>;
        for (decide, to, refused) in [
            (decide_activate as Decide, Active, [false, false, true]),
            (decide_deactivate, Inactive, [false, true, true]),
            (decide_archive, Archived, [false, false, true]),
        ] {
            for (from, refused) in [Active, Inactive, Archived].into_iter().zip(refused) {
                let alert = Alert { status: from, ..new.clone() };
                match decide(&alert, at(2)) {
                    Ok(event) => {
                        let alert = event.alert().unwrap();
                        assert_eq!((alert.status, alert.updated), (to, at(2)));
                        assert!(!refused, "{from:?} to {to:?}");
                    }
                    Err(refusal) => {
                        assert_eq!(refusal.code(), Code::StateUnsupported);
                        assert!(refused, "{from:?} to {to:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_threshold_is_above_zero_and_has_one_filter_at_most() {
        let create = |gte: &str, filters: usize, title: &str| {
            let mut command = CreateAlert::new(title, Id::derived(1), gte.parse().unwrap());
            let filter = AlertFilter { kind: AlertFilterKind::Customer, customer: Id::derived(4) };
            command.usage_threshold.filters = vec![filter; filters];
            decide_create(&command, Id::derived(2), 3, at(1)).map_err(|refusal| refusal.code())
        };
        for (gte, filters, title, taken) in [
            ("0.000000000001", 1, "much", true),
            ("0", 0, "much", false),
            ("-1", 0, "much", false),
            ("1", 2, "much", false),
            ("1", 0, "", false),
        ] {
            let created = create(gte, filters, title);
            assert_eq!(created.is_ok(), taken, "{gte} {filters} {title:?}");
            assert!(taken || created == Err(Code::ParameterInvalid));
        }
    }
}
