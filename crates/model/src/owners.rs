//! Which customer owns what: the indexes from an object's id to where it is.

use crate::base::{Forked, Layered, Text};
use counterfoil_billing::credit_note::CreditNoteId;
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{InvoiceId, InvoiceItemId, PaymentAttemptId};
use counterfoil_billing::quote::QuoteId;
use counterfoil_billing::schedule::SubscriptionScheduleId;
use counterfoil_billing::subscription::{SubscriptionId, SubscriptionItemId};
use std::borrow::Cow;

/// Which customer owns what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Owners {
    pub(crate) subscriptions: Layered<SubscriptionId, CustomerId>,
    pub(crate) subscription_items: Layered<SubscriptionItemId, SubscriptionId>,
    pub(crate) invoices: Layered<InvoiceId, CustomerId>,
    pub(crate) invoice_items: Layered<InvoiceItemId, ItemHome>,
    /// Every prefix of invoice numbers that a customer has or had.
    pub(crate) prefixes: Layered<String, CustomerId>,
    pub(crate) attempts: Forked<PaymentAttemptId, InvoiceId>,
    pub(crate) schedules: Forked<SubscriptionScheduleId, CustomerId>,
    pub(crate) quotes: Forked<QuoteId, CustomerId>,
    pub(crate) credit_notes: Forked<CreditNoteId, CustomerId>,
}

impl Owners {
    /// As [`Forked::return_to`].
    pub(crate) fn return_to(&mut self, base: &Self) {
        self.subscriptions.return_to(&base.subscriptions);
        self.subscription_items.return_to(&base.subscription_items);
        self.invoices.return_to(&base.invoices);
        self.invoice_items.return_to(&base.invoice_items);
        self.prefixes.return_to(&base.prefixes);
        self.attempts.return_to(&base.attempts);
        self.schedules.return_to(&base.schedules);
        self.quotes.return_to(&base.quotes);
        self.credit_notes.return_to(&base.credit_notes);
    }

    /// As [`Forked::settle`].
    pub(crate) fn settle(&mut self) {
        self.subscriptions.settle();
        self.subscription_items.settle();
        self.invoices.settle();
        self.invoice_items.settle();
        self.prefixes.settle();
        self.attempts.settle();
        self.schedules.settle();
        self.quotes.settle();
        self.credit_notes.settle();
    }
}

/// Where an invoice item is, or went. Ids are never given out twice.
#[derive(Debug, Clone)]
pub(crate) struct ItemHome {
    pub(crate) customer: CustomerId,
    /// The finalized invoice that has it as a line.
    pub(crate) billed: Option<InvoiceId>,
}

/// The two ids, with a line feed between them, which no id has.
impl Text for ItemHome {
    fn text(&self) -> Cow<'_, str> {
        match &self.billed {
            None => Cow::Borrowed(self.customer.as_str()),
            Some(invoice) => Cow::Owned(format!("{}\n{invoice}", self.customer)),
        }
    }

    fn of_text(text: &str) -> Option<Self> {
        let (customer, billed) = match text.split_once('\n') {
            None => (text, None),
            Some((customer, invoice)) => (customer, Some(InvoiceId::new(invoice).ok()?)),
        };
        Some(Self { customer: CustomerId::new(customer).ok()?, billed })
    }
}
