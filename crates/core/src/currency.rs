//! Currencies: the table of rule 1.3.

use crate::Refusal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A currency: an active code of ISO 4217 that has a minor unit, or one that rule 1.3 names.
/// Ordered by code.
///
/// Its exponent is that of ISO 4217, overridden by the lists of rule 1.3 (point 53). One byte; at
/// rest and in text it is its code in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(u8);

/// What rule 1.3 says of one currency. Amounts are in its minor unit.
struct Row {
    code: &'static str,
    exponent: u8,
    charge_multiple_minor: i64,
    charge_min_minor: i64,
    charge_max_minor: i64,
}

/// A currency without a special rule.
const fn row(code: &'static str, exponent: u8) -> Row {
    Row {
        code,
        exponent,
        charge_multiple_minor: 1,
        charge_min_minor: 50,
        charge_max_minor: 99_999_999,
    }
}

impl Row {
    const fn multiple(self, charge_multiple_minor: i64) -> Self {
        Self { charge_multiple_minor, ..self }
    }

    const fn min(self, charge_min_minor: i64) -> Self {
        Self { charge_min_minor, ..self }
    }

    /// A charge of at most so many digits, those of the minor unit included.
    #[expect(clippy::arithmetic_side_effects, reason = "in a constant: overflow does not compile")]
    const fn digits(self, digits: u32) -> Self {
        Self { charge_max_minor: 10_i64.pow(digits) - 1, ..self }
    }
}

/// In the order of codes, which is what an index means and what finds a code.
static TABLE: [Row; 166] = [
    row("aed", 2).min(200),
    row("afn", 2),
    row("all", 2),
    row("amd", 2),
    row("aoa", 2),
    row("ars", 2),
    row("aud", 2),
    row("awg", 2),
    row("azn", 2),
    row("bam", 2),
    row("bbd", 2),
    row("bdt", 2),
    row("bgn", 2).min(100),
    row("bhd", 3).multiple(10),
    row("bif", 0),
    row("bmd", 2),
    row("bnd", 2),
    row("bob", 2),
    row("bov", 2),
    row("brl", 2),
    row("bsd", 2),
    row("btn", 2),
    row("bwp", 2),
    row("byn", 2),
    row("bzd", 2),
    row("cad", 2),
    row("cdf", 2),
    row("che", 2),
    row("chf", 2),
    row("chw", 2),
    row("clf", 4),
    row("clp", 0),
    row("cny", 2),
    row("cop", 2).digits(13),
    row("cou", 2),
    row("crc", 2),
    row("cup", 2),
    row("cve", 2),
    row("czk", 2).min(1_500),
    row("djf", 0),
    row("dkk", 2).min(250),
    row("dop", 2),
    row("dzd", 2),
    row("egp", 2),
    row("ern", 2),
    row("etb", 2),
    row("eur", 2),
    row("fjd", 2),
    row("fkp", 2),
    row("gbp", 2).min(30),
    row("gel", 2),
    row("ghs", 2),
    row("gip", 2),
    row("gmd", 2),
    row("gnf", 0),
    row("gtq", 2),
    row("gyd", 2),
    row("hkd", 2).min(400),
    row("hnl", 2),
    row("htg", 2),
    row("huf", 2).min(17_500).digits(13),
    row("idr", 2).digits(12),
    row("ils", 2),
    row("inr", 2).digits(9),
    row("iqd", 3),
    row("irr", 2),
    row("isk", 2).multiple(100),
    row("jmd", 2),
    row("jod", 3).multiple(10),
    row("jpy", 0).digits(13),
    row("kes", 2),
    row("kgs", 2),
    row("khr", 2),
    row("kmf", 0),
    row("kpw", 2),
    row("krw", 0),
    row("kwd", 3).multiple(10),
    row("kyd", 2),
    row("kzt", 2),
    row("lak", 2),
    row("lbp", 2).digits(14),
    row("lkr", 2),
    row("lrd", 2),
    row("lsl", 2),
    row("lyd", 3),
    row("mad", 2),
    row("mdl", 2),
    row("mga", 0),
    row("mkd", 2),
    row("mmk", 2),
    row("mnt", 2),
    row("mop", 2),
    row("mru", 2),
    row("mur", 2),
    row("mvr", 2),
    row("mwk", 2),
    row("mxn", 2).min(1_000),
    row("mxv", 2),
    row("myr", 2).min(200),
    row("mzn", 2),
    row("nad", 2),
    row("ngn", 2),
    row("nio", 2),
    row("nok", 2).min(300),
    row("npr", 2),
    row("nzd", 2),
    row("omr", 3).multiple(10),
    row("pab", 2),
    row("pen", 2),
    row("pgk", 2),
    row("php", 2),
    row("pkr", 2),
    row("pln", 2).min(200),
    row("pyg", 0),
    row("qar", 2),
    row("ron", 2).min(200),
    row("rsd", 2),
    row("rub", 2),
    row("rwf", 0),
    row("sar", 2),
    row("sbd", 2),
    row("scr", 2),
    row("sdg", 2),
    row("sek", 2).min(300),
    row("sgd", 2),
    row("shp", 2),
    row("sle", 2),
    row("sos", 2),
    row("srd", 2),
    row("ssp", 2),
    row("stn", 2),
    row("svc", 2),
    row("syp", 2),
    row("szl", 2),
    row("thb", 2).min(1_000),
    row("tjs", 2),
    row("tmt", 2),
    row("tnd", 3).multiple(10),
    row("top", 2),
    row("try", 2),
    row("ttd", 2),
    row("twd", 2),
    row("tzs", 2),
    row("uah", 2),
    row("ugx", 2).multiple(100),
    row("usd", 2),
    row("usn", 2),
    row("uyi", 0),
    row("uyu", 2),
    row("uyw", 4),
    row("uzs", 2),
    row("ved", 2),
    row("ves", 2),
    row("vnd", 0),
    row("vuv", 0),
    row("wst", 2),
    row("xad", 2),
    row("xaf", 0),
    row("xcd", 2),
    row("xcg", 2),
    row("xof", 0),
    row("xpf", 0),
    row("yer", 2),
    row("zar", 2),
    row("zmw", 2),
    row("zwg", 2),
];

