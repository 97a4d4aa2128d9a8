//! What a subscription charges once, beside its items (rule 6.8).

use super::super::discount::{Place, Planned};
use super::super::tx::Tx;
use counterfoil_billing::invoice::{
    CreateInvoiceItem, InvoiceEvent, InvoiceItem, decide_create_item,
};
use counterfoil_billing::subscription::{
    AddInvoiceItem, PriceData, Subscription, SubscriptionId, SubscriptionItem, rolled_periods,
};
use counterfoil_core::{Decimal12, Period, Refusal, limits};

impl Tx<'_> {
    /// Adds items that the next invoice of a subscription takes.
    pub(in crate::decide) fn add_invoice_items(
        &mut self,
        subscription: &SubscriptionId,
        added: &[AddInvoiceItem],
        planned: &Planned,
    ) -> Result<(), Refusal> {
        let (count, limit) = (added.len(), limits::ADD_INVOICE_ITEMS_MAX);
        if count > limit {
            let reason = format!("{count} items (the limit is {limit})");
            return Err(Refusal::invalid("add_invoice_items", reason));
        }
        // Of those that wait the newest is shown first (rule 8.5), and those of one call keep the
        // order that they were given in (point 35).
        for (index, input) in added.iter().enumerate().rev() {
            let mut item = self.added_item(subscription, input, index, planned.by_phase)?;
            let param = format!("add_invoice_items[{index}].discounts");
            let place = Place {
                param: &param,
                customer: &item.customer.clone(),
                currency: Some(item.currency),
                start: self.at(),
                there: planned.discounts.clone(),
                amount: None,
            };
            item.discounts = self.discounts(&input.discounts, &place)?;
            let param = format!("add_invoice_items[{index}].tax_rates");
            item.tax_rates = self.new_tax_rates(&param, Some(&input.tax_rates), planned)?;
            self.emit(InvoiceEvent::ItemCreated(item.into()));
        }
        Ok(())
    }

    fn added_item(
        &self,
        id: &SubscriptionId,
        input: &AddInvoiceItem,
        index: usize,
        by_phase: bool,
    ) -> Result<InvoiceItem, Refusal> {
        let subscription = self.state.subscription(id)?;
        let currency = subscription.currency;
        let customer = subscription.customer.clone();
        let unit_amount_decimal = match (&input.price, &input.price_data) {
            (Some(_), None) => None,
            (None, Some(data)) => Some(self.unit_amount_of(data, subscription, index)?),
            (None, None) => {
                return Err(Refusal::missing(format!("add_invoice_items[{index}].price")));
            }
            (Some(_), Some(_)) => {
                let param = format!("add_invoice_items[{index}].price");
                return Err(Refusal::invalid(param, "give price or price_data, not both"));
            }
        };
        let param = format!("add_invoice_items[{index}].period");
        let items = self.periods_ahead(subscription)?;
        let period = input.period.map(|own| own.resolve(items, by_phase, &param)).transpose()?;
        let command = CreateInvoiceItem {
            price: input.price.clone(),
            unit_amount_decimal,
            quantity: input.quantity,
            subscription: Some(id.clone()),
            period,
            discountable: input.discountable,
            metadata: input.metadata.clone(),
            amount: None,
            ..CreateInvoiceItem::amount(customer, 0)
        };
        let price = match &input.price {
            Some(id) => {
                let price = self.state.price(id)?;
                Some((price, self.state.product(&price.product)?.name.as_str()))
            }
            None => None,
        };
        let taken = |state: &crate::State, id: &_| state.owners.invoice_items.contains_key(id);
        let (own, seq) = (self.new_id(None, taken)?, self.next_seq());
        let mut item = decide_create_item(&command, own, seq, currency, price, self.at())?;
        if let Some(data) = &input.price_data {
            item.name.clone_from(&self.state.product(&data.product)?.name);
        }
        Ok(item)
    }

    /// The period of a subscription, or the next one where that ends now.
    fn periods_ahead(&self, subscription: &Subscription) -> Result<Period, Refusal> {
        let end = subscription.current_period().end;
        if end > self.at() {
            return Ok(subscription.current_period());
        }
        let interval = |item: &SubscriptionItem| {
            self.state.price(&item.price).ok().and_then(|price| price.interval())
        };
        let mut ahead = subscription.clone();
        for (id, period) in rolled_periods(subscription, end, interval)? {
            if let Some(item) = ahead.items.iter_mut().find(|item| item.id == id) {
                item.period = period;
            }
        }
        Ok(ahead.current_period())
    }

    fn unit_amount_of(
        &self,
        data: &PriceData,
        subscription: &Subscription,
        index: usize,
    ) -> Result<Decimal12, Refusal> {
        let param = format!("add_invoice_items[{index}].price_data");
        if !self.state.product(&data.product)?.active {
            return Err(Refusal::ProductInactive { id: data.product.to_string() });
        }
        if data.currency != subscription.currency {
            return Err(Refusal::CurrencyMismatch {
                context: param,
                expected: subscription.currency.code().to_owned(),
                got: data.currency.code().to_owned(),
            });
        }
        match (data.unit_amount, data.unit_amount_decimal) {
            (Some(whole), None) => Ok(Decimal12::from_int(whole)),
            (None, Some(unit)) => Ok(unit),
            (None, None) => Err(Refusal::missing(format!("{param}.unit_amount"))),
            (Some(_), Some(_)) => {
                let reason = "give unit_amount or unit_amount_decimal, not both";
                Err(Refusal::invalid(format!("{param}.unit_amount"), reason))
            }
        }
    }
}
