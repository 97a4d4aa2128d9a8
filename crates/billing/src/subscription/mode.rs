//! How a subscription computes the amounts of a change (rule 6.1).

use counterfoil_core::Timestamp;
use serde::{Deserialize, Serialize};

/// How a subscription computes the amounts of a change. The default is flexible.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BillingMode {
    /// Classic or flexible.
    #[serde(rename = "type", default, skip_serializing_if = "crate::is_default")]
    pub kind: BillingModeKind,
    /// Where the discounts of a proration are shown; for flexible.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub proration_discounts: ProrationDiscounts,
    /// When it was last changed; creation where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
}

/// What a change of a subscription is computed from.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingModeKind {
    /// What unused time is worth follows from the price and the quantity that the item has now.
    Classic,
    /// What unused time is worth follows from the lines that charged for it.
    #[default]
    Flexible,
}

/// Where the discounts of a proration are shown.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProrationDiscounts {
    /// In the amount of the line.
    #[default]
    Included,
    /// Beside the amount of the line.
    Itemized,
}

/// A billing mode as a caller gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingModeInput {
    /// Classic or flexible.
    #[serde(rename = "type")]
    pub kind: BillingModeKind,
    /// What only the flexible mode has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flexible: Option<FlexibleBillingInput>,
}

/// What only the flexible mode has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FlexibleBillingInput {
    /// Where the discounts of a proration are shown.
    pub proration_discounts: ProrationDiscounts,
}

impl BillingMode {
    /// Whether amounts follow from what the item is now.
    #[must_use]
    pub fn is_classic(self) -> bool {
        self.kind == BillingModeKind::Classic
    }
}
