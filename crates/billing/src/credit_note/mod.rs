//! Credit notes: what is taken off an invoice after it was finalized (rule 10).

mod command;
mod decide;
mod event;
mod share;
mod state;

pub use command::{
    CreateCreditNote, CreditNoteLineInput, CreditNoteLineType, CreditShippingInput, RefundInput,
    TaxAmountInput, UpdateCreditNote, VoidCreditNote,
};
pub use decide::{NoteContext, decide_correction, decide_create, decide_update, decide_void};
pub use event::{CreditNoteEvent, VoidedNote};
pub use state::{
    CreditNote, CreditNoteLine, CreditNoteReason, CreditNoteStatus, CreditNoteType, Credited,
    Refund,
};

use counterfoil_core::{Id, kind};

/// The id of a credit note.
pub type CreditNoteId = Id<kind::CreditNote>;
/// The id of a line of a credit note.
pub type CreditNoteLineId = Id<kind::CreditNoteLine>;
