//! How a subscription begins.

use super::super::discount::Planned;
use super::super::tx::Tx;
use super::renew::in_item_order;
use crate::answer::Target;
use counterfoil_billing::customer::check_live;
use counterfoil_billing::discount::in_force;
use counterfoil_billing::invoice::{
    BillingReason, Charge, CollectionMethod, Invoice, InvoiceStatus, Trigger, UsageCharge,
};
use counterfoil_billing::schedule::SubscriptionScheduleId;
use counterfoil_billing::subscription::{
    self, CreateSubscription, PaymentBehavior, Subscription, SubscriptionEvent, SubscriptionId,
    SubscriptionItemId, SubscriptionStatus,
};
use counterfoil_core::{Period, Refusal, limits};

/// What becomes of a first invoice that is charged automatically.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decide) enum FirstInvoice {
    /// It is finalized and charged at once.
    Charged,
    /// It is finalized at once, for somebody to pay.
    LeftOpen,
    /// It is a draft for an hour.
    Draft,
}

impl Tx<'_> {
    pub(in crate::decide) fn create_subscription(
        &mut self,
        command: &CreateSubscription,
    ) -> Result<Target, Refusal> {
        self.create_as_planned(command, &Planned::default())
    }

    /// The same, with what was agreed on before.
    pub(in crate::decide) fn create_as_planned(
        &mut self,
        command: &CreateSubscription,
        planned: &Planned,
    ) -> Result<Target, Refusal> {
        if command.payment_behavior == PaymentBehavior::ErrorIfIncomplete {
            return self.create_or_nothing(command);
        }
        let shard = self.state.shard(&command.customer)?;
        check_live(shard.customer(), "it cannot subscribe any more")?;
        self.check_room(shard)?;
        let first = match command.leaves_payment_open() {
            true => FirstInvoice::LeftOpen,
            false => FirstInvoice::Charged,
        };
        self.begin_subscription(command, None, first, planned).map(Target::Subscription)
    }

    /// Lets the subscription of a schedule begin: it is active, and its first invoice a draft for an
    /// hour (rule 7).
    pub(in crate::decide) fn create_scheduled(
        &mut self,
        command: &CreateSubscription,
        schedule: &SubscriptionScheduleId,
    ) -> Result<SubscriptionId, Refusal> {
        let planned = self.planned_next(schedule)?;
        self.begin_subscription(command, Some(schedule), FirstInvoice::Draft, &planned)
    }

    fn begin_subscription(
        &mut self,
        command: &CreateSubscription,
        schedule: Option<&SubscriptionScheduleId>,
        first: FirstInvoice,
        planned: &Planned,
    ) -> Result<SubscriptionId, Refusal> {
        let taken = |state: &crate::State, id: &_| state.owners.subscriptions.contains_key(id);
        let id = self.new_id(command.id.as_ref(), taken)?;
        let seq = self.next_seq();
        let chosen = command.items.iter().map(|item| item.id.clone()).collect();
        let item_ids = self.item_ids(seq, chosen)?;
        let at = self.at();
        let mut created =
            subscription::decide_create(command, id.clone(), seq, item_ids, &self.state, at)?;
        self.set_first_terms(&mut created, command, planned)?;
        created.schedule = schedule.cloned();
        self.emit(SubscriptionEvent::Created(created.into()));
        self.announce_trial_end(&id)?;
        self.add_invoice_items(&id, &command.add_invoice_items, planned)?;
        self.first_invoice(&id, first)?;
        Ok(id)
    }

    /// The ids of new items: those that were chosen, and derived ones that are free.
    pub(in crate::decide) fn item_ids(
        &self,
        seq: u64,
        chosen: Vec<Option<SubscriptionItemId>>,
    ) -> Result<Vec<SubscriptionItemId>, Refusal> {
        let taken = &self.state.owners.subscription_items;
        let mut n = 0_u64;
        let mut ids = Vec::with_capacity(chosen.len());
        for id in chosen {
            ids.push(match id {
                Some(id) if taken.contains_key(&id) => {
                    return Err(Refusal::taken("subscription_item", id));
                }
                Some(id) => id,
                None => loop {
                    n = n.saturating_add(1);
                    let id = SubscriptionItemId::numbered(seq, n);
                    if !taken.contains_key(&id) {
                        break id;
                    }
                },
            });
        }
        Ok(ids)
    }

    /// The usage of the periods that were over when a backdated subscription began.
    fn elapsed_usage(
        &self,
        subscription: &Subscription,
        elapsed: &[(SubscriptionItemId, Period)],
    ) -> Result<Vec<Charge>, Refusal> {
        let mut charges = Vec::new();
        for (id, period) in elapsed {
            let Some(item) = subscription.item(id) else { continue };
            let Some(meter) = self.state.price(&item.price)?.meter() else { continue };
            charges.push(Charge::from(UsageCharge {
                subscription_item: id.clone(),
                price: item.price.clone(),
                meter: meter.clone(),
                period: *period,
                discounts: in_force(&item.discounts, self.at()),
                tax_rates: item.tax_rates.clone(),
                spared_discounts: Vec::new(),
            }));
        }
        Ok(charges)
    }

    /// Invoices the beginning of a subscription: what is licensed, in advance. A subscription to
    /// metered prices alone begins without an invoice (point 27).
    pub(in crate::decide) fn first_invoice(
        &mut self,
        id: &SubscriptionId,
        how: FirstInvoice,
    ) -> Result<(), Refusal> {
        let leave_open = how == FirstInvoice::LeftOpen;
        let subscription = self.state.subscription(id)?.clone();
        let mut periods = subscription::elapsed_periods(&subscription, &self.state)?;
        let elapsed = self.elapsed_usage(&subscription, &periods)?;
        periods.extend(subscription.items.iter().map(|item| (item.id.clone(), item.period)));
        let lines = self.advance_lines(&subscription, &periods)?;
        let mut charges =
            self.sweep(&subscription.customer, subscription.currency, Some(&subscription.id))?;
        if lines.is_empty() && elapsed.is_empty() && !self.waits_for(id, &charges) {
            return Ok(());
        }
        let own = in_item_order(&subscription, elapsed, lines);
        if own.len() > limits::INVOICE_ITEMS_MAX {
            return Err(subscription::too_many_lines());
        }
        charges.extend(own);
        let sent = subscription.collection_method == CollectionMethod::SendInvoice;
        if sent || how == FirstInvoice::Draft {
            let finalizes_at = self.at().checked_add_seconds(limits::INVOICE_DRAFT_SECONDS)?;
            let fill = |invoice: &mut Invoice| {
                invoice.billing_reason = BillingReason::SubscriptionCreate;
                invoice.auto_advance = true;
                invoice.finalizes_at = Some(finalizes_at);
            };
            self.draft_for_subscription(&subscription, fill, charges)?;
            return Ok(());
        }
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::SubscriptionCreate;
        };
        let invoice = self.draft_for_subscription(&subscription, fill, charges)?;
        if subscription.is_in_trial() {
            // What a trial's invoice takes along is collected like any other; the trial goes on.
            self.finalize(&invoice, !leave_open)?;
            return self.collect_if_due(&invoice);
        }
        self.finalize(&invoice, false)?;
        if self.state.invoice(&invoice)?.status == InvoiceStatus::Paid {
            return Ok(());
        }
        let expires = self.at().checked_add_seconds(limits::INCOMPLETE_SECONDS)?;
        self.emit(SubscriptionEvent::StatusChanged {
            customer: subscription.customer,
            id: subscription.id,
            at: self.at(),
            status: SubscriptionStatus::Incomplete,
            incomplete_expires_at: Some(expires),
        });
        if leave_open {
            return Ok(());
        }
        self.attempt(&invoice, None, Trigger::FirstInvoice)
    }
}
