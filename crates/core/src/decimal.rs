//! Exact decimals at rest.

use crate::{ArithmeticError, Refusal};
use ethnum::I256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// An exact decimal with at most twelve fractional digits (rule 1.1), held as an integer of
/// trillionths. Equal numbers are equal values and print alike: `1.0` and `1.00` are both `1`.
///
/// It is written as a string, in binary forms as an integer where it is one that fits, and read from
/// either, never through a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Decimal12(i128);

impl Decimal12 {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(Self::SCALE);
    /// How many parts one is divided into.
    pub const SCALE: i128 = 1_000_000_000_000;
    /// How many fractional digits are kept.
    pub const DIGITS: usize = 12;

    /// A number of trillionths.
    #[must_use]
    pub const fn from_trillionths(parts: i128) -> Self {
        Self(parts)
    }

    /// The number of trillionths.
    #[must_use]
    pub const fn trillionths(self) -> i128 {
        self.0
    }

    /// A whole number.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "an i64 times 10^12 is below 2^104")]
    pub fn from_int(whole: i64) -> Self {
        Self(i128::from(whole) * Self::SCALE)
    }

    /// Whether there is no fraction.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.0 % Self::SCALE == 0
    }

    /// The whole part, towards zero, where it fits.
    #[must_use]
    pub fn trunc(self) -> Option<i64> {
        i64::try_from(self.0 / Self::SCALE).ok()
    }

    /// The number as an integer, where it is one that fits.
    #[must_use]
    pub fn as_int(self) -> Option<i64> {
        if self.is_whole() { self.trunc() } else { None }
    }

    /// Whether it is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The sum, exactly.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] beyond 128 bits.
    pub fn checked_add(self, other: Self) -> Result<Self, ArithmeticError> {
        self.0.checked_add(other.0).map(Self).ok_or(ArithmeticError::Overflow)
    }

    /// The product, where twelve fractional digits hold it exactly; none elsewhere.
    #[must_use]
    pub fn exact_product(self, other: Self) -> Option<Self> {
        let wide = I256::from(self.0).checked_mul(I256::from(other.0))?;
        let scale = I256::from(Self::SCALE);
        if wide.checked_rem(scale)? != I256::ZERO {
            return None;
        }
        i128::try_from(wide.checked_div(scale)?).ok().map(Self)
    }

    /// The difference, exactly.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] beyond 128 bits.
    pub fn checked_sub(self, other: Self) -> Result<Self, ArithmeticError> {
        self.0.checked_sub(other.0).map(Self).ok_or(ArithmeticError::Overflow)
    }
}

impl From<i64> for Decimal12 {
    fn from(whole: i64) -> Self {
        Self::from_int(whole)
    }
}

impl TryFrom<rust_decimal::Decimal> for Decimal12 {
    type Error = ArithmeticError;

    /// Takes a decimal that has at most twelve significant fractional digits; one with more is
    /// refused, not rounded.
    fn try_from(value: rust_decimal::Decimal) -> Result<Self, ArithmeticError> {
        let value = value.normalize();
        let missing = u32::try_from(Self::DIGITS)
            .ok()
            .and_then(|digits| digits.checked_sub(value.scale()))
            .ok_or(ArithmeticError::Overflow)?;
        10_i128
            .checked_pow(missing)
            .and_then(|factor| value.mantissa().checked_mul(factor))
            .map(Self)
            .ok_or(ArithmeticError::Overflow)
    }
}

impl TryFrom<Decimal12> for rust_decimal::Decimal {
    type Error = ArithmeticError;

    /// Refused where the number needs more than the 96 bits of the other type.
    fn try_from(value: Decimal12) -> Result<Self, ArithmeticError> {
        let (mut parts, mut scale) = (value.0, 12_u32);
        while scale > 0 && parts.checked_rem(10) == Some(0) {
            parts = parts.checked_div(10).ok_or(ArithmeticError::Overflow)?;
            scale = scale.saturating_sub(1);
        }
        Self::try_from_i128_with_scale(parts, scale).map_err(|_| ArithmeticError::Overflow)
    }
}

impl std::str::FromStr for Decimal12 {
    type Err = Refusal;

    /// Reads `-?digits[.digits]` with at most twelve significant fractional digits.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refuse = |reason: &str| Err(Refusal::invalid("decimal", format!("{text:?} {reason}")));
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return refuse("is not a decimal number");
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > Self::DIGITS {
            return refuse("has more than 12 fractional digits");
        }
        let missing = Self::DIGITS.saturating_sub(fraction.len());
        let zeros = std::iter::repeat_n(b'0', missing);
        let mut digits = whole.bytes().chain(fraction.bytes()).chain(zeros);
        let parts = digits.try_fold(0_i128, |parts, digit| {
            parts.checked_mul(10)?.checked_add(i128::from(digit.saturating_sub(b'0')))
        });
        match parts {
            Some(parts) if negative => Ok(Self(parts.saturating_neg())),
            Some(parts) => Ok(Self(parts)),
            None => refuse("has too many digits"),
        }
    }
}

