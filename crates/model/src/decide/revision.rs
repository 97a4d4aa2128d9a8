//! Revisions: a draft that takes the place of an open invoice when it is finalized (rule 8.6).

use super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::invoice::{
    self, CollectionMethod, CreateInvoice, Invoice, InvoiceEvent, InvoiceId, InvoiceItem,
    InvoiceStatus, Line, PendingItems, ShippingCost,
};
use counterfoil_billing::subscription::{Prices, SubscriptionStatus};
use counterfoil_core::{Metadata, Refusal};
use std::sync::Arc;

impl Tx<'_> {
    /// Makes the draft of a revision. Its lines are those of the original as invoice items, which
    /// can be changed and removed like any others.
    pub(super) fn revise(
        &mut self,
        command: &CreateInvoice,
        original: &InvoiceId,
        id: InvoiceId,
    ) -> Result<Target, Refusal> {
        let original = self.revisable(command, original)?;
        let (seq, at) = (self.next_seq(), self.at());
        let mut terms = command.clone();
        terms.collection_method = original.collection_method;
        if original.collection_method == CollectionMethod::SendInvoice
            && command.days_until_due.is_none()
            && command.due_date.is_none()
        {
            // What the customer was given to pay does not begin anew, but never lies in the past.
            terms.due_date = original.due_date.map(|date| date.max(at));
        }
        let (currency, clock) = (original.currency, (at, self.state.zone_of(&original.customer)));
        let mut draft =
            invoice::decide_create(&terms, id.clone(), seq, currency, Vec::new(), clock)?;
        draft.subscription = original.subscription.clone();
        draft.billing_reason = original.billing_reason;
        draft.period = original.period;
        draft.revises = Some(original.id.clone());
        draft.corrects.clone_from(&original.corrects);
        if command.default_payment_method.is_none() {
            draft.default_payment_method.clone_from(&original.default_payment_method);
        }
        if command.description.is_none() {
            draft.description.clone_from(&original.description);
        }
        // What was agreed on for the original holds, one that it used up included.
        draft.discounts.clone_from(&original.discounts);
        draft.default_tax_rates.clone_from(&original.default_tax_rates);
        let shipping = original.shipping_cost.clone();
        let kept = shipping.iter().flat_map(|cost| cost.tax_rates.iter().cloned());
        let kept: Vec<_> = kept.collect();
        draft.shipping_cost = match &command.shipping_cost {
            Some(cost) => Some(self.shipping_cost(cost, &kept)?),
            None => shipping.map(|cost| ShippingCost { taxes: Vec::new(), ..cost }),
        };
        self.emit(InvoiceEvent::Created(Arc::new(draft)));
        for line in original.lines() {
            self.copy_line(&original, line, &id)?;
        }
        Ok(Target::Invoice(id))
    }

    /// The invoice, if it can be replaced: voiding it is possible now, and nothing else waits for it.
    fn revisable(&self, command: &CreateInvoice, id: &InvoiceId) -> Result<Invoice, Refusal> {
        let original = self.state.invoice(id)?;
        if original.customer != command.customer {
            let reason = format!("{id} belongs to {}", original.customer);
            return Err(Refusal::invalid("from_invoice.invoice", reason));
        }
        if command.currency.is_some_and(|currency| currency != original.currency) {
            let reason = format!("{id} is in {}", original.currency);
            return Err(Refusal::invalid("currency", reason));
        }
        if command.pending_invoice_items_behavior != PendingItems::Exclude {
            let reason = "a revision begins with the lines of the invoice that it replaces";
            return Err(Refusal::invalid("pending_invoice_items_behavior", reason));
        }
        if command.collection_method != CollectionMethod::default()
            && command.collection_method != original.collection_method
        {
            let reason = "a revision is collected as the invoice that it replaces";
            return Err(Refusal::invalid("collection_method", reason));
        }
        invoice::check_voidable(&original)?;
        if let Some(id) = &original.subscription {
            let subscription = self.state.subscription(id)?;
            if subscription.status == SubscriptionStatus::Incomplete
                && subscription.first_invoice.as_ref() == Some(&original.id)
            {
                let reason = format!("{id} waits for the payment of this very invoice");
                let status = InvoiceStatus::Open;
                return Err(Refusal::state("invoice", &original.id, status, reason));
            }
        }
        Ok(Arc::unwrap_or_clone(original))
    }

    fn copy_line(
        &mut self,
        original: &Invoice,
        line: &Line,
        draft: &InvoiceId,
    ) -> Result<(), Refusal> {
        let taken = |state: &crate::State, id: &_| state.owners.invoice_items.contains_key(id);
        let item = InvoiceItem {
            id: self.new_id(None, taken)?,
            seq: self.next_seq(),
            customer: original.customer.clone(),
            subscription: original.subscription.clone(),
            subscription_item: line.subscription_item.clone(),
            proration: line.proration,
            // An amount that may be changed by hand no longer says how it came about.
            derivation: line.proration.then(|| line.derivation.clone()),
            invoice: Some(draft.clone()),
            currency: original.currency,
            amount: line.amount,
            quantity: line.quantity,
            unit_amount: line.unit_amount,
            price: line.price.clone(),
            name: line.name.clone(),
            description: line.description.clone(),
            period: line.period,
            discountable: line.discountable && line.amount >= 0 && !line.proration,
            discounts: line.discounts.clone(),
            discount_amounts: if line.proration {
                line.discount_amounts.clone()
            } else {
                Vec::new()
            },
            included_discounts: line.included_discounts.clone(),
            spared_discounts: line.spared_discounts.clone(),
            tax_rates: line.tax_rates.clone(),
            created: self.at(),
            metadata: Metadata::default(),
        };
        self.emit(InvoiceEvent::ItemCreated(item.into()));
        Ok(())
    }
}
