//! From a billing event to its entry.

use crate::Account::{
    AccountsReceivable, BadDebt, BalanceAdjustments, CashClearing, CustomerBalance,
    DeferredRevenue, TaxPayable,
};
use crate::entry::{Entry, Posting, PostingError, sum};
use counterfoil_billing::Event;
use counterfoil_billing::credit_note::{CreditNote, CreditNoteEvent, VoidedNote};
use counterfoil_billing::customer::{BalanceTransaction, CustomerEvent};
use counterfoil_billing::invoice::{
    Deferral, Finalized, InvoiceEvent, LatePayment, PaymentReceived, Voided,
};
use serde::{Deserialize, Serialize};

/// Which rules an event is posted under. A book records its version when it is created, so that a
/// later version changes nothing that was posted under this one.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PostingRules {
    /// The first version.
    ///
    /// | event | debit | credit |
    /// |---|---|---|
    /// | invoice finalized | receivables: amount due | deferred revenue: total less tax |
    /// | | customer balance: its change | tax payable: tax |
    /// | invoice paid | cash clearing | receivables |
    /// | payment received | cash clearing | receivables: what it paid |
    /// | | | customer balance: what was overpaid |
    /// | | bad debt: what was forgiven | receivables |
    /// | payment came late | cash clearing | customer balance |
    /// | invoice marked uncollectible | bad debt | receivables |
    /// | invoice voided | deferred revenue: total less tax | receivables: amount remaining |
    /// | | tax payable: tax | |
    /// | | customer balance: its change | |
    /// | credit note issued | deferred revenue: what is taken back | receivables: before payment |
    /// | | tax payable: tax | cash clearing: refunded or given back |
    /// | | | customer balance: its change |
    /// | credit note voided | receivables | deferred revenue |
    /// | | | tax payable: tax |
    /// | balance changed by hand | customer balance | balance adjustments |
    ///
    /// Once an invoice was marked uncollectible, bad debt stands in place of its receivables.
    /// Revenue is deferred net of discounts, that of shipping until the very instant of finalization; as it is earned, what they took off is credited to
    /// revenue and debited to discounts. Any other event posts nothing. A negative amount is on the other side.
    #[default]
    V1,
}

/// The entry that an event posts; none where it moves neither money nor revenue.
///
/// # Errors
/// [`PostingError`] where the amounts of the event contradict each other, which those of a decided
/// event never do.
pub fn post(event: &Event, rules: PostingRules) -> Result<Option<Entry>, PostingError> {
    let entry = match rules {
        PostingRules::V1 => post_v1(event)?,
    };
    Ok(entry.filter(|entry| !entry.is_empty()))
}

fn post_v1(event: &Event) -> Result<Option<Entry>, PostingError> {
    match event {
        Event::Customer(CustomerEvent::BalanceTransacted(transaction)) => {
            adjusted(transaction).map(Some)
        }
        Event::Invoice(InvoiceEvent::Finalized(event)) => finalized(event).map(Some),
        Event::Invoice(InvoiceEvent::Paid { at, amount, currency, recovered, .. }) => {
            let amount = i128::from(*amount);
            let settled = if *recovered { BadDebt } else { AccountsReceivable };
            let postings = vec![debit(CashClearing, amount), credit(settled, amount)];
            Entry::new(*at, *currency, postings, Vec::new()).map(Some)
        }
        Event::Invoice(InvoiceEvent::PaymentReceived(event)) => received(event).map(Some),
        Event::Invoice(InvoiceEvent::PaymentCameLate(late)) => overpaid(late),
        Event::Invoice(InvoiceEvent::MarkedUncollectible { at, amount, currency, .. }) => {
            let amount = i128::from(*amount);
            let postings = vec![debit(BadDebt, amount), credit(AccountsReceivable, amount)];
            Entry::new(*at, *currency, postings, Vec::new()).map(Some)
        }
        Event::Invoice(InvoiceEvent::Voided(event)) => voided(event).map(Some),
        Event::CreditNote(CreditNoteEvent::Created { credit_note, .. }) => {
            credited(credit_note).map(Some)
        }
        Event::CreditNote(CreditNoteEvent::Voided(event)) => uncredited(event).map(Some),
        _ => Ok(None),
    }
}

/// What was invoiced is owed or was taken from the balance: `total = amount_due + change` (rule
/// 2.3).
fn finalized(event: &Finalized) -> Result<Entry, PostingError> {
    let change =
        i128::from(event.ending_balance).saturating_sub(i128::from(event.starting_balance));
    let tax = sum(event.total_taxes.iter().map(|tax| tax.amount.into()));
    let tax = tax.ok_or(PostingError::OutOfRange { at: event.at, currency: event.currency })?;
    let postings = vec![
        debit(AccountsReceivable, event.amount_due.into()),
        debit(CustomerBalance, change),
        credit(DeferredRevenue, i128::from(event.total).saturating_sub(tax)),
        credit(TaxPayable, tax),
    ];
    // Shipping is earned at once.
    let shipping = event.shipping_cost.iter().map(|cost| cost.deferral(event.at));
    let deferrals = event.lines.iter().map(|line| line.deferral()).chain(shipping).collect();
    let contra = event.lines.iter().map(|line| line.contra()).collect();
    Ok(Entry::new(event.at, event.currency, postings, deferrals)?.with_contra(contra))
}

