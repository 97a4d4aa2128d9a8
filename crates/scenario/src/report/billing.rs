//! Subscriptions, invoices and their items, as the report shows them.

use super::{
    DiscountAmountReport, DiscountReport, PretaxCreditReport, ShippingCostReport, TaxAmountReport,
    quantity, terms,
};
use counterfoil::{
    Address, Attempt, BillingModeKind, BillingReason, BillingThresholds, CancellationReason,
    CollectionMethod, CreditNoteId, Currency, CustomerId, Decimal12, Derivation, FinalizationError,
    FromInvoice, FromInvoiceAction, Id, Invoice, InvoiceId, InvoiceItem, InvoiceItemId,
    InvoiceLineId, InvoicePayment, InvoicePaymentId, InvoicePaymentKind, InvoicePaymentStatus,
    InvoiceStatus, InvoiceView, ItemReason, ItemThresholds, Line, Metadata, PauseCollection,
    PaymentAttemptId, PendingItemIntervalInput, Period, PriceId, ProrationBase, ProrationDiscounts,
    ProrationKind, ShippingCost, Subscription, SubscriptionId, SubscriptionItem,
    SubscriptionItemId, SubscriptionScheduleId, SubscriptionStatus, TaxExempt, TaxRateId,
    Timestamp, TrialSettings, kind,
};
use serde::Serialize;

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubscriptionReport {
    /// Its id.
    pub id: SubscriptionId,
    /// Who subscribes.
    pub customer: CustomerId,
    /// Where it stands.
    pub status: SubscriptionStatus,
    /// What the boundaries of its periods are computed from.
    pub billing_cycle_anchor: Timestamp,
    /// How the amounts of its changes are computed.
    pub billing_mode: BillingModeReport,
    /// The latest start of its items' periods.
    pub current_period_start: Timestamp,
    /// The earliest end of its items' periods.
    pub current_period_end: Timestamp,
    /// When its latest trial began.
    pub trial_start: Option<Timestamp>,
    /// When its latest trial ends.
    pub trial_end: Option<Timestamp>,
    /// When it ends.
    pub cancel_at: Option<Timestamp>,
    /// Whether it ends with the current period.
    pub cancel_at_period_end: bool,
    /// When its end was asked for.
    pub canceled_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended, or will.
    pub cancellation_details: CancellationReport,
    /// Its latest invoice.
    pub latest_invoice: Option<InvoiceId>,
    /// What it consists of.
    pub items: Vec<SubscriptionItemReport>,
    /// What it does with its trial.
    pub trial_settings: TrialSettings,
    /// A change that waits for its payment.
    pub pending_update: Option<PendingUpdateReport>,
    /// The schedule that guides it.
    pub schedule: Option<SubscriptionScheduleId>,
    /// How the collection of its invoices is paused.
    pub pause_collection: Option<PauseCollection>,
    /// What lets it invoice usage before its period is over.
    pub billing_thresholds: Option<BillingThresholds>,
    /// How often what waits for an invoice is invoiced, beside its renewals.
    pub pending_invoice_item_interval: Option<PendingItemIntervalInput>,
    /// When that is the next time.
    pub next_pending_invoice_item_invoice: Option<Timestamp>,
    /// When it was created.
    pub created: Timestamp,
    /// When service began.
    pub start_date: Timestamp,
    /// The currency of its invoices.
    pub currency: Currency,
    /// How its invoices are collected.
    pub collection_method: CollectionMethod,
    /// Days to pay, for `send_invoice`.
    pub days_until_due: Option<u32>,
    /// The payment method for its invoices.
    pub default_payment_method: Option<String>,
    /// The discounts on its invoices.
    pub discounts: Vec<DiscountReport>,
    /// The tax rates of lines that have none of their own.
    pub default_tax_rates: Vec<TaxRateId>,
    /// Free text.
    pub description: Option<String>,
    /// Metadata.
    pub metadata: Metadata,
}

