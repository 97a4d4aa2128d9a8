//! Previews: the invoices that would come, by the very decisions that make them (rule 8.2).
//!
//! Everything is decided on forks of the state that are thrown away. What comes later is found by
//! doing the customer's due work at its own times, as if every payment succeeded.

use crate::answer::Target;
use crate::{
    Command, Context, Decision, Event, InvoiceView, State, SucceedPaymentAttempt, execute, work,
};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{BillingReason, Invoice, InvoiceEvent, InvoiceId};
use counterfoil_billing::schedule::SubscriptionScheduleId;
use counterfoil_billing::subscription::SubscriptionId;
use counterfoil_core::{Refusal, limits};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a preview is of: `invoice.create_preview`.
///
/// Its serialized form is a map of one entry: `{"subscription": "sub_1"}`, or
/// `{"command": {"subscription.update": {"id": "sub_1", "cancel_at_period_end": true}}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreviewOf {
    /// The next invoice of any subscription of a customer.
    Customer(CustomerId),
    /// The next invoice of a subscription.
    Subscription(SubscriptionId),
    /// The next invoice of the subscription that a schedule guides, or will begin.
    Schedule(SubscriptionScheduleId),
    /// What a command would invoice, and the next invoice of the subscription that it changes,
    /// begins or plans after that.
    Command(Box<Command>),
}

impl PreviewOf {
    /// The name of the operation.
    pub const OPERATION: &'static str = "invoice.create_preview";
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
    let (next, what) = match of {
        PreviewOf::Customer(id) => {
            state.customer(id)?;
            (Next::Any(id.clone()), format!("customer {id}"))
        }
        PreviewOf::Subscription(id) => {
            (Next::of_subscription(state, id)?, format!("subscription {id}"))
        }
        PreviewOf::Schedule(id) => (Next::of_schedule(state, id)?, format!("schedule {id}")),
        PreviewOf::Command(command) => {
            let Decision { events, state, target } = execute(state, context, command)?;
            let mut made = Vec::new();
            for invoice in events.iter().filter_map(created) {
                made.push(state.view(&invoice.id, context.usage)?);
            }
            let upcoming = match Next::of_target(&state, &target)? {
                Some(next) => upcoming(state, context, &next)?,
                None => None,
            };
            return Ok(Preview { made, upcoming });
        }
    };
    let upcoming = upcoming(state.clone(), context, &next)?;
    Ok(Preview { made: Vec::new(), upcoming: Some(upcoming.ok_or_else(|| none(what))?) })
}

/// Whose next invoice is looked for.
enum Next {
    /// Any of a customer.
    Any(CustomerId),
    /// That of a subscription of a customer.
    Of(CustomerId, SubscriptionId),
    /// That of the subscription that a schedule of a customer begins.
    Begun(CustomerId, SubscriptionScheduleId),
}

impl Next {
    fn of_subscription(state: &State, id: &SubscriptionId) -> Result<Self, Refusal> {
        Ok(Self::Of(state.subscription(id)?.customer.clone(), id.clone()))
    }

    fn of_schedule(state: &State, id: &SubscriptionScheduleId) -> Result<Self, Refusal> {
        let schedule = state.schedule(id)?;
        let guided = schedule.subscription.as_ref().or(schedule.released_subscription.as_ref());
        Ok(match guided {
            Some(subscription) => Self::Of(schedule.customer.clone(), subscription.clone()),
            None => Self::Begun(schedule.customer.clone(), id.clone()),
        })
    }

    fn of_target(state: &State, target: &Target) -> Result<Option<Self>, Refusal> {
        match target {
            Target::Subscription(id) => match state.customer_of(target) {
                Some(customer) => Ok(Some(Self::Of(customer, id.clone()))),
                // It comes about with its payment, and nobody sees it before (rule 6.3).
                None => Ok(None),
            },
            Target::SubscriptionSchedule(id) => Self::of_schedule(state, id).map(Some),
            Target::Quote(id) => {
                let quote = state.quote(id)?;
                match (&quote.subscription, &quote.subscription_schedule) {
                    (Some(id), _) => Self::of_subscription(state, id).map(Some),
                    (None, Some(id)) => Self::of_schedule(state, id).map(Some),
                    (None, None) => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    fn customer(&self) -> &CustomerId {
        match self {
            Self::Any(customer) | Self::Of(customer, _) | Self::Begun(customer, _) => customer,
        }
    }

    fn is(&self, state: &State, invoice: &Invoice) -> bool {
        match self {
            Self::Any(_) => true,
            Self::Of(_, id) => invoice.subscription.as_ref() == Some(id),
            Self::Begun(_, id) => {
                let begun = state.schedule(id).ok().and_then(|own| own.subscription.as_ref());
                begun.is_some() && invoice.subscription.as_ref() == begun
            }
        }
    }
}

/// The invoice that an event made.
fn created(event: &Event) -> Option<&Arc<Invoice>> {
    match event {
        Event::Billing(counterfoil_billing::Event::Invoice(InvoiceEvent::Created(invoice))) => {
            Some(invoice)
        }
        _ => None,
    }
}

/// The next invoice that the due work of a customer makes.
fn upcoming(
    mut state: State,
    context: &Context<'_>,
    next: &Next,
) -> Result<Option<InvoiceView>, Refusal> {
    for _ in 0..limits::PREVIEW_STEPS_MAX {
        state = paid(state, context, next.customer())?;
        let Some(key) = state.next_due_of(next.customer()) else { return Ok(None) };
        let context = Context { at: key.at.max(context.at), ..*context };
        let Some(decision) = work(&state, &context, &key) else { return Ok(None) };
        let mut made = decision.events.iter().filter_map(created);
        let found = made.find(|invoice| next.is(&decision.state, invoice));
        if let Some(invoice) = found {
            let mut view = decision.state.view(&invoice.id, context.usage)?;
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
