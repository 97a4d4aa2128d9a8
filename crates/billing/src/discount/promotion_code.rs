//! Promotion codes: what a customer redeems a coupon with (rule 4.1).

use super::{Coupon, CouponId, PromotionCodeId};
use crate::Patch;
use crate::customer::CustomerId;
use crate::text;
use counterfoil_core::{Currency, Metadata, MetadataPatch, Refusal, Timestamp, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A promotion code.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionCode {
    /// Its id.
    pub id: PromotionCodeId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// What is redeemed with it.
    pub coupon: CouponId,
    /// What a customer types; upper and lower case are one.
    pub code: String,
    /// The one customer who may redeem it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// Whether somebody switched it on; see [`PromotionCode::unredeemable`].
    pub active: bool,
    /// Until when it may be redeemed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How often it may be redeemed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_redemptions: Option<u64>,
    /// Who may redeem it, and for what.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub restrictions: Restrictions,
    /// How often it was redeemed.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub times_redeemed: u64,
    /// When it was created.
    pub created: Timestamp,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Who may redeem a promotion code, and for what.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Restrictions {
    /// Only a customer that never had anything to pay, nor a trial.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub first_time_transaction: bool,
    /// The currency of the minimum amount; that of a caller who named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_amount_currency: Option<Currency>,
    /// The least amount that it may be redeemed for, in minor units, by currency.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub minimum_amounts: BTreeMap<Currency, i64>,
}

/// What happened to a promotion code. Each event carries the whole of it as it is from then on.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromotionCodeEvent {
    /// It was created.
    Created(Arc<PromotionCode>),
    /// It was changed in what may change.
    Updated(Arc<PromotionCode>),
}

impl PromotionCodeEvent {
    /// The code after the event, whatever it was before.
    #[must_use]
    pub const fn promotion_code(&self) -> &Arc<PromotionCode> {
        match self {
            Self::Created(code) | Self::Updated(code) => code,
        }
    }
}

/// `promotion_code.create`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreatePromotionCode {
    /// The id; derived where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<PromotionCodeId>,
    /// What is redeemed with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Promotion>,
    /// The same in short: the coupon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coupon: Option<CouponId>,
    /// What a customer types: letters, digits and hyphens; derived where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The one customer who may redeem it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// Whether it can be redeemed at once; yes where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Until when it may be redeemed: not after the coupon; as long as that where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How often it may be redeemed: not more often than the coupon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_redemptions: Option<u64>,
    /// Who may redeem it, and for what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restrictions: Option<RestrictionsInput>,
    /// Metadata (rule 1.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

/// What a promotion code is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The kind of promotion.
    #[serde(rename = "type", default)]
    pub kind: PromotionKind,
    /// The coupon.
    pub coupon: CouponId,
}

/// The kind of a promotion: there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionKind {
    /// A coupon.
    #[default]
    Coupon,
}

/// Restrictions as a caller gives them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RestrictionsInput {
    /// Only a customer that never had anything to pay, nor a trial.
    pub first_time_transaction: bool,
    /// The least amount that it may be redeemed for, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_amount: Option<i64>,
    /// The currency of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_amount_currency: Option<Currency>,
    /// The same in other currencies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub currency_options: BTreeMap<Currency, RestrictionsOption>,
}

/// The restriction of amounts in another currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestrictionsOption {
    /// In minor units.
    pub minimum_amount: i64,
}

/// `promotion_code.update`: what may change of a promotion code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdatePromotionCode {
    /// Which promotion code.
    pub id: PromotionCodeId,
    /// Whether it can be redeemed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Restrictions in more currencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restrictions: Option<RestrictionsPatch>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

/// What may change of restrictions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestrictionsPatch {
    /// Amounts in currencies that have none.
    pub currency_options: BTreeMap<Currency, RestrictionsOption>,
}

impl CreatePromotionCode {
    /// A code for a coupon.
    #[must_use]
    pub fn new(coupon: CouponId) -> Self {
        Self { coupon: Some(coupon), ..Self::default() }
    }

