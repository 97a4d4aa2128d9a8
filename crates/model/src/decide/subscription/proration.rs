//! What a change in the middle of a period puts on the bill (rules 6.6 and 6.7).

use super::super::tx::Tx;
use crate::closed::InvoiceHead;
use crate::view::Provisional;
use crate::{State, UsageSource};
use counterfoil_billing::catalog::{Price, PriceId};
use counterfoil_billing::discount::{Discount, NetAmount};
use counterfoil_billing::invoice::{
    BillingReason, Charge, CollectionMethod, Derivation, Invoice, InvoiceEvent, InvoiceId,
    InvoiceItem, InvoiceStatus, Line, Trigger, UsageCharge,
};
use counterfoil_billing::subscription::{
    self, Change, Debit, NetOf, Proration, ProrationSource, Subscription, SubscriptionId,
    SubscriptionItem, SubscriptionItemId,
};
use counterfoil_core::{Decimal12, Exact, Metadata, Period, Refusal, Timestamp};
use std::sync::Arc;

/// The discounts of a line's own, and those of its invoice.
type LatestDiscounts = (Vec<Discount>, Vec<Discount>);

/// The prices and discounts of a book, and what charged for the items of one subscription.
struct Source<'a> {
    state: &'a State,
    subscription: &'a Subscription,
    usage: &'a dyn UsageSource,
    at: Timestamp,
}

impl Source<'_> {
    /// The invoices of the subscription with lines whose period ends at an instant or later, but for
    /// void ones, oldest first; drafts with the lines that they would have.
    fn invoices(&self, since: Timestamp) -> Result<Vec<Arc<Invoice>>, Refusal> {
        let mut invoices = Vec::new();
        for head in self.heads()?.into_iter().rev().filter(|head| head.may_charge_since(since)) {
            invoices.extend(self.invoice(head.id)?);
        }
        Ok(invoices)
    }

    /// The heads of the invoices of the subscription that are not void, newest first.
    fn heads(&self) -> Result<Vec<InvoiceHead<'_>>, Refusal> {
        let shard = self.state.shard(&self.subscription.customer)?;
        let own = |head: &InvoiceHead<'_>| {
            head.status != InvoiceStatus::Void && head.subscription == Some(&self.subscription.id)
        };
        let mut heads: Vec<_> = shard.invoice_heads().filter(own).collect();
        heads.sort_by_key(|head| std::cmp::Reverse(head.seq));
        Ok(heads)
    }

    fn invoice(&self, id: &InvoiceId) -> Result<Option<Arc<Invoice>>, Refusal> {
        let invoice = self.state.invoice(id)?;
        if is_pending_revision(&invoice) {
            return Ok(None);
        }
        Ok(Some(if invoice.status == InvoiceStatus::Draft {
            Arc::new(self.discounted(&invoice)?)
        } else {
            invoice
        }))
    }

    /// A draft whose fixed lines bear the discounts that it would have if it were finalized now.
    fn discounted(&self, draft: &Invoice) -> Result<Invoice, Refusal> {
        let totals = self.state.totals(draft, self.usage, &mut Provisional::default())?;
        let mut draft = draft.clone();
        for charge in &mut draft.charges {
            if let Charge::Line(line) = charge
                && let Some(own) = totals.lines.iter().find(|own| own.id == line.id)
            {
                *line = Arc::clone(own);
            }
        }
        Ok(draft)
    }

    /// An item with the discounts of the latest line that charged for it: its own, and those of the
    /// invoice.
    fn latest_discounts(
        &self,
        item: &SubscriptionItem,
    ) -> Result<Option<LatestDiscounts>, Refusal> {
        for head in self.heads()? {
            let Some(invoice) = self.invoice(head.id)? else { continue };
            let charged = |line: &&Arc<Line>| {
                line.subscription_item.as_ref() == Some(&item.id)
                    && matches!(
                        line.derivation,
                        Derivation::Rated { .. } | Derivation::Prorated { .. }
                    )
            };
            let found = invoice.lines().find(charged);
            if let Some(line) = found {
                return Ok(Some((line.discounts.clone(), invoice.discounts.clone())));
            }
        }
        Ok(None)
    }
}

