//! Exact fractions in the making of an amount.

use crate::{ArithmeticError, Decimal12};
use ethnum::I256;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Which way a tie goes, where an amount lies in the middle between two (point 1).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Away from zero: 1.5 to 2, −1.5 to −2.
    #[default]
    HalfAwayFromZero,
    /// To the even one: 1.5 and 2.5 to 2.
    HalfEven,
    /// Up: 1.5 to 2, −1.5 to −1.
    HalfUp,
}

/// An exact fraction of 256-bit integers: the product of prices, quantities and fractions of time
/// on its way to an amount. It is rounded once, by [`Exact::round`]; what does not fit is an error.
#[derive(Debug, Clone, Copy)]
pub struct Exact {
    numerator: I256,
    /// Always positive.
    denominator: I256,
}

impl Exact {
    /// Nothing.
    pub const ZERO: Self = Self { numerator: I256::ZERO, denominator: I256::ONE };

    /// A whole number.
    #[must_use]
    pub fn from_int(whole: i64) -> Self {
        Self { numerator: I256::from(whole), denominator: I256::ONE }
    }

    /// A decimal.
    #[must_use]
    pub fn from_decimal(value: Decimal12) -> Self {
        Self { numerator: value.trillionths().into(), denominator: Decimal12::SCALE.into() }
    }

    /// `numerator / denominator`.
    ///
    /// # Errors
    /// [`ArithmeticError::DivisionByZero`], or [`ArithmeticError::Overflow`].
    pub fn ratio(numerator: i128, denominator: i128) -> Result<Self, ArithmeticError> {
        Self::reduced(numerator.into(), denominator.into())
    }

    /// The product.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where the reduced fraction needs more than 256 bits.
    pub fn checked_mul(self, other: Self) -> Result<Self, ArithmeticError> {
        let direct = (
            self.numerator.checked_mul(other.numerator),
            self.denominator.checked_mul(other.denominator),
        );
        if let (Some(numerator), Some(denominator)) = direct {
            return Ok(Self { numerator, denominator });
        }
        // With both in lowest terms, cancelling crosswise leaves the product in lowest terms.
        let (left, right) = (self.lowest()?, other.lowest()?);
        let a = Self::reduced(left.numerator, right.denominator)?;
        let b = Self::reduced(right.numerator, left.denominator)?;
        let numerator = a.numerator.checked_mul(b.numerator).ok_or(ArithmeticError::Overflow)?;
        let denominator =
            a.denominator.checked_mul(b.denominator).ok_or(ArithmeticError::Overflow)?;
        Ok(Self { numerator, denominator })
    }

    /// The sum.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where the fraction over the least common denominator needs
    /// more than 256 bits.
    pub fn checked_add(self, other: Self) -> Result<Self, ArithmeticError> {
        if self.denominator == other.denominator {
            let numerator =
                self.numerator.checked_add(other.numerator).ok_or(ArithmeticError::Overflow)?;
            return Ok(Self { numerator, ..self });
        }
        if let Some(sum) = self.crosswise_sum(other, I256::ONE) {
            return Ok(sum);
        }
        let (left, right) = (self.lowest()?, other.lowest()?);
        let shared = gcd(left.denominator, right.denominator)?;
        left.crosswise_sum(right, shared).ok_or(ArithmeticError::Overflow)
    }

    /// The sum, where `shared` divides both denominators.
    fn crosswise_sum(self, other: Self, shared: I256) -> Option<Self> {
        let (left, right) =
            (self.denominator.checked_div(shared)?, other.denominator.checked_div(shared)?);
        let numerator =
            self.numerator.checked_mul(right)?.checked_add(other.numerator.checked_mul(left)?)?;
        Some(Self { numerator, denominator: left.checked_mul(other.denominator)? })
    }

    /// The opposite.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] for the one value without an opposite.
    pub fn checked_neg(self) -> Result<Self, ArithmeticError> {
        let numerator = self.numerator.checked_neg().ok_or(ArithmeticError::Overflow)?;
        Ok(Self { numerator, ..self })
    }

    /// To the nearest integer, ties away from zero (rule 1.2).
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where the result exceeds `i64`.
    pub fn round(self) -> Result<i64, ArithmeticError> {
        self.round_by(Rounding::HalfAwayFromZero)
    }

