//! From lines to totals: discounts, then tax (rules 4.3, 5 and 8.4). One computation for a draft that
//! is read, for a preview, and for an invoice that is fixed.

use super::{Invoice, Line, ShippingCost};
use crate::discount::{CouponDuration, Discount, DiscountAmount, DiscountId, Terms, shares};
use crate::tax::{TaxAmount, TaxExempt, TaxRate, TaxRateId, TaxRounding, Taxes};
use counterfoil_core::{ArithmeticError, Refusal};
use std::sync::Arc;

/// What an invoice comes to before the customer's balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// The lines, with what discounts and taxes make of each.
    pub lines: Vec<Arc<Line>>,
    /// Σ of the lines less the discounts of the lines themselves.
    pub subtotal: i64,
    /// `subtotal` less the discounts of the invoice and the waived tax, with the tax on top and
    /// shipping.
    pub total: i64,
    /// What each discount takes off all lines, in the order of application; none is 0.
    pub total_discount_amounts: Vec<DiscountAmount>,
    /// What each tax rate takes of all lines and of shipping, in the order in which they name them.
    pub total_taxes: Vec<TaxAmount>,
    /// What it charges for shipping, with what taxes make of it.
    pub shipping_cost: Option<ShippingCost>,
    /// The discounts that this invoice uses up: those for one invoice that took something off it
    /// (point 31).
    pub used_up: Vec<DiscountId>,
}

/// A line in the making.
struct Working {
    line: Arc<Line>,
    /// What discounts left of its amount.
    rest: i64,
    discounts: Vec<DiscountAmount>,
    taxes: Vec<TaxAmount>,
}

/// Computes an invoice of these lines.
///
/// # Errors
/// [`Refusal::ResourceMissing`] for an unknown coupon or tax rate, [`Refusal::AmountTooLarge`] where an
/// amount is out of range.
pub fn compute(
    invoice: &Invoice,
    lines: Vec<Arc<Line>>,
    exempt: TaxExempt,
    rounding: TaxRounding,
    terms: &dyn Terms,
) -> Result<Totals, Refusal> {
    let mut working = Vec::with_capacity(lines.len());
    for line in lines {
        // A proration may come with what discounts took off it when it was made.
        let discounts = line.discount_amounts.clone();
        let rest = less(line.amount, &discounts)?;
        working.push(Working { line, rest, discounts, taxes: Vec::new() });
    }
    let own = own_discounts(&working);
    for discount in &own {
        let has = |line: &Line| line.discounts.iter().any(|own| own.id == discount.id);
        take_off(discount, &mut working, has, invoice, terms)?;
    }
    let shared = |own: &DiscountAmount| invoice.discounts.iter().any(|d| d.id == own.discount);
    // What a proration came with may be a share of a discount of the invoice.
    let later = working.iter().flat_map(|line| &line.discounts).filter(|own| shared(own));
    let subtotal = sum(working.iter().map(|line| line.rest).chain(later.map(|own| own.amount)))?;
    for discount in &invoice.discounts {
        let has = |line: &Line| !line.spared_discounts.contains(&discount.id);
        take_off(discount, &mut working, has, invoice, terms)?;
    }
    let discounted = sum(working.iter().map(|line| line.rest))?;
    let mut taxes = Taxes::new(exempt, rounding);
    tax(&mut working, &invoice.default_tax_rates, &mut taxes, terms)?;
    let shipping_cost = shipping(invoice, &mut taxes, terms)?;
    let on_top = working.iter().flat_map(|line| &line.taxes).map(|tax| {
        let added = if tax.inclusive { 0 } else { tax.amount };
        added.saturating_sub(tax.waived)
    });
    let shipped = shipping_cost.iter().map(ShippingCost::amount_total);
    let total = sum([discounted].into_iter().chain(on_top).chain(shipped))?;
    let total_discount_amounts = total_discounts(&working)?;
    let total_taxes = total_taxes(&working, shipping_cost.as_ref())?;
    let used_up = used_up(&working, own.iter().chain(&invoice.discounts), terms)?;
    let lines = working.into_iter().map(Working::finished).collect();
    Ok(Totals {
        lines,
        subtotal,
        total,
        total_discount_amounts,
        total_taxes,
        shipping_cost,
        used_up,
    })
}

impl Working {
    fn finished(self) -> Arc<Line> {
        let Self { mut line, discounts, taxes, .. } = self;
        if line.discount_amounts != discounts || line.taxes != taxes {
            let line = Arc::make_mut(&mut line);
            (line.discount_amounts, line.taxes) = (discounts, taxes);
        }
        line
    }

    /// Whether discounts apply to it at all (rule 4.3).
    fn is_eligible(&self) -> bool {
        self.line.discountable && !self.line.proration && self.line.amount > 0
    }
}

/// The discounts of the lines themselves, in the order of lines and within them. Several lines of
/// one item share them.
fn own_discounts(lines: &[Working]) -> Vec<Discount> {
    let mut own: Vec<Discount> = Vec::new();
    for discount in lines.iter().flat_map(|line| &line.line.discounts) {
        if own.iter().all(|known| known.id != discount.id) {
            own.push(discount.clone());
        }
    }
    own
}

