//! Receipts of a book and proofs of its invoices: for whoever does not trust the book's keeper.

use crate::engine::Engine;
use crate::error::Error;
use crate::events::BookRecord;
use counterfoil_billing::invoice::{InvoiceEvent, InvoiceId};
use counterfoil_core::Refusal;
use counterfoil_log::{History, Lsn, Proof, Receipt};
use counterfoil_model::Event;

impl Engine {
    /// What the history of the book is now; its [`Display`](std::fmt::Display) form is one line.
    /// Kept where nobody who can write to the book can change it, it shows later whether anything
    /// before it was altered, taken out or put in: see [`verify_with`](crate::verify_with).
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed; [`Error::Read`].
    pub fn receipt(&self) -> Result<Receipt, Error> {
        self.flush()?;
        Ok(self.log().head()?)
    }

    /// What the history of the book was after a record. It does not change any more.
    ///
    /// # Errors
    /// [`Error::Refused`] for a position that is not on disk; [`Error::Read`].
    pub fn receipt_at(&self, position: Lsn) -> Result<Receipt, Error> {
        receipt_at(self.log(), position, self.durable())
    }

    /// A proof that an invoice was finalized as it was, for whoever has `receipt`: the record with
    /// its event, and the hashes that lead from it to the head in the receipt. [`check_proof`] needs
    /// nothing else. The log is read up to that record.
    ///
    /// ```
    /// use counterfoil::{CreateCustomer, CreateInvoice, CreateInvoiceItem, Currency, Engine};
    /// use counterfoil::{FinalizeInvoice, NoPayments, PendingItems, Timestamp, check_proof};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let book = Engine::in_memory();
    /// book.advance_to(Timestamp::parse("2024-01-01T00:00:00Z")?, &mut NoPayments)?;
    /// let ada = book.customers().create(CreateCustomer::default())?.id;
    /// let mut item = CreateInvoiceItem::amount(ada.clone(), 500);
    /// item.currency = Some(Currency::USD);
    /// book.invoice_items().create(item)?;
    /// let mut invoice = CreateInvoice::new(ada);
    /// invoice.pending_invoice_items_behavior = PendingItems::Include;
    /// let invoice = book.invoices().create(invoice)?.id;
    /// book.invoices().finalize(FinalizeInvoice { id: invoice.clone(), auto_advance: None })?;
    ///
    /// let receipt = book.receipt()?; // somebody else keeps it
    /// let proof = book.prove(&invoice, &receipt)?; // and asks for this much later
    /// let proven = check_proof(&proof, &receipt)?;
    /// assert_eq!(proven.events[0].event_type().name, "invoice.finalized");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] where there is no such invoice, it is not finalized, or it was finalized
    /// after the receipt; [`Error::Read`] where the receipt is not one of this book.
    pub fn prove(&self, invoice: &InvoiceId, receipt: &Receipt) -> Result<Proof, Error> {
        self.invoices().retrieve(invoice)?;
        prove(self.log(), invoice.as_str(), receipt)
    }
}

/// Checks a proof with a receipt, and gives back the record that is proven. No book is needed.
/// What is personal in it is sealed with keys of the book, and left out.
///
/// # Errors
/// [`Error::Proof`] where the proof does not hold; [`Error::Read`] where what is proven is not a
/// record of a billing book.
pub fn check_proof(proof: &Proof, receipt: &Receipt) -> Result<BookRecord, Error> {
    BookRecord::without_keys(proof.check(receipt)?)
}

/// The receipt of a record of a book that goes up to `last`.
pub(crate) fn receipt_at(log: &History, position: Lsn, last: Lsn) -> Result<Receipt, Error> {
    crate::view::check(position.into(), last)?;
    Ok(log.head_at(position)?)
}

/// A proof of the finalization of the invoice with this id or number.
pub(crate) fn prove(log: &History, invoice: &str, receipt: &Receipt) -> Result<Proof, Error> {
    for record in log.read(Lsn::ZERO.next()) {
        let record = record?;
        let lsn = record.lsn;
        if !finalizes(&BookRecord::without_keys(record)?, invoice) {
            continue;
        }
        if lsn > receipt.lsn {
            let reason = format!(
                "invoice {invoice} was finalized in record {lsn}, after the receipt's, {}",
                receipt.lsn
            );
            return Err(Refusal::invalid("receipt", reason).into());
        }
        return Ok(log.prove(lsn, receipt)?);
    }
    Err(Refusal::unknown("finalized invoice", invoice).into())
}

fn finalizes(record: &BookRecord, invoice: &str) -> bool {
    record.events.iter().any(|event| match event {
        Event::Billing(counterfoil_billing::Event::Invoice(InvoiceEvent::Finalized(event))) => {
            event.id.as_str() == invoice || event.number == invoice
        }
        _ => false,
    })
}
