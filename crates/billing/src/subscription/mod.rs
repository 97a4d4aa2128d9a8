//! Subscriptions and their items (rule 6).

mod added;
mod charge;
mod command;
mod decide;
mod event;
mod mode;
mod pause;
mod pending;
mod pending_items;
mod period;
mod proration;
mod state;
mod threshold;
mod trial;

pub use added::{AddedPeriod, PeriodEdge, PeriodEnd, PeriodStart};
pub use charge::{item_lines, late_usage_line, lines_of_item, previously_billed_line, usage_lines};
pub use command::{
    AddInvoiceItem, AnchorChange, CancelAt, CancelSubscription, CreateSubscription, ItemChange,
    ItemInput, MigrateSubscription, PaymentBehavior, PriceData, ProrationBehavior, TrialEnd,
    UpdateSubscription,
};
pub use decide::{
    Prices, Updated, decide_create, decide_migrate, decide_reset, decide_update, elapsed_periods,
    too_many_lines,
};
pub(crate) use decide::{check_collection, check_new_items};
pub use event::SubscriptionEvent;
pub use mode::{
    BillingMode, BillingModeInput, BillingModeKind, FlexibleBillingInput, ProrationDiscounts,
};
pub use pause::{
    Pause, PauseBehavior, PauseCollection, ResumeAnchor, ResumeSubscription, Resumption,
};
pub use pending::{PendingCreation, PendingUpdate};
pub use pending_items::{PendingItemInterval, PendingItemIntervalInput};
pub use period::{period_from, rolled_periods, until, whole_period};
pub use proration::{
    Change, Debit, NetOf, Proration, ProrationSource, debits, prorations, whole_of,
};
pub use state::{
    CancellationReason, ClosedUsage, Subscription, SubscriptionItem, SubscriptionStatus,
};
pub use threshold::{BillingThresholds, ItemThresholds};
pub use trial::{MissingPaymentMethod, TrialEndBehavior, TrialSettings, trial_notice_at};

use counterfoil_core::{Id, kind};

/// The id of a subscription.
pub type SubscriptionId = Id<kind::Subscription>;
/// The id of an item of a subscription.
pub type SubscriptionItemId = Id<kind::SubscriptionItem>;
