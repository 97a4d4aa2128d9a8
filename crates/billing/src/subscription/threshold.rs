//! Thresholds: what is invoiced before its period is over (rule 6.13).

use super::{PauseBehavior, Subscription, SubscriptionStatus};
use crate::catalog::Price;
use counterfoil_core::{Refusal, limits};
use serde::{Deserialize, Serialize};

/// The thresholds of a subscription.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BillingThresholds {
    /// The amount of usage, in minor units, that is invoiced as soon as it was reached and not billed
    /// yet; at least 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_gte: Option<i64>,
    /// Whether such an invoice ends the periods of all items, so that new ones begin with it.
    pub reset_billing_cycle_anchor: bool,
}

/// The threshold of an item.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ItemThresholds {
    /// The usage that is invoiced as soon as it was reached and not billed yet; at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_gte: Option<i64>,
}

impl BillingThresholds {
    /// An amount, in minor units.
    #[must_use]
    pub const fn amount_gte(amount: i64) -> Self {
        Self { amount_gte: Some(amount), reset_billing_cycle_anchor: false }
    }

    /// # Errors
    /// [`Refusal`] where no amount is given, or one that is out of range.
    pub(crate) fn check(self) -> Result<(), Refusal> {
        let param = "billing_thresholds.amount_gte";
        let (least, most) = (limits::THRESHOLD_AMOUNT_MIN, limits::AMOUNT_MINOR_MAX);
        let Some(amount) = self.amount_gte else { return Err(Refusal::missing(param)) };
        if !(least..=most).contains(&amount) {
            let reason = format!("{amount} is not an amount from {least} to {most} minor units");
            return Err(Refusal::invalid(param, reason));
        }
        Ok(())
    }
}

impl ItemThresholds {
    /// # Errors
    /// [`Refusal`] where no usage is given or it is out of range, and for a licensed price.
    pub(crate) fn check(self, price: &Price, index: usize) -> Result<(), Refusal> {
        let param = format!("items[{index}].billing_thresholds.usage_gte");
        let Some(usage) = self.usage_gte else { return Err(Refusal::missing(param)) };
        if price.meter().is_none() {
            let reason = format!("{} is licensed: it has no usage", price.id);
            return Err(Refusal::invalid(param, reason));
        }
        if !(1..=limits::QUANTITY_MAX).contains(&usage) {
            let reason = format!("{usage} is not a usage from 1 to {}", limits::QUANTITY_MAX);
            return Err(Refusal::invalid(param, reason));
        }
        Ok(())
    }
}

impl Subscription {
    /// Whether it or an item of it has a threshold.
    #[must_use]
    pub fn has_thresholds(&self) -> bool {
        self.billing_thresholds.is_some()
            || self.items.iter().any(|item| item.billing_thresholds.is_some())
    }

    /// Whether its thresholds are looked at: while it is active or past due. Where invoices would
    /// stay drafts or be voided, what it used waits for the end of its period.
    #[must_use]
    pub fn watches_thresholds(&self) -> bool {
        let held = self.pause_collection.is_some_and(|pause| {
            matches!(pause.behavior, PauseBehavior::KeepAsDraft | PauseBehavior::Void)
        });
        let runs = matches!(self.status, SubscriptionStatus::Active | SubscriptionStatus::PastDue);
        runs && !held && self.has_thresholds()
    }

    /// Whether new periods begin where it reaches a threshold. None begin where it ends with its
    /// period: that end was agreed on.
    #[must_use]
    pub fn begins_anew_at_threshold(&self) -> bool {
        let asked = self.billing_thresholds.is_some_and(|own| own.reset_billing_cycle_anchor);
        asked && !self.cancel_at_period_end
    }
}
