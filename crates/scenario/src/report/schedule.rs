//! Subscription schedules, as the report shows them.

use super::{DiscountReport, terms};
use counterfoil::{
    AddInvoiceItem, BillingThresholds, CollectionMethod, CustomerId, DefaultSettings,
    ItemThresholds, Metadata, Period, Phase, PhaseAnchor, PhaseItem, PriceId, ProrationBehavior,
    RenewalInterval, ScheduleEndBehavior, ScheduleStatus, SubscriptionId, SubscriptionSchedule,
    SubscriptionScheduleId, TaxRateId, Timestamp,
};
use serde::Serialize;

/// A subscription schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubscriptionScheduleReport {
    /// Its id.
    pub id: SubscriptionScheduleId,
    /// Who subscribes.
    pub customer: CustomerId,
    /// Where it stands.
    pub status: ScheduleStatus,
    /// When it was created.
    pub created: Timestamp,
    /// The subscription that it guides.
    pub subscription: Option<SubscriptionId>,
    /// The subscription that it guided until it was released.
    pub released_subscription: Option<SubscriptionId>,
    /// What becomes of the subscription after the last phase.
    pub end_behavior: ScheduleEndBehavior,
    /// How long each renewal is.
    pub renewal_interval: Option<RenewalInterval>,
    /// What phases have where they say nothing.
    pub default_settings: DefaultSettings,
    /// The phase it is in.
    pub current_phase: Option<CurrentPhaseReport>,
    /// Its phases.
    pub phases: Vec<PhaseReport>,
    /// When its last phase was over.
    pub completed_at: Option<Timestamp>,
    /// When it was canceled.
    pub canceled_at: Option<Timestamp>,
    /// When it was released.
    pub released_at: Option<Timestamp>,
    /// Metadata.
    pub metadata: Metadata,
}

/// The phase that a schedule is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CurrentPhaseReport {
    /// When it began.
    pub start_date: Timestamp,
    /// When it ends.
    pub end_date: Timestamp,
}

/// A phase of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseReport {
    /// When it begins.
    pub start_date: Timestamp,
    /// When it ends.
    pub end_date: Timestamp,
    /// What the subscription consists of.
    pub items: Vec<PhaseItemReport>,
    /// What is charged once when it begins.
    pub add_invoice_items: Vec<AddInvoiceItem>,
    /// Whether it moves the anchor.
    pub billing_cycle_anchor: Option<PhaseAnchor>,
    /// What entering it does to the bill.
    pub proration_behavior: ProrationBehavior,
    /// When its trial ends.
    pub trial_end: Option<Timestamp>,
    /// How invoices are collected.
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay, for `send_invoice`.
    pub days_until_due: Option<u32>,
    /// The payment method for invoices.
    pub default_payment_method: Option<String>,
    /// The discounts on invoices; as they are where it says none.
    pub discounts: Option<Vec<DiscountReport>>,
    /// The tax rates of lines that have none of their own; as they are where it says none.
    pub default_tax_rates: Option<Vec<TaxRateId>>,
    /// What lets usage be invoiced before its period is over.
    pub billing_thresholds: Option<BillingThresholds>,
    /// Metadata that the subscription is given with it.
    pub metadata: Metadata,
}

/// An item of a subscription in a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseItemReport {
    /// Its price.
    pub price: PriceId,
    /// How many; none for a metered price.
    pub quantity: Option<i64>,
    /// The discounts on its lines.
    pub discounts: Option<Vec<DiscountReport>>,
    /// The tax rates of its lines.
    pub tax_rates: Option<Vec<TaxRateId>>,
    /// What lets usage of it be invoiced before its period is over.
    pub billing_thresholds: Option<ItemThresholds>,
}

impl SubscriptionScheduleReport {
    pub(super) fn of(schedule: &SubscriptionSchedule) -> Self {
        let current = schedule.current_phase().map(Phase::period);
        Self {
            id: schedule.id.clone(),
            customer: schedule.customer.clone(),
            status: schedule.status,
            created: schedule.created,
            subscription: schedule.subscription.clone(),
            released_subscription: schedule.released_subscription.clone(),
            end_behavior: schedule.end_behavior,
            renewal_interval: schedule.renewal_interval,
            default_settings: schedule.default_settings.clone(),
            current_phase: current.map(|Period { start, end }| CurrentPhaseReport {
                start_date: start,
                end_date: end,
            }),
            phases: schedule.phases.iter().map(PhaseReport::of).collect(),
            completed_at: schedule.completed_at,
            canceled_at: schedule.canceled_at,
            released_at: schedule.released_at,
            metadata: schedule.metadata.clone(),
        }
    }
}

impl PhaseReport {
    fn of(phase: &Phase) -> Self {
        Self {
            start_date: phase.start_date,
            end_date: phase.end_date,
            items: phase.items.iter().map(PhaseItemReport::of).collect(),
            add_invoice_items: phase.add_invoice_items.clone(),
            billing_cycle_anchor: phase.billing_cycle_anchor,
            proration_behavior: phase.proration_behavior,
            trial_end: phase.trial_end,
            collection_method: phase.collection_method,
            days_until_due: phase.days_until_due,
            default_payment_method: phase.default_payment_method.clone(),
            discounts: phase.discounts.as_deref().map(terms::discounts),
            default_tax_rates: phase.default_tax_rates.clone(),
            billing_thresholds: phase.billing_thresholds,
            metadata: phase.metadata.clone(),
        }
    }
}

impl PhaseItemReport {
    fn of(item: &PhaseItem) -> Self {
        Self {
            price: item.price.clone(),
            quantity: item.quantity,
            discounts: item.discounts.as_deref().map(terms::discounts),
            tax_rates: item.tax_rates.clone(),
            billing_thresholds: item.billing_thresholds,
        }
    }
}
