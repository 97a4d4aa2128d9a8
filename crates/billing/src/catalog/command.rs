//! What a caller may ask of the catalog.

use super::{MeterId, PriceId, ProductId, TiersMode, TransformQuantity};
use crate::Patch;
use counterfoil_core::{Currency, Decimal12, IntervalUnit, MetadataPatch};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;

/// `product.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateProduct {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ProductId>,
    /// The name on invoices.
    pub name: String,
    /// Free text about the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What one unit of it is called: `seat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_label: Option<String>,
    /// Whether new prices may be made for it; `true` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

impl CreateProduct {
    /// A product with nothing but a name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            id: None,
            name: name.into(),
            description: None,
            unit_label: None,
            active: None,
            metadata: None,
        }
    }
}

/// `product.update`: fields that are absent stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateProduct {
    /// Which product.
    pub id: ProductId,
    /// The name on invoices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether new prices may be made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Free text about the product.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub description: Patch<String>,
    /// What one unit of it is called.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub unit_label: Patch<String>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

impl UpdateProduct {
    /// An update of nothing, to be filled in.
    #[must_use]
    pub fn new(id: ProductId) -> Self {
        Self {
            id,
            name: None,
            active: None,
            description: Patch::Keep,
            unit_label: Patch::Keep,
            metadata: Patch::Keep,
        }
    }
}

/// `price.create`. Amounts are in minor units; a `_decimal` twin takes up to 12 fractional digits,
/// and only one of the two may be given (rule 3.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePrice {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PriceId>,
    /// What it is a price of.
    pub product: ProductId,
    /// The currency of the amounts.
    pub currency: Currency,
    /// What a unit costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<i64>,
    /// What a unit costs, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount_decimal: Option<Decimal12>,
    /// Per unit or tiered; per unit where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_scheme: Option<BillingScheme>,
    /// How tiers are applied; required of a tiered price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers_mode: Option<TiersMode>,
    /// The tiers in ascending order; required of a tiered price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<TierInput>>,
    /// How units are packed before they are priced; not with tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform_quantity: Option<TransformQuantity>,
    /// How it recurs; a one-time price where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurring: Option<RecurringInput>,
    /// The amounts in other currencies.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub currency_options: BTreeMap<Currency, CurrencyOption>,
    /// A name for people; customers do not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// A name for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup_key: Option<String>,
    /// Whether it may be put to new use; `true` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

impl CreatePrice {
    /// A one-time price without an amount, to be filled in.
    #[must_use]
    pub fn new(product: ProductId, currency: Currency) -> Self {
        Self {
            id: None,
            product,
            currency,
            unit_amount: None,
            unit_amount_decimal: None,
            billing_scheme: None,
            tiers_mode: None,
            tiers: None,
            transform_quantity: None,
            recurring: None,
            currency_options: BTreeMap::new(),
            nickname: None,
            lookup_key: None,
            active: None,
            metadata: None,
        }
    }
}

/// How the amounts of a price are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingScheme {
    /// By one unit amount.
    PerUnit,
    /// By tiers.
    Tiered,
}

/// A tier of a price to create: at least one of a unit amount and a flat amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierInput {
    /// The last quantity in the tier.
    pub up_to: UpTo,
    /// What a unit costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<i64>,
    /// What a unit costs, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount_decimal: Option<Decimal12>,
    /// What the tier costs once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flat_amount: Option<i64>,
    /// What the tier costs once, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flat_amount_decimal: Option<Decimal12>,
}

/// The last quantity in a tier: an integer, or the text `inf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpTo {
    /// This quantity, inclusive.
    Quantity(i64),
    /// None: the tier has no end.
    Inf,
}

impl UpTo {
    const INF: &'static str = "inf";
}

impl Serialize for UpTo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Quantity(quantity) => serializer.serialize_i64(*quantity),
            Self::Inf => serializer.serialize_str(Self::INF),
        }
    }
}

