//! Quotes: what a customer is offered, and what becomes of it (rule 11).

mod command;
mod decide;
mod event;
mod state;

pub use command::{
    AcceptQuote, CancelQuote, CreateQuote, FinalizeQuote, FromQuoteInput, QuoteLineInput,
    SubscriptionDataInput, UpdateQuote,
};
pub use decide::{check_open, decide_create, decide_finalize, decide_update};
pub use event::QuoteEvent;
pub use state::{
    CouponAmount, FromQuote, Quote, QuoteAmounts, QuoteBreakdown, QuoteLine, QuoteRecurring,
    QuoteStatus, SubscriptionData, TotalDetails,
};

use counterfoil_core::{Id, kind};

/// The id of a quote.
pub type QuoteId = Id<kind::Quote>;
