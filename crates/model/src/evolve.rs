//! What an event does to the shard of its customer, and to the indexes of the book around it.
//!
//! Everything changes where it stands, and the shard is looked up once for an event; what a fork of
//! the state shares is copied on the way.

use crate::base::DueQueue;
use crate::due::{self, DueKey};
use crate::owners::{ItemHome, Owners};
use crate::shard::Shard;
use counterfoil_billing::credit_note::CreditNoteEvent;
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::discount::{Discount, DiscountId};
use counterfoil_billing::invoice::{
    Charge, Invoice, InvoiceEvent, InvoiceId, InvoiceStatus, PaymentAttemptId, UsageCharge,
};
use counterfoil_billing::quote::QuoteEvent;
use counterfoil_billing::schedule::{Phase, SubscriptionScheduleEvent};
use counterfoil_billing::subscription::{PendingCreation, Subscription, SubscriptionEvent};
use std::sync::Arc;

/// A shard in change, and what of the book changes with it.
pub(crate) struct Evolution<'a> {
    pub(crate) shard: &'a mut Shard,
    pub(crate) owners: &'a mut Owners,
    pub(crate) due: &'a mut DueQueue,
    pub(crate) created: &'a mut u64,
    pub(crate) closing: &'a mut Vec<(CustomerId, InvoiceId)>,
}

