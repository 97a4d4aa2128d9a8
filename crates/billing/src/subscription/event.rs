//! What happened to a subscription.

use super::{
    CancellationReason, Pause, PendingCreation, Subscription, SubscriptionId, SubscriptionItemId,
    SubscriptionStatus,
};
use crate::PersonalData;
use crate::customer::CustomerId;
use crate::invoice::{DeclineCode, PaymentAttemptId};
use counterfoil_core::{Anchor, Period, Timestamp};
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
    /// Its trial ends soon: three days before, or as soon as that is known (rule 6.8).
    TrialWillEnd {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: SubscriptionId,
        /// When this was announced.
        at: Timestamp,
        /// When the trial ends.
        trial_end: Timestamp,
    },
    /// Its trial ended and there was nobody to charge: nothing is billed until it is resumed.
    Paused {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: SubscriptionId,
        /// When.
        at: Timestamp,
    },
    /// It goes on after a pause (rule 6.15).
    Resumed {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: SubscriptionId,
        /// When.
        at: Timestamp,
        /// What its boundaries are computed from.
        anchor: Anchor,
        /// The periods of its items.
        periods: Vec<(SubscriptionItemId, Period)>,
    },
    /// An interval after which what waits is invoiced went by, whether anything waited or not.
    PendingItemsDue {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: SubscriptionId,
        /// When.
        at: Timestamp,
        /// The end of the interval that follows.
        next: Timestamp,
    },
    /// Somebody was asked to pay for one that comes about only then (point 68).
    CreationPending(Arc<PendingCreation>),
    /// The payment failed: nothing came of it, and its ids are free again.
    CreationAbandoned {
        /// Whose.
        customer: CustomerId,
        /// The id that it would have had.
        id: SubscriptionId,
        /// When.
        at: Timestamp,
        /// The attempt that failed.
        attempt: PaymentAttemptId,
        /// Why.
        code: DeclineCode,
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
            | Self::Ended { customer, .. }
            | Self::TrialWillEnd { customer, .. }
            | Self::Paused { customer, .. }
            | Self::Resumed { customer, .. }
            | Self::PendingItemsDue { customer, .. }
            | Self::CreationAbandoned { customer, .. } => customer,
            Self::CreationPending(pending) => pending.customer(),
        }
    }

    /// Which subscription.
    #[must_use]
    pub fn subscription(&self) -> &SubscriptionId {
        match self {
            Self::Created(subscription) | Self::Updated { subscription, .. } => &subscription.id,
            Self::Renewed { id, .. }
            | Self::StatusChanged { id, .. }
            | Self::Ended { id, .. }
            | Self::TrialWillEnd { id, .. }
            | Self::Paused { id, .. }
            | Self::Resumed { id, .. }
            | Self::PendingItemsDue { id, .. }
            | Self::CreationAbandoned { id, .. } => id,
            Self::CreationPending(pending) => pending.id(),
        }
    }

    /// The personal data that the event carries beside its body.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        match self {
            Self::Created(subscription) | Self::Updated { subscription, .. } => {
                subscription.personal()
            }
            Self::CreationPending(pending) => pending.personal(),
            _ => PersonalData::default(),
        }
    }

    /// Gives the event its personal data back, after both were read.
    pub fn set_personal(&mut self, data: PersonalData) {
        match self {
            Self::Created(subscription) | Self::Updated { subscription, .. } => {
                Arc::make_mut(subscription).set_personal(data);
            }
            Self::CreationPending(pending) => Arc::make_mut(pending).set_personal(data),
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
                current.set_periods(periods);
                if *trial_ended {
                    current.status = SubscriptionStatus::Active;
                    current.trial_notice_at = None;
                }
            }
            Self::PendingItemsDue { next, .. } => {
                if let Some(own) = &mut current.pending_item_interval {
                    own.next = *next;
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
                (current.resumption, current.trial_notice_at) = (None, None);
                current.pending_update = None;
                current.end_pause(*at);
            }
            Self::CreationPending(_) | Self::CreationAbandoned { .. } => {}
            Self::TrialWillEnd { .. } => current.trial_notice_at = None,
            Self::Paused { at, .. } => {
                current.status = SubscriptionStatus::Paused;
                current.trial_notice_at = None;
                current.pauses.push(Pause { start: *at, end: None });
            }
            Self::Resumed { at, anchor, periods, .. } => {
                current.status = SubscriptionStatus::Active;
                current.anchor = *anchor;
                current.resumption = None;
                current.set_periods(periods);
                // What was used in the pause is never billed.
                for item in current.items.iter_mut().filter(|item| item.quantity.is_none()) {
                    item.usage_since = Some(*at).filter(|at| *at > item.period.start);
                }
                current.end_pause(*at);
            }
        }
    }
}

impl Subscription {
    fn set_periods(&mut self, periods: &[(SubscriptionItemId, Period)]) {
        for (id, period) in periods {
            if let Some(item) = self.items.iter_mut().find(|item| item.id == *id) {
                item.period = *period;
                // Usage of a second that a threshold ended stays with the period before.
                item.usage_since = item.usage_since.filter(|since| *since > period.start);
            }
        }
    }

    fn end_pause(&mut self, at: Timestamp) {
        if let Some(pause) = self.pauses.last_mut() {
            pause.end.get_or_insert(at);
        }
    }
}
