//! Tax rates, and what they make of an amount (rule 5).

use crate::Patch;
use crate::discount::Terms;
use crate::text;
use counterfoil_core::{
    ArithmeticError, Decimal12, Exact, Id, Metadata, MetadataPatch, Refusal, Timestamp, kind,
    limits,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The id of a tax rate.
pub type TaxRateId = Id<kind::TaxRate>;
/// The id of a tax id of a customer.
pub type TaxIdId = Id<kind::TaxId>;

/// A tax rate. What it takes never changes: it is retired, and another one made.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxRate {
    /// Its id.
    pub id: TaxRateId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// What a person reads: `VAT`.
    pub display_name: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// In percent: 0 to 100, with at most four fractional digits.
    pub percentage: Decimal12,
    /// Whether it is in the price already, rather than added to it.
    pub inclusive: bool,
    /// Whether it may be put on anything anew.
    pub active: bool,
    /// The country, ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The state or region within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The jurisdiction as a person reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
    /// The kind of tax: `vat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_type: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// What happened to a tax rate. Each event carries the whole of it as it is from then on.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaxRateEvent {
    /// It was created.
    Created(Arc<TaxRate>),
    /// It was changed in what may change.
    Updated(Arc<TaxRate>),
}

impl TaxRateEvent {
    /// The tax rate after the event, whatever it was before.
    #[must_use]
    pub const fn tax_rate(&self) -> &Arc<TaxRate> {
        match self {
            Self::Created(rate) | Self::Updated(rate) => rate,
        }
    }
}

/// Whether a customer pays tax.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxExempt {
    /// It does.
    #[default]
    None,
    /// It pays none.
    Exempt,
    /// It accounts for the tax itself.
    Reverse,
}

/// Whether tax is rounded on each line or once for the whole invoice.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxRounding {
    /// The tax of each line is rounded, then they are added up.
    #[default]
    Line,
    /// What a rate takes off all lines is rounded once. Lines show what rounding so far gives them,
    /// so that they add up.
    Invoice,
}

/// What a tax rate takes of an amount.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxAmount {
    /// In minor units; signed like the amount that is taxed.
    pub amount: i64,
    /// Whether it is in the price already.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub inclusive: bool,
    /// What is taxed, in minor units: without the tax that is in the price.
    pub taxable_amount: i64,
    /// The rate.
    pub tax_rate: TaxRateId,
    /// Why it takes this much.
    #[serde(default)]
    pub taxability_reason: TaxabilityReason,
    /// The tax in the price that a customer does not pay, and that is taken off the price (point
    /// 49).
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub waived: i64,
}

/// Why a tax rate takes what it takes.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaxabilityReason {
    /// The rate applies.
    #[default]
    StandardRated,
    /// The rate is 0.
    ZeroRated,
    /// The customer pays no tax.
    CustomerExempt,
    /// The customer accounts for the tax itself.
    ReverseCharge,
}

/// `tax_rate.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTaxRate {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TaxRateId>,
    /// What a person reads.
    pub display_name: String,
    /// In percent: 0 to 100, with at most four fractional digits.
    pub percentage: Decimal12,
    /// Whether it is in the price already, rather than added to it.
    pub inclusive: bool,
    /// Whether it may be put on anything; yes where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The country, ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The state or region within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The jurisdiction as a person reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
    /// The kind of tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_type: Option<String>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

impl TaxRate {
    /// Why it takes what it takes of somebody who pays tax.
    pub(crate) fn taxability(&self) -> TaxabilityReason {
        if self.percentage == Decimal12::ZERO {
            TaxabilityReason::ZeroRated
        } else {
            TaxabilityReason::StandardRated
        }
    }
}

impl CreateTaxRate {
    /// A rate in percent.
    #[must_use]
    pub fn new(display_name: impl Into<String>, percentage: Decimal12, inclusive: bool) -> Self {
        Self {
            id: None,
            display_name: display_name.into(),
            percentage,
            inclusive,
            active: None,
            description: None,
            country: None,
            state: None,
            jurisdiction: None,
            tax_type: None,
            metadata: None,
        }
    }
}

