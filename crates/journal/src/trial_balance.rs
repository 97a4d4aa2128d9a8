//! The trial balance.

use crate::Account;
use counterfoil_core::Currency;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The net balance of every account at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialBalance {
    /// By currency, then in the order of the chart: every account that was ever posted to, and tax
    /// payable.
    #[serde(rename = "accounts")]
    pub rows: Vec<Row>,
    /// Whether debits equal credits in each currency.
    pub balanced: bool,
}

/// The net balance of an account in a currency: one side is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The account.
    pub account: Account,
    /// The currency.
    pub currency: Currency,
    /// In minor units; never negative.
    pub debit: i128,
    /// In minor units; never negative.
    pub credit: i128,
}

impl Row {
    /// A row from a net amount in minor units: a debit is positive.
    pub(crate) fn net(account: Account, currency: Currency, net_minor: i128) -> Self {
        let (debit, credit) = (net_minor.max(0), net_minor.saturating_neg().max(0));
        Self { account, currency, debit, credit }
    }
}

impl TrialBalance {
    pub(crate) fn of(rows: Vec<Row>) -> Self {
        let balanced = excess(&rows).values().all(|excess| *excess == Some(0));
        Self { rows, balanced }
    }

    /// Debits less credits of each currency that does not balance, in minor units; none where that
    /// exceeds `i128`.
    pub(crate) fn unbalanced(&self) -> BTreeMap<Currency, Option<i128>> {
        let mut excess = excess(&self.rows);
        excess.retain(|_, excess| *excess != Some(0));
        excess
    }
}

fn excess(rows: &[Row]) -> BTreeMap<Currency, Option<i128>> {
    let mut excess: BTreeMap<_, Option<i128>> = BTreeMap::new();
    for row in rows {
        let sum = excess.entry(row.currency).or_insert(Some(0));
        *sum = sum.and_then(|sum| sum.checked_add(row.debit)?.checked_sub(row.credit));
    }
    excess
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_currency_balances_on_its_own() {
        let row = |account, code: &str, net| Row::net(account, code.parse().unwrap(), net);
        let (cash, debt) = (Account::CashClearing, Account::BadDebt);
        for (rows, balanced) in [
            (vec![], true),
            (vec![row(cash, "usd", 5), row(debt, "usd", -5)], true),
            (vec![row(cash, "usd", 5), row(debt, "usd", -4)], false),
            (vec![row(cash, "usd", 5), row(debt, "eur", -5)], false),
            (vec![row(cash, "usd", i128::MAX), row(debt, "usd", i128::MAX)], false),
        ] {
            let balance = TrialBalance::of(rows);
            assert_eq!(balance.balanced, balanced, "{balance:?}");
            assert_eq!(balance.unbalanced().is_empty(), balanced);
        }
    }

    #[test]
    fn a_row_has_one_side() {
        for (net, debit, credit) in [(5, 5, 0), (0, 0, 0), (-5, 0, 5)] {
            let row = Row::net(Account::Revenue, Currency::USD, net);
            assert_eq!((row.debit, row.credit), (debit, credit));
        }
    }
}
