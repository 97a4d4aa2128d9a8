//! Discounts as a caller gives them (rule 4.2).

use super::{CouponId, DiscountId, PromotionCodeId};
use crate::Patch;
use counterfoil_core::{Refusal, limits};
use serde::{Deserialize, Serialize};

/// The discounts of an object in an update: absent or an empty list keeps them, `null` clears
/// them, a list replaces them.
pub type DiscountList = Patch<Vec<DiscountInput>>;

/// A discount as a caller gives it: exactly one of the three.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DiscountInput {
    /// A coupon to redeem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coupon: Option<CouponId>,
    /// A promotion code to redeem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promotion_code: Option<PromotionCodeId>,
    /// A discount that is there already, to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount: Option<DiscountId>,
}

impl DiscountInput {
    /// A coupon to redeem.
    #[must_use]
    pub fn coupon(id: CouponId) -> Self {
        Self { coupon: Some(id), ..Self::default() }
    }

    /// A promotion code to redeem.
    #[must_use]
    pub fn promotion_code(id: PromotionCodeId) -> Self {
        Self { promotion_code: Some(id), ..Self::default() }
    }

    /// A discount to keep.
    #[must_use]
    pub fn discount(id: DiscountId) -> Self {
        Self { discount: Some(id), ..Self::default() }
    }
}

/// Refuses a list that is too long, and an entry that does not name exactly one thing.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] naming the entry and the limit.
pub fn check_discount_inputs(param: &str, inputs: &[DiscountInput]) -> Result<(), Refusal> {
    let most = limits::DISCOUNTS_MAX;
    if inputs.len() > most {
        let reason = format!("{} discounts (the limit is {most})", inputs.len());
        return Err(Refusal::invalid(param, reason));
    }
    for (index, input) in inputs.iter().enumerate() {
        let given =
            [input.coupon.is_some(), input.promotion_code.is_some(), input.discount.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            let reason = "give exactly one of coupon, promotion_code and discount";
            return Err(Refusal::invalid(format!("{param}[{index}]"), reason));
        }
    }
    Ok(())
}
