//! Where a subscription stands, as its invoices say (rules 6.2 and 6.12).

use super::super::tx::Tx;
use crate::closed::InvoiceHead;
use counterfoil_billing::invoice::{AfterRetries, InvoiceId, InvoiceStatus};
use counterfoil_billing::subscription::{
    CancellationReason, Subscription, SubscriptionEvent, SubscriptionId, SubscriptionStatus,
};
use counterfoil_core::Refusal;

impl Tx<'_> {
    /// An invoice was paid, or given up by hand: its subscription is well again if that was its
    /// first or its latest one (rule 6.2).
    pub(in crate::decide) fn subscription_follows_payment(
        &mut self,
        id: &InvoiceId,
    ) -> Result<(), Refusal> {
        let Some(owner) = self.state.invoice(id)?.subscription.clone() else {
            return Ok(());
        };
        let subscription = self.state.subscription(&owner)?;
        if subscription.status == SubscriptionStatus::Paused {
            return self.resume_after_payment(&subscription.id.clone(), id);
        }
        let waits = subscription.pending_update.as_ref().is_some_and(|own| own.invoice == *id);
        if waits && self.state.invoice(id)?.status == InvoiceStatus::Paid {
            self.apply_pending_update(&subscription.id.clone())?;
        }
        let subscription = self.state.subscription(&owner)?;
        let recovers = match subscription.status {
            SubscriptionStatus::Incomplete => {
                let paid = self.state.invoice(id)?.status == InvoiceStatus::Paid;
                paid && subscription.first_invoice.as_ref() == Some(id)
            }
            SubscriptionStatus::PastDue => self.is_latest_finalized(id)?,
            SubscriptionStatus::Unpaid => self.is_latest_paid_in_time(id)?,
            _ => false,
        };
        if recovers {
            self.set_status(&subscription.id.clone(), SubscriptionStatus::Active)?;
        }
        Ok(())
    }

    /// An invoice was not paid: its subscription is past due if that is its latest finalized one.
    pub(in crate::decide) fn subscription_follows_failure(
        &mut self,
        id: &InvoiceId,
    ) -> Result<(), Refusal> {
        let Some(subscription) = self.state.invoice(id)?.subscription.clone() else {
            return Ok(());
        };
        if self.pending_update_failed(&subscription, id)? {
            return Ok(());
        }
        let active = self.state.subscription(&subscription)?.status == SubscriptionStatus::Active;
        if active && self.is_latest_finalized(id)? {
            self.set_status(&subscription, SubscriptionStatus::PastDue)?;
        }
        Ok(())
    }

    /// Whether an invoice was paid before its due date, and no newer one of its subscription counts,
    /// drafts included: what ends being unpaid (rule 6.2).
    fn is_latest_paid_in_time(&self, id: &InvoiceId) -> Result<bool, Refusal> {
        let invoice = self.state.invoice(id)?;
        let in_time = invoice.due_date.is_none_or(|due| self.at() < due);
        let shard = self.state.shard(&invoice.customer)?;
        let newer = |other: InvoiceHead<'_>| {
            other.seq > invoice.seq
                && other.status != InvoiceStatus::Void
                && other.subscription == invoice.subscription.as_ref()
        };
        Ok(invoice.status == InvoiceStatus::Paid && in_time && !shard.invoices.heads().any(newer))
    }

    /// Whether no newer invoice of its subscription was finalized and counts.
    pub(in crate::decide) fn is_latest_finalized(&self, id: &InvoiceId) -> Result<bool, Refusal> {
        let invoice = self.state.invoice(id)?;
        let shard = self.state.shard(&invoice.customer)?;
        Ok(!shard.invoices.heads().any(|other| {
            other.seq > invoice.seq
                && other.counts()
                && other.subscription == invoice.subscription.as_ref()
        }))
    }

    /// An invoice was voided by hand: if it was the first or the latest one, its subscription may
    /// stand elsewhere now (rule 6.12).
    pub(in crate::decide) fn subscription_follows_void(
        &mut self,
        id: &InvoiceId,
    ) -> Result<(), Refusal> {
        let Some(subscription) = self.state.invoice(id)?.subscription.clone() else {
            return Ok(());
        };
        self.pending_update_voided(&subscription, id)?;
        let current = self.state.subscription(&subscription)?;
        match current.status {
            SubscriptionStatus::Incomplete if current.first_invoice.as_ref() == Some(id) => {
                self.expire_incomplete(&subscription)
            }
            SubscriptionStatus::Paused => self.stay_paused(&subscription, id),
            SubscriptionStatus::PastDue if current.first_invoice.as_ref() == Some(id) => {
                self.set_status(&subscription, SubscriptionStatus::Active)
            }
            SubscriptionStatus::PastDue | SubscriptionStatus::Unpaid
                if self.is_latest_finalized(id)? =>
            {
                match self.status_by_invoices(current)? {
                    SubscriptionStatus::Canceled => self.end_subscription(
                        &subscription,
                        CancellationReason::PaymentFailed,
                        None,
                    ),
                    status => self.set_status(&subscription, status),
                }
            }
            _ => Ok(()),
        }
    }

    /// Where the invoices of a subscription leave it: the newest that decides does.
    pub(in crate::decide) fn status_by_invoices(
        &self,
        subscription: &Subscription,
    ) -> Result<SubscriptionStatus, Refusal> {
        let shard = self.state.shard(&subscription.customer)?;
        let own = |head: &InvoiceHead<'_>| head.subscription == Some(&subscription.id);
        let mut heads: Vec<_> = shard.invoice_heads().filter(own).collect();
        heads.sort_by_key(|head| std::cmp::Reverse(head.seq));
        for head in heads {
            if let InvoiceStatus::Paid | InvoiceStatus::Uncollectible = head.status {
                return Ok(SubscriptionStatus::Active);
            }
            let Some(invoice) = shard.invoices.get_live(head.id) else { continue };
            match invoice.status {
                InvoiceStatus::Open if invoice.retries_exhausted => {
                    return Ok(match self.state.settings.retries.then {
                        AfterRetries::PastDue => SubscriptionStatus::PastDue,
                        AfterRetries::Canceled => SubscriptionStatus::Canceled,
                        AfterRetries::Unpaid => SubscriptionStatus::Unpaid,
                    });
                }
                InvoiceStatus::Open if invoice.overdue => return Ok(SubscriptionStatus::PastDue),
                _ => {}
            }
        }
        Ok(SubscriptionStatus::Active)
    }

    pub(in crate::decide) fn set_status(
        &mut self,
        id: &SubscriptionId,
        status: SubscriptionStatus,
    ) -> Result<(), Refusal> {
        let current = self.state.subscription(id)?;
        if current.status != status {
            let customer = current.customer.clone();
            let (id, at) = (id.clone(), self.at());
            let incomplete_expires_at = None;
            self.emit(SubscriptionEvent::StatusChanged {
                customer,
                id,
                at,
                status,
                incomplete_expires_at,
            });
        }
        Ok(())
    }
}
