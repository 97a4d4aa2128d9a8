//! Subscription schedules, as the report shows them.

use counterfoil::{
    CollectionMethod, CustomerId, DefaultSettings, Metadata, Period, Phase, PhaseAnchor, PhaseItem,
    ProrationBehavior, ScheduleEndBehavior, ScheduleStatus, SubscriptionId, SubscriptionSchedule,
    SubscriptionScheduleId, Timestamp,
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
    pub items: Vec<PhaseItem>,
    /// Whether it moves the anchor.
    pub billing_cycle_anchor: Option<PhaseAnchor>,
    /// What entering it does to the bill.
    pub proration_behavior: ProrationBehavior,
    /// When its trial ends.
    pub trial_end: Option<Timestamp>,
    /// How invoices are collected.
    pub collection_method: Option<CollectionMethod>,
    /// The payment method for invoices.
    pub default_payment_method: Option<String>,
    /// Metadata that the subscription is given with it.
    pub metadata: Metadata,
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
            items: phase.items.clone(),
            billing_cycle_anchor: phase.billing_cycle_anchor,
            proration_behavior: phase.proration_behavior,
            trial_end: phase.trial_end,
            collection_method: phase.collection_method,
            default_payment_method: phase.default_payment_method.clone(),
            metadata: phase.metadata.clone(),
        }
    }
}
