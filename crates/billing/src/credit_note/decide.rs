//! Credit note commands to events.

use super::event::VoidedNote;
use super::share::{Share, add_tax, spread, within, without_tax};
use super::{
    CreateCreditNote, CreditNote, CreditNoteEvent, CreditNoteId, CreditNoteLine, CreditNoteLineId,
    CreditNoteLineInput, CreditNoteLineType, CreditNoteStatus, CreditNoteType, CreditShippingInput,
    Credited, Refund, TaxAmountInput, UpdateCreditNote,
};
use crate::customer::{BalanceTransactionKind, Customer};
use crate::discount::Terms;
use crate::invoice::{Deferral, Invoice, InvoiceId, InvoiceLineId, InvoiceStatus, Line, Numbered};
use crate::tax::{TaxAmount, TaxRate, TaxRateId, TaxRounding, Taxes, check_tax_rates};
use crate::{Texts, text};
use counterfoil_core::{
    ArithmeticError, Decimal12, Exact, Id, Metadata, Refusal, Timestamp, cumulative_share, limits,
};
use std::sync::Arc;

/// What a credit note is decided with.
pub struct NoteContext<'a> {
    /// The invoice.
    pub invoice: &'a Invoice,
    /// The credit notes on it so far, void ones too, oldest first.
    pub notes: &'a [&'a CreditNote],
    /// Whose invoice.
    pub customer: &'a Customer,
    /// Where tax rates are found.
    pub terms: &'a dyn Terms,
}

