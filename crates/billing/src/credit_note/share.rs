//! The part of an invoice line that a credit note takes off (rule 10, point 40).

use super::CreditNoteLine;
use crate::discount::DiscountAmount;
use crate::invoice::{Deferral, Invoice, Line};
use crate::tax::TaxAmount;
use counterfoil_core::{ArithmeticError, Period, Timestamp, cumulative_share};

/// What a part of a line comes to; its discounts and taxes stand in the order of the line's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) amount: i64,
    pub(super) discount_amounts: Vec<DiscountAmount>,
    pub(super) taxes: Vec<TaxAmount>,
}

impl Share {
    /// The whole of a line.
    fn whole(line: &Line) -> Self {
        Self {
            amount: line.amount,
            discount_amounts: line.discount_amounts.clone(),
            taxes: line.taxes.clone(),
        }
    }

    /// What lines of credit notes took off a line.
    pub(super) fn sum<'a>(line: &Line, notes: impl Iterator<Item = &'a CreditNoteLine>) -> Self {
        let mut sum = Self::whole(line);
        sum.amount = 0;
        sum.discount_amounts.iter_mut().for_each(|own| own.amount = 0);
        for tax in &mut sum.taxes {
            (tax.amount, tax.taxable_amount, tax.waived) = (0, 0, 0);
        }
        for note in notes {
            sum.amount = sum.amount.saturating_add(note.amount);
            for (own, taken) in sum.discount_amounts.iter_mut().zip(&note.discount_amounts) {
                own.amount = own.amount.saturating_add(taken.amount);
            }
            for (own, taken) in sum.taxes.iter_mut().zip(&note.taxes) {
                add_tax(own, taken);
            }
        }
        sum
    }

    /// What it comes to with discounts and tax.
    pub(super) fn total(&self) -> i64 {
        total(self.amount, &self.discount_amounts, &self.taxes)
    }

    /// What has to be added to `done` for `part` of `whole` parts of a line to be credited: the total
    /// is `round(total × part / whole)` then (point 40), and so is each figure, but for what rounding
    /// leaves between them. That is placed from the last discount backwards where there is room, then
    /// with the taxes that are added, then with the amount unless it is given. No figure goes
    /// beyond the line's, and with the last part every one is the line's.
    pub(super) fn next(
        line: &Line,
        done: &Self,
        (part, whole): (i64, i64),
        given: Option<i64>,
    ) -> Result<Self, ArithmeticError> {
        let all = Self::whole(line);
        let figure = |figure: i64, done: i64| -> Result<i64, ArithmeticError> {
            let step = cumulative_share(figure, part, whole)?.saturating_sub(done);
            Ok(within(step, figure.saturating_sub(done)))
        };
        let mut share = all.clone();
        share.amount = match given {
            Some(amount) => amount,
            None => figure(all.amount, done.amount)?,
        };
        for (own, done) in share.discount_amounts.iter_mut().zip(&done.discount_amounts) {
            own.amount = figure(own.amount, done.amount)?;
        }
        for (own, done) in share.taxes.iter_mut().zip(&done.taxes) {
            own.amount = figure(own.amount, done.amount)?;
            own.taxable_amount = figure(own.taxable_amount, done.taxable_amount)?;
            own.waived = figure(own.waived, done.waived)?;
        }
        let left = figure(all.total(), done.total())?.saturating_sub(share.total());
        share.place(left, &all, done, given.is_some());
        Ok(share)
    }

    /// Changes the total by what rounding left over, where there is room.
    fn place(&mut self, mut left: i64, all: &Self, done: &Self, fixed: bool) {
        let rooms = all.discount_amounts.iter().zip(&done.discount_amounts);
        let rooms = rooms.map(|(all, done)| all.amount.saturating_sub(done.amount));
        let rooms: Vec<i64> = rooms.collect();
        for (own, room) in self.discount_amounts.iter_mut().zip(rooms).rev() {
            let placed = within(own.amount.saturating_sub(left), room);
            left = left.saturating_sub(own.amount.saturating_sub(placed));
            own.amount = placed;
        }
        let rooms = all.taxes.iter().zip(&done.taxes);
        let rooms = rooms.map(|(all, done)| all.amount.saturating_sub(done.amount));
        let rooms: Vec<i64> = rooms.collect();
        let taxes = self.taxes.iter_mut().zip(rooms).rev();
        for (own, room) in taxes.filter(|(own, _)| !own.inclusive) {
            let placed = within(own.amount.saturating_add(left), room);
            left = left.saturating_sub(placed.saturating_sub(own.amount));
            own.amount = placed;
        }
        if !fixed {
            let room = all.amount.saturating_sub(done.amount);
            self.amount = within(self.amount.saturating_add(left), room);
        }
    }

    /// The revenue of the share, and what discounts took off it.
    pub(super) fn revenue(&self, period: Period) -> (Deferral, Deferral) {
        let discounts = self.discount_amounts.iter().map(|own| own.amount);
        let amount = without_tax(self.total(), &self.taxes);
        let discounted = discounts.fold(0_i64, i64::saturating_add);
        (Deferral { amount, period }, Deferral { amount: discounted, period })
    }
}

