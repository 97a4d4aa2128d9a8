//! The grammar of a value, and its range.

use crate::kernel::events::{UNIT, WIDE};
use counterfoil_core::{Decimal12, limits};

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueError {
    /// Not `-?digits[.digits]`.
    Malformed,
    /// Of that form, with more digits than 15 before or 12 after the point.
    TooManyDigits,
}

/// The first magnitude, in trillionths, that has too many integer digits: 10^27.
pub(crate) const MAGNITUDE_END: u128 = 10_u128.pow(27);

// The two limits in digits and the limit in trillionths say the same.
const _: () = assert!(
    limits::METER_VALUE_INTEGER_DIGITS_MAX + limits::METER_VALUE_FRACTION_DIGITS_MAX == 27
        && limits::METER_VALUE_FRACTION_DIGITS_MAX == Decimal12::DIGITS
);

/// Reads `-?\d{1,15}(\.\d{1,12})?` and nothing else (point 59).
pub(crate) fn parse_value(text: &str) -> Result<Decimal12, ValueError> {
    let digits = text.strip_prefix('-');
    let negative = digits.is_some();
    let digits = digits.unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let well_formed = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !well_formed(whole) || !fraction.is_none_or(well_formed) {
        return Err(ValueError::Malformed);
    }
    let fraction = fraction.unwrap_or_default();
    if whole.len() > limits::METER_VALUE_INTEGER_DIGITS_MAX
        || fraction.len() > limits::METER_VALUE_FRACTION_DIGITS_MAX
    {
        return Err(ValueError::TooManyDigits);
    }
    let padding = limits::METER_VALUE_FRACTION_DIGITS_MAX.saturating_sub(fraction.len());
    let magnitude = whole
        .bytes()
        .chain(fraction.bytes())
        .map(|digit| i128::from(digit.saturating_sub(b'0')))
        .chain(std::iter::repeat_n(0, padding))
        .fold(0_i128, |sum, digit| sum.saturating_mul(10).saturating_add(digit));
    let parts = if negative { magnitude.saturating_neg() } else { magnitude };
    Ok(Decimal12::from_trillionths(parts))
}

/// Whether a value that came as a number has no more digits than one may have as text.
pub(crate) fn check_value(value: Decimal12) -> Result<Decimal12, ValueError> {
    if value.trillionths().unsigned_abs() < MAGNITUDE_END {
        Ok(value)
    } else {
        Err(ValueError::TooManyDigits)
    }
}

/// A value as it is kept: millionths, or trillionths where it is no whole number of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Millionths, or [`WIDE`].
    pub(crate) units: i64,
    /// Trillionths; set where `units` is [`WIDE`].
    pub(crate) wide: i128,
}

impl Amount {
    pub(crate) const ZERO: Self = Self { units: 0, wide: 0 };

    /// The amount of a decimal.
    #[inline]
    pub(crate) fn of(value: Decimal12) -> Self {
        let value = value.trillionths();
        let units = value.checked_div(UNIT).and_then(|units| i64::try_from(units).ok());
        match units {
            Some(units) if units != WIDE && i128::from(units).checked_mul(UNIT) == Some(value) => {
                Self { units, wide: 0 }
            }
            _ => Self { units: WIDE, wide: value },
        }
    }

    /// The amount of so many units of so many trillionths.
    #[inline(always)]
    pub(crate) fn of_units(units: i64, unit: i128) -> Result<Self, ValueError> {
        if unit == UNIT && units != WIDE {
            return Ok(Self { units, wide: 0 });
        }
        let value = i128::from(units).checked_mul(unit).ok_or(ValueError::TooManyDigits)?;
        check_value(Decimal12::from_trillionths(value)).map(Self::of)
    }

    /// The value in trillionths.
    #[inline]
    pub(crate) fn trillionths(self) -> i128 {
        match self.units {
            WIDE => self.wide,
            units => i128::from(units).saturating_mul(UNIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn grammar() {
        for (text, parts) in [
            ("0", 0),
            ("-0", 0),
            ("7", 7_000_000_000_000),
            ("-1.5", -1_500_000_000_000),
            ("0.000000000001", 1),
            ("000000000000001.10", 1_100_000_000_000),
            ("999999999999999.999999999999", 10_i128.pow(27) - 1),
            ("-999999999999999.999999999999", 1 - 10_i128.pow(27)),
        ] {
            let value = parse_value(text).unwrap();
            assert_eq!(value, Decimal12::from_trillionths(parts), "{text}");
            assert_eq!(check_value(value), Ok(value));
        }
        for text in [
            "", "-", "+1", " 1", "1 ", "1e3", "1_0", ".5", "5.", "1..2", "1.2.3", "--1", "0x1",
            "NaN", "inf", "1,5", "٣", "1\n", "1.-2",
        ] {
            assert_eq!(parse_value(text), Err(ValueError::Malformed), "{text:?}");
        }
        for text in ["1000000000000000", "0000000000000001", "0.0000000000001", "1.0000000000000"] {
            assert_eq!(parse_value(text), Err(ValueError::TooManyDigits), "{text:?}");
        }
        for parts in [10_i128.pow(27), -(10_i128.pow(27)), i128::MAX, i128::MIN] {
            let value = Decimal12::from_trillionths(parts);
            assert_eq!(check_value(value), Err(ValueError::TooManyDigits));
        }
    }

    proptest! {
        #[test]
        fn an_amount_is_its_value(value in any::<i64>(), digits in 0..13_u32, wide in any::<i128>()) {
            let unit = 10_i128.pow(12 - digits);
            match Amount::of_units(value, unit) {
                Ok(amount) => prop_assert_eq!(amount.trillionths(), i128::from(value) * unit),
                Err(error) => {
                    prop_assert_eq!(error, ValueError::TooManyDigits);
                    prop_assert!((i128::from(value) * unit).unsigned_abs() >= MAGNITUDE_END);
                }
            }
            let amount = Amount::of(Decimal12::from_trillionths(wide));
            prop_assert_eq!(amount.trillionths(), wide);
        }

        #[test]
        fn agrees_with_the_decimal_of_the_ground_floor(
            text in r"-?[0-9]{1,15}(\.[0-9]{1,12})?"
        ) {
            prop_assert_eq!(parse_value(&text).unwrap(), text.parse::<Decimal12>().unwrap());
        }

        #[test]
        fn nothing_else_is_taken(text in r"[-+.0-9eE ]{0,6}") {
            let taken = parse_value(&text).is_ok();
            let form = text.strip_prefix('-').unwrap_or(&text);
            let parts: Vec<&str> = form.split('.').collect();
            let grammatical = parts.len() <= 2
                && parts.iter().all(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit()));
            prop_assert_eq!(taken, grammatical);
        }
    }
}
