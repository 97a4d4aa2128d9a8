//! Work that falls due: part of the state, in the order in which it is done.

use counterfoil_billing::invoice::{CollectionMethod, Invoice, InvoiceId, InvoiceStatus};
use counterfoil_billing::quote::{Quote, QuoteId};
use counterfoil_billing::schedule::{SubscriptionSchedule, SubscriptionScheduleId};
use counterfoil_billing::subscription::{Subscription, SubscriptionId, SubscriptionStatus};
use counterfoil_core::Timestamp;
use serde::{Deserialize, Serialize};

/// One piece of due work. The order of keys is the order in which they are done: by time, then by
/// class, then by the creation of the object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DueKey {
    /// When it falls due.
    pub at: Timestamp,
    /// What kind of work it is.
    pub class: DueClass,
    /// The place of the object in the order of creation.
    pub seq: u64,
    /// The object.
    pub target: DueTarget,
}

/// Kinds of due work, in the order in which equals are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueClass {
    /// A phase of a schedule that begins, or the end of the last one: before what else was agreed
    /// on, so that it is the phase's terms that go on.
    PhaseChange,
    /// A change that was agreed on: the end of a trial, a cancellation.
    AgreedChange,
    /// The end of a period.
    Rollover,
    /// The end of an interval at which what waits is invoiced: after the renewal, which takes it.
    PendingItems,
    /// The finalization of a draft.
    Finalization,
    /// A retry of a payment.
    PaymentAttempt,
    /// A deadline that passes: a due date, the first payment of a subscription.
    Deadline,
}

impl DueClass {
    /// Its number in tables.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::AgreedChange => 0,
            Self::Rollover => 1,
            Self::Finalization => 2,
            Self::PaymentAttempt => 3,
            Self::Deadline => 4,
            Self::PhaseChange => 5,
            Self::PendingItems => 6,
        }
    }

    /// The class of a number.
    pub(crate) const fn of_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::AgreedChange,
            1 => Self::Rollover,
            2 => Self::Finalization,
            3 => Self::PaymentAttempt,
            4 => Self::Deadline,
            5 => Self::PhaseChange,
            6 => Self::PendingItems,
            _ => return None,
        })
    }
}

/// The object that work is due on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DueTarget {
    /// A subscription.
    Subscription(SubscriptionId),
    /// An invoice.
    Invoice(InvoiceId),
    /// A subscription schedule.
    SubscriptionSchedule(SubscriptionScheduleId),
    /// A quote.
    Quote(QuoteId),
}

/// What is due on a subscription: the end of its period, the end of a pause of its collection, the
/// end of an interval at which what waits is invoiced, and the deadline that passes first.
pub(crate) fn of_subscription(subscription: &Subscription) -> [Option<DueKey>; 4] {
    if subscription.is_ended() {
        return [None, None, None, None];
    }
    let key = |at: Option<Timestamp>, class| {
        let target = || DueTarget::Subscription(subscription.id.clone());
        at.map(|at| DueKey { at, class, seq: subscription.seq, target: target() })
    };
    let end = subscription.current_period().end;
    let period = match (subscription.status, subscription.agreed_end()) {
        (SubscriptionStatus::Incomplete, _) => None,
        // Without a period that counts, only an instant can be agreed on.
        (SubscriptionStatus::Paused, _) => key(subscription.cancel_at, DueClass::AgreedChange),
        (_, Some(agreed)) if agreed <= end => key(Some(agreed), DueClass::AgreedChange),
        (SubscriptionStatus::Trialing, _) => key(Some(end), DueClass::AgreedChange),
        _ => key(Some(end), DueClass::Rollover),
    };
    let resumes_at = subscription.pause_collection.and_then(|pause| pause.resumes_at);
    [
        period,
        key(resumes_at, DueClass::AgreedChange),
        key(subscription.pending_item_interval.map(|own| own.next), DueClass::PendingItems),
        key(deadline(subscription), DueClass::Deadline),
    ]
}

/// The deadline of a subscription that passes first.
fn deadline(subscription: &Subscription) -> Option<Timestamp> {
    let agreed = subscription.agreed_end();
    let incomplete = subscription.incomplete_expires_at;
    let incomplete = incomplete.map(|expires| agreed.map_or(expires, |end| end.min(expires)));
    let resumption = subscription.resumption.as_ref().and_then(|own| own.expires_at);
    let update = subscription.pending_update.as_ref().map(|own| own.expires_at);
    let deadlines = [incomplete, resumption, update, subscription.trial_notice_at];
    deadlines.into_iter().flatten().min()
}

/// What is due on a quote: that it expires.
pub(crate) fn of_quote(quote: &Quote) -> Option<DueKey> {
    let target = || DueTarget::Quote(quote.id.clone());
    let (seq, class) = (quote.seq, DueClass::Deadline);
    quote.deadline().map(|at| DueKey { at, class, seq, target: target() })
}

/// What is due on a schedule: its next phase or its end, and the announcement of that.
pub(crate) fn of_schedule(schedule: &SubscriptionSchedule) -> [Option<DueKey>; 2] {
    let key = |at: Option<Timestamp>, class| {
        let target = || DueTarget::SubscriptionSchedule(schedule.id.clone());
        at.map(|at| DueKey { at, class, seq: schedule.seq, target: target() })
    };
    [
        key(schedule.next_change(), DueClass::PhaseChange),
        key(schedule.expiring_notice_at, DueClass::Deadline),
    ]
}

/// What is due on an invoice: up to two things, a retry and a due date.
pub(crate) fn of_invoice(invoice: &Invoice) -> [Option<DueKey>; 2] {
    let key = |at: Option<Timestamp>, class| {
        let target = || DueTarget::Invoice(invoice.id.clone());
        at.map(|at| DueKey { at, class, seq: invoice.seq, target: target() })
    };
    match invoice.status {
        InvoiceStatus::Draft if invoice.auto_advance => {
            [key(invoice.finalizes_at, DueClass::Finalization), None]
        }
        InvoiceStatus::Open => {
            let retries = invoice.charges_automatically() && invoice.open_attempt.is_none();
            let retry = invoice.next_payment_attempt.filter(|_| retries);
            let sent = invoice.collection_method == CollectionMethod::SendInvoice;
            let deadline = invoice.due_date.filter(|_| sent && !invoice.overdue);
            [key(retry, DueClass::PaymentAttempt), key(deadline, DueClass::Deadline)]
        }
        _ => [None, None],
    }
}
