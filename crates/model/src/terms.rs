//! Coupons, promotion codes and tax rates of the state, and what they make of amounts.

use crate::{State, UsageSource};
use counterfoil_billing::catalog::{PriceId, ProductId, full_amount};
use counterfoil_billing::discount::{
    Coupon, CouponEvent, CouponId, Discount, FullAmount, NetAmount, PromotionCode,
    PromotionCodeEvent, PromotionCodeId, Terms, in_force, net_of_discounts,
};
use counterfoil_billing::invoice::{Invoice, Numbered, Totals, compute};
use counterfoil_billing::subscription::{Subscription, SubscriptionItem, SubscriptionItemId};
use counterfoil_billing::tax::{TaxRate, TaxRateEvent, TaxRateId};
use counterfoil_core::{Decimal12, Refusal, Timestamp};
use std::sync::Arc;

impl Terms for State {
    fn coupon(&self, id: &CouponId) -> Result<&Coupon, Refusal> {
        self.coupons.get(id).map(AsRef::as_ref).ok_or_else(|| Refusal::unknown("coupon", id))
    }

    fn tax_rate(&self, id: &TaxRateId) -> Result<&TaxRate, Refusal> {
        self.tax_rates.get(id).map(AsRef::as_ref).ok_or_else(|| Refusal::unknown("tax_rate", id))
    }

    fn product_of(&self, price: &PriceId) -> Result<&ProductId, Refusal> {
        Ok(&self.price(price)?.product)
    }
}

