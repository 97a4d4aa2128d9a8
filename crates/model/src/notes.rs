//! Credit notes, and what is noted on the transactions of a balance, as the state keeps them.

use crate::State;
use crate::shard::{Shard, by_creation};
use counterfoil_billing::Texts;
use counterfoil_billing::credit_note::{CreditNote, CreditNoteId};
use counterfoil_billing::customer::{BalanceTransaction, BalanceTransactionId};
use counterfoil_billing::invoice::InvoiceId;
use counterfoil_core::Refusal;

impl Shard {
    /// The credit notes on its invoices, void ones too, oldest first.
    #[must_use]
    pub fn credit_notes(&self) -> Vec<&CreditNote> {
        by_creation(self.credit_notes.values().map(AsRef::as_ref), |note| note.seq)
    }

    /// The credit notes on one of its invoices, void ones too, oldest first.
    #[must_use]
    pub fn credit_notes_on(&self, invoice: &InvoiceId) -> Vec<&CreditNote> {
        let notes = self.credit_notes.values().map(AsRef::as_ref);
        by_creation(notes.filter(|note| note.invoice == *invoice), |note| note.seq)
    }

    /// A transaction on its balance.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn balance_transaction(
        &self,
        id: &BalanceTransactionId,
    ) -> Result<&BalanceTransaction, Refusal> {
        let found = self.balance_transactions().find(|own| own.id == *id);
        found.ok_or_else(|| Refusal::unknown("customer_balance_transaction", id))
    }

    /// Changes what was noted on a transaction.
    pub(crate) fn note_on_transaction(&mut self, id: &BalanceTransactionId, texts: &Texts) {
        let Some(place) = self.transactions.iter().position(|(_, own)| own.id == *id) else {
            return;
        };
        let Some((seq, mut own)) = self.transactions.get(place).cloned() else { return };
        own.description.clone_from(&texts.description);
        own.metadata = texts.metadata.clone();
        self.transactions.set_mut(place, (seq, own));
    }
}

impl State {
    /// A credit note.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    pub fn credit_note(&self, id: &CreditNoteId) -> Result<&CreditNote, Refusal> {
        self.owners
            .credit_notes
            .get(id)
            .and_then(|customer| self.shards.get(customer))
            .and_then(|shard| shard.credit_notes.get(id))
            .map(AsRef::as_ref)
            .ok_or_else(|| self.unknown("credit_note", id))
    }
}