    /// To the nearest integer, ties as is said: the one place where an amount is rounded.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where the result exceeds `i64`.
    pub fn round_by(self, ties: Rounding) -> Result<i64, ArithmeticError> {
        let quotient = self.towards_zero()?;
        let whole = quotient.checked_mul(self.denominator).ok_or(ArithmeticError::Overflow)?;
        let rest = self.numerator.checked_sub(whole).ok_or(ArithmeticError::Overflow)?;
        // `denominator - rest` instead of `2 * rest`, which could overflow.
        let rest = rest.unsigned_abs();
        let complement = self.denominator.unsigned_abs().saturating_sub(rest);
        let is_negative = self.numerator.is_negative();
        let outwards = match rest.cmp(&complement) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => match ties {
                Rounding::HalfAwayFromZero => true,
                Rounding::HalfEven => quotient & I256::ONE == I256::ONE,
                Rounding::HalfUp => !is_negative,
            },
        };
        let step = match (outwards, is_negative) {
            (false, _) => I256::ZERO,
            (true, true) => I256::MINUS_ONE,
            (true, false) => I256::ONE,
        };
        narrow(quotient.checked_add(step).ok_or(ArithmeticError::Overflow)?)
    }

    /// To the next integer towards negative infinity.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where the result exceeds `i64`.
    pub fn floor(self) -> Result<i64, ArithmeticError> {
        narrow(self.towards_negative()?)
    }

    /// To the next integer towards positive infinity.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where the result exceeds `i64`.
    pub fn ceil(self) -> Result<i64, ArithmeticError> {
        let opposite = self.checked_neg()?.towards_negative()?;
        narrow(opposite.checked_neg().ok_or(ArithmeticError::Overflow)?)
    }

    fn towards_negative(self) -> Result<I256, ArithmeticError> {
        self.numerator.checked_div_euclid(self.denominator).ok_or(ArithmeticError::Overflow)
    }

    fn towards_zero(self) -> Result<I256, ArithmeticError> {
        self.numerator.checked_div(self.denominator).ok_or(ArithmeticError::Overflow)
    }

    fn lowest(self) -> Result<Self, ArithmeticError> {
        Self::reduced(self.numerator, self.denominator)
    }

    fn reduced(numerator: I256, denominator: I256) -> Result<Self, ArithmeticError> {
        if denominator == I256::ZERO {
            return Err(ArithmeticError::DivisionByZero);
        }
        let divisor = gcd(numerator, denominator)?;
        let divide = |value: I256| value.checked_div(divisor).ok_or(ArithmeticError::Overflow);
        let (numerator, denominator) = (divide(numerator)?, divide(denominator)?);
        if denominator.is_negative() {
            let flip = |value: I256| value.checked_neg().ok_or(ArithmeticError::Overflow);
            return Ok(Self { numerator: flip(numerator)?, denominator: flip(denominator)? });
        }
        Ok(Self { numerator, denominator })
    }
}

/// What is due of `total` after `part` of `whole`: `total * part / whole`, rounded once (rule
/// 1.2).
///
/// For revenue that is recognized by the day in whole minor units: what a day takes is the
/// difference of two shares, and the days of a schedule add up to its total exactly. No day takes
/// more than one unit off its even share.
///
/// ```
/// use counterfoil_core::cumulative_share;
///
/// let shares = (0..=3).map(|day| cumulative_share(100, day, 3)).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(shares, [0, 33, 67, 100]);
/// let by_day: Vec<i64> = shares.windows(2).map(|pair| pair[1] - pair[0]).collect();
/// assert_eq!(by_day, [33, 34, 33]);
/// # Ok::<(), counterfoil_core::ArithmeticError>(())
/// ```
///
/// # Errors
/// [`ArithmeticError::DivisionByZero`] where `whole` is 0, [`ArithmeticError::Overflow`] where the
/// share exceeds `i64`, which it never does for a `part` within 0 to `whole`.
pub fn cumulative_share(total: i64, part: i64, whole: i64) -> Result<i64, ArithmeticError> {
    let product = i128::from(total).checked_mul(part.into()).ok_or(ArithmeticError::Overflow)?;
    Exact::ratio(product, whole.into())?.round()
}

fn gcd(a: I256, b: I256) -> Result<I256, ArithmeticError> {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        let rest = a.checked_rem(b).ok_or(ArithmeticError::DivisionByZero)?;
        (a, b) = (b, rest);
    }
    I256::try_from(a).map_err(|_| ArithmeticError::Overflow)
}

