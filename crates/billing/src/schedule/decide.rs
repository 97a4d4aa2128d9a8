//! Commands on schedules to schedules, and phases to commands on their subscription.

use super::{
    CreateSubscriptionSchedule, DefaultSettings, DefaultSettingsInput, Phase, PhaseAnchor,
    PhaseDuration, PhaseInput, PhaseItem, PhaseItemInput, RenewalInterval, ScheduleEndBehavior,
    ScheduleStatus, SubscriptionSchedule, SubscriptionScheduleId, UpdateSubscriptionSchedule,
};
use crate::catalog::Price;
use crate::customer::CustomerId;
use crate::discount::{Discount, DiscountInput, DiscountList};
use crate::subscription::{
    AddInvoiceItem, BillingThresholds, CreateSubscription, ItemChange, ItemInput, ItemThresholds,
    Prices, Subscription, SubscriptionItem, TrialEnd, UpdateSubscription, check_collection,
    check_new_items,
};
use crate::{Patch, text};
use counterfoil_core::{
    Anchor, ArithmeticError, Currency, Interval, Metadata, MetadataPatch, Refusal, Timestamp, Zone,
    limits,
};

/// Where the phases of a command begin, and what they are checked against.
struct Frame<'a> {
    defaults: &'a DefaultSettings,
    prices: &'a dyn Prices,
    /// The subscription's, once there is one.
    currency: Option<Currency>,
    nominal_day: u8,
    zone: Zone,
    at: Timestamp,
}

/// Makes a schedule for a customer. Its first phase begins now, or later.
///
/// # Errors
/// [`Refusal`] for phases that do not follow each other, or that no subscription could be.
pub fn decide_create(
    command: &CreateSubscriptionSchedule,
    customer: CustomerId,
    id: SubscriptionScheduleId,
    seq: u64,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<SubscriptionSchedule, Refusal> {
    let start = match command.start_date {
        None | Some(TrialEnd::Now) => at,
        Some(TrialEnd::At(start)) => start,
    };
    let defaults = defaults_of(command.default_settings.as_ref())?;
    let zone = prices.zone_of(&customer);
    let nominal_day = Anchor::in_zone(start, zone).nominal_day;
    let frame = Frame { defaults: &defaults, prices, currency: None, nominal_day, zone, at };
    let phases = frame.phases(&command.phases, start, false)?;
    if let Some(first) = phases.first().filter(|first| first.end_date <= at) {
        let reason = format!("the phase would be over at {}", first.end_date);
        return Err(Refusal::invalid("phases[0].end_date", reason));
    }
    let mut schedule = SubscriptionSchedule {
        id,
        seq,
        customer,
        status: ScheduleStatus::NotStarted,
        created: at,
        subscription: None,
        released_subscription: None,
        end_behavior: command.end_behavior,
        renewal_interval: renewal(command.end_behavior, command.renewal_interval)?,
        default_settings: defaults,
        phases,
        phases_entered: 0,
        nominal_day,
        zone,
        expiring_notice_at: None,
        completed_at: None,
        canceled_at: None,
        released_at: None,
        metadata: Metadata::of(command.metadata.as_ref())?,
    };
    schedule.notice(at)?;
    Ok(schedule)
}

/// Makes a schedule that mirrors a subscription: its period that is running is the only phase.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] where the command says more than that.
pub fn decide_from_subscription(
    command: &CreateSubscriptionSchedule,
    subscription: &Subscription,
    id: SubscriptionScheduleId,
    seq: u64,
    at: Timestamp,
) -> Result<SubscriptionSchedule, Refusal> {
    let more = !command.phases.is_empty()
        || command.customer.is_some()
        || command.start_date.is_some()
        || command.default_settings.is_some()
        || command.end_behavior != ScheduleEndBehavior::default()
        || command.renewal_interval.is_some();
    if more {
        let reason = "the subscription says the customer, the phases and the rest; update it then";
        return Err(Refusal::invalid("from_subscription", reason));
    }
    let mut phase = mirror(subscription);
    let period = subscription.current_period();
    (phase.start_date, phase.end_date) = (period.start, period.end);
    let mut schedule = SubscriptionSchedule {
        id,
        seq,
        customer: subscription.customer.clone(),
        status: ScheduleStatus::Active,
        created: at,
        subscription: Some(subscription.id.clone()),
        released_subscription: None,
        end_behavior: ScheduleEndBehavior::default(),
        renewal_interval: None,
        default_settings: DefaultSettings {
            collection_method: Some(subscription.collection_method),
            days_until_due: subscription.days_until_due,
            default_payment_method: subscription.default_payment_method.clone(),
            billing_thresholds: subscription.billing_thresholds,
            ..DefaultSettings::default()
        },
        phases: vec![phase],
        phases_entered: 1,
        nominal_day: subscription.anchor.nominal_day,
        zone: subscription.anchor.zone,
        expiring_notice_at: None,
        completed_at: None,
        canceled_at: None,
        released_at: None,
        metadata: Metadata::of(command.metadata.as_ref())?,
    };
    schedule.notice(at)?;
    Ok(schedule)
}

/// What a subscription is now, as a phase without a start and an end.
fn mirror(subscription: &Subscription) -> Phase {
    // Newer items are kept first; a phase lists them as they were added.
    let items = subscription.items.iter().rev();
    let item = |item: &SubscriptionItem| PhaseItem {
        price: item.price.clone(),
        quantity: item.quantity,
        discounts: some_of(&item.discounts),
        tax_rates: some_of(&item.tax_rates),
        billing_thresholds: item.billing_thresholds,
    };
    Phase {
        start_date: subscription.start_date,
        end_date: subscription.start_date,
        items: items.map(item).collect(),
        add_invoice_items: Vec::new(),
        currency: Some(subscription.currency),
        billing_cycle_anchor: None,
        proration_behavior: crate::subscription::ProrationBehavior::default(),
        trial_end: subscription.trial.map(|trial| trial.end).filter(|_| subscription.is_in_trial()),
        collection_method: Some(subscription.collection_method),
        days_until_due: subscription.days_until_due,
        default_payment_method: subscription.default_payment_method.clone(),
        discounts: some_of(&subscription.discounts),
        once_discounts: Vec::new(),
        default_tax_rates: some_of(&subscription.default_tax_rates),
        billing_thresholds: subscription.billing_thresholds,
        metadata: Metadata::default(),
    }
}

/// A list, unless it is empty.
fn some_of<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

/// A schedule with the phases that a caller sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resent {
    /// The schedule from now on.
    pub schedule: SubscriptionSchedule,
    /// Whether the current phase was sent, so that its subscription follows it.
    pub current_sent: bool,
}

