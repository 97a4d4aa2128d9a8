//! Invoice commands and due dates to events.

use super::event::{Finalized, Voided};
use super::update::{checked_finalization, next_finalization};
use super::{
    Charge, CollectionMethod, CreateInvoice, Invoice, InvoiceEvent, InvoiceId, InvoiceLineId,
    InvoiceStatus, StatusTransitions, Totals,
};
use crate::customer::{self, BalanceTransaction, BalanceTransactionKind, Customer};
use crate::invoice::BillingReason;
use crate::rare::Rare;
use crate::tax::TaxExempt;
use crate::text;
use counterfoil_core::{
    Anchor, ArithmeticError, Currency, Id, Interval, IntervalUnit, Metadata, Period, Refusal,
    Timestamp, Zone, kind, limits,
};

/// Makes a draft by hand. Its charges are what the caller swept for it.
///
/// # Errors
/// [`Refusal::ParameterMissing`] where `send_invoice` has no date (point 65), and limits.
pub fn decide_create(
    command: &CreateInvoice,
    id: InvoiceId,
    seq: u64,
    currency: Currency,
    charges: Vec<Charge>,
    (at, zone): (Timestamp, Zone),
) -> Result<Invoice, Refusal> {
    let due_date = due_date(command, (at, zone))?;
    text::check_optional("description", command.description.as_deref())?;
    text::check_optional("default_payment_method", command.default_payment_method.as_deref())?;
    let finalizes_at = match command.automatically_finalizes_at {
        Some(finalizes_at) => Some(checked_finalization(finalizes_at, at)?),
        None if command.auto_advance => Some(next_finalization(None, at)?),
        None => None,
    };
    let mut invoice = Invoice::draft(id, seq, command.customer.clone(), currency, at);
    invoice.collection_method = command.collection_method;
    invoice.auto_advance = finalizes_at.is_some();
    invoice.effective_at = command.effective_at;
    invoice.default_payment_method.clone_from(&command.default_payment_method);
    invoice.due_date = due_date;
    invoice.finalizes_at = finalizes_at;
    invoice.charges = charges;
    invoice.description.clone_from(&command.description);
    invoice.metadata = Metadata::of(command.metadata.as_ref())?;
    Ok(invoice)
}

impl Invoice {
    /// An empty draft made by hand: what every other kind of invoice is filled in from.
    #[must_use]
    pub fn draft(
        id: InvoiceId,
        seq: u64,
        customer: customer::CustomerId,
        currency: Currency,
        at: Timestamp,
    ) -> Self {
        Self {
            id,
            seq,
            customer,
            subscription: None,
            currency,
            created: at,
            status: InvoiceStatus::Draft,
            billing_reason: BillingReason::Manual,
            collection_method: CollectionMethod::ChargeAutomatically,
            auto_advance: false,
            period: Period::instant(at),
            due_date: None,
            finalizes_at: None,
            last_finalization_error: None,
            effective_at: None,
            revises: None,
            latest_revision: None,
            threshold_reason: None,
            corrects: None,
            latest_correction: None,
            charges: Vec::new(),
            number: None,
            discounts: Vec::new(),
            default_tax_rates: Vec::new(),
            customer_tax_exempt: TaxExempt::None,
            total_discount_amounts: Vec::new(),
            total_taxes: Vec::new(),
            shipping_cost: None,
            subtotal: 0,
            total: 0,
            starting_balance: None,
            ending_balance: None,
            amount_due: 0,
            amount_paid: 0,
            amount_overpaid: 0,
            amount_forgiven: 0,
            pre_payment_credit_notes_amount: 0,
            post_payment_credit_notes_amount: 0,
            payments: Vec::new(),
            paid_out_of_band: false,
            balance_transactions: Vec::new(),
            attempt_count: 0,
            attempts_made: 0,
            next_payment_attempt: None,
            open_attempt: None,
            hard_declines: Vec::new(),
            default_payment_method: None,
            retries_exhausted: false,
            overdue: false,
            status_transitions: StatusTransitions::default(),
            collection_paused: None,
            customer_details: Rare::default(),
            description: None,
            metadata: Metadata::default(),
        }
    }
}

