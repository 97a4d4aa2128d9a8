//! What happened in the catalog.

use super::{Price, Product};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What happened to a product. Each event carries the whole product as it is from then on.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProductEvent {
    /// It was created.
    Created(Arc<Product>),
    /// It was changed.
    Updated(Arc<Product>),
}

/// What happened to a price. Each event carries the whole price as it is from then on.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PriceEvent {
    /// It was created.
    Created(Arc<Price>),
    /// It was changed in what may change.
    Updated(Arc<Price>),
}

impl ProductEvent {
    /// The product after the event, whatever it was before.
    #[must_use]
    pub const fn product(&self) -> &Arc<Product> {
        match self {
            Self::Created(product) | Self::Updated(product) => product,
        }
    }
}

impl PriceEvent {
    /// The price after the event, whatever it was before.
    #[must_use]
    pub const fn price(&self) -> &Arc<Price> {
        match self {
            Self::Created(price) | Self::Updated(price) => price,
        }
    }
}
