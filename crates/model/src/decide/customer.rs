//! Customers and their balance.

use super::discount::Place;
use super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::Patch;
use counterfoil_billing::customer::{
    self, BalanceTransactionKind, CreateBalanceTransaction, CreateCustomer, CreateTaxId,
    CustomerEvent, CustomerId, DeleteCustomer, DeleteTaxId, EraseCustomer, UnparkCustomer,
    UpdateBalanceTransaction, UpdateCustomer,
};
use counterfoil_billing::discount::{CouponId, Discount, PromotionCodeId};
use counterfoil_billing::invoice::{Invoice, InvoiceEvent, InvoiceStatus, Trigger};
use counterfoil_billing::schedule::ScheduleStatus;
use counterfoil_billing::subscription::{CancellationReason, SubscriptionStatus};
use counterfoil_billing::tax::TaxIdId;
use counterfoil_core::{Currency, Id, Refusal};

impl Tx<'_> {
    pub(super) fn create_customer(&mut self, command: &CreateCustomer) -> Result<Target, Refusal> {
        let id = self.new_id(command.id.as_ref(), |state, id| state.shards.contains_key(id))?;
        let (seq, currency) = (self.next_seq(), self.state.settings.currency);
        let prefix = self.free_prefix(seq);
        let place = (seq, self.context.key_slot);
        let mut created =
            customer::decide_create(command, id.clone(), place, prefix, currency, self.at())?;
        created.discount = match (&command.coupon, &command.promotion_code) {
            (None, None) => None,
            (coupon, code) => Some(self.redeem_for(&id, coupon.as_ref(), code.as_ref())?),
        };
        self.check_prefix(&created.invoice_prefix, &id)?;
        self.emit(CustomerEvent::Created(created.into()));
        if let Some(amount) = command.balance.filter(|amount| *amount != 0) {
            let opening = CreateBalanceTransaction {
                customer: id.clone(),
                amount,
                currency,
                description: None,
                metadata: None,
            };
            self.transact_balance(&opening, BalanceTransactionKind::Initial)?;
        }
        Ok(Target::Customer(id))
    }

    pub(super) fn update_customer(&mut self, command: &UpdateCustomer) -> Result<Target, Refusal> {
        let mut discount = self.state.customer(&command.id)?.discount.clone();
        match (&command.coupon, &command.promotion_code) {
            (Patch::Keep, Patch::Keep) => {}
            (coupon, code) => {
                let (coupon, code) = (coupon.value(), code.value());
                discount = match (coupon, code) {
                    (None, None) => None,
                    _ => Some(self.redeem_for(&command.id, coupon, code)?),
                };
            }
        }
        let customer = self.state.customer(&command.id)?;
        let event = customer::decide_update(customer, command, discount, self.at())?;
        if let Some(prefix) = &command.invoice_prefix {
            self.check_prefix(prefix, &command.id)?;
        }
        self.emit(event);
        if command.payment_method.value().is_some() {
            self.retry_past_due(&command.id)?;
        }
        Ok(Target::Customer(command.id.clone()))
    }

    /// The discount of a customer as a whole.
    fn redeem_for(
        &mut self,
        customer: &CustomerId,
        coupon: Option<&CouponId>,
        code: Option<&PromotionCodeId>,
    ) -> Result<Discount, Refusal> {
        let (param, start) = ("coupon", self.at());
        let there = Vec::new();
        let place = Place { param, customer, currency: None, start, there, amount: None };
        match (coupon, code) {
            (Some(coupon), None) => self.redeem(coupon, None, &place),
            (None, Some(code)) => {
                self.redeem_code(code, &Place { param: "promotion_code", ..place })
            }
            _ => {
                let reason = "give coupon or promotion_code, not both";
                Err(Refusal::invalid("promotion_code", reason))
            }
        }
    }

    pub(super) fn create_tax_id(&mut self, command: &CreateTaxId) -> Result<Target, Refusal> {
        let customer = self.state.customer(&command.customer)?;
        let taken = |id: &TaxIdId| customer.personal.tax_ids.iter().any(|own| own.id == *id);
        let id = match &command.id {
            Some(id) => id.clone(),
            None => {
                let mut ids = (1_u64..).map(|n| Id::numbered(customer.seq, n));
                ids.find(|id| !taken(id)).ok_or_else(|| Refusal::missing("id"))?
            }
        };
        let event = customer::decide_create_tax_id(customer, command, id, self.at())?;
        self.emit(event);
        Ok(Target::Customer(command.customer.clone()))
    }

    pub(super) fn delete_tax_id(&mut self, command: &DeleteTaxId) -> Result<Target, Refusal> {
        let customer = self.state.customer(&command.customer)?;
        let event = customer::decide_delete_tax_id(customer, command, self.at())?;
        self.emit(event);
        Ok(Target::Customer(command.customer.clone()))
    }

    /// Invoice numbers are unique in a book, so a prefix belongs to one customer for good.
    fn check_prefix(&self, prefix: &str, customer: &CustomerId) -> Result<(), Refusal> {
        match self.state.owners.prefixes.get(&prefix.to_owned()) {
            Some(owner) if *owner != *customer => {
                let reason = format!("{prefix} is or was the prefix of {owner}");
                Err(Refusal::invalid("invoice_prefix", reason))
            }
            _ => Ok(()),
        }
    }

    fn free_prefix(&self, seq: u64) -> String {
        let mut n = seq;
        loop {
            let prefix = format!("C{n:07}");
            if !self.state.owners.prefixes.contains_key(&prefix) {
                return prefix;
            }
            n = n.saturating_add(1);
        }
    }

    /// A new payment method is tried on the latest open invoice of every subscription that is past
    /// due, unless it was declined there for good (rule 9).
    fn retry_past_due(&mut self, id: &CustomerId) -> Result<(), Refusal> {
        let shard = self.state.shard(id)?;
        let mut invoices = Vec::new();
        for subscription in shard.subscriptions() {
            if subscription.status != SubscriptionStatus::PastDue {
                continue;
            }
            let open = shard.live_invoices().into_iter().rev().find(|invoice| {
                invoice.subscription.as_ref() == Some(&subscription.id)
                    && invoice.status == InvoiceStatus::Open
            });
            let collects = |invoice: &&Invoice| {
                invoice.charges_automatically() && invoice.open_attempt.is_none()
            };
            let Some(invoice) = open.filter(collects) else { continue };
            let declined = |method| invoice.hard_decline(method).is_some();
            if !self.payment_method(invoice)?.is_some_and(declined) {
                invoices.push(invoice.id.clone());
            }
        }
        for invoice in invoices {
            self.attempt(&invoice, None, Trigger::Automatic)?;
        }
        Ok(())
    }

    /// Nothing is collected by itself from a customer that was deleted.
    fn freeze_invoices(&mut self, id: &CustomerId) -> Result<(), Refusal> {
        let at = self.at();
        let shard = self.state.shard(id)?;
        let going = shard.going_invoices().into_iter();
        let going: Vec<_> = going.map(|invoice| invoice.id.clone()).collect();
        for invoice in going {
            let (customer, id) = (id.clone(), invoice);
            self.emit(InvoiceEvent::AutoAdvanceSet { customer, id, at, auto_advance: false });
        }
        Ok(())
    }

    pub(super) fn delete_customer(&mut self, command: &DeleteCustomer) -> Result<Target, Refusal> {
        self.check_no_creation_pending(&command.id)?;
        let shard = self.state.shard(&command.id)?;
        let event = customer::decide_delete(shard.customer(), self.at())?;
        let live = shard.subscriptions().into_iter().filter(|s| !s.is_ended());
        let live: Vec<_> = live.map(|subscription| subscription.id.clone()).collect();
        for subscription in live {
            let reason = CancellationReason::CancellationRequested;
            self.end_subscription(&subscription, reason, None)?;
        }
        self.freeze_invoices(&command.id)?;
        let planned = self.state.shard(&command.id)?.subscription_schedules();
        let planned: Vec<_> = planned.into_iter().filter(|own| !own.is_over()).cloned().collect();
        for schedule in planned {
            self.end_schedule(&schedule, ScheduleStatus::Canceled, false);
        }
        let offered = self.state.shard(&command.id)?.quotes();
        let offered = offered.into_iter().filter(|quote| quote.deadline().is_some());
        let offered: Vec<_> = offered.cloned().collect();
        for quote in offered {
            self.withdraw(quote);
        }
        self.emit(event);
        Ok(Target::Customer(command.id.clone()))
    }

    /// Erases what is personal of a customer and of all it owns. Whoever is still billed is named
    /// and sent invoices, so nothing may be live: no subscription, no draft, no open invoice.
    pub(super) fn erase_customer(&mut self, command: &EraseCustomer) -> Result<Target, Refusal> {
        self.check_no_creation_pending(&command.id)?;
        let shard = self.state.shard(&command.id)?;
        let event = customer::decide_erase(shard.customer(), self.at())?;
        if let Some(live) = shard.subscriptions().into_iter().find(|s| !s.is_ended()) {
            let reason = format!("{} is {}: end it first", live.id, live.status);
            return Err(Refusal::state("customer", &command.id, "subscribed", reason));
        }
        let unsettled = |invoice: &&Invoice| {
            matches!(invoice.status, InvoiceStatus::Draft | InvoiceStatus::Open)
        };
        if let Some(invoice) = shard.live_invoices().into_iter().find(unsettled) {
            let reason = format!(
                "invoice {} is {}: delete or finalize a draft first, and pay an open one, void \
                 it or give it up",
                invoice.id, invoice.status
            );
            return Err(Refusal::state("customer", &command.id, "invoiced", reason));
        }
        self.emit(event);
        Ok(Target::Customer(command.id.clone()))
    }

    /// Lets due work on a customer go on. It runs at the book's time, however long ago it was due;
    /// where it comes to an impossible result again, the customer is parked again.
    pub(super) fn unpark_customer(&mut self, command: &UnparkCustomer) -> Result<Target, Refusal> {
        let event = customer::decide_unpark(self.state.customer(&command.id)?, self.at())?;
        self.emit(event);
        Ok(Target::Customer(command.id.clone()))
    }

    pub(super) fn create_balance_transaction(
        &mut self,
        command: &CreateBalanceTransaction,
    ) -> Result<Target, Refusal> {
        self.transact_balance(command, BalanceTransactionKind::Adjustment)?;
        Ok(Target::BalanceTransaction(command.customer.clone()))
    }

    pub(super) fn update_balance_transaction(
        &mut self,
        command: &UpdateBalanceTransaction,
    ) -> Result<Target, Refusal> {
        let shard = self.state.shard(&command.customer)?;
        let transaction = shard.balance_transaction(&command.id)?;
        let (customer, at) = (shard.customer(), self.at());
        let event =
            customer::decide_update_balance_transaction(customer, transaction, command, at)?;
        self.emit(event);
        Ok(Target::BalanceTransactionOf(command.customer.clone(), command.id.clone()))
    }

    fn transact_balance(
        &mut self,
        command: &CreateBalanceTransaction,
        kind: BalanceTransactionKind,
    ) -> Result<(), Refusal> {
        use counterfoil_billing::invoice::Numbered;
        let mut numbers = self.numbers(&command.customer, 0, 0)?;
        let customer = self.state.customer(&command.customer)?;
        let id: Id<_> = numbers.balance_transaction();
        let event = customer::decide_balance_transaction(customer, command, kind, id, self.at())?;
        self.emit(event);
        Ok(())
    }

    /// Notes that a customer is delinquent, or no longer so, where that changes anything.
    pub(super) fn set_delinquent(
        &mut self,
        id: &CustomerId,
        delinquent: bool,
    ) -> Result<(), Refusal> {
        if self.state.customer(id)?.delinquent != delinquent {
            let (id, at) = (id.clone(), self.at());
            self.emit(CustomerEvent::DelinquencyChanged { id, at, delinquent });
        }
        Ok(())
    }

    /// The customer's own currency where a command names none.
    pub(super) fn currency_or_own(
        &self,
        given: Option<Currency>,
        customer: &CustomerId,
    ) -> Result<Currency, Refusal> {
        Ok(given.unwrap_or(self.state.customer(customer)?.currency))
    }
}
