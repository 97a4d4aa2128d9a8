//! Coupons: what a discount takes off, and for how long (rule 4.1).

use super::{CouponId, DiscountId, PromotionCodeId};
use crate::Patch;
use crate::catalog::ProductId;
use crate::customer::CustomerId;
use crate::text;
use counterfoil_core::{
    Anchor, Currency, Decimal12, Interval, IntervalUnit, Metadata, MetadataPatch, Refusal,
    Timestamp, limits,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A coupon. Its terms never change; deleting it keeps the discounts that it became.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coupon {
    /// Its id.
    pub id: CouponId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// What a person reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it takes off.
    pub benefit: Benefit,
    /// For how long.
    pub duration: CouponDuration,
    /// How often it may be redeemed, over all customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_redemptions: Option<u64>,
    /// Until when it may be redeemed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeem_by: Option<Timestamp>,
    /// The products whose lines it takes something off; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<ProductId>,
    /// How often it was redeemed.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub times_redeemed: u64,
    /// Whether it was deleted.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub deleted: bool,
    /// When it was created.
    pub created: Timestamp,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// What a coupon takes off.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Benefit {
    /// A share of every line.
    Percent {
        /// In percent: above 0, up to 100.
        percent_off: Decimal12,
    },
    /// An amount, shared out over the lines.
    Amount {
        /// The currency of the amount.
        currency: Currency,
        /// In minor units; above 0.
        amount_off: i64,
        /// The same in other currencies.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        options: BTreeMap<Currency, i64>,
    },
}

impl Benefit {
    /// The amount in a currency, in minor units; none for a percentage, and where there is none in
    /// that currency.
    #[must_use]
    pub fn amount_in(&self, currency: Currency) -> Option<i64> {
        match self {
            Self::Amount { currency: own, amount_off, .. } if *own == currency => Some(*amount_off),
            Self::Amount { options, .. } => options.get(&currency).copied(),
            Self::Percent { .. } => None,
        }
    }
}

/// For how long a discount counts (rule 4.2).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CouponDuration {
    /// For the first invoice that it takes something off.
    Once,
    /// For every invoice that is created within so many months.
    Repeating {
        /// How many months.
        months: u32,
    },
    /// For ever.
    Forever,
}

/// A redemption of a coupon: a discount was made of it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redemption {
    /// The coupon.
    pub coupon: CouponId,
    /// How often it was redeemed by now.
    pub times_redeemed: u64,
    /// The code that it was redeemed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_code: Option<PromotionCodeId>,
    /// How often that was redeemed by now.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub code_times_redeemed: u64,
    /// Whose discount it became.
    pub customer: CustomerId,
    /// Which discount it became.
    pub discount: DiscountId,
    /// When.
    pub at: Timestamp,
}

/// What happened to a coupon.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CouponEvent {
    /// It was created.
    Created(Arc<Coupon>),
    /// It was changed in what may change; this is what it is now.
    Updated(Arc<Coupon>),
    /// It can no longer be redeemed; this is what it is now.
    Deleted(Arc<Coupon>),
    /// It became a discount.
    Redeemed(Arc<Redemption>),
}

/// `coupon.create`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateCoupon {
    /// The id; derived where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<CouponId>,
    /// What a person reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A share to take off, in percent: above 0, up to 100. Either this or `amount_off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent_off: Option<Decimal12>,
    /// An amount to take off, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_off: Option<i64>,
    /// The currency of `amount_off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The amount in other currencies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub currency_options: BTreeMap<Currency, CouponCurrencyOption>,
    /// For how long.
    pub duration: DurationName,
    /// For how many months, where it is `repeating`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_in_months: Option<u32>,
    /// How often it may be redeemed, over all customers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_redemptions: Option<u64>,
    /// Until when it may be redeemed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redeem_by: Option<Timestamp>,
    /// What it takes something off; everything where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applies_to: Option<AppliesTo>,
    /// Metadata (rule 1.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

impl CreateCoupon {
    /// A coupon of a share in percent, for the first invoice.
    #[must_use]
    pub fn percent(percent_off: Decimal12) -> Self {
        Self { percent_off: Some(percent_off), ..Self::default() }
    }

    /// A coupon of an amount in minor units, for the first invoice.
    #[must_use]
    pub fn amount(amount_off: i64, currency: Currency) -> Self {
        Self { amount_off: Some(amount_off), currency: Some(currency), ..Self::default() }
    }
}

/// The amount of a coupon in another currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponCurrencyOption {
    /// In minor units.
    pub amount_off: i64,
}

/// What a coupon takes something off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliesTo {
    /// The lines of these products.
    pub products: Vec<ProductId>,
}

/// For how long a coupon counts, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurationName {
    /// For the first invoice that it takes something off.
    #[default]
    Once,
    /// For `duration_in_months`.
    Repeating,
    /// For ever.
    Forever,
}