/// Issues a credit note (rule 10).
///
/// # Errors
/// [`Refusal::StateUnsupported`] unless the invoice is open, paid or uncollectible and no payment of
/// it is in flight; [`Refusal::ParameterInvalid`] for anything but one basis, for more than is left
/// of a line, of a tax or of the invoice, and where refunds and credit are not exactly what was paid.
pub fn decide_create(
    context: &NoteContext<'_>,
    command: &CreateCreditNote,
    (id, seq): (CreditNoteId, u64),
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<CreditNoteEvent, Refusal> {
    let invoice = context.invoice;
    check_creditable(context, command)?;
    text::check_optional("memo", command.memo.as_deref())?;
    let draft = match (command.amount, command.lines.as_slice(), command.shipping_cost) {
        (None, [], None) => return Err(Refusal::missing("amount")),
        (Some(amount), [], None) => Draft::of_amount(context, amount, at)?,
        (None, [], Some(input)) => Draft::of_shipping(context, input, seq)?,
        (None, lines, None) => Draft::of_lines(context, lines, seq, at)?,
        (amount, ..) => {
            let reason = "give one of an amount, lines and shipping_cost";
            let param = if amount.is_some() { "amount" } else { "shipping_cost" };
            return Err(Refusal::invalid(param, reason));
        }
    };
    let credited = issued(context.notes).map(|note| note.total).fold(0, i64::saturating_add);
    let left = invoice.total.saturating_sub(credited);
    if draft.total <= 0 {
        return Err(Refusal::invalid("amount", "a credit note comes to more than nothing"));
    }
    if draft.total > left {
        return Err(Refusal::too_large(format!("a credit note of {}", draft.total), left));
    }
    check_taxes(context, &draft)?;
    let remaining = match invoice.status {
        InvoiceStatus::Open | InvoiceStatus::Uncollectible => invoice.amount_remaining(),
        _ => 0,
    };
    let pre = draft.total.min(remaining);
    let post = draft.total.saturating_sub(pre);
    let given = given_back(context, command, post)?;
    let balance_transaction = if given.credit == 0 {
        None
    } else {
        let kind = BalanceTransactionKind::CreditNote;
        let change = (kind, given.credit.checked_neg().ok_or(ArithmeticError::Overflow)?);
        let mut posted = invoice.balance_transaction(context.customer, change, ids, at)?;
        posted.credit_note = Some(id.clone());
        Some(posted)
    };
    let note = CreditNote {
        id,
        seq,
        customer: invoice.customer.clone(),
        invoice: invoice.id.clone(),
        number: number(context),
        currency: invoice.currency,
        created: at,
        effective_at: command.effective_at.unwrap_or(at),
        status: CreditNoteStatus::Issued,
        kind: match (pre, post) {
            (_, 0) => CreditNoteType::PrePayment,
            (0, _) => CreditNoteType::PostPayment,
            _ => CreditNoteType::Mixed,
        },
        reason: command.reason,
        lines: draft.lines,
        subtotal: draft.subtotal,
        total_taxes: draft.total_taxes,
        total: draft.total,
        pre_payment_amount: pre,
        post_payment_amount: post,
        refund_amount: given.refund,
        refunds: given.refunds,
        out_of_band_amount: given.out_of_band,
        balance_transaction,
        taken_back: draft.taken_back,
        contra_taken_back: draft.contra_taken_back,
        correction: None,
        was_uncollectible: invoice.status == InvoiceStatus::Uncollectible,
        voided_at: None,
        memo: command.memo.clone(),
        metadata: Metadata::of(command.metadata.as_ref())?,
    };
    let settles = remaining > 0 && pre == remaining;
    Ok(CreditNoteEvent::Created { credit_note: note.into(), settles })
}

/// Issues the credit note that takes off whole lines of an invoice, which another invoice bills anew
/// (rule 12.8). What was paid of them becomes credit of the customer. None where they come to nothing,
/// or to more than a note may.
///
/// # Errors
/// As [`decide_create`].
pub fn decide_correction(
    context: &NoteContext<'_>,
    (lines, by): (&[&Line], &InvoiceId),
    place: (CreditNoteId, u64),
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<Option<CreditNoteEvent>, Refusal> {
    let invoice = context.invoice;
    let input = |line: &&Line| CreditNoteLineInput::amount(line.id.clone(), line.amount);
    let lines: Vec<_> = lines.iter().filter(|line| line.amount != 0).map(input).collect();
    if lines.is_empty() || lines.len() > limits::CREDIT_NOTE_LINES_MAX {
        return Ok(None);
    }
    let total = Draft::of_lines(context, &lines, place.1, at)?.total;
    let credited = issued(context.notes).map(|note| note.total).fold(0, i64::saturating_add);
    if total <= 0 || total > invoice.total.saturating_sub(credited) {
        return Ok(None);
    }
    let remaining = match invoice.status {
        InvoiceStatus::Open | InvoiceStatus::Uncollectible => invoice.amount_remaining(),
        _ => 0,
    };
    let mut command = CreateCreditNote::new(invoice.id.clone());
    command.credit_amount = Some(total.saturating_sub(remaining)).filter(|credit| *credit > 0);
    command.lines = lines;
    let mut event = decide_create(context, &command, place, ids, at)?;
    if let CreditNoteEvent::Created { credit_note, .. } = &mut event {
        Arc::make_mut(credit_note).correction = Some(by.clone());
    }
    Ok(Some(event))
}

fn check_creditable(context: &NoteContext<'_>, command: &CreateCreditNote) -> Result<(), Refusal> {
    let invoice = context.invoice;
    let refused =
        |reason: String| Err(Refusal::state("invoice", &invoice.id, invoice.status, reason));
    if !invoice.counts() {
        let reason = "only an invoice that is open, paid or uncollectible can be credited";
        return refused(reason.to_owned());
    }
    if let Some(attempt) = invoice.open_attempt.as_ref().filter(|_| invoice.amount_remaining() > 0)
    {
        return refused(format!("the outcome of {} is awaited", attempt.id));
    }
    if context.customer.erased.is_some() && command.is_personal() {
        let reason = "nothing personal can be given to it any more";
        return Err(Refusal::state("customer", &context.customer.id, "erased", reason));
    }
    Ok(())
}

/// No more of a tax is taken back than the lines of the invoice and its shipping were charged.
fn check_taxes(context: &NoteContext<'_>, draft: &Draft) -> Result<(), Refusal> {
    for tax in draft.total_taxes.iter().filter(|tax| tax.amount > 0) {
        let rate = &tax.tax_rate;
        let lines = context.invoice.lines().map(|line| &line.taxes);
        let shipping = context.invoice.shipping_cost.iter().map(|cost| &cost.taxes);
        let charged = lines.chain(shipping).fold(0_i64, |sum, taxes| {
            let own = taxes.iter().filter(|own| own.tax_rate == *rate && own.amount > 0);
            own.map(|own| own.amount).fold(sum, i64::saturating_add)
        });
        let taken = taken_of(issued(context.notes), rate, |tax| tax.amount);
        let left = charged.saturating_sub(taken);
        if tax.amount > left {
            let reason = format!(
                "{} of the tax of {rate}, of which the invoice has {left} left to be taken back",
                tax.amount
            );
            return Err(Refusal::invalid("lines", reason));
        }
    }
    Ok(())
}

/// What notes took back of a figure of a tax.
fn taken_of<'a>(
    notes: impl Iterator<Item = &'a CreditNote>,
    rate: &TaxRateId,
    figure: fn(&TaxAmount) -> i64,
) -> i64 {
    let taxes = notes.flat_map(|note| &note.total_taxes).filter(|tax| tax.tax_rate == *rate);
    taxes.map(figure).fold(0, i64::saturating_add)
}

/// `NUMBER-CN-01`, counting void ones too.
fn number(context: &NoteContext<'_>) -> String {
    let of_invoice = context.invoice.number.as_deref().unwrap_or_default();
    format!("{of_invoice}-CN-{:02}", context.notes.len().saturating_add(1))
}

fn issued<'a>(notes: &'a [&'a CreditNote]) -> impl Iterator<Item = &'a CreditNote> {
    notes.iter().copied().filter(|note| note.is_issued())
}

/// What was paid and is given back.
struct Given {
    refund: i64,
    refunds: Vec<Refund>,
    credit: i64,
    out_of_band: i64,
}

/// What was paid and is given back must be exactly what the note comes to beyond what was still to be
/// paid, and no more money than came (E31).
fn given_back(
    context: &NoteContext<'_>,
    command: &CreateCreditNote,
    post: i64,
) -> Result<Given, Refusal> {
    let mut refunds = Vec::with_capacity(command.refunds.len());
    let mut refund = not_negative("refund_amount", command.refund_amount)?;
    for (index, input) in command.refunds.iter().enumerate() {
        let param = format!("refunds[{index}]");
        text::check(&format!("{param}.refund"), &input.refund)?;
        let param = format!("{param}.amount_refunded");
        let amount = not_negative(&param, Some(input.amount_refunded))?;
        refund = refund.checked_add(amount).ok_or(ArithmeticError::Overflow)?;
        refunds.push(Refund { refund: input.refund.clone(), amount_refunded: amount });
    }
    let credit = not_negative("credit_amount", command.credit_amount)?;
    let out_of_band = not_negative("out_of_band_amount", command.out_of_band_amount)?;
    let sum = [refund, credit, out_of_band].into_iter().map(i128::from).sum::<i128>();
    if sum != i128::from(post) {
        let reason = format!(
            "refunds, credit and what was given back elsewhere come to {sum}, but {post} of the \
             note was paid"
        );
        return Err(Refusal::invalid("refund_amount", reason));
    }
    let before = |amount: fn(&CreditNote) -> i64| {
        issued(context.notes).map(amount).fold(0, i64::saturating_add)
    };
    let refunded = before(|note| note.refund_amount);
    let elsewhere = before(|note| note.out_of_band_amount);
    let invoice = context.invoice;
    let charged = invoice.amount_charged().saturating_sub(refunded);
    if refund > charged {
        return Err(Refusal::too_large(format!("a refund of {refund}"), charged));
    }
    let came = invoice.amount_paid.saturating_sub(refunded).saturating_sub(elsewhere);
    if refund.saturating_add(out_of_band) > came {
        let what = format!("giving back {}", refund.saturating_add(out_of_band));
        return Err(Refusal::too_large(what, came));
    }
    Ok(Given { refund, refunds, credit, out_of_band })
}

fn not_negative(param: &str, amount: Option<i64>) -> Result<i64, Refusal> {
    let amount = amount.unwrap_or(0);
    if amount < 0 {
        return Err(Refusal::invalid(param, format!("{amount} is negative")));
    }
    if amount > limits::AMOUNT_MINOR_MAX {
        return Err(Refusal::too_large(format!("{param} {amount}"), limits::AMOUNT_MINOR_MAX));
    }
    Ok(amount)
}

/// What a credit note takes off, before it is said who gets it.
struct Draft {
    lines: Vec<CreditNoteLine>,
    subtotal: i64,
    total_taxes: Vec<TaxAmount>,
    total: i64,
    taken_back: Vec<Deferral>,
    contra_taken_back: Vec<Deferral>,
}

impl Draft {
    /// An amount of the whole, with tax: revenue is taken back as its lines earn it.
    fn of_amount(context: &NoteContext<'_>, amount: i64, at: Timestamp) -> Result<Self, Refusal> {
        let total_taxes = taxes_of_amount(context, amount)?;
        let added = total_taxes.iter().filter(|tax| !tax.inclusive).map(|tax| tax.amount);
        let subtotal = added.fold(amount, i64::saturating_sub);
        let taken_back = spread(without_tax(amount, &total_taxes), context.invoice, at)?;
        Ok(Self {
            lines: Vec::new(),
            subtotal,
            total_taxes,
            total: amount,
            taken_back,
            contra_taken_back: Vec::new(),
        })
    }

    /// What was charged for shipping, or a part of it, with its part of the tax.
    fn of_shipping(
        context: &NoteContext<'_>,
        input: CreditShippingInput,
        seq: u64,
    ) -> Result<Self, Refusal> {
        let param = "shipping_cost";
        let Some(line) = context.invoice.shipping_line() else {
            let reason = format!("{} charges nothing for shipping", context.invoice.id);
            return Err(Refusal::invalid(param, reason));
        };
        let notes = issued(context.notes).filter_map(CreditNote::shipping);
        let done = Share::sum(&line, notes);
        let left = line.amount.saturating_sub(done.amount);
        let part = input.amount.unwrap_or(left);
        if !(1..=left).contains(&part) {
            let reason = format!("{part} of shipping, of which {left} is left");
            return Err(Refusal::invalid(format!("{param}.amount"), reason));
        }
        let after = done.amount.saturating_add(part);
        let share = Share::next(&line, &done, (after, line.amount), Some(part))?;
        let (revenue, _) = share.revenue(line.period);
        let mut draft = Self {
            lines: Vec::new(),
            subtotal: 0,
            total_taxes: Vec::new(),
            total: 0,
            taken_back: vec![revenue],
            contra_taken_back: Vec::new(),
        };
        draft.add(CreditNoteLine {
            id: Id::numbered(seq, 1),
            credited: Credited::Shipping,
            name: line.name,
            description: None,
            amount: share.amount,
            quantity: None,
            unit_amount: None,
            discount_amounts: Vec::new(),
            taxes: share.taxes,
        })?;
        draft.taken_back.retain(|own| own.amount != 0);
        Ok(draft)
    }

    fn add(&mut self, line: CreditNoteLine) -> Result<(), ArithmeticError> {
        let overflow = ArithmeticError::Overflow;
        self.subtotal = self.subtotal.checked_add(line.amount).ok_or(overflow)?;
        self.total = self.total.checked_add(line.total()).ok_or(overflow)?;
        for tax in &line.taxes {
            match self.total_taxes.iter_mut().find(|known| known.tax_rate == tax.tax_rate) {
                Some(known) => add_tax(known, tax),
                None => self.total_taxes.push(tax.clone()),
            }
        }
        self.lines.push(line);
        Ok(())
    }

    fn of_lines(
        context: &NoteContext<'_>,
        inputs: &[CreditNoteLineInput],
        seq: u64,
        at: Timestamp,
    ) -> Result<Self, Refusal> {
        let limit = limits::CREDIT_NOTE_LINES_MAX;
        if inputs.len() > limit {
            let reason = format!("{} lines (the limit is {limit})", inputs.len());
            return Err(Refusal::invalid("lines", reason));
        }
        let lines = Vec::with_capacity(inputs.len());
        let mut draft = Self {
            lines,
            subtotal: 0,
            total_taxes: Vec::new(),
            total: 0,
            taken_back: Vec::new(),
            contra_taken_back: Vec::new(),
        };
        let mut custom = 0_i64;
        for (index, input) in (0_u64..).zip(inputs) {
            let param = format!("lines[{index}]");
            text::check_optional(&format!("{param}.description"), input.description.as_deref())?;
            let id = Id::numbered(seq, index.saturating_add(1));
            let line = match input.kind {
                CreditNoteLineType::InvoiceLineItem => {
                    let (line, share) = of_invoice(context, &draft.lines, input, &param)?;
                    let (revenue, contra) = share.revenue(line.period);
                    draft.taken_back.push(revenue);
                    draft.contra_taken_back.push(contra);
                    let credited = match input.quantity {
                        Some(_) => Credited::Quantity(line.id.clone()),
                        None => Credited::Amount(line.id.clone()),
                    };
                    CreditNoteLine {
                        id,
                        credited,
                        name: line.name.clone(),
                        description: input.description.clone(),
                        amount: share.amount,
                        quantity: input.quantity,
                        unit_amount: None,
                        discount_amounts: share.discount_amounts,
                        taxes: share.taxes,
                    }
                }
                CreditNoteLineType::CustomLineItem => {
                    let line = of_itself(context, input, id, &param)?;
                    let net = without_tax(line.total(), &line.taxes);
                    custom = custom.checked_add(net).ok_or(ArithmeticError::Overflow)?;
                    line
                }
            };
            draft.add(line)?;
        }
        if custom != 0 {
            draft.taken_back.extend(spread(custom, context.invoice, at)?);
        }
        draft.taken_back.retain(|own| own.amount != 0);
        draft.contra_taken_back.retain(|own| own.amount != 0);
        Ok(draft)
    }
}

/// The taxes in an amount of the whole: its part of what notes of lines left of each, rounded over all
/// notes of an amount as one.
fn taxes_of_amount(context: &NoteContext<'_>, amount: i64) -> Result<Vec<TaxAmount>, Refusal> {
    let of_lines = || issued(context.notes).filter(|note| !note.lines.is_empty());
    let of_amounts = || issued(context.notes).filter(|note| note.lines.is_empty());
    let whole = of_lines().map(|note| note.total).fold(context.invoice.total, i64::saturating_sub);
    let before = of_amounts().map(|note| note.total).fold(0, i64::saturating_add);
    let part = before.saturating_add(amount);
    let mut taxes = Vec::new();
    // What is out of range is refused as a whole.
    if amount <= 0 || part > whole {
        return Ok(taxes);
    }
    let mut room = amount;
    for tax in &context.invoice.total_taxes {
        let rate = &tax.tax_rate;
        let figure = |figure: fn(&TaxAmount) -> i64| -> Result<i64, ArithmeticError> {
            let left = figure(tax).saturating_sub(taken_of(of_lines(), rate, figure));
            let done = taken_of(of_amounts(), rate, figure);
            let step = cumulative_share(left, part, whole)?.saturating_sub(done);
            Ok(within(step, left.saturating_sub(done)))
        };
        let own = figure(|tax| tax.amount)?.clamp(0, room);
        room = room.saturating_sub(own);
        taxes.push(TaxAmount {
            amount: own,
            taxable_amount: figure(|tax| tax.taxable_amount)?,
            waived: figure(|tax| tax.waived)?,
            ..tax.clone()
        });
    }
    Ok(taxes)
}

/// The lines of credit notes so far that took something off a line of the invoice.
fn on_line<'a>(
    context: &NoteContext<'a>,
    here: &'a [CreditNoteLine],
    id: &'a InvoiceLineId,
) -> impl Iterator<Item = &'a CreditNoteLine> {
    let before = issued(context.notes).flat_map(|note| &note.lines);
    before.chain(here).filter(move |line| line.invoice_line() == Some(id))
}

