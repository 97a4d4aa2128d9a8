//! Subscription schedules: what a subscription becomes, and when (rule 7).

mod command;
mod decide;
mod event;
mod state;

pub use command::{
    CancelSubscriptionSchedule, CreateSubscriptionSchedule, DefaultSettingsInput, PhaseDuration,
    PhaseInput, PhaseItemInput, ReleaseSubscriptionSchedule, UpdateSubscriptionSchedule,
};
pub use decide::{
    Resent, creation_of, decide_create, decide_from_subscription, decide_update, update_of,
};
pub use event::SubscriptionScheduleEvent;
pub use state::{
    DefaultSettings, Phase, PhaseAnchor, PhaseItem, RenewalInterval, ScheduleEndBehavior,
    ScheduleStatus, SubscriptionSchedule,
};

use counterfoil_core::{Id, kind};

/// The id of a subscription schedule.
pub type SubscriptionScheduleId = Id<kind::SubscriptionSchedule>;
