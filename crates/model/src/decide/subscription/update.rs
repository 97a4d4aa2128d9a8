//! Changes of a subscription by hand.

use super::super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::customer::check_live;
use counterfoil_billing::subscription::{
    self, SubscriptionEvent, SubscriptionItemId, UpdateSubscription,
};
use counterfoil_core::Refusal;

impl Tx<'_> {
    pub(in crate::decide) fn update_subscription(
        &mut self,
        command: &UpdateSubscription,
    ) -> Result<Target, Refusal> {
        let subscription = self.state.subscription(&command.id)?;
        check_live(self.state.customer(&subscription.customer)?, "its subscriptions have ended")?;
        for change in &command.items {
            let Some(id) = &change.id else { continue };
            let taken = self.state.owners.subscription_items.contains_key(id);
            if taken && subscription.item(id).is_none() && change.price.is_some() {
                return Err(Refusal::taken("subscription_item", id));
            }
        }
        let taken = &self.state.owners.subscription_items;
        let mut n = subscription.items_added;
        let new_item_id = || loop {
            n = n.saturating_add(1);
            let id = SubscriptionItemId::numbered(subscription.seq, n);
            if !taken.contains_key(&id) {
                return id;
            }
        };
        let at = self.at();
        let updated =
            subscription::decide_update(subscription, command, new_item_id, &self.state, at)?;
        self.emit(SubscriptionEvent::Updated { at, subscription: updated.into() });
        Ok(Target::Subscription(command.id.clone()))
    }
}
