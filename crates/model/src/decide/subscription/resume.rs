//! How a paused subscription goes on (rule 6.15).

use super::super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::customer::check_live;
use counterfoil_billing::invoice::{
    BillingReason, Charge, CollectionMethod, Invoice, InvoiceId, InvoiceStatus, Line, Trigger,
};
use counterfoil_billing::subscription::{
    ProrationBehavior, ResumeAnchor, ResumeSubscription, Resumption, Subscription,
    SubscriptionEvent, SubscriptionId, SubscriptionItemId, SubscriptionStatus, item_lines,
    period_from, until, whole_of,
};
use counterfoil_core::{Anchor, Period, Refusal, Timestamp, limits};

type Periods = Vec<(SubscriptionItemId, Period)>;

impl Tx<'_> {
    pub(in crate::decide) fn resume_subscription(
        &mut self,
        command: &ResumeSubscription,
    ) -> Result<Target, Refusal> {
        let subscription = self.state.subscription(&command.id)?.clone();
        check_live(self.state.customer(&subscription.customer)?, "its subscriptions have ended")?;
        check_resumable(&subscription)?;
        let at = self.at();
        let mut resumed = subscription.clone();
        if command.billing_cycle_anchor == ResumeAnchor::Now {
            resumed.anchor = Anchor::in_zone(at, resumed.anchor.zone);
        }
        let periods = self.periods_around(&resumed, at)?;
        let (lines, at_once) = match command.billing_cycle_anchor {
            ResumeAnchor::Now => (self.advance_lines(&resumed, &periods)?, true),
            ResumeAnchor::Unchanged => self.joining_lines(&resumed, &periods, command)?,
        };
        if at_once && !lines.is_empty() {
            let charges = lines.into_iter().map(Charge::from);
            self.resume_when_paid(&resumed, periods, charges.collect())?;
        } else {
            for line in lines.into_iter().rev() {
                self.pend(&resumed, line)?;
            }
            self.resume(&command.id, resumed.anchor, periods)?;
        }
        Ok(Target::Subscription(command.id.clone()))
    }

    /// The periods of all items that an instant lies in, whatever they were before.
    fn periods_around(
        &self,
        subscription: &Subscription,
        at: Timestamp,
    ) -> Result<Periods, Refusal> {
        let mut periods = Vec::with_capacity(subscription.items.len());
        for item in &subscription.items {
            let Some(interval) = self.state.price(&item.price)?.interval() else { continue };
            let period = if subscription.anchor.at == at {
                period_from(&subscription.anchor, interval, at)?
            } else {
                subscription.anchor.period_at(interval, at)?
            };
            periods.push((item.id.clone(), until(period, subscription.cancel_at)));
        }
        Ok(periods)
    }

    /// The rest of the periods that are running, and whether it is invoiced at once.
    fn joining_lines(
        &self,
        subscription: &Subscription,
        periods: &Periods,
        command: &ResumeSubscription,
    ) -> Result<(Vec<Line>, bool), Refusal> {
        let behavior = command.proration_behavior.unwrap_or_default();
        if behavior == ProrationBehavior::None {
            return Ok((Vec::new(), false));
        }
        let from = command.proration_date.unwrap_or(self.at());
        let mut numbers = self.numbers(&subscription.customer, self.next_seq(), 0)?;
        let nets = self.state.net_amounts(subscription, self.at())?;
        let mut lines = Vec::new();
        for (id, period) in periods {
            if !period.contains(from) {
                let reason = format!("{from} does not lie in the period that is running, {period}");
                return Err(Refusal::invalid("proration_date", reason));
            }
            let Some(item) = subscription.item(id) else { continue };
            let (price, name) = self.state.named_price(&item.price)?;
            if price.meter().is_some() {
                continue;
            }
            let (currency, policies) = (subscription.currency, &self.state.settings.policies);
            let whole = whole_of(subscription, price, *period, policies)?;
            let part = Period::new(from, period.end);
            let (product, periods) = ((price, name), (part, whole, subscription.anchor.zone));
            let net = nets.iter().find(|(own, _)| own == id).map(|(_, net)| net);
            let own = item_lines(item, product, currency, periods, net, policies, &mut numbers)?;
            lines.extend(own.into_iter().map(|line| self.with_terms(line, item)));
        }
        Ok((lines, behavior == ProrationBehavior::AlwaysInvoice))
    }

    /// Leaves the amount of a line for the next invoice of a subscription.
    fn pend(&mut self, subscription: &Subscription, line: Line) -> Result<(), Refusal> {
        self.create_item(subscription, |item| item.take(line))
    }

    /// Invoices what a resumption costs: the subscription stays paused until that is paid.
    fn resume_when_paid(
        &mut self,
        resumed: &Subscription,
        periods: Periods,
        own: Vec<Charge>,
    ) -> Result<(), Refusal> {
        let mut charges = self.sweep(&resumed.customer, resumed.currency, Some(&resumed.id))?;
        charges.extend(own);
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::SubscriptionUpdate;
        };
        let invoice = self.draft_for_subscription(resumed, fill, charges)?;
        let expires_at = self.at().checked_add_seconds(limits::PENDING_INVOICE_SECONDS)?;
        let resumption = Resumption {
            invoice: invoice.clone(),
            anchor: resumed.anchor,
            periods,
            expires_at: Some(expires_at),
        };
        let waits = |subscription: &mut Subscription| subscription.resumption = Some(resumption);
        self.change_subscription(&resumed.id, waits)?;
        self.finalize_unless_held(&invoice, false)?;
        if self.state.invoice(&invoice)?.status == InvoiceStatus::Open {
            self.attempt(&invoice, None, Trigger::FirstInvoice)?;
        }
        Ok(())
    }

    fn resume(
        &mut self,
        id: &SubscriptionId,
        anchor: Anchor,
        periods: Periods,
    ) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        // An end may have been agreed on since the resumption was asked for.
        let (customer, end) = (subscription.customer.clone(), subscription.cancel_at);
        let fit = |(item, period)| (item, until(period, end));
        let periods = periods.into_iter().map(fit).collect();
        let (id, at) = (id.clone(), self.at());
        self.emit(SubscriptionEvent::Resumed { customer, id, at, anchor, periods });
        Ok(())
    }

    /// The invoice of a resumption was paid or given up: the subscription goes on.
    pub(in crate::decide) fn resume_after_payment(
        &mut self,
        id: &SubscriptionId,
        invoice: &InvoiceId,
    ) -> Result<(), Refusal> {
        let resumption = self.state.subscription(id)?.resumption.clone();
        match resumption.filter(|resumption| resumption.invoice == *invoice) {
            Some(Resumption { anchor, periods, .. }) => self.resume(id, anchor, periods),
            None => Ok(()),
        }
    }

    /// The invoice of a resumption was voided: the subscription stays paused.
    pub(in crate::decide) fn stay_paused(
        &mut self,
        id: &SubscriptionId,
        invoice: &InvoiceId,
    ) -> Result<(), Refusal> {
        let resumption = self.state.subscription(id)?.resumption.as_ref();
        if resumption.is_none_or(|resumption| resumption.invoice != *invoice) {
            return Ok(());
        }
        self.change_subscription(id, |subscription| subscription.resumption = None)
    }

    /// The time to pay for a resumption is over: its invoice is voided, unless somebody was asked
    /// to pay it.
    pub(in crate::decide) fn expire_resumption(
        &mut self,
        id: &SubscriptionId,
    ) -> Result<(), Refusal> {
        let Some(resumption) = self.state.subscription(id)?.resumption.clone() else {
            return Ok(());
        };
        let invoice = self.state.invoice(&resumption.invoice)?;
        if invoice.attempts_made == 0 && invoice.status == InvoiceStatus::Open {
            self.void_if_possible(&resumption.invoice)?;
            return self.stay_paused(id, &resumption.invoice);
        }
        self.change_subscription(id, |subscription| {
            if let Some(resumption) = &mut subscription.resumption {
                resumption.expires_at = None;
            }
        })
    }
}

fn check_resumable(subscription: &Subscription) -> Result<(), Refusal> {
    let refuse = |reason: String| {
        Err(Refusal::state("subscription", &subscription.id, subscription.status, reason))
    };
    if subscription.status != SubscriptionStatus::Paused {
        return refuse("only one that is paused can be resumed".to_owned());
    }
    if let Some(resumption) = &subscription.resumption {
        return refuse(format!("the payment of {} is awaited", resumption.invoice));
    }
    if subscription.collection_method != CollectionMethod::ChargeAutomatically {
        return refuse("only one that is charged automatically can be resumed".to_owned());
    }
    Ok(())
}
