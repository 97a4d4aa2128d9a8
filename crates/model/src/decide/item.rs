//! Invoice items.

use super::discount::{Place, Planned};
use super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::customer::{CustomerId, check_live, check_present};
use counterfoil_billing::discount::Discount;
use counterfoil_billing::invoice::{
    Charge, CreateInvoiceItem, DeleteInvoiceItem, InvoiceEvent, InvoiceItem, UpdateInvoiceItem,
    check_draft, check_editable, decide_create_item, decide_update_item,
};
use counterfoil_billing::subscription::SubscriptionId;
use counterfoil_core::{Currency, Refusal, limits};

impl Tx<'_> {
    pub(super) fn create_invoice_item(
        &mut self,
        command: &CreateInvoiceItem,
    ) -> Result<Target, Refusal> {
        self.create_item_as_planned(command, &Planned::default())
    }

    /// The same, with what was agreed on before.
    pub(super) fn create_item_as_planned(
        &mut self,
        command: &CreateInvoiceItem,
        planned: &Planned,
    ) -> Result<Target, Refusal> {
        let state = &self.state;
        check_live(state.customer(&command.customer)?, "nothing more is invoiced to it")?;
        let taken = |state: &crate::State, id: &_| state.owners.invoice_items.contains_key(id);
        let id = self.new_id(command.id.as_ref(), taken)?;
        let mut currency = self.currency_or_own(command.currency, &command.customer)?;
        if let Some(invoice) = &command.invoice {
            let invoice = state.invoice(invoice)?;
            check_draft(&invoice)?;
            if invoice.customer != command.customer {
                let reason = format!("{} belongs to {}", invoice.id, invoice.customer);
                return Err(Refusal::invalid("invoice", reason));
            }
            let other = invoice
                .subscription
                .as_ref()
                .filter(|id| command.subscription.as_ref().is_some_and(|chosen| chosen != *id));
            if let Some(other) = other {
                let reason = format!("{} bills {other}", invoice.id);
                return Err(Refusal::invalid("subscription", reason));
            }
            if invoice.charges.len() >= limits::INVOICE_ITEMS_MAX {
                let reason = format!("{} charges (the limit)", limits::INVOICE_ITEMS_MAX);
                return Err(Refusal::invalid("invoice", reason));
            }
            if command.currency.is_some_and(|given| given != invoice.currency) {
                return Err(Refusal::CurrencyMismatch {
                    context: format!("invoice {}", invoice.id),
                    expected: invoice.currency.code().to_owned(),
                    got: currency.code().to_owned(),
                });
            }
            currency = invoice.currency;
        }
        if let Some(subscription) = &command.subscription {
            self.check_subscription(subscription, command, currency)?;
        }
        let price = match &command.price {
            Some(id) => {
                let price = state.price(id)?;
                Some((price, state.product(&price.product)?.name.as_str()))
            }
            None => None,
        };
        let seq = self.next_seq();
        let mut item = decide_create_item(command, id.clone(), seq, currency, price, self.at())?;
        let inputs = command.discounts.as_deref().unwrap_or_default();
        let place = self.on_item(&command.customer, currency, &[]);
        item.discounts = self.discounts(inputs, &place)?;
        item.tax_rates = self.new_tax_rates("tax_rates", command.tax_rates.as_deref(), planned)?;
        self.emit(InvoiceEvent::ItemCreated(item.into()));
        Ok(Target::InvoiceItem(id))
    }

    fn on_item<'p>(
        &self,
        customer: &'p CustomerId,
        currency: Currency,
        there: &[Discount],
    ) -> Place<'p> {
        let (currency, start) = (Some(currency), self.at());
        let (param, there) = ("discounts", there.to_vec());
        Place { param, customer, currency, start, there, amount: None }
    }

    fn check_subscription(
        &self,
        id: &SubscriptionId,
        command: &CreateInvoiceItem,
        currency: Currency,
    ) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        if subscription.customer != command.customer {
            let reason = format!("{id} belongs to {}", subscription.customer);
            return Err(Refusal::invalid("subscription", reason));
        }
        if subscription.is_ended() {
            let reason = "no invoice of it will follow";
            return Err(Refusal::state("subscription", id, subscription.status, reason));
        }
        if subscription.currency != currency {
            return Err(Refusal::CurrencyMismatch {
                context: format!("subscription {id}"),
                expected: subscription.currency.code().to_owned(),
                got: currency.code().to_owned(),
            });
        }
        Ok(())
    }

    pub(super) fn update_invoice_item(
        &mut self,
        command: &UpdateInvoiceItem,
    ) -> Result<Target, Refusal> {
        let before = self.editable_item(&command.id)?.clone();
        let mut item = decide_update_item(&before, command)?;
        let place = self.on_item(&before.customer, before.currency, &before.discounts);
        item.discounts = self.updated_discounts(&command.discounts, &before.discounts, &place)?;
        item.tax_rates =
            self.updated_tax_rates("tax_rates", &command.tax_rates, &before.tax_rates)?;
        self.emit(InvoiceEvent::ItemUpdated(item.into()));
        Ok(Target::InvoiceItem(command.id.clone()))
    }

    pub(super) fn delete_invoice_item(
        &mut self,
        command: &DeleteInvoiceItem,
    ) -> Result<Target, Refusal> {
        let customer = self.editable_item(&command.id)?.customer.clone();
        let (id, at) = (command.id.clone(), self.at());
        self.emit(InvoiceEvent::ItemDeleted { customer, id, at });
        Ok(Target::Deleted("invoiceitem".to_owned(), command.id.to_string()))
    }

    fn editable_item(
        &self,
        id: &counterfoil_billing::invoice::InvoiceItemId,
    ) -> Result<&InvoiceItem, Refusal> {
        let home = self.state.owners.invoice_items.get(id);
        if let Some(invoice) = home.as_ref().and_then(|home| home.billed.as_ref()) {
            check_draft(&*self.state.invoice(invoice)?)?;
        }
        let item = self.state.invoice_item(id)?;
        check_present(
            self.state.customer(&item.customer)?,
            "its items cannot be changed any more",
        )?;
        let invoice = item.invoice.as_ref().and_then(|id| self.state.invoice(id).ok());
        check_editable(item, invoice.as_deref())?;
        Ok(item)
    }

    /// The pending items that an invoice takes, newest first (rule 8.5, points 32 and 35): those of
    /// its currency that belong to no subscription, or to its own. An invoice made by hand takes
    /// only those without one.
    pub(super) fn sweep(
        &self,
        customer: &CustomerId,
        currency: Currency,
        subscription: Option<&SubscriptionId>,
    ) -> Result<Vec<Charge>, Refusal> {
        let free = |item: &&InvoiceItem| {
            // What waited for a subscription that has ended goes with the next one's invoice.
            let own = |id: &SubscriptionId| {
                let ended = || self.state.subscription(id).is_ok_and(|owner| owner.is_ended());
                subscription.is_some_and(|own| own == id || ended())
            };
            item.invoice.is_none()
                && item.currency == currency
                && item.subscription.as_ref().is_none_or(own)
        };
        let shard = self.state.shard(customer)?;
        let pending = shard.invoice_items().into_iter().rev().filter(free);
        let limit = limits::INVOICE_ITEMS_MAX;
        Ok(pending.take(limit).map(|item| Charge::Item(item.id.clone())).collect())
    }
}
