//! Discounts and tax rates of phases: agreed on when the phases are planned (rules 4.1 and 7).

use super::super::discount::{Place, Planned};
use super::super::tx::Tx;
use super::phase::planned_by;
use counterfoil_billing::catalog::PriceId;
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::discount::{Discount, DiscountInput, DiscountList};
use counterfoil_billing::schedule::{
    Phase, PhaseInput, SubscriptionSchedule, SubscriptionScheduleId,
};
use counterfoil_billing::subscription::{Prices, Subscription};
use counterfoil_billing::{Patch, tax};
use counterfoil_core::{Currency, Refusal};

/// A discount on the invoices of a phase, or on the item at a price.
type Held = (Option<PriceId>, Discount);

/// The discounts that the phases of a schedule may go on with.
struct Earlier {
    /// Those that may be kept by their ids.
    known: Vec<Discount>,
    /// Those that are there when the phase begins that is planned next.
    there: Vec<Held>,
    /// Those that were redeemed for phases that have not begun, and are not planned again yet.
    waiting: Vec<Held>,
}

impl Tx<'_> {
    /// What the next phase of a schedule says, agreed on when it was planned.
    pub(in crate::decide) fn planned_next(
        &self,
        schedule: &SubscriptionScheduleId,
    ) -> Result<Planned, Refusal> {
        let next = self.state.schedule(schedule)?.next_phase();
        Ok(next.map(planned_by).unwrap_or_default())
    }

    /// Redeems what the phases that a caller sent say, and looks at their tax rates. What is promised
    /// for a later phase is kept whatever becomes of its coupon until then.
    pub(in crate::decide) fn plan_terms(
        &mut self,
        schedule: &mut SubscriptionSchedule,
        inputs: &[PhaseInput],
        before: Option<&SubscriptionSchedule>,
        agreed: &[tax::TaxRateId],
    ) -> Result<(), Refusal> {
        let mut earlier = self.earlier_discounts(schedule, before)?;
        let rates = before.into_iter().flat_map(|before| &before.phases);
        let rates = rates.flat_map(Phase::all_tax_rates).chain(agreed);
        let rates: Vec<_> = rates.cloned().collect();
        let runs = before.is_some_and(|before| before.current_phase().is_some());
        let first = schedule.phases.len().saturating_sub(inputs.len());
        for (n, (phase, input)) in schedule.phases.iter_mut().skip(first).zip(inputs).enumerate() {
            self.check_rates(phase, n, &rates)?;
            let (begins, running) = (!runs && n == 0, runs && n == 0);
            if running {
                // It was charged when the phase began.
                phase.add_invoice_items.iter_mut().for_each(|item| item.discounts.clear());
            }
            self.plan_phase(phase, (n, input), &schedule.customer, (&mut earlier, begins))?;
            earlier.there = after_phase(std::mem::take(&mut earlier.there), phase);
        }
        Ok(())
    }

    fn check_rates(
        &self,
        phase: &Phase,
        n: usize,
        before: &[tax::TaxRateId],
    ) -> Result<(), Refusal> {
        let check = |field: String, rates: &[tax::TaxRateId]| {
            tax::check_tax_rates(&format!("phases[{n}].{field}"), rates, before, &self.state)
        };
        check("default_tax_rates".to_owned(), phase.default_tax_rates.as_deref().unwrap_or(&[]))?;
        for (index, item) in phase.items.iter().enumerate() {
            let own = item.tax_rates.as_deref().unwrap_or_default();
            check(format!("items[{index}].tax_rates"), own)?;
        }
        for (index, item) in phase.add_invoice_items.iter().enumerate() {
            check(format!("add_invoice_items[{index}].tax_rates"), &item.tax_rates)?;
        }
        Ok(())
    }

    fn earlier_discounts(
        &self,
        schedule: &SubscriptionSchedule,
        before: Option<&SubscriptionSchedule>,
    ) -> Result<Earlier, Refusal> {
        let customer = self.state.customer(&schedule.customer)?;
        let mut known: Vec<Discount> = customer.discount.iter().cloned().collect();
        let (mut there, mut waiting) = (Vec::new(), Vec::new());
        if let Some(before) = before {
            there.extend(before.current_phase().into_iter().flat_map(held_by));
            if let Some(id) = &before.subscription {
                there.extend(on(self.state.subscription(id)?));
            }
            let begun: Vec<_> = there.iter().map(|(_, own)| own.id.clone()).collect();
            let future = before.future_phases().iter().flat_map(held_by);
            let future = future.filter(|(_, own)| !begun.contains(&own.id));
            for held in future {
                // One that goes on over several phases is one discount.
                if waiting.iter().all(|(_, own): &Held| own.id != held.1.id) {
                    waiting.push(held);
                }
            }
            known.extend(there.iter().chain(&waiting).map(|(_, own)| own.clone()));
        }
        Ok(Earlier { known, there, waiting })
    }

    fn plan_phase(
        &mut self,
        phase: &mut Phase,
        (n, input): (usize, &PhaseInput),
        customer: &CustomerId,
        (earlier, begins): (&mut Earlier, bool),
    ) -> Result<(), Refusal> {
        let currency = self.currency_of_phase(phase)?;
        let items = phase.items.iter().map(|item| (&item.price, item.quantity));
        // A code with a least amount is for what begins now (rule 4.1).
        let amount = match begins && phase.start_date <= self.at() {
            true => Some(self.amount_of(items, currency)?),
            false => None,
        };
        let (start, currency) = (phase.start_date, Some(currency));
        let place =
            |amount| Place { param: "", customer, currency, start, there: Vec::new(), amount };
        let path = |field: String| format!("phases[{n}].{field}");
        let param = path("discounts".to_owned());
        let own = Place { param: &param, ..place(amount) };
        phase.discounts = self.plan_list(&input.discounts, own, earlier, None)?;
        for (index, (item, input)) in phase.items.iter_mut().zip(&input.items).enumerate() {
            let param = path(format!("items[{index}].discounts"));
            let own = Place { param: &param, ..place(None) };
            item.discounts = self.plan_list(&input.discounts, own, earlier, Some(&item.price))?;
        }
        for (index, item) in phase.add_invoice_items.iter_mut().enumerate() {
            let param = path(format!("add_invoice_items[{index}].discounts"));
            let there = earlier.known.clone();
            let own = Place { param: &param, there, ..place(None) };
            let own = self.discounts(&item.discounts, &own)?;
            let named = own.iter().map(|own| DiscountInput::discount(own.id.clone()));
            item.discounts = named.collect();
            phase.once_discounts.extend(own);
        }
        Ok(())
    }

    fn currency_of_phase(&self, phase: &Phase) -> Result<Currency, Refusal> {
        match (phase.currency, phase.items.first()) {
            (Some(currency), _) => Ok(currency),
            (None, Some(first)) => Ok(self.state.price(&first.price)?.currency),
            (None, None) => Err(Refusal::missing("items")),
        }
    }

    /// The discounts of a list: a coupon or code that is there already goes on, one that was redeemed
    /// for a phase that was planned before is moved, and the others are redeemed.
    fn plan_list(
        &mut self,
        list: &DiscountList,
        mut place: Place<'_>,
        earlier: &mut Earlier,
        on: Option<&PriceId>,
    ) -> Result<Option<Vec<Discount>>, Refusal> {
        let inputs = match list {
            Patch::Keep => return Ok(None),
            Patch::Clear => return Ok(Some(Vec::new())),
            Patch::Set(inputs) if inputs.is_empty() => return Ok(None),
            Patch::Set(inputs) => inputs,
        };
        let mut given = Vec::with_capacity(inputs.len());
        for input in inputs {
            let same = |(price, own): &Held| {
                let named = match (&input.coupon, &input.promotion_code) {
                    (Some(coupon), None) => own.coupon == *coupon && own.promotion_code.is_none(),
                    (None, Some(code)) => own.promotion_code.as_ref() == Some(code),
                    _ => false,
                };
                named && price.as_ref() == on
            };
            let mut found = earlier.there.iter().find(|held| same(held)).cloned();
            if found.is_none()
                && let Some(index) = earlier.waiting.iter().position(same)
            {
                let (price, own) = earlier.waiting.remove(index);
                let coupon = self.state.coupon(&own.coupon)?;
                let start = (place.start, self.state.zone_of(place.customer));
                let own = Discount::of(coupon, own.promotion_code, own.id, start)?;
                found = Some((price, own));
            }
            given.push(match found {
                Some((_, own)) => {
                    let input = DiscountInput::discount(own.id.clone());
                    place.there.push(own);
                    input
                }
                None => input.clone(),
            });
        }
        place.there.extend(earlier.there.iter().map(|(_, own)| own.clone()));
        place.there.extend(earlier.known.iter().cloned());
        self.discounts(&given, &place).map(Some)
    }
}