/// What was credited of a line of the invoice so far, in units and by amount.
fn credited<'a>(own: impl Iterator<Item = &'a CreditNoteLine>) -> (i64, i64) {
    own.fold((0, 0), |(units, amount), line| match &line.credited {
        Credited::Quantity(_) => (units.saturating_add(line.quantity.unwrap_or(0)), amount),
        _ => (units, amount.saturating_add(line.amount)),
    })
}

/// A part of a line of the invoice: by quantity or by amount, and always the same way (rule 10).
fn of_invoice<'a>(
    context: &NoteContext<'a>,
    here: &[CreditNoteLine],
    input: &CreditNoteLineInput,
    param: &str,
) -> Result<(&'a Line, Share), Refusal> {
    let of = |field: &str| format!("{param}.{field}");
    let given = [
        ("unit_amount", input.unit_amount.is_some()),
        ("unit_amount_decimal", input.unit_amount_decimal.is_some()),
        ("tax_rates", !input.tax_rates.is_empty()),
        ("tax_amounts", !input.tax_amounts.is_empty()),
    ];
    if let Some((field, _)) = given.iter().find(|(_, given)| *given) {
        let reason = "a line of the invoice has its own price and taxes";
        return Err(Refusal::invalid(of(field), reason));
    }
    let id = input.invoice_line_item.as_ref();
    let id = id.ok_or_else(|| Refusal::missing(of("invoice_line_item")))?;
    let line = context.invoice.lines().find(|line| line.id == *id);
    let line = line.ok_or_else(|| Refusal::unknown("line_item", id))?;
    let done = Share::sum(line, on_line(context, here, id));
    let (units, amount) = credited(on_line(context, here, id));
    let share = match (input.quantity, input.amount) {
        (Some(_), None) if amount != 0 => Err(mixed(of("quantity"), id, "amount")),
        (None, Some(_)) if units != 0 => Err(mixed(of("amount"), id, "quantity")),
        (Some(quantity), None) => of_units(line, &done, (units, quantity), &of("quantity")),
        (None, Some(part)) => of_part(line, &done, part, &of("amount")),
        (None, None) => Err(Refusal::missing(of("quantity"))),
        (Some(_), Some(_)) => {
            Err(Refusal::invalid(of("amount"), "give a quantity or an amount, not both"))
        }
    }?;
    Ok((line, share))
}

