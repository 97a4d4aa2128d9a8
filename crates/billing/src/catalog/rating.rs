//! From a price and a quantity to lines (rule 3.3).

use super::{Price, PriceId, Round, Scheme, Tier, TiersMode, TransformQuantity};
use crate::policy::Policies;
use counterfoil_core::{ArithmeticError, Currency, Decimal12, Exact, Refusal};
use serde::{Deserialize, Serialize};

/// How many lines a tiered price gives (rule 3.3, point 2). It matters only to amounts below the
/// minor unit: each line is rounded on its own.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierLines {
    /// One for the unit part and one for the flat part of each tier that the quantity reaches.
    #[default]
    PerTier,
    /// One for the whole.
    Single,
}

/// A line of an invoice in the making.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatedLine {
    /// The amount in minor units, rounded once.
    pub amount_minor: i64,
    /// The quantity shown: that of the tier for a unit part, 1 for a flat part, units (not
    /// packages) for a packaged price.
    pub quantity: Decimal12,
    /// The price, in minor units, of one unit, one package or one flat part; `None` for several
    /// tiers in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<Decimal12>,
    /// What the amount was computed from.
    pub basis: Basis,
}

/// What the amount of a line was computed from. Tiers are counted from 1.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Quantity × unit amount.
    PerUnit,
    /// Packages × unit amount.
    Package {
        /// How many packages were charged.
        packages: i64,
        /// Units in a package.
        divide_by: u64,
        /// What became of a package that was not full.
        round: Round,
    },
    /// The units that fall in a tier × its unit amount.
    GraduatedUnit {
        /// Which tier.
        tier: u32,
        /// The end of the tier before: the units above it are in this one.
        from: i64,
        /// The last unit in the tier; `None` where it has no end.
        up_to: Option<i64>,
    },
    /// The flat amount of a tier that the quantity reaches.
    GraduatedFlat {
        /// Which tier.
        tier: u32,
    },
    /// All units × the unit amount of the tier that the quantity falls in.
    VolumeUnit {
        /// Which tier.
        tier: u32,
    },
    /// The flat amount of the tier that the quantity falls in.
    VolumeFlat {
        /// Which tier.
        tier: u32,
    },
    /// The parts of all tiers, summed before they were rounded.
    TieredSingle,
}

/// What one line is made of, before it is rounded.
struct Part {
    quantity: Decimal12,
    unit_amount: Decimal12,
    basis: Basis,
    exact: Exact,
}

/// The lines of one full period of a price at a quantity, in a currency (rule 3.3, points 2, 28, 57
/// and 58). There is always at least one; a quantity of 0 gives one line, of the first tier's flat
/// amount where there is one and of 0 elsewhere.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for a negative quantity, [`Refusal::CurrencyMismatch`] where the
/// price has no such currency, [`Refusal::AmountTooLarge`] where an amount does not fit.
pub fn rate(
    price: &Price,
    currency: Currency,
    quantity: Decimal12,
    policies: &Policies,
) -> Result<Vec<RatedLine>, Refusal> {
    let scheme = price.scheme_in(currency)?;
    let too_large = |_| too_large(&price.id, quantity);
    let parts = parts(scheme, &price.id, quantity)?;
    let round = |exact: Exact| exact.round_by(policies.rounding);
    if policies.tier_lines == TierLines::Single && matches!(scheme, Scheme::Tiered { .. }) {
        let amount_minor = sum(&parts).and_then(round).map_err(too_large)?;
        let basis = Basis::TieredSingle;
        return Ok(vec![RatedLine { amount_minor, quantity, unit_amount: None, basis }]);
    }
    parts
        .into_iter()
        .map(|Part { quantity, unit_amount, basis, exact }| {
            let amount_minor = round(exact).map_err(too_large)?;
            Ok(RatedLine { amount_minor, quantity, unit_amount: Some(unit_amount), basis })
        })
        .collect()
}

/// What one full period of a price at a quantity costs, exactly: what a fraction of the period is
/// taken from before anything is rounded.
///
/// # Errors
/// As [`rate`].
pub fn full_amount(
    price: &Price,
    currency: Currency,
    quantity: Decimal12,
) -> Result<Exact, Refusal> {
    let parts = parts(price.scheme_in(currency)?, &price.id, quantity)?;
    sum(&parts).map_err(|_| too_large(&price.id, quantity))
}

