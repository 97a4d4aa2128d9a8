//! Credit notes.

use super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::credit_note::{
    self, CreateCreditNote, CreditNoteEvent, NoteContext, UpdateCreditNote, VoidCreditNote,
};
use counterfoil_core::Refusal;

impl Tx<'_> {
    pub(super) fn create_credit_note(
        &mut self,
        command: &CreateCreditNote,
    ) -> Result<Target, Refusal> {
        let taken = |state: &crate::State, id: &_| state.owners.credit_notes.contains_key(id);
        let id = self.new_id(command.id.as_ref(), taken)?;
        let invoice = self.state.invoice(&command.invoice)?;
        let shard = self.state.shard(&invoice.customer)?;
        let notes = shard.credit_notes_on(&invoice.id);
        let (customer, terms) = (shard.customer(), &self.state);
        let context = NoteContext { invoice: &invoice, notes: &notes, customer, terms };
        let mut numbers = self.numbers(&invoice.customer, invoice.seq, 0)?;
        let place = (id.clone(), self.next_seq());
        let event = credit_note::decide_create(&context, command, place, &mut numbers, self.at())?;
        let settles = matches!(event, CreditNoteEvent::Created { settles: true, .. });
        self.emit(event);
        if settles {
            self.after_paid(&command.invoice)?;
        }
        Ok(Target::CreditNote(id))
    }

    pub(super) fn update_credit_note(
        &mut self,
        command: &UpdateCreditNote,
    ) -> Result<Target, Refusal> {
        let note = self.state.credit_note(&command.id)?;
        let customer = self.state.customer(&note.customer)?;
        let event = credit_note::decide_update(note, customer, command, self.at())?;
        self.emit(event);
        Ok(Target::CreditNote(command.id.clone()))
    }

    pub(super) fn void_credit_note(&mut self, command: &VoidCreditNote) -> Result<Target, Refusal> {
        let note = self.state.credit_note(&command.id)?;
        let invoice = self.state.invoice(&note.invoice)?;
        let event = credit_note::decide_void(note, &invoice, self.at())?;
        self.emit(event);
        Ok(Target::CreditNote(command.id.clone()))
    }
}
