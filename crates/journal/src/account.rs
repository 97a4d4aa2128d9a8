//! The chart of accounts.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An account, in the order of a trial balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Account {
    /// Money that was collected, on its way to a bank account.
    CashClearing,
    /// What open invoices still ask for.
    AccountsReceivable,
    /// The balances of customers (rule 2.2). A credit balance is owed to them, a debit balance is
    /// owed by them; the sign is that of the customer's balance.
    CustomerBalance,
    /// What was invoiced and is not earned yet.
    DeferredRevenue,
    /// Tax that was invoiced for an authority. It is in every trial balance, as an empty row where
    /// there was none.
    TaxPayable,
    /// What was earned. Only recognition fills it.
    Revenue,
    /// What discounts took off what was earned: contra revenue. Only recognition fills it.
    Discounts,
    /// What nobody expects to be paid any more, less what was recovered.
    BadDebt,
    /// The counterpart of customer balances that were changed by hand.
    BalanceAdjustments,
}

impl Account {
    /// Every account.
    pub const ALL: [Self; 9] = [
        Self::CashClearing,
        Self::AccountsReceivable,
        Self::CustomerBalance,
        Self::DeferredRevenue,
        Self::TaxPayable,
        Self::Revenue,
        Self::Discounts,
        Self::BadDebt,
        Self::BalanceAdjustments,
    ];

    /// The name in files: `accounts_receivable`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CashClearing => "cash_clearing",
            Self::AccountsReceivable => "accounts_receivable",
            Self::CustomerBalance => "customer_balance",
            Self::DeferredRevenue => "deferred_revenue",
            Self::TaxPayable => "tax_payable",
            Self::Revenue => "revenue",
            Self::Discounts => "discounts",
            Self::BadDebt => "bad_debt",
            Self::BalanceAdjustments => "balance_adjustments",
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_is_in_order_and_named_alike_everywhere() {
        assert!(Account::ALL.is_sorted_by(|a, b| a < b));
        for account in Account::ALL {
            let json = serde_json::to_string(&account).unwrap();
            assert_eq!(json, format!("{:?}", account.as_str()));
            assert_eq!(serde_json::from_str::<Account>(&json).unwrap(), account);
        }
    }
}
