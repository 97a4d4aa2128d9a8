//! What a caller may ask for.

use super::{
    AddedPeriod, BillingModeInput, BillingThresholds, ItemThresholds, PauseCollection,
    PendingItemIntervalInput, SubscriptionId, SubscriptionItemId, TrialSettings,
};
use crate::Patch;
use crate::catalog::{PriceId, ProductId};
use crate::customer::CustomerId;
use crate::discount::{DiscountInput, DiscountList};
use crate::invoice::CollectionMethod;
use crate::tax::TaxRateId;
use counterfoil_core::{AnchorConfig, Currency, Decimal12, MetadataPatch, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// `subscription.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSubscription {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SubscriptionId>,
    /// Who subscribes.
    pub customer: CustomerId,
    /// What to: 1 to 20 items with recurring prices.
    pub items: Vec<ItemInput>,
    /// The currency; that of the first price where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// A future instant that boundaries are computed from; creation where absent (rule 6.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_cycle_anchor: Option<Timestamp>,
    /// The same as fields of a date; instead of `billing_cycle_anchor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_cycle_anchor_config: Option<AnchorConfig>,
    /// How the amounts of its changes are computed; flexible where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_mode: Option<BillingModeInput>,
    /// When service began, in the past: the time since then is charged too (rule 6.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backdate_start_date: Option<Timestamp>,
    /// Whether a first period that is shorter than the interval is charged in part or free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proration_behavior: Option<ProrationBehavior>,
    /// When a trial ends; `now` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_end: Option<TrialEnd>,
    /// How many days a trial lasts; instead of `trial_end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_period_days: Option<u32>,
    /// Whether it has the trial that its prices say: the longest one.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub trial_from_plan: bool,
    /// What follows the trial where there is nobody to charge (rule 6.8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_settings: Option<TrialSettings>,
    /// What is charged once, with the first invoice: up to 20 items. A trial does not put them off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_invoice_items: Vec<AddInvoiceItem>,
    /// How its invoices are collected.
    #[serde(default)]
    pub collection_method: CollectionMethod,
    /// Days to pay, for `send_invoice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// What happens with the first payment (rule 6.3).
    #[serde(default)]
    pub payment_behavior: PaymentBehavior,
    /// The payment method for its invoices; the customer's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_payment_method: Option<String>,
    /// Whether it ends with its first period.
    #[serde(default)]
    pub cancel_at_period_end: bool,
    /// When it ends (rule 6.10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_at: Option<CancelAt>,
    /// The discounts on its invoices; the customer's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discounts: Option<Vec<DiscountInput>>,
    /// The tax rates of lines that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_tax_rates: Option<Vec<TaxRateId>>,
    /// What lets it invoice usage before its period is over (rule 6.13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_thresholds: Option<BillingThresholds>,
    /// How often what waits for an invoice is invoiced, beside its renewals (rule 6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_invoice_item_interval: Option<PendingItemIntervalInput>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

impl CreateSubscription {
    /// A subscription of a customer to prices, one of each, from now on.
    #[must_use]
    pub fn new(customer: CustomerId, prices: impl IntoIterator<Item = PriceId>) -> Self {
        Self {
            id: None,
            customer,
            items: prices.into_iter().map(ItemInput::from).collect(),
            currency: None,
            billing_cycle_anchor: None,
            billing_cycle_anchor_config: None,
            billing_mode: None,
            backdate_start_date: None,
            proration_behavior: None,
            trial_end: None,
            trial_period_days: None,
            trial_from_plan: false,
            trial_settings: None,
            add_invoice_items: Vec::new(),
            collection_method: CollectionMethod::default(),
            days_until_due: None,
            payment_behavior: PaymentBehavior::default(),
            default_payment_method: None,
            cancel_at_period_end: false,
            cancel_at: None,
            discounts: None,
            default_tax_rates: None,
            billing_thresholds: None,
            pending_invoice_item_interval: None,
            description: None,
            metadata: None,
        }
    }
}

/// An item of a new subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemInput {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SubscriptionItemId>,
    /// A recurring price.
    pub price: PriceId,
    /// How many, for a licensed price; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// The discounts on its lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discounts: Option<Vec<DiscountInput>>,
    /// The tax rates of its lines, instead of those of the subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_rates: Option<Vec<TaxRateId>>,
    /// What lets usage of it be invoiced before its period is over (rule 6.13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_thresholds: Option<ItemThresholds>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

impl From<PriceId> for ItemInput {
    fn from(price: PriceId) -> Self {
        Self {
            id: None,
            price,
            quantity: None,
            discounts: None,
            tax_rates: None,
            billing_thresholds: None,
            metadata: None,
        }
    }
}

/// Something that a subscription charges once.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AddInvoiceItem {
    /// A one-time price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceId>,
    /// A price that is made for this alone; instead of `price`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_data: Option<PriceData>,
    /// How many; 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// The period that is served; the instant of the change where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<AddedPeriod>,
    /// Whether discounts apply; where absent, unless the amount is negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discountable: Option<bool>,
    /// The discounts on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<DiscountInput>,
    /// Its tax rates, instead of those of the subscription.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<TaxRateId>,
    /// Metadata (rule 1.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

/// A one-time price that is made where it is used. It may be negative.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceData {
    /// What is sold.
    pub product: ProductId,
    /// The currency: that of the subscription.
    pub currency: Currency,
    /// The price of one, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<i64>,
    /// The same with a fraction; instead of `unit_amount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount_decimal: Option<Decimal12>,
}

