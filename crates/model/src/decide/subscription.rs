//! Subscriptions: their beginning, their periods, their end.

use super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::customer::check_live;
use counterfoil_billing::invoice::{
    AfterRetries, BillingReason, Charge, CollectionMethod, Derivation, Invoice, InvoiceEvent,
    InvoiceId, InvoiceStatus, Line, Numbered, Trigger, UsageCharge,
};
use counterfoil_billing::subscription::{
    self, CancelSubscription, CancellationReason, CreateSubscription, Subscription,
    SubscriptionEvent, SubscriptionId, SubscriptionItem, SubscriptionItemId, SubscriptionStatus,
    UpdateSubscription, item_lines, rolled_periods, whole_period,
};
use counterfoil_core::{Decimal12, Period, Refusal, limits};

impl Tx<'_> {
    pub(super) fn create_subscription(
        &mut self,
        command: &CreateSubscription,
    ) -> Result<Target, Refusal> {
        let shard = self.state.shard(&command.customer)?;
        check_live(shard.customer(), "it cannot subscribe any more")?;
        let live = shard.subscriptions.values().filter(|other| !other.is_ended()).count();
        if live >= limits::CUSTOMER_SUBSCRIPTIONS_MAX {
            return Err(Refusal::CustomerMaxSubscriptions {
                customer: command.customer.to_string(),
                limit: limits::CUSTOMER_SUBSCRIPTIONS_MAX,
            });
        }
        let taken = |state: &crate::State, id: &_| state.owners.subscriptions.contains_key(id);
        let id = self.new_id(command.id.as_ref(), taken)?;
        let seq = self.next_seq();
        let chosen = command.items.iter().map(|item| item.id.clone()).collect();
        let item_ids = self.item_ids(seq, chosen)?;
        let at = self.at();
        let created =
            subscription::decide_create(command, id.clone(), seq, item_ids, &self.state, at)?;
        self.emit(SubscriptionEvent::Created(created.into()));
        self.first_invoice(&id, command.leaves_payment_open())?;
        Ok(Target::Subscription(id))
    }

    /// The ids of new items: those that were chosen, and derived ones that are free.
    fn item_ids(
        &self,
        seq: u64,
        chosen: Vec<Option<SubscriptionItemId>>,
    ) -> Result<Vec<SubscriptionItemId>, Refusal> {
        let taken = &self.state.owners.subscription_items;
        let mut n = 0_u64;
        let mut ids = Vec::with_capacity(chosen.len());
        for id in chosen {
            ids.push(match id {
                Some(id) if taken.contains_key(&id) => {
                    return Err(Refusal::taken("subscription_item", id));
                }
                Some(id) => id,
                None => loop {
                    n = n.saturating_add(1);
                    let id = SubscriptionItemId::numbered(seq, n);
                    if !taken.contains_key(&id) {
                        break id;
                    }
                },
            });
        }
        Ok(ids)
    }

    /// Invoices the beginning of a subscription: what is licensed, in advance. A subscription to
    /// metered prices alone begins without an invoice (point 27).
    fn first_invoice(&mut self, id: &SubscriptionId, leave_open: bool) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?.clone();
        let periods: Vec<_> =
            subscription.items.iter().map(|item| (item.id.clone(), item.period)).collect();
        let lines = self.advance_lines(&subscription, &periods)?;
        if lines.is_empty() {
            return Ok(());
        }
        let mut charges =
            self.sweep(&subscription.customer, subscription.currency, Some(&subscription.id))?;
        charges.extend(lines.into_iter().map(Charge::from));
        if subscription.collection_method == CollectionMethod::SendInvoice {
            let finalizes_at = self.at().checked_add_seconds(limits::INVOICE_DRAFT_SECONDS)?;
            let fill = |invoice: &mut Invoice| {
                invoice.billing_reason = BillingReason::SubscriptionCreate;
                invoice.auto_advance = true;
                invoice.finalizes_at = Some(finalizes_at);
            };
            self.draft_for_subscription(&subscription, fill, charges)?;
            return Ok(());
        }
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::SubscriptionCreate;
        };
        let invoice = self.draft_for_subscription(&subscription, fill, charges)?;
        if subscription.is_in_trial() {
            // What a trial's invoice takes along is collected like any other; the trial goes on.
            self.finalize(&invoice, !leave_open)?;
            return self.collect_if_due(&invoice);
        }
        self.finalize(&invoice, false)?;
        if self.state.invoice(&invoice)?.status == InvoiceStatus::Paid {
            return Ok(());
        }
        let expires = self.at().checked_add_seconds(limits::INCOMPLETE_SECONDS)?;
        self.emit(SubscriptionEvent::StatusChanged {
            customer: subscription.customer,
            id: subscription.id,
            at: self.at(),
            status: SubscriptionStatus::Incomplete,
            incomplete_expires_at: Some(expires),
        });
        if leave_open {
            return Ok(());
        }
        self.attempt(&invoice, None, Trigger::FirstInvoice)
    }

    /// The lines of licensed items for periods that begin: free in a trial, in part for a stub.
    fn advance_lines(
        &self,
        subscription: &Subscription,
        periods: &[(SubscriptionItemId, Period)],
    ) -> Result<Vec<Line>, Refusal> {
        // The invoice that will hold these lines is the next object to be created.
        let mut numbers = self.numbers(&subscription.customer, self.next_seq(), 0)?;
        let mut lines = Vec::new();
        for (id, period) in periods {
            let Some(item) = subscription.item(id) else { continue };
            let (price, name) = self.state.named_price(&item.price)?;
            if price.meter().is_some() {
                continue;
            }
            if subscription.is_in_trial() {
                lines.push(trial_line(item, name, *period, &mut numbers));
                continue;
            }
            let Some(interval) = price.interval() else { continue };
            let whole = whole_period(&subscription.anchor, interval, *period)?;
            let stub = *period != whole;
            // A stub is free where that was asked for, but only the first period can be one.
            if stub && subscription.free_stub {
                continue;
            }
            let (product, periods) = ((price, name), (*period, whole));
            lines.extend(item_lines(item, product, subscription.currency, periods, &mut numbers)?);
        }
        Ok(lines)
    }

    pub(super) fn update_subscription(
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

    pub(super) fn cancel_subscription(
        &mut self,
        command: &CancelSubscription,
    ) -> Result<Target, Refusal> {
        let subscription = self.state.subscription(&command.id)?.clone();
        check_live(self.state.customer(&subscription.customer)?, "its subscriptions have ended")?;
        if subscription.is_ended() {
            let reason = "it has ended already";
            let status = subscription.status;
            return Err(Refusal::state("subscription", &command.id, status, reason));
        }
        if command.prorate {
            let reason = "crediting unused time needs prorations, which are not built yet";
            return Err(Refusal::invalid("prorate", reason));
        }
        let closing =
            if command.invoice_now && subscription.status != SubscriptionStatus::Incomplete {
                self.closing_invoice(&subscription)?
            } else {
                None
            };
        // The closing invoice may have ended it already: no retries, and canceled after the last.
        if !self.state.subscription(&command.id)?.is_ended() {
            let reason = CancellationReason::CancellationRequested;
            self.end_subscription(&command.id, reason, closing.as_ref())?;
        }
        Ok(Target::Subscription(command.id.clone()))
    }

    /// Invoices what is unbilled when a subscription ends now: one invoice, finalized and charged
    /// at once (point 26).
    fn closing_invoice(
        &mut self,
        subscription: &Subscription,
    ) -> Result<Option<InvoiceId>, Refusal> {
        let usage = self.usage_charges(subscription, |_| true)?;
        let mut charges =
            self.sweep(&subscription.customer, subscription.currency, Some(&subscription.id))?;
        if usage.is_empty() && !self.waits_for(&subscription.id, &charges) {
            return Ok(None);
        }
        charges.extend(usage);
        let period = Period::new(subscription.current_period().start, self.at());
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::SubscriptionCycle;
            invoice.period = period;
            invoice.auto_advance = true;
        };
        let invoice = self.draft_for_subscription(subscription, fill, charges)?;
        self.finalize(&invoice, true)?;
        self.collect_if_due(&invoice)?;
        Ok(Some(invoice))
    }

    /// The usage of metered items up to now; that of a trial is not billed (rule 6.8).
    fn usage_charges(
        &self,
        subscription: &Subscription,
        bills: impl Fn(&SubscriptionItem) -> bool,
    ) -> Result<Vec<Charge>, Refusal> {
        let mut charges = Vec::new();
        if subscription.is_in_trial() {
            return Ok(charges);
        }
        for item in subscription.items.iter().filter(|item| bills(item)) {
            let price = self.state.price(&item.price)?;
            let Some(meter) = price.meter() else { continue };
            let end = item.period.end.min(self.at());
            charges.push(Charge::Usage(UsageCharge {
                subscription_item: item.id.clone(),
                price: item.price.clone(),
                meter: meter.clone(),
                period: Period::new(item.period.start, end),
            }));
        }
        Ok(charges)
    }

    /// Ends a subscription at once. Its drafts and open invoices go on no further by themselves
    /// (rule 6.10), but for the one that was made for the end itself.
    pub(super) fn end_subscription(
        &mut self,
        id: &SubscriptionId,
        reason: CancellationReason,
        closing: Option<&InvoiceId>,
    ) -> Result<(), Refusal> {
        let customer = self.state.subscription(id)?.customer.clone();
        let at = self.at();
        let shard = self.state.shard(&customer)?;
        let frozen: Vec<_> = shard
            .invoices()
            .into_iter()
            .filter(|invoice| {
                invoice.subscription.as_ref() == Some(id)
                    && invoice.auto_advance
                    && Some(&invoice.id) != closing
            })
            .map(|invoice| invoice.id.clone())
            .collect();
        for id in frozen {
            let customer = customer.clone();
            self.emit(InvoiceEvent::AutoAdvanceSet { customer, id, at, auto_advance: false });
        }
        self.emit(SubscriptionEvent::Ended {
            customer,
            id: id.clone(),
            at,
            status: SubscriptionStatus::Canceled,
            reason: Some(reason),
        });
        Ok(())
    }

    /// The end of a period, and of a trial: items whose period ended begin their next one, and a
    /// draft bills the usage of the old periods and the licences of the new ones (rules 3.3, 8.5).
    pub(super) fn renew(&mut self, id: &SubscriptionId) -> Result<(), Refusal> {
        let before = self.state.subscription(id)?.clone();
        let boundary = before.current_period().end;
        let trial_ended = before.is_in_trial();
        let interval = |item: &SubscriptionItem| {
            self.state.price(&item.price).ok().and_then(|price| price.interval())
        };
        let periods = rolled_periods(&before, boundary, interval)?;
        let usage = self.usage_charges(&before, |item| item.period.end <= boundary)?;
        self.emit(SubscriptionEvent::Renewed {
            customer: before.customer.clone(),
            id: id.clone(),
            at: self.at(),
            periods: periods.clone(),
            trial_ended,
        });
        let renewed = self.state.subscription(id)?.clone();
        let lines = self.advance_lines(&renewed, &periods)?;
        let own = in_item_order(&renewed, usage, lines);
        let mut charges = self.sweep(&renewed.customer, renewed.currency, Some(&renewed.id))?;
        if own.is_empty() && charges.is_empty() {
            return Ok(());
        }
        charges.extend(own);
        self.draft_for_period(&renewed, before.current_period(), charges)?;
        Ok(())
    }

    fn draft_for_period(
        &mut self,
        subscription: &Subscription,
        period: Period,
        charges: Vec<Charge>,
    ) -> Result<InvoiceId, Refusal> {
        let finalizes_at = self.at().checked_add_seconds(limits::INVOICE_DRAFT_SECONDS)?;
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::SubscriptionCycle;
            invoice.period = period;
            invoice.auto_advance = true;
            invoice.finalizes_at = Some(finalizes_at);
        };
        self.draft_for_subscription(subscription, fill, charges)
    }

    /// The end that was agreed on: a last draft for the usage of the periods and the items that
    /// wait for this subscription, which takes other pending items along (points 32 and 64).
    pub(super) fn end_with_period(&mut self, id: &SubscriptionId) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?.clone();
        let usage = self.usage_charges(&subscription, |_| true)?;
        let (customer, currency) = (&subscription.customer, subscription.currency);
        let mut charges = self.sweep(customer, currency, Some(&subscription.id))?;
        if !usage.is_empty() || self.waits_for(id, &charges) {
            charges.extend(usage);
            self.draft_for_period(&subscription, subscription.current_period(), charges)?;
        }
        self.emit(SubscriptionEvent::Ended {
            customer: subscription.customer,
            id: id.clone(),
            at: self.at(),
            status: SubscriptionStatus::Canceled,
            reason: subscription.cancellation_reason,
        });
        Ok(())
    }

    /// Whether any of the charges is an item that waits for this very subscription. Other items go
    /// along with a last invoice, but are no reason to make one (point 32).
    fn waits_for(&self, id: &SubscriptionId, charges: &[Charge]) -> bool {
        charges.iter().any(|charge| match charge {
            Charge::Item(item) => {
                let item = self.state.invoice_item(item);
                item.is_ok_and(|item| item.subscription.as_ref() == Some(id))
            }
            Charge::Line(_) | Charge::Usage(_) => false,
        })
    }

    /// The first payment never came: the invoice is void and the subscription over (rule 6.2).
    pub(super) fn expire_incomplete(&mut self, id: &SubscriptionId) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        let (customer, first) = (subscription.customer.clone(), subscription.first_invoice.clone());
        if let Some(invoice) = first {
            let status = self.state.invoice(&invoice)?.status;
            if matches!(status, InvoiceStatus::Open | InvoiceStatus::Uncollectible) {
                self.void(&invoice)?;
            }
        }
        self.emit(SubscriptionEvent::Ended {
            customer,
            id: id.clone(),
            at: self.at(),
            status: SubscriptionStatus::IncompleteExpired,
            reason: None,
        });
        Ok(())
    }

    /// An invoice was paid, or given up by hand: its subscription is well again if that was its
    /// first or its latest one (rule 6.2).
    pub(super) fn subscription_follows_payment(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let Some(subscription) = self.state.invoice(id)?.subscription.clone() else {
            return Ok(());
        };
        let subscription = self.state.subscription(&subscription)?;
        let recovers = match subscription.status {
            SubscriptionStatus::Incomplete => {
                let paid = self.state.invoice(id)?.status == InvoiceStatus::Paid;
                paid && subscription.first_invoice.as_ref() == Some(id)
            }
            SubscriptionStatus::PastDue => self.is_latest_finalized(id)?,
            _ => false,
        };
        if recovers {
            self.set_status(&subscription.id.clone(), SubscriptionStatus::Active)?;
        }
        Ok(())
    }

    /// An invoice was not paid: its subscription is past due if that is its latest finalized one.
    pub(super) fn subscription_follows_failure(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let Some(subscription) = self.state.invoice(id)?.subscription.clone() else {
            return Ok(());
        };
        let active = self.state.subscription(&subscription)?.status == SubscriptionStatus::Active;
        if active && self.is_latest_finalized(id)? {
            self.set_status(&subscription, SubscriptionStatus::PastDue)?;
        }
        Ok(())
    }

    /// Whether no newer invoice of its subscription was finalized and counts.
    pub(super) fn is_latest_finalized(&self, id: &InvoiceId) -> Result<bool, Refusal> {
        let invoice = self.state.invoice(id)?;
        let shard = self.state.shard(&invoice.customer)?;
        Ok(!shard.invoices.values().any(|other| {
            other.subscription == invoice.subscription
                && other.seq > invoice.seq
                && !matches!(other.status, InvoiceStatus::Draft | InvoiceStatus::Void)
        }))
    }

    /// An invoice was voided by hand: if it was the first or the latest one, its subscription may
    /// stand elsewhere now (rule 6.12).
    pub(super) fn subscription_follows_void(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let Some(subscription) = self.state.invoice(id)?.subscription.clone() else {
            return Ok(());
        };
        let current = self.state.subscription(&subscription)?;
        match current.status {
            SubscriptionStatus::Incomplete if current.first_invoice.as_ref() == Some(id) => {
                self.expire_incomplete(&subscription)
            }
            SubscriptionStatus::PastDue if current.first_invoice.as_ref() == Some(id) => {
                self.set_status(&subscription, SubscriptionStatus::Active)
            }
            SubscriptionStatus::PastDue if self.is_latest_finalized(id)? => {
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
    fn status_by_invoices(
        &self,
        subscription: &Subscription,
    ) -> Result<SubscriptionStatus, Refusal> {
        let shard = self.state.shard(&subscription.customer)?;
        let own = |invoice: &&Invoice| invoice.subscription.as_ref() == Some(&subscription.id);
        for invoice in shard.invoices().into_iter().rev().filter(own) {
            match invoice.status {
                InvoiceStatus::Paid | InvoiceStatus::Uncollectible => {
                    return Ok(SubscriptionStatus::Active);
                }
                InvoiceStatus::Open if invoice.retries_exhausted => {
                    return Ok(match self.state.settings.retries.then {
                        AfterRetries::PastDue => SubscriptionStatus::PastDue,
                        AfterRetries::Canceled => SubscriptionStatus::Canceled,
                    });
                }
                InvoiceStatus::Open if invoice.overdue => return Ok(SubscriptionStatus::PastDue),
                _ => {}
            }
        }
        Ok(SubscriptionStatus::Active)
    }

    fn set_status(
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

fn trial_line(item: &SubscriptionItem, name: &str, period: Period, ids: &mut dyn Numbered) -> Line {
    Line {
        id: ids.line(),
        name: format!("Trial of {name}"),
        description: None,
        amount: 0,
        quantity: Decimal12::from_int(item.quantity.unwrap_or(1)),
        unit_amount: Some(Decimal12::ZERO),
        price: Some(item.price.clone()),
        period,
        proration: false,
        subscription_item: Some(item.id.clone()),
        invoice_item: None,
        derivation: Derivation::Trial,
    }
}

/// The charges of a renewal in the order of the items (rule 8.5).
fn in_item_order(subscription: &Subscription, usage: Vec<Charge>, lines: Vec<Line>) -> Vec<Charge> {
    let mut charges: Vec<Charge> = usage;
    charges.extend(lines.into_iter().map(Charge::from));
    let place = |charge: &Charge| {
        let item = match charge {
            Charge::Line(line) => line.subscription_item.as_ref(),
            Charge::Usage(usage) => Some(&usage.subscription_item),
            Charge::Item(_) => None,
        };
        subscription.items.iter().position(|other| Some(&other.id) == item)
    };
    charges.sort_by_key(place);
    charges
}
