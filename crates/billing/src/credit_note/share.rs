//! The part of an invoice line that a credit note takes off (rule 10, point 40).

use crate::invoice::{Deferral, Invoice, Line};
use counterfoil_core::{ArithmeticError, Period, Timestamp, cumulative_share};

/// What lies between the first `from` and the first `to` units of a line that has `whole` units: `n`
/// of `q` units always come to `round(amount × n / q)`, however they were cut.
pub(super) fn between(
    line: &Line,
    (from, to): (i64, i64),
    whole: i64,
) -> Result<i64, ArithmeticError> {
    let before = cumulative_share(line.amount, from, whole)?;
    let after = cumulative_share(line.amount, to, whole)?;
    after.checked_sub(before).ok_or(ArithmeticError::Overflow)
}

/// Revenue that belongs to no line, spread over what the lines of the invoice earn: it is earned
/// less as they are, and adds up exactly.
pub(super) fn spread(
    amount: i64,
    invoice: &Invoice,
    at: Timestamp,
) -> Result<Vec<Deferral>, ArithmeticError> {
    let earned: Vec<Deferral> =
        invoice.lines().map(|line| line.deferral()).filter(|own| own.amount > 0).collect();
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