/// `coupon.update`: what may change of a coupon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateCoupon {
    /// Which coupon.
    pub id: CouponId,
    /// What a person reads.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub name: Patch<String>,
    /// Amounts in currencies that it has none in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub currency_options: BTreeMap<Currency, CouponCurrencyOption>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

/// `coupon.delete`: it can no longer be redeemed. Discounts that it became stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteCoupon {
    /// Which coupon.
    pub id: CouponId,
}

impl Coupon {
    /// A coupon of nothing but its terms, for the tests of what it takes off.
    #[cfg(test)]
    pub(crate) fn of(benefit: Benefit, duration: CouponDuration) -> Self {
        Self {
            id: CouponId::derived(1),
            seq: 1,
            name: None,
            benefit,
            duration,
            max_redemptions: None,
            redeem_by: None,
            products: Vec::new(),
            times_redeemed: 0,
            deleted: false,
            created: Timestamp::MIN,
            metadata: Metadata::default(),
        }
    }

    /// Why it cannot be redeemed at an instant, if so.
    #[must_use]
    pub fn unredeemable(&self, at: Timestamp) -> Option<String> {
        if self.deleted {
            return Some("it was deleted".to_owned());
        }
        if let Some(by) = self.redeem_by.filter(|by| *by < at) {
            return Some(format!("it was to be redeemed by {by}"));
        }
        let most = self.max_redemptions.filter(|most| self.times_redeemed >= *most)?;
        Some(format!("it was redeemed {most} times, which is its limit"))
    }

    /// Refuses a coupon that cannot be redeemed at an instant.
    ///
    /// # Errors
    /// [`Refusal::CouponExpired`].
    pub fn check_redeemable(&self, at: Timestamp) -> Result<(), Refusal> {
        match self.unredeemable(at) {
            None => Ok(()),
            Some(reason) => {
                let kind = "coupon".to_owned();
                Err(Refusal::CouponExpired { kind, id: self.id.to_string(), reason })
            }
        }
    }

    /// Whether it takes something off a line of a product; none for a line without one.
    #[must_use]
    pub fn covers(&self, product: Option<&ProductId>) -> bool {
        self.products.is_empty() || product.is_some_and(|product| self.products.contains(product))
    }

    /// Whether it takes something off amounts in a currency.
    ///
    /// # Errors
    /// [`Refusal::CurrencyMismatch`] where it has no amount in that one.
    pub fn check_currency(&self, currency: Currency) -> Result<(), Refusal> {
        match &self.benefit {
            Benefit::Amount { currency: own, .. } if self.benefit.amount_in(currency).is_none() => {
                Err(Refusal::CurrencyMismatch {
                    context: format!("coupon {}", self.id),
                    expected: currency.code().to_owned(),
                    got: own.code().to_owned(),
                })
            }
            _ => Ok(()),
        }
    }
}

/// Creates a coupon with an id that is free. That its products exist is for the caller to check.
///
/// # Errors
/// [`Refusal::ParameterMissing`] or [`Refusal::ParameterInvalid`] for terms that contradict each other
/// or exceed a limit.
pub fn decide_create_coupon(
    command: &CreateCoupon,
    id: CouponId,
    seq: u64,
    at: Timestamp,
) -> Result<CouponEvent, Refusal> {
    text::check_optional("name", command.name.as_deref())?;
    if command.max_redemptions == Some(0) {
        return Err(Refusal::invalid("max_redemptions", "at least 1"));
    }
    if let Some(by) = command.redeem_by {
        check_redeem_by(by, at)?;
    }
    let products = command.applies_to.as_ref().map(|to| to.products.clone()).unwrap_or_default();
    if products.len() > limits::COUPON_PRODUCTS_MAX {
        let reason = format!("at most {} products", limits::COUPON_PRODUCTS_MAX);
        return Err(Refusal::invalid("applies_to.products", reason));
    }
    Ok(CouponEvent::Created(Arc::new(Coupon {
        id,
        seq,
        name: command.name.clone(),
        benefit: benefit(command)?,
        duration: duration(command)?,
        max_redemptions: command.max_redemptions,
        redeem_by: command.redeem_by,
        products,
        times_redeemed: 0,
        deleted: false,
        created: at,
        metadata: Metadata::of(command.metadata.as_ref())?,
    })))
}

fn check_redeem_by(by: Timestamp, at: Timestamp) -> Result<(), Refusal> {
    let years = limits::COUPON_REDEEM_YEARS_MAX;
    let year = Interval { unit: IntervalUnit::Year, count: 1 };
    if by > at && by <= Anchor::at(at).boundary(year, years.into())? {
        return Ok(());
    }
    Err(Refusal::invalid("redeem_by", format!("it lies in the future, within {years} years")))
}

