//! Quotes: their commands, what they come to, and what they become (rule 11).

use super::discount::{Place, Planned};
use super::tx::Tx;
use crate::answer::Target;
use crate::{InvoiceView, State};
use counterfoil_billing::Patch;
use counterfoil_billing::customer::{CustomerEvent, CustomerId, check_live};
use counterfoil_billing::discount::{CouponDuration, Discount, DiscountAmount, DiscountInput};
use counterfoil_billing::invoice::{
    BillingReason, CollectionMethod, CreateInvoiceItem, Invoice, InvoiceEvent, InvoiceId, due_after,
};
use counterfoil_billing::quote::{
    self, AcceptQuote, CancelQuote, CouponAmount, CreateQuote, FinalizeQuote, Quote, QuoteAmounts,
    QuoteBreakdown, QuoteEvent, QuoteId, QuoteRecurring, QuoteStatus, TotalDetails, UpdateQuote,
};
use counterfoil_billing::schedule::{
    CreateSubscriptionSchedule, DefaultSettingsInput, PhaseInput, PhaseItemInput,
    SubscriptionScheduleId,
};
use counterfoil_billing::subscription::Prices;
use counterfoil_billing::subscription::{PaymentBehavior, SubscriptionId, TrialEnd};
use counterfoil_billing::tax::{TaxRateId, check_tax_rates};
use counterfoil_core::{
    Anchor, ArithmeticError, Decimal12, Exact, Interval, IntervalUnit, Refusal, Timestamp, limits,
};
use std::sync::Arc;