/// Changes a schedule.
///
/// # Errors
/// [`Refusal::StateUnsupported`] for one that is over; else as [`decide_create`].
pub fn decide_update(
    schedule: &SubscriptionSchedule,
    command: &UpdateSubscriptionSchedule,
    currency: Option<Currency>,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<Resent, Refusal> {
    let mut updated = schedule.clone();
    updated.metadata = text::patched_metadata(&schedule.metadata, &command.metadata)?;
    let only_metadata = command.phases.is_none()
        && command.end_behavior.is_none()
        && command.renewal_interval.is_none()
        && command.default_settings.is_none();
    if schedule.is_over() && !only_metadata {
        let reason = "only its metadata can be changed";
        return Err(Refusal::state("subscription_schedule", &schedule.id, schedule.status, reason));
    }
    updated.end_behavior = command.end_behavior.unwrap_or(schedule.end_behavior);
    let renews = updated.end_behavior == ScheduleEndBehavior::Renew;
    let interval = command.renewal_interval.or(schedule.renewal_interval.filter(|_| renews));
    updated.renewal_interval = renewal(updated.end_behavior, interval)?;
    if let Some(defaults) = &command.default_settings {
        updated.default_settings = defaults_of(Some(defaults))?;
    }
    if let Some(phases) = &command.phases {
        let active = schedule.current_phase();
        let first = phases.first().and_then(|phase| phase.start_date);
        let start = match (active, first) {
            (Some(current), None) => current.start_date,
            (Some(current), Some(TrialEnd::At(start))) if start == current.start_date => start,
            (Some(current), Some(_)) => {
                let reason = format!("the current phase began at {}", current.start_date);
                return Err(Refusal::invalid("phases[0].start_date", reason));
            }
            (None, Some(TrialEnd::Now)) => at,
            (None, Some(TrialEnd::At(start))) => start,
            (None, None) => schedule.next_phase().map_or(at, |phase| phase.start_date),
        };
        if active.is_none() {
            updated.nominal_day = Anchor::in_zone(start, updated.zone).nominal_day;
        }
        let defaults = updated.default_settings.clone();
        let (nominal_day, zone) = (updated.nominal_day, updated.zone);
        let frame = Frame { defaults: &defaults, prices, currency, nominal_day, zone, at };
        let sent = frame.phases(phases, start, active.is_some())?;
        updated.phases.truncate(active.and(schedule.current_index()).unwrap_or(0));
        updated.phases.extend(sent);
    }
    updated.notice(at)?;
    let current_sent = command.phases.is_some() && schedule.current_phase().is_some();
    Ok(Resent { schedule: updated, current_sent })
}

/// The length of renewals, which there is where a schedule renews.
fn renewal(
    behavior: ScheduleEndBehavior,
    interval: Option<RenewalInterval>,
) -> Result<Option<RenewalInterval>, Refusal> {
    match (behavior == ScheduleEndBehavior::Renew, interval) {
        (false, None) => Ok(None),
        (false, Some(_)) => {
            let reason = "it goes with end_behavior renew alone";
            Err(Refusal::invalid("renewal_interval", reason))
        }
        (true, None) => Err(Refusal::missing("renewal_interval")),
        (true, Some(own)) => {
            Interval::new(own.interval, own.length)?;
            Ok(Some(own))
        }
    }
}

fn defaults_of(input: Option<&DefaultSettingsInput>) -> Result<DefaultSettings, Refusal> {
    let Some(input) = input else { return Ok(DefaultSettings::default()) };
    let method = input.default_payment_method.as_deref();
    text::check_optional("default_settings.default_payment_method", method)?;
    if let Some(method) = input.collection_method {
        check_collection(method, input.days_until_due)?;
    }
    input.billing_thresholds.map(BillingThresholds::check).transpose()?;
    Ok(DefaultSettings {
        billing_cycle_anchor: input.billing_cycle_anchor.unwrap_or_default(),
        collection_method: input.collection_method,
        days_until_due: input.days_until_due,
        default_payment_method: input.default_payment_method.clone(),
        billing_thresholds: input.billing_thresholds,
    })
}

impl Frame<'_> {
    /// The phases of a command, one after the other from a start.
    fn phases(
        &self,
        inputs: &[PhaseInput],
        start: Timestamp,
        has_current: bool,
    ) -> Result<Vec<Phase>, Refusal> {
        let (count, limit) = (inputs.len(), limits::SCHEDULE_PHASES_MAX);
        if !(1..=limit).contains(&count) {
            let reason = format!("{count} phases (a schedule has 1 to {limit})");
            return Err(Refusal::invalid("phases", reason));
        }
        let mut phases: Vec<Phase> = Vec::with_capacity(count);
        let mut next = start;
        for (index, input) in inputs.iter().enumerate() {
            let follows = match input.start_date {
                None => true,
                Some(TrialEnd::Now) => next == self.at,
                Some(TrialEnd::At(given)) => next == given,
            };
            if !follows {
                let reason = format!("it begins where the phase before it ends, at {next}");
                return Err(Refusal::invalid(format!("phases[{index}].start_date"), reason));
            }
            let running = has_current && index == 0;
            let phase = self.phase(input, next, index, running)?;
            next = phase.end_date;
            phases.push(phase);
        }
        Ok(phases)
    }

    fn phase(
        &self,
        input: &PhaseInput,
        start: Timestamp,
        index: usize,
        running: bool,
    ) -> Result<Phase, Refusal> {
        let path = |field: &str| format!("phases[{index}].{field}");
        let end = self.end(input, start, index)?;
        let earliest = if running { self.at.max(start) } else { start };
        if end < earliest || (end == start && !running) {
            let reason = format!("a phase ends after it begins, and not before now: {end}");
            return Err(Refusal::invalid(path("end_date"), reason));
        }
        let items = input.items.iter().enumerate().map(|(place, item)| self.item(item, place));
        let phase = Phase {
            start_date: start,
            end_date: end,
            items: items.collect::<Result<_, _>>()?,
            add_invoice_items: input.add_invoice_items.clone(),
            currency: input.currency,
            billing_cycle_anchor: input.billing_cycle_anchor,
            proration_behavior: input.proration_behavior.unwrap_or_default(),
            trial_end: trial_end(input, end, index)?,
            collection_method: input.collection_method,
            days_until_due: input.days_until_due,
            default_payment_method: input.default_payment_method.clone(),
            discounts: None,
            once_discounts: Vec::new(),
            default_tax_rates: said(&input.default_tax_rates),
            billing_thresholds: thresholds(&input.billing_thresholds)?,
            metadata: Metadata::of(input.metadata.as_ref())?,
        };
        if phase.trial_end.is_some_and(|end| end <= start || end > phase.end_date) {
            let reason = format!("a trial ends within its phase, {}", phase.period());
            return Err(Refusal::invalid(path("trial_end"), reason));
        }
        if phase.trial_end.is_some() && self.anchor_of(&phase) == PhaseAnchor::PhaseStart {
            let reason = "phase_start does not go with a trial";
            return Err(Refusal::invalid(path("billing_cycle_anchor"), reason));
        }
        text::check_optional(
            &path("default_payment_method"),
            phase.default_payment_method.as_deref(),
        )?;
        self.check_collection(&phase)?;
        self.check_items(&phase, index)?;
        Ok(phase)
    }

    fn item(&self, input: &PhaseItemInput, index: usize) -> Result<PhaseItem, Refusal> {
        let price = self.prices.price(&input.price)?;
        let metered = price.meter().is_some();
        Ok(PhaseItem {
            price: input.price.clone(),
            quantity: if metered { input.quantity } else { input.quantity.or(Some(1)) },
            discounts: None,
            tax_rates: said(&input.tax_rates),
            billing_thresholds: item_thresholds(&input.billing_thresholds, price, index)?,
        })
    }

    fn anchor_of(&self, phase: &Phase) -> PhaseAnchor {
        phase.billing_cycle_anchor.unwrap_or(self.defaults.billing_cycle_anchor)
    }

    fn end(
        &self,
        input: &PhaseInput,
        start: Timestamp,
        index: usize,
    ) -> Result<Timestamp, Refusal> {
        match (input.end_date, input.duration) {
            (Some(TrialEnd::At(end)), None) => Ok(end),
            (Some(TrialEnd::Now), None) => Ok(self.at),
            (None, Some(duration)) => self.after(start, duration),
            (None, None) => Err(Refusal::missing(format!("phases[{index}].duration"))),
            (Some(_), Some(_)) => {
                let reason = "give end_date or duration, not both";
                Err(Refusal::invalid(format!("phases[{index}].end_date"), reason))
            }
        }
    }

    /// The end of a phase of a duration: like the boundaries of a subscription that began with the
    /// first one, so that both stay together over the ends of months.
    fn after(&self, start: Timestamp, duration: PhaseDuration) -> Result<Timestamp, Refusal> {
        let interval = Interval::new(duration.interval, duration.interval_count.unwrap_or(1))?;
        Ok(phase_end(start, interval, (self.nominal_day, self.zone))?)
    }

    fn check_collection(&self, phase: &Phase) -> Result<(), Refusal> {
        let method = phase.collection_method.or(self.defaults.collection_method);
        let days = days_until_due(phase, self.defaults);
        check_collection(method.unwrap_or_default(), days)
    }

    fn check_items(&self, phase: &Phase, index: usize) -> Result<(), Refusal> {
        let (count, limit) = (phase.add_invoice_items.len(), limits::ADD_INVOICE_ITEMS_MAX);
        let path = format!("phases[{index}].add_invoice_items");
        if count > limit {
            return Err(Refusal::invalid(path, format!("{count} items (the limit is {limit})")));
        }
        for (place, item) in phase.add_invoice_items.iter().enumerate() {
            if let Some(period) = item.period {
                period.in_phase(phase.period()).check(&format!("{path}[{place}].period"))?;
            }
        }
        if phase.add_invoice_items.iter().any(|item| item.metadata.is_some()) {
            let reason = "items that are charged later have no metadata of their own";
            return Err(Refusal::invalid(path, reason));
        }
        let inputs: Vec<ItemInput> = phase.items.iter().map(input_of).collect();
        let currency = phase.currency.or(self.currency);
        check_new_items(&inputs, currency, self.prices, self.at)
    }
}

