//! Invoices that are corrected, because usage came for them after they were finalized (rule 12.8).

use super::tx::Tx;
use crate::closed::InvoiceHead;
use crate::late::{Late, is_superseded};
use counterfoil_billing::credit_note::{CreditNoteEvent, NoteContext, decide_correction};
use counterfoil_billing::customer::{CustomerId, check_live};
use counterfoil_billing::discount::{Benefit, DiscountAmount, DiscountId};
use counterfoil_billing::invoice::{
    Charge, CollectionMethod, Correction, Derivation, Invoice, InvoiceEvent, InvoiceId,
    InvoiceStatus, Line, Numbered, ProrationBase, ShippingCost, check_voidable, due_after,
};
use counterfoil_billing::policy::LateUsage;
use counterfoil_billing::subscription::{
    PauseBehavior, Subscription, SubscriptionStatus, late_usage_line,
};
use counterfoil_core::{ArithmeticError, Refusal};
use std::sync::Arc;

impl Tx<'_> {
    /// Corrects each invoice of a customer once that usage came for after it was finalized, where
    /// this is what the book does with late usage. What cannot be corrected now is left for later.
    pub(super) fn correct_late_usage(&mut self, customer: &CustomerId) -> Result<(), Refusal> {
        if self.state.settings.policies.late_usage != LateUsage::Correct
            || check_live(self.state.customer(customer)?, "nothing more is invoiced to it").is_err()
        {
            return Ok(());
        }
        let late = self.state.came_late(customer, self.context.usage, self.at())?;
        let mut invoices: Vec<InvoiceId> = late.iter().map(|own| own.invoice.clone()).collect();
        invoices.dedup();
        for id in invoices {
            let own = late.iter().filter(|own| own.invoice == id).cloned().collect();
            self.correct(&id, own)?;
        }
        Ok(())
    }

    fn correct(&mut self, id: &InvoiceId, late: Vec<Late>) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        let Some(subscription) = &invoice.subscription else { return Ok(()) };
        let subscription = self.state.subscription(subscription)?.clone();
        if must_wait(&invoice, &subscription) {
            return Ok(());
        }
        let (mut by_difference, anew): (Vec<_>, Vec<_>) =
            late.into_iter().partition(|own| own.in_parts);
        if !anew.is_empty() && !self.bill_anew(&invoice, &subscription, &anew)? {
            by_difference.extend(anew);
        }
        if by_difference.is_empty() {
            return Ok(());
        }
        self.bill_difference(&invoice, &subscription, &by_difference)
    }

    /// Bills all usage of the periods again, in place of what was billed. False where that cannot be
    /// taken back.
    fn bill_anew(
        &mut self,
        invoice: &Invoice,
        subscription: &Subscription,
        late: &[Late],
    ) -> Result<bool, Refusal> {
        match invoice.status {
            // What was given up stays so; what is more is owed anew.
            InvoiceStatus::Uncollectible => Ok(false),
            InvoiceStatus::Open if check_voidable(invoice).is_ok() => {
                if self.is_given_back(invoice)? {
                    return Ok(false);
                }
                self.replace(invoice, subscription, late)?;
                Ok(true)
            }
            _ => self.credit_and_bill(invoice, subscription, late),
        }
    }

    /// Whether time that a line of an invoice charged for was given back elsewhere: by a credit that
    /// names the line, so that the line must stay.
    fn is_given_back(&self, invoice: &Invoice) -> Result<bool, Refusal> {
        let names = |derivation: &Derivation| match derivation {
            Derivation::Changed(details) => {
                matches!(&details.base, ProrationBase::Line { invoice: own, .. } if *own == invoice.id)
            }
            _ => false,
        };
        let shard = self.state.shard(&invoice.customer)?;
        let items = shard.invoice_items();
        let waiting = items.iter().any(|item| item.derivation.as_ref().is_some_and(names));
        let changed = || shard.invoices.with_heads(InvoiceHead::has_changes);
        Ok(waiting || changed().any(|own| own.lines().any(|line| names(&line.derivation))))
    }

    /// A revision that takes the place of an open invoice: its other lines are the same.
    fn replace(
        &mut self,
        invoice: &Invoice,
        subscription: &Subscription,
        late: &[Late],
    ) -> Result<(), Refusal> {
        let mut draft = self.correction_draft(invoice, subscription)?;
        let mut ids = self.numbers(&invoice.customer, draft.seq, 0)?;
        let mut billed: Vec<&Late> = Vec::new();
        for line in invoice.lines() {
            match late.iter().find(|own| own.covers(line)) {
                None => draft.charges.push(copy_of(line, &mut ids).into()),
                Some(own) if billed.iter().any(|known| std::ptr::eq(*known, own)) => {}
                Some(own) => {
                    billed.push(own);
                    draft.charges.push(Charge::from(own.charge.clone()));
                }
            }
        }
        draft.revises = Some(invoice.id.clone());
        draft.corrects.clone_from(&invoice.corrects);
        // What the customer was given to pay does not begin anew, but never lies in the past.
        draft.due_date = invoice.due_date.map(|date| date.max(self.at()));
        draft.collection_paused = invoice.collection_paused;
        let shipping = invoice.shipping_cost.clone();
        draft.shipping_cost = shipping.map(|cost| ShippingCost { taxes: Vec::new(), ..cost });
        draft.description.clone_from(&invoice.description);
        draft.metadata.clone_from(&invoice.metadata);
        self.issue(draft, invoice.auto_advance)
    }

    /// A credit note for what was billed, and an invoice for all usage. False where no note can take
    /// it off: somebody credited the invoice, or it comes to less than these lines.
    fn credit_and_bill(
        &mut self,
        invoice: &Invoice,
        subscription: &Subscription,
        late: &[Late],
    ) -> Result<bool, Refusal> {
        let shard = self.state.shard(&invoice.customer)?;
        let notes = shard.credit_notes_on(&invoice.id);
        if notes.iter().any(|note| note.is_issued() && note.correction.is_none()) {
            return Ok(false);
        }
        let lines = invoice.lines().map(AsRef::as_ref);
        let lines: Vec<&Line> = lines.filter(|line| is_among(late, line)).collect();
        let mut note_id = None;
        if lines.iter().any(|line| line.amount != 0) {
            let taken = |state: &crate::State, id: &_| state.owners.credit_notes.contains_key(id);
            let id = self.new_id(None, taken)?;
            let (customer, terms) = (shard.customer(), &self.state);
            let context = NoteContext { invoice, notes: &notes, customer, terms };
            let mut numbers = self.numbers(&invoice.customer, invoice.seq, 0)?;
            // The note counts as created before the invoice that bills anew.
            let free = |state: &crate::State, id: &_| state.owners.invoices.contains_key(id);
            let by = self.derived_id(self.next_seq().saturating_add(1), free);
            let (place, at) = ((id.clone(), self.next_seq()), self.at());
            let event = decide_correction(&context, (&lines, &by), place, &mut numbers, at)?;
            let Some(event) = event else { return Ok(false) };
            let settles = matches!(event, CreditNoteEvent::Created { settles: true, .. });
            self.emit(event);
            if settles {
                self.after_paid(&invoice.id)?;
            }
            note_id = Some(id);
        }
        let mut draft = self.correction_draft(invoice, subscription)?;
        draft.charges = late.iter().map(|own| Charge::from(own.charge.clone())).collect();
        let taken = self.kept_of_fixed_amounts(invoice, late)?;
        let invoice = invoice.id.clone();
        draft.corrects = Some(Correction { invoice, credit_note: note_id, taken });
        self.issue(draft, true)?;
        Ok(true)
    }

    /// An invoice for what all usage of the periods comes to beyond what was billed for it.
    fn bill_difference(
        &mut self,
        invoice: &Invoice,
        subscription: &Subscription,
        late: &[Late],
    ) -> Result<(), Refusal> {
        let mut draft = self.correction_draft(invoice, subscription)?;
        let mut ids = self.numbers(&invoice.customer, draft.seq, 0)?;
        for own in late {
            let product = self.state.named_price(&own.charge.price)?;
            let (reading, policies) = (own.reading.clone(), &self.state.settings.policies);
            let (charge, currency) = (&own.charge, invoice.currency);
            let line = late_usage_line(
                charge, product, currency, reading, own.billed, policies, &mut ids,
            )?;
            draft.charges.extend(line.map(Charge::from));
        }
        let taken = self.kept_of_fixed_amounts(invoice, &[])?;
        let invoice = invoice.id.clone();
        draft.corrects = Some(Correction { invoice, credit_note: None, taken });
        self.issue(draft, true)
    }

    /// A draft on the terms of an invoice that it corrects, without anything on it.
    fn correction_draft(
        &self,
        invoice: &Invoice,
        subscription: &Subscription,
    ) -> Result<Invoice, Refusal> {
        let taken = |state: &crate::State, id: &_| state.owners.invoices.contains_key(id);
        let (id, seq, at) = (self.new_id(None, taken)?, self.next_seq(), self.at());
        let mut draft = Invoice::draft(id, seq, invoice.customer.clone(), invoice.currency, at);
        draft.subscription = Some(subscription.id.clone());
        draft.billing_reason = invoice.billing_reason;
        draft.threshold_reason.clone_from(&invoice.threshold_reason);
        draft.period = invoice.period;
        draft.collection_method = invoice.collection_method;
        draft.default_payment_method.clone_from(&invoice.default_payment_method);
        // What was agreed on for the invoice holds, what it used up included.
        draft.discounts.clone_from(&invoice.discounts);
        draft.default_tax_rates.clone_from(&invoice.default_tax_rates);
        if draft.collection_method == CollectionMethod::SendInvoice {
            let days = subscription.days_until_due.unwrap_or(0);
            draft.due_date = Some(due_after(days, (at, subscription.anchor.zone))?);
        }
        draft.collection_paused = subscription.pause_collection.map(|pause| pause.behavior);
        Ok(draft)
    }

    /// Makes an invoice, fixes it and collects it.
    fn issue(&mut self, draft: Invoice, auto_advance: bool) -> Result<(), Refusal> {
        let id = draft.id.clone();
        self.emit(InvoiceEvent::Created(Arc::new(draft)));
        self.finalize(&id, auto_advance)?;
        self.send_if_due(&id)?;
        self.collect_if_due(&id)
    }

    /// What discounts of a fixed amount took off an invoice and what corrected it, but for lines that
    /// were billed anew, or are now.
    fn kept_of_fixed_amounts(
        &self,
        invoice: &Invoice,
        late: &[Late],
    ) -> Result<Vec<DiscountAmount>, Refusal> {
        let shard = self.state.shard(&invoice.customer)?;
        let root = |of: &Invoice| {
            let mut root = of.id.clone();
            while let Some(before) = shard.invoices.get(&root)
                && let Some(correction) = &before.corrects
            {
                root = correction.invoice.clone();
            }
            root
        };
        let own_root = root(invoice);
        let mut kept: Vec<DiscountAmount> = Vec::new();
        // What corrects nothing is its own root.
        let related = shard
            .invoices
            .with_heads(|head| head.counts() && (head.corrects() || *head.id == own_root));
        let mut related: Vec<_> = related.collect();
        related.sort_by_key(|own| own.seq);
        for other in related {
            if root(&other) != own_root {
                continue;
            }
            for line in other.lines().filter(|line| !line.proration) {
                let is_anew = other.id == invoice.id && is_among(late, line);
                if is_anew || is_superseded(shard, &other.id, line) {
                    continue;
                }
                for own in &line.discount_amounts {
                    if self.is_fixed_amount(&own.discount, &other, line)? {
                        add(&mut kept, own)?;
                    }
                }
            }
        }
        Ok(kept)
    }

    fn is_fixed_amount(
        &self,
        id: &DiscountId,
        invoice: &Invoice,
        line: &Line,
    ) -> Result<bool, Refusal> {
        let found = invoice.discounts.iter().chain(&line.discounts).find(|own| own.id == *id);
        let Some(discount) = found else { return Ok(false) };
        let coupon = self.state.coupon(&discount.coupon)?;
        Ok(matches!(coupon.benefit, Benefit::Amount { .. }))
    }
}