impl<'de> Deserialize<'de> for UpTo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = UpTo;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer or \"inf\"")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<UpTo, E> {
                Ok(UpTo::Quantity(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<UpTo, E> {
                let quantity = i64::try_from(value)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))?;
                Ok(UpTo::Quantity(quantity))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<UpTo, E> {
                if text == UpTo::INF {
                    return Ok(UpTo::Inf);
                }
                Err(E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// How a price to create recurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecurringInput {
    /// The unit of the interval.
    pub interval: IntervalUnit,
    /// How many of them; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_count: Option<u32>,
    /// Where the quantity comes from; licensed where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_type: Option<UsageType>,
    /// The meter; required of a metered price, and only allowed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<MeterId>,
    /// The values that dimensions of an event are to have, for a price of some usage only. Two
    /// items of a subscription may not select the same event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// How many days a trial lasts, for subscriptions that ask for the trial of their prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_period_days: Option<u32>,
}

impl RecurringInput {
    /// Licensed, every day, week, month or year.
    #[must_use]
    pub const fn every(interval: IntervalUnit) -> Self {
        Self {
            interval,
            interval_count: None,
            usage_type: None,
            meter: None,
            dimensions: BTreeMap::new(),
            trial_period_days: None,
        }
    }

    /// Metered, every day, week, month or year.
    #[must_use]
    pub const fn metered(interval: IntervalUnit, meter: MeterId) -> Self {
        Self {
            interval,
            interval_count: None,
            usage_type: Some(UsageType::Metered),
            meter: Some(meter),
            dimensions: BTreeMap::new(),
            trial_period_days: None,
        }
    }

    /// The same for the events that have a value of a dimension only.
    #[must_use]
    pub fn dimension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.dimensions.insert(name.into(), value.into());
        self
    }
}

/// Where the quantity of a recurring price comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageType {
    /// From the subscription item.
    Licensed,
    /// From a meter.
    Metered,
}

/// The amounts of a price in another currency: of the same shape as those in its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CurrencyOption {
    /// What a unit costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<i64>,
    /// What a unit costs, as a decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_amount_decimal: Option<Decimal12>,
    /// The tiers, where the price is tiered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<TierInput>>,
}

/// `price.update`: fields that are absent stay as they are; what is not listed never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdatePrice {
    /// Which price.
    pub id: PriceId,
    /// Whether it may be put to new use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub nickname: Patch<String>,
    /// A name for programs.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub lookup_key: Patch<String>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
    /// Amounts in further currencies. Those of a currency that the price has already stay as they
    /// are: giving others is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub currency_options: BTreeMap<Currency, CurrencyOption>,
}

impl UpdatePrice {
    /// An update of nothing, to be filled in.
    #[must_use]
    pub fn new(id: PriceId) -> Self {
        Self {
            id,
            active: None,
            nickname: Patch::Keep,
            lookup_key: Patch::Keep,
            metadata: Patch::Keep,
            currency_options: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use std::fmt::Debug;

    /// Reads a command, and writes it back in the same words, as text and in binary.
    #[track_caller]
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(json: &Value) -> T {
        let command: T = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&command).unwrap(), *json);
        let bytes = rmp_serde::to_vec_named(&command).unwrap();
        assert_eq!(rmp_serde::from_slice::<T>(&bytes).unwrap(), command);
        command
    }

