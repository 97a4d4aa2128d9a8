//! What must hold of every journal, each as a function of its own.

use crate::{Account, Journal, PostingRules, post};
use counterfoil_billing::Event;
use counterfoil_core::{Currency, Timestamp};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {detail}")]
pub struct InvariantViolation {
    /// The name of the function.
    pub name: &'static str,
    /// What differs, with both figures.
    pub detail: String,
}

/// The entry of every event balances, and its deferrals come to the revenue that it defers.
///
/// # Errors
/// The first event whose amounts contradict each other.
pub fn invariant_every_entry_balances<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    rules: PostingRules,
) -> Result<(), InvariantViolation> {
    for event in events {
        post(event, rules).map_err(|error| InvariantViolation {
            name: "invariant_every_entry_balances",
            detail: error.to_string(),
        })?;
    }
    Ok(())
}

/// Debits equal credits in each currency, with the revenue that is earned `at` an instant.
///
/// # Errors
/// Each currency that does not balance.
pub fn invariant_trial_balance_balances(
    journal: &Journal,
    at: Timestamp,
) -> Result<(), InvariantViolation> {
    let unbalanced = journal.trial_balance(at).unbalanced();
    if unbalanced.is_empty() {
        return Ok(());
    }
    let currencies: Vec<String> = unbalanced
        .iter()
        .map(|(currency, excess)| match excess {
            Some(excess) => format!("debits less credits are {excess} {currency}"),
            None => format!("debits less credits in {currency} are out of range"),
        })
        .collect();
    Err(InvariantViolation {
        name: "invariant_trial_balance_balances",
        detail: currencies.join(", "),
    })
}

/// Receivables are what the open invoices still ask for: `expected`, in minor units.
///
/// # Errors
/// Both figures.
pub fn invariant_receivables_equal(
    journal: &Journal,
    currency: Currency,
    expected: i128,
) -> Result<(), InvariantViolation> {
    let posted = journal.posted(Account::AccountsReceivable, currency);
    equal("invariant_receivables_equal", currency, posted, expected)
}

/// The account of customer balances is the sum of the customers' balances: `expected`, in minor
/// units, negative for credit.
///
/// # Errors
/// Both figures.
pub fn invariant_customer_balance_equals(
    journal: &Journal,
    currency: Currency,
    expected: i128,
) -> Result<(), InvariantViolation> {
    let posted = journal.posted(Account::CustomerBalance, currency);
    equal("invariant_customer_balance_equals", currency, posted, expected)
}

/// All revenue that was deferred has a schedule, and nothing else has.
///
/// # Errors
/// Both figures for the first currency in which they differ.
pub fn invariant_schedules_equal_deferred_revenue(
    journal: &Journal,
) -> Result<(), InvariantViolation> {
    for currency in journal.currencies() {
        let deferred = journal.posted(Account::DeferredRevenue, currency).saturating_neg();
        let name = "invariant_schedules_equal_deferred_revenue";
        equal(name, currency, deferred, journal.scheduled(currency))?;
    }
    Ok(())
}

fn equal(
    name: &'static str,
    currency: Currency,
    posted: i128,
    expected: i128,
) -> Result<(), InvariantViolation> {
    if posted == expected {
        return Ok(());
    }
    let detail = format!("the journal has {posted} {currency}, expected are {expected}");
    Err(InvariantViolation { name, detail })
}
