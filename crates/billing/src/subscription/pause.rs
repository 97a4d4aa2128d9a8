//! Pauses: of a subscription as a whole (rules 6.8 and 6.15), and of the collection of its invoices
//! (rule 6.11).

use super::{
    ProrationBehavior, Subscription, SubscriptionId, SubscriptionItemId, SubscriptionStatus,
};
use crate::invoice::InvoiceId;
use counterfoil_core::{Anchor, Period, Refusal, Timestamp};
use serde::{Deserialize, Serialize};

/// How the collection of a subscription's invoices is paused. Its status stays as it is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseCollection {
    /// What becomes of an invoice that is made meanwhile.
    pub behavior: PauseBehavior,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes_at: Option<Timestamp>,
}

/// What becomes of an invoice that is made while collection is paused.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseBehavior {
    /// It stays a draft until somebody finalizes it.
    KeepAsDraft,
    /// It is void as soon as it is made, and takes nothing from the balance (point 52).
    Void,
    /// The balance is applied when it is finalized; what remains is uncollectible.
    MarkUncollectible,
}

/// A time in which a subscription was paused: no usage in it is ever billed.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it began.
    pub start: Timestamp,
    /// When it was over; none while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

/// How a paused subscription will go on once its invoice is paid.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// The invoice that must be paid first.
    pub invoice: InvoiceId,
    /// What the boundaries of its periods are computed from then.
    pub anchor: Anchor,
    /// The periods of its items then.
    pub periods: Vec<(SubscriptionItemId, Period)>,
    /// When the invoice is voided; none once somebody was asked to pay it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `subscription.resume`: lets a paused subscription go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeSubscription {
    /// Which subscription.
    pub id: SubscriptionId,
    /// Whether its periods begin anew; `now` where absent.
    #[serde(default)]
    pub billing_cycle_anchor: ResumeAnchor,
    /// What the rest of the current period costs where the anchor is unchanged;
    /// `create_prorations` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proration_behavior: Option<ProrationBehavior>,
    /// From when on the rest of the current period is charged; now where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proration_date: Option<Timestamp>,
}

/// What the periods of a resumed subscription are computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumeAnchor {
    /// From the moment it is resumed: a whole period begins and is invoiced.
    #[default]
    Now,
    /// From the anchor it has: the period that is running is joined.
    Unchanged,
}

impl ResumeSubscription {
    /// Resumes with new periods from now on.
    #[must_use]
    pub fn new(id: SubscriptionId) -> Self {
        Self {
            id,
            billing_cycle_anchor: ResumeAnchor::default(),
            proration_behavior: None,
            proration_date: None,
        }
    }
}

impl PauseCollection {
    /// Refuses an end that does not lie in the future.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`].
    pub fn check(&self, at: Timestamp) -> Result<(), Refusal> {
        match self.resumes_at {
            Some(end) if end <= at => {
                let reason = format!("{end} does not lie in the future");
                Err(Refusal::invalid("pause_collection.resumes_at", reason))
            }
            _ => Ok(()),
        }
    }
}

impl Subscription {
    /// Whether its usage is billed at all: not in a trial, and not while it is paused.
    #[must_use]
    pub fn bills_usage(&self) -> bool {
        !self.is_in_trial() && self.status != SubscriptionStatus::Paused
    }
}
