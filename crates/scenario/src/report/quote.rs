//! Quotes, as the report shows them.

use super::{TaxAmountReport, terms};
use counterfoil::{
    CollectionMethod, CouponAmount, Currency, CustomerId, DiscountInput, FromQuote, IntervalUnit,
    InvoiceId, Metadata, Quote, QuoteAmounts, QuoteId, QuoteLine, QuoteStatus, SubscriptionData,
    SubscriptionId, SubscriptionScheduleId, TaxRateId, Timestamp, TotalDetails,
};
use serde::Serialize;

/// A quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuoteReport {
    /// Its id.
    pub id: QuoteId,
    /// Who is offered it.
    pub customer: CustomerId,
    /// Its number, once finalized.
    pub number: Option<String>,
    /// Where it stands.
    pub status: QuoteStatus,
    /// When it was created.
    pub created: Timestamp,
    /// When it is canceled unless it was accepted.
    pub expires_at: Timestamp,
    /// The currency of its amounts.
    pub currency: Currency,
    /// Σ of the lines of the first invoice, before discounts and tax.
    pub amount_subtotal: i64,
    /// What the first invoice comes to.
    pub amount_total: i64,
    /// What lies between the two.
    pub total_details: TotalDetailsReport,
    /// The discounts on the invoices.
    pub discounts: Vec<DiscountInput>,
    /// The tax rates of lines that have none of their own.
    pub default_tax_rates: Vec<TaxRateId>,
    /// What the first invoice and each further one come to.
    pub computed: ComputedReport,
    /// What is offered.
    pub line_items: Vec<QuoteLine>,
    /// How the invoices are collected.
    pub collection_method: CollectionMethod,
    /// What the subscription begins with.
    pub subscription_data: SubscriptionData,
    /// The quote that it was made from.
    pub from_quote: Option<FromQuote>,
    /// The invoice that it became.
    pub invoice: Option<InvoiceId>,
    /// The subscription that it became.
    pub subscription: Option<SubscriptionId>,
    /// The schedule that it became.
    pub subscription_schedule: Option<SubscriptionScheduleId>,
    /// When it changed status.
    pub status_transitions: QuoteTransitionsReport,
    /// Free text.
    pub description: Option<String>,
    /// Metadata.
    pub metadata: Metadata,
}

/// What the invoices of a quote come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComputedReport {
    /// The first one, without what waits for one already.
    pub upfront: QuoteAmountsReport,
    /// Each further one; none where nothing recurs.
    pub recurring: Option<RecurringReport>,
}

/// What an invoice of a quote comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuoteAmountsReport {
    /// Σ of its lines, before discounts and tax.
    pub amount_subtotal: i64,
    /// What is charged.
    pub amount_total: i64,
    /// What lies between the two.
    pub total_details: TotalDetailsReport,
}

/// What discounts take off an invoice and taxes add to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TotalDetailsReport {
    /// What all discounts take off.
    pub amount_discount: i64,
    /// All tax: in the price, and on top of it.
    pub amount_tax: i64,
    /// The same, one by one.
    pub breakdown: BreakdownReport,
}

/// What each discount takes off an invoice, and each tax rate takes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakdownReport {
    /// Discounts.
    pub discounts: Vec<CouponAmount>,
    /// Tax rates.
    pub taxes: Vec<TaxAmountReport>,
}

/// What each further invoice of a quote comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecurringReport {
    /// Σ of its lines, before discounts and tax.
    pub amount_subtotal: i64,
    /// What is charged.
    pub amount_total: i64,
    /// What lies between the two.
    pub total_details: TotalDetailsReport,
    /// The unit of the interval.
    pub interval: IntervalUnit,
    /// How many of them.
    pub interval_count: u32,
}

/// When a quote changed status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QuoteTransitionsReport {
    /// When it was finalized.
    pub finalized_at: Option<Timestamp>,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// When it was canceled.
    pub canceled_at: Option<Timestamp>,
}

impl QuoteAmountsReport {
    fn of(amounts: &QuoteAmounts) -> Self {
        Self {
            amount_subtotal: amounts.amount_subtotal,
            amount_total: amounts.amount_total,
            total_details: TotalDetailsReport::of(&amounts.total_details),
        }
    }
}

impl TotalDetailsReport {
    fn of(details: &TotalDetails) -> Self {
        Self {
            amount_discount: details.amount_discount,
            amount_tax: details.amount_tax,
            breakdown: BreakdownReport {
                discounts: details.breakdown.discounts.clone(),
                taxes: terms::tax_amounts(&details.breakdown.taxes),
            },
        }
    }
}

impl QuoteReport {
    pub(super) fn of(quote: &Quote) -> Self {
        let recurring = quote.recurring.as_ref().map(|recurring| RecurringReport {
            amount_subtotal: recurring.amounts.amount_subtotal,
            amount_total: recurring.amounts.amount_total,
            total_details: TotalDetailsReport::of(&recurring.amounts.total_details),
            interval: recurring.interval.unit,
            interval_count: recurring.interval.count,
        });
        Self {
            id: quote.id.clone(),
            customer: quote.customer.clone(),
            number: quote.number.clone(),
            status: quote.status,
            created: quote.created,
            expires_at: quote.expires_at,
            currency: quote.currency,
            amount_subtotal: quote.upfront.amount_subtotal,
            amount_total: quote.upfront.amount_total,
            total_details: TotalDetailsReport::of(&quote.upfront.total_details),
            discounts: quote.discounts.clone(),
            default_tax_rates: quote.default_tax_rates.clone(),
            computed: ComputedReport { upfront: QuoteAmountsReport::of(&quote.upfront), recurring },
            line_items: quote.lines.clone(),
            collection_method: quote.collection_method,
            subscription_data: quote.subscription_data.clone(),
            from_quote: quote.from_quote.clone(),
            invoice: quote.invoice.clone(),
            subscription: quote.subscription.clone(),
            subscription_schedule: quote.subscription_schedule.clone(),
            status_transitions: QuoteTransitionsReport {
                finalized_at: quote.finalized_at,
                accepted_at: quote.accepted_at,
                canceled_at: quote.canceled_at,
            },
            description: quote.description.clone(),
            metadata: quote.metadata.clone(),
        }
    }
}
