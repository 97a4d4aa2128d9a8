//! Previews: the invoices that would come, by the very decisions that make them (rule 8.2).
//!
//! Everything is decided on forks of the state that are thrown away. What comes later is found by
//! doing the customer's due work at its own times, as if every payment succeeded.

use crate::answer::Target;
use crate::{
    Command, Context, Decision, Event, InvoiceView, State, SucceedPaymentAttempt, execute, work,
};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{BillingReason, InvoiceEvent, InvoiceId};
use counterfoil_billing::subscription::SubscriptionId;
use counterfoil_core::{Refusal, limits};

/// What a preview is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreviewOf {
    /// The next invoice of any subscription of a customer.
    Customer(CustomerId),
    /// The next invoice of a subscription.
    Subscription(SubscriptionId),
    /// What a command would invoice, and the next invoice of its subscription after that.
    Command(Box<Command>),
}

/// What would be invoiced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The invoices that the command would make at once, as it would leave them.
    pub made: Vec<InvoiceView>,
    /// The next invoice to come by itself, with the usage so far: its `billing_reason` is
    /// `upcoming`. None where the subscription would end without one.
    pub upcoming: Option<InvoiceView>,
}

/// What would be invoiced; the state stays as it is.
///
/// # Errors
/// What the command is refused for; [`Refusal::InvoiceUpcomingNone`] for a customer or subscription
/// that no invoice will come for.
pub fn preview(state: &State, context: &Context<'_>, of: &PreviewOf) -> Result<Preview, Refusal> {
    let none = |what: String| Refusal::InvoiceUpcomingNone { what };
    match of {
        PreviewOf::Customer(id) => {
            state.customer(id)?;
            let upcoming = upcoming(state.clone(), context, id, None)?;
            let upcoming = Some(upcoming.ok_or_else(|| none(format!("customer {id}")))?);
            Ok(Preview { made: Vec::new(), upcoming })
        }
        PreviewOf::Subscription(id) => {
            let customer = &state.subscription(id)?.customer;
            let upcoming = upcoming(state.clone(), context, customer, Some(id))?;
            let upcoming = Some(upcoming.ok_or_else(|| none(format!("subscription {id}")))?);
            Ok(Preview { made: Vec::new(), upcoming })
        }
        PreviewOf::Command(command) => {
            let Decision { events, state, target } = execute(state, context, command)?;
            let mut made = Vec::new();
            for id in events.iter().filter_map(|event| created(event, None)) {
                made.push(state.view(id, context.usage)?);
            }
            let upcoming = match &target {
                Target::Subscription(id) => {
                    let customer = state.customer_of(&target);
                    let of = |customer: CustomerId| {
                        upcoming(state.clone(), context, &customer, Some(id))
                    };
                    customer.map(of).transpose()?.flatten()
                }
                _ => None,
            };
            Ok(Preview { made, upcoming })
        }
    }
}

/// The invoice that an event made, of one subscription where that is asked for, else of any.
fn created<'e>(event: &'e Event, of: Option<&SubscriptionId>) -> Option<&'e InvoiceId> {
    let Event::Billing(counterfoil_billing::Event::Invoice(InvoiceEvent::Created(invoice))) = event
    else {
        return None;
    };
    let own = of.is_none() || invoice.subscription.as_ref() == of;
    own.then_some(&invoice.id)
}

/// The next invoice that the due work of a customer makes.
fn upcoming(
    mut state: State,
    context: &Context<'_>,
    customer: &CustomerId,
    of: Option<&SubscriptionId>,
) -> Result<Option<InvoiceView>, Refusal> {
    for _ in 0..limits::PREVIEW_STEPS_MAX {
        state = paid(state, context, customer)?;
        let Some(key) = state.next_due_of(customer) else { return Ok(None) };
        let context = Context { at: key.at.max(context.at), ..*context };
        let Some(decision) = work(&state, &context, &key) else { return Ok(None) };
        if let Some(id) = decision.events.iter().find_map(|event| created(event, of)) {
            let mut view = decision.state.view(id, context.usage)?;
            view.invoice.billing_reason = BillingReason::Upcoming;
            let id = view.invoice.subscription.as_ref().map(|id| format!("upcoming_in_{id}"));
            if let Some(id) = id.and_then(|id| InvoiceId::new(&id).ok()) {
                view.invoice.id = id;
            }
            return Ok(Some(view));
        }
        state = decision.state;
    }
    Ok(None)
}

/// The state after every payment that is awaited from a customer succeeded.
fn paid(mut state: State, context: &Context<'_>, customer: &CustomerId) -> Result<State, Refusal> {
    let own = |state: &State| {
        let attempts = state.open_attempts().into_iter();
        attempts.filter(|own| own.customer == *customer).map(|own| own.id.clone()).next()
    };
    while let Some(id) = own(&state) {
        let command = Command::from(SucceedPaymentAttempt { id, amount: None });
        state = execute(&state, context, &command)?.state;
    }
    Ok(state)
}
