//! Amounts in minor units.

use crate::{ArithmeticError, Currency};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A signed amount in the minor unit of a currency (rule 1.1): `Money::new(1250, usd)` is
/// 12.50 USD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    amount_minor: i64,
    currency: Currency,
}

impl Money {
    /// An amount in minor units.
    #[must_use]
    pub const fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }

    /// Nothing, in a currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The amount in minor units.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.amount_minor
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The sum.
    ///
    /// # Errors
    /// [`ArithmeticError::CurrencyMismatch`], or [`ArithmeticError::Overflow`] beyond `i64`.
    pub fn checked_add(self, other: Self) -> Result<Self, ArithmeticError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    /// As [`Money::checked_add`].
    pub fn checked_sub(self, other: Self) -> Result<Self, ArithmeticError> {
        self.combine(other, i64::checked_sub)
    }

    /// The opposite amount.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] for the one amount without an opposite.
    pub fn checked_neg(self) -> Result<Self, ArithmeticError> {
        let amount_minor = self.amount_minor.checked_neg().ok_or(ArithmeticError::Overflow)?;
        Ok(Self { amount_minor, ..self })
    }

    fn combine(
        self,
        other: Self,
        op: impl Fn(i64, i64) -> Option<i64>,
    ) -> Result<Self, ArithmeticError> {
        if self.currency != other.currency {
            return Err(ArithmeticError::CurrencyMismatch {
                left: self.currency,
                right: other.currency,
            });
        }
        let amount_minor =
            op(self.amount_minor, other.amount_minor).ok_or(ArithmeticError::Overflow)?;
        Ok(Self { amount_minor, ..self })
    }
}

/// The amount in major units with the currency's own number of decimals, then the code in upper
/// case: `12.50 USD`, `500 JPY`, `-1.234 KWD`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = usize::from(self.currency.exponent());
        let digits = self.amount_minor.unsigned_abs().to_string();
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let padded = format!("{digits:0>width$}", width = exponent.saturating_add(1));
        let (whole, fraction) = padded.split_at(padded.len().saturating_sub(exponent));
        let dot = if exponent == 0 { "" } else { "." };
        let code = self.currency.code().to_uppercase();
        f.pad(&format!("{sign}{whole}{dot}{fraction} {code}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount: i64, code: &str) -> Money {
        Money::new(amount, code.parse().unwrap())
    }

    #[test]
    fn display_uses_the_exponent_of_the_currency() {
        for (amount, code, expect) in [
            (1250, "usd", "12.50 USD"),
            (-5, "usd", "-0.05 USD"),
            (500, "jpy", "500 JPY"),
            (0, "eur", "0.00 EUR"),
            (-1234, "kwd", "-1.234 KWD"),
            (i64::MIN, "usd", "-92233720368547758.08 USD"),
        ] {
            assert_eq!(money(amount, code).to_string(), expect);
        }
    }

    #[test]
    fn sums_are_checked_and_do_not_mix_currencies() {
        assert_eq!(money(2, "usd").checked_add(money(3, "usd")), Ok(money(5, "usd")));
        assert_eq!(money(2, "usd").checked_sub(money(3, "usd")), Ok(money(-1, "usd")));
        assert_eq!(money(7, "usd").minor(), 7);
        assert_eq!(money(7, "usd").checked_neg(), Ok(money(-7, "usd")));
        let overflow = money(i64::MAX, "usd").checked_add(money(1, "usd"));
        assert_eq!(overflow, Err(ArithmeticError::Overflow));
        assert_eq!(money(i64::MIN, "usd").checked_neg(), Err(ArithmeticError::Overflow));
        let mixed = money(1, "usd").checked_add(money(1, "eur"));
        assert!(matches!(mixed, Err(ArithmeticError::CurrencyMismatch { .. })));
    }
}