fn mixed(param: String, id: &InvoiceLineId, other: &str) -> Refusal {
    Refusal::invalid(param, format!("{id} was credited by {other} before"))
}

fn of_units(
    line: &Line,
    done: &Share,
    (before, quantity): (i64, i64),
    param: &str,
) -> Result<Share, Refusal> {
    let Some(whole) = line.quantity.as_int().filter(|whole| *whole > 0) else {
        let reason = format!("{} has a quantity of {}: give an amount", line.id, line.quantity);
        return Err(Refusal::invalid(param, reason));
    };
    let left = whole.saturating_sub(before);
    if !(1..=left).contains(&quantity) {
        let reason = format!("{quantity} of {}, of which {left} are left", line.id);
        return Err(Refusal::invalid(param, reason));
    }
    Ok(Share::next(line, done, (before.saturating_add(quantity), whole), None)?)
}

/// Negative lines are credited with negative amounts, and none beyond what it has.
fn of_part(line: &Line, done: &Share, part: i64, param: &str) -> Result<Share, Refusal> {
    let left = line.amount.saturating_sub(done.amount);
    let within = match line.amount.signum() {
        1 => (1..=left).contains(&part),
        -1 => (left..=-1).contains(&part),
        _ => false,
    };
    if !within {
        let reason = format!("{part} of {}, of which {left} is left", line.id);
        return Err(Refusal::invalid(param, reason));
    }
    let (after, whole) = (done.amount.saturating_add(part), line.amount);
    let parts = (after.saturating_abs(), whole.saturating_abs());
    Ok(Share::next(line, done, parts, Some(part))?)
}

