//! What a caller may ask for.

use super::{PhaseAnchor, RenewalInterval, ScheduleEndBehavior, SubscriptionScheduleId};
use crate::Patch;
use crate::catalog::PriceId;
use crate::customer::CustomerId;
use crate::discount::DiscountList;
use crate::invoice::CollectionMethod;
use crate::subscription::{
    AddInvoiceItem, BillingThresholds, ItemThresholds, ProrationBehavior, SubscriptionId, TrialEnd,
};
use crate::tax::TaxRateId;
use counterfoil_core::{Currency, IntervalUnit, MetadataPatch, Timestamp};
use serde::{Deserialize, Serialize};

/// `subscription_schedule.create`: for a customer with phases, or from a subscription that is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateSubscriptionSchedule {
    /// The id; derived where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<SubscriptionScheduleId>,
    /// Who subscribes; not with `from_subscription`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// A subscription that the schedule mirrors as its only phase, and guides from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_subscription: Option<SubscriptionId>,
    /// When the first phase begins; `now` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_date: Option<TrialEnd>,
    /// What becomes of the subscription after the last phase.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub end_behavior: ScheduleEndBehavior,
    /// How long each renewal is; with `end_behavior: renew`, and with nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_interval: Option<RenewalInterval>,
    /// What phases have where they say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_settings: Option<DefaultSettingsInput>,
    /// Up to 10 phases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseInput>,
    /// Metadata (rule 1.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

/// What phases have where they say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultSettingsInput {
    /// Whether a phase moves the anchor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_cycle_anchor: Option<PhaseAnchor>,
    /// How invoices are collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay, for `send_invoice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// The payment method for invoices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_payment_method: Option<String>,
    /// What lets usage be invoiced before its period is over (rule 6.13).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_thresholds: Option<BillingThresholds>,
}

/// A phase as a caller gives it: with `duration` or `end_date`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PhaseInput {
    /// What the subscription consists of: 1 to 20 items.
    pub items: Vec<PhaseItemInput>,
    /// When it begins: of an update's phases only, and where the phase before it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_date: Option<TrialEnd>,
    /// When it ends; `now` lets the next phase begin at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_date: Option<TrialEnd>,
    /// How long it is; instead of `end_date`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<PhaseDuration>,
    /// What is charged once when it begins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_invoice_items: Vec<AddInvoiceItem>,
    /// The currency; that of the first price where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Whether it moves the anchor; as the schedule says where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_cycle_anchor: Option<PhaseAnchor>,
    /// What entering it does to the bill; `create_prorations` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proration_behavior: Option<ProrationBehavior>,
    /// Whether all of it is a trial.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub trial: bool,
    /// When the trial that it begins with ends; instead of `trial`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_end: Option<Timestamp>,
    /// How invoices are collected; as the schedule says where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay, for `send_invoice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// The payment method for invoices; as the schedule says where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_payment_method: Option<String>,
    /// The discounts on invoices from its start on, redeemed when they are planned; absent, they stay
    /// as they are, and `null` clears them. A coupon that the phase before it has goes on.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub discounts: DiscountList,
    /// The tax rates of lines that have none of their own; absent, they stay as they are.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub default_tax_rates: Patch<Vec<TaxRateId>>,
    /// What lets usage be invoiced before its period is over; as the schedule says where absent,
    /// `null` clears it (rule 6.13).
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub billing_thresholds: Patch<BillingThresholds>,
    /// Metadata that the subscription is given with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

/// An item of a subscription in a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseItemInput {
    /// A recurring price.
    pub price: PriceId,
    /// How many, for a licensed price; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// The discounts on its lines; absent, those of an item at the same price stay.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub discounts: DiscountList,
    /// The tax rates of its lines; absent, those of an item at the same price stay.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub tax_rates: Patch<Vec<TaxRateId>>,
    /// What lets usage of it be invoiced before its period is over; absent, that of an item at the
    /// same price stays (rule 6.13).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub billing_thresholds: Patch<ItemThresholds>,
}

impl From<PriceId> for PhaseItemInput {
    fn from(price: PriceId) -> Self {
        Self {
            price,
            quantity: None,
            discounts: Patch::Keep,
            tax_rates: Patch::Keep,
            billing_thresholds: Patch::Keep,
        }
    }
}

/// How long a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseDuration {
    /// The unit.
    pub interval: IntervalUnit,
    /// How many of them; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_count: Option<u32>,
}

/// `subscription_schedule.update`: phases that are given replace the current one and all future ones;
/// past ones stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateSubscriptionSchedule {
    /// Which schedule.
    pub id: SubscriptionScheduleId,
    /// The current phase and all future ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<Vec<PhaseInput>>,
    /// What becomes of the subscription after the last phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_behavior: Option<ScheduleEndBehavior>,
    /// How long each renewal is, with `end_behavior: renew`; as it was where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_interval: Option<RenewalInterval>,
    /// What phases have where they say nothing; replaces what was said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_settings: Option<DefaultSettingsInput>,
    /// What changes of the current phase do to the bill; `create_prorations` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proration_behavior: Option<ProrationBehavior>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

/// `subscription_schedule.release`: its subscription goes on without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseSubscriptionSchedule {
    /// Which schedule.
    pub id: SubscriptionScheduleId,
    /// Whether an end that it agreed on for its subscription stays agreed on.
    #[serde(default)]
    pub preserve_cancel_date: bool,
}

/// `subscription_schedule.cancel`: ends it and its subscription now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelSubscriptionSchedule {
    /// Which schedule.
    pub id: SubscriptionScheduleId,
    /// Whether usage and pending items are invoiced at once; yes where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice_now: Option<bool>,
    /// Whether unused time is credited; yes where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prorate: Option<bool>,
}