/// The discounts that a phase says.
fn held_by(phase: &Phase) -> Vec<Held> {
    let own = phase.discounts.iter().flatten().map(|own| (None, own.clone()));
    let of_items = phase.items.iter().flat_map(|item| {
        let own = item.discounts.iter().flatten();
        own.map(|own| (Some(item.price.clone()), own.clone()))
    });
    own.chain(of_items).collect()
}

/// The discounts on a subscription.
fn on(subscription: &Subscription) -> Vec<Held> {
    let own = subscription.discounts.iter().map(|own| (None, own.clone()));
    let of_items = subscription
        .items
        .iter()
        .flat_map(|item| item.discounts.iter().map(|own| (Some(item.price.clone()), own.clone())));
    own.chain(of_items).collect()
}

/// The discounts that are there after a phase: what it says, and what it leaves as it is.
fn after_phase(there: Vec<Held>, phase: &Phase) -> Vec<Held> {
    let stays = |(price, _): &Held| match price {
        None => phase.discounts.is_none(),
        Some(price) => {
            let item = phase.items.iter().find(|item| item.price == *price);
            item.is_some_and(|item| item.discounts.is_none())
        }
    };
    let mut after: Vec<Held> = there.into_iter().filter(stays).collect();
    after.extend(held_by(phase));
    after
}