    #[test]
    fn commands_are_written_as_they_are_read() {
        let product: CreateProduct = check(&json!({ "id": "prod_api", "name": "API" }));
        assert_eq!(
            product,
            CreateProduct { id: "prod_api".parse().ok(), ..CreateProduct::new("API") }
        );
        let update: UpdateProduct = check(&json!({
            "id": "prod_api", "active": false, "description": null, "unit_label": "seat",
            "metadata": { "tier": "gold" },
        }));
        assert_eq!(update.description, Patch::Clear);
        assert_eq!(update.unit_label, Patch::Set("seat".into()));

        let usd = Currency::USD;
        let pro: CreatePrice = check(&json!({
            "id": "price_pro", "product": "prod_api", "currency": "usd", "unit_amount": 2900,
            "recurring": { "interval": "month" },
        }));
        let expected = CreatePrice {
            id: "price_pro".parse().ok(),
            unit_amount: Some(2900),
            recurring: Some(RecurringInput::every(IntervalUnit::Month)),
            ..CreatePrice::new("prod_api".parse().unwrap(), usd)
        };
        assert_eq!(pro, expected);

        let calls: CreatePrice = check(&json!({
            "id": "price_calls", "product": "prod_api", "currency": "usd",
            "billing_scheme": "tiered", "tiers_mode": "graduated",
            "tiers": [
                { "up_to": 1000, "unit_amount": 0 },
                { "up_to": "inf", "unit_amount_decimal": "0.2" },
            ],
            "recurring": { "interval": "month", "usage_type": "metered", "meter": "mtr_calls" },
        }));
        let ends = calls.tiers.unwrap().iter().map(|tier| tier.up_to).collect::<Vec<_>>();
        assert_eq!(ends, [UpTo::Quantity(1000), UpTo::Inf]);
        let meter = "mtr_calls".parse().unwrap();
        assert_eq!(calls.recurring, Some(RecurringInput::metered(IntervalUnit::Month, meter)));

        let package: CreatePrice = check(&json!({
            "product": "prod_api", "currency": "usd", "billing_scheme": "per_unit",
            "unit_amount_decimal": "0.05",
            "transform_quantity": { "divide_by": 100, "round": "down" },
            "recurring": { "interval": "week", "interval_count": 2, "usage_type": "licensed" },
            "currency_options": { "eur": { "unit_amount": 4 } },
            "nickname": "n", "lookup_key": "k", "active": false, "metadata": { "a": "b" },
        }));
        assert!(package.transform_quantity.is_some() && package.currency_options.len() == 1);

        let update: UpdatePrice = check(&json!({
            "id": "price_pro", "active": true, "nickname": null, "lookup_key": "k",
            "metadata": null, "currency_options": { "eur": { "unit_amount_decimal": "0.5" } },
        }));
        assert_eq!((update.nickname, update.metadata), (Patch::Clear, Patch::Clear));
    }

    #[test]
    fn an_update_of_nothing_has_only_an_id() {
        let id: ProductId = "prod_1".parse().unwrap();
        assert_eq!(check::<UpdateProduct>(&json!({ "id": "prod_1" })), UpdateProduct::new(id));
        let id: PriceId = "price_1".parse().unwrap();
        assert_eq!(check::<UpdatePrice>(&json!({ "id": "price_1" })), UpdatePrice::new(id));
    }

    #[test]
    fn malformed_commands_are_refused_by_name() {
        for (json, needle) in [
            (json!({ "currency": "usd" }), "missing field `product`"),
            (json!({ "product": "p" }), "missing field `currency`"),
            (json!({ "product": "p", "currency": "xxx" }), "\"xxx\""),
            (json!({ "product": "p", "currency": "usd", "unit_amount": 1.5 }), "1.5"),
            (json!({ "product": "p", "currency": "usd", "unit_amount_decimal": "1e3" }), "1e3"),
            (json!({ "product": "p", "currency": "usd", "unit_amount_decimal": 0.5 }), "0.5"),
            (json!({ "product": "p", "currency": "usd", "tiers": [{}] }), "up_to"),
            (
                json!({ "product": "p", "currency": "usd", "tiers": [{ "up_to": "infinity" }] }),
                "expected an integer or \"inf\"",
            ),
            (
                json!({ "product": "p", "currency": "usd", "tiers": [{ "up_to": u64::MAX }] }),
                "expected an integer or \"inf\"",
            ),
            (
                json!({ "product": "p", "currency": "usd", "tiers": [{ "up_to": 2.5 }] }),
                "expected an integer or \"inf\"",
            ),
            (
                json!({ "product": "p", "currency": "usd", "transform_quantity":
                    { "divide_by": -1, "round": "up" } }),
                "-1",
            ),
            (
                json!({ "product": "p", "currency": "usd", "recurring": { "interval": "hour" } }),
                "hour",
            ),
        ] {
            let error = serde_json::from_value::<CreatePrice>(json.clone()).unwrap_err();
            assert!(error.to_string().contains(needle), "{json}: {error}");
        }
    }
}
