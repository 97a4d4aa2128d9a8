//! Customers and their balance.

use super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::customer::{
    self, BalanceTransactionKind, CreateBalanceTransaction, CreateCustomer, CustomerEvent,
    CustomerId, DeleteCustomer, UpdateCustomer,
};
use counterfoil_billing::subscription::CancellationReason;
use counterfoil_core::{Currency, Id, Refusal};

impl Tx<'_> {
    pub(super) fn create_customer(&mut self, command: &CreateCustomer) -> Result<Target, Refusal> {
        let id = self.new_id(command.id.as_ref(), |state, id| state.shards.contains_key(id))?;
        let (seq, currency) = (self.next_seq(), self.state.settings.currency);
        let created = customer::decide_create(command, id.clone(), seq, currency, self.at())?;
        self.emit(CustomerEvent::Created(created));
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
        let customer = self.state.customer(&command.id)?;
        let event = customer::decide_update(customer, command, self.at())?;
        self.emit(event);
        Ok(Target::Customer(command.id.clone()))
    }

    pub(super) fn delete_customer(&mut self, command: &DeleteCustomer) -> Result<Target, Refusal> {
        let shard = self.state.shard(&command.id)?;
        let event = customer::decide_delete(shard.customer(), self.at())?;
        let live = shard.subscriptions().into_iter().filter(|s| !s.is_ended());
        let live: Vec<_> = live.map(|subscription| subscription.id.clone()).collect();
        for subscription in live {
            let reason = CancellationReason::CancellationRequested;
            self.end_subscription(&subscription, reason, None)?;
        }
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
