//! Catalog commands to events.

use super::{
    BillingScheme, CreatePrice, CreateProduct, CurrencyOption, Price, PriceEvent, PriceId, Product,
    ProductEvent, ProductId, Recurring, RecurringInput, Scheme, Tier, TierInput, TiersMode,
    TransformQuantity, UpTo, UpdatePrice, UpdateProduct, Usage, UsageType,
};
use crate::text;
use counterfoil_core::{Currency, Decimal12, Interval, Metadata, Refusal, Timestamp, limits};
use std::collections::BTreeMap;

/// Creates a product with an id that is free.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for an empty name, or texts or metadata beyond their limits.
pub fn decide_create_product(
    command: &CreateProduct,
    id: ProductId,
    at: Timestamp,
) -> Result<ProductEvent, Refusal> {
    let product = Product {
        id,
        name: command.name.clone(),
        active: command.active.unwrap_or(true),
        description: command.description.clone(),
        unit_label: command.unit_label.clone(),
        metadata: Metadata::of(command.metadata.as_ref())?,
        created: at,
        updated: at,
    };
    check_product(&product)?;
    Ok(ProductEvent::Created(product.into()))
}

/// Updates a product.
///
/// # Errors
/// As [`decide_create_product`].
pub fn decide_update_product(
    product: &Product,
    command: &UpdateProduct,
    at: Timestamp,
) -> Result<ProductEvent, Refusal> {
    let product = Product {
        id: product.id.clone(),
        name: command.name.clone().unwrap_or_else(|| product.name.clone()),
        active: command.active.unwrap_or(product.active),
        description: command.description.clone().apply_to(product.description.clone()),
        unit_label: command.unit_label.clone().apply_to(product.unit_label.clone()),
        metadata: text::patched_metadata(&product.metadata, &command.metadata)?,
        created: product.created,
        updated: at,
    };
    check_product(&product)?;
    Ok(ProductEvent::Updated(product.into()))
}

/// Creates a price of a product, with an id that is free. That the meter exists, and that no other
/// price has the lookup key, is for the caller to check.
///
/// # Errors
/// [`Refusal::ProductInactive`]; [`Refusal::ParameterMissing`] or [`Refusal::ParameterInvalid`] for
/// amounts, tiers, an interval, texts or metadata that break rule 3.2 or a limit.
pub fn decide_create_price(
    command: &CreatePrice,
    id: PriceId,
    product: &Product,
    at: Timestamp,
) -> Result<PriceEvent, Refusal> {
    if !product.active {
        return Err(Refusal::ProductInactive { id: product.id.to_string() });
    }
    let shape = Shape::of(command)?;
    let amounts = Amounts {
        unit_amount: command.unit_amount,
        unit_amount_decimal: command.unit_amount_decimal,
        tiers: command.tiers.as_deref(),
    };
    let price = Price {
        id,
        product: product.id.clone(),
        currency: command.currency,
        active: command.active.unwrap_or(true),
        nickname: command.nickname.clone(),
        lookup_key: command.lookup_key.clone(),
        metadata: Metadata::of(command.metadata.as_ref())?,
        recurring: command.recurring.as_ref().map(checked_recurring).transpose()?,
        scheme: shape.scheme(&amounts)?,
        currency_options: shape.options(command.currency, &command.currency_options)?,
        created: at,
    };
    check_price_texts(&price)?;
    Ok(PriceEvent::Created(price.into()))
}

/// Updates what may change of a price (rule 3.2). That no other price has the lookup key is for the
/// caller to check.
///
/// # Errors
/// [`Refusal::ParameterMissing`] or [`Refusal::ParameterInvalid`] for other amounts in a currency
/// that the price has already, for new ones that break rule 3.2, or for texts or metadata beyond
/// their limits.
pub fn decide_update_price(price: &Price, command: &UpdatePrice) -> Result<PriceEvent, Refusal> {
    let added = Shape::of_price(price).options(price.currency, &command.currency_options)?;
    let mut currency_options = price.currency_options.clone();
    for (currency, scheme) in added {
        if currency_options.get(&currency).is_some_and(|old| *old != scheme) {
            let reason = "the amounts of a price never change; make a new price";
            return Err(Refusal::invalid(format!("currency_options.{currency}"), reason));
        }
        currency_options.insert(currency, scheme);
    }
    let price = Price {
        active: command.active.unwrap_or(price.active),
        nickname: command.nickname.clone().apply_to(price.nickname.clone()),
        lookup_key: command.lookup_key.clone().apply_to(price.lookup_key.clone()),
        metadata: text::patched_metadata(&price.metadata, &command.metadata)?,
        currency_options,
        ..price.clone()
    };
    check_price_texts(&price)?;
    Ok(PriceEvent::Updated(price.into()))
}