impl fmt::Display for Decimal12 {
    #[expect(clippy::arithmetic_side_effects, reason = "the divisor is a positive constant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.unsigned_abs();
        let scale = Self::SCALE.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (parts / scale, parts % scale);
        if fraction == 0 {
            return f.pad(&format!("{sign}{whole}"));
        }
        let digits = format!("{fraction:012}");
        f.pad(&format!("{sign}{whole}.{}", digits.trim_end_matches('0')))
    }
}

impl Serialize for Decimal12 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_int() {
            Some(whole) if !serializer.is_human_readable() => serializer.serialize_i64(whole),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Decimal12 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Decimal12;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number as a string, or an integer")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Decimal12, E> {
                Ok(Decimal12::from_int(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Decimal12, E> {
                i64::try_from(value).map(Decimal12::from_int).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal12, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_are_short_where_no_person_reads() {
        let bytes = |text: &str| rmp_serde::to_vec(&text.parse::<Decimal12>().unwrap()).unwrap();
        assert_eq!(bytes("5"), [5]);
        assert_eq!(bytes("0.5"), rmp_serde::to_vec("0.5").unwrap());
        let refused = serde_json::from_str::<Decimal12>("true").unwrap_err().to_string();
        assert!(refused.contains("a decimal number as a string, or an integer"), "{refused}");
    }

    #[test]
    fn ends_in_zeros_in_the_other_type_too() {
        for text in ["0", "10", "1200", "0.1", "-30"] {
            let value: Decimal12 = text.parse().unwrap();
            assert_eq!(rust_decimal::Decimal::try_from(value).unwrap().to_string(), text);
        }
    }

    #[test]
    fn text_forms() {
        for (text, canonical) in [
            ("0", "0"),
            ("-0", "0"),
            ("1.50", "1.5"),
            ("000.05", "0.05"),
            ("-12.000000000001", "-12.000000000001"),
            ("1.0000000000000000", "1"),
            ("999999999999999.999999999999", "999999999999999.999999999999"),
        ] {
            assert_eq!(text.parse::<Decimal12>().unwrap().to_string(), canonical);
        }
        for text in ["", "-", ".5", "5.", "1e3", "+1", " 1", "1_000", "0.0000000000001", "--1"] {
            assert!(text.parse::<Decimal12>().is_err(), "{text:?} was taken");
        }
        assert!("9".repeat(40).parse::<Decimal12>().is_err());
    }

    #[test]
    fn rust_decimal_is_taken_exactly_or_refused() {
        let take = |s: &str| Decimal12::try_from(s.parse::<rust_decimal::Decimal>().unwrap());
        assert_eq!(take("0.05").unwrap().to_string(), "0.05");
        assert_eq!(take("1.0000000000000").unwrap(), Decimal12::ONE);
        assert_eq!(take("0.0000000000001"), Err(ArithmeticError::Overflow));
        let wide = Decimal12::from_trillionths(i128::MAX);
        assert!(rust_decimal::Decimal::try_from(wide).is_err());
    }

    #[test]
    fn a_product_is_exact_or_none() {
        let product = |a: &str, b: &str| {
            let (a, b): (Decimal12, Decimal12) = (a.parse().unwrap(), b.parse().unwrap());
            a.exact_product(b).map(|product| product.to_string())
        };
        assert_eq!(product("12345", "0.05").as_deref(), Some("617.25"));
        assert_eq!(product("-0.000001", "0.000001").as_deref(), Some("-0.000000000001"));
        assert_eq!(product("0.0000001", "0.000001"), None);
        assert_eq!(product("99999999999999999999", "999999999999"), None);
    }

    proptest! {
        #[test]
        fn every_value_survives_its_text_and_its_binary_form(parts in any::<i128>()) {
            prop_assume!(parts != i128::MIN);
            let value = Decimal12::from_trillionths(parts);
            prop_assert_eq!(value.to_string().parse::<Decimal12>().unwrap(), value);
            let bytes = rmp_serde::to_vec_named(&value).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Decimal12>(&bytes).unwrap(), value);
        }

        #[test]
        fn rust_decimal_round_trips(mantissa in any::<i64>(), scale in 0_u32..=12) {
            let there = rust_decimal::Decimal::new(mantissa, scale);
            let here = Decimal12::try_from(there).unwrap();
            prop_assert_eq!(rust_decimal::Decimal::try_from(here).unwrap(), there);
        }
    }
}
