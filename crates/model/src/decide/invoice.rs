//! Invoices: drafts, finalization, and what ends them.

use super::discount::Place;
use super::tx::Tx;
use crate::answer::Target;
use crate::view::Provisional;
use counterfoil_billing::customer::{CustomerId, check_live};
use counterfoil_billing::discount::Discount;
use counterfoil_billing::invoice::{
    self, BillingReason, Charge, CollectionMethod, CreateInvoice, DeleteInvoice, FinalizeInvoice,
    Invoice, InvoiceEvent, InvoiceId, InvoiceStatus, MarkInvoiceUncollectible, PendingItems,
    SendInvoice, ShippingCost, ShippingCostInput, Trigger, UpdateInvoice, VoidInvoice, due_after,
};
use counterfoil_billing::subscription::{PauseBehavior, Prices, SubscriptionStatus};
use counterfoil_billing::tax::TaxRateId;
use counterfoil_core::Refusal;
use std::sync::Arc;

impl Tx<'_> {
    pub(super) fn create_invoice(&mut self, command: &CreateInvoice) -> Result<Target, Refusal> {
        check_live(self.state.customer(&command.customer)?, "nothing more is invoiced to it")?;
        let taken = |state: &crate::State, id: &_| state.owners.invoices.contains_key(id);
        let id = self.new_id(command.id.as_ref(), taken)?;
        if let Some(from) = &command.from_invoice {
            return self.revise(command, &from.invoice, id);
        }
        let currency = self.currency_or_own(command.currency, &command.customer)?;
        let charges = match command.pending_invoice_items_behavior {
            PendingItems::Exclude => Vec::new(),
            PendingItems::Include => self.sweep(&command.customer, currency, None)?,
        };
        let (seq, at) = (self.next_seq(), self.at());
        let clock = (at, self.state.zone_of(&command.customer));
        let mut draft = invoice::decide_create(command, id.clone(), seq, currency, charges, clock)?;
        let own = self.state.customer(&command.customer)?.discount.clone();
        let there: Vec<Discount> = own.into_iter().filter(|own| own.is_in_force(at)).collect();
        let place = self.on_invoice(&draft, &command.customer, there.clone())?;
        // The customer's discount is taken over unless others are given, or none (rule 4.2).
        draft.discounts = self.updated_discounts(&command.discounts, &there, &place)?;
        let rates = command.default_tax_rates.as_deref();
        draft.default_tax_rates = self.checked_tax_rates("default_tax_rates", rates, &[])?;
        if let Some(cost) = &command.shipping_cost {
            draft.shipping_cost = Some(self.shipping_cost(cost, &[])?);
        }
        self.emit(InvoiceEvent::Created(Arc::new(draft)));
        Ok(Target::Invoice(id))
    }

    pub(super) fn change_invoice(&mut self, command: &UpdateInvoice) -> Result<Target, Refusal> {
        let invoice = self.state.invoice(&command.id)?;
        check_live(self.state.customer(&invoice.customer)?, "nothing more is invoiced to it")?;
        let zone = match &invoice.subscription {
            Some(own) => self.state.subscription(own)?.anchor.zone,
            None => self.state.zone_of(&invoice.customer),
        };
        let mut updated = invoice::decide_update(&invoice, command, (self.at(), zone))?;
        let goes_on = !invoice.auto_advance && updated.auto_advance;
        let (before, at) = (invoice.clone(), self.at());
        self.update_terms_of_invoice(&mut updated, &before, command)?;
        self.emit(InvoiceEvent::Updated { at, invoice: updated.into() });
        let invoice = self.state.invoice(&command.id)?;
        // An open invoice that goes on by itself again is collected at once.
        if goes_on && invoice.next_payment_attempt.is_none() && invoice.open_attempt.is_none() {
            self.collect_if_due(&command.id)?;
        }
        Ok(Target::Invoice(command.id.clone()))
    }

    /// Puts the discounts, tax rates and shipping of a command on the draft that it changes.
    fn update_terms_of_invoice(
        &mut self,
        updated: &mut Invoice,
        before: &Invoice,
        command: &UpdateInvoice,
    ) -> Result<(), Refusal> {
        if !command.discounts.is_keep() {
            let mut there = before.discounts.clone();
            there.extend(self.state.customer(&before.customer)?.discount.clone());
            let place = self.on_invoice(before, &before.customer, there)?;
            updated.discounts =
                self.updated_discounts(&command.discounts, &before.discounts, &place)?;
        }
        updated.default_tax_rates = self.updated_tax_rates(
            "default_tax_rates",
            &command.default_tax_rates,
            &before.default_tax_rates,
        )?;
        if let Some(input) = command.shipping_cost.value() {
            let kept = before.shipping_cost.iter().flat_map(|cost| cost.tax_rates.iter().cloned());
            let kept: Vec<_> = kept.collect();
            updated.shipping_cost = Some(self.shipping_cost(input, &kept)?);
        }
        Ok(())
    }

    /// What an invoice charges for shipping, with tax rates that it may have.
    pub(super) fn shipping_cost(
        &self,
        input: &ShippingCostInput,
        before: &[TaxRateId],
    ) -> Result<ShippingCost, Refusal> {
        self.checked_tax_rates("shipping_cost.tax_rates", Some(&input.tax_rates), before)?;
        ShippingCost::of(input)
    }

    /// A draft as a place for discounts: a least amount is compared with what its lines come to
    /// before discounts and tax (rule 4.1).
    fn on_invoice<'p>(
        &self,
        draft: &Invoice,
        customer: &'p CustomerId,
        there: Vec<Discount>,
    ) -> Result<Place<'p>, Refusal> {
        let mut numbers = Provisional::default();
        let lines = self.state.resolve(draft, self.context.usage, &mut numbers)?;
        let amount = lines.iter().fold(0, |sum: i64, line| sum.saturating_add(line.amount));
        Ok(Place {
            param: "discounts",
            customer,
            currency: Some(draft.currency),
            start: self.at(),
            there,
            amount: Some(amount),
        })
    }

    pub(super) fn finalize_invoice(
        &mut self,
        command: &FinalizeInvoice,
    ) -> Result<Target, Refusal> {
        let invoice = self.state.invoice(&command.id)?;
        let auto_advance = command.auto_advance.unwrap_or(invoice.auto_advance);
        self.finalize(&command.id, auto_advance)?;
        self.collect_if_due(&command.id)?;
        Ok(Target::Invoice(command.id.clone()))
    }

    /// Fixes a draft: its lines, its number, what is due.
    pub(super) fn finalize(&mut self, id: &InvoiceId, auto_advance: bool) -> Result<(), Refusal> {
        let draft = self.state.invoice(id)?;
        invoice::check_draft(&draft)?;
        if draft.charges.is_empty() {
            return Err(Refusal::InvoiceNoCustomerLineItems {
                customer: draft.customer.to_string(),
            });
        }
        if let Some(original) = draft.revises.clone() {
            // What the original took from the balance is there again for the one in its place.
            self.void(&original)?;
        }
        let draft = self.state.invoice(id)?;
        let mut numbers = self.numbers(&draft.customer, draft.seq, draft.lines().count())?;
        let totals = self.state.totals(&draft, self.context.usage, &mut numbers)?;
        let customer = self.state.customer(&draft.customer)?;
        let at = self.at();
        let given_up = draft.collection_paused == Some(PauseBehavior::MarkUncollectible);
        let auto_advance = auto_advance && !given_up;
        let finalized =
            invoice::decide_finalize(&draft, totals, customer, auto_advance, &mut numbers, at)?;
        self.emit(InvoiceEvent::Finalized(finalized.into()));
        if given_up && self.state.invoice(id)?.status == InvoiceStatus::Open {
            let event = invoice::decide_uncollectible(&*self.state.invoice(id)?, at)?;
            self.emit(event);
        }
        if self.state.invoice(id)?.status == InvoiceStatus::Paid {
            self.subscription_follows_payment(id)?;
        }
        Ok(())
    }

    /// Charges an invoice that collects itself, right after it was finalized (rule 8.2).
    pub(super) fn collect_if_due(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        if invoice.status == InvoiceStatus::Open && invoice.charges_automatically() {
            self.attempt(id, None, Trigger::Automatic)?;
        }
        Ok(())
    }

    pub(super) fn send_invoice(&mut self, command: &SendInvoice) -> Result<Target, Refusal> {
        let event = invoice::decide_send(&*self.state.invoice(&command.id)?, self.at())?;
        self.emit(event);
        Ok(Target::Invoice(command.id.clone()))
    }

    pub(super) fn void_invoice(&mut self, command: &VoidInvoice) -> Result<Target, Refusal> {
        self.void(&command.id)?;
        self.subscription_follows_void(&command.id)?;
        Ok(Target::Invoice(command.id.clone()))
    }

    /// Voids an invoice, without a look at its subscription.
    pub(super) fn void(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        let customer = self.state.customer(&invoice.customer)?;
        let mut numbers = self.numbers(&invoice.customer, invoice.seq, 0)?;
        let voided = invoice::decide_void(&invoice, customer, &mut numbers, self.at())?;
        self.emit(InvoiceEvent::Voided(voided.into()));
        Ok(())
    }

    /// Voids an invoice that nobody waits for any more. One that was paid in part, or credited,
    /// stands (point 47), and does nothing by itself from then on.
    pub(super) fn void_if_possible(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        if invoice::check_voidable(&invoice).is_ok() {
            return self.void(id);
        }
        if invoice.auto_advance {
            let (customer, id, at) = (invoice.customer.clone(), id.clone(), self.at());
            self.emit(InvoiceEvent::AutoAdvanceSet { customer, id, at, auto_advance: false });
        }
        Ok(())
    }

    pub(super) fn mark_invoice_uncollectible(
        &mut self,
        command: &MarkInvoiceUncollectible,
    ) -> Result<Target, Refusal> {
        let invoice = self.state.invoice(&command.id)?;
        let customer = invoice.customer.clone();
        let event = invoice::decide_uncollectible(&invoice, self.at())?;
        self.emit(event);
        // By hand it clears the delinquency; by exhausted retries it does not (rule 2.1).
        self.set_delinquent(&customer, false)?;
        self.subscription_follows_payment(&command.id)?;
        Ok(Target::Invoice(command.id.clone()))
    }

    pub(super) fn delete_invoice(&mut self, command: &DeleteInvoice) -> Result<Target, Refusal> {
        let invoice = self.state.invoice(&command.id)?;
        invoice::check_draft(&invoice)?;
        if invoice.billing_reason != BillingReason::Manual && invoice.revises.is_none() {
            let reason = "drafts of subscriptions are finalized and voided, not deleted";
            return Err(Refusal::state("invoice", &invoice.id, invoice.status, reason));
        }
        let (customer, id, at) = (invoice.customer.clone(), invoice.id.clone(), self.at());
        self.emit(InvoiceEvent::Deleted { customer, id, at });
        Ok(Target::Deleted("invoice".to_owned(), command.id.to_string()))
    }

    /// An open invoice passed its due date (rules 2.1 and 6.2).
    pub(super) fn overdue(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        let customer = invoice.customer.clone();
        let event = invoice::decide_overdue(&invoice, self.at());
        self.emit(event);
        self.set_delinquent(&customer, true)?;
        self.subscription_follows_failure(id)
    }

    /// Makes a draft for a subscription; the caller has its charges.
    pub(super) fn draft_for_subscription(
        &mut self,
        subscription: &counterfoil_billing::subscription::Subscription,
        fill: impl FnOnce(&mut Invoice),
        charges: Vec<Charge>,
    ) -> Result<InvoiceId, Refusal> {
        let taken = |state: &crate::State, id: &_| state.owners.invoices.contains_key(id);
        let id = self.new_id(None, taken)?;
        let (customer, currency) = (subscription.customer.clone(), subscription.currency);
        let mut draft = Invoice::draft(id.clone(), self.next_seq(), customer, currency, self.at());
        draft.subscription = Some(subscription.id.clone());
        draft.collection_method = subscription.collection_method;
        if draft.collection_method == CollectionMethod::SendInvoice {
            let days = subscription.days_until_due.unwrap_or(0);
            draft.due_date = Some(due_after(days, (self.at(), subscription.anchor.zone))?);
        }
        draft.charges = charges;
        draft.discounts = self.state.shared_discounts(subscription, self.at())?;
        draft.default_tax_rates.clone_from(&subscription.default_tax_rates);
        fill(&mut draft);
        let paused = subscription.pause_collection.map(|pause| pause.behavior);
        draft.collection_paused = paused;
        // What an unpaid subscription goes on to owe waits for somebody (rule 6.2).
        let unpaid = subscription.status == SubscriptionStatus::Unpaid;
        if unpaid || paused == Some(PauseBehavior::KeepAsDraft) {
            (draft.auto_advance, draft.finalizes_at) = (false, None);
        }
        self.emit(InvoiceEvent::Created(Arc::new(draft)));
        if paused == Some(PauseBehavior::Void) {
            self.void_at_once(&id)?;
        }
        Ok(id)
    }
}