/// `tax_rate.update`: what may change of a tax rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateTaxRate {
    /// Which tax rate.
    pub id: TaxRateId,
    /// Whether it may be put on anything anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// What a person reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub description: Patch<String>,
    /// The jurisdiction as a person reads it.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub jurisdiction: Patch<String>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

/// Creates a tax rate with an id that is free.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for a percentage or texts beyond their limits.
pub fn decide_create_tax_rate(
    command: &CreateTaxRate,
    id: TaxRateId,
    seq: u64,
    at: Timestamp,
) -> Result<TaxRateEvent, Refusal> {
    check_percentage(command.percentage)?;
    let rate = TaxRate {
        id,
        seq,
        display_name: command.display_name.clone(),
        description: command.description.clone(),
        percentage: command.percentage,
        inclusive: command.inclusive,
        active: command.active.unwrap_or(true),
        country: command.country.clone(),
        state: command.state.clone(),
        jurisdiction: command.jurisdiction.clone(),
        tax_type: command.tax_type.clone(),
        created: at,
        metadata: Metadata::of(command.metadata.as_ref())?,
    };
    check_texts(&rate)?;
    Ok(TaxRateEvent::Created(rate.into()))
}

/// Changes what may change of a tax rate.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for texts beyond their limits.
pub fn decide_update_tax_rate(
    rate: &TaxRate,
    command: &UpdateTaxRate,
) -> Result<TaxRateEvent, Refusal> {
    let mut updated = rate.clone();
    updated.active = command.active.unwrap_or(updated.active);
    if let Some(name) = &command.display_name {
        updated.display_name.clone_from(name);
    }
    updated.description = command.description.clone().apply_to(updated.description);
    updated.jurisdiction = command.jurisdiction.clone().apply_to(updated.jurisdiction);
    updated.metadata = text::patched_metadata(&updated.metadata, &command.metadata)?;
    check_texts(&updated)?;
    Ok(TaxRateEvent::Updated(updated.into()))
}

fn check_percentage(percentage: Decimal12) -> Result<(), Refusal> {
    let digits = limits::TAX_PERCENTAGE_DIGITS_MAX;
    if percentage.is_negative() || percentage > Decimal12::from_int(100) {
        return Err(Refusal::invalid("percentage", format!("{percentage} is not 0 to 100")));
    }
    let finest = 10_i128.checked_pow(digits).and_then(|parts| Decimal12::SCALE.checked_div(parts));
    if finest.and_then(|finest| percentage.trillionths().checked_rem(finest)) != Some(0) {
        let reason = format!("{percentage} has more than {digits} fractional digits");
        return Err(Refusal::invalid("percentage", reason));
    }
    Ok(())
}

fn check_texts(rate: &TaxRate) -> Result<(), Refusal> {
    if rate.display_name.is_empty() {
        return Err(Refusal::invalid("display_name", "a tax rate has a name"));
    }
    text::check("display_name", &rate.display_name)?;
    for (param, text) in [
        ("description", &rate.description),
        ("country", &rate.country),
        ("state", &rate.state),
        ("jurisdiction", &rate.jurisdiction),
        ("tax_type", &rate.tax_type),
    ] {
        text::check_optional(param, text.as_deref())?;
    }
    Ok(())
}

