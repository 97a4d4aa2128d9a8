//! Numbers compared as numbers, whatever their spelling.

use counterfoil_core::Timestamp;

/// A decimal without the zeros that mean nothing.
#[derive(PartialEq, Eq)]
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

fn parse(text: &str) -> Option<Decimal<'_>> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let negative = negative && !(whole.is_empty() && fraction.is_empty());
    Some(Decimal { negative, whole, fraction })
}

/// Whether two texts are the same decimal number, exactly and of any length.
pub(super) fn equal(left: &str, right: &str) -> bool {
    matches!((parse(left), parse(right)), (Some(left), Some(right)) if left == right)
}

/// Whether an RFC 3339 text is the instant of these Unix seconds.
pub(super) fn is_instant(text: &str, seconds: &str) -> bool {
    match (Timestamp::parse(text), seconds.parse::<i64>()) {
        (Ok(at), Ok(seconds)) => at.unix() == seconds,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_number_are_equal() {
        for (left, right, same) in [
            ("1.50", "1.5", true),
            ("1.0", "1", true),
            ("-0", "0", true),
            ("-0.00", "0", true),
            ("007", "7", true),
            ("0.5", "0.05", false),
            ("10", "1", false),
            ("-1", "1", false),
            ("1.", "1", false),
            (".5", "0.5", false),
            ("", "", false),
            ("-", "-", false),
            ("x", "x", false),
            ("123456789012345678901234567890.1", "123456789012345678901234567890.10", true),
            ("123456789012345678901234567890.1", "123456789012345678901234567890.2", false),
        ] {
            assert_eq!(equal(left, right), same, "{left} {right}");
        }
    }

    #[test]
    fn instants_equal_their_seconds() {
        assert!(is_instant("2025-01-01T00:00:00Z", "1735689600"));
        assert!(is_instant("2025-01-01T01:00:00+01:00", "1735689600"));
        assert!(!is_instant("2025-01-01T00:00:01Z", "1735689600"));
        assert!(!is_instant("2025-01-01", "1735689600"));
    }

    proptest! {
        #[test]
        fn equality_is_that_of_scaled_integers(left: i16, right: i16, l in 0_u32..4, r in 0_u32..4) {
            let text = |digits: i16, scale: u32| {
                let digits = i64::from(digits);
                let sign = if digits < 0 { "-" } else { "" };
                let unit = 10_i64.pow(scale);
                let (whole, part) = (digits.abs() / unit, digits.abs() % unit);
                match scale {
                    0 => format!("{sign}{whole}"),
                    _ => format!("{sign}{whole}.{part:0width$}", width = scale as usize),
                }
            };
            let scaled = |digits: i16, scale: u32| i64::from(digits) * 10_i64.pow(4 - scale);
            prop_assert_eq!(equal(&text(left, l), &text(right, r)), scaled(left, l) == scaled(right, r));
            prop_assert!(equal(&text(left, l), &text(left, l)));
        }
    }
}
