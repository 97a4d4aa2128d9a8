//! Deciding: from commands and due work to events.
//!
//! A decision is made on a fork of the state. What it emits is applied to the fork at once, so that
//! its later steps see what its earlier steps did; the fork becomes the state if nothing is refused.

mod ahead;
mod catalog;
mod correction;
mod credit_note;
mod customer;
mod discount;
mod invoice;
mod item;
mod payment;
mod possible;
mod quote;
mod revision;
mod schedule;
mod subscription;
mod tx;
mod work;

use crate::answer::Target;
use crate::{BookEvent, Command, Event, Settings, State, UsageSource};
pub use ahead::{Ahead, Step, work_ahead};
use counterfoil_core::{Refusal, Timestamp};
use tx::Tx;
pub use work::{correct_late_usage, cross_thresholds, work};

/// What a decision may depend on beside the state and the command.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time of the decision.
    pub at: Timestamp,
    /// Where usage is read from.
    pub usage: &'a dyn UsageSource,
    /// The number of a key that no customer has, for one that is created.
    pub key_slot: u64,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("at", &self.at).finish_non_exhaustive()
    }
}

/// A decision: what happened, and the state after it.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The state after it.
    pub state: State,
    /// The object that the command was about.
    pub target: Target,
}

/// Creates a book.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for settings out of their limits.
pub fn create_book(settings: &Settings, at: Timestamp) -> Result<Decision, Refusal> {
    settings.check()?;
    let event = Event::from(BookEvent::Created { at, settings: settings.clone() });
    let mut state = State::default();
    state.apply(at, &event);
    Ok(Decision { events: vec![event], state, target: Target::Book })
}

/// Decides a command. A refusal changes nothing.
///
/// # Errors
/// Whatever the command is refused for.
pub fn execute(
    state: &State,
    context: &Context<'_>,
    command: &Command,
) -> Result<Decision, Refusal> {
    let mut tx = Tx::fork(state, context);
    let target = dispatch(&mut tx, command)?;
    tx.check_possible()?;
    let (events, state) = tx.finish();
    Ok(Decision { events, state, target })
}

fn dispatch(tx: &mut Tx<'_>, command: &Command) -> Result<Target, Refusal> {
    match command {
        Command::CreateProduct(params) => tx.create_product(params),
        Command::UpdateProduct(params) => tx.update_product(params),
        Command::CreatePrice(params) => tx.create_price(params),
        Command::UpdatePrice(params) => tx.update_price(params),
        Command::CreateMeter(params) => tx.create_meter(params),
        Command::UpdateMeter(params) => tx.update_meter(params),
        Command::DeactivateMeter(params) => tx.deactivate_meter(params),
        Command::ReactivateMeter(params) => tx.reactivate_meter(params),
        Command::CreateAlert(params) => tx.create_alert(params),
        Command::ActivateAlert(params) => tx.activate_alert(params),
        Command::DeactivateAlert(params) => tx.deactivate_alert(params),
        Command::ArchiveAlert(params) => tx.archive_alert(params),
        Command::CreateCoupon(params) => tx.create_coupon(params),
        Command::UpdateCoupon(params) => tx.update_coupon(params),
        Command::DeleteCoupon(params) => tx.delete_coupon(params),
        Command::CreatePromotionCode(params) => tx.create_promotion_code(params),
        Command::UpdatePromotionCode(params) => tx.update_promotion_code(params),
        Command::CreateTaxRate(params) => tx.create_tax_rate(params),
        Command::UpdateTaxRate(params) => tx.update_tax_rate(params),
        Command::CreateTaxId(params) => tx.create_tax_id(params),
        Command::DeleteTaxId(params) => tx.delete_tax_id(params),
        Command::CreateCustomer(params) => tx.create_customer(params),
        Command::UpdateCustomer(params) => tx.update_customer(params),
        Command::DeleteCustomer(params) => tx.delete_customer(params),
        Command::EraseCustomer(params) => tx.erase_customer(params),
        Command::UnparkCustomer(params) => tx.unpark_customer(params),
        Command::CreateBalanceTransaction(params) => tx.create_balance_transaction(params),
        Command::UpdateBalanceTransaction(params) => tx.update_balance_transaction(params),
        Command::CreateSubscription(params) => tx.create_subscription(params),
        Command::UpdateSubscription(params) => tx.update_subscription(params),
        Command::CancelSubscription(params) => tx.cancel_subscription(params),
        Command::MigrateSubscription(params) => tx.migrate_subscription(params),
        Command::ResumeSubscription(params) => tx.resume_subscription(params),
        Command::CreateSubscriptionSchedule(params) => tx.create_schedule(params),
        Command::UpdateSubscriptionSchedule(params) => tx.update_schedule(params),
        Command::ReleaseSubscriptionSchedule(params) => tx.release_schedule(params),
        Command::CancelSubscriptionSchedule(params) => tx.cancel_schedule(params),
        Command::CreateQuote(params) => tx.create_quote(params),
        Command::UpdateQuote(params) => tx.update_quote(params),
        Command::FinalizeQuote(params) => tx.finalize_quote(params),
        Command::AcceptQuote(params) => tx.accept_quote(params),
        Command::CancelQuote(params) => tx.cancel_quote(params),
        Command::CreateInvoiceItem(params) => tx.create_invoice_item(params),
        Command::UpdateInvoiceItem(params) => tx.update_invoice_item(params),
        Command::DeleteInvoiceItem(params) => tx.delete_invoice_item(params),
        Command::CreateInvoice(params) => tx.create_invoice(params),
        Command::UpdateInvoice(params) => tx.change_invoice(params),
        Command::FinalizeInvoice(params) => tx.finalize_invoice(params),
        Command::PayInvoice(params) => tx.pay_invoice(params),
        Command::AttachPayment(params) => tx.attach_payment(params),
        Command::SendInvoice(params) => tx.send_invoice(params),
        Command::VoidInvoice(params) => tx.void_invoice(params),
        Command::MarkInvoiceUncollectible(params) => tx.mark_invoice_uncollectible(params),
        Command::DeleteInvoice(params) => tx.delete_invoice(params),
        Command::CreateCreditNote(params) => tx.create_credit_note(params),
        Command::UpdateCreditNote(params) => tx.update_credit_note(params),
        Command::VoidCreditNote(params) => tx.void_credit_note(params),
        Command::ProcessPaymentAttempt(params) => tx.process_payment_attempt(params),
        Command::SucceedPaymentAttempt(params) => tx.succeed_payment_attempt(params),
        Command::FailPaymentAttempt(params) => tx.fail_payment_attempt(params),
    }
}