/// How the amounts of the changes of a subscription are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BillingModeReport {
    /// Classic or flexible.
    #[serde(rename = "type")]
    pub kind: BillingModeKind,
    /// What only the flexible mode has.
    pub flexible: Option<FlexibleReport>,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What only the flexible mode has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FlexibleReport {
    /// Where the discounts of a proration are shown.
    pub proration_discounts: ProrationDiscounts,
}

/// A change of a subscription that waits for its payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingUpdateReport {
    /// When it is dropped.
    pub expires_at: Timestamp,
    /// The anchor then.
    pub billing_cycle_anchor: Timestamp,
    /// The items then.
    pub subscription_items: Vec<SubscriptionItemReport>,
}

/// Why a subscription ended, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CancellationReport {
    /// The reason.
    pub reason: Option<CancellationReason>,
}

/// An item of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubscriptionItemReport {
    /// Its id.
    pub id: SubscriptionItemId,
    /// Its price.
    pub price: PriceId,
    /// How many; none for a metered price.
    pub quantity: Option<i64>,
    /// The start of its current period.
    pub current_period_start: Timestamp,
    /// The end of its current period.
    pub current_period_end: Timestamp,
    /// Until when it is billed: a licence ahead, usage behind.
    pub billed_until: Timestamp,
    /// When it was added.
    pub created: Timestamp,
    /// The discounts on its lines.
    pub discounts: Vec<DiscountReport>,
    /// The tax rates of its lines.
    pub tax_rates: Vec<TaxRateId>,
    /// What lets usage of it be invoiced before its period is over.
    pub billing_thresholds: Option<ItemThresholds>,
    /// Metadata.
    pub metadata: Metadata,
}

/// An invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvoiceReport {
    /// Its id.
    pub id: InvoiceId,
    /// Who pays.
    pub customer: CustomerId,
    /// The subscription that it bills.
    pub subscription: Option<SubscriptionId>,
    /// Its number, once finalized.
    pub number: Option<String>,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// Why it was made.
    pub billing_reason: BillingReason,
    /// Which thresholds it was made for.
    pub threshold_reason: Option<ThresholdReasonReport>,
    /// The currency of every amount on it.
    pub currency: Currency,
    /// When it was created.
    pub created: Timestamp,
    /// The start of the period that it looks back on.
    pub period_start: Timestamp,
    /// The end of the period that it looks back on.
    pub period_end: Timestamp,
    /// When it must be paid, for `send_invoice`.
    pub due_date: Option<Timestamp>,
    /// Attempts to collect it.
    pub attempt_count: u32,
    /// The next automatic attempt.
    pub next_payment_attempt: Option<Timestamp>,
    /// Σ of the lines less their own discounts.
    pub subtotal: i64,
    /// `subtotal` less the tax in it.
    pub subtotal_excluding_tax: i64,
    /// `subtotal` after discounts, credits and taxes.
    pub total: i64,
    /// `total` less its taxes.
    pub total_excluding_tax: i64,
    /// The discounts on the whole invoice.
    pub discounts: Vec<DiscountReport>,
    /// What each discount takes off all lines.
    pub total_discount_amounts: Vec<DiscountAmountReport>,
    /// The tax rates of lines that have none of their own.
    pub default_tax_rates: Vec<TaxRateId>,
    /// What each tax rate takes of all lines and of shipping.
    pub total_taxes: Vec<TaxAmountReport>,
    /// What it charges for shipping.
    pub shipping_cost: Option<ShippingCostReport>,
    /// The same, with tax.
    pub amount_shipping: i64,
    /// Whether the customer pays tax.
    pub customer_tax_exempt: TaxExempt,
    /// The customer's balance before finalization; for a draft, as it is now.
    pub starting_balance: Option<i64>,
    /// The customer's balance after finalization; for a draft, as it would be.
    pub ending_balance: Option<i64>,
    /// What was to be paid at finalization.
    pub amount_due: i64,
    /// What was paid.
    pub amount_paid: i64,
    /// What remains to be paid.
    pub amount_remaining: i64,
    /// What was paid beyond what was due.
    pub amount_overpaid: i64,
    /// What remained and is no longer asked for.
    pub amount_forgiven: i64,
    /// What credit notes took off the amount due.
    pub pre_payment_credit_notes_amount: i64,
    /// What credit notes gave back after it was paid.
    pub post_payment_credit_notes_amount: i64,
    /// The payment method that it is collected from, where it has its own.
    pub default_payment_method: Option<String>,
    /// Its payments: the one that follows what remains, and those that were attached.
    pub payments: Vec<PaymentReport>,
    /// The attempt whose outcome is awaited.
    pub payment_attempt: Option<AttemptReport>,
    /// Whether an attempt to collect it was made.
    pub attempted: bool,
    /// Whether it goes on by itself.
    pub auto_advance: bool,
    /// How it is collected.
    pub collection_method: CollectionMethod,
    /// When a draft finalizes by itself.
    pub automatically_finalizes_at: Option<Timestamp>,
    /// Why it could not be finalized by itself.
    pub last_finalization_error: Option<FinalizationError>,
    /// The date on the document.
    pub effective_at: Option<Timestamp>,
    /// The invoice that it replaces, or is to replace.
    pub from_invoice: Option<FromInvoice>,
    /// The invoice that was made last to replace it.
    pub latest_revision: Option<InvoiceId>,
    /// What it corrects, because usage came late.
    pub corrects: Option<CorrectionReport>,
    /// The invoice that corrected it last.
    pub latest_correction: Option<InvoiceId>,
    /// The customer's name when it was finalized.
    pub customer_name: Option<String>,
    /// The customer's e-mail address then.
    pub customer_email: Option<String>,
    /// The customer's phone number then.
    pub customer_phone: Option<String>,
    /// The customer's address then.
    pub customer_address: Option<Address>,
    /// When it changed status.
    pub status_transitions: TransitionsReport,
    /// Free text.
    pub description: Option<String>,
    /// Metadata.
    pub metadata: Metadata,
    /// Its lines, in order.
    pub lines: Vec<LineReport>,
}