/// Takes a discount off what is left of the lines that it is for.
fn take_off(
    discount: &Discount,
    lines: &mut [Working],
    is_for: impl Fn(&Line) -> bool,
    invoice: &Invoice,
    terms: &dyn Terms,
) -> Result<(), Refusal> {
    let coupon = terms.coupon(&discount.coupon)?;
    let mut eligible = Vec::new();
    for line in lines.iter_mut().filter(|line| line.is_eligible() && is_for(&line.line)) {
        let product = line.line.price.as_ref().map(|price| terms.product_of(price)).transpose()?;
        if coupon.covers(product) {
            eligible.push(line);
        }
    }
    let rests: Vec<i64> = eligible.iter().map(|line| line.rest).collect();
    // What the invoice that this one corrects keeps of a fixed amount is not there again.
    let kept = invoice.corrects.iter().flat_map(|correction| &correction.taken);
    let kept = kept.filter(|own| own.discount == discount.id).map(|own| own.amount);
    let kept = kept.fold(0, i64::saturating_add);
    let found = shares(&coupon.benefit, invoice.currency, &rests, kept)?;
    let Some(shares) = found else { return Ok(()) };
    for (line, amount) in eligible.into_iter().zip(shares).filter(|(_, amount)| *amount != 0) {
        line.rest = line.rest.checked_sub(amount).ok_or(ArithmeticError::Overflow)?;
        line.discounts.push(DiscountAmount { amount, discount: discount.id.clone() });
    }
    Ok(())
}

fn tax(
    lines: &mut [Working],
    default: &[TaxRateId],
    taxes: &mut Taxes,
    terms: &dyn Terms,
) -> Result<(), Refusal> {
    for line in lines {
        // Rates of the line replace those of the invoice (rule 5, point 33).
        let own = &line.line.tax_rates;
        let rates = if own.is_empty() { default } else { own };
        if rates.is_empty() {
            continue;
        }
        let rates = rates.iter().map(|id| terms.tax_rate(id));
        let rates = rates.collect::<Result<Vec<&TaxRate>, Refusal>>()?;
        line.taxes = taxes.of_line(line.rest, &rates)?;
    }
    Ok(())
}

/// Shipping, taxed after the lines by its own rates.
fn shipping(
    invoice: &Invoice,
    taxes: &mut Taxes,
    terms: &dyn Terms,
) -> Result<Option<ShippingCost>, Refusal> {
    let Some(cost) = &invoice.shipping_cost else { return Ok(None) };
    let rates = cost.tax_rates.iter().map(|id| terms.tax_rate(id));
    let rates = rates.collect::<Result<Vec<&TaxRate>, Refusal>>()?;
    let taxes = taxes.of_line(cost.amount, &rates)?;
    Ok(Some(ShippingCost { taxes, ..cost.clone() }))
}

fn total_discounts(lines: &[Working]) -> Result<Vec<DiscountAmount>, ArithmeticError> {
    let mut totals: Vec<DiscountAmount> = Vec::new();
    for own in lines.iter().flat_map(|line| &line.discounts) {
        match totals.iter_mut().find(|total| total.discount == own.discount) {
            Some(total) => total.amount = add(total.amount, own.amount)?,
            None => totals.push(own.clone()),
        }
    }
    Ok(totals)
}

fn total_taxes(
    lines: &[Working],
    shipping: Option<&ShippingCost>,
) -> Result<Vec<TaxAmount>, ArithmeticError> {
    let mut totals: Vec<TaxAmount> = Vec::new();
    let of_shipping = shipping.into_iter().flat_map(|cost| &cost.taxes);
    for own in lines.iter().flat_map(|line| &line.taxes).chain(of_shipping) {
        match totals.iter_mut().find(|total| total.tax_rate == own.tax_rate) {
            Some(total) => {
                total.amount = add(total.amount, own.amount)?;
                total.taxable_amount = add(total.taxable_amount, own.taxable_amount)?;
                total.waived = add(total.waived, own.waived)?;
            }
            None => totals.push(own.clone()),
        }
    }
    Ok(totals)
}

/// Those of the discounts that are for one invoice and took something off this one, what prorations
/// are net of included.
fn used_up<'a>(
    lines: &[Working],
    discounts: impl Iterator<Item = &'a Discount>,
    terms: &dyn Terms,
) -> Result<Vec<DiscountId>, Refusal> {
    let mut used = Vec::new();
    for discount in discounts {
        let takes = |amounts: &[DiscountAmount]| {
            amounts.iter().any(|own| own.discount == discount.id && own.amount != 0)
        };
        let took =
            lines.iter().any(|line| takes(&line.discounts) || takes(&line.line.included_discounts));
        if took && terms.coupon(&discount.coupon)?.duration == CouponDuration::Once {
            used.push(discount.id.clone());
        }
    }
    Ok(used)
}

fn less(amount: i64, discounts: &[DiscountAmount]) -> Result<i64, ArithmeticError> {
    discounts.iter().try_fold(amount, |rest, discount| {
        rest.checked_sub(discount.amount).ok_or(ArithmeticError::Overflow)
    })
}

fn add(left: i64, right: i64) -> Result<i64, ArithmeticError> {
    left.checked_add(right).ok_or(ArithmeticError::Overflow)
}

fn sum(amounts: impl Iterator<Item = i64>) -> Result<i64, ArithmeticError> {
    let sum = amounts.map(i128::from).sum::<i128>();
    i64::try_from(sum).map_err(|_| ArithmeticError::Overflow)
}

#[cfg(test)]
#[path = "totals_tests.rs"]
mod tests;