fn narrow(value: I256) -> Result<i64, ArithmeticError> {
    i64::try_from(value).map_err(|_| ArithmeticError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::{BigInt, Sign};
    use proptest::prelude::*;

    /// 2^127 - 1, a prime.
    const PRIME: i128 = i128::MAX;

    fn ratio(numerator: i128, denominator: i128) -> Exact {
        Exact::ratio(numerator, denominator).unwrap()
    }

    /// A fraction of integers without bounds.
    #[derive(Debug, Clone)]
    struct Oracle(BigInt, BigInt);

    impl Oracle {
        fn ratio(numerator: i128, denominator: i128) -> Self {
            let sign = denominator.signum();
            Self(BigInt::from(numerator) * sign, BigInt::from(denominator) * sign)
        }

        fn mul(&self, other: &Self) -> Self {
            Self(&self.0 * &other.0, &self.1 * &other.1)
        }

        fn add(&self, other: &Self) -> Self {
            Self(&self.0 * &other.1 + &other.0 * &self.1, &self.1 * &other.1)
        }

        /// The largest integer that is not above the fraction.
        fn floor(&self) -> BigInt {
            let (quotient, rest) = (&self.0 / &self.1, &self.0 % &self.1);
            if rest.sign() == Sign::Minus { quotient - 1 } else { quotient }
        }

        /// Half away from zero: the floor of the magnitude and a half, with the sign put back.
        fn round(&self) -> BigInt {
            let magnitude = BigInt::from(self.0.magnitude().clone());
            let half_up = Self(magnitude * 2 + &self.1, &self.1 * 2).floor();
            if self.0.sign() == Sign::Minus { -half_up } else { half_up }
        }
    }

    fn check(exact: Exact, oracle: &Oracle) -> Result<(), TestCaseError> {
        let ceil = -Oracle(-&oracle.0, oracle.1.clone()).floor();
        for (got, expect) in
            [(exact.round(), oracle.round()), (exact.floor(), oracle.floor()), (exact.ceil(), ceil)]
        {
            let expect = i64::try_from(expect).map_err(|_| ArithmeticError::Overflow);
            prop_assert_eq!(got, expect, "{:?}", oracle);
        }
        Ok(())
    }

    #[test]
    fn rounding() {
        for (numerator, denominator, floor, round, ceil) in [
            (0, 7, 0, 0, 0),
            (14, 7, 2, 2, 2),
            (1, 3, 0, 0, 1),
            (2, 3, 0, 1, 1),
            (-1, 3, -1, 0, 0),
            (-2, 3, -1, -1, 0),
            (1, -3, -1, 0, 0),
            (-2, -3, 0, 1, 1),
            // Ties go away from zero on both sides.
            (1, 2, 0, 1, 1),
            (-1, 2, -1, -1, 0),
            (3, 2, 1, 2, 2),
            (-3, 2, -2, -2, -1),
            (5, 2, 2, 3, 3),
            (-5, 2, -3, -3, -2),
            (13_330, 20, 666, 667, 667),
            // On either side of a tie.
            (PRIME / 2, PRIME, 0, 0, 1),
            (PRIME / 2 + 1, PRIME, 0, 1, 1),
            (-(PRIME / 2), PRIME, -1, 0, 0),
            (-(PRIME / 2) - 1, PRIME, -1, -1, 0),
        ] {
            let exact = ratio(numerator, denominator);
            let got = (exact.floor(), exact.round(), exact.ceil());
            assert_eq!(got, (Ok(floor), Ok(round), Ok(ceil)), "{numerator} / {denominator}");
        }
    }

    #[test]
    fn point_1_ties_go_where_the_book_says() {
        for (numerator, denominator, away, even, up) in [
            (1, 2, 1, 0, 1),
            (3, 2, 2, 2, 2),
            (5, 2, 3, 2, 3),
            (-1, 2, -1, 0, 0),
            (-3, 2, -2, -2, -1),
            (-5, 2, -3, -2, -2),
            (13_330, 20, 667, 666, 667),
            // What is no tie goes to the nearest one.
            (PRIME / 2 + 1, PRIME, 1, 1, 1),
            (-(PRIME / 2) - 1, PRIME, -1, -1, -1),
            (PRIME / 2, PRIME, 0, 0, 0),
            (7, 1, 7, 7, 7),
            (-7, 1, -7, -7, -7),
        ] {
            let exact = ratio(numerator, denominator);
            for (ties, expect) in [
                (Rounding::HalfAwayFromZero, away),
                (Rounding::HalfEven, even),
                (Rounding::HalfUp, up),
            ] {
                let got = exact.round_by(ties);
                assert_eq!(got, Ok(expect), "{numerator} / {denominator}, {ties:?}");
            }
        }
    }

    #[test]
    fn results_beyond_i64_are_refused() {
        let (min, max) = (i128::from(i64::MIN), i128::from(i64::MAX));
        let overflow = Err(ArithmeticError::Overflow);
        for edge in [min, max] {
            let exact = ratio(edge, 1);
            let expect = Ok(i64::try_from(edge).unwrap());
            assert_eq!((exact.floor(), exact.round(), exact.ceil()), (expect, expect, expect));
        }
        assert_eq!(ratio(max + 1, 1).round(), overflow);
        assert_eq!(ratio(min - 1, 1).round(), overflow);
        // A half above the largest, a half below the least.
        let (above, below) = (ratio(2 * max + 1, 2), ratio(2 * min - 1, 2));
        assert_eq!(
            (above.floor(), above.round(), above.ceil()),
            (Ok(i64::MAX), overflow, overflow)
        );
        assert_eq!(
            (below.floor(), below.round(), below.ceil()),
            (overflow, overflow, Ok(i64::MIN))
        );
        assert_eq!(Exact::ratio(1, 0).unwrap_err(), ArithmeticError::DivisionByZero);
        assert_eq!(Exact::ratio(0, 0).unwrap_err(), ArithmeticError::DivisionByZero);
    }

    #[test]
    fn products_cancel_crosswise_before_they_are_refused() {
        let square = ratio(PRIME, 1).checked_mul(ratio(PRIME, 1)).unwrap();
        let inverse = ratio(1, PRIME).checked_mul(ratio(1, PRIME)).unwrap();
        assert_eq!(square.checked_mul(inverse).unwrap().round(), Ok(1));
        // The direct product exceeds 256 bits; the answer is seven and a half.
        let large = square.checked_mul(ratio(1, 2)).unwrap();
        let small = inverse.checked_mul(ratio(15, 1)).unwrap();
        assert!(large.numerator.checked_mul(I256::from(15)).is_none());
        assert_eq!(large.checked_mul(small).unwrap().round(), Ok(8));
        assert_eq!(small.checked_mul(large).unwrap().floor(), Ok(7));
        // The left side alone is far from its lowest terms.
        let unreduced = square.checked_mul(inverse).unwrap();
        assert_eq!(
            unreduced.checked_mul(square).unwrap().checked_mul(inverse).unwrap().round(),
            Ok(1)
        );
        assert_eq!(square.checked_mul(ratio(5, 1)).unwrap_err(), ArithmeticError::Overflow);
        assert_eq!(inverse.checked_mul(ratio(1, 5)).unwrap_err(), ArithmeticError::Overflow);
    }

    #[test]
    fn sums_share_a_denominator_before_they_are_refused() {
        let inverse = ratio(1, PRIME).checked_mul(ratio(1, PRIME)).unwrap();
        let one = ratio(PRIME, 1).checked_mul(ratio(1, PRIME)).unwrap();
        // The product of the denominators exceeds 256 bits, the least common one does not.
        let sum = inverse.checked_add(ratio(PRIME - 1, PRIME)).unwrap();
        assert_eq!((sum.floor(), sum.round()), (Ok(0), Ok(1)));
        let sum = inverse.checked_add(one).unwrap();
        assert_eq!((sum.floor(), sum.ceil()), (Ok(1), Ok(2)));
        assert_eq!(inverse.checked_add(ratio(1, 5)).unwrap_err(), ArithmeticError::Overflow);
        let square = ratio(PRIME, 1).checked_mul(ratio(PRIME, 1)).unwrap();
        let double = square.checked_add(square).unwrap();
        assert_eq!(double.checked_add(double).unwrap_err(), ArithmeticError::Overflow);
    }

    #[test]
    fn the_worked_examples_of_rounding() {
        let of = |unit: &str, quantity: i64| {
            let unit = Exact::from_decimal(unit.parse().unwrap());
            unit.checked_mul(Exact::from_int(quantity)).unwrap().round()
        };
        assert_eq!(of("0.05", 30), Ok(2));
        assert_eq!(of("-0.05", 30), Ok(-2));
        // Each proration line is rounded on its own: -6.67 + 3.33 = -3.34.
        assert_eq!(ratio(-2_000, 3).round(), Ok(-667));
        assert_eq!(ratio(1_000, 3).round(), Ok(333));
        // E15b, in seconds.
        let left = ratio(1_608_270, 2_678_400);
        let part = |amount| Exact::from_int(amount).checked_mul(left).unwrap().round();
        assert_eq!((part(-2_900), part(9_900)), (Ok(-1_741), Ok(5_945)));
    }

    #[test]
    fn shares_that_cannot_be_told() {
        assert_eq!(cumulative_share(1, 1, 0), Err(ArithmeticError::DivisionByZero));
        assert_eq!(cumulative_share(i64::MAX, 2, 1), Err(ArithmeticError::Overflow));
        assert_eq!(cumulative_share(i64::MIN, -1, 1), Err(ArithmeticError::Overflow));
        assert_eq!(cumulative_share(i64::MIN, i64::MAX, i64::MAX), Ok(i64::MIN));
    }

    fn terms() -> impl Strategy<Value = (i128, i128)> {
        let small = (-50_i64..=50, prop_oneof![-50_i64..=-1, 1_i64..=50]);
        let wide = (any::<i64>(), any::<i64>().prop_filter("not zero", |d| *d != 0));
        prop_oneof![small, wide].prop_map(|(n, d)| (n.into(), d.into()))
    }

    proptest! {
        #[test]
        fn one_fraction_agrees_with_the_oracle(
            numerator in any::<i128>(),
            denominator in any::<i128>().prop_filter("not zero", |d| *d != 0),
            shift in 0_u32..127,
        ) {
            // Shifted, so that results of every size come up.
            let denominator = match denominator >> shift {
                0 => 1,
                denominator => denominator,
            };
            check(ratio(numerator, denominator), &Oracle::ratio(numerator, denominator))?;
        }

        #[test]
        fn ties_go_away_from_zero(whole in -1_000_000_i64..1_000_000, scale in 1_i128..1 << 60) {
            let tie = ratio((2 * i128::from(whole) + 1) * scale, 2 * scale);
            let expect = if whole < 0 { whole } else { whole + 1 };
            prop_assert_eq!(tie.round(), Ok(expect));
            prop_assert_eq!(tie.checked_neg().unwrap().round(), Ok(-expect));
        }

        #[test]
        fn products_and_sums_agree_with_the_oracle(a in terms(), b in terms(), c in terms()) {
            let [x, y, z] = [a, b, c].map(|(n, d)| (ratio(n, d), Oracle::ratio(n, d)));
            let product = x.0.checked_mul(y.0).unwrap().checked_mul(z.0).unwrap();
            check(product, &x.1.mul(&y.1).mul(&z.1))?;
            let sum = x.0.checked_add(y.0).unwrap().checked_add(z.0).unwrap();
            check(sum, &x.1.add(&y.1).add(&z.1))?;
            let mixed = x.0.checked_mul(y.0).unwrap().checked_add(z.0).unwrap();
            check(mixed, &x.1.mul(&y.1).add(&z.1))?;
        }

        // Fractions of 128 bits, whose products and sums often need more than 256.
        #[test]
        fn wide_results_are_exact_or_refused(
            terms in prop::collection::vec((any::<i128>(), 1_i128..), 3),
        ) {
            let mut product = (Exact::from_int(1), Oracle::ratio(1, 1));
            let mut sum = (Exact::ZERO, Oracle::ratio(0, 1));
            for (n, d) in terms {
                let (exact, oracle) = (ratio(n, d), Oracle::ratio(n, d));
                if let Ok(next) = product.0.checked_mul(exact) {
                    product = (next, product.1.mul(&oracle));
                }
                if let Ok(next) = sum.0.checked_add(exact) {
                    sum = (next, sum.1.add(&oracle));
                }
            }
            check(product.0, &product.1)?;
            check(sum.0, &sum.1)?;
        }

        #[test]
        fn a_product_times_its_inverse_is_one(a in terms(), b in terms()) {
            prop_assume!(a.0 != 0 && b.0 != 0);
            let product = ratio(a.0, a.1).checked_mul(ratio(b.0, b.1)).unwrap();
            let inverse = ratio(a.1, a.0).checked_mul(ratio(b.1, b.0)).unwrap();
            let one = product.checked_mul(inverse).unwrap();
            prop_assert_eq!((one.floor(), one.ceil()), (Ok(1), Ok(1)));
        }

        #[test]
        fn shares_of_a_partition_add_up(
            total in any::<i64>(), whole in 1_i64..,
            mut cuts in prop::collection::vec(any::<i64>(), 0..20),
        ) {
            for cut in &mut cuts {
                *cut = cut.rem_euclid(whole);
            }
            cuts.extend([0, whole]);
            cuts.sort_unstable();
            let mut sum = 0_i128;
            for pair in cuts.windows(2) {
                let share = |part| i128::from(cumulative_share(total, part, whole).unwrap());
                let piece = share(pair[1]) - share(pair[0]);
                prop_assert!(piece * i128::from(total.signum()) >= 0, "{piece}");
                // Each end is off by a half at most, the piece by one unit at most.
                let even = i128::from(total) * i128::from(pair[1] - pair[0]);
                let off = BigInt::from(piece) * whole - even;
                prop_assert!(off.magnitude() <= BigInt::from(whole).magnitude(), "{off}");
                sum += piece;
            }
            prop_assert_eq!(sum, i128::from(total));
        }
    }
}