/// A line that stands for itself.
fn of_itself(
    context: &NoteContext<'_>,
    input: &CreditNoteLineInput,
    id: CreditNoteLineId,
    param: &str,
) -> Result<CreditNoteLine, Refusal> {
    let of = |field: &str| format!("{param}.{field}");
    if input.invoice_line_item.is_some() {
        let reason = "a custom line is none of the invoice";
        return Err(Refusal::invalid(of("invoice_line_item"), reason));
    }
    if input.amount.is_some() {
        return Err(Refusal::invalid(of("amount"), "a custom line has unit_amount and quantity"));
    }
    let unit = match (input.unit_amount, input.unit_amount_decimal) {
        (Some(unit), None) => Decimal12::from_int(unit),
        (None, Some(unit)) => unit,
        (None, None) => return Err(Refusal::missing(of("unit_amount"))),
        (Some(_), Some(_)) => {
            let reason = "give unit_amount or unit_amount_decimal, not both";
            return Err(Refusal::invalid(of("unit_amount"), reason));
        }
    };
    let quantity = input.quantity.unwrap_or(1);
    if !(1..=limits::QUANTITY_MAX).contains(&quantity) {
        let reason = format!("{quantity} is not a quantity from 1 to {}", limits::QUANTITY_MAX);
        return Err(Refusal::invalid(of("quantity"), reason));
    }
    let factor = Exact::from_decimal(Decimal12::from_int(quantity));
    let amount = Exact::from_decimal(unit).checked_mul(factor)?.round()?;
    if amount <= 0 || amount > limits::AMOUNT_MINOR_MAX {
        let reason = format!("{amount} is not 1 to {}", limits::AMOUNT_MINOR_MAX);
        return Err(Refusal::invalid(of("unit_amount"), reason));
    }
    let taxes = match input.tax_amounts.as_slice() {
        [] => computed_taxes(context, &input.tax_rates, amount, &of("tax_rates"))?,
        given if input.tax_rates.is_empty() => given_taxes(context, given, amount, param)?,
        _ => {
            let reason = "give tax_rates or tax_amounts, not both";
            return Err(Refusal::invalid(of("tax_amounts"), reason));
        }
    };
    Ok(CreditNoteLine {
        id,
        credited: Credited::Custom,
        name: "Credit".to_owned(),
        description: input.description.clone(),
        amount,
        quantity: Some(quantity),
        unit_amount: Some(unit),
        discount_amounts: Vec::new(),
        taxes,
    })
}

