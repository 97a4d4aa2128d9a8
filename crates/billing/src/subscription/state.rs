//! A subscription.

use super::{
    BillingMode, BillingThresholds, ItemThresholds, Pause, PauseCollection, PendingItemInterval,
    PendingUpdate, Resumption, SubscriptionId, SubscriptionItemId, TrialSettings,
};
use crate::catalog::PriceId;
use crate::customer::CustomerId;
use crate::discount::Discount;
use crate::invoice::{CollectionMethod, InvoiceId, UsageCharge};
use crate::schedule::SubscriptionScheduleId;
use crate::tax::TaxRateId;
use counterfoil_core::{Anchor, Currency, Metadata, Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A subscription (rule 6.1). Periods live on its items.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// Who subscribes.
    pub customer: CustomerId,
    /// Where it stands.
    pub status: SubscriptionStatus,
    /// The currency of its invoices.
    pub currency: Currency,
    /// When it was created.
    pub created: Timestamp,
    /// When service began.
    pub start_date: Timestamp,
    /// What the boundaries of its periods are computed from (rule 6.4).
    pub anchor: Anchor,
    /// How the amounts of its changes are computed.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub billing_mode: BillingMode,
    /// Whether a first period that is shorter than the interval is free (rule 6.4).
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub free_stub: bool,
    /// How its invoices are collected.
    pub collection_method: CollectionMethod,
    /// Days to pay, for `send_invoice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// The payment method for its invoices; the customer's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_payment_method: Option<String>,
    /// What it consists of, in the order in which lines are shown (rule 8.5).
    pub items: Vec<SubscriptionItem>,
    /// How many items were ever added to it: what derived ids of items count on from.
    pub items_added: u64,
    /// Its latest trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Period>,
    /// Usage of parts of a period that a change ended: the next invoice takes it (rule 6.7).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed_usage: Vec<ClosedUsage>,
    /// Whether it ends with the current period.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub cancel_at_period_end: bool,
    /// When it ends; no period reaches beyond it (rule 6.10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_at: Option<Timestamp>,
    /// When its end was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it ended, or will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation_reason: Option<CancellationReason>,
    /// The invoice that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_invoice: Option<InvoiceId>,
    /// Its latest invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_invoice: Option<InvoiceId>,
    /// While incomplete: when the first payment must have succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_expires_at: Option<Timestamp>,
    /// What it does with its trial (rule 6.8).
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub trial_settings: TrialSettings,
    /// When the end of its trial is announced; none once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_notice_at: Option<Timestamp>,
    /// How the collection of its invoices is paused (rule 6.11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_collection: Option<PauseCollection>,
    /// When it was paused, oldest first (rule 6.15).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
    /// A change that waits for its payment (rule 6.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_update: Option<Box<PendingUpdate>>,
    /// The schedule that guides it (rule 7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<SubscriptionScheduleId>,
    /// How it goes on once the invoice of its resumption is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumption: Option<Resumption>,
    /// The discounts on its invoices, which take the place of the customer's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// The tax rates of lines that have none of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_tax_rates: Vec<TaxRateId>,
    /// What lets it invoice usage before its period is over (rule 6.13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_thresholds: Option<BillingThresholds>,
    /// How often what waits for an invoice is invoiced, beside its renewals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_item_interval: Option<PendingItemInterval>,
    /// Free text; personal.
    #[serde(skip)]
    pub description: Option<String>,
    /// Metadata (rule 1.6); personal.
    #[serde(skip)]
    pub metadata: Metadata,
}

/// An item of a subscription.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionItem {
    /// Its id.
    pub id: SubscriptionItemId,
    /// Its price.
    pub price: PriceId,
    /// How many; none for a metered price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// Its current period.
    pub period: Period,
    /// For a metered price: since when usage of the current period is charged at it, where that is
    /// not the whole period (rule 6.7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_since: Option<Timestamp>,
    /// When it was added.
    pub created: Timestamp,
    /// The discounts on its lines, which apply before those of the subscription.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// The tax rates of its lines, which replace those of the subscription.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<TaxRateId>,
    /// What lets usage of it be invoiced before its period is over (rule 6.13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_thresholds: Option<ItemThresholds>,
    /// Metadata (rule 1.6); personal.
    #[serde(skip)]
    pub metadata: Metadata,
}