/// An interval after an instant, by the day that the ends of phases aim at.
fn phase_end(
    start: Timestamp,
    interval: Interval,
    (nominal_day, zone): (u8, Zone),
) -> Result<Timestamp, ArithmeticError> {
    let anchor = Anchor::with_nominal_day(start, nominal_day, zone);
    let anchor = anchor.unwrap_or_else(|_| Anchor::in_zone(start, zone));
    anchor.boundary(interval, 1)
}

fn trial_end(
    input: &PhaseInput,
    end: Timestamp,
    index: usize,
) -> Result<Option<Timestamp>, Refusal> {
    match (input.trial, input.trial_end) {
        (false, given) => Ok(given),
        (true, None) => Ok(Some(end)),
        (true, Some(_)) => {
            let reason = "give trial or trial_end, not both";
            Err(Refusal::invalid(format!("phases[{index}].trial_end"), reason))
        }
    }
}

/// What a list becomes that is not left as it is: nothing where it is cleared.
fn said<T: Clone>(list: &Patch<Vec<T>>) -> Option<Vec<T>> {
    match list {
        Patch::Keep => None,
        Patch::Clear => Some(Vec::new()),
        Patch::Set(list) => Some(list.clone()),
    }
}

fn thresholds(input: &Patch<BillingThresholds>) -> Result<Option<BillingThresholds>, Refusal> {
    input.value().copied().map(BillingThresholds::check).transpose()?;
    Ok(match input {
        Patch::Keep => None,
        Patch::Clear => Some(BillingThresholds::default()),
        Patch::Set(thresholds) => Some(*thresholds),
    })
}