/// The taxes of a line that stands for itself, by its rates.
fn computed_taxes(
    context: &NoteContext<'_>,
    rates: &[TaxRateId],
    amount: i64,
    param: &str,
) -> Result<Vec<TaxAmount>, Refusal> {
    check_tax_rates(param, rates, rates, context.terms)?;
    let rates = rates.iter().map(|id| context.terms.tax_rate(id));
    let rates = rates.collect::<Result<Vec<&TaxRate>, Refusal>>()?;
    let exempt = context.invoice.customer_tax_exempt;
    Ok(Taxes::new(exempt, TaxRounding::Line).of_line(amount, &rates)?)
}

/// The taxes of a line that stands for itself, as the caller computed them. Nothing is negative, and
/// what is in the amount is no more than that.
fn given_taxes(
    context: &NoteContext<'_>,
    given: &[TaxAmountInput],
    amount: i64,
    param: &str,
) -> Result<Vec<TaxAmount>, Refusal> {
    let rates: Vec<TaxRateId> = given.iter().map(|own| own.tax_rate.clone()).collect();
    check_tax_rates(&format!("{param}.tax_amounts"), &rates, &rates, context.terms)?;
    let mut inside = 0_i64;
    let mut taxes = Vec::with_capacity(given.len());
    for (index, own) in given.iter().enumerate() {
        let param = format!("{param}.tax_amounts[{index}]");
        let rate = context.terms.tax_rate(&own.tax_rate)?;
        let tax = not_negative(&format!("{param}.amount"), Some(own.amount))?;
        let taxable_amount =
            not_negative(&format!("{param}.taxable_amount"), Some(own.taxable_amount))?;
        if rate.inclusive {
            inside = inside.saturating_add(tax);
        }
        if inside > amount {
            let reason = format!("{inside} of tax cannot be in {amount}");
            return Err(Refusal::invalid(format!("{param}.amount"), reason));
        }
        taxes.push(TaxAmount {
            amount: tax,
            inclusive: rate.inclusive,
            taxable_amount,
            tax_rate: rate.id.clone(),
            taxability_reason: rate.taxability(),
            waived: 0,
        });
    }
    Ok(taxes)
}