/// Refuses tax rates that cannot be put on an object: unknown, retired, the same twice, too many.
///
/// # Errors
/// [`Refusal::ResourceMissing`], or [`Refusal::ParameterInvalid`] naming the limit.
pub fn check_tax_rates(
    param: &str,
    rates: &[TaxRateId],
    before: &[TaxRateId],
    terms: &dyn Terms,
) -> Result<(), Refusal> {
    let most = limits::TAX_RATES_MAX;
    if rates.len() > most {
        let reason = format!("{} tax rates (the limit is {most})", rates.len());
        return Err(Refusal::invalid(param, reason));
    }
    for (index, id) in rates.iter().enumerate() {
        let rate = terms.tax_rate(id)?;
        if !rate.active && !before.contains(id) {
            let reason = format!("tax rate {id} is inactive");
            return Err(Refusal::invalid(format!("{param}[{index}]"), reason));
        }
        if rates.iter().take(index).any(|other| other == id) {
            return Err(Refusal::invalid(
                format!("{param}[{index}]"),
                format!("{id} appears twice"),
            ));
        }
    }
    Ok(())
}

/// The taxes of the lines of an invoice, in the making.
#[derive(Debug)]
pub(crate) struct Taxes {
    exempt: TaxExempt,
    rounding: TaxRounding,
    /// What each rate takes of the lines so far, exact and rounded.
    so_far: BTreeMap<TaxRateId, (Exact, i64)>,
}

impl Taxes {
    pub(crate) fn new(exempt: TaxExempt, rounding: TaxRounding) -> Self {
        Self { exempt, rounding, so_far: BTreeMap::new() }
    }

    /// The taxes of the next line, of which `base` is left after discounts.
    pub(crate) fn of_line(
        &mut self,
        base: i64,
        rates: &[&TaxRate],
    ) -> Result<Vec<TaxAmount>, ArithmeticError> {
        let amounts = match self.rounding {
            TaxRounding::Line => rounded_on_the_line(base, rates)?,
            TaxRounding::Invoice => self.rounded_so_far(base, rates)?,
        };
        let inclusive = rates.iter().zip(&amounts).filter(|(rate, _)| rate.inclusive);
        let inside = inclusive.fold(0_i64, |sum, (_, amount)| sum.saturating_add(*amount));
        let taxable_amount = base.checked_sub(inside).ok_or(ArithmeticError::Overflow)?;
        let amounts = rates.iter().zip(amounts);
        Ok(amounts.map(|(rate, amount)| self.tax(rate, amount, taxable_amount)).collect())
    }

    fn tax(&self, rate: &TaxRate, amount: i64, taxable_amount: i64) -> TaxAmount {
        let (amount, waived, taxability_reason) = match self.exempt {
            TaxExempt::None => (amount, 0, rate.taxability()),
            // What is in the price comes off it (point 49).
            TaxExempt::Exempt if rate.inclusive => (0, amount, TaxabilityReason::CustomerExempt),
            TaxExempt::Exempt => (0, 0, TaxabilityReason::CustomerExempt),
            TaxExempt::Reverse if rate.inclusive => (0, amount, TaxabilityReason::ReverseCharge),
            TaxExempt::Reverse => (0, 0, TaxabilityReason::ReverseCharge),
        };
        TaxAmount {
            amount,
            inclusive: rate.inclusive,
            taxable_amount,
            tax_rate: rate.id.clone(),
            taxability_reason,
            waived,
        }
    }

    /// Rounded over all lines so far: what a line is given is the difference that it makes, so that
    /// the lines add up to what is rounded once.
    fn rounded_so_far(
        &mut self,
        base: i64,
        rates: &[&TaxRate],
    ) -> Result<Vec<i64>, ArithmeticError> {
        let base = Exact::from_int(base);
        let hundred = Decimal12::from_int(100);
        let inside = inclusive_sum(rates)?;
        // base / (1 + p) = base * 100 / (100 + p), with p in percent.
        let whole = hundred.checked_add(inside)?.trillionths();
        let bare = base.checked_mul(Exact::ratio(hundred.trillionths(), whole)?)?;
        let mut amounts = Vec::with_capacity(rates.len());
        for rate in rates {
            let share = Exact::ratio(rate.percentage.trillionths(), hundred.trillionths())?;
            let exact = bare.checked_mul(share)?;
            let (sum, before) = self.so_far.entry(rate.id.clone()).or_insert((Exact::ZERO, 0));
            *sum = sum.checked_add(exact)?;
            let after = sum.round()?;
            amounts.push(after.checked_sub(*before).ok_or(ArithmeticError::Overflow)?);
            *before = after;
        }
        Ok(amounts)
    }
}

