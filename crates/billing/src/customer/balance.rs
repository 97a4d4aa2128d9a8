//! The customer balance: an immutable ledger of transactions, and what finalization does to it.

use super::{Customer, CustomerId};
use crate::Patch;
use crate::credit_note::CreditNoteId;
use crate::invoice::InvoiceId;
use counterfoil_core::{
    ArithmeticError, Currency, Exact, Id, Metadata, MetadataPatch, Timestamp, kind,
};
use serde::{Deserialize, Serialize};

/// The id of a transaction on a customer's balance.
pub type BalanceTransactionId = Id<kind::CustomerBalanceTransaction>;

/// A transaction on a customer's balance (rule 2.2). It is never edited or removed; it is undone by
/// its opposite.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceTransaction {
    /// Its id.
    pub id: BalanceTransactionId,
    /// Whose balance.
    pub customer: CustomerId,
    /// The currency.
    pub currency: Currency,
    /// The change in minor units: negative is credit.
    pub amount: i64,
    /// The balance after it: the one before plus `amount`.
    pub ending_balance: i64,
    /// Why.
    #[serde(rename = "type")]
    pub kind: BalanceTransactionKind,
    /// The invoice that caused it.
    pub invoice: Option<InvoiceId>,
    /// The credit note that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_note: Option<CreditNoteId>,
    /// Free text; personal.
    #[serde(skip)]
    pub description: Option<String>,
    /// Metadata (rule 1.6); personal.
    #[serde(skip)]
    pub metadata: Metadata,
    /// When.
    pub created: Timestamp,
}

/// Why a balance changed (rule 2.2).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceTransactionKind {
    /// By hand.
    Adjustment,
    /// The balance a customer was created with.
    Initial,
    /// Consumed by an invoice, or folded into one.
    AppliedToInvoice,
    /// Given back by an invoice that was voided.
    UnappliedFromInvoice,
    /// An amount below the minimum charge, carried over.
    InvoiceTooSmall,
    /// An amount above the maximum charge, carried over.
    InvoiceTooLarge,
    /// A payment that nothing was owed for.
    InvoiceOverpaid,
    /// Given back by a credit note.
    CreditNote,
}

impl BalanceTransactionKind {
    /// The name in files: `applied_to_invoice`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adjustment => "adjustment",
            Self::Initial => "initial",
            Self::AppliedToInvoice => "applied_to_invoice",
            Self::UnappliedFromInvoice => "unapplied_from_invoice",
            Self::InvoiceTooSmall => "invoice_too_small",
            Self::InvoiceTooLarge => "invoice_too_large",
            Self::InvoiceOverpaid => "invoice_overpaid",
            Self::CreditNote => "credit_note",
        }
    }
}

/// `customer_balance_transaction.create`: changes a balance by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateBalanceTransaction {
    /// Whose balance.
    pub customer: CustomerId,
    /// The change in minor units: negative is credit.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

/// `customer_balance_transaction.update`: what somebody noted on a transaction, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateBalanceTransaction {
    /// Which transaction.
    pub id: BalanceTransactionId,
    /// Whose balance.
    pub customer: CustomerId,
    /// Free text; `null` removes it.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub description: Patch<String>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

impl BalanceTransaction {
    /// Applies the transaction to the customer it names.
    pub fn evolve(&self, customer: &mut Customer) {
        customer.balances.insert(self.currency, self.ending_balance);
    }
}

/// What finalizing an invoice does with the customer's balance (rule 2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// What remains to be paid, in minor units; never negative.
    pub amount_due: i64,
    /// The balance afterwards.
    pub ending_balance: i64,
    /// The changes of the balance that lead there, in order.
    pub changes: Vec<(BalanceTransactionKind, i64)>,
}

/// Settles an invoice's total against the balance before it (rule 2.3, points 9, 50, 66 and 69).
///
/// The identity `total = amount_due + (ending_balance - balance)` holds in every case.
///
/// # Errors
/// [`ArithmeticError::Overflow`] beyond `i64`.
pub fn settle(total: i64, balance: i64, currency: Currency) -> Result<Settlement, ArithmeticError> {
    use BalanceTransactionKind::{AppliedToInvoice, InvoiceTooLarge, InvoiceTooSmall};

    let owed = total.checked_add(balance).ok_or(ArithmeticError::Overflow)?;
    if owed <= 0 {
        return Ok(Settlement::of(0, owed, &[(AppliedToInvoice, total)]));
    }
    let amount_due = to_multiple(owed, currency.charge_multiple_minor())?;
    let carried = if owed < currency.charge_min_minor() {
        Some(InvoiceTooSmall)
    } else if amount_due > currency.charge_max_minor() {
        Some(InvoiceTooLarge)
    } else {
        None
    };
    if let Some(kind) = carried {
        if total == 0 {
            return Ok(Settlement::of(0, balance, &[]));
        }
        let folded = balance.checked_neg().ok_or(ArithmeticError::Overflow)?;
        return Ok(Settlement::of(0, owed, &[(AppliedToInvoice, folded), (kind, owed)]));
    }
    let ending_balance = owed.checked_sub(amount_due).ok_or(ArithmeticError::Overflow)?;
    let change = ending_balance.checked_sub(balance).ok_or(ArithmeticError::Overflow)?;
    Ok(Settlement::of(amount_due, ending_balance, &[(AppliedToInvoice, change)]))
}