fn item_thresholds(
    input: &Patch<ItemThresholds>,
    price: &Price,
    index: usize,
) -> Result<Option<ItemThresholds>, Refusal> {
    Ok(match input {
        Patch::Keep => None,
        Patch::Clear => Some(ItemThresholds::default()),
        Patch::Set(thresholds) => {
            thresholds.check(price, index)?;
            Some(*thresholds)
        }
    })
}

fn input_of(item: &PhaseItem) -> ItemInput {
    ItemInput {
        quantity: item.quantity,
        discounts: item.discounts.as_deref().map(kept),
        tax_rates: item.tax_rates.clone(),
        billing_thresholds: item.billing_thresholds.filter(|own| own.usage_gte.is_some()),
        ..ItemInput::from(item.price.clone())
    }
}

/// Discounts that are there, as a caller names them.
fn kept(discounts: &[Discount]) -> Vec<DiscountInput> {
    discounts.iter().map(|own| DiscountInput::discount(own.id.clone())).collect()
}

/// The same in a change: an empty list clears them.
fn kept_list(discounts: &[Discount]) -> DiscountList {
    if discounts.is_empty() { Patch::Clear } else { Patch::Set(kept(discounts)) }
}

fn days_until_due(phase: &Phase, defaults: &DefaultSettings) -> Option<u32> {
    match phase.collection_method {
        Some(_) => phase.days_until_due,
        None => phase.days_until_due.or(defaults.days_until_due),
    }
}

