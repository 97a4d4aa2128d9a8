//! The periods of a subscription: what ends, what begins, and what both charge.

use super::super::tx::Tx;
use counterfoil_billing::discount::{Discount, in_force};
use counterfoil_billing::invoice::{
    BillingReason, Charge, Derivation, Invoice, InvoiceId, Line, Numbered, UsageCharge,
};
use counterfoil_billing::policy::LateUsage;
use counterfoil_billing::subscription::{
    Subscription, SubscriptionEvent, SubscriptionId, SubscriptionItem, SubscriptionItemId, Updated,
    item_lines, rolled_periods, until, whole_of,
};
use counterfoil_core::{Decimal12, Period, Refusal, limits};

impl Tx<'_> {
    /// The end of a period, and of a trial: items whose period ended begin their next one, and a
    /// draft bills the usage of the old periods and the licences of the new ones (rules 3.3, 8.5).
    pub(in crate::decide) fn renew(&mut self, id: &SubscriptionId) -> Result<(), Refusal> {
        self.renew_after(id, None)
    }

    /// The same, where a phase begins with the periods: usage of those that end has the discounts of
    /// the subscription as it was until then, and the tax rates of the phase (rule 7).
    pub(in crate::decide) fn renew_after(
        &mut self,
        id: &SubscriptionId,
        was: Option<&Subscription>,
    ) -> Result<(), Refusal> {
        let before = self.state.shared_subscription(id)?;
        let boundary = before.current_period().end;
        let trial_ended = before.is_in_trial();
        if trial_ended && !self.goes_on_after_trial(&before)? {
            return Ok(());
        }
        let interval = |item: &SubscriptionItem| {
            self.state.price(&item.price).ok().and_then(|price| price.interval())
        };
        let periods = rolled_periods(&before, boundary, interval)?;
        let mut usage = self.usage_charges(&before, |item| item.period.end <= boundary)?;
        if let Some(was) = was {
            self.discount_as_before(&mut usage, was, &before)?;
        }
        self.emit(SubscriptionEvent::Renewed {
            customer: before.customer.clone(),
            id: id.clone(),
            at: self.at(),
            periods: periods.clone(),
            trial_ended,
        });
        let renewed = self.state.subscription(id)?.clone();
        let lines = self.advance_lines(&renewed, &periods)?;
        let own = in_item_order(&renewed, usage, lines);
        let mut charges = self.sweep(&renewed.customer, renewed.currency, Some(&renewed.id))?;
        if own.is_empty() && charges.is_empty() {
            return Ok(());
        }
        charges.extend(own);
        self.draft_for_period(&renewed, before.current_period(), charges)?;
        Ok(())
    }

    /// A boundary at which a phase put other items in the place of all that there were, so that no
    /// period is renewed: what they leave and what the new ones begin with is invoiced as by a renewal.
    pub(in crate::decide) fn bill_replaced_items(
        &mut self,
        id: &SubscriptionId,
        was: &Subscription,
    ) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?.clone();
        if !subscription.is_billed() {
            return Ok(());
        }
        let mut charges = self.sweep(&subscription.customer, subscription.currency, Some(id))?;
        charges.extend(self.usage_charges(&subscription, |_| false)?);
        if !charges.is_empty() {
            self.draft_for_period(&subscription, was.current_period(), charges)?;
        }
        Ok(())
    }

    /// The end of an interval at which what waits is invoiced: a draft, where anything waits and the
    /// subscription is billed at all (rule 6.1).
    pub(in crate::decide) fn bill_pending_items(
        &mut self,
        id: &SubscriptionId,
    ) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?.clone();
        let Some(own) = subscription.pending_item_interval else { return Ok(()) };
        let (customer, at) = (subscription.customer.clone(), self.at());
        let next = own.next_after(at)?;
        self.emit(SubscriptionEvent::PendingItemsDue { customer, id: id.clone(), at, next });
        let charges = self.sweep(&subscription.customer, subscription.currency, Some(id))?;
        if !subscription.is_billed() || charges.is_empty() {
            return Ok(());
        }
        let period = own.period_until(at)?;
        let finalizes_at = at.checked_add_seconds(limits::INVOICE_DRAFT_SECONDS)?;
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::AutomaticPendingInvoiceItemInvoice;
            invoice.period = period;
            invoice.auto_advance = true;
            invoice.finalizes_at = Some(finalizes_at);
        };
        self.draft_for_subscription(&subscription, fill, charges)?;
        Ok(())
    }

    /// Gives usage the discounts that its subscription had, instead of those that it has now. What a
    /// change closed has them already, and late usage has its own.
    fn discount_as_before(
        &self,
        usage: &mut [Charge],
        was: &Subscription,
        now: &Subscription,
    ) -> Result<(), Refusal> {
        let (old, new) = self.discounts_of_phases(was, now)?;
        for charge in usage {
            let Charge::Usage(charge) = charge else { continue };
            if now.closed_usage.iter().any(|waiting| waiting.charge == **charge) {
                continue;
            }
            let Some(item) = was.item(&charge.subscription_item) else { continue };
            charge.discounts = in_force(&item.discounts, self.at());
            keep_discounts(charge, &old, &new);
        }
        Ok(())
    }

    /// The same for usage that a change closed, or ended with its item, where a phase begins with that.
    pub(super) fn discount_closed_usage(
        &self,
        was: &Subscription,
        updated: &mut Updated,
    ) -> Result<(), Refusal> {
        let (old, new) = self.discounts_of_phases(was, &updated.subscription)?;
        let closed = updated.subscription.closed_usage.iter_mut().map(|usage| &mut usage.charge);
        for charge in closed.chain(&mut updated.removed_usage) {
            keep_discounts(charge, &old, &new);
        }
        Ok(())
    }

    /// The discounts on the invoices of a subscription as it was and as it is now.
    fn discounts_of_phases(
        &self,
        was: &Subscription,
        now: &Subscription,
    ) -> Result<(Vec<Discount>, Vec<Discount>), Refusal> {
        let of = |own| self.state.shared_discounts(own, self.at());
        Ok((of(was)?, of(now)?))
    }

    pub(in crate::decide) fn draft_for_period(
        &mut self,
        subscription: &Subscription,
        period: Period,
        charges: Vec<Charge>,
    ) -> Result<InvoiceId, Refusal> {
        let finalizes_at = self.at().checked_add_seconds(limits::INVOICE_DRAFT_SECONDS)?;
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::SubscriptionCycle;
            invoice.period = period;
            invoice.auto_advance = true;
            invoice.finalizes_at = Some(finalizes_at);
        };
        self.draft_for_subscription(subscription, fill, charges)
    }

    /// The lines of licensed items for periods that begin: free in a trial, in part for a stub.
    pub(in crate::decide) fn advance_lines(
        &self,
        subscription: &Subscription,
        periods: &[(SubscriptionItemId, Period)],
    ) -> Result<Vec<Line>, Refusal> {
        // The invoice that will hold these lines is the next object to be created.
        let mut numbers = self.numbers(&subscription.customer, self.next_seq(), 0)?;
        let mut lines = Vec::new();
        for (id, period) in periods {
            let Some(item) = subscription.item(id) else { continue };
            let (price, name) = self.state.named_price(&item.price)?;
            if price.meter().is_some() {
                continue;
            }
            if subscription.is_in_trial() {
                lines.push(trial_line(item, name, *period, &mut numbers));
                continue;
            }
            let policies = &self.state.settings.policies;
            let mut whole = whole_of(subscription, price, *period, policies)?;
            // A stub is free where that was asked for, but only the first period can be one. A first
            // period that an agreed end shortens is charged in full then (rule 6.10).
            if subscription.free_stub {
                let anchor = &subscription.anchor;
                let boundary = price.interval().map(|every| anchor.period_at(every, period.start));
                if boundary.transpose()?.is_some_and(|whole| whole.start != period.start) {
                    continue;
                }
                if self.at() == subscription.created {
                    whole = *period;
                }
            }
            let periods = (*period, whole, subscription.anchor.zone);
            let product = (price, name);
            let currency = subscription.currency;
            let stub = *period != whole;
            let nets =
                if stub { self.state.net_amounts(subscription, self.at())? } else { Vec::new() };
            let net = nets.iter().find(|(own, _)| own == id).map(|(_, net)| net);
            let own = item_lines(item, product, currency, periods, net, policies, &mut numbers)?;
            lines.extend(own.into_iter().map(|line| self.with_terms(line, item)));
        }
        Ok(lines)
    }

    /// A line with the discounts and tax rates of the item that it charges.
    pub(in crate::decide) fn with_terms(&self, line: Line, item: &SubscriptionItem) -> Line {
        let (discounts, tax_rates) = (in_force(&item.discounts, self.at()), item.tax_rates.clone());
        Line { discounts, tax_rates, ..line }
    }

    /// The usage of metered items up to now; that of a trial or a pause is not billed (rules 6.8
    /// and 6.15).
    pub(in crate::decide) fn usage_charges(
        &self,
        subscription: &Subscription,
        bills: impl Fn(&SubscriptionItem) -> bool,
    ) -> Result<Vec<Charge>, Refusal> {
        let mut charges = self.closed_usage(subscription);
        if !subscription.bills_usage() {
            return Ok(charges);
        }
        for item in subscription.items.iter().filter(|item| bills(item)) {
            let price = self.state.price(&item.price)?;
            let Some(meter) = price.meter() else { continue };
            // A price that began at this very instant, or a second that a threshold billed (rules 6.7
            // and 6.13): no time has passed.
            if item.usage_since.is_some_and(|since| since >= self.at()) {
                continue;
            }
            charges.push(Charge::from(UsageCharge {
                subscription_item: item.id.clone(),
                price: item.price.clone(),
                meter: meter.clone(),
                period: until(item.usage_period(), Some(self.at())),
                discounts: in_force(&item.discounts, self.at()),
                tax_rates: item.tax_rates.clone(),
                spared_discounts: Vec::new(),
            }));
        }
        charges.extend(self.late_charges(subscription)?);
        Ok(charges)
    }

    /// The periods that were billed, for which more usage has come since, where the book's policy
    /// is to bill it (rule 12.8).
    fn late_charges(&self, subscription: &Subscription) -> Result<Vec<Charge>, Refusal> {
        let mut charges = Vec::new();
        if self.state.settings.policies.late_usage != LateUsage::NextInvoice {
            return Ok(charges);
        }
        for charge in self.state.billed_usage(subscription, self.at())? {
            let mut numbers = self.numbers(&subscription.customer, self.next_seq(), 0)?;
            let place = (&subscription.customer, subscription.currency);
            let line = self.state.late_line(&charge, place, self.context.usage, &mut numbers)?;
            if line.is_some() {
                charges.push(Charge::LateUsage(Box::new(charge)));
            }
        }
        Ok(charges)
    }

    /// The usage that waits since a change ended its period (rule 6.7).
    pub(in crate::decide) fn closed_usage(&self, subscription: &Subscription) -> Vec<Charge> {
        let waiting = subscription.closed_usage.iter().filter(|usage| !usage.dropped);
        waiting.map(|usage| Charge::from(usage.charge.clone())).collect()
    }
}

