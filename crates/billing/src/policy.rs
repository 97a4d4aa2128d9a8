//! The conventions of a book: where billing systems differ on purpose, the choice is data.
//!
//! Each field is one convention and each of its values a rule with a name. The default is what the
//! Stripe API does. They are settings of the book, recorded when it is created; the table in
//! `docs/RULES.md`, section 20, lists all of them.

use crate::catalog::TierLines;
use serde::{Deserialize, Serialize};

/// The conventions of a book.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policies {
    /// The lines of a tiered price (point 2).
    #[serde(skip_serializing_if = "crate::is_default")]
    pub tier_lines: TierLines,
}
