//! The periods of a subscription under a change: its anchor, its trial and its agreed end.

use super::super::{
    AnchorChange, CancelAt, CancellationReason, ClosedUsage, Subscription, SubscriptionItem,
    SubscriptionStatus, TrialEnd, UpdateSubscription, period_from, trial_notice_at, until,
};
use super::Prices;
use super::items::{is_metered, recurring};
use crate::Patch;
use crate::discount::in_force;
use crate::invoice::UsageCharge;
use counterfoil_core::{Anchor, Period, Refusal, Timestamp, limits};

/// Lets new periods of all items begin at an instant, which becomes the anchor (rule 6.4). Usage of
/// the periods that end, up to an instant, waits for the next invoice.
pub(super) fn begin_anew(
    subscription: &mut Subscription,
    prices: &dyn Prices,
    (at, used_until): (Timestamp, Timestamp),
) -> Result<(), Refusal> {
    subscription.anchor = Anchor::in_zone(at, subscription.anchor.zone);
    close_all_usage(subscription, prices, used_until)?;
    for item in &mut subscription.items {
        let price = prices.price(&item.price)?;
        item.period = period_from(&subscription.anchor, recurring(price)?, at)?;
        let since = item.usage_since.map_or(used_until, |since| since.max(used_until));
        item.usage_since = Some(since).filter(|since| *since > at && is_metered(price));
    }
    Ok(())
}

