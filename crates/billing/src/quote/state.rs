//! A quote.

use super::QuoteId;
use crate::catalog::PriceId;
use crate::customer::CustomerId;
use crate::discount::{CouponId, DiscountInput, PromotionCodeId};
use crate::invoice::{CollectionMethod, InvoiceId};
use crate::schedule::SubscriptionScheduleId;
use crate::subscription::{PriceData, SubscriptionId};
use crate::tax::{TaxAmount, TaxRateId};
use counterfoil_core::{Currency, Interval, Metadata, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A quote (rule 11).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Its id.
    pub id: QuoteId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// Who is offered it.
    pub customer: CustomerId,
    /// Where it stands.
    pub status: QuoteStatus,
    /// When it was created.
    pub created: Timestamp,
    /// When it is canceled unless it was accepted.
    pub expires_at: Timestamp,
    /// The currency of its amounts.
    pub currency: Currency,
    /// What is offered.
    pub lines: Vec<QuoteLine>,
    /// How the invoices are collected.
    pub collection_method: CollectionMethod,
    /// Days to pay, for `send_invoice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// What the subscription begins with, where there is one.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub subscription_data: SubscriptionData,
    /// The discounts on the invoices, to be redeemed; the customer's where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<DiscountInput>,
    /// The tax rates of lines that have none of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_tax_rates: Vec<TaxRateId>,
    /// The quote that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_quote: Option<FromQuote>,
    /// How many quotes it revises, one after the other.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub revision: u32,
    /// Its number, once finalized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// What the first invoice comes to, without what waits for one already.
    pub upfront: QuoteAmounts,
    /// What each further invoice comes to; none where nothing recurs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurring: Option<QuoteRecurring>,
    /// The invoice that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceId>,
    /// The subscription that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    /// The schedule that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_schedule: Option<SubscriptionScheduleId>,
    /// When it was finalized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalized_at: Option<Timestamp>,
    /// When it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// When it was canceled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_at: Option<Timestamp>,
    /// Free text; personal.
    #[serde(skip)]
    pub description: Option<String>,
    /// Metadata (rule 1.6); personal.
    #[serde(skip)]
    pub metadata: Metadata,
}

/// Where a quote stands.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuoteStatus {
    /// It may still change.
    Draft,
    /// It is fixed and has a number.
    Open,
    /// The customer took it; final.
    Accepted,
    /// It was withdrawn, or expired; final.
    Canceled,
}

/// A line of a quote: a price, or one that is made for this alone.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteLine {
    /// The price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceId>,
    /// A one-time price that is made for this alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_data: Option<PriceData>,
    /// How many; none for a metered price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// Whether it becomes an item of a subscription.
    pub recurs: bool,
    /// The discounts on it, to be redeemed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<DiscountInput>,
    /// Its tax rates, instead of those of the quote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<TaxRateId>,
}

/// What the subscription of a quote begins with.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscriptionData {
    /// When it begins; when the quote is accepted where absent, or past by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_date: Option<Timestamp>,
    /// How many days a trial lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_period_days: Option<u32>,
}

/// The quote that another one was made from.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromQuote {
    /// The other one.
    pub quote: QuoteId,
    /// Whether this one takes its place.
    pub is_revision: bool,
}

/// What an invoice comes to, in minor units.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QuoteAmounts {
    /// Σ of its lines, before discounts and tax.
    pub amount_subtotal: i64,
    /// What is charged, before the customer's balance.
    pub amount_total: i64,
    /// What lies between the two.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub total_details: TotalDetails,
}

/// What discounts take off an invoice and taxes add to it, in minor units.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TotalDetails {
    /// What all discounts take off.
    pub amount_discount: i64,
    /// All tax: in the price, and on top of it.
    pub amount_tax: i64,
    /// The same, one by one.
    pub breakdown: QuoteBreakdown,
}

/// What each discount takes off an invoice, and each tax rate takes of it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QuoteBreakdown {
    /// Discounts, in the order in which lines have them.
    pub discounts: Vec<CouponAmount>,
    /// Tax rates.
    pub taxes: Vec<TaxAmount>,
}

/// What a coupon takes off, in minor units.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponAmount {
    /// The amount; positive.
    pub amount: i64,
    /// The coupon.
    pub coupon: CouponId,
    /// The code that it is redeemed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_code: Option<PromotionCodeId>,
}

/// What each further invoice comes to, in minor units.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteRecurring {
    /// The amounts: of licensed prices, for usage is not known.
    pub amounts: QuoteAmounts,
    /// How often: the shortest interval of its prices.
    pub interval: Interval,
}

impl Quote {
    /// Whether anything in it recurs.
    #[must_use]
    pub fn recurs(&self) -> bool {
        self.lines.iter().any(|line| line.recurs)
    }

    /// All tax rates that it says.
    pub fn all_tax_rates(&self) -> impl Iterator<Item = &TaxRateId> {
        self.default_tax_rates.iter().chain(self.lines.iter().flat_map(|line| &line.tax_rates))
    }

    /// All discounts that it says.
    pub fn all_discounts(&self) -> impl Iterator<Item = &DiscountInput> {
        self.discounts.iter().chain(self.lines.iter().flat_map(|line| &line.discounts))
    }

    /// Leaves out the discounts that are not to be kept.
    pub fn keep_discounts(&mut self, is_kept: impl Fn(&DiscountInput) -> bool) {
        self.discounts.retain(&is_kept);
        self.lines.iter_mut().for_each(|line| line.discounts.retain(&is_kept));
    }

    /// When it expires, unless it is final.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let waits = matches!(self.status, QuoteStatus::Draft | QuoteStatus::Open);
        waits.then_some(self.expires_at)
    }
}

impl fmt::Display for QuoteStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Canceled => "canceled",
        })
    }
}
