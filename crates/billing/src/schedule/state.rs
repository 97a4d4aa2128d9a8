//! A subscription schedule.

use super::SubscriptionScheduleId;
use crate::catalog::PriceId;
use crate::customer::CustomerId;
use crate::discount::{Discount, DiscountId};
use crate::invoice::CollectionMethod;
use crate::subscription::{
    AddInvoiceItem, BillingThresholds, ItemThresholds, ProrationBehavior, SubscriptionId,
};
use crate::tax::TaxRateId;
use counterfoil_core::{Currency, IntervalUnit, Metadata, Period, Timestamp, Zone};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A schedule: the phases that a subscription goes through (rule 7).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionSchedule {
    /// Its id.
    pub id: SubscriptionScheduleId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// Who subscribes.
    pub customer: CustomerId,
    /// Where it stands.
    pub status: ScheduleStatus,
    /// When it was created.
    pub created: Timestamp,
    /// The subscription that it guides, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    /// The subscription that it guided until it was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_subscription: Option<SubscriptionId>,
    /// What becomes of the subscription after the last phase.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub end_behavior: ScheduleEndBehavior,
    /// How long each renewal is; with `renew` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_interval: Option<RenewalInterval>,
    /// What phases have where they say nothing.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub default_settings: DefaultSettings,
    /// Its phases, each beginning where the one before it ends; past ones stay as they were.
    pub phases: Vec<Phase>,
    /// How many phases were entered: the latest of them is the current one.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub phases_entered: u32,
    /// The day of the month that the ends of phases aim at, 1 to 31.
    pub nominal_day: u8,
    /// The clock by which the durations of phases are told.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub zone: Zone,
    /// When its end is announced; none once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiring_notice_at: Option<Timestamp>,
    /// When its last phase was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When it was canceled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_at: Option<Timestamp>,
    /// When it was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Timestamp>,
    /// Metadata (rule 1.6); personal.
    #[serde(skip)]
    pub metadata: Metadata,
}

/// Where a schedule stands.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleStatus {
    /// Its first phase lies ahead.
    NotStarted,
    /// It is in one of its phases.
    Active,
    /// Its phases are over, and its subscription with them; final.
    Completed,
    /// Its subscription goes on without it; final.
    Released,
    /// It was canceled; final.
    Canceled,
}

/// What becomes of a subscription after the last phase.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleEndBehavior {
    /// It goes on as the last phase left it.
    #[default]
    Release,
    /// It ends; also read from `none`.
    #[serde(alias = "none")]
    Cancel,
    /// It goes on in a phase like the last one, and then in another one, until something else is said.
    Renew,
}

/// How long each renewal of a schedule is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalInterval {
    /// The unit.
    pub interval: IntervalUnit,
    /// How many of them.
    pub length: u32,
}

/// What phases have where they say nothing.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultSettings {
    /// Whether a phase moves the anchor.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub billing_cycle_anchor: PhaseAnchor,
    /// How invoices are collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay, for `send_invoice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// The payment method for invoices; the customer's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_payment_method: Option<String>,
    /// What lets usage be invoiced before its period is over (rule 6.13).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_thresholds: Option<BillingThresholds>,
}

/// Whether a phase moves the anchor.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseAnchor {
    /// Only where the change of items does.
    #[default]
    Automatic,
    /// New periods begin with the phase.
    PhaseStart,
}

/// A phase: what the subscription is from its start to its end.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// When it begins.
    pub start_date: Timestamp,
    /// When it ends, and the next one begins.
    pub end_date: Timestamp,
    /// What the subscription consists of.
    pub items: Vec<PhaseItem>,
    /// What is charged once when it begins; without metadata.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_invoice_items: Vec<AddInvoiceItem>,
    /// The currency, where it is not that of the prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Whether it moves the anchor; as the schedule says where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_cycle_anchor: Option<PhaseAnchor>,
    /// What entering it does to the bill (rule 6.6).
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub proration_behavior: ProrationBehavior,
    /// When the trial that it begins with ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_end: Option<Timestamp>,
    /// How invoices are collected; as the schedule says where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay, for `send_invoice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// The payment method for invoices; as the schedule says where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_payment_method: Option<String>,
    /// The discounts on invoices, redeemed already; as they are where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discounts: Option<Vec<Discount>>,
    /// The discounts of what is charged once, which names them by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub once_discounts: Vec<Discount>,
    /// The tax rates of lines that have none of their own; as they are where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_tax_rates: Option<Vec<TaxRateId>>,
    /// What lets usage be invoiced before its period is over; as the schedule says where absent, and
    /// nothing where it has no amount (rule 6.13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_thresholds: Option<BillingThresholds>,
    /// Metadata that the subscription is given with it; personal.
    #[serde(skip)]
    pub metadata: Metadata,
}

