//! Coupons, promotion codes, and the discounts that they become on an object (rule 4).

mod coupon;
mod input;
mod net;
mod promotion_code;
mod share;

pub use coupon::{
    AppliesTo, Benefit, Coupon, CouponCurrencyOption, CouponDuration, CouponEvent, CreateCoupon,
    DeleteCoupon, DurationName, Redemption, UpdateCoupon, decide_create_coupon,
    decide_delete_coupon, decide_update_coupon,
};
pub use input::{DiscountInput, DiscountList, check_discount_inputs};
pub use net::{FullAmount, NetAmount, net_of_discounts};
pub use promotion_code::{
    CreatePromotionCode, Promotion, PromotionCode, PromotionCodeEvent, PromotionKind, Restrictions,
    RestrictionsInput, RestrictionsOption, RestrictionsPatch, UpdatePromotionCode,
    decide_create_promotion_code, decide_update_promotion_code,
};
pub(crate) use share::shares;

use crate::catalog::{PriceId, ProductId};
use crate::tax::{TaxRate, TaxRateId};
use counterfoil_core::{
    Anchor, ArithmeticError, Id, Interval, IntervalUnit, Refusal, Timestamp, Zone, kind,
};
use serde::{Deserialize, Serialize};

/// The id of a coupon.
pub type CouponId = Id<kind::Coupon>;
/// The id of a promotion code.
pub type PromotionCodeId = Id<kind::PromotionCode>;
/// The id of a discount.
pub type DiscountId = Id<kind::Discount>;

/// The use of a coupon on an object (rule 4.1). What it takes off is for the coupon to say, whose
/// amounts never change.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discount {
    /// Its id.
    pub id: DiscountId,
    /// The coupon.
    pub coupon: CouponId,
    /// The code that it was redeemed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_code: Option<PromotionCodeId>,
    /// From when on it counts.
    pub start: Timestamp,
    /// When it no longer counts, for a coupon that repeats for some months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

impl Discount {
    /// A new use of a coupon from `start` on, whose months are those of the clock of a zone.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] beyond the calendar.
    pub fn of(
        coupon: &Coupon,
        promotion_code: Option<PromotionCodeId>,
        id: DiscountId,
        (start, zone): (Timestamp, Zone),
    ) -> Result<Self, ArithmeticError> {
        let end = match coupon.duration {
            CouponDuration::Repeating { months } => {
                let month = Interval { unit: IntervalUnit::Month, count: 1 };
                Some(Anchor::in_zone(start, zone).boundary(month, months.into())?)
            }
            CouponDuration::Once | CouponDuration::Forever => None,
        };
        Ok(Self { id, coupon: coupon.id.clone(), promotion_code, start, end })
    }

    /// Whether it counts at an instant: for an invoice that is created then (rule 4.2).
    #[must_use]
    pub fn is_in_force(&self, at: Timestamp) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }
}

/// Those of some discounts that are in force.
#[must_use]
pub fn in_force(discounts: &[Discount], at: Timestamp) -> Vec<Discount> {
    discounts.iter().filter(|discount| discount.is_in_force(at)).cloned().collect()
}

/// What a discount takes off an amount.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscountAmount {
    /// In minor units; positive.
    pub amount: i64,
    /// The discount.
    pub discount: DiscountId,
}

/// What of the catalog the computation of an invoice looks into.
pub trait Terms {
    /// A coupon, one that was deleted too.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    fn coupon(&self, id: &CouponId) -> Result<&Coupon, Refusal>;
    /// A tax rate.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    fn tax_rate(&self, id: &TaxRateId) -> Result<&TaxRate, Refusal>;
    /// The product of a price.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    fn product_of(&self, price: &PriceId) -> Result<&ProductId, Refusal>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::Decimal12;

    fn at(day: &str) -> Timestamp {
        Timestamp::parse(&format!("{day}T00:00:00Z")).unwrap()
    }

    fn coupon(duration: CouponDuration) -> Coupon {
        Coupon::of(Benefit::Percent { percent_off: Decimal12::from_int(10) }, duration)
    }

    #[test]
    fn e41_a_repeating_discount_ends_by_the_calendar() {
        for (months, start, end) in [
            (3, "2024-11-30", "2025-02-28"),
            (1, "2024-01-31", "2024-02-29"),
            (12, "2024-02-29", "2025-02-28"),
            (1_200, "2024-01-01", "2124-01-01"),
        ] {
            let coupon = coupon(CouponDuration::Repeating { months });
            let discount =
                Discount::of(&coupon, None, Id::derived(1), (at(start), Zone::UTC)).unwrap();
            assert_eq!(discount.end, Some(at(end)), "{months} months from {start}");
            assert!(discount.is_in_force(at(start)) && !discount.is_in_force(at(end)));
        }
    }

    #[test]
    fn others_do_not_end_by_time() {
        for duration in [CouponDuration::Once, CouponDuration::Forever] {
            let start = (at("2024-01-01"), Zone::UTC);
            let discount = Discount::of(&coupon(duration), None, Id::derived(1), start);
            let discount = discount.unwrap();
            assert_eq!(discount.end, None);
            assert!(
                !discount.is_in_force(at("2023-12-31")) && discount.is_in_force(at("2999-01-01"))
            );
        }
    }
}