impl Currency {
    /// Euro.
    pub const EUR: Self = Self(position("eur"));
    /// Pound sterling.
    pub const GBP: Self = Self(position("gbp"));
    /// Yen.
    pub const JPY: Self = Self(position("jpy"));
    /// US dollar.
    pub const USD: Self = Self(position("usd"));

    /// Every currency, in the order of codes.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        (0..COUNT).map(Self)
    }

    /// The currency with a code of three lower-case letters, and none for anything else.
    #[must_use]
    pub fn of_code(code: &[u8]) -> Option<Self> {
        let &[a, b, c] = code else { return None };
        let index = NUMBERS.binary_search(&u32::from_be_bytes([0, a, b, c])).ok()?;
        u8::try_from(index).ok().map(Self)
    }

    /// The code in lower case.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// Decimals of the minor unit: 2 for usd, 0 for jpy, 3 for kwd.
    #[must_use]
    pub fn exponent(self) -> u8 {
        self.row().exponent
    }

    /// What an amount due must be a multiple of, in minor units: 10 for the three-decimal
    /// currencies of rule 1.3, 100 for isk and ugx, else 1.
    #[must_use]
    pub fn charge_multiple_minor(self) -> i64 {
        self.row().charge_multiple_minor
    }

    /// The smallest charge in minor units; nothing (0) may always be due.
    #[must_use]
    pub fn charge_min_minor(self) -> i64 {
        self.row().charge_min_minor
    }

    /// The largest charge in minor units.
    #[must_use]
    pub fn charge_max_minor(self) -> i64 {
        self.row().charge_max_minor
    }

    fn row(self) -> &'static Row {
        // Every `Currency` is made from an index into the table, so the default is never taken.
        TABLE.get(usize::from(self.0)).unwrap_or(&TABLE[0])
    }
}

impl std::str::FromStr for Currency {
    type Err = Refusal;

