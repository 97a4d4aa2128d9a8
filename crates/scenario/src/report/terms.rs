//! Coupons, promotion codes, discounts and taxes, as the report shows them.

use counterfoil::{
    Benefit, Coupon, CouponDuration, CouponId, Currency, CustomerId, Decimal12, Discount,
    DiscountId, DurationName, Metadata, ProductId, PromotionCode, PromotionCodeId, State,
    TaxAmount, TaxRate, TaxRateId, TaxabilityReason, Timestamp,
};
use counterfoil::{CreditNoteLine, DiscountAmount, Line, ShippingCost};
use serde::Serialize;
use std::collections::BTreeMap;

/// A coupon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CouponReport {
    /// Its id.
    pub id: CouponId,
    /// What a person reads.
    pub name: Option<String>,
    /// What it takes off, in percent.
    pub percent_off: Option<Decimal12>,
    /// What it takes off, in minor units.
    pub amount_off: Option<i64>,
    /// The currency of that.
    pub currency: Option<Currency>,
    /// The same in other currencies.
    pub currency_options: BTreeMap<Currency, AmountOffReport>,
    /// For how long.
    pub duration: DurationName,
    /// For how many months, where it repeats.
    pub duration_in_months: Option<u32>,
    /// How often it may be redeemed.
    pub max_redemptions: Option<u64>,
    /// Until when it may be redeemed.
    pub redeem_by: Option<Timestamp>,
    /// The products that it is for; all where there are none.
    pub applies_to: AppliesToReport,
    /// How often it was redeemed.
    pub times_redeemed: u64,
    /// Whether it can be redeemed now.
    pub valid: bool,
    /// Whether it was deleted.
    pub deleted: bool,
    /// When it was created.
    pub created: Timestamp,
    /// Metadata.
    pub metadata: Metadata,
}

/// The amount of a coupon in a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AmountOffReport {
    /// In minor units.
    pub amount_off: i64,
}

/// What a coupon is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliesToReport {
    /// Lines of these products.
    pub products: Vec<ProductId>,
}

/// A promotion code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromotionCodeReport {
    /// Its id.
    pub id: PromotionCodeId,
    /// What a customer types.
    pub code: String,
    /// What is redeemed with it.
    pub promotion: PromotionReport,
    /// The one customer who may redeem it.
    pub customer: Option<CustomerId>,
    /// Whether it can be redeemed now.
    pub active: bool,
    /// Until when it may be redeemed.
    pub expires_at: Option<Timestamp>,
    /// How often it may be redeemed.
    pub max_redemptions: Option<u64>,
    /// Who may redeem it, and for what.
    pub restrictions: RestrictionsReport,
    /// How often it was redeemed.
    pub times_redeemed: u64,
    /// When it was created.
    pub created: Timestamp,
    /// Metadata.
    pub metadata: Metadata,
}

/// What a promotion code is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromotionReport {
    /// Always `coupon`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The coupon.
    pub coupon: CouponId,
}

/// Who may redeem a promotion code, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestrictionsReport {
    /// Only a customer that never had anything to pay, nor a trial.
    pub first_time_transaction: bool,
    /// The least amount, in minor units.
    pub minimum_amount: Option<i64>,
    /// The currency of that.
    pub minimum_amount_currency: Option<Currency>,
}

/// A discount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiscountReport {
    /// Its id.
    pub id: DiscountId,
    /// The coupon.
    pub coupon: CouponId,
    /// The code that it was redeemed with.
    pub promotion_code: Option<PromotionCodeId>,
    /// From when on it counts.
    pub start: Timestamp,
    /// When it no longer counts.
    pub end: Option<Timestamp>,
}

/// What a discount takes off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiscountAmountReport {
    /// In minor units.
    pub amount: i64,
    /// The discount.
    pub discount: DiscountId,
}

/// What a discount or a credit takes off before tax.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PretaxCreditReport {
    /// In minor units.
    pub amount: i64,
    /// The discount.
    pub discount: DiscountId,
    /// Always `discount`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// What a tax rate takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaxAmountReport {
    /// In minor units.
    pub amount: i64,
    /// Whether it is in the price already.
    pub inclusive: bool,
    /// What is taxed.
    pub taxable_amount: i64,
    /// The rate.
    pub tax_rate: TaxRateId,
    /// Why it takes this much.
    pub taxability_reason: TaxabilityReason,
    /// The tax in the price that is not paid, and taken off it.
    pub waived: i64,
}

/// What is charged for shipping, or taken off that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShippingCostReport {
    /// Without the tax that is added.
    pub amount_subtotal: i64,
    /// The tax.
    pub amount_tax: i64,
    /// With the tax that is added.
    pub amount_total: i64,
    /// What each tax rate takes.
    pub taxes: Vec<TaxAmountReport>,
}

impl ShippingCostReport {
    pub(super) fn of(cost: &ShippingCost) -> Self {
        Self {
            amount_subtotal: cost.amount,
            amount_tax: cost.amount_tax(),
            amount_total: cost.amount_total(),
            taxes: tax_amounts(&cost.taxes),
        }
    }

    pub(super) fn of_note(line: &CreditNoteLine) -> Self {
        let taxes = line.taxes.iter().map(|tax| tax.amount);
        Self {
            amount_subtotal: line.amount,
            amount_tax: taxes.fold(0, i64::saturating_add),
            amount_total: line.total(),
            taxes: tax_amounts(&line.taxes),
        }
    }
}