fn due_date(
    command: &CreateInvoice,
    (at, zone): (Timestamp, Zone),
) -> Result<Option<Timestamp>, Refusal> {
    match (command.collection_method, command.days_until_due, command.due_date) {
        (CollectionMethod::ChargeAutomatically, None, None) => Ok(None),
        (CollectionMethod::ChargeAutomatically, Some(_), _) => {
            Err(Refusal::invalid("days_until_due", "only send_invoice has a due date"))
        }
        (CollectionMethod::ChargeAutomatically, _, Some(_)) => {
            Err(Refusal::invalid("due_date", "only send_invoice has a due date"))
        }
        (CollectionMethod::SendInvoice, None, None) => Err(Refusal::missing("days_until_due")),
        (CollectionMethod::SendInvoice, Some(days), None) => Ok(Some(due_after(days, (at, zone))?)),
        (CollectionMethod::SendInvoice, None, Some(date)) if date >= at => Ok(Some(date)),
        (CollectionMethod::SendInvoice, None, Some(_)) => {
            Err(Refusal::invalid("due_date", "a due date does not lie in the past"))
        }
        (CollectionMethod::SendInvoice, Some(_), Some(_)) => {
            Err(Refusal::invalid("due_date", "give due_date or days_until_due, not both"))
        }
    }
}

/// The due date of an invoice created at `at` (point 38): so many days later by the clock of a zone,
/// at the same time of day.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] beyond the limit of days.
pub fn due_after(days: u32, (at, zone): (Timestamp, Zone)) -> Result<Timestamp, Refusal> {
    if days > limits::DAYS_UNTIL_DUE_MAX {
        let reason = format!("{days} days (the limit is {})", limits::DAYS_UNTIL_DUE_MAX);
        return Err(Refusal::invalid("days_until_due", reason));
    }
    let day = Interval::new(IntervalUnit::Day, 1)?;
    Ok(Anchor::in_zone(at, zone).boundary(day, i64::from(days))?)
}

/// Refuses what only a draft allows.
///
/// # Errors
/// [`Refusal::InvoiceNotEditable`].
pub fn check_draft(invoice: &Invoice) -> Result<(), Refusal> {
    if invoice.status == InvoiceStatus::Draft {
        return Ok(());
    }
    Err(Refusal::InvoiceNotEditable {
        id: invoice.id.to_string(),
        state: invoice.status.to_string(),
    })
}

/// Ids that are handed out in order while an event is made.
pub trait Numbered {
    /// The next id of a balance transaction.
    fn balance_transaction(&mut self) -> Id<kind::CustomerBalanceTransaction>;
    /// The next id of an invoice line.
    fn line(&mut self) -> InvoiceLineId;
}

/// Fixes a draft: its lines and totals are what its charges came to (rules 2.3, 8.4 and 8.6).
///
/// # Errors
/// [`Refusal::InvoiceNotEditable`] unless it is a draft, [`Refusal::AmountTooLarge`] where an amount
/// is out of range.
pub fn decide_finalize(
    invoice: &Invoice,
    totals: Totals,
    customer: &Customer,
    auto_advance: bool,
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<Finalized, Refusal> {
    check_draft(invoice)?;
    let currency = invoice.currency;
    let Totals { lines, subtotal, total, total_discount_amounts, total_taxes, .. } = totals;
    let starting_balance = customer.balance(currency);
    let settled = customer::settle(total, starting_balance, currency)?;
    let mut ledger = Ledger { invoice, ids, at, balance: starting_balance, posted: Vec::new() };
    for (kind, amount) in settled.changes {
        ledger.post(kind, amount)?;
    }
    let status = if settled.amount_due == 0 { InvoiceStatus::Paid } else { InvoiceStatus::Open };
    Ok(Finalized {
        customer: invoice.customer.clone(),
        id: invoice.id.clone(),
        at,
        number: customer.next_invoice_number(),
        currency,
        lines,
        subtotal,
        total,
        starting_balance,
        ending_balance: settled.ending_balance,
        balance_transactions: ledger.posted,
        amount_due: settled.amount_due,
        status,
        auto_advance,
        customer_details: customer.personal.on_documents().into(),
        total_discount_amounts,
        total_taxes,
        shipping_cost: totals.shipping_cost,
        customer_tax_exempt: customer.tax_exempt,
        discounts_used_up: totals.used_up,
    })
}

/// Balance transactions in the making, each chained to the one before.
struct Ledger<'a> {
    invoice: &'a Invoice,
    ids: &'a mut dyn Numbered,
    at: Timestamp,
    balance: i64,
    posted: Vec<BalanceTransaction>,
}