impl ProrationSource for Source<'_> {
    fn named_price(&self, id: &PriceId) -> Result<(&Price, &str), Refusal> {
        self.state.named_price(id)
    }

    fn debits(&self, item: &SubscriptionItemId, since: Timestamp) -> Result<Vec<Debit>, Refusal> {
        let shard = self.state.shard(&self.subscription.customer)?;
        let invoices = self.invoices(since)?;
        let invoices = invoices.iter().map(AsRef::as_ref);
        let counts = |item: &&InvoiceItem| {
            let invoice = item.invoice.as_ref().and_then(|id| self.state.invoice(id).ok());
            !invoice.is_some_and(|invoice| is_pending_revision(&invoice))
        };
        let items = shard.invoice_items().into_iter().filter(counts);
        Ok(subscription::debits(item, invoices, items))
    }

    fn net(
        &self,
        subscription: &Subscription,
        item: &SubscriptionItem,
        discounts: NetOf,
    ) -> Result<NetAmount, Refusal> {
        let state = self.state;
        let found = match discounts {
            NetOf::Shared => {
                let all = state.net_amounts(subscription, self.at)?;
                all.into_iter().find(|(id, _)| *id == item.id).map(|(_, net)| net)
            }
            NetOf::Alone => state.net_amount_alone(subscription, item, self.at)?,
            NetOf::Latest => match self.latest_discounts(item)? {
                Some(discounts) => state.net_amount_of(subscription, item, discounts)?,
                None => state.net_amount_alone(subscription, item, self.at)?,
            },
        };
        Ok(found.unwrap_or_else(|| NetAmount::whole(Exact::ZERO)))
    }
}