/// The usage of a part of a period that a change of its item ended (rule 6.7).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedUsage {
    /// The usage, at the price that was in force.
    pub charge: UsageCharge,
    /// Whether no invoice takes it.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub dropped: bool,
}

/// Where a subscription stands (rule 6.2).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SubscriptionStatus {
    /// Its first payment is awaited.
    Incomplete,
    /// Its first payment never came; final.
    IncompleteExpired,
    /// It is free for now.
    Trialing,
    /// All is well.
    Active,
    /// Its latest invoice was not paid.
    PastDue,
    /// Its trial ended and there was nobody to charge: nothing is billed until it is resumed.
    Paused,
    /// The retries of its latest invoice are exhausted; its next invoices stay drafts.
    Unpaid,
    /// It ended; final.
    Canceled,
}

/// Why a subscription ended, or will.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancellationReason {
    /// Somebody asked for it.
    CancellationRequested,
    /// The retries of an invoice were exhausted.
    PaymentFailed,
}

impl Subscription {
    /// Whether it has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.status, SubscriptionStatus::Canceled | SubscriptionStatus::IncompleteExpired)
    }

    /// The current period as a whole (rule 6.1): from the latest start to the earliest end of its
    /// items' periods.
    #[must_use]
    pub fn current_period(&self) -> Period {
        let start = self.items.iter().map(|item| item.period.start).max();
        let end = self.items.iter().map(|item| item.period.end).min();
        Period::new(start.unwrap_or(self.created), end.unwrap_or(self.created))
    }

    /// When it ends by what was agreed on, if it does.
    #[must_use]
    pub fn agreed_end(&self) -> Option<Timestamp> {
        match self.cancel_at {
            Some(at) => Some(at),
            None => self.cancel_at_period_end.then(|| self.current_period().end),
        }
    }

    /// The anchor as it is shown: in the classic mode the agreed end, where that shortens the
    /// current period (rule 6.4).
    #[must_use]
    pub fn billing_cycle_anchor(&self) -> Timestamp {
        let shortened = self.cancel_at.filter(|end| *end == self.current_period().end);
        let moves = self.billing_mode.is_classic() && !self.is_in_trial();
        shortened.filter(|_| moves).unwrap_or(self.anchor.at)
    }

    /// All discounts on it and its items.
    pub fn all_discounts(&self) -> impl Iterator<Item = &Discount> {
        self.discounts.iter().chain(self.items.iter().flat_map(|item| &item.discounts))
    }

    /// Whether what it owes is invoiced: not while its first payment is awaited, nor in a pause.
    #[must_use]
    pub fn is_billed(&self) -> bool {
        !matches!(self.status, SubscriptionStatus::Incomplete | SubscriptionStatus::Paused)
    }

    /// Whether the current period is the trial.
    #[must_use]
    pub fn is_in_trial(&self) -> bool {
        self.status == SubscriptionStatus::Trialing
    }

    /// The item with an id.
    #[must_use]
    pub fn item(&self, id: &SubscriptionItemId) -> Option<&SubscriptionItem> {
        self.items.iter().find(|item| item.id == *id)
    }
}

impl SubscriptionItem {
    /// The part of the current period whose usage is charged at its price.
    #[must_use]
    pub fn usage_period(&self) -> Period {
        Period::new(self.usage_since.unwrap_or(self.period.start), self.period.end)
    }

    /// Until when it is billed: a licence ahead, usage behind.
    #[must_use]
    pub fn billed_until(&self) -> Timestamp {
        if self.quantity.is_none() { self.usage_period().start } else { self.period.end }
    }
}

impl fmt::Display for SubscriptionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Incomplete => "incomplete",
            Self::IncompleteExpired => "incomplete_expired",
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Paused => "paused",
            Self::Unpaid => "unpaid",
            Self::Canceled => "canceled",
        })
    }
}
