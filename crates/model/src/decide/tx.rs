//! A decision in the making.

use super::Context;
use crate::{Event, State};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{InvoiceLineId, Numbered};
use counterfoil_core::{Id, Kind, Refusal, Timestamp, kind};

/// A decision in the making: a fork of the state, and what was emitted so far.
pub(super) struct Tx<'a> {
    pub(super) state: State,
    pub(super) context: &'a Context<'a>,
    events: Vec<Event>,
}

impl<'a> Tx<'a> {
    pub(super) fn fork(state: &State, context: &'a Context<'a>) -> Self {
        Self::on(state.clone(), context)
    }

    /// A decision on a fork that is its own already.
    pub(super) fn on(state: State, context: &'a Context<'a>) -> Self {
        Self { state, context, events: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<Event>, State) {
        (self.events, self.state)
    }

    /// What was emitted so far, which the decision that follows does not have among its own.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What was emitted so far.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The time of the decision.
    pub(super) fn at(&self) -> Timestamp {
        self.context.at
    }

    /// Lets something happen.
    pub(super) fn emit(&mut self, event: impl Into<Event>) {
        let event = event.into();
        self.state.apply(self.context.at, &event);
        self.events.push(event);
    }

    /// The place in the order of creation of the next object.
    pub(super) fn next_seq(&self) -> u64 {
        self.state.created.saturating_add(1)
    }

    /// The id that a caller chose, or the next derived one that is free.
    pub(super) fn new_id<K: Kind>(
        &self,
        chosen: Option<&Id<K>>,
        taken: impl Fn(&State, &Id<K>) -> bool,
    ) -> Result<Id<K>, Refusal> {
        if let Some(id) = chosen {
            if taken(&self.state, id) {
                return Err(Refusal::taken(K::NAME, id));
            }
            return Ok(id.clone());
        }
        Ok(self.derived_id(self.next_seq(), taken))
    }

    /// The derived id that is free for an object with a place in the order of creation.
    pub(super) fn derived_id<K: Kind>(
        &self,
        seq: u64,
        taken: impl Fn(&State, &Id<K>) -> bool,
    ) -> Id<K> {
        let mut n = seq;
        loop {
            let id = Id::derived(n);
            if !taken(&self.state, &id) {
                return id;
            }
            n = n.saturating_add(1);
        }
    }

    /// Ids of lines and balance transactions for an event about an invoice of a customer.
    pub(super) fn numbers(
        &self,
        customer: &CustomerId,
        invoice_seq: u64,
        lines: usize,
    ) -> Result<Numbers, Refusal> {
        let shard = self.state.shard(customer)?;
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Ok(Numbers {
            customer_seq: shard.customer.seq,
            transactions: count(shard.transactions.len()),
            invoice_seq,
            lines: count(lines),
        })
    }
}

/// Hands out the ids of lines and balance transactions: numbered within their owner, so that they
/// are unique without a counter of their own.
pub(super) struct Numbers {
    customer_seq: u64,
    transactions: u64,
    invoice_seq: u64,
    lines: u64,
}

impl Numbered for Numbers {
    fn balance_transaction(&mut self) -> Id<kind::CustomerBalanceTransaction> {
        self.transactions = self.transactions.saturating_add(1);
        Id::numbered(self.customer_seq, self.transactions)
    }

    fn line(&mut self) -> InvoiceLineId {
        self.lines = self.lines.saturating_add(1);
        Id::numbered(self.invoice_seq, self.lines)
    }
}