/// What the schemes of one price have in common over its currencies.
#[derive(Clone, Copy)]
enum Shape {
    PerUnit(Option<TransformQuantity>),
    Tiered(TiersMode),
}

/// The amounts of one currency, as given.
struct Amounts<'a> {
    unit_amount: Option<i64>,
    unit_amount_decimal: Option<Decimal12>,
    tiers: Option<&'a [TierInput]>,
}

impl Shape {
    fn of(command: &CreatePrice) -> Result<Self, Refusal> {
        match command.billing_scheme.unwrap_or(BillingScheme::PerUnit) {
            BillingScheme::PerUnit => {
                if command.tiers_mode.is_some() {
                    return Err(only_with("tiers_mode", "billing_scheme: tiered"));
                }
                if command.transform_quantity.is_some_and(|transform| transform.divide_by == 0) {
                    let reason = "a package has at least 1 unit";
                    return Err(Refusal::invalid("transform_quantity.divide_by", reason));
                }
                Ok(Self::PerUnit(command.transform_quantity))
            }
            BillingScheme::Tiered => {
                if command.transform_quantity.is_some() {
                    return Err(only_with("transform_quantity", "billing_scheme: per_unit"));
                }
                command.tiers_mode.map(Self::Tiered).ok_or_else(|| Refusal::missing("tiers_mode"))
            }
        }
    }

    const fn of_price(price: &Price) -> Self {
        match price.scheme {
            Scheme::PerUnit { transform, .. } => Self::PerUnit(transform),
            Scheme::Tiered { mode, .. } => Self::Tiered(mode),
        }
    }

    fn scheme(self, amounts: &Amounts<'_>) -> Result<Scheme, Refusal> {
        let unit_amount =
            checked_amount("unit_amount", amounts.unit_amount, amounts.unit_amount_decimal)?;
        match self {
            Self::PerUnit(transform) => {
                if amounts.tiers.is_some() {
                    return Err(only_with("tiers", "billing_scheme: tiered"));
                }
                let unit_amount = unit_amount.ok_or_else(|| Refusal::missing("unit_amount"))?;
                Ok(Scheme::PerUnit { unit_amount, transform })
            }
            Self::Tiered(mode) => {
                if unit_amount.is_some() {
                    return Err(only_with("unit_amount", "billing_scheme: per_unit"));
                }
                let tiers = amounts.tiers.ok_or_else(|| Refusal::missing("tiers"))?;
                Ok(Scheme::Tiered { mode, tiers: checked_tiers(tiers)? })
            }
        }
    }

    fn options(
        self,
        own: Currency,
        options: &BTreeMap<Currency, CurrencyOption>,
    ) -> Result<BTreeMap<Currency, Scheme>, Refusal> {
        let scheme = |(currency, option): (&Currency, &CurrencyOption)| {
            let path = format!("currency_options.{currency}");
            if *currency == own {
                return Err(Refusal::invalid(path, "this is the currency of the price itself"));
            }
            let amounts = Amounts {
                unit_amount: option.unit_amount,
                unit_amount_decimal: option.unit_amount_decimal,
                tiers: option.tiers.as_deref(),
            };
            let scheme = self.scheme(&amounts).map_err(|refusal| within(&path, refusal))?;
            Ok((*currency, scheme))
        };
        options.iter().map(scheme).collect()
    }
}

