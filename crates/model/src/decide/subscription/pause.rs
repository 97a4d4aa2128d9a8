//! Invoices that are made while their collection is paused (rule 6.11).

use super::super::tx::Tx;
use counterfoil_billing::invoice::{self, InvoiceEvent, InvoiceId, InvoiceStatus};
use counterfoil_billing::subscription::{
    PauseBehavior, Subscription, SubscriptionEvent, SubscriptionId,
};
use counterfoil_core::Refusal;

impl Tx<'_> {
    /// The pause of the collection is over: what is invoiced from now on is collected.
    pub(in crate::decide) fn resume_collection(
        &mut self,
        id: &SubscriptionId,
    ) -> Result<(), Refusal> {
        self.change_subscription(id, |subscription| subscription.pause_collection = None)
    }

    /// Records a change of a subscription that nobody asked for at this moment.
    pub(in crate::decide) fn change_subscription(
        &mut self,
        id: &SubscriptionId,
        change: impl FnOnce(&mut Subscription),
    ) -> Result<(), Refusal> {
        let mut subscription = self.state.subscription(id)?.clone();
        change(&mut subscription);
        let at = self.at();
        self.emit(SubscriptionEvent::Updated { at, subscription: subscription.into() });
        Ok(())
    }

    /// Finalizes a draft of a subscription at once, unless a pause of its collection keeps it as a
    /// draft or has voided it already.
    pub(in crate::decide) fn finalize_unless_held(
        &mut self,
        id: &InvoiceId,
        auto_advance: bool,
    ) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        let kept = invoice.collection_paused == Some(PauseBehavior::KeepAsDraft);
        if kept || invoice.status != InvoiceStatus::Draft {
            return Ok(());
        }
        self.finalize(id, auto_advance)
    }

    /// Fixes a draft with its number and voids it in the same record; nothing is taken from the
    /// balance (point 52). One that comes to less than nothing owes its customer something: it
    /// stays a draft, for somebody to decide.
    pub(in crate::decide) fn void_at_once(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let draft = self.state.invoice(id)?;
        let customer_id = draft.customer.clone();
        let mut numbers = self.numbers(&draft.customer, draft.seq, draft.lines().count())?;
        let totals = self.state.totals(&draft, self.context.usage, &mut numbers)?;
        let customer = self.state.customer(&draft.customer)?;
        let at = self.at();
        let finalized =
            invoice::decide_finalize(&draft, totals, customer, false, &mut numbers, at)?;
        let Some(finalized) = finalized.without_collection() else {
            let (customer, id) = (customer_id, id.clone());
            self.emit(InvoiceEvent::AutoAdvanceSet { customer, id, at, auto_advance: false });
            return Ok(());
        };
        self.emit(InvoiceEvent::Finalized(finalized.into()));
        self.void(id)
    }
}
