//! Currencies.
use crate::Refusal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
/// A currency: a row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(u8);
struct Row {
    code: &'static str,
    exponent: u8,
    multiple: i64,
    charge_min: i64,
    charge_max: i64,
}
static TABLE: [Row; 4] = [
    Row { code: "eur", exponent: 2, multiple: 1, charge_min: 50, charge_max: 99_999_999 },
    Row { code: "jpy", exponent: 0, multiple: 1, charge_min: 50, charge_max: 99_999_999 },
    Row { code: "kwd", exponent: 3, multiple: 10, charge_min: 50, charge_max: 99_999_999 },
    Row { code: "usd", exponent: 2, multiple: 1, charge_min: 50, charge_max: 99_999_999 },
];
impl Currency {
    /// US dollar.
    pub const USD: Self = Self(3);
    fn row(self) -> &'static Row {
        TABLE.get(usize::from(self.0)).unwrap_or(&TABLE[0])
    }
    /// The code in lower case.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.row().code
    }
    /// Decimals of the minor unit.
    #[must_use]
    pub fn exponent(self) -> u8 {
        self.row().exponent
    }
    /// What an amount due must be a multiple of.
    #[must_use]
    pub fn charge_multiple_minor(self) -> i64 {
        self.row().multiple
    }
    /// Minimum charge.
    #[must_use]
    pub fn charge_min_minor(self) -> i64 {
        self.row().charge_min
    }
    /// Maximum charge.
    #[must_use]
    pub fn charge_max_minor(self) -> i64 {
        self.row().charge_max
    }
}
impl std::str::FromStr for Currency {
    type Err = Refusal;
    fn from_str(code: &str) -> Result<Self, Refusal> {
        TABLE
            .iter()
            .position(|r| r.code == code)
            .and_then(|i| u8::try_from(i).ok())
            .map(Self)
            .ok_or_else(|| Refusal::InvalidCurrency { code: code.into() })
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.code())
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let code = String::deserialize(d)?;
        code.parse().map_err(de::Error::custom)
    }
}
