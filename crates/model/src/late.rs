//! Usage that came after the invoice of its period was finalized (rule 12.8).

use crate::closed::{InvoiceHead, trace};
use crate::shard::Shard;
use crate::{State, UsageSource};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::discount::in_force;
use counterfoil_billing::invoice::{
    Derivation, Invoice, InvoiceId, InvoiceStatus, Line, Numbered, UsageCharge, UsageReading,
};
use counterfoil_billing::policy::LateUsage;
use counterfoil_billing::subscription::{Subscription, late_usage_line};
use counterfoil_core::{Currency, Decimal12, Refusal, Timestamp, limits};
use std::sync::Arc;

/// Usage that came for a period after the latest invoice that billed it.
#[derive(Debug, Clone)]
pub(crate) struct Late {
    /// That invoice.
    pub(crate) invoice: InvoiceId,
    /// The usage of the period, on the terms of its lines.
    pub(crate) charge: UsageCharge,
    /// What was used by now.
    pub(crate) reading: UsageReading,
    /// The quantity that was read last when it was billed, and what was billed for it so far.
    pub(crate) billed: (Decimal12, i64),
    /// Whether a part of that is a difference that was billed after the invoice.
    pub(crate) in_parts: bool,
}

impl Late {
    /// Whether a line bills usage of the period, or takes back what was billed before its end.
    pub(crate) fn covers(&self, line: &Line) -> bool {
        line.derivation.is_of_usage() && is_of(line, &self.charge)
    }
}

/// Whether a line is for usage of an item at a price in a period.
fn is_of(line: &Line, charge: &UsageCharge) -> bool {
    line.subscription_item.as_ref() == Some(&charge.subscription_item)
        && line.price.as_ref() == Some(&charge.price)
        && line.period == charge.period
}

/// Whether an invoice that corrects another one bills anew what a line of that billed.
pub(crate) fn is_superseded(shard: &Shard, invoice: &InvoiceId, line: &Line) -> bool {
    let metered = |line: &Line| matches!(line.derivation, Derivation::Metered { .. });
    let same = |other: &Line| {
        metered(other)
            && other.subscription_item == line.subscription_item
            && other.price == line.price
            && other.period == line.period
    };
    line.derivation.is_of_usage()
        && shard.invoices.with_heads(InvoiceHead::corrects).any(|own| {
            own.corrects.as_ref().is_some_and(|correction| correction.invoice == *invoice)
                && own.status != InvoiceStatus::Draft
                && own.lines().any(|other| same(other))
        })
}

impl State {
    /// The periods that usage came for after the latest invoice that billed them, in the order of
    /// these invoices. What was billed by one that was voided is not billed again by itself (rule 8.7).
    pub(crate) fn came_late(
        &self,
        customer: &CustomerId,
        usage: &dyn UsageSource,
        at: Timestamp,
    ) -> Result<Vec<Late>, Refusal> {
        let back = 0_i64.saturating_sub(limits::METER_EVENT_PAST_SECONDS_MAX);
        let since = at.checked_add_seconds(back)?;
        let shard = self.shard(customer)?;
        // What was made before then bills nothing that usage can still come for.
        let invoices = shard.invoices.with_heads(move |head| {
            head.created >= since
                && head.status != InvoiceStatus::Draft
                && head.may_bill_usage_since(since)
                && !head.bills_ahead_of_period_end()
        });
        let mut invoices: Vec<Arc<Invoice>> = invoices.collect();
        invoices.sort_by_key(|invoice| std::cmp::Reverse(invoice.seq));
        let mut billed: Vec<(&Invoice, UsageCharge)> = Vec::new();
        for invoice in &invoices {
            for line in invoice.lines().filter(|line| line.period.end >= since) {
                let Derivation::Metered { reading, .. } = &line.derivation else { continue };
                let (Some(item), Some(price)) = (&line.subscription_item, &line.price) else {
                    continue;
                };
                if !billed.iter().any(|(_, charge)| is_of(line, charge)) {
                    let charge = UsageCharge {
                        subscription_item: item.clone(),
                        price: price.clone(),
                        meter: reading.meter.clone(),
                        period: line.period,
                        discounts: line.discounts.clone(),
                        tax_rates: line.tax_rates.clone(),
                        spared_discounts: line.spared_discounts.clone(),
                    };
                    billed.push((invoice, charge));
                }
            }
        }
        billed.sort_by_key(|(invoice, _)| invoice.seq);
        let mut late = Vec::new();
        for (invoice, charge) in billed.into_iter().filter(|(invoice, _)| invoice.counts()) {
            let (quantity, amount, in_parts) = billed_since(invoice, &invoices, &charge)?;
            let price = self.price(&charge.price)?;
            let reading = usage.usage(&charge.meter, customer, charge.period, price)?;
            if reading.quantity > quantity.max(Decimal12::ZERO) {
                let (invoice, billed) = (invoice.id.clone(), (quantity, amount));
                late.push(Late { invoice, charge, reading, billed, in_parts });
            }
        }
        Ok(late)
    }