    /// Takes a code of three lower-case letters and nothing else.
    fn from_str(code: &str) -> Result<Self, Refusal> {
        Self::of_code(code.as_bytes())
            .ok_or_else(|| Refusal::InvalidCurrency { code: code.chars().take(16).collect() })
    }
}

/// The code in lower case.
impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Currency;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a currency code in lower case")
            }

            fn visit_str<E: de::Error>(self, code: &str) -> Result<Currency, E> {
                code.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// The codes of the table as numbers, in the same order.
static NUMBERS: [u32; TABLE.len()] = numbers();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated while compiling, where a failure is a build error"
)]
const fn numbers() -> [u32; TABLE.len()] {
    let mut numbers = [0; TABLE.len()];
    let mut index = 0;
    while index < TABLE.len() {
        numbers[index] = number(TABLE[index].code);
        index += 1;
    }
    numbers
}

/// How many currencies there are.
#[expect(clippy::as_conversions, reason = "asserted below to be lossless")]
const COUNT: u8 = TABLE.len() as u8;

/// The index of a code; one that the table lacks does not compile.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "evaluated while compiling, where a failure is a build error"
)]
const fn position(code: &str) -> u8 {
    let mut index = 0;
    while number(TABLE[index].code) != number(code) {
        index += 1;
    }
    index as u8
}