/// What an invoice corrects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CorrectionReport {
    /// The invoice that had billed the usage before.
    pub invoice: InvoiceId,
    /// The credit note that gave back what it had billed.
    pub credit_note: Option<CreditNoteId>,
}

/// When an invoice changed status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TransitionsReport {
    /// When it was finalized.
    pub finalized_at: Option<Timestamp>,
    /// When it was marked uncollectible.
    pub marked_uncollectible_at: Option<Timestamp>,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
    /// When it was voided.
    pub voided_at: Option<Timestamp>,
}

/// A payment of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentReport {
    /// Its id.
    pub id: InvoicePaymentId,
    /// How much it was to bring.
    pub amount_requested: i64,
    /// How much it brought.
    pub amount_paid: Option<i64>,
    /// Where it stands.
    pub status: InvoicePaymentStatus,
    /// Whether it is the one that follows what remains.
    pub is_default: bool,
    /// Where the money comes from.
    pub payment: PaymentSourceReport,
    /// When it was made.
    pub created: Timestamp,
    /// When it changed status.
    pub status_transitions: PaymentTransitionsReport,
}

/// Where the money of a payment comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentSourceReport {
    /// `payment_intent` or `payment_record`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it is called where it was received.
    pub payment_record: Option<String>,
}

/// An attempt to collect an invoice, whose outcome is awaited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptReport {
    /// Its id.
    pub id: PaymentAttemptId,
    /// `processing` where its outcome takes days, else `pending`.
    pub status: &'static str,
    /// How much it is to bring.
    pub amount: i64,
    /// What is charged.
    pub payment_method: String,
    /// When it was made.
    pub created: Timestamp,
}