/// Whether an invoice cannot be corrected now: its payment is in flight, its subscription waits for
/// it, or invoices of the subscription would not be collected.
fn must_wait(invoice: &Invoice, subscription: &Subscription) -> bool {
    let pending = subscription.pending_update.as_ref().map(|own| &own.invoice);
    let resumption = subscription.resumption.as_ref().map(|own| &own.invoice);
    let awaited = [pending, resumption].contains(&Some(&invoice.id));
    let held = subscription.pause_collection.is_some_and(|pause| {
        matches!(pause.behavior, PauseBehavior::KeepAsDraft | PauseBehavior::Void)
    });
    let stands_still = matches!(
        subscription.status,
        SubscriptionStatus::Unpaid
            | SubscriptionStatus::Paused
            | SubscriptionStatus::Incomplete
            | SubscriptionStatus::IncompleteExpired
    );
    invoice.open_attempt.is_some() || awaited || held || stands_still
}

fn is_among(late: &[Late], line: &Line) -> bool {
    late.iter().any(|own| own.covers(line))
}

/// A line as it was before discounts and taxes of its invoice, but for those that a proration came
/// with.
fn copy_of(line: &Line, ids: &mut dyn Numbered) -> Line {
    let discount_amounts = if line.proration { line.discount_amounts.clone() } else { Vec::new() };
    Line { id: ids.line(), discount_amounts, taxes: Vec::new(), ..line.clone() }
}

fn add(sums: &mut Vec<DiscountAmount>, own: &DiscountAmount) -> Result<(), ArithmeticError> {
    match sums.iter_mut().find(|sum| sum.discount == own.discount) {
        Some(sum) => {
            sum.amount = sum.amount.checked_add(own.amount).ok_or(ArithmeticError::Overflow)?;
        }
        None => sums.push(own.clone()),
    }
    Ok(())
}
