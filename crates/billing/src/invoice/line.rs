//! What an invoice charges for, and how each amount came about.

use super::{InvoiceId, InvoiceItemId, InvoiceLineId};
use crate::catalog::{Basis, MeterId, PriceId};
use crate::discount::{Discount, DiscountAmount, DiscountId};
use crate::subscription::SubscriptionItemId;
use crate::tax::{TaxAmount, TaxRateId};
use counterfoil_core::{Decimal12, Period};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a draft charges for, in the order of its lines (rule 8.5).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Charge {
    /// A line whose amount is fixed.
    Line(Arc<Line>),
    /// An invoice item, as it stands when the invoice is read or finalized.
    Item(InvoiceItemId),
    /// The usage of a metered item in a period, as it stands when the invoice is read or finalized.
    Usage(Box<UsageCharge>),
    /// Usage that came after the invoice of its period was finalized, as it stands when this
    /// invoice is read or finalized.
    LateUsage(Box<UsageCharge>),
}

/// The usage that a draft will charge for.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageCharge {
    /// Which item.
    pub subscription_item: SubscriptionItemId,
    /// Its price.
    pub price: PriceId,
    /// The meter of that price.
    pub meter: MeterId,
    /// The period whose usage is charged.
    pub period: Period,
    /// The discounts on the item when the period ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// The tax rates of the item when the period ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<TaxRateId>,
    /// The discounts of the invoice that it does not have: of a phase that began after it (rule 7).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared_discounts: Vec<DiscountId>,
}

/// A line of an invoice (rule 8.4). Its amount was rounded once, when the line was made.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its id.
    pub id: InvoiceLineId,
    /// What a person reads where there is no description: what the catalog calls it.
    pub name: String,
    /// What a person reads, in the words of whoever made the invoice item; personal.
    #[serde(skip)]
    pub description: Option<String>,
    /// The amount in minor units of the invoice's currency; signed.
    pub amount: i64,
    /// The quantity that the amount is for.
    pub quantity: Decimal12,
    /// The price of one, in minor units, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<Decimal12>,
    /// The price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceId>,
    /// The period that is served.
    pub period: Period,
    /// Whether the amount is for a part of a period.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub proration: bool,
    /// The subscription item that is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_item: Option<SubscriptionItemId>,
    /// The invoice item that became this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice_item: Option<InvoiceItemId>,
    /// How the amount came about.
    pub derivation: Derivation,
    /// Whether discounts apply to it; they never apply to a proration or to nothing positive.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub discountable: bool,
    /// The discounts on the line itself, which apply before those of the invoice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// What each discount takes off, in the order of application, in minor units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discount_amounts: Vec<DiscountAmount>,
    /// What discounts took off the amount before it was made: it is net of this (point 29).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included_discounts: Vec<DiscountAmount>,
    /// The discounts of the invoice that do not apply to it (rule 7).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared_discounts: Vec<DiscountId>,
    /// The tax rates of the line, which replace those of the invoice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<TaxRateId>,
    /// What each tax rate takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<TaxAmount>,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_yes(flag: &bool) -> bool {
    *flag
}

/// How an amount came about: enough to print its whole computation.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Derivation {
    /// The price at the quantity, for a whole period.
    Rated {
        /// The part of the price that applied.
        basis: Basis,
    },
    /// The price at the quantity, for a part of a whole period (rule 6.5, points 3 and 29).
    Prorated {
        /// The whole period that the price is for.
        whole: Period,
        /// The part; that of the seconds of the line's period where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fraction: Option<Fraction>,
    },
    /// A change in the middle of a period (rule 6.6).
    Changed(ProrationDetails),
    /// The price at the usage of the period.
    Metered {
        /// The part of the price that applied.
        basis: Basis,
        /// The reading.
        reading: UsageReading,
    },
    /// The price at all usage of a period that was billed before, less what was billed for it.
    Late {
        /// The reading of the whole period.
        reading: UsageReading,
        /// The quantity that was billed before.
        billed_quantity: Decimal12,
        /// What was billed for it, in minor units.
        billed_amount: i64,
    },
    /// What an invoice of the same period charged for its usage so far, taken back by one that
    /// charges for all of it again (rule 6.13).
    PreviouslyBilled {
        /// That invoice.
        invoice: InvoiceId,
        /// The quantity that it charged for.
        quantity: Decimal12,
        /// What it charged, in minor units.
        amount: i64,
        /// What discounts took off that which this invoice takes off again, in minor units.
        #[serde(default, skip_serializing_if = "crate::is_default")]
        discounted: i64,
    },
    /// A period that is free because it is a trial (rule 6.8).
    Trial,
    /// An invoice item with a given amount.
    Given,
    /// An invoice item of a price or a unit amount, times its quantity.
    Item,
}

/// How the amount of a change in the middle of a period came about: a part of an amount for a whole
/// period, rounded once (rule 6.6).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProrationDetails {
    /// Whether time is given back or charged.
    pub kind: ProrationKind,
    /// What a part is taken of.
    pub base: ProrationBase,
    /// The period that the base is for.
    pub whole: Period,
    /// The part.
    pub fraction: Fraction,
}