/// Voids a credit note: its invoice asks for as much as before.
///
/// # Errors
/// [`Refusal::StateUnsupported`] unless it is issued, gave nothing back, and its invoice is open.
pub fn decide_void(
    note: &CreditNote,
    invoice: &Invoice,
    at: Timestamp,
) -> Result<CreditNoteEvent, Refusal> {
    if !note.is_issued() {
        return Err(Refusal::state("credit_note", &note.id, "void", "it is void already"));
    }
    if let Some(correction) = &note.correction {
        let reason = format!("what it takes off is billed anew by {correction}");
        return Err(Refusal::state("credit_note", &note.id, "issued", reason));
    }
    if note.kind != CreditNoteType::PrePayment || invoice.status != InvoiceStatus::Open {
        let reason = format!(
            "only a note that gave nothing back is voided, and only while its invoice is open; \
             {} is {}",
            invoice.id, invoice.status
        );
        return Err(Refusal::state("credit_note", &note.id, "issued", reason));
    }
    if let Some(attempt) = &invoice.open_attempt {
        let reason = format!("the outcome of {} is awaited", attempt.id);
        return Err(Refusal::state("invoice", &invoice.id, invoice.status, reason));
    }
    let voided = VoidedNote {
        customer: note.customer.clone(),
        id: note.id.clone(),
        invoice: note.invoice.clone(),
        at,
        currency: note.currency,
        amount: note.total,
        restored: note.taken_back.clone(),
        contra_restored: note.contra_taken_back.clone(),
        tax: note.total_tax(),
    };
    Ok(CreditNoteEvent::Voided(voided.into()))
}

/// Changes memo and metadata.
///
/// # Errors
/// [`Refusal::StateUnsupported`] where the customer was erased; limits of texts and metadata.
pub fn decide_update(
    note: &CreditNote,
    customer: &Customer,
    command: &UpdateCreditNote,
    at: Timestamp,
) -> Result<CreditNoteEvent, Refusal> {
    if customer.erased.is_some() {
        let reason = "nothing personal can be given to it any more";
        return Err(Refusal::state("customer", &customer.id, "erased", reason));
    }
    text::check_optional("memo", command.memo.value().map(String::as_str))?;
    let texts = Texts {
        description: command.memo.clone().apply_to(note.memo.clone()),
        metadata: text::patched_metadata(&note.metadata, &command.metadata)?,
    };
    let (customer, id) = (note.customer.clone(), note.id.clone());
    Ok(CreditNoteEvent::Updated { customer, id, at, texts })
}
