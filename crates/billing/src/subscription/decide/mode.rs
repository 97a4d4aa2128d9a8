//! The billing mode of a subscription (rule 6.1).

use super::super::{
    BillingMode, BillingModeInput, BillingModeKind, MigrateSubscription, Subscription,
};
use counterfoil_core::{Refusal, Timestamp};

/// A billing mode as a caller gives it; flexible where none is given.
pub(super) fn billing_mode(input: Option<BillingModeInput>) -> Result<BillingMode, Refusal> {
    let Some(input) = input else { return Ok(BillingMode::default()) };
    if input.kind == BillingModeKind::Classic && input.flexible.is_some() {
        let reason = "the classic billing mode has no options";
        return Err(Refusal::invalid("billing_mode.flexible", reason));
    }
    let proration_discounts = input.flexible.unwrap_or_default().proration_discounts;
    Ok(BillingMode { kind: input.kind, proration_discounts, updated_at: None })
}

/// Takes a subscription from the classic billing mode to the flexible one. Prorations that wait for
/// an invoice stay as they are.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for any other way, [`Refusal::StateUnsupported`] for one that is
/// flexible already or has ended.
pub fn decide_migrate(
    subscription: &Subscription,
    command: &MigrateSubscription,
    at: Timestamp,
) -> Result<Subscription, Refusal> {
    let refuse = |reason: &str| {
        Err(Refusal::state("subscription", &subscription.id, subscription.status, reason))
    };
    if subscription.is_ended() {
        return refuse("it has ended");
    }
    let mode = billing_mode(Some(command.billing_mode))?;
    if mode.is_classic() {
        let reason = "a subscription goes from classic to flexible only";
        return Err(Refusal::invalid("billing_mode.type", reason));
    }
    if !subscription.billing_mode.is_classic() {
        return refuse("its billing mode is flexible already");
    }
    let billing_mode = BillingMode { updated_at: Some(at), ..mode };
    Ok(Subscription { billing_mode, ..subscription.clone() })
}
