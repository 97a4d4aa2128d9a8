//! A command to subscribe, to a subscription.

use super::super::{
    CancellationReason, CreateSubscription, PaymentBehavior, PendingItemInterval,
    ProrationBehavior, Subscription, SubscriptionId, SubscriptionItemId, SubscriptionStatus,
    TrialEnd, period_from, trial_notice_at,
};
use super::Prices;
use super::cycle::{fit_periods, resolved};
use super::items::{check_collection, check_count, check_items, new_item, recurring, sold_price};
use super::mode::billing_mode;
use crate::text;
use counterfoil_core::{
    Anchor, Currency, Interval, IntervalUnit, Metadata, Period, Refusal, Timestamp, Zone, limits,
};

/// Makes a subscription with its first periods. What its first payment needs is the caller's
/// business; here it is trialing, or active.
///
/// # Errors
/// [`Refusal`] for prices that cannot be combined or are retired, and for parameters out of range.
pub fn decide_create(
    command: &CreateSubscription,
    id: SubscriptionId,
    seq: u64,
    item_ids: Vec<SubscriptionItemId>,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<Subscription, Refusal> {
    check_count(command.items.len())?;
    let currency = currency_of(command, prices)?;
    let zone = prices.zone_of(&command.customer);
    let trial = trial(command, prices, zone, at)?;
    let mode = billing_mode(command.billing_mode)?;
    let start_date = start_date(command, trial, at)?;
    let begins = match trial {
        Some(trial) => trial.end,
        None if mode.is_classic() => at,
        None => start_date,
    };
    let anchor = anchor(command, prices, (begins, zone), at)?;
    let is_free = command.proration_behavior == Some(ProrationBehavior::None);
    check_collection(command.collection_method, command.days_until_due)?;
    check_payment_behavior(command)?;
    command.billing_thresholds.map_or(Ok(()), |thresholds| thresholds.check())?;
    text::check_optional("description", command.description.as_deref())?;
    text::check_optional("default_payment_method", command.default_payment_method.as_deref())?;
    let mut items = Vec::with_capacity(command.items.len());
    for (index, (input, item_id)) in command.items.iter().zip(item_ids).enumerate() {
        let price = sold_price(prices, &input.price, currency, &format!("items[{index}].price"))?;
        let period = match trial {
            Some(trial) => trial,
            None => first_period(&anchor, recurring(price)?, (start_date, is_free), at)?,
        };
        items.push(new_item(input, item_id, (price, currency), period, index, at)?);
    }
    check_items(&items, mode, prices)?;
    let ends = command.cancel_at_period_end || command.cancel_at.is_some();
    let mut created = Subscription {
        id,
        seq,
        customer: command.customer.clone(),
        status: match trial {
            Some(_) => SubscriptionStatus::Trialing,
            None => SubscriptionStatus::Active,
        },
        currency,
        created: at,
        start_date,
        anchor,
        billing_mode: mode,
        free_stub: is_free,
        collection_method: command.collection_method,
        days_until_due: command.days_until_due,
        default_payment_method: command.default_payment_method.clone(),
        items_added: u64::try_from(items.len()).unwrap_or(u64::MAX),
        items,
        trial,
        closed_usage: Vec::new(),
        cancel_at_period_end: command.cancel_at_period_end,
        cancel_at: None,
        canceled_at: ends.then_some(at),
        ended_at: None,
        cancellation_reason: ends.then_some(CancellationReason::CancellationRequested),
        first_invoice: None,
        latest_invoice: None,
        incomplete_expires_at: None,
        trial_settings: command.trial_settings.unwrap_or_default(),
        trial_notice_at: trial.map(|trial| trial_notice_at(trial, at)).transpose()?,
        pause_collection: None,
        pauses: Vec::new(),
        pending_update: None,
        schedule: None,
        resumption: None,
        discounts: Vec::new(),
        default_tax_rates: Vec::new(),
        billing_thresholds: command.billing_thresholds,
        pending_item_interval: command
            .pending_invoice_item_interval
            .map(|input| PendingItemInterval::begin(input, at))
            .transpose()?,
        description: command.description.clone(),
        metadata: Metadata::of(command.metadata.as_ref())?,
    };
    if let Some(wanted) = command.cancel_at {
        if command.cancel_at_period_end {
            let reason = "give cancel_at or cancel_at_period_end, not both";
            return Err(Refusal::invalid("cancel_at", reason));
        }
        created.cancel_at = Some(resolved(&created, wanted, at)?);
        fit_periods(&mut created, prices)?;
    }
    Ok(created)
}

/// When service began: now, or before (rule 6.5).
fn start_date(
    command: &CreateSubscription,
    trial: Option<Period>,
    at: Timestamp,
) -> Result<Timestamp, Refusal> {
    let Some(start) = command.backdate_start_date else { return Ok(at) };
    let refuse = |reason: &str| Err(Refusal::invalid("backdate_start_date", reason));
    if start > at {
        return refuse("service began in the past");
    }
    if trial.is_some() {
        return refuse("a trial begins now");
    }
    if command.billing_cycle_anchor_config.is_some() {
        return refuse("give billing_cycle_anchor, not billing_cycle_anchor_config");
    }
    Ok(start)
}

/// The first period of an item: the one that runs now, from its boundary, or from the start of
/// service where that is later. What is free begins now (rules 6.4 and 6.5).
fn first_period(
    anchor: &Anchor,
    interval: Interval,
    (start_date, is_free): (Timestamp, bool),
    at: Timestamp,
) -> Result<Period, Refusal> {
    if is_free {
        return Ok(period_from(anchor, interval, at)?);
    }
    let whole = anchor.period_at(interval, at)?;
    Ok(Period::new(whole.start.max(start_date), whole.end))
}

/// The periods that were over when a backdated subscription was created, for each item, oldest
/// first: in the flexible mode one for each period of the anchor, in the classic one all in one.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] where there are more than an invoice has lines.
pub fn elapsed_periods(
    subscription: &Subscription,
    prices: &dyn Prices,
) -> Result<Vec<(SubscriptionItemId, Period)>, Refusal> {
    let mut elapsed = Vec::new();
    if subscription.free_stub {
        return Ok(elapsed);
    }
    for item in &subscription.items {
        let interval = recurring(prices.price(&item.price)?)?;
        let mut start = subscription.start_date;
        while start < item.period.start {
            let next = match subscription.billing_mode {
                mode if mode.is_classic() => item.period.start,
                _ => period_from(&subscription.anchor, interval, start)?.end,
            };
            elapsed.push((item.id.clone(), Period::new(start, next)));
            start = next;
            if elapsed.len() > limits::INVOICE_ITEMS_MAX {
                return Err(too_many_lines());
            }
        }
    }
    Ok(elapsed)
}

/// A backdated subscription whose first invoice would be too long.
#[must_use]
pub fn too_many_lines() -> Refusal {
    let limit = limits::INVOICE_ITEMS_MAX;
    let reason = format!("the first invoice would have more than {limit} lines (the limit)");
    Refusal::invalid("backdate_start_date", reason)
}

impl CreateSubscription {
    /// Whether the first payment is left to somebody else.
    #[must_use]
    pub fn leaves_payment_open(&self) -> bool {
        self.payment_behavior == PaymentBehavior::DefaultIncomplete
    }
}

fn currency_of(command: &CreateSubscription, prices: &dyn Prices) -> Result<Currency, Refusal> {
    match (command.currency, command.items.first()) {
        (Some(currency), _) => Ok(currency),
        (None, Some(item)) => Ok(prices.price(&item.price)?.currency),
        (None, None) => Err(Refusal::missing("items")),
    }
}

fn trial(
    command: &CreateSubscription,
    prices: &dyn Prices,
    zone: Zone,
    at: Timestamp,
) -> Result<Option<Period>, Refusal> {
    let after = |days: u32| {
        let day = Interval { unit: IntervalUnit::Day, count: 1 };
        Anchor::in_zone(at, zone).boundary(day, i64::from(days))
    };
    let latest = at.checked_add_days(i64::from(limits::TRIAL_DAYS_MAX))?;
    if command.trial_from_plan {
        if command.trial_end.is_some() || command.trial_period_days.is_some() {
            let reason = "it goes without trial_end and trial_period_days";
            return Err(Refusal::invalid("trial_from_plan", reason));
        }
        let Some(days) = trial_of_prices(command, prices)? else { return Ok(None) };
        return Ok(Some(Period::new(at, after(days)?)));
    }
    match (command.trial_end, command.trial_period_days) {
        (Some(_), Some(_)) => {
            Err(Refusal::invalid("trial_end", "give trial_end or trial_period_days, not both"))
        }
        (None | Some(TrialEnd::Now), None) | (None, Some(0)) => Ok(None),
        (Some(TrialEnd::At(end)), None) if end <= at || end > latest => {
            let reason =
                format!("a trial ends in the future, within {} days", limits::TRIAL_DAYS_MAX);
            Err(Refusal::invalid("trial_end", reason))
        }
        (Some(TrialEnd::At(end)), None) => Ok(Some(Period::new(at, end))),
        (None, Some(days)) if days > limits::TRIAL_DAYS_MAX => {
            let reason = format!("{days} days (the limit is {})", limits::TRIAL_DAYS_MAX);
            Err(Refusal::invalid("trial_period_days", reason))
        }
        (None, Some(days)) => Ok(Some(Period::new(at, after(days)?))),
    }
}

/// The longest trial that one of the prices says.
fn trial_of_prices(
    command: &CreateSubscription,
    prices: &dyn Prices,
) -> Result<Option<u32>, Refusal> {
    let mut longest = None;
    for item in &command.items {
        let recurring = prices.price(&item.price)?.recurring.as_ref();
        longest = longest.max(recurring.and_then(|recurring| recurring.trial_period_days));
    }
    Ok(longest)
}

fn check_payment_behavior(command: &CreateSubscription) -> Result<(), Refusal> {
    if command.payment_behavior == PaymentBehavior::PendingIfIncomplete {
        let reason = "pending_if_incomplete is for updates; a new subscription is incomplete";
        return Err(Refusal::invalid("payment_behavior", reason));
    }
    Ok(())
}

fn anchor(
    command: &CreateSubscription,
    prices: &dyn Prices,
    (begins, zone): (Timestamp, Zone),
    at: Timestamp,
) -> Result<Anchor, Refusal> {
    match (command.billing_cycle_anchor, command.billing_cycle_anchor_config) {
        (None, None) => Ok(Anchor::in_zone(begins, zone)),
        (Some(_), Some(_)) => {
            let reason = "give billing_cycle_anchor or billing_cycle_anchor_config, not both";
            Err(Refusal::invalid("billing_cycle_anchor", reason))
        }
        (Some(anchor), None) if anchor <= at => {
            let reason = format!("{anchor} does not lie in the future");
            Err(Refusal::invalid("billing_cycle_anchor", reason))
        }
        (Some(anchor), None) => Ok(Anchor::in_zone(anchor, zone)),
        (None, Some(config)) => {
            for item in &command.items {
                let unit = recurring(prices.price(&item.price)?)?.unit;
                if !matches!(unit, IntervalUnit::Month | IntervalUnit::Year) {
                    let reason = "only prices by month or year have such an anchor";
                    return Err(Refusal::invalid("billing_cycle_anchor_config", reason));
                }
            }
            config.next_anchor(at, zone)
        }
    }
}