fn sum(parts: &[Part]) -> Result<Exact, ArithmeticError> {
    parts.iter().try_fold(Exact::ZERO, |total, part| total.checked_add(part.exact))
}

fn too_large(price: &PriceId, quantity: Decimal12) -> Refusal {
    Refusal::AmountTooLarge {
        what: format!("price {price} at a quantity of {quantity}"),
        limit: i64::MAX.to_string(),
    }
}

fn parts(scheme: &Scheme, price: &PriceId, quantity: Decimal12) -> Result<Vec<Part>, Refusal> {
    if quantity.is_negative() {
        return Err(Refusal::invalid("quantity", format!("{quantity} is negative")));
    }
    let parts = match scheme {
        Scheme::PerUnit { unit_amount, transform: None } => {
            Part::of(quantity, *unit_amount, Basis::PerUnit).map(|part| vec![part])
        }
        Scheme::PerUnit { unit_amount, transform: Some(transform) } => {
            package(quantity, *unit_amount, *transform).map(|part| vec![part])
        }
        Scheme::Tiered { tiers, .. } if !covers(tiers, quantity) => {
            let reason = format!("price {price} has no tier for a quantity of {quantity}");
            return Err(Refusal::invalid("tiers", reason));
        }
        Scheme::Tiered { mode: TiersMode::Graduated, tiers } => graduated(tiers, quantity),
        Scheme::Tiered { mode: TiersMode::Volume, tiers } => volume(tiers, quantity),
    };
    parts.map_err(|_| too_large(price, quantity))
}

impl Part {
    /// `quantity × unit_amount`. A flat part is a quantity of 1, so that all parts of a price share
    /// a denominator and their sum grows no larger one.
    fn of(
        quantity: Decimal12,
        unit_amount: Decimal12,
        basis: Basis,
    ) -> Result<Self, ArithmeticError> {
        let exact = Exact::from_decimal(quantity).checked_mul(Exact::from_decimal(unit_amount))?;
        Ok(Self { quantity, unit_amount, basis, exact })
    }
}

fn package(
    quantity: Decimal12,
    unit_amount: Decimal12,
    transform: TransformQuantity,
) -> Result<Part, ArithmeticError> {
    let TransformQuantity { divide_by, round } = transform;
    let divisor =
        Decimal12::SCALE.checked_mul(i128::from(divide_by)).ok_or(ArithmeticError::Overflow)?;
    let packages = Exact::ratio(quantity.trillionths(), divisor)?;
    let packages = match round {
        Round::Up => packages.ceil()?,
        Round::Down => packages.floor()?,
    };
    let exact = Exact::from_int(packages).checked_mul(Exact::from_decimal(unit_amount))?;
    let basis = Basis::Package { packages, divide_by, round };
    Ok(Part { quantity, unit_amount, basis, exact })
}

/// Whether the last tier takes the quantity.
fn covers(tiers: &[Tier], quantity: Decimal12) -> bool {
    tiers.last().is_some_and(|last| reaches(last, quantity))
}

/// Whether the quantity does not go beyond the tier.
fn reaches(tier: &Tier, quantity: Decimal12) -> bool {
    tier.up_to.is_none_or(|up_to| quantity <= Decimal12::from_int(up_to))
}

/// Tier k takes the units in (end of k−1, end of k]; quantities may be fractional (point 58).
fn graduated(tiers: &[Tier], quantity: Decimal12) -> Result<Vec<Part>, ArithmeticError> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (tier, number) in tiers.iter().zip(1..) {
        let end = match tier.up_to {
            Some(up_to) => quantity.min(Decimal12::from_int(up_to)),
            None => quantity,
        };
        let units = end.checked_sub(Decimal12::from_int(from))?;
        let unit = Basis::GraduatedUnit { tier: number, from, up_to: tier.up_to };
        push_tier(&mut parts, tier, units, unit, Basis::GraduatedFlat { tier: number })?;
        match tier.up_to {
            Some(up_to) if Decimal12::from_int(up_to) < quantity => from = up_to,
            _ => break,
        }
    }
    Ok(parts)
}

