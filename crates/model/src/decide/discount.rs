//! Coupons, promotion codes and tax rates; and putting discounts and tax rates on objects.

use super::tx::Tx;
use crate::answer::Target;
use crate::shard::Shard;
use counterfoil_billing::Patch;
use counterfoil_billing::catalog::{PriceId, full_amount};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::discount::{
    CouponEvent, CouponId, CreateCoupon, CreatePromotionCode, DeleteCoupon, Discount,
    DiscountInput, DiscountList, PromotionCodeEvent, PromotionCodeId, Redemption, UpdateCoupon,
    UpdatePromotionCode, check_discount_inputs, decide_create_coupon, decide_create_promotion_code,
    decide_delete_coupon, decide_update_coupon, decide_update_promotion_code,
};
use counterfoil_billing::subscription::{
    CreateSubscription, ItemChange, Prices, Subscription, UpdateSubscription,
};
use counterfoil_billing::tax::{
    CreateTaxRate, TaxRateId, UpdateTaxRate, check_tax_rates, decide_create_tax_rate,
    decide_update_tax_rate,
};
use counterfoil_core::{Currency, Decimal12, Id, Refusal, Timestamp};

/// Where discounts are put.
pub(super) struct Place<'a> {
    /// The parameter, for refusals.
    pub(super) param: &'a str,
    /// Whose object it is.
    pub(super) customer: &'a CustomerId,
    /// The currency of its amounts; none where it has no single one.
    pub(super) currency: Option<Currency>,
    /// From when on new discounts count.
    pub(super) start: Timestamp,
    /// The discounts that may be kept by their ids.
    pub(super) there: Vec<Discount>,
    /// What the least amount of a promotion code is compared with; none where no code that has one
    /// can be redeemed (rule 4.1).
    pub(super) amount: Option<i64>,
}

/// What was agreed on before: it may be put on an object although it could not be redeemed or chosen
/// any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Planned {
    /// Discounts that were redeemed already.
    pub(super) discounts: Vec<Discount>,
    /// Tax rates.
    pub(super) tax_rates: Vec<TaxRateId>,
    /// Whether a phase of a schedule says it, which cannot be refused any more.
    pub(super) by_phase: bool,
}

