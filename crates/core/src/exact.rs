//! Exact fractions in the making of an amount.

use crate::{ArithmeticError, Decimal12};
use ethnum::I256;

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
        // Cancel crosswise first, then try again.
        let a = Self::reduced(self.numerator, other.denominator)?;
        let b = Self::reduced(other.numerator, self.denominator)?;
        let numerator = a.numerator.checked_mul(b.numerator).ok_or(ArithmeticError::Overflow)?;
        let denominator =
            a.denominator.checked_mul(b.denominator).ok_or(ArithmeticError::Overflow)?;
        Ok(Self { numerator, denominator })
    }

    /// The sum.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where the fraction needs more than 256 bits.
    pub fn checked_add(self, other: Self) -> Result<Self, ArithmeticError> {
        if self.denominator == other.denominator {
            let numerator =
                self.numerator.checked_add(other.numerator).ok_or(ArithmeticError::Overflow)?;
            return Ok(Self { numerator, ..self });
        }
        let sum = |a: Self, b: Self| {
            let left = a.numerator.checked_mul(b.denominator)?;
            let right = b.numerator.checked_mul(a.denominator)?;
            Some((left.checked_add(right)?, a.denominator.checked_mul(b.denominator)?))
        };
        if let Some((numerator, denominator)) = sum(self, other) {
            return Ok(Self { numerator, denominator });
        }
        let a = Self::reduced(self.numerator, self.denominator)?;
        let b = Self::reduced(other.numerator, other.denominator)?;
        let (numerator, denominator) = sum(a, b).ok_or(ArithmeticError::Overflow)?;
        Ok(Self { numerator, denominator })
    }

    /// The opposite.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] for the one value without an opposite.
    pub fn checked_neg(self) -> Result<Self, ArithmeticError> {
        let numerator = self.numerator.checked_neg().ok_or(ArithmeticError::Overflow)?;
        Ok(Self { numerator, ..self })
    }

    /// To the nearest integer, ties away from zero (rule 1.2): the one place where an amount is
    /// rounded.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where the result exceeds `i64`.
    pub fn round(self) -> Result<i64, ArithmeticError> {
        let quotient = self.towards_zero()?;
        let whole = quotient.checked_mul(self.denominator).ok_or(ArithmeticError::Overflow)?;
        let rest = self.numerator.checked_sub(whole).ok_or(ArithmeticError::Overflow)?;
        // `denominator - rest` instead of `2 * rest`, which could overflow.
        let rest = rest.unsigned_abs();
        let complement = self.denominator.unsigned_abs().saturating_sub(rest);
        let step = if rest < complement {
            I256::ZERO
        } else if self.numerator.is_negative() {
            I256::MINUS_ONE
        } else {
            I256::ONE
        };
        narrow(quotient.checked_add(step).ok_or(ArithmeticError::Overflow)?)
    }

    /// To the next integer towards negative infinity.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where the result exceeds `i64`.
    pub fn floor(self) -> Result<i64, ArithmeticError> {
        let quotient =
            self.numerator.checked_div_euclid(self.denominator).ok_or(ArithmeticError::Overflow)?;
        narrow(quotient)
    }

    /// To the next integer towards positive infinity.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] where the result exceeds `i64`.
    pub fn ceil(self) -> Result<i64, ArithmeticError> {
        let floor = self.checked_neg()?.floor()?;
        floor.checked_neg().ok_or(ArithmeticError::Overflow)
    }

    fn towards_zero(self) -> Result<I256, ArithmeticError> {
        self.numerator.checked_div(self.denominator).ok_or(ArithmeticError::Overflow)
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