const DAY: Interval = Interval { unit: IntervalUnit::Day, count: 1 };

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
        if command.from_quote.is_none() {
            self.check_quote_terms(&made, &[])?;
        }
        let made = self.computed(made)?;
        self.emit(QuoteEvent::Created(Arc::new(made)));
        Ok(Target::Quote(id))
    }

    pub(super) fn update_quote(&mut self, command: &UpdateQuote) -> Result<Target, Refusal> {
        let quote = self.state.quote(&command.id)?;
        let updated = quote::decide_update(quote, command, &self.state, self.at())?;
        let before: Vec<TaxRateId> = quote.all_tax_rates().cloned().collect();
        self.check_quote_terms(&updated, &before)?;
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
        match self.create_as_planned(&quote.creation(), &agreed(quote))? {
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
                draft.due_date = Some(due_after(days, (at, self.state.zone_of(&quote.customer)))?);
            }
        }
        draft.discounts = self.discounts_of_quote(quote)?;
        let planned = agreed(quote);
        draft.default_tax_rates.clone_from(&quote.default_tax_rates);
        self.emit(InvoiceEvent::Created(Arc::new(draft)));
        for line in quote.once() {
            let unit_amount_decimal = match &line.price_data {
                Some(data) => {
                    let whole = data.unit_amount.map(Decimal12::from_int);
                    Some(whole.or(data.unit_amount_decimal).unwrap_or(Decimal12::ZERO))
                }
                None => None,
            };
            let command = CreateInvoiceItem {
                invoice: Some(id.clone()),
                price: line.price.clone(),
                unit_amount_decimal,
                quantity: line.quantity,
                amount: None,
                discounts: Some(line.discounts),
                tax_rates: Some(line.tax_rates),
                ..CreateInvoiceItem::amount(quote.customer.clone(), 0)
            };
            self.create_item_as_planned(&command, &planned)?;
        }
        Ok(id)
    }

    /// The discounts of an invoice that a quote becomes: the customer's is taken over unless others are
    /// offered (rule 4.2).
    fn discounts_of_quote(&mut self, quote: &Quote) -> Result<Vec<Discount>, Refusal> {
        let once = quote.lines.iter().filter(|line| !line.recurs);
        let priced = once.filter_map(|line| Some((line.price.as_ref()?, line.quantity)));
        let made_here = self.amount_made_here(quote)?;
        let amount = self.amount_of(priced, quote.currency)?.saturating_add(made_here);
        let at = self.at();
        let own = self.state.customer(&quote.customer)?.discount.clone();
        let there: Vec<Discount> = own.into_iter().filter(|own| own.is_in_force(at)).collect();
        let place = Place {
            param: "discounts",
            customer: &quote.customer,
            currency: Some(quote.currency),
            start: at,
            there: there.clone(),
            amount: Some(amount),
        };
        let list = Patch::Set(quote.discounts.clone());
        self.updated_discounts(&list, &there, &place)
    }

    /// A schedule of one phase that begins on the date that was agreed on.
    fn plan_quote(
        &mut self,
        quote: &Quote,
        date: Timestamp,
    ) -> Result<SubscriptionScheduleId, Refusal> {
        let interval = self.interval_of(quote)?;
        let zone = self.state.zone_of(&quote.customer);
        let mut end = Anchor::in_zone(date, zone).boundary(interval, 1)?;
        let days = quote.subscription_data.trial_period_days.map(i64::from);
        let trial_end =
            days.map(|days| Anchor::in_zone(date, zone).boundary(DAY, days)).transpose()?;
        end = end.max(trial_end.unwrap_or(end));
        let items = quote.items().map(|item| {
            let list = item.discounts.unwrap_or_default();
            PhaseItemInput {
                quantity: item.quantity,
                discounts: Patch::Set(list),
                tax_rates: item.tax_rates.map_or(Patch::Keep, Patch::Set),
                ..PhaseItemInput::from(item.price)
            }
        });
        let phase = PhaseInput {
            items: items.collect(),
            end_date: Some(TrialEnd::At(end)),
            add_invoice_items: quote.once().collect(),
            currency: Some(quote.currency),
            trial_end,
            discounts: Patch::Set(quote.discounts.clone()),
            default_tax_rates: Patch::Set(quote.default_tax_rates.clone()),
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
        match self.create_schedule_as_planned(&command, &agreed(quote))? {
            Target::SubscriptionSchedule(id) => Ok(id),
            _ => Err(Refusal::unknown("subscription_schedule", &quote.id)),
        }
    }

    /// The shortest interval of what recurs in a quote.
    fn interval_of(&self, quote: &Quote) -> Result<Interval, Refusal> {
        let mut shortest: Option<(Timestamp, Interval)> = None;
        for item in quote.items() {
            let Some(interval) = self.state.price(&item.price)?.interval() else { continue };
            let zone = self.state.zone_of(&quote.customer);
            let end = Anchor::in_zone(self.at(), zone).boundary(interval, 1)?;
            if shortest.is_none_or(|(other, _)| end < other) {
                shortest = Some((end, interval));
            }
        }
        shortest.map(|(_, interval)| interval).ok_or_else(|| Refusal::missing("line_items"))
    }

    /// A quote with what it comes to: its first invoice and a later one are made on forks, by the
    /// very code that will make them, and read there.
    fn computed(&self, mut quote: Quote) -> Result<Quote, Refusal> {
        quote.upfront = self.first_invoice_of(&quote, false)?;
        quote.recurring = if quote.recurs() {
            let mut later = quote.clone();
            later.lines.retain(|line| line.recurs);
            later.subscription_data.trial_period_days = None;
            self.keep_forever(&mut later)?;
            let (amounts, interval) =
                (self.first_invoice_of(&later, true)?, self.interval_of(&quote)?);
            Some(QuoteRecurring { amounts, interval })
        } else {
            None
        };
        Ok(quote)
    }

    fn first_invoice_of(&self, quote: &Quote, later: bool) -> Result<QuoteAmounts, Refusal> {
        let mut fork = Tx::fork(&self.state, self.context);
        fork.drop_pending_items(&quote.customer)?;
        if later {
            fork.drop_passing_discount(&quote.customer)?;
        }
        let invoice = if quote.recurs() {
            let mut command = quote.creation();
            command.payment_behavior = PaymentBehavior::DefaultIncomplete;
            let created = fork.create_as_planned(&command, &agreed(quote))?;
            let Target::Subscription(id) = created else {
                return Ok(QuoteAmounts::default());
            };
            fork.state.subscription(&id)?.first_invoice.clone()
        } else {
            Some(fork.invoice_quote(quote)?)
        };
        let Some(invoice) = invoice else { return Ok(QuoteAmounts::default()) };
        amounts(&fork.state.view(&invoice, self.context.usage)?)
    }

    /// Refuses tax rates that cannot be chosen any more, and a code with a least amount on what begins
    /// later (rule 4.1).
    fn check_quote_terms(&self, quote: &Quote, before: &[TaxRateId]) -> Result<(), Refusal> {
        let check =
            |param: &str, rates: &[TaxRateId]| check_tax_rates(param, rates, before, &self.state);
        check("default_tax_rates", &quote.default_tax_rates)?;
        for (index, line) in quote.lines.iter().enumerate() {
            check(&format!("line_items[{index}].tax_rates"), &line.tax_rates)?;
        }
        if quote.subscription_data.effective_date.is_some_and(|date| date > self.at()) {
            for code in quote.all_discounts().filter_map(|own| own.promotion_code.as_ref()) {
                if !self.state.promotion_code(code)?.restrictions.minimum_amounts.is_empty() {
                    let reason =
                        format!("{code} needs a least amount, which is for what begins now");
                    return Err(Refusal::invalid("discounts", reason));
                }
            }
        }
        Ok(())
    }

    /// What the lines of a quote cost that have no price of the catalog.
    fn amount_made_here(&self, quote: &Quote) -> Result<i64, Refusal> {
        let mut sum = 0_i64;
        for line in &quote.lines {
            let Some(data) = &line.price_data else { continue };
            let unit = data.unit_amount.map(Decimal12::from_int).or(data.unit_amount_decimal);
            let quantity = Decimal12::from_int(line.quantity.unwrap_or(1));
            let unit = Exact::from_decimal(unit.unwrap_or(Decimal12::ZERO));
            let amount = unit.checked_mul(Exact::from_decimal(quantity))?.round()?;
            sum = sum.saturating_add(amount);
        }
        Ok(sum)
    }

    /// Leaves the discounts that every further invoice has: those that count for ever.
    fn keep_forever(&self, quote: &mut Quote) -> Result<(), Refusal> {
        let mut forever: Vec<DiscountInput> = Vec::new();
        for input in quote.all_discounts() {
            let coupon = match (&input.coupon, &input.promotion_code) {
                (Some(coupon), _) => Some(coupon),
                (None, Some(code)) => Some(&self.state.promotion_code(code)?.coupon),
                (None, None) => {
                    let own = self.state.customer(&quote.customer)?.discount.as_ref();
                    own.filter(|own| input.discount.as_ref() == Some(&own.id))
                        .map(|own| &own.coupon)
                }
            };
            if let Some(coupon) = coupon
                && self.state.coupon(coupon)?.duration == CouponDuration::Forever
            {
                forever.push(input.clone());
            }
        }
        quote.keep_discounts(|input| forever.contains(input));
        Ok(())
    }

    /// Takes the discount off a customer unless it counts for ever, on a fork that nobody keeps.
    fn drop_passing_discount(&mut self, customer: &CustomerId) -> Result<(), Refusal> {
        let own = self.state.customer(customer)?;
        let Some(discount) = &own.discount else { return Ok(()) };
        if self.state.coupon(&discount.coupon)?.duration != CouponDuration::Forever {
            let without = CustomerEvent::Updated {
                id: own.id.clone(),
                at: self.at(),
                payment_method: own.payment_method.clone(),
                invoice_prefix: own.invoice_prefix.clone(),
                tax_exempt: own.tax_exempt,
                time_zone: own.time_zone,
                discount: None,
                personal: own.personal.clone().into_inner().into(),
            };
            self.emit(without);
        }
        Ok(())
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

/// What a quote agreed on: its tax rates, whatever became of them since.
fn agreed(quote: &Quote) -> Planned {
    Planned { tax_rates: quote.all_tax_rates().cloned().collect(), ..Planned::default() }
}

/// What an invoice comes to, as a quote says it.
fn amounts(view: &InvoiceView) -> Result<QuoteAmounts, Refusal> {
    let invoice = &view.invoice;
    let of_lines = view.lines.iter().flat_map(|line| &line.discounts);
    let known: Vec<&Discount> = of_lines.chain(&invoice.discounts).collect();
    let coupon_amount = |own: &DiscountAmount| {
        let discount = known.iter().find(|known| known.id == own.discount)?;
        Some(CouponAmount {
            amount: own.amount,
            coupon: discount.coupon.clone(),
            promotion_code: discount.promotion_code.clone(),
        })
    };
    let sum = |amounts: &mut dyn Iterator<Item = i64>| -> Result<i64, Refusal> {
        let sum = amounts.map(i128::from).sum::<i128>();
        Ok(i64::try_from(sum).map_err(|_| ArithmeticError::Overflow)?)
    };
    let (discounts, taxes) = (&invoice.total_discount_amounts, &invoice.total_taxes);
    Ok(QuoteAmounts {
        amount_subtotal: sum(&mut view.lines.iter().map(|line| line.amount))?,
        amount_total: invoice.total,
        total_details: TotalDetails {
            amount_discount: sum(&mut discounts.iter().map(|own| own.amount))?,
            amount_tax: sum(&mut taxes.iter().map(|own| own.amount))?,
            breakdown: QuoteBreakdown {
                discounts: discounts.iter().filter_map(coupon_amount).collect(),
                taxes: taxes.clone(),
            },
        },
    })
}
