//! What discounts leave of amounts for whole periods, before any rounding: what prorations take
//! their fractions of (rules 4.3 and 6.6, point 30).

use super::share::percent;
use super::{Benefit, Discount, DiscountAmount, DiscountId, Terms, shares};
use crate::catalog::ProductId;
use counterfoil_core::{ArithmeticError, Currency, Exact, Refusal, Rounding};

/// What an item costs for a whole period, and its own discounts.
#[derive(Debug, Clone)]
pub struct FullAmount<'a> {
    /// The amount before discounts.
    pub gross: Exact,
    /// What is sold.
    pub product: &'a ProductId,
    /// The discounts on the item itself that are in force.
    pub discounts: Vec<Discount>,
}

/// What an item costs for a whole period, net of its discounts.
#[derive(Debug, Clone)]
pub struct NetAmount {
    /// The amount before discounts.
    pub gross: Exact,
    /// What each discount leaves, in the order in which they apply.
    pub after: Vec<(DiscountId, Exact)>,
}

impl NetAmount {
    /// An amount without discounts.
    #[must_use]
    pub fn whole(gross: Exact) -> Self {
        Self { gross, after: Vec::new() }
    }

    /// The amount after all discounts.
    #[must_use]
    pub fn net(&self) -> Exact {
        self.after.last().map_or(self.gross, |(_, net)| *net)
    }

    /// What is more than another amount with the same discounts: of each as much as it takes more.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where an amount is out of range.
    pub fn less(&self, other: &Self) -> Result<Self, ArithmeticError> {
        let minus = |left: Exact, right: Exact| left.checked_add(right.checked_neg()?);
        let mut rest = other.gross;
        let mut difference = Self::whole(minus(self.gross, other.gross)?);
        for (id, after) in &self.after {
            let own = other.after.iter().find(|(own, _)| own == id);
            rest = own.map_or(rest, |(_, after)| *after);
            difference.after.push((id.clone(), minus(*after, rest)?));
        }
        Ok(difference)
    }

    /// A part of the net amount, rounded once, and what each discount took off it. What the
    /// discounts took and the part add up to the part of the gross amount, rounded.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where an amount is out of range.
    pub fn part(
        &self,
        fraction: Exact,
        rounding: Rounding,
    ) -> Result<(i64, Vec<DiscountAmount>), ArithmeticError> {
        let mut left = self.gross.checked_mul(fraction)?.round_by(rounding)?;
        let mut amounts = Vec::with_capacity(self.after.len());
        for (discount, after) in &self.after {
            let next = after.checked_mul(fraction)?.round_by(rounding)?;
            let amount = left.checked_sub(next).ok_or(ArithmeticError::Overflow)?;
            if amount != 0 {
                amounts.push(DiscountAmount { amount, discount: discount.clone() });
            }
            left = next;
        }
        Ok((left, amounts))
    }
}

/// What the discounts on each item, and then those that all items share, leave of amounts for whole
/// periods. A percentage is exact; a fixed amount is shared out in whole minor units as on an
/// invoice for whole periods (point 30), so it needs all items that such an invoice would have.
///
/// # Errors
/// [`Refusal::ResourceMissing`] for an unknown coupon, [`Refusal::AmountTooLarge`] where an amount is
/// out of range.
pub fn net_of_discounts(
    items: &[FullAmount<'_>],
    shared: &[Discount],
    currency: Currency,
    terms: &dyn Terms,
) -> Result<Vec<NetAmount>, Refusal> {
    let mut nets: Vec<NetAmount> = items.iter().map(|item| NetAmount::whole(item.gross)).collect();
    for (item, net) in items.iter().zip(&mut nets) {
        for discount in &item.discounts {
            apply(discount, &mut [(item.product, net)], currency, terms)?;
        }
    }
    for discount in shared {
        let mut all: Vec<_> = items.iter().map(|item| item.product).zip(&mut nets).collect();
        apply(discount, &mut all, currency, terms)?;
    }
    Ok(nets)
}

fn apply(
    discount: &Discount,
    items: &mut [(&ProductId, &mut NetAmount)],
    currency: Currency,
    terms: &dyn Terms,
) -> Result<(), Refusal> {
    let coupon = terms.coupon(&discount.coupon)?;
    let mut eligible: Vec<&mut NetAmount> = Vec::new();
    for (product, net) in items {
        if coupon.covers(Some(product)) {
            eligible.push(net);
        }
    }
    if let Benefit::Percent { percent_off } = &coupon.benefit {
        let one = Exact::from_int(1);
        let left = one.checked_add(percent(*percent_off)?.checked_neg()?)?;
        for net in eligible {
            let after = net.net().checked_mul(left)?;
            net.after.push((discount.id.clone(), after));
        }
        return Ok(());
    }
    let mut amounts = Vec::with_capacity(eligible.len());
    for net in &eligible {
        amounts.push(net.net().round()?);
    }
    let Some(shares) = shares(&coupon.benefit, currency, &amounts, 0)? else { return Ok(()) };
    for ((net, share), amount) in eligible.into_iter().zip(shares).zip(amounts) {
        // A share of all of the rounded amount leaves nothing, whatever the fraction was.
        let after = if share == amount {
            Exact::ZERO
        } else {
            net.net().checked_add(Exact::from_int(share).checked_neg()?)?
        };
        net.after.push((discount.id.clone(), after));
    }
    Ok(())
}