/// Lets new periods begin because usage reached a threshold (rule 6.13). The second that runs counts
/// to the periods that end; usage of the new ones is what comes after it.
///
/// # Errors
/// [`Refusal::ResourceMissing`] for a price that is not there, [`Refusal::AmountTooLarge`] beyond the
/// calendar.
pub fn decide_reset(
    subscription: &Subscription,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<Subscription, Refusal> {
    let mut after = subscription.clone();
    begin_anew(&mut after, prices, (at, at.checked_add_seconds(1)?))?;
    fit_periods(&mut after, prices)?;
    Ok(after)
}

fn close_all_usage(
    subscription: &mut Subscription,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<(), Refusal> {
    if !subscription.bills_usage() {
        return Ok(());
    }
    for item in &subscription.items {
        let used = usage_until(item, prices, at)?;
        let closed = used.map(|charge| ClosedUsage { charge, dropped: false });
        subscription.closed_usage.extend(closed);
    }
    Ok(())
}

/// The usage of a metered item in its period up to an instant; none where no time has passed.
pub(super) fn usage_until(
    item: &SubscriptionItem,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<Option<UsageCharge>, Refusal> {
    let price = prices.price(&item.price)?;
    let used = until(item.usage_period(), Some(at));
    Ok(price.meter().filter(|_| !used.is_empty()).map(|meter| UsageCharge {
        subscription_item: item.id.clone(),
        price: item.price.clone(),
        meter: meter.clone(),
        period: used,
        discounts: in_force(&item.discounts, at),
        tax_rates: item.tax_rates.clone(),
        spared_discounts: Vec::new(),
    }))
}

/// Moves the end of a trial, or begins one: every period ends with it, and it becomes the anchor
/// (rules 6.4 and 6.8).
pub(super) fn set_trial_end(
    subscription: &mut Subscription,
    end: TrialEnd,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<(), Refusal> {
    let end = match end {
        TrialEnd::Now => return end_trial(subscription, at),
        TrialEnd::At(end) => end,
    };
    let latest = at.checked_add_days(i64::from(limits::TRIAL_DAYS_MAX))?;
    if end <= at || end > latest {
        let reason = format!("a trial ends in the future, within {} days", limits::TRIAL_DAYS_MAX);
        return Err(Refusal::invalid("trial_end", reason));
    }
    let running = subscription.trial.filter(|_| subscription.is_in_trial());
    if running.is_none() {
        close_all_usage(subscription, prices, at)?;
    }
    let begun = running.map_or(at, |trial| trial.start);
    for item in &mut subscription.items {
        let start = if running.is_some() { item.period.start } else { at };
        item.period = Period::new(start, end);
        item.usage_since = item.usage_since.filter(|since| *since > at);
    }
    let trial = Period::new(begun, end);
    subscription.trial = Some(trial);
    subscription.trial_notice_at = Some(trial_notice_at(trial, at)?);
    subscription.anchor = Anchor::in_zone(end, subscription.anchor.zone);
    subscription.status = SubscriptionStatus::Trialing;
    subscription.free_stub = false;
    Ok(())
}

/// Ends a trial now, if one runs. An anchor of its own stays.
fn end_trial(subscription: &mut Subscription, at: Timestamp) -> Result<(), Refusal> {
    let Some(trial) = subscription.trial.filter(|_| subscription.is_in_trial()) else {
        return Ok(());
    };
    if subscription.anchor.at == trial.end {
        subscription.anchor = Anchor::in_zone(at, subscription.anchor.zone);
    }
    subscription.trial = Some(until(trial, Some(at)));
    subscription.trial_notice_at = subscription.trial_notice_at.and(Some(at));
    for item in &mut subscription.items {
        item.period = until(item.period, Some(at));
    }
    Ok(())
}

/// Agrees on an end, moves it or takes it back (rule 6.10).
pub(super) fn set_agreed_end(
    subscription: &mut Subscription,
    command: &UpdateSubscription,
    at: Timestamp,
) -> Result<(), Refusal> {
    let before = subscription.agreed_end();
    let shown = subscription.billing_cycle_anchor();
    match (&command.cancel_at, command.cancel_at_period_end) {
        (Patch::Set(_), Some(true)) => {
            let reason = "give cancel_at or cancel_at_period_end, not both";
            return Err(Refusal::invalid("cancel_at", reason));
        }
        (Patch::Set(wanted), _) => {
            subscription.cancel_at = Some(resolved(subscription, *wanted, at)?);
            subscription.cancel_at_period_end = false;
        }
        (Patch::Clear, at_period_end) => {
            subscription.cancel_at = None;
            subscription.cancel_at_period_end =
                at_period_end.unwrap_or(subscription.cancel_at_period_end);
        }
        (Patch::Keep, Some(at_period_end)) => {
            if at_period_end {
                subscription.cancel_at = None;
            }
            subscription.cancel_at_period_end = at_period_end;
        }
        (Patch::Keep, None) => return Ok(()),
    }
    // In the classic mode an end that is taken back leaves the anchor where the period began, but
    // for the first one, which keeps the anchor that it had (rule 6.4).
    let period = subscription.current_period();
    let was_shortened = shown != subscription.anchor.at;
    if was_shortened && subscription.cancel_at.is_none() && period.start != subscription.start_date
    {
        subscription.anchor = Anchor::in_zone(period.start, subscription.anchor.zone);
    }
    let agreed = subscription.cancel_at.is_some() || subscription.cancel_at_period_end;
    let asked = subscription.canceled_at.filter(|_| before.is_some());
    subscription.canceled_at = agreed.then_some(asked.unwrap_or(at));
    subscription.cancellation_reason = agreed.then_some(CancellationReason::CancellationRequested);
    Ok(())
}

/// The instant that an agreed end stands for, as the periods are now.
pub(super) fn resolved(
    subscription: &Subscription,
    wanted: CancelAt,
    at: Timestamp,
) -> Result<Timestamp, Refusal> {
    let ends = subscription.items.iter().map(|item| item.period.end);
    let end = match wanted {
        CancelAt::At(end) => end,
        CancelAt::MinPeriodEnd => ends.min().unwrap_or(at),
        CancelAt::MaxPeriodEnd => ends.max().unwrap_or(at),
        CancelAt::MaxBilledUntil => {
            let mut latest = subscription.start_date;
            for item in &subscription.items {
                latest = latest.max(item.billed_until());
            }
            latest
        }
    };
    if end <= at {
        let reason = format!("{end} does not lie in the future");
        return Err(Refusal::invalid("cancel_at", reason));
    }
    Ok(end)
}

/// Lets every period end on its boundary, or with the agreed end before that. A trial ends every
/// period by itself; in the classic mode it ends with the agreed end too (rule 6.8).
pub(super) fn fit_periods(
    subscription: &mut Subscription,
    prices: &dyn Prices,
) -> Result<(), Refusal> {
    if let Some(trial) = subscription.trial.filter(|_| subscription.is_in_trial()) {
        let agreed = subscription.cancel_at.filter(|_| subscription.billing_mode.is_classic());
        let trial = until(trial, agreed);
        subscription.trial = Some(trial);
        for item in &mut subscription.items {
            item.period.end = trial.end;
        }
        return Ok(());
    }
    // The periods of a pause are those that it began in; they are found anew when it ends.
    if subscription.status == SubscriptionStatus::Paused {
        return Ok(());
    }
    for item in &mut subscription.items {
        let interval = recurring(prices.price(&item.price)?)?;
        let whole = period_from(&subscription.anchor, interval, item.period.start)?;
        item.period = until(whole, subscription.cancel_at);
    }
    Ok(())
}

/// Whether a change lets new periods begin: asked for, or in the classic mode with another interval
/// or with the first price that costs something (rule 6.4).
pub(super) fn begins_anew(
    before: &Subscription,
    after: &Subscription,
    asked: Option<AnchorChange>,
    prices: &dyn Prices,
) -> Result<bool, Refusal> {
    match asked {
        Some(AnchorChange::Now) => return Ok(true),
        Some(AnchorChange::Unchanged) => return Ok(false),
        None => {}
    }
    if !after.billing_mode.is_classic() || after.is_in_trial() {
        return Ok(false);
    }
    for old in &before.items {
        let Some(new) = after.item(&old.id) else { continue };
        if recurring(prices.price(&old.price)?)? != recurring(prices.price(&new.price)?)? {
            return Ok(true);
        }
    }
    Ok(is_free(before, prices)? && !is_free(after, prices)?)
}

fn is_free(subscription: &Subscription, prices: &dyn Prices) -> Result<bool, Refusal> {
    for item in &subscription.items {
        if !prices.price(&item.price)?.scheme_in(subscription.currency)?.is_free() {
            return Ok(false);
        }
    }
    Ok(true)
}