impl Evolution<'_> {
    /// An event of a subscription.
    pub(crate) fn subscription(&mut self, event: &SubscriptionEvent) {
        let id = event.subscription();
        match event {
            SubscriptionEvent::CreationPending(pending) => {
                self.creation_pending(pending);
                return;
            }
            SubscriptionEvent::CreationAbandoned { attempt, .. } => {
                self.creation_abandoned(attempt);
                return;
            }
            SubscriptionEvent::Created(subscription) => {
                self.subscription_created(subscription);
                return;
            }
            SubscriptionEvent::Updated { subscription, .. } => self.own_items(subscription),
            _ => {}
        }
        let Some(subscription) = self.shard.subscriptions.get_mut(id) else { return };
        let before = due::of_subscription(subscription);
        event.evolve(Arc::make_mut(subscription));
        let after = due::of_subscription(subscription);
        self.reschedule(before, after);
    }

    /// An event of a quote, which says what the quote is from then on.
    pub(crate) fn quote(&mut self, event: &QuoteEvent) {
        let quote = event.after();
        if let QuoteEvent::Created(_) = event {
            *self.created = self.created.saturating_add(1);
            self.owners.quotes.insert_mut(quote.id.clone(), quote.customer.clone());
        }
        let before = self.shard.quotes.get(&quote.id).and_then(|quote| due::of_quote(quote));
        self.shard.quotes.insert_mut(quote.id.clone(), Arc::clone(quote));
        self.reschedule([before], [due::of_quote(quote)]);
    }

    /// An event of a subscription schedule.
    pub(crate) fn schedule(&mut self, event: &SubscriptionScheduleEvent) {
        if let SubscriptionScheduleEvent::Created(schedule) = event {
            *self.created = self.created.saturating_add(1);
            let (id, customer) = (schedule.id.clone(), schedule.customer.clone());
            self.owners.schedules.insert_mut(id.clone(), customer);
            self.shard.schedules.insert_mut(id, Arc::clone(schedule));
            self.reschedule([None], due::of_schedule(schedule));
            return;
        }
        let Some(schedule) = self.shard.schedules.get_mut(event.schedule()) else { return };
        let before = due::of_schedule(schedule);
        event.evolve(Arc::make_mut(schedule));
        let after = due::of_schedule(schedule);
        self.reschedule(before, after);
    }

    /// The ids of a creation are taken as long as it is pending; its objects are not there yet.
    fn creation_pending(&mut self, pending: &Arc<PendingCreation>) {
        *self.created = pending.last_seq().max(*self.created);
        let customer = pending.customer();
        let owners = &mut *self.owners;
        owners.subscriptions.insert_mut(pending.id().clone(), customer.clone());
        for item in &pending.subscription.items {
            owners.subscription_items.insert_mut(item.id.clone(), pending.id().clone());
        }
        for item in &pending.items {
            let home = ItemHome { customer: customer.clone(), billed: None };
            owners.invoice_items.insert_mut(item.id.clone(), home);
        }
        owners.invoices.insert_mut(pending.invoice.id.clone(), customer.clone());
        let attempt = pending.attempt.id.clone();
        owners.attempts.insert_mut(attempt.clone(), pending.invoice.id.clone());
        self.shard.creations.insert_mut(attempt, Arc::clone(pending));
    }

    fn creation_abandoned(&mut self, attempt: &PaymentAttemptId) {
        let Some(pending) = self.shard.creations.get(attempt).cloned() else { return };
        self.shard.creations.remove_mut(attempt);
        self.owners.attempts.remove_mut(attempt);
        self.owners.subscriptions.remove_mut(pending.id());
        self.owners.invoices.remove_mut(&pending.invoice.id);
        for item in &pending.subscription.items {
            self.owners.subscription_items.remove_mut(&item.id);
        }
        for item in &pending.items {
            self.owners.invoice_items.remove_mut(&item.id);
        }
    }

    fn subscription_created(&mut self, subscription: &Arc<Subscription>) {
        let pending = self.shard.creations.iter().find(|(_, own)| *own.id() == subscription.id);
        if let Some(attempt) = pending.map(|(attempt, _)| attempt.clone()) {
            self.creation_abandoned(&attempt);
        }
        *self.created = self.created.saturating_add(1);
        // A customer's first subscription fixes its currency (rule 2.1).
        if self.shard.subscriptions.is_empty() {
            Arc::make_mut(&mut self.shard.customer).currency = subscription.currency;
        }
        let (id, customer) = (subscription.id.clone(), subscription.customer.clone());
        self.own_items(subscription);
        self.owners.subscriptions.insert_mut(id.clone(), customer);
        self.shard.subscriptions.insert_mut(id, Arc::clone(subscription));
        self.reschedule([None], due::of_subscription(subscription));
    }

    fn own_items(&mut self, subscription: &Subscription) {
        for item in &subscription.items {
            self.owners.subscription_items.insert_mut(item.id.clone(), subscription.id.clone());
        }
    }

    /// An event of an invoice; those of items are none.
    pub(crate) fn invoice(&mut self, event: &InvoiceEvent) {
        match event {
            InvoiceEvent::ItemCreated(_)
            | InvoiceEvent::ItemUpdated(_)
            | InvoiceEvent::ItemDeleted { .. } => {}
            InvoiceEvent::Created(invoice) => self.invoice_created(invoice),
            InvoiceEvent::Deleted { id, .. } => self.invoice_deleted(id),
            _ => self.invoice_changed(event),
        }
    }

    fn invoice_created(&mut self, invoice: &Arc<Invoice>) {
        *self.created = self.created.saturating_add(1);
        self.owners.invoices.insert_mut(invoice.id.clone(), invoice.customer.clone());
        for charge in &invoice.charges {
            if let Charge::Item(id) = charge
                && let Some(item) = self.shard.items.get_mut(id)
            {
                Arc::make_mut(item).invoice = Some(invoice.id.clone());
            }
        }
        let subscription = invoice.subscription.as_ref();
        if let Some(subscription) = subscription.and_then(|id| self.shard.subscriptions.get_mut(id))
        {
            // Nothing falls due by this.
            let subscription = Arc::make_mut(subscription);
            subscription.first_invoice.get_or_insert_with(|| invoice.id.clone());
            subscription.latest_invoice = Some(invoice.id.clone());
            // As with items: what it charges for waits no longer.
            let charged = |charge: &UsageCharge| {
                let taken =
                    |other: &Charge| matches!(other, Charge::Usage(own) if **own == *charge);
                invoice.charges.iter().any(taken)
            };
            subscription.closed_usage.retain(|usage| usage.dropped || !charged(&usage.charge));
        }
        self.note_revision(invoice.revises.as_ref(), Some(&invoice.id));
        // A revision of a correction is one as well, and the latest.
        let corrects = invoice.corrects.as_ref().map(|correction| &correction.invoice);
        if let Some(original) = corrects.and_then(|id| self.shard.invoices.get_mut(id)) {
            Arc::make_mut(original).latest_correction = Some(invoice.id.clone());
            let original = original.id.clone();
            self.may_rest(original);
        }
        self.shard.invoices.insert_mut(invoice.id.clone(), Arc::clone(invoice));
        self.reschedule([None], due::of_invoice(invoice));
    }

    /// An invoice knows the latest one that is to replace it. Nothing falls due by this.
    fn note_revision(&mut self, original: Option<&InvoiceId>, revision: Option<&InvoiceId>) {
        if let Some(original) = original.and_then(|id| self.shard.invoices.get_mut(id)) {
            Arc::make_mut(original).latest_revision = revision.cloned();
            let original = original.id.clone();
            self.may_rest(original);
        }
    }

    fn invoice_deleted(&mut self, id: &InvoiceId) {
        let Some(invoice) = self.shard.invoices.get(id) else { return };
        self.reschedule(due::of_invoice(&invoice), [None]);
        self.owners.invoices.remove_mut(id);
        for charge in &invoice.charges {
            if let Charge::Item(item) = charge
                && let Some(item) = self.shard.items.get_mut(item)
            {
                Arc::make_mut(item).invoice = None;
            }
        }
        self.note_revision(invoice.revises.as_ref(), None);
        self.shard.invoices.remove_mut(id);
    }

    fn invoice_changed(&mut self, event: &InvoiceEvent) {
        let Some(invoice) = event.invoice().and_then(|id| self.shard.invoices.get_mut(id)) else {
            return;
        };
        let before = due::of_invoice(invoice);
        let attempt = invoice.open_attempt.as_ref().map(|attempt| attempt.id.clone());
        if let InvoiceEvent::Finalized(_) = event {
            let customer = Arc::make_mut(&mut self.shard.customer);
            customer.next_invoice_sequence = customer.next_invoice_sequence.saturating_add(1);
            for charge in &invoice.charges {
                let Charge::Item(item) = charge else { continue };
                self.shard.items.remove_mut(item);
                if let Some(home) = self.owners.invoice_items.get(item) {
                    let home = ItemHome { billed: Some(invoice.id.clone()), ..home.into_owned() };
                    self.owners.invoice_items.insert_mut(item.clone(), home);
                }
            }
        }
        event.evolve(Arc::make_mut(invoice));
        if let InvoiceEvent::Finalized(finalized) = event
            && !finalized.discounts_used_up.is_empty()
        {
            used_up(self.shard, &finalized.discounts_used_up, &finalized.id);
        }
        let Some(invoice) = event.invoice().and_then(|id| self.shard.invoices.get_live(id)) else {
            return;
        };
        match (attempt, &invoice.open_attempt) {
            (None, Some(attempt)) => {
                self.owners.attempts.insert_mut(attempt.id.clone(), invoice.id.clone());
            }
            (Some(attempt), None) => {
                self.owners.attempts.remove_mut(&attempt);
            }
            _ => {}
        }
        let after = due::of_invoice(invoice);
        let closed = invoice.status.is_closed().then(|| invoice.id.clone());
        self.reschedule(before, after);
        if let Some(id) = closed {
            self.may_rest(id);
        }
    }

    /// Notes that an invoice may leave memory when the state is settled.
    fn may_rest(&mut self, invoice: InvoiceId) {
        self.closing.push((self.shard.customer.id.clone(), invoice));
    }

    /// An event of a credit note, which changes its invoice as well.
    pub(crate) fn credit_note(&mut self, event: &CreditNoteEvent) {
        let id = event.credit_note();
        if let CreditNoteEvent::Created { credit_note, .. } = event {
            *self.created = self.created.saturating_add(1);
            self.owners.credit_notes.insert_mut(id.clone(), credit_note.customer.clone());
            self.shard.credit_notes.insert_mut(id.clone(), Arc::clone(credit_note));
        } else if let Some(note) = self.shard.credit_notes.get_mut(id) {
            event.evolve(Arc::make_mut(note));
        }
        let Some(invoice) = event.invoice().and_then(|id| self.shard.invoices.get_mut(id)) else {
            return;
        };
        let before = due::of_invoice(invoice);
        event.evolve_invoice(Arc::make_mut(invoice));
        let (after, id) = (due::of_invoice(invoice), invoice.id.clone());
        self.reschedule(before, after);
        self.may_rest(id);
    }

    /// Nothing falls due for a customer that is parked.
    fn reschedule<const N: usize, const M: usize>(
        &mut self,
        before: [Option<DueKey>; N],
        after: [Option<DueKey>; M],
    ) {
        if before.as_slice() == after.as_slice() {
            return;
        }
        for key in before.iter().flatten() {
            self.due.remove_mut(key);
        }
        if self.shard.customer.parked.is_none() {
            for key in after.into_iter().flatten() {
                self.due.insert_mut(key);
            }
        }
    }
}