/// Three letters as a number of the same order.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "evaluated while compiling, where a failure is a build error"
)]
const fn number(code: &str) -> u32 {
    let code = code.as_bytes();
    assert!(code.len() == 3, "a code has three letters");
    let mut number = 0;
    let mut index = 0;
    while index < 3 {
        assert!(code[index].is_ascii_lowercase(), "a code is in lower case");
        number = number * 256 + code[index] as u32;
        index += 1;
    }
    number
}

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "evaluated while compiling, where a failure is a build error"
)]
const _: () = {
    assert!(TABLE.len() == COUNT as usize, "more currencies than an index can tell");
    let mut index = 1;
    while index < TABLE.len() {
        let (before, here) = (TABLE[index - 1].code, TABLE[index].code);
        assert!(number(before) < number(here), "the table is not in the order of codes");
        index += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn what_is_no_code_is_told_what_one_is() {
        let refused = serde_json::from_str::<Currency>("5").unwrap_err().to_string();
        assert!(refused.contains("a currency code in lower case"), "{refused}");
    }

    /// The codes for which `value` is not `default`, with the value.
    fn special(value: impl Fn(Currency) -> i64, default: i64) -> BTreeMap<&'static str, i64> {
        Currency::all()
            .map(|currency| (currency.code(), value(currency)))
            .filter(|(_, value)| *value != default)
            .collect()
    }

    #[test]
    fn exponents() {
        let exponents = special(|c| c.exponent().into(), 2);
        let of = |exponent: i64| {
            let codes = exponents.iter().filter(|(_, e)| **e == exponent).map(|(code, _)| *code);
            codes.collect::<Vec<_>>().join(" ")
        };
        // The list of rule 1.3 without ugx, and uyi of ISO 4217.
        let zero = "bif clp djf gnf jpy kmf krw mga pyg rwf uyi vnd vuv xaf xof xpf";
        assert_eq!(of(0), zero);
        // The list of rule 1.3, and iqd and lyd of ISO 4217.
        assert_eq!(of(3), "bhd iqd jod kwd lyd omr tnd");
        assert_eq!(of(4), "clf uyw");
        let other = exponents.values().filter(|e| ![0, 3, 4].contains(*e));
        assert_eq!(other.count(), 0);
        for two in ["isk", "ugx", "huf", "twd", "usd"] {
            assert_eq!(currency(two).exponent(), 2, "{two}");
        }
    }

    #[test]
    fn charge_multiples() {
        let tens = ["bhd", "jod", "kwd", "omr", "tnd"].map(|code| (code, 10));
        let hundreds = ["isk", "ugx"].map(|code| (code, 100));
        let expect = tens.into_iter().chain(hundreds).collect();
        assert_eq!(special(Currency::charge_multiple_minor, 1), expect);
    }

    #[test]
    fn minimum_charges() {
        let table = [
            ("usd", 50),
            ("aed", 200),
            ("aud", 50),
            ("bgn", 100),
            ("brl", 50),
            ("cad", 50),
            ("chf", 50),
            ("czk", 1_500),
            ("dkk", 250),
            ("eur", 50),
            ("gbp", 30),
            ("hkd", 400),
            ("huf", 17_500),
            ("inr", 50),
            ("jpy", 50),
            ("mxn", 1_000),
            ("myr", 200),
            ("nok", 300),
            ("nzd", 50),
            ("pln", 200),
            ("ron", 200),
            ("sek", 300),
            ("sgd", 50),
            ("thb", 1_000),
        ];
        for (code, min) in table {
            assert_eq!(currency(code).charge_min_minor(), min, "{code}");
        }
        let expect = table.into_iter().filter(|(_, min)| *min != 50).collect();
        assert_eq!(special(Currency::charge_min_minor, 50), expect);
    }

    #[test]
    fn maximum_charges() {
        let expect = [
            ("cop", 9_999_999_999_999),
            ("huf", 9_999_999_999_999),
            ("idr", 999_999_999_999),
            ("inr", 999_999_999),
            ("jpy", 9_999_999_999_999),
            ("lbp", 99_999_999_999_999),
        ];
        assert_eq!(special(Currency::charge_max_minor, 99_999_999), expect.into());
    }

    #[test]
    fn every_currency_can_be_charged() {
        for currency in Currency::all() {
            let multiple = currency.charge_multiple_minor();
            let largest = currency.charge_max_minor() / multiple * multiple;
            assert!(currency.charge_min_minor() > 0, "{currency}");
            assert!(largest > currency.charge_min_minor(), "{currency}");
            assert!(currency.charge_max_minor() <= crate::limits::AMOUNT_MINOR_MAX, "{currency}");
        }
    }

    #[test]
    fn every_code_finds_its_currency() {
        assert_eq!(Currency::all().len(), 166);
        for (before, after) in Currency::all().zip(Currency::all().skip(1)) {
            assert!(before < after && before.code() < after.code(), "{before}, {after}");
        }
        for currency in Currency::all() {
            let code = currency.code();
            assert!(code.len() == 3 && code.bytes().all(|b| b.is_ascii_lowercase()), "{code}");
            assert_eq!(code.parse(), Ok(currency));
            assert_eq!(
                format!("{currency} {currency:?} {currency:>4}"),
                format!("{code} {code}  {code}")
            );
            let json = serde_json::to_string(&currency).unwrap();
            assert_eq!(json, format!("{code:?}"));
            assert_eq!(serde_json::from_str::<Currency>(&json).unwrap(), currency);
            let bytes = rmp_serde::to_vec_named(&currency).unwrap();
            assert_eq!(rmp_serde::from_slice::<Currency>(&bytes).unwrap(), currency);
        }
        for (named, code) in [
            (Currency::EUR, "eur"),
            (Currency::GBP, "gbp"),
            (Currency::JPY, "jpy"),
            (Currency::USD, "usd"),
        ] {
            assert_eq!(named.code(), code);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        // Retired, metal, test and no currency at all; then malformed text.
        let unknown = ["hrk", "ang", "sll", "xau", "xts", "xxx"];
        let malformed = ["", "us", "USD", "Usd", "usd ", " usd", "usdd", "u\u{7f}d", "üsd"];
        for code in unknown.into_iter().chain(malformed) {
            let refusal = code.parse::<Currency>();
            assert_eq!(refusal, Err(Refusal::InvalidCurrency { code: code.into() }));
            assert!(serde_json::from_value::<Currency>(code.into()).is_err(), "{code:?}");
        }
        assert!(serde_json::from_str::<Currency>("147").is_err());
        let Err(Refusal::InvalidCurrency { code }) = "x".repeat(1_000_000).parse::<Currency>()
        else {
            panic!("a million letters were taken");
        };
        assert_eq!(code.len(), 16);
    }

    proptest! {
        #[test]
        fn parse_finds_only_what_is_there(code in "[a-z]{3}") {
            let there = Currency::all().find(|currency| currency.code() == code);
            prop_assert_eq!(code.parse().ok(), there);
        }
    }
}