fn benefit(command: &CreateCoupon) -> Result<Benefit, Refusal> {
    match (command.percent_off, command.amount_off) {
        (None, None) => Err(Refusal::missing("percent_off")),
        (Some(_), Some(_)) => {
            Err(Refusal::invalid("percent_off", "give percent_off or amount_off, not both"))
        }
        (Some(_), None) if command.currency.is_some() || !command.currency_options.is_empty() => {
            Err(Refusal::invalid("currency", "a percentage has no currency"))
        }
        (Some(percent_off), None) => {
            if percent_off <= Decimal12::ZERO || percent_off > Decimal12::from_int(100) {
                return Err(Refusal::invalid("percent_off", "a percentage is above 0, up to 100"));
            }
            Ok(Benefit::Percent { percent_off })
        }
        (None, Some(amount_off)) => {
            let currency = command.currency.ok_or_else(|| Refusal::missing("currency"))?;
            check_amount("amount_off", amount_off)?;
            let options = options(&command.currency_options, currency, &BTreeMap::new())?;
            Ok(Benefit::Amount { currency, amount_off, options })
        }
    }
}

/// Amounts in other currencies, added to those that are there, which never change.
fn options(
    given: &BTreeMap<Currency, CouponCurrencyOption>,
    own: Currency,
    there: &BTreeMap<Currency, i64>,
) -> Result<BTreeMap<Currency, i64>, Refusal> {
    let mut options = there.clone();
    for (currency, CouponCurrencyOption { amount_off }) in given {
        let param = format!("currency_options.{currency}.amount_off");
        check_amount(&param, *amount_off)?;
        let before = there.get(currency);
        if *currency == own || before.is_some_and(|before| before != amount_off) {
            return Err(Refusal::invalid(param, "the amount in this currency is fixed already"));
        }
        options.insert(*currency, *amount_off);
    }
    Ok(options)
}

fn check_amount(param: &str, amount: i64) -> Result<(), Refusal> {
    if amount < 1 {
        return Err(Refusal::invalid(param, format!("{amount} is not above 0")));
    }
    if amount > limits::AMOUNT_MINOR_MAX {
        return Err(Refusal::too_large(format!("{param} {amount}"), limits::AMOUNT_MINOR_MAX));
    }
    Ok(())
}

fn duration(command: &CreateCoupon) -> Result<CouponDuration, Refusal> {
    let most = limits::COUPON_MONTHS_MAX;
    match (command.duration, command.duration_in_months) {
        (DurationName::Once, None) => Ok(CouponDuration::Once),
        (DurationName::Forever, None) => Ok(CouponDuration::Forever),
        (DurationName::Repeating, None) => Err(Refusal::missing("duration_in_months")),
        (DurationName::Repeating, Some(months)) if months == 0 || months > most => {
            Err(Refusal::invalid("duration_in_months", format!("it is 1 to {most} months")))
        }
        (DurationName::Repeating, Some(months)) => Ok(CouponDuration::Repeating { months }),
        (_, Some(_)) => {
            Err(Refusal::invalid("duration_in_months", "only a repeating coupon has months"))
        }
    }
}

/// Changes what may change of a coupon.
///
/// # Errors
/// [`Refusal::StateUnsupported`] once it was deleted, [`Refusal::ParameterInvalid`] for an amount in a
/// currency that it has one in.
pub fn decide_update_coupon(
    coupon: &Coupon,
    command: &UpdateCoupon,
) -> Result<CouponEvent, Refusal> {
    check_there(coupon, "it cannot be changed any more")?;
    let mut updated = coupon.clone();
    updated.name = command.name.clone().apply_to(updated.name);
    text::check_optional("name", updated.name.as_deref())?;
    match &mut updated.benefit {
        Benefit::Amount { currency, options: there, .. } => {
            *there = options(&command.currency_options, *currency, there)?;
        }
        Benefit::Percent { .. } if command.currency_options.is_empty() => {}
        Benefit::Percent { .. } => {
            return Err(Refusal::invalid("currency_options", "a percentage has no currency"));
        }
    }
    updated.metadata = text::patched_metadata(&updated.metadata, &command.metadata)?;
    Ok(CouponEvent::Updated(Arc::new(updated)))
}

/// Deletes a coupon.
///
/// # Errors
/// [`Refusal::StateUnsupported`] where it was deleted before.
pub fn decide_delete_coupon(coupon: &Coupon) -> Result<CouponEvent, Refusal> {
    check_there(coupon, "it cannot be deleted again")?;
    Ok(CouponEvent::Deleted(Arc::new(Coupon { deleted: true, ..coupon.clone() })))
}

fn check_there(coupon: &Coupon, reason: &str) -> Result<(), Refusal> {
    if coupon.deleted {
        return Err(Refusal::state("coupon", &coupon.id, "deleted", reason));
    }
    Ok(())
}