fn checked_recurring(input: &RecurringInput) -> Result<Recurring, Refusal> {
    let interval = Interval::new(input.interval, input.interval_count.unwrap_or(1))
        .map_err(|refusal| within("recurring", refusal))?;
    if input.meter.is_none() && !input.dimensions.is_empty() {
        return Err(only_with("recurring.dimensions", "meter"));
    }
    let usage = match (input.usage_type.unwrap_or(UsageType::Licensed), &input.meter) {
        (UsageType::Licensed, None) => Usage::Licensed,
        (UsageType::Licensed, Some(_)) => {
            return Err(only_with("recurring.meter", "usage_type: metered"));
        }
        (UsageType::Metered, None) => return Err(Refusal::missing("recurring.meter")),
        (UsageType::Metered, Some(meter)) => {
            Usage::Metered { meter: meter.clone(), dimensions: input.dimensions.clone() }
        }
    };
    let trial_period_days = input.trial_period_days.filter(|days| *days > 0);
    if let Some(days) = trial_period_days.filter(|days| *days > limits::TRIAL_DAYS_MAX) {
        let reason = format!("{days} days (the limit is {})", limits::TRIAL_DAYS_MAX);
        return Err(Refusal::invalid("recurring.trial_period_days", reason));
    }
    Ok(Recurring { interval, usage, trial_period_days })
}

fn checked_tiers(inputs: &[TierInput]) -> Result<Vec<Tier>, Refusal> {
    let count = inputs.len();
    if count == 0 || count > limits::PRICE_TIERS_MAX {
        let reason = format!("{count} tiers (a price has 1 to {})", limits::PRICE_TIERS_MAX);
        return Err(Refusal::invalid("tiers", reason));
    }
    let mut tiers: Vec<Tier> = Vec::with_capacity(count);
    let mut before = Some(0);
    for (index, input) in inputs.iter().enumerate() {
        let tier = checked_tier(input, before)
            .map_err(|refusal| within(&format!("tiers[{index}]"), refusal))?;
        before = tier.up_to;
        tiers.push(tier);
    }
    if before.is_some() {
        let last = count.saturating_sub(1);
        return Err(Refusal::invalid(format!("tiers[{last}].up_to"), "the last tier ends at inf"));
    }
    Ok(tiers)
}

/// `before` is the end of the tier before: 0 for the first one, `None` for inf.
fn checked_tier(input: &TierInput, before: Option<i64>) -> Result<Tier, Refusal> {
    let Some(before) = before else {
        return Err(Refusal::invalid("up_to", "no tier comes after the one that ends at inf"));
    };
    let up_to = match input.up_to {
        UpTo::Inf => None,
        UpTo::Quantity(end) if end > before => Some(end),
        UpTo::Quantity(end) => {
            let reason = format!("{end} is not above {before}, where the tier begins");
            return Err(Refusal::invalid("up_to", reason));
        }
    };
    let unit_amount = checked_amount("unit_amount", input.unit_amount, input.unit_amount_decimal)?;
    let flat_amount = checked_amount("flat_amount", input.flat_amount, input.flat_amount_decimal)?;
    if unit_amount.is_none() && flat_amount.is_none() {
        let reason = "a tier has a unit amount, a flat amount or both";
        return Err(Refusal::invalid("unit_amount", reason));
    }
    Ok(Tier { up_to, unit_amount, flat_amount })
}

/// An amount given as an integer or as its decimal twin, within 0 to the limit.
fn checked_amount(
    param: &str,
    whole: Option<i64>,
    decimal: Option<Decimal12>,
) -> Result<Option<Decimal12>, Refusal> {
    let twin = || format!("{param}_decimal");
    let (param, amount) = match (whole, decimal) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Refusal::invalid(twin(), format!("{param} is given already")));
        }
        (Some(whole), None) => (param.to_owned(), Decimal12::from_int(whole)),
        (None, Some(decimal)) => (twin(), decimal),
    };
    let limit = limits::AMOUNT_MINOR_MAX;
    if amount.is_negative() {
        let reason = format!("{amount} is not an amount from 0 to {limit}");
        return Err(Refusal::invalid(param, reason));
    }
    if amount > Decimal12::from_int(limit) {
        return Err(Refusal::too_large(format!("{param} {amount}"), limit));
    }
    Ok(Some(amount))
}

