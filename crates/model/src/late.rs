//! Usage that came after the invoice of its period was finalized (rule 12.8).

use crate::threshold::is_of_threshold;
use crate::{State, UsageSource};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::discount::in_force;
use counterfoil_billing::invoice::{Derivation, Invoice, Line, Numbered, UsageCharge};
use counterfoil_billing::policy::LateUsage;
use counterfoil_billing::subscription::{Subscription, late_usage_line};
use counterfoil_core::{Currency, Decimal12, Refusal, Timestamp, limits};
use std::sync::Arc;

impl State {
    /// The periods of a subscription that were billed and that usage may have come for since its
    /// latest invoice: an event is taken for so many days.
    pub(crate) fn billed_usage(
        &self,
        subscription: &Subscription,
    ) -> Result<Vec<UsageCharge>, Refusal> {
        let since = late_since(subscription)?;
        let mut found: Vec<UsageCharge> = Vec::new();
        for invoice in self.shard(&subscription.customer)?.invoices() {
            // What was billed before the end of a period is billed again at its end.
            let is_own = invoice.subscription.as_ref() == Some(&subscription.id);
            if !is_own || !invoice.counts() || is_of_threshold(invoice) {
                continue;
            }
            for line in invoice.lines().filter(|line| line.period.end >= since) {
                let Derivation::Metered { reading, .. } = &line.derivation else { continue };
                let (Some(item), Some(price)) = (&line.subscription_item, &line.price) else {
                    continue;
                };
                let own = subscription.item(item).map(|own| own.discounts.as_slice());
                let charge = UsageCharge {
                    // What the item is discounted by now; its tax is that of the period.
                    discounts: in_force(own.unwrap_or_default(), self.now.unwrap_or(since)),
                    tax_rates: line.tax_rates.clone(),
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
        let final_ones = |invoice: &&Invoice| invoice.counts() && !is_of_threshold(invoice);
        for invoice in self.shard(customer)?.invoices().into_iter().filter(final_ones) {
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

    /// Whether an invoice to come will take late usage of a period of a subscription.
    #[must_use]
    pub fn takes_late_usage(&self, subscription: &Subscription, period_end: Timestamp) -> bool {
        self.settings.policies.late_usage != LateUsage::Ignore
            && !subscription.is_ended()
            && late_since(subscription).is_ok_and(|since| period_end >= since)
    }
}

fn late_since(subscription: &Subscription) -> Result<Timestamp, Refusal> {
    let back = 0_i64.saturating_sub(limits::METER_EVENT_PAST_SECONDS_MAX);
    Ok(subscription.current_period().start.checked_add_seconds(back)?)
}
