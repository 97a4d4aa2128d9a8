//! Quotes: their commands, what they come to, and what they become (rule 11).

use super::tx::Tx;
use crate::State;
use crate::answer::Target;
use counterfoil_billing::customer::{CustomerId, check_live};
use counterfoil_billing::invoice::{
    BillingReason, CollectionMethod, CreateInvoiceItem, Invoice, InvoiceEvent, InvoiceId,
};
use counterfoil_billing::quote::{
    self, AcceptQuote, CancelQuote, CreateQuote, FinalizeQuote, Quote, QuoteAmounts, QuoteEvent,
    QuoteId, QuoteRecurring, QuoteStatus, UpdateQuote,
};
use counterfoil_billing::schedule::{
    CreateSubscriptionSchedule, DefaultSettingsInput, PhaseInput, PhaseItemInput,
    SubscriptionScheduleId,
};
use counterfoil_billing::subscription::{PaymentBehavior, SubscriptionId, TrialEnd};
use counterfoil_core::{Anchor, Decimal12, Interval, Refusal, Timestamp, limits};
use std::sync::Arc;

impl Tx<'_> {
    pub(super) fn create_quote(&mut self, command: &CreateQuote) -> Result<Target, Refusal> {
        let taken = |state: &State, id: &_| state.owners.quotes.contains_key(id);
        let id = self.new_id(command.id.as_ref(), taken)?;
        let (seq, at) = (self.next_seq(), self.at());
        let made = match &command.from_quote {
            Some(from) => {
                let original = self.state.quote(&from.quote)?;
                original.copied(command, from.is_revision, id.clone(), seq, at)?
            }
            None => {
                let customer = command.customer.clone();
                let customer = customer.ok_or_else(|| Refusal::missing("customer"))?;
                self.state.customer(&customer)?;
                quote::decide_create(command, customer, id.clone(), seq, &self.state, at)?
            }
        };
        check_live(self.state.customer(&made.customer)?, "nothing can be offered to it")?;
        let made = self.computed(made)?;
        self.emit(QuoteEvent::Created(Arc::new(made)));
        Ok(Target::Quote(id))
    }

    pub(super) fn update_quote(&mut self, command: &UpdateQuote) -> Result<Target, Refusal> {
        let quote = self.state.quote(&command.id)?;
        let updated = quote::decide_update(quote, command, &self.state, self.at())?;
        let updated = self.computed(updated)?;
        self.emit(QuoteEvent::Updated(Arc::new(updated)));
        Ok(Target::Quote(command.id.clone()))
    }

    pub(super) fn finalize_quote(&mut self, command: &FinalizeQuote) -> Result<Target, Refusal> {
        let quote = self.state.quote(&command.id)?.clone();
        check_live(self.state.customer(&quote.customer)?, "nothing can be offered to it")?;
        let number = self.quote_number(&quote)?;
        let finalized = quote::decide_finalize(&quote, command, number, self.at())?;
        let finalized = self.computed(finalized)?;
        self.emit(QuoteEvent::Finalized(Arc::new(finalized)));
        // A revision takes the place of what it revises.
        if let Some(from) = quote.from_quote.as_ref().filter(|from| from.is_revision) {
            let original = self.state.quote(&from.quote)?.clone();
            if original.deadline().is_some() {
                self.withdraw(original);
            }
        }
        Ok(Target::Quote(command.id.clone()))
    }

    /// `QT-PREFIX-0001-1`: the customer's prefix, the place of the offer among its quotes, and how
    /// often it was revised.
    fn quote_number(&self, quote: &Quote) -> Result<String, Refusal> {
        let shard = self.state.shard(&quote.customer)?;
        let from = quote.from_quote.as_ref().filter(|from| from.is_revision);
        let original = from.and_then(|from| self.state.quote(&from.quote).ok());
        let base = original.and_then(|original| original.number.as_deref()?.rsplit_once('-'));
        let revision = quote.revision.saturating_add(1);
        if let Some((base, _)) = base {
            return Ok(format!("{base}-{revision}"));
        }
        let numbers = shard.quotes.values().filter_map(|own| own.number.as_deref());
        let bases = numbers.filter_map(|number| Some(number.rsplit_once('-')?.0));
        let bases: std::collections::BTreeSet<&str> = bases.collect();
        let n = bases.len().saturating_add(1);
        Ok(format!("QT-{}-{n:04}-{revision}", shard.customer().invoice_prefix))
    }

    pub(super) fn cancel_quote(&mut self, command: &CancelQuote) -> Result<Target, Refusal> {
        let quote = self.state.quote(&command.id)?.clone();
        if quote.deadline().is_none() {
            let reason = "only a quote that is draft or open can be canceled";
            return Err(Refusal::state("quote", &quote.id, quote.status, reason));
        }
        self.withdraw(quote);
        Ok(Target::Quote(command.id.clone()))
    }

    /// A quote was not accepted in time, or is withdrawn.
    pub(super) fn withdraw(&mut self, mut quote: Quote) {
        quote.status = QuoteStatus::Canceled;
        quote.canceled_at = Some(self.at());
        self.emit(QuoteEvent::Canceled(Arc::new(quote)));
    }

    pub(super) fn expire_quote(&mut self, id: &QuoteId) -> Result<(), Refusal> {
        let quote = self.state.quote(id)?.clone();
        if quote.deadline().is_some_and(|deadline| deadline <= self.at()) {
            self.withdraw(quote);
        }
        Ok(())
    }

    /// The customer takes the offer: it becomes an invoice, a subscription, or a schedule of one.
    pub(super) fn accept_quote(&mut self, command: &AcceptQuote) -> Result<Target, Refusal> {
        let quote = self.state.quote(&command.id)?.clone();
        quote::check_open(&quote)?;
        check_live(self.state.customer(&quote.customer)?, "it can take no offer")?;
        let at = self.at();
        let mut accepted = quote.clone();
        accepted.status = QuoteStatus::Accepted;
        accepted.accepted_at = Some(at);
        let later = quote.subscription_data.effective_date.filter(|date| *date > at);
        match (quote.recurs(), later) {
            (false, _) => accepted.invoice = Some(self.invoice_quote(&quote)?),
            (true, None) => {
                let subscription = self.subscribe_to_quote(&quote)?;
                let own = self.state.subscription(&subscription)?;
                accepted.invoice.clone_from(&own.first_invoice);
                accepted.subscription = Some(subscription);
            }
            (true, Some(date)) => {
                accepted.subscription_schedule = Some(self.plan_quote(&quote, date)?);
            }
        }
        self.emit(QuoteEvent::Accepted(Arc::new(accepted)));
        Ok(Target::Quote(command.id.clone()))
    }

    fn subscribe_to_quote(&mut self, quote: &Quote) -> Result<SubscriptionId, Refusal> {
        match self.create_subscription(&quote.creation())? {
            Target::Subscription(id) => Ok(id),
            _ => Err(Refusal::unknown("subscription", &quote.id)),
        }
    }

    /// A draft of what is charged once (point 18); it goes on by itself where it is charged.
    fn invoice_quote(&mut self, quote: &Quote) -> Result<InvoiceId, Refusal> {
        let taken = |state: &State, id: &_| state.owners.invoices.contains_key(id);
        let id = self.new_id(None, taken)?;
        let (customer, at) = (quote.customer.clone(), self.at());
        let mut draft = Invoice::draft(id.clone(), self.next_seq(), customer, quote.currency, at);
        draft.billing_reason = BillingReason::QuoteAccept;
        draft.collection_method = quote.collection_method;
        match quote.collection_method {
            CollectionMethod::ChargeAutomatically => {
                draft.auto_advance = true;
                draft.finalizes_at = Some(at.checked_add_seconds(limits::INVOICE_DRAFT_SECONDS)?);
            }
            CollectionMethod::SendInvoice => {
                let days = quote.days_until_due.unwrap_or(0);
                draft.due_date = Some(at.checked_add_days(i64::from(days))?);
            }
        }
        self.emit(InvoiceEvent::Created(Arc::new(draft)));
        for line in quote.once() {
            let unit_amount_decimal = match &line.price_data {
                Some(data) => {
                    let whole = data.unit_amount.map(Decimal12::from_int);
                    Some(whole.or(data.unit_amount_decimal).unwrap_or(Decimal12::ZERO))
                }
                None => None,
            };
            self.create_invoice_item(&CreateInvoiceItem {
                invoice: Some(id.clone()),
                price: line.price.clone(),
                unit_amount_decimal,
                quantity: line.quantity,
                amount: None,
                ..CreateInvoiceItem::amount(quote.customer.clone(), 0)
            })?;
        }
        Ok(id)
    }

    /// A schedule of one phase that begins on the date that was agreed on.
    fn plan_quote(
        &mut self,
        quote: &Quote,
        date: Timestamp,
    ) -> Result<SubscriptionScheduleId, Refusal> {
        let interval = self.interval_of(quote)?;
        let mut end = Anchor::at(date).boundary(interval, 1)?;
        let days = quote.subscription_data.trial_period_days.map(i64::from);
        let trial_end = days.map(|days| date.checked_add_days(days)).transpose()?;
        end = end.max(trial_end.unwrap_or(end));
        let items = quote.items().map(|item| {
            let quantity = item.quantity;
            PhaseItemInput { quantity, ..PhaseItemInput::from(item.price) }
        });
        let phase = PhaseInput {
            items: items.collect(),
            end_date: Some(TrialEnd::At(end)),
            add_invoice_items: quote.once().collect(),
            currency: Some(quote.currency),
            trial_end,
            ..PhaseInput::default()
        };
        let command = CreateSubscriptionSchedule {
            customer: Some(quote.customer.clone()),
            start_date: Some(TrialEnd::At(date)),
            default_settings: Some(DefaultSettingsInput {
                collection_method: Some(quote.collection_method),
                days_until_due: quote.days_until_due,
                ..DefaultSettingsInput::default()
            }),
            phases: vec![phase],
            ..CreateSubscriptionSchedule::default()
        };
        match self.create_schedule(&command)? {
            Target::SubscriptionSchedule(id) => Ok(id),
            _ => Err(Refusal::unknown("subscription_schedule", &quote.id)),
        }
    }

    /// The shortest interval of what recurs in a quote.
    fn interval_of(&self, quote: &Quote) -> Result<Interval, Refusal> {
        let mut shortest: Option<(Timestamp, Interval)> = None;
        for item in quote.items() {
            let Some(interval) = self.state.price(&item.price)?.interval() else { continue };
            let end = Anchor::at(self.at()).boundary(interval, 1)?;
            if shortest.is_none_or(|(other, _)| end < other) {
                shortest = Some((end, interval));
            }
        }
        shortest.map(|(_, interval)| interval).ok_or_else(|| Refusal::missing("line_items"))
    }

    /// A quote with what it comes to: its first invoice and a later one are made on forks, by the
    /// very code that will make them, and read there.
    fn computed(&self, mut quote: Quote) -> Result<Quote, Refusal> {
        quote.upfront = self.first_invoice_of(&quote)?;
        quote.recurring = if quote.recurs() {
            let mut later = quote.clone();
            later.lines.retain(|line| line.recurs);
            later.subscription_data.trial_period_days = None;
            let (amounts, interval) = (self.first_invoice_of(&later)?, self.interval_of(&quote)?);
            Some(QuoteRecurring { amounts, interval })
        } else {
            None
        };
        Ok(quote)
    }

    fn first_invoice_of(&self, quote: &Quote) -> Result<QuoteAmounts, Refusal> {
        let mut fork = Tx::fork(&self.state, self.context);
        fork.drop_pending_items(&quote.customer)?;
        let invoice = if quote.recurs() {
            let mut command = quote.creation();
            command.payment_behavior = PaymentBehavior::DefaultIncomplete;
            let Target::Subscription(id) = fork.create_subscription(&command)? else {
                return Ok(QuoteAmounts::default());
            };
            fork.state.subscription(&id)?.first_invoice.clone()
        } else {
            Some(fork.invoice_quote(quote)?)
        };
        let Some(invoice) = invoice else { return Ok(QuoteAmounts::default()) };
        let read = fork.state.view(&invoice, self.context.usage)?.invoice;
        Ok(QuoteAmounts { amount_subtotal: read.subtotal, amount_total: read.total })
    }

    /// Removes what waits for an invoice, on a fork that nobody keeps.
    fn drop_pending_items(&mut self, customer: &CustomerId) -> Result<(), Refusal> {
        let items = self.state.shard(customer)?.invoice_items();
        let waiting = items.into_iter().filter(|item| item.invoice.is_none());
        let waiting: Vec<_> = waiting.map(|item| item.id.clone()).collect();
        for id in waiting {
            let (customer, at) = (customer.clone(), self.at());
            self.emit(InvoiceEvent::ItemDeleted { customer, id, at });
        }
        Ok(())
    }
}