/// What a change in the middle of a period does to the bill (rule 6.6).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProrationBehavior {
    /// Amounts for the rest of the period go on the next invoice.
    #[default]
    CreateProrations,
    /// Amounts for the rest of the period are invoiced at once.
    AlwaysInvoice,
    /// Nothing: the change shows from the next period on.
    None,
}

/// What happens with a payment that a change needs (rule 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PaymentBehavior {
    /// It is attempted; the subscription is incomplete until it succeeds.
    #[default]
    AllowIncomplete,
    /// The first invoice is left open for somebody to pay.
    DefaultIncomplete,
    /// Nothing comes of it unless the payment succeeds.
    ErrorIfIncomplete,
    /// The change waits for its payment (rule 6.9); of updates only.
    PendingIfIncomplete,
}

/// When a trial ends: an instant, or the word `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialEnd {
    /// At once.
    Now,
    /// At an instant.
    At(Timestamp),
}

impl Serialize for TrialEnd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Now => serializer.serialize_str("now"),
            Self::At(at) => at.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TrialEnd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = TrialEnd;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time, or \"now\"")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<TrialEnd, E> {
                Timestamp::from_unix(value).map(TrialEnd::At).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<TrialEnd, E> {
                self.visit_i64(i64::try_from(value).map_err(E::custom)?)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TrialEnd, E> {
                if text == "now" {
                    return Ok(TrialEnd::Now);
                }
                Timestamp::parse(text).map(TrialEnd::At).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What an update does to the anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnchorChange {
    /// New periods begin now.
    Now,
    /// It stays, also where the classic mode would move it.
    Unchanged,
}

/// When a subscription ends: an instant, or a word for one that is known when it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelAt {
    /// At an instant.
    At(Timestamp),
    /// With the period of an item that ends first.
    MinPeriodEnd,
    /// With the period of an item that ends last.
    MaxPeriodEnd,
    /// With the latest time that an item was billed for.
    MaxBilledUntil,
}

impl CancelAt {
    const MIN_PERIOD_END: &'static str = "min_period_end";
    const MAX_PERIOD_END: &'static str = "max_period_end";
    const MAX_BILLED_UNTIL: &'static str = "max_billed_until";
}

impl Serialize for CancelAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(at) => at.serialize(serializer),
            Self::MinPeriodEnd => serializer.serialize_str(Self::MIN_PERIOD_END),
            Self::MaxPeriodEnd => serializer.serialize_str(Self::MAX_PERIOD_END),
            Self::MaxBilledUntil => serializer.serialize_str(Self::MAX_BILLED_UNTIL),
        }
    }
}

