//! The report: what a book holds, in the words of the scenario format.

mod billing;
mod credit_note;
mod customer;
mod meter;
mod preview;
mod quote;
mod schedule;
mod terms;

pub use billing::{
    CorrectionReport, InvoiceItemReport, InvoiceReport, LineReport, PaymentReport,
    PaymentSourceReport, PaymentTransitionsReport, SubscriptionItemReport, SubscriptionReport,
};
pub use credit_note::{CreditNoteLineReport, CreditNoteReport};
pub use customer::{BalanceTransactionReport, CustomerReport};
pub use meter::{
    AggregationReport, AlertFilterReport, AlertReport, AlertTriggeredReport, CustomerMappingReport,
    MeterReport, MeterTransitionsReport, UsageThresholdReport, ValueSettingsReport,
};
pub use preview::PreviewReport;
pub use quote::{
    BreakdownReport, ComputedReport, QuoteAmountsReport, QuoteReport, QuoteTransitionsReport,
    RecurringReport, TotalDetailsReport,
};
pub use schedule::{PhaseItemReport, PhaseReport, SubscriptionScheduleReport};
pub use terms::{
    AmountOffReport, AppliesToReport, CouponReport, DiscountAmountReport, DiscountReport,
    PretaxCreditReport, PromotionCodeReport, PromotionReport, RestrictionsReport,
    ShippingCostReport, TaxAmountReport, TaxRateReport,
};

use counterfoil::{Account, Currency, Decimal12, Engine, Error, Period, Refusal};
use counterfoil::{CustomerId, MeterId, TrialBalance, UnbilledUsage};
use counterfoil_core::Code;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a book holds.
///
/// Amounts are in minor units, times in Unix seconds, lists in the order of creation. A quantity is
/// an integer where it is whole and a decimal string where it is not. The lists of what is not
/// built yet (`credit_grants`, `credit_balance_transactions`, `financial_accounts`,
/// `treasury_transactions`, `treasury_flows`) are always empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Customers, deleted ones too.
    pub customers: Vec<CustomerReport>,
    /// Subscriptions, ended ones too.
    pub subscriptions: Vec<SubscriptionReport>,
    /// Quotes, final ones too.
    pub quotes: Vec<QuoteReport>,
    /// Subscription schedules, those that are over too.
    pub subscription_schedules: Vec<SubscriptionScheduleReport>,
    /// Invoices. A draft reads as if it were finalized now.
    pub invoices: Vec<InvoiceReport>,
    /// Invoice items that wait for an invoice.
    pub invoice_items: Vec<InvoiceItemReport>,
    /// Credit notes, void ones too.
    pub credit_notes: Vec<CreditNoteReport>,
    /// Always empty.
    pub credit_grants: [(); 0],
    /// Always empty.
    pub credit_balance_transactions: [(); 0],
    /// Transactions on customers' balances.
    pub customer_balance_transactions: Vec<BalanceTransactionReport>,
    /// Coupons, deleted ones too.
    pub coupons: Vec<CouponReport>,
    /// Promotion codes.
    pub promotion_codes: Vec<PromotionCodeReport>,
    /// Tax rates.
    pub tax_rates: Vec<TaxRateReport>,
    /// Meters.
    pub meters: Vec<MeterReport>,
    /// Alerts.
    pub alerts: Vec<AlertReport>,
    /// Usage that no invoice will take.
    pub unbilled_usage: Vec<UnbilledUsageReport>,
    /// Always empty.
    pub financial_accounts: [(); 0],
    /// Always empty.
    pub treasury_transactions: [(); 0],
    /// Always empty.
    pub treasury_flows: [(); 0],
    /// The trial balance at the book's time.
    pub journal: JournalReport,
    /// How many things happened: events of the book, and meter events that were taken.
    pub events: u64,
    /// Rows of usage files that were refused.
    pub rejected: Vec<RejectedRow>,
}

/// Usage that no invoice will take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnbilledUsageReport {
    /// The meter.
    pub meter: MeterId,
    /// The customer.
    pub customer: CustomerId,
    /// The period it lies in.
    pub period: Period,
    /// The values of its dimensions, where a price of the meter selects by them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// How much.
    #[serde(serialize_with = "quantity")]
    pub quantity: Decimal12,
    /// Why no invoice takes it: `late`, `trial` or `no_subscription`.
    pub reason: &'static str,
}

/// The trial balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalReport {
    /// Every account that was ever posted to, and tax payable, in each currency.
    pub accounts: Vec<AccountReport>,
    /// Whether debits equal credits in each currency.
    pub balanced: bool,
}

/// The net balance of an account in a currency: one side is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AccountReport {
    /// The account.
    pub account: Account,
    /// The currency.
    pub currency: Currency,
    /// In minor units; never negative.
    pub debit: i64,
    /// In minor units; never negative.
    pub credit: i64,
}

/// A row of a usage file that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedRow {
    /// The file as the scenario names it.
    pub file: Arc<str>,
    /// The line it begins on, from 1.
    pub line: u64,
    /// Why.
    pub code: Code,
}

