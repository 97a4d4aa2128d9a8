//! The settings of a book.

use counterfoil_billing::Policies;
use counterfoil_billing::invoice::RetryPolicy;
use counterfoil_core::{Currency, Refusal, limits};
use counterfoil_journal::PostingRules;
use serde::{Deserialize, Serialize};

/// The settings of a book: recorded when it is created.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whose book it is.
    pub name: String,
    /// The currency of customers that name none.
    pub currency: Currency,
    /// When failed payments are tried again (rule 9).
    pub retries: RetryPolicy,
    /// Where billing systems differ on purpose: the choices of this book (rule 20).
    #[serde(skip_serializing_if = "is_default")]
    pub policies: Policies,
    /// How events become postings.
    pub posting_rules: PostingRules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            currency: Currency::USD,
            retries: RetryPolicy::default(),
            policies: Policies::default(),
            posting_rules: PostingRules::V1,
        }
    }
}

impl Settings {
    /// Refuses settings out of their limits.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] naming the limit.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.name.chars().count() > limits::TEXT_CHARS_MAX {
            let reason = format!("a name has at most {} characters", limits::TEXT_CHARS_MAX);
            return Err(Refusal::invalid("name", reason));
        }
        self.retries.check()
    }
}

/// Whether the conventions need not be written: reading puts the same ones there.
fn is_default(policies: &Policies) -> bool {
    *policies == Policies::default()
}
