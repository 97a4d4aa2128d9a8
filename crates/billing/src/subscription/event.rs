//! What happened to a subscription.

use super::{
    CancellationReason, Subscription, SubscriptionId, SubscriptionItemId, SubscriptionStatus,
};
use crate::PersonalData;
use crate::customer::CustomerId;
use counterfoil_core::{Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What happened to a subscription.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionEvent {
    /// It was created.
    Created(Arc<Subscription>),
    /// It was changed by hand; this is what it is now.
    Updated {
        /// When.
        at: Timestamp,
        /// The subscription from now on.
        subscription: Arc<Subscription>,
    },
    /// Periods of items ended and the next ones began.
    Renewed {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: SubscriptionId,
        /// When.
        at: Timestamp,
        /// The new periods.
        periods: Vec<(SubscriptionItemId, Period)>,
        /// Whether this was the end of a trial.
        #[serde(default, skip_serializing_if = "crate::is_default")]
        trial_ended: bool,
    },
    /// Its status followed from what happened to its invoices.
    StatusChanged {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: SubscriptionId,
        /// When.
        at: Timestamp,
        /// The status from now on.
        status: SubscriptionStatus,
        /// While incomplete: when the first payment must have succeeded.
        incomplete_expires_at: Option<Timestamp>,
    },
    /// It ended.
    Ended {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: SubscriptionId,
        /// When.
        at: Timestamp,
        /// Canceled, or incomplete and expired.
        status: SubscriptionStatus,
        /// Why, where it was canceled.
        reason: Option<CancellationReason>,
    },
}

impl SubscriptionEvent {
    /// Whose subscription.
    #[must_use]
    pub fn customer(&self) -> &CustomerId {
        match self {
            Self::Created(subscription) | Self::Updated { subscription, .. } => {
                &subscription.customer
            }
            Self::Renewed { customer, .. }
            | Self::StatusChanged { customer, .. }
            | Self::Ended { customer, .. } => customer,
        }
    }

    /// Which subscription.
    #[must_use]
    pub fn subscription(&self) -> &SubscriptionId {
        match self {
            Self::Created(subscription) | Self::Updated { subscription, .. } => &subscription.id,
            Self::Renewed { id, .. } | Self::StatusChanged { id, .. } | Self::Ended { id, .. } => {
                id
            }
        }
    }

    /// The personal data that the event carries beside its body.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        match self {
            Self::Created(subscription) | Self::Updated { subscription, .. } => {
                subscription.personal()
            }
            _ => PersonalData::default(),
        }
    }

    /// Gives the event its personal data back, after both were read.
    pub fn set_personal(&mut self, data: PersonalData) {
        match self {
            Self::Created(subscription) | Self::Updated { subscription, .. } => {
                Arc::make_mut(subscription).set_personal(data);
            }
            _ => {}
        }
    }

    /// Applies the event to the subscription it names; `Created` stands for itself.
    pub fn evolve(&self, current: &mut Subscription) {
        match self {
            Self::Created(subscription) | Self::Updated { subscription, .. } => {
                current.clone_from(&**subscription);
            }
            Self::Renewed { periods, trial_ended, .. } => {
                for (id, period) in periods {
                    if let Some(item) = current.items.iter_mut().find(|item| item.id == *id) {
                        item.period = *period;
                        item.usage_since = None;
                    }
                }
                if *trial_ended {
                    current.status = SubscriptionStatus::Active;
                }
            }
            Self::StatusChanged { status, incomplete_expires_at, .. } => {
                current.status = *status;
                current.incomplete_expires_at = *incomplete_expires_at;
            }
            Self::Ended { at, status, reason, .. } => {
                current.status = *status;
                current.ended_at = Some(*at);
                current.incomplete_expires_at = None;
                if *status == SubscriptionStatus::Canceled {
                    current.canceled_at.get_or_insert(*at);
                }
                current.cancellation_reason = *reason;
            }
        }
    }
}