/// Discounts for one invoice that one used up: nothing else of the customer has them any more, other
/// drafts included (points 10 and 31).
fn used_up(shard: &mut Shard, discounts: &[DiscountId], by: &InvoiceId) {
    let is_left = |discount: &Discount| !discounts.contains(&discount.id);
    let spent = |own: &[Discount]| !own.iter().all(is_left);
    if shard.customer.discount.as_ref().is_some_and(|own| !is_left(own)) {
        Arc::make_mut(&mut shard.customer).discount = None;
    }
    let ids: Vec<_> = shard.subscriptions.keys().cloned().collect();
    for id in ids {
        let Some(subscription) = shard.subscriptions.get(&id) else { continue };
        let items = subscription.items.iter().any(|item| spent(&item.discounts));
        let waiting = subscription.closed_usage.iter().any(|usage| spent(&usage.charge.discounts));
        if !items && !waiting && !spent(&subscription.discounts) {
            continue;
        }
        let Some(subscription) = shard.subscriptions.get_mut(&id) else { continue };
        let subscription = Arc::make_mut(subscription);
        subscription.discounts.retain(is_left);
        for item in &mut subscription.items {
            item.discounts.retain(is_left);
        }
        for usage in &mut subscription.closed_usage {
            usage.charge.discounts.retain(is_left);
        }
    }
    let planned = shard.schedules.values().filter(|schedule| {
        let mut future = schedule.future_phases().iter().flat_map(Phase::all_discounts);
        future.any(|own| !is_left(own))
    });
    let planned: Vec<_> = planned.map(|schedule| schedule.id.clone()).collect();
    for id in planned {
        if let Some(schedule) = shard.schedules.get_mut(&id) {
            Arc::make_mut(schedule).drop_used_up(discounts);
        }
    }
    let waiting = shard.items.values().filter(|item| spent(&item.discounts));
    let waiting: Vec<_> = waiting.map(|item| item.id.clone()).collect();
    for id in waiting {
        if let Some(item) = shard.items.get_mut(&id) {
            Arc::make_mut(item).discounts.retain(is_left);
        }
    }
    let drafts = shard
        .invoices
        .live()
        .filter(|invoice| invoice.status == InvoiceStatus::Draft && invoice.id != *by);
    let drafts: Vec<_> = drafts.map(|invoice| invoice.id.clone()).collect();
    for id in drafts {
        let Some(invoice) = shard.invoices.get_mut(&id) else { continue };
        let invoice = Arc::make_mut(invoice);
        invoice.discounts.retain(is_left);
        for charge in &mut invoice.charges {
            match charge {
                Charge::Line(line) if spent(&line.discounts) => {
                    Arc::make_mut(line).discounts.retain(is_left);
                }
                Charge::Usage(usage) | Charge::LateUsage(usage) => {
                    usage.discounts.retain(is_left);
                }
                Charge::Line(_) | Charge::Item(_) => {}
            }
        }
    }
}