    /// The coupon that it names.
    ///
    /// # Errors
    /// [`Refusal::ParameterMissing`], or [`Refusal::ParameterInvalid`] where it names two.
    pub fn coupon_id(&self) -> Result<&CouponId, Refusal> {
        match (&self.promotion, &self.coupon) {
            (None, None) => Err(Refusal::missing("promotion")),
            (Some(promotion), None) => Ok(&promotion.coupon),
            (None, Some(coupon)) => Ok(coupon),
            (Some(_), Some(_)) => {
                Err(Refusal::invalid("coupon", "give promotion or coupon, not both"))
            }
        }
    }
}

impl PromotionCode {
    /// Why it cannot be redeemed at an instant, if so. Once it expired, was redeemed as often as it
    /// may be, or its coupon cannot be redeemed any more, that is for ever.
    #[must_use]
    pub fn unredeemable(&self, coupon: &Coupon, at: Timestamp) -> Option<String> {
        self.spent(coupon, at).or_else(|| (!self.active).then(|| "it is inactive".to_owned()))
    }

    fn spent(&self, coupon: &Coupon, at: Timestamp) -> Option<String> {
        if let Some(reason) = coupon.unredeemable(at) {
            return Some(format!("of coupon {}, {reason}", coupon.id));
        }
        if let Some(end) = self.expires_at.filter(|end| *end < at) {
            return Some(format!("it expired at {end}"));
        }
        let most = self.max_redemptions.filter(|most| self.times_redeemed >= *most)?;
        Some(format!("it was redeemed {most} times, which is its limit"))
    }

    /// Refuses a code that cannot be redeemed at an instant, or not by a customer.
    ///
    /// # Errors
    /// [`Refusal::CouponExpired`], or [`Refusal::ParameterInvalid`] for a code of somebody else.
    pub fn check_redeemable(
        &self,
        coupon: &Coupon,
        customer: &CustomerId,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        if let Some(reason) = self.unredeemable(coupon, at) {
            let kind = "promotion code".to_owned();
            return Err(Refusal::CouponExpired { kind, id: self.id.to_string(), reason });
        }
        match &self.customer {
            Some(owner) if owner != customer => {
                let reason = format!("{} is for another customer", self.id);
                Err(Refusal::invalid("promotion_code", reason))
            }
            _ => Ok(()),
        }
    }

