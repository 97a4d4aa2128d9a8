//! What a quantity of a product costs.

use super::ProductId;
use counterfoil_core::{Currency, Decimal12, Id, Interval, Metadata, Refusal, Timestamp, kind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The id of a price.
pub type PriceId = Id<kind::Price>;

/// The id of a meter.
pub type MeterId = Id<kind::Meter>;

/// A price (rule 3.2). Its amounts, tiers, interval and meter never change.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// The price's id.
    pub id: PriceId,
    /// What it is a price of.
    pub product: ProductId,
    /// The currency of `scheme`.
    pub currency: Currency,
    /// Whether it may be put to new use.
    pub active: bool,
    /// A name for people; customers do not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// A name for programs; no two prices of a book have the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup_key: Option<String>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// How it recurs; `None` is a one-time price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurring: Option<Recurring>,
    /// What a quantity costs in `currency`.
    pub scheme: Scheme,
    /// What a quantity costs in other currencies: always schemes of the same shape as `scheme`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub currency_options: BTreeMap<Currency, Scheme>,
    /// When it was created.
    pub created: Timestamp,
}

/// How a price recurs.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurring {
    /// How often it is billed.
    pub interval: Interval,
    /// Where the quantity comes from.
    pub usage: Usage,
    /// How many days a trial lasts, for subscriptions that ask for the trial of their prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_period_days: Option<u32>,
}

/// Where the quantity of a recurring price comes from, and when it is billed (rule 3.3).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// From the subscription item; billed in advance, at the start of a period.
    Licensed,
    /// From a meter; billed in arrears, at the end of a period.
    Metered {
        /// The meter whose aggregate over the period is the quantity.
        meter: MeterId,
        /// The values that dimensions of an event are to have; all events where there are none.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        dimensions: BTreeMap<String, String>,
    },
}

/// How a quantity becomes an amount, in one currency (rule 3.3). Amounts are in minor units.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Every unit, or every package of units, costs the same.
    PerUnit {
        /// What a unit or a package costs.
        unit_amount: Decimal12,
        /// How units are packed, if they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transform: Option<TransformQuantity>,
    },
    /// A unit costs what its tier says.
    Tiered {
        /// How tiers are applied.
        mode: TiersMode,
        /// The tiers in ascending order; the last one, and only that, has no end.
        tiers: Vec<Tier>,
    },
}

/// How units are packed before they are priced.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformQuantity {
    /// Units in a package; at least 1.
    pub divide_by: u64,
    /// What becomes of a package that is not full.
    pub round: Round,
}

/// What becomes of a package that is not full.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// It counts as a full one.
    Up,
    /// It does not count.
    Down,
}

/// How tiers are applied to a quantity.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TiersMode {
    /// Each unit is priced by the tier it falls in.
    Graduated,
    /// All units are priced by the tier that the whole quantity falls in.
    Volume,
}

/// One tier: the quantities above the end of the tier before, up to and including its own.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The last quantity in the tier; `None` where it has no end.
    pub up_to: Option<i64>,
    /// What a unit costs, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<Decimal12>,
    /// What the tier costs once, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flat_amount: Option<Decimal12>,
}

impl Price {
    /// What a quantity costs in a currency.
    ///
    /// # Errors
    /// [`Refusal::CurrencyMismatch`] where the price has no option for the currency.
    pub fn scheme_in(&self, currency: Currency) -> Result<&Scheme, Refusal> {
        if currency == self.currency {
            return Ok(&self.scheme);
        }
        self.currency_options.get(&currency).ok_or_else(|| Refusal::CurrencyMismatch {
            context: format!("price {}", self.id),
            expected: self.currency.code().into(),
            got: currency.code().into(),
        })
    }

    /// How often it is billed; `None` for a one-time price.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        self.recurring.as_ref().map(|recurring| recurring.interval)
    }

    /// The meter that its quantity comes from; `None` for a licensed or one-time price.
    #[must_use]
    pub fn meter(&self) -> Option<&MeterId> {
        match &self.recurring.as_ref()?.usage {
            Usage::Metered { meter, .. } => Some(meter),
            Usage::Licensed => None,
        }
    }

    /// The values that dimensions of an event are to have to be billed by it; none where all are.
    pub fn dimensions(&self) -> impl Iterator<Item = (&str, &str)> {
        let selected = self.recurring.as_ref().and_then(|recurring| match &recurring.usage {
            Usage::Metered { dimensions, .. } => Some(dimensions),
            Usage::Licensed => None,
        });
        selected.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether an event with some values of its dimensions would be billed by it.
    #[must_use]
    pub fn selects(&self, values: &BTreeMap<String, String>) -> bool {
        self.dimensions().all(|(name, value)| values.get(name).is_some_and(|own| own == value))
    }

    /// Whether an event can be billed by both, although one of the prices selects events.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.meter().is_none() || self.meter() != other.meter() {
            return false;
        }
        let selective = self.dimensions().chain(other.dimensions()).next().is_some();
        let apart = |(name, value): (&str, &str)| {
            other.dimensions().any(|(own, theirs)| own == name && theirs != value)
        };
        selective && !self.dimensions().any(apart)
    }

    /// What a unit costs in its own currency, in minor units: `None` where the price is tiered, or
    /// the amount is not a whole number (rule 1.1).
    #[must_use]
    pub fn unit_amount(&self) -> Option<i64> {
        self.unit_amount_decimal().and_then(Decimal12::as_int)
    }

    /// What a unit costs in its own currency, in minor units; `None` where the price is tiered.
    #[must_use]
    pub fn unit_amount_decimal(&self) -> Option<Decimal12> {
        self.scheme.unit_amount_decimal()
    }
}

impl Scheme {
    /// What a unit costs, in minor units; `None` where the scheme is tiered.
    #[must_use]
    pub fn unit_amount_decimal(&self) -> Option<Decimal12> {
        match self {
            Self::PerUnit { unit_amount, .. } => Some(*unit_amount),
            Self::Tiered { .. } => None,
        }
    }

    /// Whether it costs nothing at any quantity.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let nothing =
            |amount: Option<Decimal12>| amount.is_none_or(|amount| amount == Decimal12::ZERO);
        match self {
            Self::PerUnit { unit_amount, .. } => nothing(Some(*unit_amount)),
            Self::Tiered { tiers, .. } => {
                tiers.iter().all(|tier| nothing(tier.unit_amount) && nothing(tier.flat_amount))
            }
        }
    }
}

impl Tier {
    /// The unit amount where it is a whole number of minor units (rule 1.1).
    #[must_use]
    pub fn unit_amount_minor(&self) -> Option<i64> {
        self.unit_amount.and_then(Decimal12::as_int)
    }

    /// The flat amount where it is a whole number of minor units (rule 1.1).
    #[must_use]
    pub fn flat_amount_minor(&self) -> Option<i64> {
        self.flat_amount.and_then(Decimal12::as_int)
    }
}
