//! How a trial ends, and when that is announced (rule 6.8).

use super::Subscription;
use counterfoil_core::{ArithmeticError, Period, Timestamp, limits};
use serde::{Deserialize, Serialize};

/// What a subscription does with its trial.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TrialSettings {
    /// What follows the trial.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub end_behavior: TrialEndBehavior,
}

/// What follows a trial.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TrialEndBehavior {
    /// What happens where there is nobody to charge.
    pub missing_payment_method: MissingPaymentMethod,
}

/// What happens at the end of a trial where invoices are charged automatically and there is no
/// payment method.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingPaymentMethod {
    /// It is invoiced all the same, and past due when that invoice is not paid.
    #[default]
    CreateInvoice,
    /// It is canceled.
    Cancel,
    /// It is paused: no invoice is made, and usage is not billed, until it is resumed.
    Pause,
}

impl TrialSettings {
    /// Those that say what happens without a payment method.
    #[must_use]
    pub const fn missing_payment_method(missing_payment_method: MissingPaymentMethod) -> Self {
        Self { end_behavior: TrialEndBehavior { missing_payment_method } }
    }
}

/// When the end of a trial is announced: three days before it, or at once where that has passed.
///
/// # Errors
/// [`ArithmeticError::Overflow`] beyond the calendar.
pub fn trial_notice_at(trial: Period, at: Timestamp) -> Result<Timestamp, ArithmeticError> {
    let before = trial.end.checked_add_seconds(-limits::TRIAL_NOTICE_SECONDS)?;
    Ok(before.max(at))
}

impl Subscription {
    /// What happens at the end of its trial without a payment method.
    #[must_use]
    pub fn without_payment_method(&self) -> MissingPaymentMethod {
        self.trial_settings.end_behavior.missing_payment_method
    }
}
