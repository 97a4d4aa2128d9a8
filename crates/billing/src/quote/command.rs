//! What a caller may ask for.

use super::QuoteId;
use crate::Patch;
use crate::catalog::PriceId;
use crate::customer::CustomerId;
use crate::discount::{DiscountInput, DiscountList};
use crate::invoice::CollectionMethod;
use crate::subscription::PriceData;
use crate::tax::TaxRateId;
use counterfoil_core::{Currency, MetadataPatch, Timestamp};
use serde::{Deserialize, Serialize};

/// `quote.create`: a draft with lines, or from another quote.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateQuote {
    /// The id; derived where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<QuoteId>,
    /// Who is offered it; not with `from_quote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// The quote to copy; only an id and `expires_at` go with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_quote: Option<FromQuoteInput>,
    /// What is offered: up to 20 recurring prices and 20 others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub line_items: Vec<QuoteLineInput>,
    /// The currency; that of the first price where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// How the invoices are collected.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub collection_method: CollectionMethod,
    /// Days to pay, for `send_invoice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// When it is canceled unless it was accepted; 30 days from now where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What the subscription begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionDataInput>,
    /// The discounts on the invoices, redeemed when it is accepted; the customer's where absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<DiscountInput>,
    /// The tax rates of lines that have none of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default_tax_rates: Vec<TaxRateId>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Metadata (rule 1.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

/// The quote to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromQuoteInput {
    /// Which.
    pub quote: QuoteId,
    /// Whether the new one takes its place once it is finalized.
    #[serde(default)]
    pub is_revision: bool,
}

/// A line of a quote.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct QuoteLineInput {
    /// A price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceId>,
    /// A one-time price that is made for this alone; instead of `price`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_data: Option<PriceData>,
    /// How many; 1 where absent, none for a metered price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// The discounts on it, redeemed when the quote is accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<DiscountInput>,
    /// Its tax rates, instead of those of the quote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<TaxRateId>,
}

/// What the subscription of a quote begins with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscriptionDataInput {
    /// When it begins; when the quote is accepted where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_date: Option<Timestamp>,
    /// How many days a trial lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_period_days: Option<u32>,
}

/// `quote.update`: changes a draft; lines that are given replace all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateQuote {
    /// Which quote.
    pub id: QuoteId,
    /// What is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_items: Option<Vec<QuoteLineInput>>,
    /// How the invoices are collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_method: Option<CollectionMethod>,
    /// Days to pay, for `send_invoice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_until_due: Option<u32>,
    /// When it is canceled unless it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What the subscription begins with; replaces what was said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionDataInput>,
    /// The discounts on the invoices.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub discounts: DiscountList,
    /// The tax rates of lines that have none of their own.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub default_tax_rates: Patch<Vec<TaxRateId>>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub description: Patch<String>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

/// `quote.finalize`: fixes a draft and gives it its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalizeQuote {
    /// Which quote.
    pub id: QuoteId,
    /// When it is canceled unless it was accepted; as it was where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `quote.accept`: the customer takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptQuote {
    /// Which quote.
    pub id: QuoteId,
}

/// `quote.cancel`: withdraws it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelQuote {
    /// Which quote.
    pub id: QuoteId,
}
