//! What is sold.

use counterfoil_core::{Id, Metadata, Timestamp, kind};
use serde::{Deserialize, Serialize};

/// The id of a product.
pub type ProductId = Id<kind::Product>;

/// A product (rule 3.1): what is sold, whatever it costs.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The product's id.
    pub id: ProductId,
    /// The name on invoices.
    pub name: String,
    /// Whether new prices may be made for it.
    pub active: bool,
    /// Free text about the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What one unit of it is called: `seat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_label: Option<String>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}