fn inclusive_sum(rates: &[&TaxRate]) -> Result<Decimal12, ArithmeticError> {
    let inclusive = rates.iter().filter(|rate| rate.inclusive);
    inclusive.map(|rate| rate.percentage).try_fold(Decimal12::ZERO, Decimal12::checked_add)
}

/// The tax of each rate, rounded on the line: what is in the price as a whole, shared out by the
/// rates with what is left over to the last (point 7); then what is added, on the amount without
/// the rounded tax in it (point 34).
fn rounded_on_the_line(base: i64, rates: &[&TaxRate]) -> Result<Vec<i64>, ArithmeticError> {
    let hundred = Decimal12::from_int(100);
    let percent = inclusive_sum(rates)?;
    let whole = hundred.checked_add(percent)?.trillionths();
    let exact = Exact::from_int(base);
    let inside = exact.checked_mul(Exact::ratio(percent.trillionths(), whole)?)?.round()?;
    let bare = base.checked_sub(inside).ok_or(ArithmeticError::Overflow)?;
    let last = rates.iter().rposition(|rate| rate.inclusive);
    let mut left = inside;
    let mut amounts = Vec::with_capacity(rates.len());
    for (index, rate) in rates.iter().enumerate() {
        let parts = rate.percentage.trillionths();
        amounts.push(if !rate.inclusive {
            let share = Exact::ratio(parts, hundred.trillionths())?;
            Exact::from_int(bare).checked_mul(share)?.round()?
        } else if Some(index) == last {
            left
        } else if percent == Decimal12::ZERO {
            0
        } else {
            let share = towards_zero(inside, parts, percent.trillionths())?;
            left = left.checked_sub(share).ok_or(ArithmeticError::Overflow)?;
            share
        });
    }
    Ok(amounts)
}

/// `amount * part / whole` towards zero.
fn towards_zero(amount: i64, part: i128, whole: i128) -> Result<i64, ArithmeticError> {
    let share = Exact::from_int(amount).checked_mul(Exact::ratio(part, whole)?)?;
    if amount < 0 { share.ceil() } else { share.floor() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The parameter that a tax rate is refused for.
    fn refused(fields: serde_json::Value) -> Option<String> {
        let mut with = json!({ "display_name": "VAT", "percentage": "20", "inclusive": false });
        with.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let command: CreateTaxRate = serde_json::from_value(with).unwrap();
        let at = "2025-01-01T00:00:00Z".parse().unwrap();
        match decide_create_tax_rate(&command, "txr_1".parse().unwrap(), 1, at) {
            Ok(_) => None,
            Err(Refusal::ParameterInvalid { param, .. }) => Some(param),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_percentage_is_0_to_100_with_four_digits() {
        for percentage in ["0", "0.0001", "99.9999", "100"] {
            assert_eq!(refused(json!({ "percentage": percentage })), None, "{percentage}");
        }
        for percentage in ["-0.0001", "-5", "100.0001", "250", "0.00001"] {
            let param = refused(json!({ "percentage": percentage }));
            assert_eq!(param.as_deref(), Some("percentage"), "{percentage}");
        }
    }

    #[test]
    fn texts_have_a_limit_and_a_name_is_there() {
        assert_eq!(refused(json!({ "display_name": "" })).as_deref(), Some("display_name"));
        let long = "x".repeat(100_000);
        for field in ["display_name", "description", "country", "state", "jurisdiction", "tax_type"]
        {
            assert_eq!(refused(json!({ field: long })).as_deref(), Some(field));
        }
    }
}