/// Whether a proration gives time back or charges for it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProrationKind {
    /// Time that was charged for and is not used any more.
    Unused,
    /// Time that remains, at what the item is from now on.
    Remaining,
}

/// What a proration takes a part of.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProrationBase {
    /// The price at the quantity of the line.
    Price,
    /// The price at a quantity that grew by that of the line, less the price at what it was.
    Added {
        /// The quantity that there was.
        to: Decimal12,
    },
    /// The line that charged for the time.
    Line {
        /// Its invoice.
        invoice: InvoiceId,
        /// The line.
        line: InvoiceLineId,
        /// Its amount in minor units.
        amount: i64,
    },
    /// The invoice item that charged for the time.
    Item {
        /// The item.
        invoice_item: InvoiceItemId,
        /// Its amount in minor units.
        amount: i64,
    },
}

/// A part of a whole, counted in units of time.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fraction {
    /// How many units the part has.
    pub part: i64,
    /// How many units the whole has; at least 1.
    pub whole: i64,
    /// What is counted.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub unit: FractionUnit,
}

/// What the parts of a period are counted in.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FractionUnit {
    /// Seconds.
    #[default]
    Second,
    /// Days of UTC.
    Day,
}

/// Usage as it was read from a meter for a line.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReading {
    /// The meter.
    pub meter: MeterId,
    /// What the meter's formula gave; what is charged for is this, but never less than nothing.
    pub quantity: Decimal12,
    /// How many events were read.
    pub events: u64,
    /// The position in the log up to which the meter was read.
    pub position: u64,
}

/// An amount of revenue and the period it is earned over.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferral {
    /// In minor units; signed.
    pub amount: i64,
    /// The period it is earned over; one without length is earned at once.
    pub period: Period,
}

impl From<UsageCharge> for Charge {
    fn from(usage: UsageCharge) -> Self {
        Self::Usage(Box::new(usage))
    }
}

impl From<Line> for Charge {
    fn from(line: Line) -> Self {
        Self::Line(Arc::new(line))
    }
}

impl Derivation {
    /// The usage that the amount rests on, where it rests on any.
    #[must_use]
    pub fn reading(&self) -> Option<&UsageReading> {
        match self {
            Self::Metered { reading, .. } | Self::Late { reading, .. } => Some(reading),
            _ => None,
        }
    }

    /// Whether the amount is the price of all usage of a period, or takes back what was billed for
    /// some of it before.
    #[must_use]
    pub fn is_of_usage(&self) -> bool {
        matches!(self, Self::Metered { .. } | Self::PreviouslyBilled { .. })
    }
}

impl Line {
    /// What a person reads.
    #[must_use]
    pub fn text(&self) -> &str {
        self.description.as_deref().unwrap_or(&self.name)
    }

    /// A line of an amount for a period, of one, with nothing else to it.
    #[must_use]
    pub fn new(
        id: InvoiceLineId,
        name: String,
        amount: i64,
        period: Period,
        derivation: Derivation,
    ) -> Self {
        Self {
            id,
            name,
            description: None,
            amount,
            quantity: Decimal12::ONE,
            unit_amount: None,
            price: None,
            period,
            proration: false,
            subscription_item: None,
            invoice_item: None,
            derivation,
            discountable: true,
            discounts: Vec::new(),
            discount_amounts: Vec::new(),
            included_discounts: Vec::new(),
            spared_discounts: Vec::new(),
            tax_rates: Vec::new(),
            taxes: Vec::new(),
        }
    }

    /// What discounts take off the line, in minor units.
    #[must_use]
    pub fn discounted(&self) -> i64 {
        let amounts = self.discount_amounts.iter().map(|discount| discount.amount);
        amounts.fold(0, i64::saturating_add)
    }

    /// The revenue of the line: its amount less its discounts, and less the tax in it, whether that
    /// is paid or waived.
    #[must_use]
    pub fn deferral(&self) -> Deferral {
        let inside = self.taxes.iter().filter(|tax| tax.inclusive);
        let inside = inside.map(|tax| tax.amount.saturating_add(tax.waived));
        let net = self.amount.saturating_sub(self.discounted());
        Deferral { amount: inside.fold(net, i64::saturating_sub), period: self.period }
    }

    /// What discounts take off the revenue of the line, over the same period.
    #[must_use]
    pub fn contra(&self) -> Deferral {
        Deferral { amount: self.discounted(), period: self.period }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::Id;

    #[test]
    fn that_discounts_apply_is_not_written() {
        let period = Period::instant("2025-01-01T00:00:00Z".parse().unwrap());
        let line = Line::new(Id::numbered(1, 1), "Pro".to_owned(), 1, period, Derivation::Given);
        for discountable in [true, false] {
            let line = Line { discountable, ..line.clone() };
            let written = serde_json::to_value(&line).unwrap();
            assert_eq!(written.get("discountable").is_none(), discountable);
            assert_eq!(serde_json::from_value::<Line>(written).unwrap(), line);
        }
    }
}
