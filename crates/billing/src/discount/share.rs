//! What one discount takes off each of several amounts (rule 4.3).

use super::Benefit;
use counterfoil_core::{ArithmeticError, Currency, Decimal12, Exact};

/// What a discount takes off each of the amounts, none of which is negative: a percentage of each,
/// rounded by itself (point 6), or a fixed amount that is shared out in proportion. None where it
/// has no amount in the currency.
///
/// Of a fixed amount `taken` is gone already. Each share is floored, and what is left over goes to the last amount; where
/// that has no room, to the ones before it (point 48). What no amount has room for is lost.
///
/// # Errors
/// [`ArithmeticError::Overflow`] where a sum is out of range.
pub(crate) fn shares(
    benefit: &Benefit,
    currency: Currency,
    amounts: &[i64],
    taken: i64,
) -> Result<Option<Vec<i64>>, ArithmeticError> {
    match benefit {
        Benefit::Percent { percent_off } => {
            let share = percent(*percent_off)?;
            let off = |amount: &i64| Exact::from_int(*amount).checked_mul(share)?.round();
            amounts.iter().map(off).collect::<Result<_, _>>().map(Some)
        }
        Benefit::Amount { .. } => match benefit.amount_in(currency) {
            Some(amount_off) => split(amount_off.saturating_sub(taken).max(0), amounts).map(Some),
            None => Ok(None),
        },
    }
}

/// A percentage as a fraction.
pub(crate) fn percent(percent: Decimal12) -> Result<Exact, ArithmeticError> {
    let whole = Decimal12::SCALE.checked_mul(100).ok_or(ArithmeticError::Overflow)?;
    Exact::ratio(percent.trillionths(), whole)
}

fn split(amount_off: i64, amounts: &[i64]) -> Result<Vec<i64>, ArithmeticError> {
    let overflow = || ArithmeticError::Overflow;
    let sum = amounts.iter().try_fold(0_i128, |sum, amount| sum.checked_add((*amount).into()));
    let sum = sum.ok_or_else(overflow)?;
    let total = i128::from(amount_off).min(sum);
    if sum == 0 {
        return Ok(vec![0; amounts.len()]);
    }
    let floored = |amount: &i64| {
        let share = total.checked_mul((*amount).into())?.checked_div(sum)?;
        i64::try_from(share).ok()
    };
    let mut shares: Vec<i64> =
        amounts.iter().map(floored).collect::<Option<_>>().ok_or_else(overflow)?;
    let taken = shares.iter().try_fold(0_i128, |sum, share| sum.checked_add((*share).into()));
    let mut left = taken.and_then(|taken| total.checked_sub(taken)).ok_or_else(overflow)?;
    for (share, amount) in shares.iter_mut().zip(amounts).rev() {
        let room = i128::from(*amount).saturating_sub((*share).into()).min(left);
        *share = i64::try_from(i128::from(*share).saturating_add(room)).map_err(|_| overflow())?;
        left = left.saturating_sub(room);
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn off(amount_off: i64) -> Benefit {
        Benefit::Amount { currency: Currency::USD, amount_off, options: BTreeMap::new() }
    }

    fn percent_off(text: &str) -> Benefit {
        Benefit::Percent { percent_off: text.parse().unwrap() }
    }

    #[test]
    fn e24b_shares_of_a_fixed_amount() {
        for (amount_off, amounts, expected) in [
            (1_000, &[999, 999, 999][..], &[333, 333, 334][..]),
            (5_000, &[1_000, 2_000], &[1_000, 2_000]),
            (500, &[1_000, 2_000], &[166, 334]),
            (700, &[2_833, 5_667], &[233, 467]),
            // Point 48: the last has no room for all that is left over.
            (299, &[100, 100, 100, 1], &[99, 99, 100, 1]),
            (7, &[0, 0], &[0, 0]),
            (7, &[], &[]),
        ] {
            let found = shares(&off(amount_off), Currency::USD, amounts, 0).unwrap().unwrap();
            assert_eq!(found, expected, "{amount_off} over {amounts:?}");
        }
        assert_eq!(shares(&off(1), Currency::EUR, &[5], 0), Ok(None));
    }

    #[test]
    fn a_percentage_is_rounded_line_by_line() {
        for (percent, amounts, expected) in [
            ("15", &[1_250][..], &[188][..]),
            ("15", &[3_333, 6_667], &[500, 1_000]),
            ("33.333333", &[3], &[1]),
            ("100", &[7, 0], &[7, 0]),
            ("0.000001", &[1_000_000], &[0]),
        ] {
            let found = shares(&percent_off(percent), Currency::USD, amounts, 0).unwrap().unwrap();
            assert_eq!(found, expected, "{percent} % of {amounts:?}");
        }
    }

    proptest! {
        /// Rule 19.8: shares add up exactly, none exceeds its amount, and none is off its even share
        /// by more than the units that were left over.
        #[test]
        fn shares_add_up_and_leave_nothing_negative(
            amount_off in 1_i64..=999_999_999_999_999,
            amounts in prop::collection::vec(0_i64..=999_999_999_999_999, 0..20),
        ) {
            let found = shares(&off(amount_off), Currency::USD, &amounts, 0).unwrap().unwrap();
            let wide = |amounts: &[i64]| amounts.iter().map(|a| i128::from(*a)).sum::<i128>();
            prop_assert_eq!(wide(&found), wide(&amounts).min(amount_off.into()));
            for (share, amount) in found.iter().zip(&amounts) {
                prop_assert!((0..=*amount).contains(share), "{} of {}", share, amount);
            }
        }

        #[test]
        fn a_percentage_never_exceeds_its_amount(
            millionths in 1_i128..=100_000_000, amount in 0_i64..=999_999_999_999_999,
        ) {
            let percent_off = Decimal12::from_trillionths(millionths * 1_000_000);
            let benefit = Benefit::Percent { percent_off };
            let found = shares(&benefit, Currency::USD, &[amount], 0).unwrap().unwrap();
            prop_assert!((0..=amount).contains(&found[0]));
        }
    }
}