/// Between nothing and the room, whatever its sign.
pub(super) fn within(amount: i64, room: i64) -> i64 {
    amount.clamp(room.min(0), room.max(0))
}

/// What a line comes to with discounts and tax.
pub(super) fn total(amount: i64, discounts: &[DiscountAmount], taxes: &[TaxAmount]) -> i64 {
    let net = discounts.iter().map(|discount| discount.amount).fold(amount, i64::saturating_sub);
    taxes.iter().fold(net, |sum, tax| {
        let added = if tax.inclusive { 0 } else { tax.amount };
        sum.saturating_add(added).saturating_sub(tax.waived)
    })
}

/// A total less all tax.
pub(super) fn without_tax(total: i64, taxes: &[TaxAmount]) -> i64 {
    taxes.iter().map(|tax| tax.amount).fold(total, i64::saturating_sub)
}

/// One tax and another of the same rate.
pub(super) fn add_tax(sum: &mut TaxAmount, tax: &TaxAmount) {
    sum.amount = sum.amount.saturating_add(tax.amount);
    sum.taxable_amount = sum.taxable_amount.saturating_add(tax.taxable_amount);
    sum.waived = sum.waived.saturating_add(tax.waived);
}

/// Revenue that belongs to no line, spread over what the lines of the invoice earn: it is earned
/// less as they are, and adds up exactly.
pub(super) fn spread(
    amount: i64,
    invoice: &Invoice,
    at: Timestamp,
) -> Result<Vec<Deferral>, ArithmeticError> {
    let shipping = invoice.shipping_line().map(|line| line.deferral());
    let earned: Vec<Deferral> = invoice
        .lines()
        .map(|line| line.deferral())
        .chain(shipping)
        .filter(|own| own.amount > 0)
        .collect();
    let whole = earned.iter().map(|own| own.amount).fold(0_i64, i64::saturating_add);
    if whole == 0 {
        return Ok(vec![Deferral { amount, period: Period::instant(at) }]);
    }
    let mut spread = Vec::with_capacity(earned.len());
    let (mut weight, mut before) = (0_i64, 0_i64);
    for own in earned {
        weight = weight.saturating_add(own.amount);
        let after = cumulative_share(amount, weight, whole)?;
        spread.push(Deferral { amount: after.saturating_sub(before), period: own.period });
        before = after;
    }
    spread.retain(|own| own.amount != 0);
    Ok(spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credit_note::Credited;
    use crate::invoice::Derivation;
    use crate::tax::TaxabilityReason;
    use counterfoil_core::Id;

    fn line(amount: i64, discounts: &[i64], taxes: &[(i64, bool)]) -> Line {
        let at = Period::instant(Timestamp::from_unix(0).unwrap());
        let id = Id::numbered(1, 1);
        let mut line = Line::new(id, "Line".to_owned(), amount, at, Derivation::Item);
        let discount = |(n, amount): (u64, &i64)| DiscountAmount {
            amount: *amount,
            discount: Id::numbered(2, n),
        };
        line.discount_amounts = (1..).zip(discounts).map(discount).collect();
        let tax = |(n, (amount, inclusive)): (u64, &(i64, bool))| TaxAmount {
            amount: *amount,
            inclusive: *inclusive,
            taxable_amount: discounts.iter().fold(line.amount, |left, own| left - own),
            tax_rate: Id::numbered(3, n),
            taxability_reason: TaxabilityReason::StandardRated,
            waived: 0,
        };
        line.taxes = (1..).zip(taxes).map(tax).collect();
        line
    }

    fn noted(line: &Line, share: &Share) -> CreditNoteLine {
        CreditNoteLine {
            id: Id::numbered(4, 1),
            credited: Credited::Quantity(line.id.clone()),
            name: line.name.clone(),
            description: None,
            amount: share.amount,
            quantity: None,
            unit_amount: None,
            discount_amounts: share.discount_amounts.clone(),
            taxes: share.taxes.clone(),
        }
    }

    /// Lines of every kind of rest, with the sign of each turned as well.
    fn lines() -> Vec<Line> {
        let mut lines = Vec::new();
        for amount in [1, 4, 5, 99, 100, 1001, 9000] {
            for discount in [0, 1, 3, 50, 900, 9000] {
                let discount = discount.min(amount);
                for tax in [0, 1, 7, 135] {
                    for sign in [1, -1] {
                        let (amount, discount, tax) = (sign * amount, sign * discount, sign * tax);
                        let half = discount / 2;
                        lines.push(line(amount, &[discount], &[(tax, false)]));
                        lines.push(line(amount, &[half, discount - half], &[(tax, false); 2]));
                        lines.push(line(amount, &[discount], &[]));
                        lines.push(line(amount, &[], &[(tax, true), (tax, false)]));
                    }
                }
            }
        }
        lines
    }

    #[test]
    fn units_come_to_their_part_of_the_total_and_all_of_them_to_the_line() {
        for line in lines() {
            let all = Share::whole(&line);
            for whole in [1, 2, 3, 7, 10] {
                let mut notes: Vec<CreditNoteLine> = Vec::new();
                for part in 1..=whole {
                    let done = Share::sum(&line, notes.iter());
                    let share = Share::next(&line, &done, (part, whole), None).unwrap();
                    notes.push(noted(&line, &share));
                    let credited = Share::sum(&line, notes.iter()).total();
                    let expected = cumulative_share(all.total(), part, whole).unwrap();
                    assert_eq!(credited, expected, "{part} of {whole} of {line:?}");
                }
                assert_eq!(Share::sum(&line, notes.iter()), all);
            }
        }
    }

    #[test]
    fn a_note_that_is_void_leaves_its_cents_to_those_after_it() {
        for line in lines() {
            for (whole, void) in [(3, 0), (3, 1), (7, 2), (10, 4)] {
                let mut notes: Vec<CreditNoteLine> = Vec::new();
                for part in 1..whole {
                    let done = Share::sum(&line, notes.iter());
                    let share = Share::next(&line, &done, (part, whole), None).unwrap();
                    notes.push(noted(&line, &share));
                }
                notes.remove(void);
                let done = Share::sum(&line, notes.iter());
                let share = Share::next(&line, &done, (whole, whole), None).unwrap();
                notes.push(noted(&line, &share));
                assert_eq!(Share::sum(&line, notes.iter()), Share::whole(&line));
            }
        }
    }

    #[test]
    fn an_amount_is_credited_as_it_was_given() {
        for line in lines().into_iter().filter(|line| line.amount.abs() > 1) {
            let whole = line.amount.abs();
            let (first, sign) = (whole / 3 + 1, line.amount.signum());
            let done = Share::sum(&line, std::iter::empty());
            let share = Share::next(&line, &done, (first, whole), Some(first * sign)).unwrap();
            assert_eq!(share.amount, first * sign);
            let note = noted(&line, &share);
            let done = Share::sum(&line, [&note].into_iter());
            let rest = line.amount - share.amount;
            let share = Share::next(&line, &done, (whole, whole), Some(rest)).unwrap();
            let last = noted(&line, &share);
            assert_eq!(Share::sum(&line, [&note, &last].into_iter()), Share::whole(&line));
        }
    }
}
