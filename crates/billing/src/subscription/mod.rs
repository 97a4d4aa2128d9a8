//! Subscriptions and their items (rule 6).

mod charge;
mod command;
mod decide;
mod event;
mod period;
mod state;

pub use charge::{item_lines, lines_of_item, usage_lines};
pub use command::{
    CancelSubscription, CreateSubscription, ItemChange, ItemInput, PaymentBehavior,
    ProrationBehavior, TrialEnd, UpdateSubscription,
};
pub use decide::{Prices, decide_create, decide_update};
pub use event::SubscriptionEvent;
pub use period::{period_from, rolled_periods, whole_period};
pub use state::{CancellationReason, Subscription, SubscriptionItem, SubscriptionStatus};

use counterfoil_core::{Id, kind};

/// The id of a subscription.
pub type SubscriptionId = Id<kind::Subscription>;
/// The id of an item of a subscription.
pub type SubscriptionItemId = Id<kind::SubscriptionItem>;