/// The first tier whose end is not below the quantity prices all of it.
fn volume(tiers: &[Tier], quantity: Decimal12) -> Result<Vec<Part>, ArithmeticError> {
    let mut parts = Vec::new();
    if let Some((tier, number)) = tiers.iter().zip(1..).find(|(tier, _)| reaches(tier, quantity)) {
        let unit = Basis::VolumeUnit { tier: number };
        push_tier(&mut parts, tier, quantity, unit, Basis::VolumeFlat { tier: number })?;
    }
    Ok(parts)
}

/// The unit part before the flat part (point 57). Without units there is only the flat part, or a
/// line of 0 where the tier has none.
fn push_tier(
    parts: &mut Vec<Part>,
    tier: &Tier,
    units: Decimal12,
    unit: Basis,
    flat: Basis,
) -> Result<(), ArithmeticError> {
    let unit_amount =
        tier.unit_amount.filter(|_| units > Decimal12::ZERO || tier.flat_amount.is_none());
    if let Some(unit_amount) = unit_amount {
        parts.push(Part::of(units, unit_amount, unit)?);
    }
    if let Some(flat_amount) = tier.flat_amount {
        parts.push(Part::of(Decimal12::ONE, flat_amount, flat)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::{Code, Metadata, Rounding, Timestamp};
    use proptest::prelude::*;

    fn price(scheme: Scheme) -> Price {
        Price {
            id: "price_1".parse().unwrap(),
            product: "prod_1".parse().unwrap(),
            currency: Currency::USD,
            active: true,
            nickname: None,
            lookup_key: None,
            metadata: Metadata::default(),
            recurring: None,
            scheme,
            currency_options: [].into(),
            created: Timestamp::from_unix(0).unwrap(),
        }
    }

    fn dec(text: &str) -> Decimal12 {
        text.parse().unwrap()
    }

    fn one_line() -> Policies {
        Policies { tier_lines: TierLines::Single, ..Policies::default() }
    }

    fn tier(up_to: impl Into<Option<i64>>, unit: &str, flat: &str) -> Tier {
        let amount = |text: &str| (!text.is_empty()).then(|| dec(text));
        Tier { up_to: up_to.into(), unit_amount: amount(unit), flat_amount: amount(flat) }
    }

    fn tiered(mode: TiersMode, tiers: &[Tier]) -> Price {
        price(Scheme::Tiered { mode, tiers: tiers.to_vec() })
    }

    fn per_unit(unit_amount: Decimal12) -> Price {
        price(Scheme::PerUnit { unit_amount, transform: None })
    }

    fn lines(price: &Price, quantity: &str) -> Vec<RatedLine> {
        rate(price, Currency::USD, dec(quantity), &Policies::default()).unwrap()
    }

    #[test]
    fn point_1_ties_go_where_the_book_says() {
        let price = per_unit(dec("0.5"));
        for (rounding, quantity, amount) in [
            (Rounding::HalfAwayFromZero, "5", 3),
            (Rounding::HalfEven, "5", 2),
            (Rounding::HalfUp, "5", 3),
            (Rounding::HalfEven, "7", 4),
            (Rounding::HalfEven, "5.1", 3),
        ] {
            let policies = Policies { rounding, ..Policies::default() };
            let lines = rate(&price, Currency::USD, dec(quantity), &policies).unwrap();
            assert_eq!(lines[0].amount_minor, amount, "{rounding:?}, {quantity}");
        }
    }

    fn line(amount_minor: i64, quantity: &str, unit_amount: &str, basis: Basis) -> RatedLine {
        let unit_amount = (!unit_amount.is_empty()).then(|| dec(unit_amount));
        RatedLine { amount_minor, quantity: dec(quantity), unit_amount, basis }
    }

    #[test]
    fn lines_of_graduated_tiers() {
        use Basis::{GraduatedFlat as Flat, GraduatedUnit as Unit};
        let price = tiered(
            TiersMode::Graduated,
            &[tier(10, "0", ""), tier(20, "5", "100"), tier(30, "", "7"), tier(None, "2", "0")],
        );
        let unit =
            |tier, from, up_to: i64| Unit { tier, from, up_to: (up_to != 0).then_some(up_to) };
        let (free, second) = (unit(1, 0, 10), unit(2, 10, 20));
        for (quantity, expected) in [
            // Without units and without a flat amount: one line of nothing.
            ("0", vec![line(0, "0", "0", free)]),
            // The end of a tier is inclusive, also for fractions.
            ("10", vec![line(0, "10", "0", free)]),
            (
                "10.5",
                vec![
                    line(0, "10", "0", free),
                    line(3, "0.5", "5", second),
                    line(100, "1", "100", Flat { tier: 2 }),
                ],
            ),
            (
                "33",
                vec![
                    line(0, "10", "0", free),
                    line(50, "10", "5", second),
                    line(100, "1", "100", Flat { tier: 2 }),
                    line(7, "1", "7", Flat { tier: 3 }),
                    line(6, "3", "2", unit(4, 30, 0)),
                    line(0, "1", "0", Flat { tier: 4 }),
                ],
            ),
        ] {
            assert_eq!(lines(&price, quantity), expected, "quantity {quantity}");
        }
    }

    #[test]
    fn lines_of_volume_tiers() {
        use Basis::{VolumeFlat as Flat, VolumeUnit as Unit};
        let price = tiered(TiersMode::Volume, &[tier(10, "5", "100"), tier(None, "4", "")]);
        let first = [Unit { tier: 1 }, Flat { tier: 1 }];
        for (quantity, expected) in [
            ("0", vec![line(100, "1", "100", first[1])]),
            ("10", vec![line(50, "10", "5", first[0]), line(100, "1", "100", first[1])]),
            ("10.000000000001", vec![line(40, "10.000000000001", "4", Unit { tier: 2 })]),
        ] {
            assert_eq!(lines(&price, quantity), expected, "quantity {quantity}");
        }
    }

    #[test]
    fn lines_of_untiered_prices() {
        let unit = per_unit(dec("2.5"));
        assert_eq!(lines(&unit, "0"), [line(0, "0", "2.5", Basis::PerUnit)]);
        assert_eq!(lines(&unit, "0.2"), [line(1, "0.2", "2.5", Basis::PerUnit)]);
        for (round, quantity, packages) in [
            (Round::Up, "0", 0),
            (Round::Up, "0.1", 1),
            (Round::Up, "10", 1),
            (Round::Up, "10.000000000001", 2),
            (Round::Down, "9.999999999999", 0),
            (Round::Down, "10", 1),
            (Round::Down, "29", 2),
        ] {
            let transform = TransformQuantity { divide_by: 10, round };
            let unit_amount = dec("300");
            let price = price(Scheme::PerUnit { unit_amount, transform: Some(transform) });
            let basis = Basis::Package { packages, divide_by: 10, round };
            let expected = line(packages * 300, quantity, "300", basis);
            assert_eq!(lines(&price, quantity), [expected], "quantity {quantity}");
        }
    }

    #[test]
    fn a_single_line_shows_the_whole_quantity() {
        let tiers = [tier(10, "0.25", "1"), tier(None, "0.25", "")];
        for (mode, amount) in [(TiersMode::Graduated, 4), (TiersMode::Volume, 3)] {
            let price = tiered(mode, &tiers);
            let single = rate(&price, Currency::USD, dec("13"), &one_line()).unwrap();
            assert_eq!(single, [line(amount, "13", "", Basis::TieredSingle)]);
        }
        let price = per_unit(dec("5"));
        let single = rate(&price, Currency::USD, dec("3"), &one_line()).unwrap();
        assert_eq!(single, [line(15, "3", "5", Basis::PerUnit)], "untiered prices do not care");
    }

    #[test]
    fn what_cannot_be_rated_is_refused_by_name() {
        let huge = per_unit(dec("999999999999999"));
        let capped = tiered(TiersMode::Graduated, &[tier(10, "1", "")]);
        let capped_volume = tiered(TiersMode::Volume, &[tier(10, "1", "")]);
        let euros = "eur".parse().unwrap();
        for (price, currency, quantity, code, text) in [
            (&huge, Currency::USD, "-1", Code::ParameterInvalid, "quantity: -1 is negative"),
            (&huge, euros, "1", Code::CurrencyMismatch, "price price_1: expected usd, got eur"),
            (
                &huge,
                Currency::USD,
                "10000",
                Code::AmountTooLarge,
                "price price_1 at a quantity of 10000 is too large \
                 (the limit is 9223372036854775807)",
            ),
            (
                &capped,
                Currency::USD,
                "11",
                Code::ParameterInvalid,
                "tiers: price price_1 has no tier for a quantity of 11",
            ),
            (
                &capped_volume,
                Currency::USD,
                "10.5",
                Code::ParameterInvalid,
                "tiers: price price_1 has no tier for a quantity of 10.5",
            ),
        ] {
            for tier_lines in [TierLines::PerTier, TierLines::Single] {
                let refusal = rate(
                    price,
                    currency,
                    dec(quantity),
                    &Policies { tier_lines, ..Policies::default() },
                )
                .unwrap_err();
                assert_eq!((refusal.code(), refusal.to_string().as_str()), (code, text));
            }
        }
        let most = Decimal12::from_trillionths(i128::MAX);
        assert!(full_amount(&huge, Currency::USD, most).is_ok(), "exact amounts are wider");
    }

    #[test]
    fn lines_keep_their_form_in_files() {
        let tiers = [tier(10, "0.5", "1"), tier(None, "1", "")];
        let graduated = tiered(TiersMode::Graduated, &tiers);
        let transform = Some(TransformQuantity { divide_by: 2, round: Round::Up });
        let package = price(Scheme::PerUnit { unit_amount: dec("1"), transform });
        let mut all = lines(&graduated, "11");
        all.extend(lines(&package, "11"));
        all.extend(rate(&graduated, Currency::USD, dec("11"), &one_line()).unwrap());
        let bytes = rmp_serde::to_vec_named(&all).unwrap();
        assert_eq!(rmp_serde::from_slice::<Vec<RatedLine>>(&bytes).unwrap(), all);
        assert_eq!(
            serde_json::to_value(&all[0]).unwrap(),
            serde_json::json!({
                "amount_minor": 5,
                "quantity": "10",
                "unit_amount": "0.5",
                "basis": { "graduated_unit": { "tier": 1, "from": 0, "up_to": 10 } },
            })
        );
    }

    fn decimals(whole_max: i128) -> impl Strategy<Value = Decimal12> {
        let scale = Decimal12::SCALE;
        prop_oneof![
            (0..=whole_max).prop_map(move |whole| Decimal12::from_trillionths(whole * scale)),
            (0..=whole_max * scale).prop_map(Decimal12::from_trillionths),
        ]
    }

    fn tier_lists(flats: bool) -> impl Strategy<Value = Vec<Tier>> {
        let flat =
            if flats { prop::option::of(decimals(10_000)).boxed() } else { Just(None).boxed() };
        prop::collection::vec((1_i64..50, decimals(10_000), flat), 1..6).prop_map(|rows| {
            let (count, mut end) = (rows.len(), 0);
            let tier = |(index, (width, unit, flat_amount)): (usize, (i64, _, _))| {
                end += width;
                let up_to = (index + 1 < count).then_some(end);
                Tier { up_to, unit_amount: Some(unit), flat_amount }
            };
            rows.into_iter().enumerate().map(tier).collect()
        })
    }

    fn minus(a: Exact, b: Exact) -> Exact {
        a.checked_add(b.checked_neg().unwrap()).unwrap()
    }

    fn at_most(a: Exact, b: Exact) -> bool {
        minus(b, a).floor().unwrap() >= 0
    }

    fn same(a: Exact, b: Exact) -> bool {
        at_most(a, b) && at_most(b, a)
    }

    fn amount(price: &Price, quantity: Decimal12) -> Exact {
        full_amount(price, Currency::USD, quantity).unwrap()
    }

    fn product(a: Decimal12, b: Decimal12) -> Exact {
        Exact::from_decimal(a).checked_mul(Exact::from_decimal(b)).unwrap()
    }

    proptest! {
        #[test]
        fn a_graduated_amount_never_falls(
            tiers in tier_lists(true),
            quantity in decimals(300),
            more in decimals(10),
        ) {
            let price = tiered(TiersMode::Graduated, &tiers);
            let after = quantity.checked_add(more).unwrap();
            prop_assert!(at_most(amount(&price, quantity), amount(&price, after)));
        }

        #[test]
        fn a_graduated_amount_without_flats_is_continuous(
            tiers in tier_lists(false),
            quantity in decimals(300),
            more in decimals(10),
        ) {
            let price = tiered(TiersMode::Graduated, &tiers);
            let after = quantity.checked_add(more).unwrap();
            let dearest = tiers.iter().filter_map(|tier| tier.unit_amount).max().unwrap();
            let step = minus(amount(&price, after), amount(&price, quantity));
            prop_assert!(at_most(step, product(more, dearest)));
        }

        #[test]
        fn a_graduated_quantity_is_shared_out_whole(
            tiers in tier_lists(true),
            quantity in decimals(300),
        ) {
            let price = tiered(TiersMode::Graduated, &tiers);
            let lines = rate(&price, Currency::USD, quantity, &Policies::default()).unwrap();
            let units = lines
                .iter()
                .filter(|line| matches!(line.basis, Basis::GraduatedUnit { .. }))
                .try_fold(Decimal12::ZERO, |sum, line| sum.checked_add(line.quantity));
            prop_assert_eq!(units.unwrap(), quantity);
        }

        #[test]
        fn a_volume_amount_is_that_of_the_one_tier(
            tiers in tier_lists(true),
            quantity in decimals(300),
        ) {
            let fits = |tier: &&Tier| match tier.up_to {
                Some(up_to) => quantity.trillionths() <= i128::from(up_to) * Decimal12::SCALE,
                None => true,
            };
            let tier = tiers.iter().find(fits).unwrap();
            let flat = Exact::from_decimal(tier.flat_amount.unwrap_or(Decimal12::ZERO));
            let unit = product(quantity, tier.unit_amount.unwrap());
            let price = tiered(TiersMode::Volume, &tiers);
            prop_assert!(same(amount(&price, quantity), unit.checked_add(flat).unwrap()));
        }

        #[test]
        fn one_line_or_many_differ_by_rounding_alone(
            tiers in tier_lists(true),
            graduated in any::<bool>(),
            quantity in decimals(300),
        ) {
            let mode = if graduated { TiersMode::Graduated } else { TiersMode::Volume };
            let price = tiered(mode, &tiers);
            let many = rate(&price, Currency::USD, quantity, &Policies::default()).unwrap();
            let single = rate(&price, Currency::USD, quantity, &one_line()).unwrap();
            prop_assert_eq!(single.len(), 1);
            let exact = amount(&price, quantity);
            prop_assert_eq!(single[0].amount_minor, exact.round().unwrap());
            let sum: i64 = many.iter().map(|line| line.amount_minor).sum();
            let error = minus(Exact::from_int(sum), exact);
            let twice = error.checked_add(error).unwrap();
            let lines = i64::try_from(many.len()).unwrap();
            prop_assert!(at_most(twice, Exact::from_int(lines)));
            prop_assert!(at_most(Exact::from_int(-lines), twice));
        }

        #[test]
        fn twice_the_quantity_costs_twice_as_much(
            unit in decimals(1_000_000_000_000_000),
            quantity in decimals(1_000_000_000_000_000),
        ) {
            let price = per_unit(unit);
            let (once, twice) = (amount(&price, quantity), quantity.checked_add(quantity).unwrap());
            let zero = minus(amount(&price, twice), once.checked_add(once).unwrap());
            prop_assert_eq!((zero.floor(), zero.ceil()), (Ok(0), Ok(0)));
        }

        #[test]
        fn packages_bracket_the_quantity(quantity in decimals(100_000), divide_by in 1_u64..1_000) {
            let packages = |round| {
                let transform = Some(TransformQuantity { divide_by, round });
                let price = price(Scheme::PerUnit { unit_amount: Decimal12::ONE, transform });
                let lines = rate(&price, Currency::USD, quantity, &Policies::default()).unwrap();
                i128::from(lines[0].amount_minor)
            };
            let (parts, size) =
                (quantity.trillionths(), i128::from(divide_by) * Decimal12::SCALE);
            let (down, up) = (packages(Round::Down), packages(Round::Up));
            prop_assert!(down * size <= parts && parts < (down + 1) * size);
            prop_assert!(up * size >= parts && parts > (up - 1) * size);
        }
    }
}