impl Tx<'_> {
    /// Puts on the bill what a change gives back and charges: as items that wait for an invoice.
    pub(in crate::decide) fn prorate(
        &mut self,
        before: &Subscription,
        after: &Subscription,
        at: Timestamp,
        charges: bool,
    ) -> Result<(), Refusal> {
        let policies = &self.state.settings.policies;
        let change = Change { before, after, at, charges, policies };
        let (usage, now) = (self.context.usage, self.at());
        let source = Source { state: &self.state, subscription: before, usage, at: now };
        let found = subscription::prorations(&change, &source)?;
        // Newest first is how an invoice shows them: credits before debits, items in their order.
        for proration in found.into_iter().rev() {
            // What is given back bears the tax that it was charged with, as far as that is known.
            let of = |own: &Subscription| own.item(&proration.subscription_item).cloned();
            let rates = of(if proration.amount < 0 { before } else { after });
            let tax_rates = rates.map(|item| item.tax_rates).unwrap_or_default();
            self.create_item(after, |item| {
                fill_proration(item, proration);
                item.tax_rates = tax_rates;
            })?;
        }
        Ok(())
    }

    /// Puts the usage of metered items that were removed on the bill, as it reads now.
    pub(in crate::decide) fn bill_removed_usage(
        &mut self,
        subscription: &Subscription,
        removed: &[UsageCharge],
    ) -> Result<(), Refusal> {
        for charge in removed {
            let product = self.state.named_price(&charge.price)?;
            let customer = &subscription.customer;
            let usage = self.context.usage;
            let reading = usage.usage(&charge.meter, customer, charge.period, product.0)?;
            if reading.events == 0 {
                continue;
            }
            let mut ids = self.numbers(customer, 0, 0)?;
            let shared = self.state.shared_discounts(subscription, self.at())?;
            let terms = (customer, subscription.currency, &shared[..]);
            let lines = self.state.lines_of_usage(charge, terms, usage, &mut ids)?;
            for line in lines.into_iter().rev() {
                self.create_item(subscription, |item| item.take(line))?;
            }
        }
        Ok(())
    }

    /// An item of a subscription that the book makes itself.
    pub(in crate::decide) fn create_item(
        &mut self,
        subscription: &Subscription,
        fill: impl FnOnce(&mut InvoiceItem),
    ) -> Result<(), Refusal> {
        let taken = |state: &State, id: &_| state.owners.invoice_items.contains_key(id);
        let mut item = InvoiceItem {
            id: self.new_id(None, taken)?,
            seq: self.next_seq(),
            customer: subscription.customer.clone(),
            subscription: Some(subscription.id.clone()),
            subscription_item: None,
            proration: false,
            derivation: None,
            invoice: None,
            currency: subscription.currency,
            amount: 0,
            quantity: Decimal12::ONE,
            unit_amount: None,
            price: None,
            name: String::new(),
            description: None,
            period: Period::instant(self.at()),
            discountable: false,
            discounts: Vec::new(),
            discount_amounts: Vec::new(),
            included_discounts: Vec::new(),
            spared_discounts: Vec::new(),
            tax_rates: Vec::new(),
            created: self.at(),
            metadata: Metadata::default(),
        };
        fill(&mut item);
        self.emit(InvoiceEvent::ItemCreated(item.into()));
        Ok(())
    }

    /// Invoices what waits for a subscription now, with the lines of periods that begin: finalized
    /// at once, charged once, and it goes on by itself no further (rule 6.6).
    pub(in crate::decide) fn update_invoice(
        &mut self,
        id: &SubscriptionId,
        lines: Vec<Line>,
        charge: bool,
    ) -> Result<Option<InvoiceId>, Refusal> {
        let subscription = self.state.subscription(id)?.clone();
        let mut charges =
            self.sweep(&subscription.customer, subscription.currency, Some(&subscription.id))?;
        if lines.is_empty()
            && subscription.closed_usage.iter().all(|usage| usage.dropped)
            && !self.waits_for(id, &charges)
        {
            return Ok(None);
        }
        charges.extend(self.closed_usage(&subscription));
        charges.extend(lines.into_iter().map(Charge::from));
        let period = Period::new(subscription.current_period().start, self.at());
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::SubscriptionUpdate;
            invoice.period = period;
        };
        let invoice = self.draft_for_subscription(&subscription, fill, charges)?;
        self.finalize_unless_held(&invoice, false)?;
        let made = self.state.invoice(&invoice)?;
        let charged = made.collection_method == CollectionMethod::ChargeAutomatically;
        if charged && made.status == InvoiceStatus::Open {
            if charge {
                self.attempt(&invoice, None, Trigger::FirstInvoice)?;
            } else {
                // Nobody is asked to pay it: it counts as not paid (rule 6.2).
                self.subscription_follows_failure(&invoice)?;
            }
        }
        Ok(Some(invoice))
    }

    /// Removes the prorations that wait for a subscription (rule 6.10).
    pub(in crate::decide) fn drop_prorations(&mut self, of: &Subscription) -> Result<(), Refusal> {
        let shard = self.state.shard(&of.customer)?;
        let waits = |item: &&InvoiceItem| {
            item.proration && item.invoice.is_none() && item.subscription.as_ref() == Some(&of.id)
        };
        let items: Vec<_> =
            shard.invoice_items().into_iter().filter(waits).map(|item| item.id.clone()).collect();
        for id in items {
            let (customer, at) = (of.customer.clone(), self.at());
            self.emit(InvoiceEvent::ItemDeleted { customer, id, at });
        }
        Ok(())
    }
}

/// Whether an invoice is to take the place of another, which counts until then.
fn is_pending_revision(invoice: &Invoice) -> bool {
    invoice.status == InvoiceStatus::Draft && invoice.revises.is_some()
}

fn fill_proration(item: &mut InvoiceItem, proration: Proration) {
    item.subscription_item = Some(proration.subscription_item);
    item.proration = true;
    item.name = proration.name;
    item.amount = proration.amount;
    item.discount_amounts = proration.discount_amounts;
    item.included_discounts = proration.included_discounts;
    item.quantity = proration.quantity;
    item.unit_amount = proration.unit_amount;
    item.price = Some(proration.price);
    item.period = proration.period;
    item.derivation = Some(Derivation::Changed(proration.details));
}