impl Tx<'_> {
    pub(super) fn create_coupon(&mut self, command: &CreateCoupon) -> Result<Target, Refusal> {
        let id = self.new_id(command.id.as_ref(), |state, id| state.coupons.contains_key(id))?;
        for product in command.applies_to.iter().flat_map(|to| &to.products) {
            self.state.product(product)?;
        }
        let event = decide_create_coupon(command, id.clone(), self.next_seq(), self.at())?;
        self.emit(event);
        Ok(Target::Coupon(id))
    }

    pub(super) fn update_coupon(&mut self, command: &UpdateCoupon) -> Result<Target, Refusal> {
        let event = decide_update_coupon(self.state.coupon(&command.id)?, command)?;
        self.emit(event);
        Ok(Target::Coupon(command.id.clone()))
    }

    pub(super) fn delete_coupon(&mut self, command: &DeleteCoupon) -> Result<Target, Refusal> {
        let event = decide_delete_coupon(self.state.coupon(&command.id)?)?;
        self.emit(event);
        Ok(Target::Coupon(command.id.clone()))
    }

    pub(super) fn create_promotion_code(
        &mut self,
        command: &CreatePromotionCode,
    ) -> Result<Target, Refusal> {
        let taken = |state: &crate::State, id: &_| state.promotion_codes.contains_key(id);
        let id = self.new_id(command.id.as_ref(), taken)?;
        let coupon = self.state.coupon(command.coupon_id()?)?;
        if let Some(customer) = &command.customer {
            self.state.customer(customer)?;
        }
        let (seq, at) = (self.next_seq(), self.at());
        let customer = command.customer.as_ref();
        let code = match &command.code {
            Some(code) => code.clone(),
            None => self.free_code(seq, customer),
        };
        if command.active != Some(false) {
            self.check_code_is_free(&code, customer, None)?;
        }
        let event = decide_create_promotion_code(command, (id.clone(), seq, code), coupon, at)?;
        self.emit(event);
        Ok(Target::PromotionCode(id))
    }

    pub(super) fn update_promotion_code(
        &mut self,
        command: &UpdatePromotionCode,
    ) -> Result<Target, Refusal> {
        let code = self.state.promotion_code(&command.id)?;
        let coupon = self.state.coupon(&code.coupon)?;
        if command.active == Some(true) {
            self.check_code_is_free(&code.code, code.customer.as_ref(), Some(&code.id))?;
        }
        let event: PromotionCodeEvent =
            decide_update_promotion_code(code, coupon, command, self.at())?;
        self.emit(event);
        Ok(Target::PromotionCode(command.id.clone()))
    }

    fn free_code(&self, seq: u64, customer: Option<&CustomerId>) -> String {
        let mut n = seq;
        loop {
            let code = format!("PROMO-{n}");
            if self.check_code_is_free(&code, customer, None).is_ok() {
                return code;
            }
            n = n.saturating_add(1);
        }
    }

    /// A customer types a code: of those that can be redeemed, one only reads like it (rule 4.1).
    fn check_code_is_free(
        &self,
        code: &str,
        customer: Option<&CustomerId>,
        own: Option<&PromotionCodeId>,
    ) -> Result<(), Refusal> {
        for other in self.state.promotion_codes.values() {
            let same = other.reads_like(code) && other.customer.as_ref() == customer;
            if same && own != Some(&other.id) {
                let coupon = self.state.coupon(&other.coupon)?;
                if other.unredeemable(coupon, self.at()).is_none() {
                    let reason = format!("{code:?} is the code of {}", other.id);
                    return Err(Refusal::invalid("code", reason));
                }
            }
        }
        Ok(())
    }

    pub(super) fn create_tax_rate(&mut self, command: &CreateTaxRate) -> Result<Target, Refusal> {
        let id = self.new_id(command.id.as_ref(), |state, id| state.tax_rates.contains_key(id))?;
        let event = decide_create_tax_rate(command, id.clone(), self.next_seq(), self.at())?;
        self.emit(event);
        Ok(Target::TaxRate(id))
    }

    pub(super) fn update_tax_rate(&mut self, command: &UpdateTaxRate) -> Result<Target, Refusal> {
        let event = decide_update_tax_rate(self.state.tax_rate(&command.id)?, command)?;
        self.emit(event);
        Ok(Target::TaxRate(command.id.clone()))
    }

    /// Turns what a caller gave into discounts: redeems coupons and codes, and keeps discounts that
    /// are there.
    pub(super) fn discounts(
        &mut self,
        inputs: &[DiscountInput],
        place: &Place<'_>,
    ) -> Result<Vec<Discount>, Refusal> {
        check_discount_inputs(place.param, inputs)?;
        let mut discounts: Vec<Discount> = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            let param = format!("{}[{index}]", place.param);
            let discount = match (&input.coupon, &input.promotion_code, &input.discount) {
                (_, _, Some(id)) => {
                    let known = place.there.iter().find(|own| own.id == *id);
                    known.cloned().ok_or_else(|| Refusal::unknown("discount", id))?
                }
                (_, Some(code), _) => self.redeem_code(code, place)?,
                (Some(coupon), ..) => self.redeem(coupon, None, place)?,
                (None, None, None) => return Err(Refusal::missing(param)),
            };
            if discounts.iter().any(|other| other.coupon == discount.coupon) {
                let reason = format!("coupon {} is in the list already", discount.coupon);
                return Err(Refusal::invalid(param, reason));
            }
            discounts.push(discount);
        }
        Ok(discounts)
    }

    /// Discounts after an update: absent or an empty list keeps them, `null` clears them (rule 4.2).
    pub(super) fn updated_discounts(
        &mut self,
        list: &DiscountList,
        before: &[Discount],
        place: &Place<'_>,
    ) -> Result<Vec<Discount>, Refusal> {
        match list {
            Patch::Clear => Ok(Vec::new()),
            Patch::Set(inputs) if !inputs.is_empty() => self.discounts(inputs, place),
            Patch::Keep | Patch::Set(_) => Ok(before.to_vec()),
        }
    }

    pub(super) fn redeem_code(
        &mut self,
        id: &PromotionCodeId,
        place: &Place<'_>,
    ) -> Result<Discount, Refusal> {
        let code = self.state.promotion_code(id)?;
        let coupon_id = code.coupon.clone();
        code.check_redeemable(self.state.coupon(&coupon_id)?, place.customer, self.at())?;
        if !code.restrictions.minimum_amounts.is_empty() {
            let (Some(amount), Some(currency)) = (place.amount, place.currency) else {
                let reason =
                    format!("{id} needs a least amount, and there is none to compare here");
                return Err(Refusal::invalid(place.param, reason));
            };
            code.check_minimum(amount, currency)?;
        }
        if code.restrictions.first_time_transaction
            && self.state.shard(place.customer).is_ok_and(had_a_transaction)
        {
            let reason = format!("{id} is for a first transaction, and {} had one", place.customer);
            return Err(Refusal::invalid(place.param, reason));
        }
        self.redeem(&coupon_id, Some(id), place)
    }

    pub(super) fn redeem(
        &mut self,
        id: &CouponId,
        code: Option<&PromotionCodeId>,
        place: &Place<'_>,
    ) -> Result<Discount, Refusal> {
        let coupon = self.state.coupon(id)?;
        coupon.check_redeemable(self.at())?;
        if let Some(currency) = place.currency {
            coupon.check_currency(currency)?;
        }
        let discount_id = Id::derived(self.state.redeemed.saturating_add(1));
        let zone = self.state.zone_of(place.customer);
        let discount = Discount::of(coupon, code.cloned(), discount_id, (place.start, zone))?;
        let code_times_redeemed = match code {
            Some(code) => self.state.promotion_code(code)?.times_redeemed.saturating_add(1),
            None => 0,
        };
        let redemption = Redemption {
            coupon: id.clone(),
            times_redeemed: coupon.times_redeemed.saturating_add(1),
            promotion_code: code.cloned(),
            code_times_redeemed,
            customer: place.customer.clone(),
            discount: discount.id.clone(),
            at: self.at(),
        };
        self.emit(CouponEvent::Redeemed(redemption.into()));
        Ok(discount)
    }

    /// Tax rates that an object may have from now on.
    pub(super) fn checked_tax_rates(
        &self,
        param: &str,
        rates: Option<&[TaxRateId]>,
        before: &[TaxRateId],
    ) -> Result<Vec<TaxRateId>, Refusal> {
        let rates = rates.unwrap_or(before);
        check_tax_rates(param, rates, before, &self.state)?;
        Ok(rates.to_vec())
    }

    /// Puts the discounts and tax rates of a command on the subscription that it creates.
    pub(super) fn set_first_terms(
        &mut self,
        created: &mut Subscription,
        command: &CreateSubscription,
        planned: &Planned,
    ) -> Result<(), Refusal> {
        let customer = self.state.customer(&command.customer)?;
        let there: Vec<Discount> =
            planned.discounts.iter().chain(&customer.discount).cloned().collect();
        let amount = Some(self.amount_per_period(created)?);
        let mut place = Place {
            param: "discounts",
            customer: &command.customer,
            currency: Some(created.currency),
            start: created.start_date,
            there,
            amount,
        };
        created.discounts =
            self.discounts(command.discounts.as_deref().unwrap_or_default(), &place)?;
        let rates = command.default_tax_rates.as_deref();
        created.default_tax_rates = self.new_tax_rates("default_tax_rates", rates, planned)?;
        place.amount = None;
        for (index, (input, item)) in command.items.iter().zip(&mut created.items).enumerate() {
            let param = format!("items[{index}].discounts");
            let place = Place { param: &param, there: place.there.clone(), ..place };
            let inputs = input.discounts.as_deref().unwrap_or_default();
            item.discounts = self.discounts(inputs, &place)?;
            let param = format!("items[{index}].tax_rates");
            item.tax_rates = self.new_tax_rates(&param, input.tax_rates.as_deref(), planned)?;
        }
        Ok(())
    }

    /// The tax rates of something new: those that can be chosen, or were agreed on.
    pub(super) fn new_tax_rates(
        &self,
        param: &str,
        rates: Option<&[TaxRateId]>,
        planned: &Planned,
    ) -> Result<Vec<TaxRateId>, Refusal> {
        let rates = rates.unwrap_or_default();
        check_tax_rates(param, rates, &planned.tax_rates, &self.state)?;
        Ok(rates.to_vec())
    }

    /// What the licensed items of a subscription cost for whole periods, before discounts.
    fn amount_per_period(&self, subscription: &Subscription) -> Result<i64, Refusal> {
        let items = subscription.items.iter().map(|item| (&item.price, item.quantity));
        self.amount_of(items, subscription.currency)
    }

    /// What some quantities of prices cost, before discounts: nothing where they are metered.
    pub(super) fn amount_of<'p>(
        &self,
        items: impl Iterator<Item = (&'p PriceId, Option<i64>)>,
        currency: Currency,
    ) -> Result<i64, Refusal> {
        let mut sum = 0_i64;
        for (price, quantity) in items {
            let price = self.state.price(price)?;
            if price.meter().is_none() {
                let quantity = Decimal12::from_int(quantity.unwrap_or(1));
                sum = sum.saturating_add(full_amount(price, currency, quantity)?.round()?);
            }
        }
        Ok(sum)
    }

    /// Puts the discounts and tax rates of a command on the subscription that it updates. Items that
    /// the command adds come first in it, in the order of the command (point 35).
    pub(super) fn update_terms(
        &mut self,
        updated: &mut Subscription,
        command: &UpdateSubscription,
        planned: &Planned,
    ) -> Result<(), Refusal> {
        let before = self.state.subscription(&command.id)?.clone();
        let customer = self.state.customer(&before.customer)?;
        let own = before.discounts.iter().chain(&customer.discount);
        let there: Vec<Discount> = planned.discounts.iter().chain(own).cloned().collect();
        let place = Place {
            param: "discounts",
            customer: &before.customer,
            currency: Some(before.currency),
            start: self.at(),
            there,
            amount: None,
        };
        updated.discounts =
            self.updated_discounts(&command.discounts, &before.discounts, &place)?;
        updated.default_tax_rates = self.planned_tax_rates(
            "default_tax_rates",
            &command.default_tax_rates,
            (&before.default_tax_rates, planned),
        )?;
        let mut added = 0_usize;
        for (index, change) in command.items.iter().enumerate() {
            let known = change.id.as_ref().filter(|id| before.item(id).is_some());
            let item = match known {
                Some(id) => updated.items.iter().position(|item| item.id == *id),
                None => {
                    added = added.saturating_add(1);
                    Some(added.saturating_sub(1))
                }
            };
            if let Some(item) = item {
                self.update_item_terms(updated, item, (index, change), (&place, planned))?;
            }
        }
        Ok(())
    }

    fn update_item_terms(
        &mut self,
        updated: &mut Subscription,
        item: usize,
        (index, change): (usize, &ItemChange),
        (place, planned): (&Place<'_>, &Planned),
    ) -> Result<(), Refusal> {
        let Some(item) = updated.items.get_mut(item) else { return Ok(()) };
        let param = format!("items[{index}].discounts");
        let there = item.discounts.iter().chain(&place.there).cloned().collect();
        let own = Place { param: &param, there, ..*place };
        let before = item.discounts.clone();
        item.discounts = self.updated_discounts(&change.discounts, &before, &own)?;
        let param = format!("items[{index}].tax_rates");
        let before = (item.tax_rates.as_slice(), planned);
        item.tax_rates = self.planned_tax_rates(&param, &change.tax_rates, before)?;
        Ok(())
    }

    fn planned_tax_rates(
        &self,
        param: &str,
        list: &Patch<Vec<TaxRateId>>,
        (before, planned): (&[TaxRateId], &Planned),
    ) -> Result<Vec<TaxRateId>, Refusal> {
        if list.is_keep() {
            return Ok(before.to_vec());
        }
        let known: Vec<TaxRateId> = before.iter().chain(&planned.tax_rates).cloned().collect();
        self.updated_tax_rates(param, list, &known)
    }

    pub(super) fn updated_tax_rates(
        &self,
        param: &str,
        list: &Patch<Vec<TaxRateId>>,
        before: &[TaxRateId],
    ) -> Result<Vec<TaxRateId>, Refusal> {
        match list {
            Patch::Keep => Ok(before.to_vec()),
            Patch::Clear => Ok(Vec::new()),
            Patch::Set(rates) => self.checked_tax_rates(param, Some(rates), before),
        }
    }
}

/// Whether a customer ever had something to pay, paid or not, or a trial (rule 4.1).
fn had_a_transaction(shard: &Shard) -> bool {
    let asked = shard.invoice_heads().any(|head| head.asked_for_payment());
    asked || shard.subscriptions().iter().any(|subscription| subscription.trial.is_some())
}