/// What is paid, forgiven and overpaid. Of an uncollectible invoice nothing is owed any more, so what
/// is forgiven was given up already.
fn received(event: &PaymentReceived) -> Result<Entry, PostingError> {
    let (amount, forgiven) = (i128::from(event.amount), i128::from(event.forgiven));
    let given = event.balance_transaction.as_ref().map_or(0, |given| i128::from(given.amount));
    let settled = if event.recovered { BadDebt } else { AccountsReceivable };
    let given_up = if event.recovered { 0 } else { forgiven };
    let postings = vec![
        debit(CashClearing, amount.saturating_add(event.overpaid.into())),
        credit(settled, amount),
        debit(CustomerBalance, given),
        debit(BadDebt, given_up),
        credit(AccountsReceivable, given_up),
    ];
    Entry::new(event.at, event.currency, postings, Vec::new())
}

/// A payment that nothing was owed for is owed back to the customer (point 67).
fn overpaid(late: &LatePayment) -> Result<Option<Entry>, PostingError> {
    let Some(given) = &late.balance_transaction else {
        if late.amount == 0 {
            return Ok(None);
        }
        return Err(PostingError::LatePaymentWithoutCredit {
            invoice: late.id.clone(),
            amount_minor: late.amount,
        });
    };
    let postings =
        vec![debit(CashClearing, late.amount.into()), debit(CustomerBalance, given.amount.into())];
    Entry::new(late.at, given.currency, postings, Vec::new()).map(Some)
}

/// The opposite of the invoice's finalization, and of what became of it since (rule 8.7).
fn voided(event: &Voided) -> Result<Entry, PostingError> {
    let Voided { at, currency, .. } = *event;
    let out_of_range = || PostingError::OutOfRange { at, currency };
    let opposite = |deferrals: &[Deferral]| {
        let opposite =
            |own: &Deferral| Some(Deferral { amount: own.amount.checked_neg()?, ..*own });
        deferrals.iter().map(opposite).collect::<Option<Vec<_>>>().ok_or_else(out_of_range)
    };
    let deferrals = opposite(&event.released)?;
    let contra = opposite(&event.released_discounts)?;
    let released = sum(event.released.iter().map(|deferral| deferral.amount.into()))
        .ok_or_else(out_of_range)?;
    let restored = sum(event.balance_transactions.iter().map(|change| change.amount.into()))
        .ok_or_else(out_of_range)?;
    let owed = if event.was_uncollectible { BadDebt } else { AccountsReceivable };
    let postings = vec![
        debit(DeferredRevenue, released),
        debit(TaxPayable, event.released_tax.into()),
        credit(owed, event.amount_remaining.into()),
        debit(CustomerBalance, restored),
    ];
    Ok(Entry::new(at, currency, postings, deferrals)?.with_contra(contra))
}

/// Revenue and tax that are not owed after all, against what is no longer asked for and what was given back
/// (rule 10).
fn credited(note: &CreditNote) -> Result<Entry, PostingError> {
    let (at, currency) = (note.created, note.currency);
    let out_of_range = || PostingError::OutOfRange { at, currency };
    let deferrals = negated(&note.taken_back).ok_or_else(out_of_range)?;
    let contra = negated(&note.contra_taken_back).ok_or_else(out_of_range)?;
    let revenue = sum(note.taken_back.iter().map(|own| own.amount.into()));
    let given = note.balance_transaction.as_ref().map_or(0, |given| i128::from(given.amount));
    let owed = if note.was_uncollectible { BadDebt } else { AccountsReceivable };
    let back = i128::from(note.refund_amount).saturating_add(note.out_of_band_amount.into());
    let postings = vec![
        debit(DeferredRevenue, revenue.ok_or_else(out_of_range)?),
        debit(TaxPayable, note.total_tax().into()),
        credit(owed, note.pre_payment_amount.into()),
        credit(CashClearing, back),
        debit(CustomerBalance, given),
    ];
    Ok(Entry::new(at, currency, postings, deferrals)?.with_contra(contra))
}

/// The opposite of a credit note that gave nothing back.
fn uncredited(event: &VoidedNote) -> Result<Entry, PostingError> {
    let VoidedNote { at, currency, .. } = *event;
    let revenue = sum(event.restored.iter().map(|own| own.amount.into()));
    let revenue = revenue.ok_or(PostingError::OutOfRange { at, currency })?;
    let postings = vec![
        debit(AccountsReceivable, event.amount.into()),
        credit(DeferredRevenue, revenue),
        credit(TaxPayable, event.tax.into()),
    ];
    let entry = Entry::new(at, currency, postings, event.restored.clone())?;
    Ok(entry.with_contra(event.contra_restored.clone()))
}

fn negated(deferrals: &[Deferral]) -> Option<Vec<Deferral>> {
    let negated =
        deferrals.iter().map(|own| Some(Deferral { amount: own.amount.checked_neg()?, ..*own }));
    negated.collect()
}

fn adjusted(transaction: &BalanceTransaction) -> Result<Entry, PostingError> {
    let amount = i128::from(transaction.amount);
    let postings = vec![debit(CustomerBalance, amount), credit(BalanceAdjustments, amount)];
    Entry::new(transaction.created, transaction.currency, postings, Vec::new())
}

fn debit(account: crate::Account, amount_minor: i128) -> Posting {
    Posting { account, amount_minor }
}

fn credit(account: crate::Account, amount_minor: i128) -> Posting {
    // Saturates never: every amount is a sum of a few `i64`.
    Posting { account, amount_minor: amount_minor.saturating_neg() }
}
