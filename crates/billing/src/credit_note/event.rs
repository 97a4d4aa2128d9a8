//! What happened to a credit note, and to its invoice by it.

use super::{CreditNote, CreditNoteId, CreditNoteStatus};
use crate::customer::{BalanceTransaction, CustomerId};
use crate::invoice::{Deferral, Invoice, InvoiceId};
use crate::{PersonalData, Texts};
use counterfoil_core::{Currency, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What happened to a credit note.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CreditNoteEvent {
    /// It was issued.
    Created {
        /// The note.
        credit_note: Arc<CreditNote>,
        /// Whether nothing of its invoice remains to be paid, which counts as paid.
        #[serde(default, skip_serializing_if = "crate::is_default")]
        settles: bool,
    },
    /// Its memo or metadata changed.
    Updated {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: CreditNoteId,
        /// When.
        at: Timestamp,
        /// Memo and metadata from now on; recorded apart.
        #[serde(skip)]
        texts: Texts,
    },
    /// It never counted.
    Voided(Arc<VoidedNote>),
}

/// A voided credit note: everything that was undone.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidedNote {
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub id: CreditNoteId,
    /// The invoice.
    pub invoice: InvoiceId,
    /// When.
    pub at: Timestamp,
    /// The currency.
    pub currency: Currency,
    /// What is to be paid after all, in minor units.
    pub amount: i64,
    /// The revenue that is earned after all.
    pub restored: Vec<Deferral>,
    /// What discounts take off that revenue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contra_restored: Vec<Deferral>,
    /// The tax that is owed after all, in minor units.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub tax: i64,
}

impl CreditNoteEvent {
    /// Whose credit note.
    #[must_use]
    pub fn customer(&self) -> &CustomerId {
        match self {
            Self::Created { credit_note, .. } => &credit_note.customer,
            Self::Updated { customer, .. } => customer,
            Self::Voided(voided) => &voided.customer,
        }
    }

    /// Which credit note.
    #[must_use]
    pub fn credit_note(&self) -> &CreditNoteId {
        match self {
            Self::Created { credit_note, .. } => &credit_note.id,
            Self::Updated { id, .. } => id,
            Self::Voided(voided) => &voided.id,
        }
    }

    /// The invoice that changes with it.
    #[must_use]
    pub fn invoice(&self) -> Option<&InvoiceId> {
        match self {
            Self::Created { credit_note, .. } => Some(&credit_note.invoice),
            Self::Updated { .. } => None,
            Self::Voided(voided) => Some(&voided.invoice),
        }
    }

    /// The personal data that the event carries beside its body.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        match self {
            Self::Created { credit_note, .. } => credit_note.personal(),
            Self::Updated { texts, .. } => {
                PersonalData { texts: texts.clone(), ..PersonalData::default() }
            }
            Self::Voided(_) => PersonalData::default(),
        }
    }

    /// Gives the event its personal data back, after both were read.
    pub fn set_personal(&mut self, data: PersonalData) {
        match self {
            Self::Created { credit_note, .. } => Arc::make_mut(credit_note).set_personal(data),
            Self::Updated { texts, .. } => *texts = data.texts,
            Self::Voided(_) => {}
        }
    }

    /// The change of the customer's balance that the event made.
    #[must_use]
    pub fn balance_transaction(&self) -> Option<&BalanceTransaction> {
        match self {
            Self::Created { credit_note, .. } => credit_note.balance_transaction.as_ref(),
            Self::Updated { .. } | Self::Voided(_) => None,
        }
    }

    /// Applies the event to the credit note it names; `Created` stands for itself.
    pub fn evolve(&self, note: &mut CreditNote) {
        match self {
            Self::Created { credit_note, .. } => note.clone_from(credit_note),
            Self::Updated { texts, .. } => {
                note.memo.clone_from(&texts.description);
                note.metadata = texts.metadata.clone();
            }
            Self::Voided(voided) => {
                note.status = CreditNoteStatus::Void;
                note.voided_at = Some(voided.at);
            }
        }
    }

    /// Applies the event to the invoice it names.
    pub fn evolve_invoice(&self, invoice: &mut Invoice) {
        match self {
            Self::Created { credit_note, settles } => {
                let (pre, post) = (credit_note.pre_payment_amount, credit_note.post_payment_amount);
                invoice.credit(pre, post);
                if *settles {
                    invoice.settle(credit_note.created);
                }
            }
            Self::Updated { .. } => {}
            Self::Voided(voided) => invoice.credit(voided.amount.saturating_neg(), 0),
        }
    }
}