impl Report {
    /// What a book holds now. The rows that were refused are not in the book: whoever read the
    /// files knows them.
    ///
    /// # Errors
    /// [`Error::NoTime`] for a book without a time, [`Error::Log`] where the disk failed, and
    /// [`Error::Refused`] for a sum beyond 64 bits.
    pub fn of(engine: &Engine, rejected: &[RejectedRow]) -> Result<Self, Error> {
        let state = engine.state()?;
        let now = engine.now()?.ok_or(Error::NoTime)?;
        let shards = state.shards();
        let mut invoices = Vec::new();
        for shard in &shards {
            invoices.extend(engine.invoices().list(&shard.customer().id)?);
        }
        invoices.sort_by_key(|view| view.invoice.seq);
        let mut subscriptions: Vec<_> =
            shards.iter().flat_map(|shard| shard.subscriptions()).collect();
        subscriptions.sort_by_key(|subscription| subscription.seq);
        let mut quotes: Vec<_> = shards.iter().flat_map(|shard| shard.quotes()).collect();
        quotes.sort_by_key(|quote| quote.seq);
        let mut schedules: Vec<_> =
            shards.iter().flat_map(|shard| shard.subscription_schedules()).collect();
        schedules.sort_by_key(|schedule| schedule.seq);
        let mut items: Vec<_> = shards
            .iter()
            .flat_map(|shard| shard.invoice_items())
            .filter(|item| item.invoice.is_none())
            .collect();
        items.sort_by_key(|item| item.seq);
        let mut notes: Vec<_> = shards.iter().flat_map(|shard| shard.credit_notes()).collect();
        notes.sort_by_key(|note| note.seq);
        let mut transactions: Vec<_> =
            shards.iter().flat_map(|shard| shard.placed_balance_transactions()).collect();
        transactions.sort_by_key(|(place, _)| *place);
        let unbilled = engine.unbilled_usage()?;
        let alerts = state
            .alerts()
            .into_iter()
            .map(|alert| Ok(AlertReport::of(alert, &engine.alerts().triggered(&alert.id)?)));
        Ok(Self {
            customers: shards
                .iter()
                .map(|shard| CustomerReport::of(shard.customer()))
                .collect::<Result<_, Refusal>>()?,
            subscriptions: subscriptions.into_iter().map(SubscriptionReport::of).collect(),
            quotes: quotes.into_iter().map(QuoteReport::of).collect(),
            subscription_schedules: schedules
                .into_iter()
                .map(SubscriptionScheduleReport::of)
                .collect(),
            invoices: invoices.iter().map(InvoiceReport::of).collect(),
            invoice_items: items.into_iter().map(InvoiceItemReport::of).collect(),
            credit_notes: notes.into_iter().map(CreditNoteReport::of).collect(),
            credit_grants: [],
            credit_balance_transactions: [],
            customer_balance_transactions: transactions
                .into_iter()
                .map(|(_, transaction)| BalanceTransactionReport::of(transaction))
                .collect(),
            coupons: state.coupons().into_iter().map(|own| CouponReport::of(own, now)).collect(),
            promotion_codes: state
                .promotion_codes()
                .into_iter()
                .map(|own| PromotionCodeReport::of(own, &state, now))
                .collect(),
            tax_rates: state.tax_rates().into_iter().map(TaxRateReport::of).collect(),
            meters: state.meters().into_iter().map(MeterReport::of).collect(),
            alerts: alerts.collect::<Result<_, Error>>()?,
            unbilled_usage: unbilled.iter().map(UnbilledUsageReport::of).collect(),
            financial_accounts: [],
            treasury_transactions: [],
            treasury_flows: [],
            journal: JournalReport::of(&engine.trial_balance(None)?)?,
            events: engine.event_count()?,
            rejected: rejected.to_vec(),
        })
    }
}

impl UnbilledUsageReport {
    fn of(usage: &UnbilledUsage) -> Self {
        Self {
            meter: usage.meter.clone(),
            customer: usage.customer.clone(),
            period: usage.period,
            dimensions: usage.dimensions.clone(),
            quantity: usage.quantity,
            reason: usage.reason.as_str(),
        }
    }
}

impl JournalReport {
    fn of(balance: &TrialBalance) -> Result<Self, Refusal> {
        let rows = balance.rows.iter().map(|row| {
            let side = |minor: i128| {
                i64::try_from(minor).map_err(|_| Refusal::AmountTooLarge {
                    what: format!("the balance of {} in {}", row.account.as_str(), row.currency),
                    limit: i64::MAX.to_string(),
                })
            };
            Ok(AccountReport {
                account: row.account,
                currency: row.currency,
                debit: side(row.debit)?,
                credit: side(row.credit)?,
            })
        });
        Ok(Self { accounts: rows.collect::<Result<_, Refusal>>()?, balanced: balance.balanced })
    }
}

/// A quantity: an integer where it is whole, a decimal string where it is not or exceeds 64 bits.
fn quantity<S: Serializer>(quantity: &Decimal12, serializer: S) -> Result<S::Ok, S::Error> {
    match quantity.as_int() {
        Some(whole) => serializer.serialize_i64(whole),
        None => quantity.serialize(serializer),
    }
}

/// Amounts by currency with the opposite sign.
fn opposite(amounts: &BTreeMap<Currency, i64>) -> Result<BTreeMap<Currency, i64>, Refusal> {
    let negated = amounts.iter().map(|(currency, minor)| {
        let negated = minor.checked_neg().ok_or_else(|| Refusal::AmountTooLarge {
            what: format!("a balance in {currency}"),
            limit: i64::MAX.to_string(),
        })?;
        Ok((*currency, negated))
    });
    negated.collect()
}

#[cfg(test)]
mod tests;