impl SubscriptionSchedule {
    /// Sets when its end is announced: seven days before it, or at once; never where it renews.
    fn notice(&mut self, at: Timestamp) -> Result<(), ArithmeticError> {
        let goes_on = self.is_over() || self.end_behavior == ScheduleEndBehavior::Renew;
        self.expiring_notice_at = match self.ends_at().filter(|_| !goes_on) {
            Some(end) => {
                let before = end.checked_add_seconds(-limits::SCHEDULE_NOTICE_SECONDS)?;
                Some(before.max(at))
            }
            None => None,
        };
        Ok(())
    }

    /// Divides the current phase at an instant: what its subscription was before stays, what it is
    /// now is the phase from then on.
    pub fn split(&mut self, subscription: &Subscription, at: Timestamp) {
        let Some(index) = self.current_index() else { return };
        let Some(current) = self.phases.get_mut(index) else { return };
        if current.start_date == at {
            let now = mirror(subscription);
            (current.items, current.trial_end) = (now.items, now.trial_end);
            (current.discounts, current.default_tax_rates) = (now.discounts, now.default_tax_rates);
            return;
        }
        let mut rest = mirror(subscription);
        (rest.start_date, rest.end_date) = (at, current.end_date);
        rest.proration_behavior = current.proration_behavior;
        rest.metadata = current.metadata.clone();
        current.end_date = at;
        self.phases.insert(index.saturating_add(1), rest);
        self.phases_entered = self.phases_entered.saturating_add(1);
    }