/// An item of a subscription in a phase.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseItem {
    /// Its price.
    pub price: PriceId,
    /// How many; 1 where absent, none for a metered price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// The discounts on its lines, redeemed already; as they are at the same price where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discounts: Option<Vec<Discount>>,
    /// The tax rates of its lines; as they are at the same price where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_rates: Option<Vec<TaxRateId>>,
    /// What lets usage of it be invoiced before its period is over; as it is at the same price where
    /// absent, and nothing where it has no amount (rule 6.13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_thresholds: Option<ItemThresholds>,
}

impl SubscriptionSchedule {
    /// Whether nothing will come of it any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self.status, ScheduleStatus::NotStarted | ScheduleStatus::Active)
    }

    /// The phase it is in.
    #[must_use]
    pub fn current_phase(&self) -> Option<&Phase> {
        if self.status != ScheduleStatus::Active {
            return None;
        }
        self.phases.get(self.current_index()?)
    }

    /// The place of the phase it is in, or was in last.
    #[must_use]
    pub fn current_index(&self) -> Option<usize> {
        usize::try_from(self.phases_entered).ok()?.checked_sub(1)
    }

    /// The phase that comes next.
    #[must_use]
    pub fn next_phase(&self) -> Option<&Phase> {
        self.phases.get(usize::try_from(self.phases_entered).ok()?)
    }

    /// When its phases change next, or are over.
    #[must_use]
    pub fn next_change(&self) -> Option<Timestamp> {
        match self.status {
            ScheduleStatus::NotStarted => Some(self.next_phase()?.start_date),
            ScheduleStatus::Active => Some(self.current_phase()?.end_date),
            _ => None,
        }
    }

    /// The phases that have not begun, of one that is not over.
    #[must_use]
    pub fn future_phases(&self) -> &[Phase] {
        if self.is_over() {
            return &[];
        }
        let entered = usize::try_from(self.phases_entered).unwrap_or(usize::MAX);
        self.phases.get(entered..).unwrap_or_default()
    }

    /// Takes discounts off the phases that have not begun: they are used up (point 31).
    pub fn drop_used_up(&mut self, used: &[DiscountId]) {
        let entered = usize::try_from(self.phases_entered).unwrap_or(usize::MAX);
        for phase in self.phases.get_mut(entered..).unwrap_or_default() {
            phase.keep_discounts(|own| !used.contains(&own.id));
        }
    }

    /// When its last phase is over.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.phases.last().map(|phase| phase.end_date)
    }
}

impl Phase {
    /// From its start to its end.
    #[must_use]
    pub fn period(&self) -> Period {
        Period::new(self.start_date, self.end_date)
    }

    /// All discounts that it says.
    pub fn all_discounts(&self) -> impl Iterator<Item = &Discount> {
        let own = self.discounts.iter().flatten();
        own.chain(self.items.iter().flat_map(|item| item.discounts.iter().flatten()))
            .chain(&self.once_discounts)
    }

    /// All tax rates that it says.
    pub fn all_tax_rates(&self) -> impl Iterator<Item = &TaxRateId> {
        let own = self.default_tax_rates.iter().flatten();
        own.chain(self.items.iter().flat_map(|item| item.tax_rates.iter().flatten()))
            .chain(self.add_invoice_items.iter().flat_map(|item| &item.tax_rates))
    }

    /// Takes off the discounts on invoices and items that are not to be kept.
    pub fn keep_discounts(&mut self, is_kept: impl Fn(&Discount) -> bool) {
        let lists = self.items.iter_mut().filter_map(|item| item.discounts.as_mut());
        for list in lists.chain(self.discounts.as_mut()) {
            list.retain(&is_kept);
        }
    }
}

impl fmt::Display for ScheduleStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotStarted => "not_started",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Released => "released",
            Self::Canceled => "canceled",
        })
    }
}