impl Ledger<'_> {
    fn post(&mut self, kind: BalanceTransactionKind, amount: i64) -> Result<(), ArithmeticError> {
        self.balance = self.balance.checked_add(amount).ok_or(ArithmeticError::Overflow)?;
        self.posted.push(BalanceTransaction {
            id: self.ids.balance_transaction(),
            customer: self.invoice.customer.clone(),
            currency: self.invoice.currency,
            amount,
            ending_balance: self.balance,
            kind,
            invoice: Some(self.invoice.id.clone()),
            credit_note: None,
            description: None,
            metadata: Metadata::default(),
            created: self.at,
        });
        Ok(())
    }
}

impl Invoice {
    /// A single balance transaction that a document on it makes.
    pub(crate) fn balance_transaction(
        &self,
        customer: &Customer,
        change: (BalanceTransactionKind, i64),
        ids: &mut dyn Numbered,
        at: Timestamp,
    ) -> Result<BalanceTransaction, ArithmeticError> {
        let mut posted = balance_transaction(self, customer, change, ids, at)?;
        posted.pop().ok_or(ArithmeticError::Overflow)
    }
}

/// A single balance transaction of an invoice: an overpayment.
pub(super) fn balance_transaction(
    invoice: &Invoice,
    customer: &Customer,
    (kind, amount): (BalanceTransactionKind, i64),
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<Vec<BalanceTransaction>, ArithmeticError> {
    let balance = customer.balance(invoice.currency);
    let mut ledger = Ledger { invoice, ids, at, balance, posted: Vec::new() };
    ledger.post(kind, amount)?;
    Ok(ledger.posted)
}

/// The credit that a customer is given for what was collected beyond what an invoice needed.
///
/// # Errors
/// [`ArithmeticError::Overflow`] where the balance is out of range.
pub fn balance_credit(
    invoice: &Invoice,
    customer: &Customer,
    amount: i64,
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<BalanceTransaction, ArithmeticError> {
    let credit = amount.checked_neg().ok_or(ArithmeticError::Overflow)?;
    let change = (BalanceTransactionKind::InvoiceOverpaid, credit);
    let mut posted = balance_transaction(invoice, customer, change, ids, at)?;
    posted.pop().ok_or(ArithmeticError::Overflow)
}

/// Refuses to void what is not open or uncollectible, or was paid or credited in part (point 47).
///
/// # Errors
/// [`Refusal::StateUnsupported`].
pub fn check_voidable(invoice: &Invoice) -> Result<(), Refusal> {
    check_status(invoice, &[InvoiceStatus::Open, InvoiceStatus::Uncollectible], "voided")?;
    let reason = if invoice.amount_paid != 0 {
        "it is paid in part, so it cannot be voided"
    } else if invoice.pre_payment_credit_notes_amount != 0 {
        "it has credit notes, which must be voided first"
    } else {
        return Ok(());
    };
    Err(Refusal::state("invoice", &invoice.id, invoice.status, reason))
}

/// Voids an invoice: the balance and the revenue are as if it had never been (rule 8.7).
///
/// # Errors
/// As [`check_voidable`].
pub fn decide_void(
    invoice: &Invoice,
    customer: &Customer,
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<Voided, Refusal> {
    check_voidable(invoice)?;
    let balance = customer.balance(invoice.currency);
    let mut ledger = Ledger { invoice, ids, at, balance, posted: Vec::new() };
    for applied in &invoice.balance_transactions {
        let amount = applied.amount.checked_neg().ok_or(ArithmeticError::Overflow)?;
        ledger.post(BalanceTransactionKind::UnappliedFromInvoice, amount)?;
    }
    Ok(Voided {
        customer: invoice.customer.clone(),
        id: invoice.id.clone(),
        at,
        currency: invoice.currency,
        released: invoice
            .lines()
            .map(|line| line.deferral())
            .chain(invoice.shipping_line().map(|line| line.deferral()))
            .collect(),
        amount_remaining: invoice.amount_remaining(),
        was_uncollectible: invoice.status == InvoiceStatus::Uncollectible,
        balance_transactions: ledger.posted,
        released_tax: invoice.total_taxes.iter().fold(0, |sum, tax| sum.saturating_add(tax.amount)),
        released_discounts: invoice
            .lines()
            .map(|line| line.contra())
            .filter(|contra| contra.amount != 0)
            .collect(),
    })
}

/// Gives an open invoice up.
///
/// # Errors
/// [`Refusal::StateUnsupported`] unless it is open.
pub fn decide_uncollectible(invoice: &Invoice, at: Timestamp) -> Result<InvoiceEvent, Refusal> {
    check_status(invoice, &[InvoiceStatus::Open], "marked uncollectible")?;
    Ok(InvoiceEvent::MarkedUncollectible {
        customer: invoice.customer.clone(),
        id: invoice.id.clone(),
        at,
        amount: invoice.amount_remaining(),
        currency: invoice.currency,
    })
}

/// Notes that an open invoice was sent.
///
/// # Errors
/// [`Refusal::StateUnsupported`] unless it is open and collected by sending it.
pub fn decide_send(invoice: &Invoice, at: Timestamp) -> Result<InvoiceEvent, Refusal> {
    check_status(invoice, &[InvoiceStatus::Open], "sent")?;
    if invoice.collection_method != CollectionMethod::SendInvoice {
        let reason = "it is charged automatically, so it is not sent";
        return Err(Refusal::state("invoice", &invoice.id, invoice.status, reason));
    }
    let (customer, id) = (invoice.customer.clone(), invoice.id.clone());
    Ok(InvoiceEvent::Sent { customer, id, at })
}

/// Notes that an open invoice passed its due date.
#[must_use]
pub fn decide_overdue(invoice: &Invoice, at: Timestamp) -> InvoiceEvent {
    let (customer, id) = (invoice.customer.clone(), invoice.id.clone());
    InvoiceEvent::Overdue { customer, id, at }
}

/// Refuses to collect what is not open or uncollectible, or is being collected.
///
/// # Errors
/// [`Refusal::StateUnsupported`].
pub fn check_payable(invoice: &Invoice) -> Result<(), Refusal> {
    check_status_payable(invoice)?;
    if let Some(attempt) = &invoice.open_attempt {
        let reason = format!("the outcome of {} is awaited", attempt.id);
        return Err(Refusal::state("invoice", &invoice.id, invoice.status, reason));
    }
    Ok(())
}

/// Refuses to pay what is not open or uncollectible.
///
/// # Errors
/// [`Refusal::StateUnsupported`].
pub fn check_status_payable(invoice: &Invoice) -> Result<(), Refusal> {
    check_status(invoice, &[InvoiceStatus::Open, InvoiceStatus::Uncollectible], "paid")
}

fn check_status(
    invoice: &Invoice,
    allowed: &[InvoiceStatus],
    participle: &str,
) -> Result<(), Refusal> {
    if allowed.contains(&invoice.status) {
        return Ok(());
    }
    let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    let reason = format!("only an invoice that is {} can be {participle}", names.join(" or "));
    Err(Refusal::state("invoice", &invoice.id, invoice.status, reason))
}