fn trial_line(item: &SubscriptionItem, name: &str, period: Period, ids: &mut dyn Numbered) -> Line {
    Line {
        quantity: Decimal12::from_int(item.quantity.unwrap_or(1)),
        unit_amount: Some(Decimal12::ZERO),
        price: Some(item.price.clone()),
        subscription_item: Some(item.id.clone()),
        ..Line::new(ids.line(), format!("Trial of {name}"), 0, period, Derivation::Trial)
    }
}

/// The charges of a renewal in the order of the items (rule 8.5).
pub(super) fn in_item_order(
    subscription: &Subscription,
    usage: Vec<Charge>,
    lines: Vec<Line>,
) -> Vec<Charge> {
    let mut charges: Vec<Charge> = usage;
    charges.extend(lines.into_iter().map(Charge::from));
    let place = |charge: &Charge| {
        let item = match charge {
            Charge::Line(line) => line.subscription_item.as_ref(),
            Charge::Usage(usage) | Charge::LateUsage(usage) => Some(&usage.subscription_item),
            Charge::Item(_) => None,
        };
        subscription.items.iter().position(|other| Some(&other.id) == item)
    };
    charges.sort_by_key(place);
    charges
}

/// Lets usage keep the discounts that its invoices had, where others take their place: those that are
/// over become its own, and those that begin do not apply to it.
fn keep_discounts(charge: &mut UsageCharge, old: &[Discount], new: &[Discount]) {
    let is_in = |list: &[Discount], own: &Discount| list.iter().any(|has| has.id == own.id);
    let had = old.iter().filter(|own| !charge.spared_discounts.contains(&own.id));
    let had: Vec<Discount> = had.cloned().collect();
    let spared = new.iter().filter(|own| !is_in(&had, own));
    charge.spared_discounts = spared.map(|own| own.id.clone()).collect();
    let over = had.into_iter().filter(|own| !is_in(new, own));
    charge.discounts.extend(over);
}
