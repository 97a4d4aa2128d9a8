//! Invoices, the items that wait for one, and the attempts to collect them (rule 8).

mod command;
mod decide;
mod event;
mod item;
mod line;
mod payment;
mod received;
mod shipping;
mod state;
mod totals;
mod update;

pub use command::{
    CreateInvoice, DeleteInvoice, FinalizeInvoice, FromInvoice, FromInvoiceAction,
    MarkInvoiceUncollectible, PayInvoice, PendingItems, SendInvoice, VoidInvoice,
};
pub use decide::{
    Numbered, balance_credit, check_draft, check_payable, check_status_payable, check_voidable,
    decide_create, decide_finalize, decide_overdue, decide_send, decide_uncollectible, decide_void,
    due_after,
};
pub use event::{FinalizationError, Finalized, InvoiceEvent, LatePayment, Voided};
pub use item::{
    CreateInvoiceItem, DeleteInvoiceItem, InvoiceItem, PeriodInput, UpdateInvoiceItem,
    check_editable, decide_create_item, decide_update_item,
};
pub use line::{
    Charge, Deferral, Derivation, Fraction, FractionUnit, Line, ProrationBase, ProrationDetails,
    ProrationKind, UsageCharge, UsageReading,
};
pub use payment::{
    AfterRetries, Attempt, BankDebitRetries, DeclineCode, InvoiceAfterRetries, Outcome,
    RetryPolicy, Terms, Trigger, decide_attempt, decide_outcome, decide_processing, paid,
};
pub use received::{
    AttachPayment, InvoicePayment, InvoicePaymentKind, InvoicePaymentStatus, PaymentReceived,
    check_part, decide_payment_record,
};
pub use shipping::{ShippingCost, ShippingCostInput};
pub use state::{
    BillingReason, CollectionMethod, Correction, Invoice, InvoiceStatus, ItemReason,
    StatusTransitions, ThresholdReason,
};
pub use totals::{Totals, compute};

pub use update::{UpdateInvoice, decide_update};

use counterfoil_core::{Id, kind};

/// The id of an invoice.
pub type InvoiceId = Id<kind::Invoice>;
/// The id of a line of an invoice.
pub type InvoiceLineId = Id<kind::InvoiceLine>;
/// The id of an invoice item.
pub type InvoiceItemId = Id<kind::InvoiceItem>;
/// The id of a payment of an invoice.
pub type InvoicePaymentId = Id<kind::InvoicePayment>;
/// The id of an attempt to collect an invoice.
pub type PaymentAttemptId = Id<kind::PaymentAttempt>;