/// A tax rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaxRateReport {
    /// Its id.
    pub id: TaxRateId,
    /// What a person reads.
    pub display_name: String,
    /// Free text.
    pub description: Option<String>,
    /// In percent.
    pub percentage: Decimal12,
    /// Whether it is in the price already.
    pub inclusive: bool,
    /// Whether it may be put on anything anew.
    pub active: bool,
    /// The country.
    pub country: Option<String>,
    /// The state or region.
    pub state: Option<String>,
    /// The jurisdiction.
    pub jurisdiction: Option<String>,
    /// The kind of tax.
    pub tax_type: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// Metadata.
    pub metadata: Metadata,
}

impl CouponReport {
    pub(super) fn of(coupon: &Coupon, now: Timestamp) -> Self {
        let (percent_off, amount_off, currency, options) = match &coupon.benefit {
            Benefit::Percent { percent_off } => (Some(*percent_off), None, None, None),
            Benefit::Amount { currency, amount_off, options } => {
                (None, Some(*amount_off), Some(*currency), Some(options))
            }
        };
        let (duration, duration_in_months) = match coupon.duration {
            CouponDuration::Once => (DurationName::Once, None),
            CouponDuration::Repeating { months } => (DurationName::Repeating, Some(months)),
            CouponDuration::Forever => (DurationName::Forever, None),
        };
        let options = options.into_iter().flatten();
        Self {
            id: coupon.id.clone(),
            name: coupon.name.clone(),
            percent_off,
            amount_off,
            currency,
            currency_options: options
                .map(|(currency, amount_off)| {
                    (*currency, AmountOffReport { amount_off: *amount_off })
                })
                .collect(),
            duration,
            duration_in_months,
            max_redemptions: coupon.max_redemptions,
            redeem_by: coupon.redeem_by,
            applies_to: AppliesToReport { products: coupon.products.clone() },
            times_redeemed: coupon.times_redeemed,
            valid: coupon.unredeemable(now).is_none(),
            deleted: coupon.deleted,
            created: coupon.created,
            metadata: coupon.metadata.clone(),
        }
    }
}

impl PromotionCodeReport {
    pub(super) fn of(code: &PromotionCode, state: &State, now: Timestamp) -> Self {
        let restrictions = &code.restrictions;
        let currency = restrictions.minimum_amount_currency;
        let redeemable = |coupon: &Coupon| code.unredeemable(coupon, now).is_none();
        Self {
            id: code.id.clone(),
            code: code.code.clone(),
            promotion: PromotionReport { kind: "coupon", coupon: code.coupon.clone() },
            customer: code.customer.clone(),
            active: state.coupon(&code.coupon).is_ok_and(redeemable),
            expires_at: code.expires_at,
            max_redemptions: code.max_redemptions,
            restrictions: RestrictionsReport {
                first_time_transaction: restrictions.first_time_transaction,
                minimum_amount: currency
                    .and_then(|currency| restrictions.minimum_amounts.get(&currency).copied()),
                minimum_amount_currency: currency,
            },
            times_redeemed: code.times_redeemed,
            created: code.created,
            metadata: code.metadata.clone(),
        }
    }
}

impl TaxRateReport {
    pub(super) fn of(rate: &TaxRate) -> Self {
        Self {
            id: rate.id.clone(),
            display_name: rate.display_name.clone(),
            description: rate.description.clone(),
            percentage: rate.percentage,
            inclusive: rate.inclusive,
            active: rate.active,
            country: rate.country.clone(),
            state: rate.state.clone(),
            jurisdiction: rate.jurisdiction.clone(),
            tax_type: rate.tax_type.clone(),
            created: rate.created,
            metadata: rate.metadata.clone(),
        }
    }
}

/// Discounts with the terms that they came from.
pub(super) fn discounts<'a>(own: impl IntoIterator<Item = &'a Discount>) -> Vec<DiscountReport> {
    let discount = |own: &Discount| DiscountReport {
        id: own.id.clone(),
        coupon: own.coupon.clone(),
        promotion_code: own.promotion_code.clone(),
        start: own.start,
        end: own.end,
    };
    own.into_iter().map(discount).collect()
}

pub(super) fn discount_amounts(own: &[DiscountAmount]) -> Vec<DiscountAmountReport> {
    let amount = |own: &DiscountAmount| DiscountAmountReport {
        amount: own.amount,
        discount: own.discount.clone(),
    };
    own.iter().map(amount).collect()
}

pub(super) fn pretax_credits(line: &Line) -> Vec<PretaxCreditReport> {
    let credit = |own: &DiscountAmount| PretaxCreditReport {
        amount: own.amount,
        discount: own.discount.clone(),
        kind: "discount",
    };
    line.discount_amounts.iter().map(credit).collect()
}

pub(super) fn tax_amounts(own: &[TaxAmount]) -> Vec<TaxAmountReport> {
    let tax = |own: &TaxAmount| TaxAmountReport {
        amount: own.amount,
        inclusive: own.inclusive,
        taxable_amount: own.taxable_amount,
        tax_rate: own.tax_rate.clone(),
        taxability_reason: own.taxability_reason,
        waived: own.waived,
    };
    own.iter().map(tax).collect()
}