impl State {
    /// A coupon, one that was deleted too.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn coupon(&self, id: &CouponId) -> Result<&Coupon, Refusal> {
        Terms::coupon(self, id)
    }

    /// All coupons, oldest first; deleted ones too.
    #[must_use]
    pub fn coupons(&self) -> Vec<&Coupon> {
        let mut all: Vec<&Coupon> = self.coupons.values().map(AsRef::as_ref).collect();
        all.sort_by_key(|coupon| coupon.seq);
        all
    }

    /// A promotion code.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn promotion_code(&self, id: &PromotionCodeId) -> Result<&PromotionCode, Refusal> {
        let code = self.promotion_codes.get(id).map(AsRef::as_ref);
        code.ok_or_else(|| Refusal::unknown("promotion_code", id))
    }

    /// All promotion codes, oldest first.
    #[must_use]
    pub fn promotion_codes(&self) -> Vec<&PromotionCode> {
        let mut all: Vec<&PromotionCode> =
            self.promotion_codes.values().map(AsRef::as_ref).collect();
        all.sort_by_key(|code| code.seq);
        all
    }

    /// A tax rate.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn tax_rate(&self, id: &TaxRateId) -> Result<&TaxRate, Refusal> {
        Terms::tax_rate(self, id)
    }

    /// All tax rates, oldest first.
    #[must_use]
    pub fn tax_rates(&self) -> Vec<&TaxRate> {
        let mut all: Vec<&TaxRate> = self.tax_rates.values().map(AsRef::as_ref).collect();
        all.sort_by_key(|rate| rate.seq);
        all
    }

    /// What a draft comes to as it stands: lines, discounts, taxes and totals. The very computation
    /// that finalizes it.
    ///
    /// # Errors
    /// [`Refusal::AmountTooLarge`] where an amount is out of range.
    pub fn totals(
        &self,
        draft: &Invoice,
        usage: &dyn UsageSource,
        ids: &mut dyn Numbered,
    ) -> Result<Totals, Refusal> {
        let lines = self.resolve(draft, usage, ids)?;
        let exempt = self.customer(&draft.customer)?.tax_exempt;
        compute(draft, lines, exempt, self.settings.policies.tax_rounding, self)
    }

    /// The discounts that a subscription's invoices have as a whole at an instant: its own, and the
    /// customer's only where it has none (rule 4.2).
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`] for an unknown customer.
    pub fn shared_discounts(
        &self,
        subscription: &Subscription,
        at: Timestamp,
    ) -> Result<Vec<Discount>, Refusal> {
        let own = in_force(&subscription.discounts, at);
        if !own.is_empty() {
            return Ok(own);
        }
        let customer = self.customer(&subscription.customer)?;
        Ok(customer.discount.iter().filter(|own| own.is_in_force(at)).cloned().collect())
    }

    /// What each licensed item of a subscription costs for a whole period with the discounts that
    /// are in force at an instant, exact: what a proration takes its fraction of (rules 4.3 and 6.6,
    /// point 30). A fixed amount is shared by all of these items as on an invoice for whole periods.
    ///
    /// # Errors
    /// [`Refusal::AmountTooLarge`] where an amount is out of range.
    pub fn net_amounts(
        &self,
        subscription: &Subscription,
        at: Timestamp,
    ) -> Result<Vec<(SubscriptionItemId, NetAmount)>, Refusal> {
        let (mut ids, mut amounts) = (Vec::new(), Vec::new());
        for item in &subscription.items {
            if let Some(amount) = self.full_amount_of(subscription, item, at)? {
                ids.push(item.id.clone());
                amounts.push(amount);
            }
        }
        let shared = self.shared_discounts(subscription, at)?;
        let nets = net_of_discounts(&amounts, &shared, subscription.currency, self)?;
        Ok(ids.into_iter().zip(nets).collect())
    }

    /// The same of one item as if it were alone: the whole of a fixed amount comes off it (point
    /// 21). None for a metered item.
    ///
    /// # Errors
    /// [`Refusal::AmountTooLarge`] where an amount is out of range.
    pub fn net_amount_alone(
        &self,
        subscription: &Subscription,
        item: &SubscriptionItem,
        at: Timestamp,
    ) -> Result<Option<NetAmount>, Refusal> {
        let Some(amount) = self.full_amount_of(subscription, item, at)? else { return Ok(None) };
        let shared = self.shared_discounts(subscription, at)?;
        let nets = net_of_discounts(&[amount], &shared, subscription.currency, self)?;
        Ok(nets.into_iter().next())
    }

    /// The same with discounts that are given: the item's own, and those of a whole invoice.
    ///
    /// # Errors
    /// [`Refusal::AmountTooLarge`] where an amount is out of range.
    pub(crate) fn net_amount_of(
        &self,
        subscription: &Subscription,
        item: &SubscriptionItem,
        (own, shared): (Vec<Discount>, Vec<Discount>),
    ) -> Result<Option<NetAmount>, Refusal> {
        let Some(amount) = self.full_amount_of(subscription, item, subscription.created)? else {
            return Ok(None);
        };
        let amount = FullAmount { discounts: own, ..amount };
        let nets = net_of_discounts(&[amount], &shared, subscription.currency, self)?;
        Ok(nets.into_iter().next())
    }

    fn full_amount_of(
        &self,
        subscription: &Subscription,
        item: &SubscriptionItem,
        at: Timestamp,
    ) -> Result<Option<FullAmount<'_>>, Refusal> {
        let price = self.price(&item.price)?;
        if price.meter().is_some() {
            return Ok(None);
        }
        let quantity = Decimal12::from_int(item.quantity.unwrap_or(1));
        let gross = full_amount(price, subscription.currency, quantity)?;
        let discounts = in_force(&item.discounts, at);
        Ok(Some(FullAmount { gross, product: &price.product, discounts }))
    }

    pub(crate) fn apply_coupon(&mut self, event: &CouponEvent) {
        match event {
            CouponEvent::Created(coupon) => {
                self.count_created();
                self.coupons.insert_mut(coupon.id.clone(), Arc::clone(coupon));
            }
            CouponEvent::Updated(coupon) | CouponEvent::Deleted(coupon) => {
                self.coupons.insert_mut(coupon.id.clone(), Arc::clone(coupon));
            }
            CouponEvent::Redeemed(redemption) => {
                self.redeemed = self.redeemed.saturating_add(1);
                if let Some(coupon) = self.coupons.get_mut(&redemption.coupon) {
                    Arc::make_mut(coupon).times_redeemed = redemption.times_redeemed;
                }
                let code = redemption.promotion_code.as_ref();
                if let Some(code) = code.and_then(|id| self.promotion_codes.get_mut(id)) {
                    Arc::make_mut(code).times_redeemed = redemption.code_times_redeemed;
                }
            }
        }
    }

    pub(crate) fn apply_promotion_code(&mut self, event: &PromotionCodeEvent) {
        if let PromotionCodeEvent::Created(_) = event {
            self.count_created();
        }
        let code = event.promotion_code();
        self.promotion_codes.insert_mut(code.id.clone(), Arc::clone(code));
    }

    pub(crate) fn apply_tax_rate(&mut self, event: &TaxRateEvent) {
        if let TaxRateEvent::Created(_) = event {
            self.count_created();
        }
        let rate = event.tax_rate();
        self.tax_rates.insert_mut(rate.id.clone(), Arc::clone(rate));
    }
}
