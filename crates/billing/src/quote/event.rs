//! What happened to a quote.

use super::{Quote, QuoteId};
use crate::PersonalData;
use crate::customer::CustomerId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What happened to a quote; each says what it is from then on.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuoteEvent {
    /// It was created, a draft.
    Created(Arc<Quote>),
    /// It was changed.
    Updated(Arc<Quote>),
    /// It was fixed.
    Finalized(Arc<Quote>),
    /// The customer took it.
    Accepted(Arc<Quote>),
    /// It was withdrawn, or expired.
    Canceled(Arc<Quote>),
}

impl QuoteEvent {
    /// The quote from then on.
    #[must_use]
    pub fn after(&self) -> &Arc<Quote> {
        match self {
            Self::Created(quote)
            | Self::Updated(quote)
            | Self::Finalized(quote)
            | Self::Accepted(quote)
            | Self::Canceled(quote) => quote,
        }
    }

    /// Whose quote.
    #[must_use]
    pub fn customer(&self) -> &CustomerId {
        &self.after().customer
    }

    /// Which quote.
    #[must_use]
    pub fn quote(&self) -> &QuoteId {
        &self.after().id
    }

    /// The personal data that the event carries beside its body.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        self.after().personal()
    }

    /// Gives the event its personal data back, after both were read.
    pub fn set_personal(&mut self, data: PersonalData) {
        match self {
            Self::Created(quote)
            | Self::Updated(quote)
            | Self::Finalized(quote)
            | Self::Accepted(quote)
            | Self::Canceled(quote) => Arc::make_mut(quote).set_personal(data),
        }
    }
}