fn check_product(product: &Product) -> Result<(), Refusal> {
    if product.name.is_empty() {
        return Err(Refusal::invalid("name", "a product has a name of at least 1 character"));
    }
    text::check("name", &product.name)?;
    text::check_optional("description", product.description.as_deref())?;
    text::check_optional("unit_label", product.unit_label.as_deref())
}

fn check_price_texts(price: &Price) -> Result<(), Refusal> {
    text::check_optional("nickname", price.nickname.as_deref())?;
    let Some(key) = &price.lookup_key else { return Ok(()) };
    let (length, limit) = (key.chars().count(), limits::PRICE_LOOKUP_KEY_CHARS_MAX);
    if length == 0 || length > limit {
        let reason = format!("{length} characters (a lookup key has 1 to {limit})");
        return Err(Refusal::invalid("lookup_key", reason));
    }
    Ok(())
}

fn only_with(param: &str, condition: &str) -> Refusal {
    Refusal::invalid(param, format!("it goes only with {condition}"))
}

/// The refusal with its parameter seen from outside: `up_to` becomes `tiers[0].up_to`.
fn within(path: &str, refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::ParameterInvalid { param, reason } => {
            Refusal::invalid(format!("{path}.{param}"), reason)
        }
        Refusal::ParameterMissing { param } => Refusal::missing(format!("{path}.{param}")),
        Refusal::AmountTooLarge { what, limit } => {
            Refusal::too_large(format!("{path}.{what}"), limit)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::{Code, IntervalUnit};
    use serde_json::{Value, json};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn product() -> Product {
        let id = "prod_1".parse().unwrap();
        let event = decide_create_product(&CreateProduct::new("API"), id, at(5)).unwrap();
        Product::clone(event.product())
    }

    fn create(with: &Value) -> Result<Price, Refusal> {
        let mut command = json!({ "product": "prod_1", "currency": "usd" });
        command.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        let command = serde_json::from_value(command).unwrap();
        let event = decide_create_price(&command, "price_1".parse().unwrap(), &product(), at(9))?;
        Ok(Price::clone(event.price()))
    }

    fn tiered(tiers: &Value) -> Value {
        json!({ "billing_scheme": "tiered", "tiers_mode": "volume", "tiers": tiers })
    }

    fn with(mut base: Value, more: &Value) -> Value {
        base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        base
    }

    #[test]
    fn refused_prices() {
        let inf = json!([{ "up_to": "inf", "unit_amount": 1 }]);
        let limit = "999999999999999";
        let over = limits::AMOUNT_MINOR_MAX + 1;
        let end = |up_to: Value| json!({ "up_to": up_to, "unit_amount": 1 });
        let many: Vec<Value> = (1..=101).map(|n| end(json!(n))).collect();
        let metered = |meter: Value| json!({ "unit_amount": 1, "recurring": meter });
        let option = |option: Value| json!({ "currency_options": { "eur": option } });
        let unit = json!({ "unit_amount": 1 });
        for (command, expected) in [
            (json!({}), "unit_amount is required".to_owned()),
            (
                json!({ "unit_amount": 1, "unit_amount_decimal": "1" }),
                "unit_amount_decimal: unit_amount is given already".into(),
            ),
            (
                json!({ "unit_amount": -1 }),
                format!("unit_amount: -1 is not an amount from 0 to {limit}"),
            ),
            (
                json!({ "unit_amount_decimal": "-0.000000000001" }),
                format!("unit_amount_decimal: -0.000000000001 is not an amount from 0 to {limit}"),
            ),
            (
                json!({ "unit_amount": over }),
                format!("unit_amount {over} is too large (the limit is {limit})"),
            ),
            (
                json!({ "unit_amount_decimal": format!("{limit}.1") }),
                format!("unit_amount_decimal {limit}.1 is too large (the limit is {limit})"),
            ),
            (
                with(unit.clone(), &json!({ "tiers": inf })),
                "tiers: it goes only with billing_scheme: tiered".into(),
            ),
            (
                with(unit.clone(), &json!({ "tiers_mode": "volume" })),
                "tiers_mode: it goes only with billing_scheme: tiered".into(),
            ),
            (
                with(
                    unit.clone(),
                    &json!({ "transform_quantity": { "divide_by": 0, "round": "up" } }),
                ),
                "transform_quantity.divide_by: a package has at least 1 unit".into(),
            ),
            (json!({ "billing_scheme": "tiered", "tiers": inf }), "tiers_mode is required".into()),
            (
                json!({ "billing_scheme": "tiered", "tiers_mode": "graduated" }),
                "tiers is required".into(),
            ),
            (
                with(tiered(&inf), &unit),
                "unit_amount: it goes only with billing_scheme: per_unit".into(),
            ),
            (
                with(
                    tiered(&inf),
                    &json!({ "transform_quantity": { "divide_by": 2, "round": "up" } }),
                ),
                "transform_quantity: it goes only with billing_scheme: per_unit".into(),
            ),
            (tiered(&json!([])), "tiers: 0 tiers (a price has 1 to 100)".into()),
            (tiered(&json!(many)), "tiers: 101 tiers (a price has 1 to 100)".into()),
            (
                tiered(&json!([end(json!(0)), end(json!("inf"))])),
                "tiers[0].up_to: 0 is not above 0, where the tier begins".into(),
            ),
            (
                tiered(&json!([end(json!(-3)), end(json!("inf"))])),
                "tiers[0].up_to: -3 is not above 0, where the tier begins".into(),
            ),
            (
                tiered(&json!([end(json!(7)), end(json!(7)), end(json!("inf"))])),
                "tiers[1].up_to: 7 is not above 7, where the tier begins".into(),
            ),
            (
                tiered(&json!([end(json!(7)), end(json!(9))])),
                "tiers[1].up_to: the last tier ends at inf".into(),
            ),
            (
                tiered(&json!([end(json!("inf")), end(json!("inf"))])),
                "tiers[1].up_to: no tier comes after the one that ends at inf".into(),
            ),
            (
                tiered(&json!([{ "up_to": "inf" }])),
                "tiers[0].unit_amount: a tier has a unit amount, a flat amount or both".into(),
            ),
            (
                tiered(&json!([{ "up_to": "inf", "flat_amount": 1, "flat_amount_decimal": "1" }])),
                "tiers[0].flat_amount_decimal: flat_amount is given already".into(),
            ),
            (
                tiered(&json!([{ "up_to": "inf", "unit_amount": 1, "unit_amount_decimal": "1" }])),
                "tiers[0].unit_amount_decimal: unit_amount is given already".into(),
            ),
            (
                tiered(&json!([{ "up_to": "inf", "flat_amount": -1 }])),
                format!("tiers[0].flat_amount: -1 is not an amount from 0 to {limit}"),
            ),
            (
                metered(json!({ "interval": "month", "usage_type": "metered" })),
                "recurring.meter is required".into(),
            ),
            (
                metered(json!({ "interval": "month", "meter": "mtr_1" })),
                "recurring.meter: it goes only with usage_type: metered".into(),
            ),
            (
                metered(json!({ "interval": "month", "interval_count": 37 })),
                "recurring.interval_count: an interval has 1 to 36 months, not 37".into(),
            ),
            (
                metered(json!({ "interval": "year", "interval_count": 0 })),
                "recurring.interval_count: an interval has 1 to 3 years, not 0".into(),
            ),
            (
                with(unit.clone(), &json!({ "currency_options": { "usd": { "unit_amount": 1 } } })),
                "currency_options.usd: this is the currency of the price itself".into(),
            ),
            (
                with(unit.clone(), &option(json!({}))),
                "currency_options.eur.unit_amount is required".into(),
            ),
            (
                with(unit.clone(), &option(json!({ "tiers": inf }))),
                "currency_options.eur.tiers: it goes only with billing_scheme: tiered".into(),
            ),
            (
                with(tiered(&inf), &option(json!({ "unit_amount": 1 }))),
                "currency_options.eur.unit_amount: it goes only with billing_scheme: per_unit"
                    .into(),
            ),
            (
                with(tiered(&inf), &option(json!({ "tiers": [end(json!(5))] }))),
                "currency_options.eur.tiers[0].up_to: the last tier ends at inf".into(),
            ),
            (
                with(unit.clone(), &json!({ "nickname": "n".repeat(5_001) })),
                "nickname: 5001 characters (the limit is 5000)".into(),
            ),
            (
                with(unit.clone(), &json!({ "lookup_key": "" })),
                "lookup_key: 0 characters (a lookup key has 1 to 200)".into(),
            ),
            (
                with(unit.clone(), &json!({ "lookup_key": "k".repeat(201) })),
                "lookup_key: 201 characters (a lookup key has 1 to 200)".into(),
            ),
            (
                with(unit, &json!({ "metadata": { "[": "x" } })),
                "metadata.[: a key has no square bracket".into(),
            ),
        ] {
            match create(&command) {
                Ok(price) => panic!("{command} made {price:?}"),
                Err(refusal) => assert_eq!(refusal.to_string(), expected, "{command}"),
            }
        }
    }

    #[test]
    fn limits_are_inclusive() {
        let most = limits::AMOUNT_MINOR_MAX;
        assert_eq!(create(&json!({ "unit_amount": most })).unwrap().unit_amount(), Some(most));
        assert_eq!(create(&json!({ "unit_amount": 0 })).unwrap().unit_amount(), Some(0));
        let key = "é".repeat(limits::PRICE_LOOKUP_KEY_CHARS_MAX);
        assert!(create(&json!({ "unit_amount": 0, "lookup_key": key })).is_ok());
        let mut tiers: Vec<Value> =
            (1..100).map(|n| json!({ "up_to": n, "flat_amount": n })).collect();
        tiers.push(json!({ "up_to": "inf", "flat_amount": 0 }));
        assert!(create(&tiered(&json!(tiers))).is_ok());
    }

    #[test]
    fn a_price_is_what_was_asked_for() {
        let price = create(&json!({
            "unit_amount_decimal": "0.5",
            "transform_quantity": { "divide_by": 100, "round": "up" },
            "recurring": { "interval": "week", "interval_count": 2, "usage_type": "metered",
                           "meter": "mtr_1" },
            "currency_options": { "eur": { "unit_amount": 4 } },
        }))
        .unwrap();
        let transform = match price.scheme {
            Scheme::PerUnit { transform, .. } => transform.unwrap(),
            Scheme::Tiered { .. } => panic!("tiered"),
        };
        let four = Decimal12::from_int(4);
        let eur = Scheme::PerUnit { unit_amount: four, transform: Some(transform) };
        assert_eq!(*price.scheme_in("eur".parse().unwrap()).unwrap(), eur);
        assert_eq!(price.interval(), Some(Interval { unit: IntervalUnit::Week, count: 2 }));
        assert_eq!(price.meter().unwrap().as_str(), "mtr_1");
        assert!(price.active && price.created == at(9));
        let twins = |price: &Price| (price.unit_amount(), price.unit_amount_decimal());
        assert_eq!(twins(&price), (None, "0.5".parse().ok()), "no integer twin of a fraction");
        let whole = create(&json!({ "unit_amount_decimal": "5.0" })).unwrap();
        assert_eq!(twins(&whole), (Some(5), Some(5.into())));
        assert_eq!((whole.interval(), whole.meter()), (None, None));
        let tiers = json!([{ "up_to": "inf", "unit_amount_decimal": "0.5", "flat_amount": 3 }]);
        let price = create(&tiered(&tiers)).unwrap();
        assert_eq!(twins(&price), (None, None));
        let Scheme::Tiered { tiers, .. } = price.scheme else { panic!("not tiered") };
        assert_eq!((tiers[0].unit_amount_minor(), tiers[0].flat_amount_minor()), (None, Some(3)));
    }

    #[test]
    fn an_inactive_product_gets_no_price() {
        let inactive = Product { active: false, ..product() };
        let mut command = CreatePrice::new(inactive.id.clone(), Currency::USD);
        command.unit_amount = Some(1);
        let refusal = decide_create_price(&command, "price_1".parse().unwrap(), &inactive, at(0))
            .unwrap_err();
        assert_eq!(refusal.code(), Code::ProductInactive);
        assert_eq!(refusal.to_string(), "product prod_1 is inactive");
    }

    #[test]
    fn a_price_changes_only_in_what_may_change() {
        let old = create(&json!({
            "unit_amount": 5, "nickname": "a", "lookup_key": "k", "metadata": { "x": "1" },
            "currency_options": { "eur": { "unit_amount": 4 } },
        }))
        .unwrap();
        let update = |with: Value| {
            let mut command = json!({ "id": "price_1" });
            command.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
            let command = serde_json::from_value(command).unwrap();
            decide_update_price(&old, &command).map(|event| Price::clone(event.price()))
        };
        assert_eq!(update(json!({})).unwrap(), old);
        let same = json!({ "currency_options": { "eur": { "unit_amount_decimal": "4.0" } } });
        assert_eq!(update(same).unwrap(), old, "the same amounts again");
        let new = update(json!({
            "active": false, "nickname": null, "lookup_key": "l", "metadata": { "y": "2" },
            "currency_options": { "jpy": { "unit_amount": 9 } },
        }))
        .unwrap();
        assert_eq!(
            (new.active, &new.nickname, new.lookup_key.as_deref()),
            (false, &None, Some("l"))
        );
        assert_eq!(new.metadata.entries().len(), 2);
        let scheme = new.scheme_in("jpy".parse().unwrap()).unwrap();
        assert_eq!(scheme.unit_amount_decimal(), Some(9.into()));
        assert_eq!(new.scheme_in("eur".parse().unwrap()), old.scheme_in("eur".parse().unwrap()));
        assert_eq!((new.scheme, new.created), (old.scheme.clone(), old.created));
        for (with, expected) in [
            (
                json!({ "currency_options": { "eur": { "unit_amount": 5 } } }),
                "currency_options.eur: the amounts of a price never change; make a new price",
            ),
            (
                json!({ "currency_options": { "usd": { "unit_amount": 5 } } }),
                "currency_options.usd: this is the currency of the price itself",
            ),
            (json!({ "lookup_key": "" }), "lookup_key: 0 characters (a lookup key has 1 to 200)"),
        ] {
            assert_eq!(update(with).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn products() {
        let old = product();
        assert!(old.active && old.created == at(5) && old.updated == at(5));
        let update = |with: Value| {
            let mut command = json!({ "id": "prod_1" });
            command.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
            let command = serde_json::from_value(command).unwrap();
            decide_update_product(&old, &command, at(8))
                .map(|event| Product::clone(event.product()))
        };
        assert_eq!(update(json!({})).unwrap(), Product { updated: at(8), ..old.clone() });
        let label = Some("seat".to_owned());
        let expected = Product { active: false, unit_label: label, updated: at(8), ..old.clone() };
        assert_eq!(update(json!({ "active": false, "unit_label": "seat" })).unwrap(), expected);
        let long = "n".repeat(5_001);
        for (with, expected) in [
            (json!({ "name": "" }), "name: a product has a name of at least 1 character"),
            (json!({ "name": long }), "name: 5001 characters (the limit is 5000)"),
            (json!({ "description": long }), "description: 5001 characters (the limit is 5000)"),
            (json!({ "unit_label": long }), "unit_label: 5001 characters (the limit is 5000)"),
            (json!({ "metadata": { "": "x" } }), "metadata.: a key has 1 to 40 characters"),
        ] {
            assert_eq!(update(with).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn events_keep_their_form_in_the_log() {
        let tiers = json!([{ "up_to": 5, "unit_amount": 1 }, { "up_to": "inf", "flat_amount": 2 }]);
        let tiers_eur = json!({ "tiers": [{ "up_to": "inf", "unit_amount_decimal": "0.5" }] });
        let recurring = json!({ "interval": "day", "usage_type": "metered", "meter": "mtr_1" });
        let options = json!({ "currency_options": { "eur": tiers_eur }, "recurring": recurring });
        let event = PriceEvent::Created(create(&with(tiered(&tiers), &options)).unwrap().into());
        let bytes = rmp_serde::to_vec_named(&event).unwrap();
        assert_eq!(rmp_serde::from_slice::<PriceEvent>(&bytes).unwrap(), event);
        let event = ProductEvent::Updated(product().into());
        let bytes = rmp_serde::to_vec_named(&event).unwrap();
        assert_eq!(rmp_serde::from_slice::<ProductEvent>(&bytes).unwrap(), event);
    }
}
