//! How much of a deferred amount is earned by an instant.

use counterfoil_billing::invoice::Deferral;
use counterfoil_core::{Timestamp, cumulative_share};

/// What of a deferral is earned at the instant `through`, in minor units.
///
/// Revenue is earned by UTC days, a day when it ends. The days of a period are those from the day
/// that holds its start up to and without the day that holds its end, and one at least. At an
/// instant, the days before the day that holds it are earned: of a February from midnight to
/// midnight nothing on the 1st, one day from the first second of the 2nd.
///
/// - Before the start nothing is earned, from the end on everything.
/// - A period without length is earned at its start.
/// - Days earned are rounded as a whole, half away from zero, never day by day: what the days of a
///   period earn adds up to the amount exactly.
/// - An amount and its negative always earn opposite values, so that revenue taken back is taken
///   back in full, whenever that happens.
#[must_use]
pub fn recognized(deferral: &Deferral, through: Timestamp) -> i64 {
    let Deferral { amount, period } = *deferral;
    if through < period.start {
        return 0;
    }
    if through >= period.end {
        return amount;
    }
    let first = period.start.day_number();
    let days = period.end.day_number().saturating_sub(first).max(1);
    let earned = through.day_number().saturating_sub(first).clamp(0, days);
    // 0 <= earned <= days and days >= 1: the share always fits.
    cumulative_share(amount, earned, days).unwrap_or(amount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::Period;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        match text.len() {
            10 => format!("{text}T00:00:00Z").parse().unwrap(),
            _ => format!("{text}Z").parse().unwrap(),
        }
    }

    fn deferral(amount: i64, start: &str, end: &str) -> Deferral {
        Deferral { amount, period: Period::new(at(start), at(end)) }
    }

    /// What is earned at the start of each day of the period and at its end.
    fn by_day(deferral: &Deferral) -> Vec<i64> {
        let period = deferral.period;
        let days = period.seconds() / 86_400;
        (0..=days)
            .map(|day| recognized(deferral, period.start.checked_add_days(day).unwrap()))
            .collect()
    }

    #[test]
    fn a_leap_february_earns_a_hundred_a_day() {
        assert_eq!(
            by_day(&deferral(2_900, "2024-02-01", "2024-03-01")),
            [
                0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000, 1_100, 1_200, 1_300, 1_400,
                1_500, 1_600, 1_700, 1_800, 1_900, 2_000, 2_100, 2_200, 2_300, 2_400, 2_500, 2_600,
                2_700, 2_800, 2_900,
            ]
        );
    }

    #[test]
    fn a_january_of_ten_dollars_rounds_what_is_earned_so_far() {
        let expected = [
            0, 32, 65, 97, 129, 161, 194, 226, 258, 290, 323, 355, 387, 419, 452, 484, 516, 548,
            581, 613, 645, 677, 710, 742, 774, 806, 839, 871, 903, 935, 968, 1_000,
        ];
        assert_eq!(by_day(&deferral(1_000, "2025-01-01", "2025-02-01")), expected);
        assert_eq!(
            by_day(&deferral(-1_000, "2025-01-01", "2025-02-01")),
            expected.map(|amount: i64| -amount)
        );
    }

    #[test]
    fn days_are_those_of_utc_whatever_the_second() {
        let month = ("2025-01-31T12:00:00", "2025-02-28T12:00:00");
        let night = ("2025-01-31T23:00:00", "2025-02-01T01:00:00");
        let hour = ("2025-01-31T12:00:00", "2025-01-31T13:00:00");
        let instant = ("2025-01-31T12:00:00", "2025-01-31T12:00:00");
        let inverted = ("2025-01-31T12:00:00", "2025-01-30T12:00:00");
        for ((start, end), through, expected) in [
            // 28 days of 100, from 31 January to 27 February.
            (month, "2025-01-31T11:59:59", 0),
            (month, "2025-01-31T12:00:00", 0),
            (month, "2025-01-31T23:59:59", 0),
            (month, "2025-02-01T00:00:00", 100),
            (month, "2025-02-01T23:59:59", 100),
            (month, "2025-02-27T23:59:59", 2_700),
            (month, "2025-02-28T00:00:00", 2_800),
            (month, "9999-12-31T23:59:59", 2_800),
            (night, "2025-01-31T23:59:59", 0),
            (night, "2025-02-01T00:00:00", 2_800),
            // Within one day: earned at its end.
            (hour, "2025-01-31T12:59:59", 0),
            (hour, "2025-01-31T13:00:00", 2_800),
            (instant, "2025-01-31T11:59:59", 0),
            (instant, "2025-01-31T12:00:00", 2_800),
            (inverted, "2025-01-31T11:59:59", 0),
            (inverted, "2025-01-31T12:00:00", 2_800),
        ] {
            let earned = recognized(&deferral(2_800, start, end), at(through));
            assert_eq!(earned, expected, "{start} to {end} at {through}");
        }
    }

    fn period() -> impl Strategy<Value = Period> {
        (0_i64..4_000_000_000, -100_000_i64..100_000_000).prop_map(|(start, seconds)| {
            let start = Timestamp::from_unix(start).unwrap();
            Period::new(start, start.checked_add_seconds(seconds).unwrap())
        })
    }

    proptest! {
        #[test]
        fn what_is_earned_grows_to_the_amount(
            amount in 0_i64.., period in period(),
            mut offsets in prop::collection::vec(-200_000_i64..110_000_000, 1..40),
        ) {
            let deferral = Deferral { amount, period };
            let mut before = 0;
            offsets.sort_unstable();
            for offset in offsets {
                let through = period.start.checked_add_seconds(offset).unwrap();
                let earned = recognized(&deferral, through);
                prop_assert!((before..=amount).contains(&earned), "{earned} after {before}");
                before = earned;
            }
            prop_assert_eq!(recognized(&deferral, period.end.max(period.start)), amount);
        }

        #[test]
        fn opposite_amounts_earn_opposite_values(
            amount in -i64::MAX..=i64::MAX, period in period(), offset in 0_i64..110_000_000,
        ) {
            let through = period.start.checked_add_seconds(offset).unwrap();
            let earned = recognized(&Deferral { amount, period }, through);
            let opposite = recognized(&Deferral { amount: -amount, period }, through);
            prop_assert_eq!(earned, -opposite);
        }
    }
}
