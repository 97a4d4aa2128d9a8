//! What happened to a subscription schedule.

use super::{ScheduleStatus, SubscriptionSchedule, SubscriptionScheduleId};
use crate::PersonalData;
use crate::customer::CustomerId;
use crate::subscription::SubscriptionId;
use counterfoil_core::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What happened to a subscription schedule.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionScheduleEvent {
    /// It was created.
    Created(Arc<SubscriptionSchedule>),
    /// It was changed; this is what it is now.
    Updated {
        /// When.
        at: Timestamp,
        /// The schedule from now on.
        schedule: Arc<SubscriptionSchedule>,
    },
    /// A phase began.
    PhaseEntered {
        /// Whose.
        customer: CustomerId,
        /// Which schedule.
        id: SubscriptionScheduleId,
        /// When.
        at: Timestamp,
        /// How many phases were entered with it.
        phases_entered: u32,
        /// The subscription that it guides.
        subscription: SubscriptionId,
    },
    /// Its last phase ends soon: seven days before, or as soon as that is known.
    Expiring {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: SubscriptionScheduleId,
        /// When this was announced.
        at: Timestamp,
        /// When the last phase ends.
        ends_at: Timestamp,
    },
    /// It is over.
    Ended {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: SubscriptionScheduleId,
        /// When.
        at: Timestamp,
        /// Completed, released or canceled.
        status: ScheduleStatus,
        /// Whether it was canceled because its subscription was not paid.
        #[serde(default, skip_serializing_if = "crate::is_default")]
        aborted: bool,
    },
}

impl SubscriptionScheduleEvent {
    /// Whose schedule.
    #[must_use]
    pub fn customer(&self) -> &CustomerId {
        match self {
            Self::Created(schedule) | Self::Updated { schedule, .. } => &schedule.customer,
            Self::PhaseEntered { customer, .. }
            | Self::Expiring { customer, .. }
            | Self::Ended { customer, .. } => customer,
        }
    }

    /// Which schedule.
    #[must_use]
    pub fn schedule(&self) -> &SubscriptionScheduleId {
        match self {
            Self::Created(schedule) | Self::Updated { schedule, .. } => &schedule.id,
            Self::PhaseEntered { id, .. } | Self::Expiring { id, .. } | Self::Ended { id, .. } => {
                id
            }
        }
    }

    /// The personal data that the event carries beside its body.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        match self {
            Self::Created(schedule) | Self::Updated { schedule, .. } => schedule.personal(),
            _ => PersonalData::default(),
        }
    }

    /// Gives the event its personal data back, after both were read.
    pub fn set_personal(&mut self, data: PersonalData) {
        match self {
            Self::Created(schedule) | Self::Updated { schedule, .. } => {
                Arc::make_mut(schedule).set_personal(data);
            }
            _ => {}
        }
    }

    /// Applies the event to the schedule it names; `Created` stands for itself.
    pub fn evolve(&self, current: &mut SubscriptionSchedule) {
        match self {
            Self::Created(schedule) | Self::Updated { schedule, .. } => {
                current.clone_from(&**schedule);
            }
            Self::PhaseEntered { phases_entered, subscription, .. } => {
                current.status = ScheduleStatus::Active;
                current.phases_entered = *phases_entered;
                current.subscription = Some(subscription.clone());
            }
            Self::Expiring { .. } => current.expiring_notice_at = None,
            Self::Ended { at, status, .. } => current.end(*status, *at),
        }
    }
}

impl SubscriptionSchedule {
    fn end(&mut self, status: ScheduleStatus, at: Timestamp) {
        self.status = status;
        self.expiring_notice_at = None;
        match status {
            ScheduleStatus::Completed => self.completed_at = Some(at),
            ScheduleStatus::Canceled => self.canceled_at = Some(at),
            ScheduleStatus::Released => {
                self.released_at = Some(at);
                self.released_subscription = self.subscription.take();
            }
            ScheduleStatus::NotStarted | ScheduleStatus::Active => {}
        }
    }
}