    /// The schedule with one more phase after its last one, which is over, where it renews (rule 7):
    /// like it, for the interval of renewals. Discounts, tax rates and metadata stay as they are; a
    /// trial and what is charged once do not come again. Phases of long ago are dropped, so that it
    /// does not grow for ever.
    ///
    /// # Errors
    /// [`Refusal`] beyond the calendar.
    pub fn renewed(&self) -> Result<Option<Self>, Refusal> {
        let (Some(own), Some(last)) = (self.renewal_interval, self.phases.last()) else {
            return Ok(None);
        };
        let interval = Interval::new(own.interval, own.length)?;
        let start_date = last.end_date;
        let end_date = phase_end(start_date, interval, (self.nominal_day, self.zone))?;
        let as_it_is = |item: &PhaseItem| PhaseItem {
            discounts: None,
            tax_rates: None,
            billing_thresholds: None,
            ..item.clone()
        };
        let next = Phase {
            start_date,
            end_date,
            items: last.items.iter().map(as_it_is).collect(),
            add_invoice_items: Vec::new(),
            trial_end: None,
            discounts: None,
            once_discounts: Vec::new(),
            default_tax_rates: None,
            metadata: Metadata::default(),
            ..last.clone()
        };
        let mut renewed = self.clone();
        renewed.phases.push(next);
        let most = limits::SCHEDULE_PHASES_MAX;
        let gone = renewed.phases.len().saturating_sub(most);
        renewed.phases.drain(..gone);
        let gone = u32::try_from(gone).unwrap_or(u32::MAX);
        renewed.phases_entered = renewed.phases_entered.saturating_sub(gone);
        Ok(Some(renewed))
    }

    /// Whether a phase is the last one.
    fn is_last(&self, phase: &Phase) -> bool {
        self.ends_at() == Some(phase.end_date)
    }

    /// When the subscription ends because a phase is the last one.
    #[must_use]
    pub fn cancel_at(&self, phase: &Phase) -> Option<Timestamp> {
        let cancels = self.end_behavior == ScheduleEndBehavior::Cancel && self.is_last(phase);
        cancels.then_some(phase.end_date)
    }
}

/// The command that creates the subscription of a schedule with its first phase.
#[must_use]
pub fn creation_of(schedule: &SubscriptionSchedule, phase: &Phase) -> CreateSubscription {
    let defaults = &schedule.default_settings;
    let mut command = CreateSubscription::new(schedule.customer.clone(), []);
    command.items = phase.items.iter().map(input_of).collect();
    command.currency = phase.currency;
    command.trial_end = phase.trial_end.map(TrialEnd::At);
    command.add_invoice_items = once_of(phase);
    command.proration_behavior = Some(phase.proration_behavior);
    let method = phase.collection_method.or(defaults.collection_method);
    command.collection_method = method.unwrap_or_default();
    command.days_until_due = days_until_due(phase, defaults);
    let method = phase.default_payment_method.as_ref();
    command.default_payment_method = method.or(defaults.default_payment_method.as_ref()).cloned();
    command.discounts = phase.discounts.as_deref().map(kept);
    command.default_tax_rates.clone_from(&phase.default_tax_rates);
    let thresholds = phase.billing_thresholds.or(defaults.billing_thresholds);
    command.billing_thresholds = thresholds.filter(|own| own.amount_gte.is_some());
    command.metadata = patch_of(&phase.metadata);
    command
}

/// What a phase charges once, with instants for the words of its period.
fn once_of(phase: &Phase) -> Vec<AddInvoiceItem> {
    let mut once = phase.add_invoice_items.clone();
    for item in &mut once {
        item.period = item.period.map(|period| period.in_phase(phase.period()));
    }
    once
}

fn patch_of(metadata: &Metadata) -> Option<MetadataPatch> {
    let entries = metadata.entries();
    let pairs = || entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    (!entries.is_empty()).then(pairs)
}