    /// Whether a customer types the same for another one.
    #[must_use]
    pub fn reads_like(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code)
    }

    /// Refuses an amount below the least one, where there is one.
    ///
    /// # Errors
    /// [`Refusal::AmountTooSmall`], and [`Refusal::CurrencyMismatch`] where there is a least amount, but
    /// not in this currency.
    pub fn check_minimum(&self, amount: i64, currency: Currency) -> Result<(), Refusal> {
        let amounts = &self.restrictions.minimum_amounts;
        match (amounts.get(&currency), amounts.keys().next()) {
            (Some(least), _) if amount < *least => Err(Refusal::AmountTooSmall {
                what: format!("{amount} for promotion code {}", self.id),
                limit: least.to_string(),
            }),
            (None, Some(other)) => Err(Refusal::CurrencyMismatch {
                context: format!("the minimum amount of promotion code {}", self.id),
                expected: currency.code().to_owned(),
                got: other.code().to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Creates a code with an id that is free and a text that nobody else reads. That its customer
/// exists is for the caller to check.
///
/// # Errors
/// [`Refusal::CouponExpired`] for a coupon that cannot be redeemed, [`Refusal::ParameterInvalid`] for
/// a code, a date or a number beyond its limits.
pub fn decide_create_promotion_code(
    command: &CreatePromotionCode,
    (id, seq, code): (PromotionCodeId, u64, String),
    coupon: &Coupon,
    at: Timestamp,
) -> Result<PromotionCodeEvent, Refusal> {
    coupon.check_redeemable(at)?;
    check_code(&code)?;
    let latest = coupon.redeem_by;
    if let Some(end) = command.expires_at {
        if end <= at {
            return Err(Refusal::invalid("expires_at", "it does not lie in the future"));
        }
        if latest.is_some_and(|latest| end > latest) {
            return Err(Refusal::invalid("expires_at", "it lies after redeem_by of the coupon"));
        }
    }
    match (command.max_redemptions, coupon.max_redemptions) {
        (Some(0), _) => return Err(Refusal::invalid("max_redemptions", "at least 1")),
        (Some(own), Some(most)) if own > most => {
            let reason = format!("{own} (the coupon has {most})");
            return Err(Refusal::invalid("max_redemptions", reason));
        }
        _ => {}
    }
    Ok(PromotionCodeEvent::Created(Arc::new(PromotionCode {
        id,
        seq,
        coupon: coupon.id.clone(),
        code,
        customer: command.customer.clone(),
        active: command.active.unwrap_or(true),
        expires_at: command.expires_at.or(latest),
        max_redemptions: command.max_redemptions,
        restrictions: restrictions(command.restrictions.as_ref())?,
        times_redeemed: 0,
        created: at,
        metadata: Metadata::of(command.metadata.as_ref())?,
    })))
}

fn check_code(code: &str) -> Result<(), Refusal> {
    let most = limits::PROMOTION_CODE_CHARS_MAX;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=most).contains(&code.len()) && code.bytes().all(allowed) {
        return Ok(());
    }
    let reason = format!("a code has 1 to {most} letters of a to z, digits and hyphens");
    Err(Refusal::invalid("code", reason))
}

fn restrictions(given: Option<&RestrictionsInput>) -> Result<Restrictions, Refusal> {
    let Some(given) = given else { return Ok(Restrictions::default()) };
    let mut minimum_amounts = BTreeMap::new();
    match (given.minimum_amount, given.minimum_amount_currency) {
        (None, None) if given.currency_options.is_empty() => {}
        (Some(amount), Some(currency)) => {
            minimum_amounts.insert(currency, checked_minimum("minimum_amount", amount)?);
        }
        (None, _) => return Err(Refusal::missing("restrictions.minimum_amount")),
        (_, None) => return Err(Refusal::missing("restrictions.minimum_amount_currency")),
    }
    add_minimums(&mut minimum_amounts, &given.currency_options)?;
    Ok(Restrictions {
        first_time_transaction: given.first_time_transaction,
        minimum_amount_currency: given.minimum_amount_currency,
        minimum_amounts,
    })
}

fn add_minimums(
    amounts: &mut BTreeMap<Currency, i64>,
    options: &BTreeMap<Currency, RestrictionsOption>,
) -> Result<(), Refusal> {
    for (currency, option) in options {
        let param = format!("currency_options.{currency}.minimum_amount");
        let amount = checked_minimum(&param, option.minimum_amount)?;
        if amounts.insert(*currency, amount).is_some_and(|before| before != amount) {
            let param = format!("restrictions.{param}");
            return Err(Refusal::invalid(param, "the amount in this currency is fixed already"));
        }
    }
    Ok(())
}

fn checked_minimum(param: &str, amount: i64) -> Result<i64, Refusal> {
    if (1..=limits::AMOUNT_MINOR_MAX).contains(&amount) {
        return Ok(amount);
    }
    let reason = format!("{amount} is not 1 to {}", limits::AMOUNT_MINOR_MAX);
    Err(Refusal::invalid(format!("restrictions.{param}"), reason))
}

/// Changes what may change of a code. That no other active one reads like it is for the caller to
/// check where it becomes active.
///
/// # Errors
/// [`Refusal::CouponExpired`] where it is to be active and never can be again,
/// [`Refusal::ParameterInvalid`] for restrictions that are fixed.
pub fn decide_update_promotion_code(
    code: &PromotionCode,
    coupon: &Coupon,
    command: &UpdatePromotionCode,
    at: Timestamp,
) -> Result<PromotionCodeEvent, Refusal> {
    let mut updated = code.clone();
    if command.active == Some(true)
        && let Some(reason) = code.spent(coupon, at)
    {
        let kind = "promotion code".to_owned();
        return Err(Refusal::CouponExpired { kind, id: code.id.to_string(), reason });
    }
    updated.active = command.active.unwrap_or(code.active);
    if let Some(patch) = &command.restrictions {
        let amounts = &mut updated.restrictions.minimum_amounts;
        if amounts.is_empty() && !patch.currency_options.is_empty() {
            let reason = "the code has no minimum amount to give in other currencies";
            return Err(Refusal::invalid("restrictions.currency_options", reason));
        }
        add_minimums(amounts, &patch.currency_options)?;
    }
    updated.metadata = text::patched_metadata(&updated.metadata, &command.metadata)?;
    Ok(PromotionCodeEvent::Updated(Arc::new(updated)))
}
