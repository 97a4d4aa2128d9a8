//! The conventions of a book: where billing systems differ on purpose, the choice is data.
//!
//! Each field is one convention and each of its values a rule with a name. The default is what the
//! Stripe API does. They are settings of the book, recorded when it is created; the table in
//! `docs/RULES.md`, section 20, lists all of them.

use crate::catalog::TierLines;
use crate::tax::TaxRounding;
use counterfoil_core::{Rounding, Zone};
use serde::{Deserialize, Serialize};

/// The conventions of a book.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policies {
    /// The lines of a tiered price (point 2).
    #[serde(skip_serializing_if = "crate::is_default")]
    pub tier_lines: TierLines,
    /// Which way the amount of a line goes that lies in the middle between two (point 1).
    #[serde(skip_serializing_if = "crate::is_default")]
    pub rounding: Rounding,
    /// Whether tax is rounded on each line or once for an invoice (rule 5).
    #[serde(skip_serializing_if = "crate::is_default")]
    pub tax_rounding: TaxRounding,
    /// What parts of a period are counted in.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub proration_basis: ProrationBasis,
    /// Which days count, where parts of a period are counted in days.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub day_count: DayCount,
    /// What a larger quantity of the same price charges in mid-period (point 4).
    #[serde(skip_serializing_if = "crate::is_default")]
    pub quantity_lines: QuantityLines,
    /// What a first period that is shorter than its interval is a part of (point 3).
    #[serde(skip_serializing_if = "crate::is_default")]
    pub stub_denominator: StubDenominator,
    /// What becomes of usage that comes after its invoice was finalized (rule 12.8).
    #[serde(skip_serializing_if = "crate::is_default")]
    pub late_usage: LateUsage,
    /// The clock by which periods are told, of customers that have none of their own (rule 6.4).
    #[serde(skip_serializing_if = "crate::is_default")]
    pub time_zone: Zone,
}

/// What parts of a period are counted in (rule 6.6).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProrationBasis {
    /// Seconds.
    #[default]
    Second,
    /// Days of UTC, whatever the time of day.
    Day,
}

/// Which days of a period count.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayCount {
    /// All but the one that it ends on: 31 from 1 January to 1 February.
    #[default]
    Exclusive,
    /// The one that it ends on too: 32 from 1 January to 1 February.
    Inclusive,
}

/// What a larger quantity of the same price charges in mid-period (point 4).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantityLines {
    /// All of the former quantity is given back, and all of the new one charged.
    #[default]
    Full,
    /// What was added is charged, in one line. A smaller quantity gives back and charges all.
    Added,
}

/// What a stub is a part of (point 3).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StubDenominator {
    /// The whole interval that ends at its boundary.
    #[default]
    Aligned,
    /// The whole interval that would begin with it.
    Imagined,
}

/// What becomes of usage that comes after the invoice of its period was finalized (rule 12.8). It
/// is never lost: what no invoice takes is reported as unbilled.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LateUsage {
    /// No invoice takes it.
    #[default]
    Ignore,
    /// The subscription's next invoice has a line for it, which names the old period: the price at
    /// all usage of that period, less what was billed for it.
    NextInvoice,
    /// The invoice is corrected at once: one that is open is replaced by a revision, of one that was
    /// paid the lines for that usage are credited and billed anew.
    Correct,
}