impl AttemptReport {
    fn of(attempt: &Attempt) -> Self {
        let processing = attempt.processing_since.is_some();
        Self {
            id: attempt.id.clone(),
            status: if processing { "processing" } else { "pending" },
            amount: attempt.amount,
            payment_method: attempt.payment_method.clone(),
            created: attempt.created,
        }
    }
}

/// When a payment changed status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PaymentTransitionsReport {
    /// When it was canceled.
    pub canceled_at: Option<Timestamp>,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
}

impl PaymentReport {
    fn of(payment: &InvoicePayment) -> Self {
        let (kind, payment_record) = match &payment.kind {
            InvoicePaymentKind::PaymentIntent => ("payment_intent", None),
            InvoicePaymentKind::PaymentRecord(name) => ("payment_record", name.clone()),
        };
        Self {
            id: payment.id.clone(),
            amount_requested: payment.amount_requested,
            amount_paid: payment.amount_paid,
            status: payment.status,
            is_default: payment.is_default,
            payment: PaymentSourceReport { kind, payment_record },
            created: payment.created,
            status_transitions: PaymentTransitionsReport {
                canceled_at: payment.canceled_at,
                paid_at: payment.paid_at,
            },
        }
    }
}

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineReport {
    /// Its id; that of a draft's line is not fixed yet.
    pub id: Id<kind::InvoiceLine>,
    /// What a person reads.
    pub description: String,
    /// The amount; signed.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
    /// The quantity that the amount is for.
    #[serde(serialize_with = "quantity")]
    pub quantity: Decimal12,
    /// The price.
    pub price: Option<PriceId>,
    /// The period that is served.
    pub period: Period,
    /// Whether the amount is for a part of a period.
    pub proration: bool,
    /// The subscription item that is charged.
    pub subscription_item: Option<SubscriptionItemId>,
    /// The invoice item that became this line.
    pub invoice_item: Option<InvoiceItemId>,
    /// What a proration gives back, where it was charged by a line or an invoice item.
    pub proration_details: ProrationReport,
    /// Whether discounts apply.
    pub discountable: bool,
    /// The discounts on the line itself.
    pub discounts: Vec<DiscountReport>,
    /// What each discount takes off.
    pub discount_amounts: Vec<DiscountAmountReport>,
    /// The tax rates of the line itself.
    pub tax_rates: Vec<TaxRateId>,
    /// What each tax rate takes.
    pub tax_amounts: Vec<TaxAmountReport>,
    /// Discounts, as what is taken off before tax.
    pub pretax_credit_amounts: Vec<PretaxCreditReport>,
}

/// What a proration gives back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProrationReport {
    /// What charged for the time that is given back.
    pub credited_items: Option<CreditedItemsReport>,
}

/// What charged for the time that is given back: an invoice item, or a line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreditedItemsReport {
    /// `invoice_item` or `invoice_line_items`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The invoice item.
    pub invoice_item: Option<InvoiceItemId>,
    /// The line.
    pub invoice_line_item_details: Option<CreditedLinesReport>,
}

/// The line of an invoice that charged for the time that is given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreditedLinesReport {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Its line.
    pub invoice_line_items: [Id<kind::InvoiceLine>; 1],
}

/// An invoice item that waits for an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvoiceItemReport {
    /// Its id.
    pub id: InvoiceItemId,
    /// Who pays.
    pub customer: CustomerId,
    /// The subscription whose invoices alone may take it.
    pub subscription: Option<SubscriptionId>,
    /// The draft that took it.
    pub invoice: Option<InvoiceId>,
    /// What a person reads.
    pub description: String,
    /// The amount; signed.
    pub amount: i64,
    /// The amount less the discounts beside it.
    pub net_amount: i64,
    /// The currency.
    pub currency: Currency,
    /// The quantity that the amount is for.
    #[serde(serialize_with = "quantity")]
    pub quantity: Decimal12,
    /// The price it was computed from.
    pub price: Option<PriceId>,
    /// The period that is served.
    pub period: Period,
    /// Whether the amount is for a part of a period.
    pub proration: bool,
    /// The subscription item that is charged.
    pub subscription_item: Option<SubscriptionItemId>,
    /// What a proration gives back, where it was charged by a line or an invoice item.
    pub proration_details: ProrationReport,
    /// Whether discounts apply.
    pub discountable: bool,
    /// The discounts on it.
    pub discounts: Vec<DiscountReport>,
    /// What discounts take off a proration, where that is shown beside it.
    pub discount_amounts: Vec<DiscountAmountReport>,
    /// Its tax rates.
    pub tax_rates: Vec<TaxRateId>,
    /// When it was created.
    pub date: Timestamp,
    /// Metadata.
    pub metadata: Metadata,
}

