//! Phases begin and end.

use super::super::discount::Planned;
use super::super::tx::Tx;
use counterfoil_billing::Patch;
use counterfoil_billing::schedule::{
    self, Phase, PhaseAnchor, ScheduleEndBehavior, ScheduleStatus, SubscriptionSchedule,
    SubscriptionScheduleEvent, SubscriptionScheduleId,
};
use counterfoil_billing::subscription::{
    AnchorChange, CancelAt, CancellationReason, ProrationBehavior, SubscriptionId, TrialEnd,
    UpdateSubscription,
};
use counterfoil_core::Refusal;

impl Tx<'_> {
    /// Does what a schedule has to do by now: phases that begin, and the end of the last one.
    pub(in crate::decide) fn run_schedule(
        &mut self,
        id: &SubscriptionScheduleId,
    ) -> Result<(), Refusal> {
        loop {
            let schedule = self.state.schedule(id)?.clone();
            if schedule.next_change().is_none_or(|at| at > self.at()) {
                return Ok(());
            }
            match schedule.next_phase() {
                Some(phase) => self.enter_phase(&schedule, phase)?,
                None if self.renew_schedule(&schedule)? => {}
                None => return self.finish_schedule(&schedule),
            }
        }
    }

    /// The last phase is over, and the schedule goes on in another one like it (rule 7).
    fn renew_schedule(&mut self, schedule: &SubscriptionSchedule) -> Result<bool, Refusal> {
        let Some(renewed) = schedule.renewed()? else { return Ok(false) };
        let at = self.at();
        self.emit(SubscriptionScheduleEvent::Updated { at, schedule: renewed.into() });
        Ok(true)
    }

    fn enter_phase(
        &mut self,
        schedule: &SubscriptionSchedule,
        phase: &Phase,
    ) -> Result<(), Refusal> {
        let subscription = match &schedule.subscription {
            Some(subscription) => {
                self.change_to_phase(schedule, phase, subscription, None)?;
                subscription.clone()
            }
            None => self.begin_with_phase(schedule, phase)?,
        };
        self.emit(SubscriptionScheduleEvent::PhaseEntered {
            customer: schedule.customer.clone(),
            id: schedule.id.clone(),
            at: self.at(),
            phases_entered: schedule.phases_entered.saturating_add(1),
            subscription,
        });
        Ok(())
    }

    /// The first phase begins: its subscription is active, and the first invoice a draft for an
    /// hour.
    fn begin_with_phase(
        &mut self,
        schedule: &SubscriptionSchedule,
        phase: &Phase,
    ) -> Result<SubscriptionId, Refusal> {
        let mut command = schedule::creation_of(schedule, phase);
        if phase.start_date < self.at() {
            command.backdate_start_date = Some(phase.start_date);
        }
        command.cancel_at = schedule.cancel_at(phase).map(CancelAt::At);
        self.create_scheduled(&command, &schedule.id)
    }

    /// Writes what a phase says onto its subscription. At a boundary the periods that end are billed
    /// as they were, and the ones that begin as the phase says, on one invoice.
    fn change_to_phase(
        &mut self,
        schedule: &SubscriptionSchedule,
        phase: &Phase,
        id: &SubscriptionId,
        behavior: Option<ProrationBehavior>,
    ) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        if subscription.is_ended() {
            return Ok(());
        }
        let mut command = schedule::update_of(schedule, phase, subscription, &self.state)?;
        let (planned, was) = (planned_by(phase), subscription.clone());
        let at_boundary = subscription.current_period().end <= self.at();
        command.proration_behavior = behavior.or(command.proration_behavior);
        let begins_trial = phase.trial_end.filter(|end| *end > self.at());
        let anchor =
            phase.billing_cycle_anchor.unwrap_or(schedule.default_settings.billing_cycle_anchor);
        if let Some(end) = begins_trial {
            command.trial_end = Some(TrialEnd::At(end));
        } else if anchor == PhaseAnchor::PhaseStart && behavior.is_none() && !at_boundary {
            command.billing_cycle_anchor = Some(AnchorChange::Now);
        }
        if at_boundary && begins_trial.is_none() {
            // What is added counts in full from here on, and everything else not at all.
            command.proration_behavior = Some(ProrationBehavior::CreateProrations);
        }
        let cancel_at = schedule.cancel_at(phase).map(CancelAt::At);
        command.cancel_at = cancel_at.map_or(Patch::Keep, Patch::Set);
        // What is charged once goes on the invoice of the periods that begin.
        let once = match at_boundary && begins_trial.is_none() {
            true => std::mem::take(&mut command.add_invoice_items),
            false => Vec::new(),
        };
        self.update_guided(&command, &planned)?;
        self.add_invoice_items(id, &once, &planned)?;
        let changed = self.state.subscription(id)?;
        if !at_boundary || changed.is_ended() {
            return Ok(());
        }
        if changed.current_period().end <= self.at() {
            return self.renew_after(id, Some(&was));
        }
        if begins_trial.is_some() { Ok(()) } else { self.bill_replaced_items(id, &was) }
    }

    /// A change that a schedule makes: one that waits for its payment is dropped for it (rule 6.9).
    fn update_guided(
        &mut self,
        command: &UpdateSubscription,
        planned: &Planned,
    ) -> Result<(), Refusal> {
        if command.changes_terms() {
            self.drop_pending_update(&command.id)?;
        }
        self.update_as_planned(command, planned).map(drop)
    }

    /// The current phase was sent anew: its subscription follows at once. A discount that it had
    /// before, and that its subscription has no more, is used up and does not come back (point 31).
    pub(super) fn follow_current_phase(
        &mut self,
        before: &SubscriptionSchedule,
        behavior: Option<ProrationBehavior>,
    ) -> Result<(), Refusal> {
        let id = &before.id;
        let schedule = self.state.schedule(id)?.clone();
        let (Some(subscription), Some(index)) =
            (schedule.subscription.clone(), schedule.current_index())
        else {
            return Ok(());
        };
        let Some(phase) = schedule.phases.get(index) else { return Ok(()) };
        let behavior = Some(behavior.unwrap_or_default());
        let mut phase = phase.clone();
        // It was charged when the phase began.
        phase.add_invoice_items.clear();
        let own = self.state.subscription(&subscription)?;
        let had = before.current_phase().into_iter().flat_map(Phase::all_discounts);
        let had: Vec<_> = had.map(|discount| discount.id.clone()).collect();
        let has: Vec<_> = own.all_discounts().map(|discount| discount.id.clone()).collect();
        phase.keep_discounts(|own| has.contains(&own.id) || !had.contains(&own.id));
        self.change_to_phase(&schedule, &phase, &subscription, behavior)?;
        self.agree_on_end(id)
    }

    /// The end of a subscription is agreed on once its last phase runs, and not before; a schedule
    /// that goes on longer takes that back.
    pub(super) fn agree_on_end(&mut self, id: &SubscriptionScheduleId) -> Result<(), Refusal> {
        let schedule = self.state.schedule(id)?.clone();
        let (Some(subscription), Some(phase)) =
            (schedule.subscription.clone(), schedule.current_phase())
        else {
            return Ok(());
        };
        let own = self.state.subscription(&subscription)?;
        let wanted = schedule.cancel_at(phase);
        if own.is_ended() || own.cancel_at == wanted {
            return Ok(());
        }
        let mut command = UpdateSubscription::new(subscription);
        command.cancel_at = wanted.map_or(Patch::Clear, |at| Patch::Set(CancelAt::At(at)));
        self.update_guided(&command, &Planned::default())
    }

    /// The last phase is over.
    fn finish_schedule(&mut self, schedule: &SubscriptionSchedule) -> Result<(), Refusal> {
        if schedule.end_behavior == ScheduleEndBehavior::Release {
            return self.release(schedule, false);
        }
        self.end_schedule(schedule, ScheduleStatus::Completed, false);
        if let Some(id) = &schedule.subscription
            && !self.state.subscription(id)?.is_ended()
        {
            self.end_with_period(id)?;
        }
        Ok(())
    }

    /// A subscription goes on without its schedule.
    pub(super) fn release(
        &mut self,
        schedule: &SubscriptionSchedule,
        preserve_cancel_date: bool,
    ) -> Result<(), Refusal> {
        self.end_schedule(schedule, ScheduleStatus::Released, false);
        let Some(id) = &schedule.subscription else { return Ok(()) };
        let subscription = self.state.subscription(id)?;
        if subscription.is_ended() {
            return Ok(());
        }
        let agreed = schedule.end_behavior == ScheduleEndBehavior::Cancel
            && subscription.cancel_at.is_some()
            && subscription.cancel_at == schedule.ends_at();
        self.change_subscription(id, |own| own.schedule = None)?;
        if agreed && !preserve_cancel_date {
            let mut command = UpdateSubscription::new(id.clone());
            command.cancel_at = Patch::Clear;
            self.update_guided(&command, &Planned::default())?;
        }
        Ok(())
    }

    /// A subscription ended: the schedule that guided it is over with it.
    pub(in crate::decide) fn schedule_follows_end(
        &mut self,
        id: &SubscriptionId,
    ) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        let Some(schedule) = subscription.schedule.clone() else { return Ok(()) };
        let reason = subscription.cancellation_reason;
        let schedule = self.state.schedule(&schedule)?.clone();
        if schedule.is_over() {
            return Ok(());
        }
        let as_planned = schedule.end_behavior == ScheduleEndBehavior::Cancel
            && schedule.ends_at().is_some_and(|end| end <= self.at());
        let status = if as_planned { ScheduleStatus::Completed } else { ScheduleStatus::Canceled };
        let aborted = !as_planned && reason == Some(CancellationReason::PaymentFailed);
        self.end_schedule(&schedule, status, aborted);
        Ok(())
    }

    /// A guided subscription was changed by hand: the phase it is in is divided there.
    pub(in crate::decide) fn split_phase(&mut self, id: &SubscriptionId) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        let Some(schedule) = subscription.schedule.clone() else { return Ok(()) };
        let mut schedule = self.state.schedule(&schedule)?.clone();
        if schedule.current_phase().is_none() {
            return Ok(());
        }
        let at = self.at();
        schedule.split(subscription, at);
        self.emit(SubscriptionScheduleEvent::Updated { at, schedule: schedule.into() });
        Ok(())
    }

    /// Announces the end of a schedule, where that is due now.
    pub(in crate::decide) fn announce_expiry(
        &mut self,
        id: &SubscriptionScheduleId,
    ) -> Result<(), Refusal> {
        let schedule = self.state.schedule(id)?;
        let due = schedule.expiring_notice_at.is_some_and(|at| at <= self.at());
        let Some(ends_at) = schedule.ends_at().filter(|_| due) else { return Ok(()) };
        let (customer, id, at) = (schedule.customer.clone(), id.clone(), self.at());
        self.emit(SubscriptionScheduleEvent::Expiring { customer, id, at, ends_at });
        Ok(())
    }
}

/// What a phase says, agreed on when it was planned.
pub(super) fn planned_by(phase: &Phase) -> Planned {
    Planned {
        discounts: phase.all_discounts().cloned().collect(),
        tax_rates: phase.all_tax_rates().cloned().collect(),
        by_phase: true,
    }
}