impl Settlement {
    fn of(amount_due: i64, ending_balance: i64, changes: &[(BalanceTransactionKind, i64)]) -> Self {
        let changes = changes.iter().copied().filter(|(_, amount)| *amount != 0).collect();
        Self { amount_due, ending_balance, changes }
    }
}

/// The nearest multiple, ties away from zero: some currencies are charged in steps only (rule 1.3).
fn to_multiple(amount: i64, multiple: i64) -> Result<i64, ArithmeticError> {
    if multiple == 1 {
        return Ok(amount);
    }
    let steps = Exact::ratio(amount.into(), multiple.into())?.round()?;
    steps.checked_mul(multiple).ok_or(ArithmeticError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::BalanceTransactionKind::{AppliedToInvoice, InvoiceTooLarge, InvoiceTooSmall};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_kind_has_the_name_that_it_has_in_files() {
        use BalanceTransactionKind::*;
        for kind in [
            Adjustment,
            Initial,
            AppliedToInvoice,
            UnappliedFromInvoice,
            InvoiceTooSmall,
            InvoiceTooLarge,
            InvoiceOverpaid,
            CreditNote,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    fn check(
        code: &str,
        (total, balance): (i64, i64),
        (due, ending): (i64, i64),
        changes: &[(BalanceTransactionKind, i64)],
    ) {
        let settled = settle(total, balance, code.parse().unwrap()).unwrap();
        let expected =
            Settlement { amount_due: due, ending_balance: ending, changes: changes.to_vec() };
        assert_eq!(settled, expected, "{total} {code} against a balance of {balance}");
    }

    #[test]
    fn e25_an_amount_below_the_minimum_is_carried_over() {
        check("usd", (30, 0), (0, 30), &[(InvoiceTooSmall, 30)]);
        check("usd", (2000, 30), (2030, 0), &[(AppliedToInvoice, -30)]);
    }

    #[test]
    fn e26_credit_is_consumed_before_anything_is_due() {
        check("usd", (1000, -1500), (0, -500), &[(AppliedToInvoice, 1000)]);
        check("usd", (1000, -970), (0, 30), &[(AppliedToInvoice, 970), (InvoiceTooSmall, 30)]);
        check("usd", (1000, -950), (50, 0), &[(AppliedToInvoice, 950)]);
        check("usd", (49, 0), (0, 49), &[(InvoiceTooSmall, 49)]);
        check("usd", (50, 0), (50, 0), &[]);
        check("usd", (-334, 0), (0, -334), &[(AppliedToInvoice, -334)]);
    }

    #[test]
    fn e27_currencies_charged_in_steps_leave_the_rest_on_the_balance() {
        check("ugx", (12345, 0), (12300, 45), &[(AppliedToInvoice, 45)]);
        check("ugx", (12350, 0), (12400, -50), &[(AppliedToInvoice, -50)]);
        check("kwd", (12345, 0), (12350, -5), &[(AppliedToInvoice, -5)]);
    }

    #[test]
    fn open_points_of_the_algorithm() {
        check("usd", (0, 0), (0, 0), &[]);
        check("usd", (0, 30), (0, 30), &[]);
        check("usd", (0, 50), (50, 0), &[(AppliedToInvoice, -50)]);
        check("usd", (-20, 100), (80, 0), &[(AppliedToInvoice, -100)]);
        let large = 100_000_000;
        check("usd", (large, 0), (0, large), &[(InvoiceTooLarge, large)]);
        check("usd", (large - 1, 0), (large - 1, 0), &[]);
        // What is charged is compared with the maximum, not what is owed.
        check("ugx", (large - 1, 0), (0, large - 1), &[(InvoiceTooLarge, large - 1)]);
    }

    proptest! {
        #[test]
        fn total_is_what_is_due_and_what_the_balance_took(
            total in -1_000_000_000_i64..1_000_000_000,
            balance in -1_000_000_000_i64..1_000_000_000,
            code in prop::sample::select(vec!["usd", "jpy", "ugx", "kwd", "isk"]),
        ) {
            let settled = settle(total, balance, code.parse().unwrap()).unwrap();
            let moved: i64 = settled.changes.iter().map(|(_, amount)| amount).sum();
            prop_assert_eq!(balance + moved, settled.ending_balance);
            prop_assert_eq!(total, settled.amount_due + moved);
            prop_assert!(settled.amount_due >= 0);
        }
    }
}