impl SubscriptionReport {
    pub(super) fn of(subscription: &Subscription) -> Self {
        let period = subscription.current_period();
        // The book keeps newer items first, as invoices show them; a list is in order of creation.
        let mut items: Vec<_> = subscription.items.iter().collect();
        items.sort_by_key(|item| item.created);
        let interval = subscription.pending_item_interval;
        Self {
            id: subscription.id.clone(),
            customer: subscription.customer.clone(),
            status: subscription.status,
            billing_cycle_anchor: subscription.billing_cycle_anchor(),
            billing_mode: BillingModeReport::of(subscription),
            current_period_start: period.start,
            current_period_end: period.end,
            trial_start: subscription.trial.map(|trial| trial.start),
            trial_end: subscription.trial.map(|trial| trial.end),
            cancel_at: subscription.cancel_at,
            cancel_at_period_end: subscription.cancel_at_period_end,
            canceled_at: subscription.canceled_at,
            ended_at: subscription.ended_at,
            cancellation_details: CancellationReport { reason: subscription.cancellation_reason },
            latest_invoice: subscription.latest_invoice.clone(),
            items: items.into_iter().map(SubscriptionItemReport::of).collect(),
            trial_settings: subscription.trial_settings,
            pending_update: PendingUpdateReport::of(subscription),
            schedule: subscription.schedule.clone(),
            pause_collection: subscription.pause_collection,
            billing_thresholds: subscription.billing_thresholds,
            pending_invoice_item_interval: interval.map(|own| PendingItemIntervalInput {
                interval: own.interval.unit,
                interval_count: Some(own.interval.count),
            }),
            next_pending_invoice_item_invoice: interval
                .filter(|_| !subscription.is_ended())
                .map(|own| own.next),
            created: subscription.created,
            start_date: subscription.start_date,
            currency: subscription.currency,
            collection_method: subscription.collection_method,
            days_until_due: subscription.days_until_due,
            default_payment_method: subscription.default_payment_method.clone(),
            discounts: terms::discounts(&subscription.discounts),
            default_tax_rates: subscription.default_tax_rates.clone(),
            description: subscription.description.clone(),
            metadata: subscription.metadata.clone(),
        }
    }
}

impl BillingModeReport {
    fn of(subscription: &Subscription) -> Self {
        let mode = subscription.billing_mode;
        let flexible = FlexibleReport { proration_discounts: mode.proration_discounts };
        Self {
            kind: mode.kind,
            flexible: (!mode.is_classic()).then_some(flexible),
            updated_at: mode.updated_at.unwrap_or(subscription.created),
        }
    }
}

impl ProrationReport {
    fn of(derivation: Option<&Derivation>) -> Self {
        let base = match derivation {
            Some(Derivation::Changed(details)) if details.kind == ProrationKind::Unused => {
                &details.base
            }
            _ => &ProrationBase::Price,
        };
        let credited_items = match base {
            ProrationBase::Price | ProrationBase::Added { .. } => None,
            ProrationBase::Item { invoice_item, .. } => Some(CreditedItemsReport {
                kind: "invoice_item",
                invoice_item: Some(invoice_item.clone()),
                invoice_line_item_details: None,
            }),
            ProrationBase::Line { invoice, line, .. } => Some(CreditedItemsReport {
                kind: "invoice_line_items",
                invoice_item: None,
                invoice_line_item_details: Some(CreditedLinesReport {
                    invoice: invoice.clone(),
                    invoice_line_items: [line.clone()],
                }),
            }),
        };
        Self { credited_items }
    }
}