    /// The periods of a subscription that were billed and that usage may have come for since its
    /// latest invoice: an event is taken for so many days. They are discounted as their items are at an
    /// instant.
    pub(crate) fn billed_usage(
        &self,
        subscription: &Subscription,
        at: Timestamp,
    ) -> Result<Vec<UsageCharge>, Refusal> {
        let since = late_since(subscription)?;
        let mut found: Vec<UsageCharge> = Vec::new();
        // What was billed before the end of a period is billed again at its end.
        let shard = self.shard(&subscription.customer)?;
        let invoices = shard.invoices.with_heads(|head| {
            head.subscription == Some(&subscription.id)
                && head.counts()
                && head.may_bill_usage_since(since)
                && !head.bills_ahead_of_period_end()
        });
        let mut invoices: Vec<Arc<Invoice>> = invoices.collect();
        invoices.sort_by_key(|invoice| invoice.seq);
        for invoice in invoices {
            for line in invoice.lines().filter(|line| line.period.end >= since) {
                let Derivation::Metered { reading, .. } = &line.derivation else { continue };
                let (Some(item), Some(price)) = (&line.subscription_item, &line.price) else {
                    continue;
                };
                let own = subscription.item(item).map(|own| own.discounts.as_slice());
                let charge = UsageCharge {
                    // What the item is discounted by now; its tax is that of the period.
                    discounts: in_force(own.unwrap_or_default(), at),
                    tax_rates: line.tax_rates.clone(),
                    spared_discounts: Vec::new(),
                    subscription_item: item.clone(),
                    price: price.clone(),
                    meter: reading.meter.clone(),
                    period: line.period,
                };
                let same = |other: &UsageCharge| {
                    (&other.subscription_item, &other.price, other.period)
                        == (&charge.subscription_item, &charge.price, charge.period)
                };
                if !found.iter().any(same) {
                    found.push(charge);
                }
            }
        }
        Ok(found)
    }

    /// The line for the late usage of a period, if there is any.
    pub(crate) fn late_line(
        &self,
        charge: &UsageCharge,
        (customer, currency): (&CustomerId, Currency),
        usage: &dyn UsageSource,
        ids: &mut dyn Numbered,
    ) -> Result<Option<Line>, Refusal> {
        let product = self.named_price(&charge.price)?;
        let reading = usage.usage(&charge.meter, customer, charge.period, product.0)?;
        let billed = self.billed_for(charge, customer)?;
        let policies = &self.settings.policies;
        late_usage_line(charge, product, currency, reading, billed, policies, ids)
    }

    /// What was billed for the usage of a period so far: the quantity that was read last, and the
    /// sum of all lines.
    fn billed_for(
        &self,
        charge: &UsageCharge,
        customer: &CustomerId,
    ) -> Result<(Decimal12, i64), Refusal> {
        let is_own = |line: &&Arc<Line>| {
            line.subscription_item.as_ref() == Some(&charge.subscription_item)
                && line.price.as_ref() == Some(&charge.price)
                && line.period == charge.period
                && !matches!(line.derivation, Derivation::PreviouslyBilled { .. })
        };
        let (mut read, mut quantity, mut amount) = (0, Decimal12::ZERO, 0_i64);
        let trace = trace(&charge.subscription_item, &charge.price, charge.period.start);
        let final_ones = self.shard(customer)?.invoices.with_heads(move |head| {
            head.counts() && head.may_have(trace) && !head.bills_ahead_of_period_end()
        });
        let mut invoices: Vec<Arc<Invoice>> = final_ones.collect();
        invoices.sort_by_key(|invoice| invoice.seq);
        for invoice in invoices {
            for line in invoice.lines().filter(is_own) {
                let limit = || Refusal::too_large(format!("usage of {}", charge.price), i64::MAX);
                amount = amount.checked_add(line.amount).ok_or_else(limit)?;
                if let Some(reading) = line.derivation.reading()
                    && reading.position >= read
                {
                    (read, quantity) = (reading.position, reading.quantity);
                }
            }
        }
        Ok((quantity, amount))
    }

    /// Whether invoices are corrected for late usage.
    #[must_use]
    pub fn corrects_late_usage(&self) -> bool {
        self.settings.policies.late_usage == LateUsage::Correct
    }

    /// Whether an invoice to come will take late usage of a period of a subscription.
    #[must_use]
    pub fn takes_late_usage(&self, subscription: &Subscription, period_end: Timestamp) -> bool {
        self.settings.policies.late_usage == LateUsage::NextInvoice
            && !subscription.is_ended()
            && late_since(subscription).is_ok_and(|since| period_end >= since)
    }
}

/// What an invoice and differences after it billed for a period: the quantity that was read last, the
/// sum, and whether there are differences. A difference that was voided counts: it is not billed again.
fn billed_since(
    invoice: &Invoice,
    invoices: &[Arc<Invoice>],
    charge: &UsageCharge,
) -> Result<(Decimal12, i64, bool), Refusal> {
    let own = invoice.lines().filter(|line| matches!(line.derivation, Derivation::Metered { .. }));
    let later = invoices.iter().filter(|other| other.seq > invoice.seq);
    let later = later.flat_map(|other| other.lines());
    let later = later.filter(|line| matches!(line.derivation, Derivation::Late { .. }));
    let (mut read, mut quantity, mut amount, mut in_parts) = (0, Decimal12::ZERO, 0_i64, false);
    for line in own.chain(later).filter(|line| is_of(line, charge)) {
        let limit = || Refusal::too_large(format!("usage of {}", charge.price), i64::MAX);
        amount = amount.checked_add(line.amount).ok_or_else(limit)?;
        in_parts |= matches!(line.derivation, Derivation::Late { .. });
        if let Some(reading) = line.derivation.reading()
            && reading.position >= read
        {
            (read, quantity) = (reading.position, reading.quantity);
        }
    }
    Ok((quantity, amount, in_parts))
}

fn late_since(subscription: &Subscription) -> Result<Timestamp, Refusal> {
    let back = 0_i64.saturating_sub(limits::METER_EVENT_PAST_SECONDS_MAX);
    Ok(subscription.current_period().start.checked_add_seconds(back)?)
}