impl<'de> Deserialize<'de> for CancelAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = CancelAt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time, min_period_end, max_period_end or max_billed_until")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<CancelAt, E> {
                Timestamp::from_unix(value).map(CancelAt::At).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<CancelAt, E> {
                self.visit_i64(i64::try_from(value).map_err(E::custom)?)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<CancelAt, E> {
                match text {
                    CancelAt::MIN_PERIOD_END => Ok(CancelAt::MinPeriodEnd),
                    CancelAt::MAX_PERIOD_END => Ok(CancelAt::MaxPeriodEnd),
                    CancelAt::MAX_BILLED_UNTIL => Ok(CancelAt::MaxBilledUntil),
                    _ => Timestamp::parse(text).map(CancelAt::At).map_err(E::custom),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `subscription.update`: fields that are absent stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateSubscription {
    /// Which subscription.
    pub id: SubscriptionId,
    /// Changes of items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemChange>,
    /// What a change in the middle of a period does to the bill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proration_behavior: Option<ProrationBehavior>,
    /// The instant that time is divided at, within the current period; now where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proration_date: Option<Timestamp>,
    /// Whether new periods begin now (rule 6.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_cycle_anchor: Option<AnchorChange>,
    /// When a trial ends: one that runs, or one that begins now (rule 6.8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_end: Option<TrialEnd>,
    /// When it ends; `null` takes that back (rule 6.10).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub cancel_at: Patch<CancelAt>,
    /// What happens with the payment that it needs; `allow_incomplete` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_behavior: Option<PaymentBehavior>,
    /// What is charged once, at once: up to 20 items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_invoice_items: Vec<AddInvoiceItem>,
    /// What follows the trial where there is nobody to charge (rule 6.8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_settings: Option<TrialSettings>,
    /// How the collection of its invoices is paused; `null` ends the pause (rule 6.11).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub pause_collection: Patch<PauseCollection>,
    /// Whether it ends with the current period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_at_period_end: Option<bool>,
    /// The payment method for its invoices.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub default_payment_method: Patch<String>,
    /// How its future invoices are collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay, for `send_invoice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// The discounts on its invoices from now on. Alone they change no bill that was made.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub discounts: DiscountList,
    /// The tax rates of lines that have none of their own.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub default_tax_rates: Patch<Vec<TaxRateId>>,
    /// What lets it invoice usage before its period is over; `null` clears it (rule 6.13).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub billing_thresholds: Patch<BillingThresholds>,
    /// How often what waits for an invoice is invoiced; another interval counts from now, `null`
    /// ends it (rule 6.1).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub pending_invoice_item_interval: Patch<PendingItemIntervalInput>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub description: Patch<String>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

impl UpdateSubscription {
    /// An update of nothing, to be filled in.
    #[must_use]
    pub fn new(id: SubscriptionId) -> Self {
        Self {
            id,
            items: Vec::new(),
            proration_behavior: None,
            proration_date: None,
            billing_cycle_anchor: None,
            trial_end: None,
            cancel_at: Patch::Keep,
            payment_behavior: None,
            add_invoice_items: Vec::new(),
            trial_settings: None,
            pause_collection: Patch::Keep,
            cancel_at_period_end: None,
            default_payment_method: Patch::Keep,
            collection_method: None,
            days_until_due: None,
            discounts: Patch::Keep,
            default_tax_rates: Patch::Keep,
            billing_thresholds: Patch::Keep,
            pending_invoice_item_interval: Patch::Keep,
            description: Patch::Keep,
            metadata: Patch::Keep,
        }
    }
}

impl UpdateSubscription {
    /// Whether the payment is left to somebody else.
    #[must_use]
    pub fn leaves_payment_open(&self) -> bool {
        self.payment_behavior == Some(PaymentBehavior::DefaultIncomplete)
    }

    /// Whether it changes what is sold: items, periods, or what is charged once.
    #[must_use]
    pub fn changes_terms(&self) -> bool {
        !self.items.is_empty()
            || !self.add_invoice_items.is_empty()
            || self.billing_cycle_anchor.is_some()
            || self.trial_end.is_some()
    }

    /// Whether it changes what the phase of a schedule says, so that the one that runs is divided
    /// (rule 7).
    #[must_use]
    pub fn divides_phase(&self) -> bool {
        let discounts = match &self.discounts {
            Patch::Keep => false,
            Patch::Clear => true,
            Patch::Set(inputs) => !inputs.is_empty(),
        };
        self.changes_terms() || discounts || !self.default_tax_rates.is_keep()
    }

    /// A parameter that is given and cannot be held back until a payment (rule 6.9).
    #[must_use]
    pub fn unheld_parameter(&self) -> Option<&'static str> {
        let given = [
            ("trial_end", self.trial_end.is_some()),
            ("trial_settings", self.trial_settings.is_some()),
            ("pause_collection", !self.pause_collection.is_keep()),
            ("cancel_at", !self.cancel_at.is_keep()),
            ("cancel_at_period_end", self.cancel_at_period_end.is_some()),
            ("default_payment_method", !self.default_payment_method.is_keep()),
            ("collection_method", self.collection_method.is_some()),
            ("days_until_due", self.days_until_due.is_some()),
            ("billing_thresholds", !self.billing_thresholds.is_keep()),
            ("pending_invoice_item_interval", !self.pending_invoice_item_interval.is_keep()),
            ("description", !self.description.is_keep()),
            ("metadata", !self.metadata.is_keep()),
            ("items.metadata", self.items.iter().any(|item| !item.metadata.is_keep())),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

/// A change of one item: with a known id it changes (or with `deleted` removes) that item; with a
/// price and no id, or a new one, it adds an item.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ItemChange {
    /// Which item, or the id of a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<SubscriptionItemId>,
    /// Its price from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceId>,
    /// How many; with a new price, 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// Whether it is removed.
    pub deleted: bool,
    /// The discounts on its lines.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub discounts: DiscountList,
    /// The tax rates of its lines, instead of those of the subscription.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub tax_rates: Patch<Vec<TaxRateId>>,
    /// What lets usage of it be invoiced before its period is over; `null` clears it (rule 6.13).
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub billing_thresholds: Patch<ItemThresholds>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

/// `subscription.cancel`: ends it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelSubscription {
    /// Which subscription.
    pub id: SubscriptionId,
    /// Whether usage and pending items are invoiced at once; usage is discarded where not.
    #[serde(default)]
    pub invoice_now: bool,
    /// Whether unused time is credited.
    #[serde(default)]
    pub prorate: bool,
}

/// `subscription.migrate`: from the classic billing mode to the flexible one, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateSubscription {
    /// Which subscription.
    pub id: SubscriptionId,
    /// The flexible mode.
    pub billing_mode: BillingModeInput,
}
