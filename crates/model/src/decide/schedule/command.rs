//! What a caller does to a schedule.

use super::super::discount::Planned;
use super::super::tx::Tx;
use crate::State;
use crate::answer::Target;
use counterfoil_billing::customer::check_live;
use counterfoil_billing::schedule::{
    self, CancelSubscriptionSchedule, CreateSubscriptionSchedule, ReleaseSubscriptionSchedule,
    Resent, ScheduleStatus, SubscriptionSchedule, SubscriptionScheduleEvent,
    SubscriptionScheduleId, UpdateSubscriptionSchedule,
};
use counterfoil_billing::subscription::{CancelSubscription, SubscriptionId};
use counterfoil_core::{Refusal, limits};

impl Tx<'_> {
    pub(in crate::decide) fn create_schedule(
        &mut self,
        command: &CreateSubscriptionSchedule,
    ) -> Result<Target, Refusal> {
        self.create_schedule_as_planned(command, &Planned::default())
    }

    /// The same, with what was agreed on before.
    pub(in crate::decide) fn create_schedule_as_planned(
        &mut self,
        command: &CreateSubscriptionSchedule,
        planned: &Planned,
    ) -> Result<Target, Refusal> {
        let taken = |state: &State, id: &_| state.owners.schedules.contains_key(id);
        let id = self.new_id(command.id.as_ref(), taken)?;
        let seq = self.next_seq();
        if let Some(subscription) = &command.from_subscription {
            return self.mirror_subscription(command, &subscription.clone(), id, seq);
        }
        let customer = command.customer.clone().ok_or_else(|| Refusal::missing("customer"))?;
        let shard = self.state.shard(&customer)?;
        check_live(shard.customer(), "it cannot subscribe any more")?;
        self.check_room(shard)?;
        let at = self.at();
        let mut created =
            schedule::decide_create(command, customer, id.clone(), seq, &self.state, at)?;
        self.plan_terms(&mut created, &command.phases, None, &planned.tax_rates)?;
        self.emit(SubscriptionScheduleEvent::Created(created.into()));
        self.announce_expiry(&id)?;
        self.run_schedule(&id)?;
        Ok(Target::SubscriptionSchedule(id))
    }

    fn mirror_subscription(
        &mut self,
        command: &CreateSubscriptionSchedule,
        subscription: &SubscriptionId,
        id: SubscriptionScheduleId,
        seq: u64,
    ) -> Result<Target, Refusal> {
        let own = self.state.subscription(subscription)?;
        check_live(self.state.customer(&own.customer)?, "its subscriptions have ended")?;
        let refuse =
            |reason: String| Err(Refusal::state("subscription", subscription, own.status, reason));
        if own.is_ended() {
            return refuse("it has ended".to_owned());
        }
        if let Some(schedule) = &own.schedule {
            return refuse(format!("{schedule} guides it already"));
        }
        let created = schedule::decide_from_subscription(command, own, id.clone(), seq, self.at())?;
        self.emit(SubscriptionScheduleEvent::Created(created.into()));
        let guided = id.clone();
        self.change_subscription(subscription, |own| own.schedule = Some(guided))?;
        self.announce_expiry(&id)?;
        Ok(Target::SubscriptionSchedule(id))
    }

    pub(in crate::decide) fn update_schedule(
        &mut self,
        command: &UpdateSubscriptionSchedule,
    ) -> Result<Target, Refusal> {
        let schedule = self.state.schedule(&command.id)?.clone();
        check_live(self.state.customer(&schedule.customer)?, "nothing can be planned for it")?;
        let currency = match &schedule.subscription {
            Some(id) => Some(self.state.subscription(id)?.currency),
            None => None,
        };
        let at = self.at();
        let Resent { schedule: mut updated, current_sent } =
            schedule::decide_update(&schedule, command, currency, &self.state, at)?;
        if let Some(phases) = &command.phases {
            self.plan_terms(&mut updated, phases, Some(&schedule), &[])?;
        }
        self.emit(SubscriptionScheduleEvent::Updated { at, schedule: updated.into() });
        self.announce_expiry(&command.id)?;
        if current_sent {
            self.follow_current_phase(&schedule, command.proration_behavior)?;
        } else {
            self.agree_on_end(&command.id)?;
        }
        self.run_schedule(&command.id)?;
        Ok(Target::SubscriptionSchedule(command.id.clone()))
    }

    pub(in crate::decide) fn release_schedule(
        &mut self,
        command: &ReleaseSubscriptionSchedule,
    ) -> Result<Target, Refusal> {
        let schedule = self.state.schedule(&command.id)?.clone();
        check_not_over(&schedule)?;
        self.release(&schedule, command.preserve_cancel_date)?;
        Ok(Target::SubscriptionSchedule(command.id.clone()))
    }

    pub(in crate::decide) fn cancel_schedule(
        &mut self,
        command: &CancelSubscriptionSchedule,
    ) -> Result<Target, Refusal> {
        let schedule = self.state.schedule(&command.id)?.clone();
        check_not_over(&schedule)?;
        self.end_schedule(&schedule, ScheduleStatus::Canceled, false);
        if let Some(id) = schedule.subscription.clone() {
            let (invoice_now, prorate) =
                (command.invoice_now.unwrap_or(true), command.prorate.unwrap_or(true));
            self.cancel_subscription(&CancelSubscription { id, invoice_now, prorate })?;
        }
        Ok(Target::SubscriptionSchedule(command.id.clone()))
    }

    /// A schedule is over; its subscription is what it is.
    pub(in crate::decide) fn end_schedule(
        &mut self,
        schedule: &SubscriptionSchedule,
        status: ScheduleStatus,
        aborted: bool,
    ) {
        let (customer, id, at) = (schedule.customer.clone(), schedule.id.clone(), self.at());
        self.emit(SubscriptionScheduleEvent::Ended { customer, id, at, status, aborted });
    }

    /// Refuses a subscription more than a customer may have, scheduled ones included.
    pub(in crate::decide) fn check_room(&self, shard: &crate::Shard) -> Result<(), Refusal> {
        let live = shard.subscriptions.values().filter(|other| !other.is_ended()).count();
        let planned = shard.schedules.values();
        let planned = planned.filter(|own| own.status == ScheduleStatus::NotStarted).count();
        let pending = shard.creations.len();
        if live.saturating_add(planned).saturating_add(pending) < limits::CUSTOMER_SUBSCRIPTIONS_MAX
        {
            return Ok(());
        }
        Err(Refusal::CustomerMaxSubscriptions {
            customer: shard.customer.id.to_string(),
            limit: limits::CUSTOMER_SUBSCRIPTIONS_MAX,
        })
    }
}

fn check_not_over(schedule: &SubscriptionSchedule) -> Result<(), Refusal> {
    if schedule.is_over() {
        let reason = "nothing will come of it any more";
        let status = schedule.status;
        return Err(Refusal::state("subscription_schedule", &schedule.id, status, reason));
    }
    Ok(())
}
