//! Usage that is invoiced before its period is over (rule 6.13).

use crate::closed::trace;
use crate::view::Provisional;
use crate::{State, UsageSource};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::discount::{Discount, in_force};
use counterfoil_billing::invoice::{
    Derivation, Invoice, InvoiceId, InvoiceStatus, ItemReason, Line, Numbered, ThresholdReason,
    UsageCharge,
};
use counterfoil_billing::subscription::{
    Subscription, SubscriptionEvent, previously_billed_line, until, usage_lines,
};
use counterfoil_core::{Currency, Decimal12, Refusal, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What an invoice charged for the usage of a period so far.
struct Billed {
    invoice: InvoiceId,
    quantity: Decimal12,
    lines: Vec<Arc<Line>>,
}

/// Usage of an item that no invoice has billed yet.
pub(crate) struct Accrued {
    pub(crate) charge: UsageCharge,
    /// How much was used since.
    pub(crate) quantity: Decimal12,
    /// What all usage of the period costs, less what was billed for it, in minor units.
    pub(crate) amount: i64,
}

impl State {
    /// Whether usage of a customer may reach a threshold: whether it ever had one.
    #[must_use]
    pub fn has_thresholds(&self, customer: &CustomerId) -> bool {
        self.thresholds.contains(customer)
    }

    /// Whether usage of anybody may reach a threshold.
    #[must_use]
    pub fn knows_thresholds(&self) -> bool {
        !self.thresholds.is_empty()
    }

    /// Remembers who has a threshold.
    pub(crate) fn apply_thresholds(&mut self, event: &SubscriptionEvent) {
        let (SubscriptionEvent::Created(own)
        | SubscriptionEvent::Updated { subscription: own, .. }) = event
        else {
            return;
        };
        if own.has_thresholds() && !self.thresholds.contains(&own.customer) {
            self.thresholds.insert_mut(own.customer.clone());
        }
    }

    /// The lines for the usage of a period up to now: the price at all of it, and where an invoice
    /// of the same period billed some before, what that came to.
    pub(crate) fn lines_of_usage(
        &self,
        charge: &UsageCharge,
        (customer, currency, shared): (&CustomerId, Currency, &[Discount]),
        usage: &dyn UsageSource,
        ids: &mut dyn Numbered,
    ) -> Result<Vec<Line>, Refusal> {
        let product = self.named_price(&charge.price)?;
        let reading = usage.usage(&charge.meter, customer, charge.period, product.0)?;
        let policies = &self.settings.policies;
        let mut lines = usage_lines(charge, product, currency, &reading, policies, ids)?;
        if let Some(billed) = self.billed_so_far(charge, customer)? {
            let spared = |own: &&Discount| charge.spared_discounts.contains(&own.id);
            let shared = shared.iter().filter(|own| !spared(own));
            let applied = shared.chain(&charge.discounts);
            let applied: BTreeSet<_> = applied.map(|discount| &discount.id).collect();
            let (mut amount, mut discounted) = (0_i64, 0_i64);
            let beyond = || Refusal::too_large(format!("usage of {}", charge.price), i64::MAX);
            for line in &billed.lines {
                amount = amount.checked_add(line.amount).ok_or_else(beyond)?;
                for own in &line.discount_amounts {
                    if applied.contains(&own.discount) {
                        discounted = discounted.checked_add(own.amount).ok_or_else(beyond)?;
                    }
                }
            }
            let (invoice, quantity) = (billed.invoice, billed.quantity);
            let taken_back = discounted.checked_sub(amount).ok_or_else(beyond)?;
            let how = Derivation::PreviouslyBilled { invoice, quantity, amount, discounted };
            let terms = (taken_back, quantity);
            lines.push(previously_billed_line(charge, product.1, terms, how, ids));
        }
        Ok(lines)
    }

    /// The latest invoice that billed usage of a period before its end: of the same price of an
    /// item, from the same second on. One that was voided counts: what it billed is not billed
    /// again by itself (rule 8.7).
    fn billed_so_far(
        &self,
        charge: &UsageCharge,
        customer: &CustomerId,
    ) -> Result<Option<Billed>, Refusal> {
        if !self.has_thresholds(customer) {
            return Ok(None);
        }
        let is_own = |line: &&Arc<Line>| {
            matches!(line.derivation, Derivation::Metered { .. })
                && line.subscription_item.as_ref() == Some(&charge.subscription_item)
                && line.price.as_ref() == Some(&charge.price)
                && line.period.start == charge.period.start
        };
        let trace = trace(&charge.subscription_item, &charge.price, charge.period.start);
        let invoices = self.shard(customer)?.invoices.with_heads(move |head| {
            head.bills_ahead_of_period_end()
                && head.status != InvoiceStatus::Draft
                && head.may_have(trace)
        });
        let billed = |invoice: &Arc<Invoice>| invoice.lines().any(|line| is_own(&line));
        let latest = invoices.filter(|own| billed(own)).max_by_key(|invoice| invoice.seq);
        Ok(latest.map(|invoice| {
            let lines: Vec<_> = invoice.lines().filter(is_own).cloned().collect();
            let reading = lines.first().and_then(|line| line.derivation.reading());
            let quantity = reading.map_or(Decimal12::ZERO, |reading| reading.quantity);
            let quantity = quantity.max(Decimal12::ZERO);
            Billed { invoice: invoice.id.clone(), quantity, lines }
        }))
    }

    /// What the metered items of a subscription used by now and no invoice has billed, the second
    /// that runs included.
    pub(crate) fn accrued(
        &self,
        subscription: &Subscription,
        usage: &dyn UsageSource,
        at: Timestamp,
    ) -> Result<Vec<Accrued>, Refusal> {
        let mut accrued = Vec::new();
        let (customer, currency) = (&subscription.customer, subscription.currency);
        let policies = &self.settings.policies;
        for item in &subscription.items {
            let product = self.named_price(&item.price)?;
            let Some(meter) = product.0.meter() else { continue };
            let charge = UsageCharge {
                subscription_item: item.id.clone(),
                price: item.price.clone(),
                meter: meter.clone(),
                period: until(item.usage_period(), Some(at.checked_add_seconds(1)?)),
                discounts: in_force(&item.discounts, at),
                tax_rates: item.tax_rates.clone(),
                spared_discounts: Vec::new(),
            };
            if charge.period.is_empty() {
                continue;
            }
            let reading = usage.usage(meter, customer, charge.period, product.0)?;
            let billed = self.billed_so_far(&charge, customer)?;
            let before = billed.as_ref().map_or(Decimal12::ZERO, |billed| billed.quantity);
            let quantity = reading.quantity.max(Decimal12::ZERO).checked_sub(before)?;
            if quantity == Decimal12::ZERO {
                continue;
            }
            let beyond = || Refusal::too_large(format!("usage of {}", charge.price), i64::MAX);
            let mut ids = Provisional::default();
            let all = usage_lines(&charge, product, currency, &reading, policies, &mut ids)?;
            let mut amount = 0_i64;
            for line in &all {
                amount = amount.checked_add(line.amount).ok_or_else(beyond)?;
            }
            for line in billed.iter().flat_map(|billed| &billed.lines) {
                amount = amount.checked_sub(line.amount).ok_or_else(beyond)?;
            }
            accrued.push(Accrued { charge, quantity, amount });
        }
        Ok(accrued)
    }
}

/// The thresholds of a subscription and its items that what accrued reaches, if it does any.
pub(crate) fn reached(subscription: &Subscription, accrued: &[Accrued]) -> Option<ThresholdReason> {
    let sum: i128 = accrued.iter().map(|own| i128::from(own.amount)).sum();
    let amount = subscription.billing_thresholds.and_then(|thresholds| thresholds.amount_gte);
    let of_item = |own: &Accrued| {
        let item = subscription.item(&own.charge.subscription_item)?;
        let usage_gte = item.billing_thresholds?.usage_gte?;
        let is_reached = own.quantity >= Decimal12::from_int(usage_gte);
        is_reached.then(|| ItemReason { subscription_item: item.id.clone(), usage_gte })
    };
    let reason = ThresholdReason {
        amount_gte: amount.filter(|amount| sum >= i128::from(*amount)),
        item_reasons: accrued.iter().filter_map(of_item).collect(),
        began_anew: false,
    };
    Some(reason).filter(|own| own.amount_gte.is_some() || !own.item_reasons.is_empty())
}