/// The command that makes of a subscription what a phase says: items at the same price stay, others
/// become the next ones of their kind, and what is left over is added or removed.
///
/// # Errors
/// [`Refusal::ResourceMissing`] for an unknown price.
pub fn update_of(
    schedule: &SubscriptionSchedule,
    phase: &Phase,
    subscription: &Subscription,
    prices: &dyn Prices,
) -> Result<UpdateSubscription, Refusal> {
    let defaults = &schedule.default_settings;
    let mut command = UpdateSubscription::new(subscription.id.clone());
    command.items = item_changes(&phase.items, &subscription.items, prices)?;
    command.add_invoice_items = once_of(phase);
    command.proration_behavior = Some(phase.proration_behavior);
    let method = phase.collection_method.or(defaults.collection_method);
    command.collection_method = method;
    if method.is_some() {
        command.days_until_due = days_until_due(phase, defaults);
    }
    let method = phase.default_payment_method.as_ref();
    if let Some(method) = method.or(defaults.default_payment_method.as_ref()) {
        command.default_payment_method = Patch::Set(method.clone());
    }
    if let Some(discounts) = &phase.discounts {
        command.discounts = kept_list(discounts);
    }
    if let Some(rates) = &phase.default_tax_rates {
        command.default_tax_rates = Patch::Set(rates.clone());
    }
    if let Some(thresholds) = phase.billing_thresholds.or(defaults.billing_thresholds) {
        let some = thresholds.amount_gte.is_some();
        command.billing_thresholds = if some { Patch::Set(thresholds) } else { Patch::Clear };
    }
    if let Some(metadata) = patch_of(&phase.metadata) {
        command.metadata = Patch::Set(metadata);
    }
    Ok(command)
}

fn item_changes(
    wanted: &[PhaseItem],
    items: &[SubscriptionItem],
    prices: &dyn Prices,
) -> Result<Vec<ItemChange>, Refusal> {
    let mut changes = Vec::new();
    let mut left: Vec<&SubscriptionItem> = items.iter().rev().collect();
    let mut new = Vec::new();
    for item in wanted {
        let Some(place) = left.iter().position(|own| own.price == item.price) else {
            new.push(item);
            continue;
        };
        let own = left.remove(place);
        changes.extend(change_of(item, own));
    }
    for item in new {
        let metered = prices.price(&item.price)?.meter().is_some();
        let same = |own: &&SubscriptionItem| own.quantity.is_none() == metered;
        let id = left.iter().position(same).map(|place| left.remove(place).id.clone());
        let (price, quantity) = (Some(item.price.clone()), item.quantity);
        // It is another item of the plan: nothing of the one before it stays.
        let discounts = kept_list(item.discounts.as_deref().unwrap_or_default());
        let tax_rates = Patch::Set(item.tax_rates.clone().unwrap_or_default());
        let thresholds = item.billing_thresholds.filter(|own| own.usage_gte.is_some());
        let billing_thresholds = thresholds.map_or(Patch::Clear, Patch::Set);
        let terms =
            ItemChange { discounts, tax_rates, billing_thresholds, ..ItemChange::default() };
        changes.push(ItemChange { id, price, quantity, ..terms });
    }
    for own in left {
        let id = Some(own.id.clone());
        changes.push(ItemChange { id, deleted: true, ..ItemChange::default() });
    }
    Ok(changes)
}

/// What a phase changes of an item at the same price, if anything.
fn change_of(wanted: &PhaseItem, own: &SubscriptionItem) -> Option<ItemChange> {
    let mut change = ItemChange::default();
    let quantity = wanted.quantity.or(own.quantity.and(Some(1)));
    if quantity != own.quantity {
        change.quantity = quantity;
    }
    if let Some(discounts) = wanted.discounts.as_ref().filter(|list| **list != own.discounts) {
        change.discounts = kept_list(discounts);
    }
    if let Some(rates) = wanted.tax_rates.as_ref().filter(|list| **list != own.tax_rates) {
        change.tax_rates = Patch::Set(rates.clone());
    }
    if let Some(thresholds) = wanted.billing_thresholds {
        let some = Some(thresholds).filter(|own| own.usage_gte.is_some());
        if some != own.billing_thresholds {
            change.billing_thresholds = some.map_or(Patch::Clear, Patch::Set);
        }
    }
    if change == ItemChange::default() {
        return None;
    }
    change.id = Some(own.id.clone());
    Some(change)
}