impl PendingUpdateReport {
    /// One that comes about at once or not at all is not seen.
    fn of(subscription: &Subscription) -> Option<Self> {
        let pending = subscription.pending_update.as_ref().filter(|own| !own.or_nothing)?;
        let mut items: Vec<_> = pending.items.iter().collect();
        items.sort_by_key(|item| item.created);
        Some(Self {
            expires_at: pending.expires_at,
            billing_cycle_anchor: pending.anchor.at,
            subscription_items: items.into_iter().map(SubscriptionItemReport::of).collect(),
        })
    }
}

impl SubscriptionItemReport {
    fn of(item: &SubscriptionItem) -> Self {
        Self {
            id: item.id.clone(),
            price: item.price.clone(),
            quantity: item.quantity,
            current_period_start: item.period.start,
            current_period_end: item.period.end,
            billed_until: item.billed_until(),
            created: item.created,
            discounts: terms::discounts(&item.discounts),
            tax_rates: item.tax_rates.clone(),
            billing_thresholds: item.billing_thresholds,
            metadata: item.metadata.clone(),
        }
    }
}

/// The thresholds that an invoice was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThresholdReasonReport {
    /// The amount that was reached.
    pub amount_gte: Option<i64>,
    /// The items whose usage reached a threshold of their own.
    pub item_reasons: Vec<ItemReasonReport>,
}

/// An item whose usage reached its threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemReasonReport {
    /// The lines for its usage.
    pub line_item_ids: Vec<InvoiceLineId>,
    /// The usage that was reached.
    pub usage_gte: i64,
}

impl ThresholdReasonReport {
    fn of(invoice: &Invoice) -> Option<Self> {
        let reason = invoice.threshold_reason.as_ref()?;
        let of_item = |own: &ItemReason| {
            let lines = invoice.usage_lines_of(&own.subscription_item);
            let line_item_ids = lines.map(|line| line.id.clone()).collect();
            ItemReasonReport { line_item_ids, usage_gte: own.usage_gte }
        };
        let item_reasons = reason.item_reasons.iter().map(of_item).collect();
        Some(Self { amount_gte: reason.amount_gte, item_reasons })
    }
}

