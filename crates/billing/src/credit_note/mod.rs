//! Credit notes (rule 10).

use counterfoil_core::{Id, kind};

/// The id of a credit note.
pub type CreditNoteId = Id<kind::CreditNote>;