impl InvoiceReport {
    pub(super) fn of(view: &InvoiceView) -> Self {
        let invoice = &view.invoice;
        let moved = invoice.status_transitions;
        Self {
            id: invoice.id.clone(),
            customer: invoice.customer.clone(),
            subscription: invoice.subscription.clone(),
            number: invoice.number.clone(),
            status: invoice.status,
            billing_reason: invoice.billing_reason,
            threshold_reason: ThresholdReasonReport::of(invoice),
            currency: invoice.currency,
            created: invoice.created,
            period_start: invoice.period.start,
            period_end: invoice.period.end,
            due_date: invoice.due_date,
            attempt_count: invoice.attempt_count,
            next_payment_attempt: invoice.next_payment_attempt,
            subtotal: invoice.subtotal,
            total: invoice.total,
            subtotal_excluding_tax: invoice.subtotal_excluding_tax(),
            total_excluding_tax: invoice.total_excluding_tax(),
            discounts: terms::discounts(&invoice.discounts),
            total_discount_amounts: terms::discount_amounts(&invoice.total_discount_amounts),
            default_tax_rates: invoice.default_tax_rates.clone(),
            total_taxes: terms::tax_amounts(&invoice.total_taxes),
            shipping_cost: invoice.shipping_cost.as_ref().map(ShippingCostReport::of),
            amount_shipping: invoice.shipping_cost.as_ref().map_or(0, ShippingCost::amount_total),
            customer_tax_exempt: invoice.customer_tax_exempt,
            starting_balance: invoice.starting_balance,
            ending_balance: invoice.ending_balance,
            amount_due: invoice.amount_due,
            amount_paid: invoice.amount_paid,
            amount_remaining: invoice.amount_remaining(),
            amount_overpaid: invoice.amount_overpaid,
            amount_forgiven: invoice.amount_forgiven,
            pre_payment_credit_notes_amount: invoice.pre_payment_credit_notes_amount,
            post_payment_credit_notes_amount: invoice.post_payment_credit_notes_amount,
            default_payment_method: invoice.default_payment_method.clone(),
            payments: invoice.all_payments().iter().map(PaymentReport::of).collect(),
            payment_attempt: invoice.open_attempt.as_deref().map(AttemptReport::of),
            attempted: invoice.attempt_count > 0,
            auto_advance: invoice.auto_advance,
            collection_method: invoice.collection_method,
            automatically_finalizes_at: invoice.finalizes_at,
            last_finalization_error: invoice.last_finalization_error.as_deref().cloned(),
            effective_at: invoice.effective_at,
            from_invoice: invoice
                .revises
                .clone()
                .map(|invoice| FromInvoice { action: FromInvoiceAction::Revision, invoice }),
            latest_revision: invoice.latest_revision.clone(),
            corrects: invoice.corrects.as_ref().map(|own| CorrectionReport {
                invoice: own.invoice.clone(),
                credit_note: own.credit_note.clone(),
            }),
            latest_correction: invoice.latest_correction.clone(),
            customer_name: invoice.customer_details.name.clone(),
            customer_email: invoice.customer_details.email.clone(),
            customer_phone: invoice.customer_details.phone.clone(),
            customer_address: invoice.customer_details.address.clone(),
            status_transitions: TransitionsReport {
                finalized_at: moved.finalized_at,
                marked_uncollectible_at: moved.marked_uncollectible_at,
                paid_at: moved.paid_at,
                voided_at: moved.voided_at,
            },
            description: invoice.description.clone(),
            metadata: invoice.metadata.clone(),
            lines: view.lines.iter().map(|line| LineReport::of(line, invoice.currency)).collect(),
        }
    }
}

impl LineReport {
    fn of(line: &Line, currency: Currency) -> Self {
        Self {
            id: line.id.clone(),
            description: line.text().to_owned(),
            amount: line.amount,
            currency,
            quantity: line.quantity,
            price: line.price.clone(),
            period: line.period,
            proration: line.proration,
            subscription_item: line.subscription_item.clone(),
            invoice_item: line.invoice_item.clone(),
            proration_details: ProrationReport::of(Some(&line.derivation)),
            discountable: line.discountable,
            discounts: terms::discounts(&line.discounts),
            discount_amounts: terms::discount_amounts(&line.discount_amounts),
            tax_rates: line.tax_rates.clone(),
            tax_amounts: terms::tax_amounts(&line.taxes),
            pretax_credit_amounts: terms::pretax_credits(line),
        }
    }
}

impl InvoiceItemReport {
    pub(super) fn of(item: &InvoiceItem) -> Self {
        Self {
            id: item.id.clone(),
            customer: item.customer.clone(),
            subscription: item.subscription.clone(),
            invoice: item.invoice.clone(),
            description: item.text().to_owned(),
            amount: item.amount,
            net_amount: item.net_amount(),
            currency: item.currency,
            quantity: item.quantity,
            price: item.price.clone(),
            period: item.period,
            proration: item.proration,
            subscription_item: item.subscription_item.clone(),
            proration_details: ProrationReport::of(item.derivation.as_ref()),
            discountable: item.discountable,
            discounts: terms::discounts(&item.discounts),
            discount_amounts: terms::discount_amounts(&item.discount_amounts),
            tax_rates: item.tax_rates.clone(),
            date: item.created,
            metadata: item.metadata.clone(),
        }
    }
}
