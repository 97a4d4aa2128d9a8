//! Credit note commands to events.

use super::event::VoidedNote;
use super::share::{between, spread};
use super::{
    CreateCreditNote, CreditNote, CreditNoteEvent, CreditNoteId, CreditNoteLine, CreditNoteLineId,
    CreditNoteLineInput, CreditNoteLineType, CreditNoteStatus, CreditNoteType, Credited, Refund,
    UpdateCreditNote,
};
use crate::customer::{BalanceTransactionKind, Customer};
use crate::invoice::{Deferral, Invoice, InvoiceLineId, InvoiceStatus, Line, Numbered};
use crate::{Texts, text};
use counterfoil_core::{
    ArithmeticError, Decimal12, Exact, Id, Metadata, Refusal, Timestamp, limits,
};

/// What a credit note is decided with.
pub struct NoteContext<'a> {
    /// The invoice.
    pub invoice: &'a Invoice,
    /// The credit notes on it so far, void ones too, oldest first.
    pub notes: &'a [&'a CreditNote],
    /// Whose invoice.
    pub customer: &'a Customer,
}

/// Issues a credit note (rule 10).
///
/// # Errors
/// [`Refusal::StateUnsupported`] unless the invoice is open, paid or uncollectible and no payment of
/// it is in flight; [`Refusal::ParameterInvalid`] for anything but one basis, for more than is left
/// of a line or of the invoice, and where refunds and credit are not exactly what was paid.
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
    let draft = match (command.amount, command.lines.as_slice()) {
        (None, []) => return Err(Refusal::missing("amount")),
        (Some(amount), []) => Draft::of_amount(context, amount, at)?,
        (None, lines) => Draft::of_lines(context, lines, seq, at)?,
        (Some(_), _) => {
            let reason = "give an amount or lines, not both";
            return Err(Refusal::invalid("amount", reason));
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
        subtotal: draft.total,
        total: draft.total,
        pre_payment_amount: pre,
        post_payment_amount: post,
        refund_amount: given.refund,
        refunds: given.refunds,
        out_of_band_amount: given.out_of_band,
        balance_transaction,
        taken_back: draft.taken_back,
        was_uncollectible: invoice.status == InvoiceStatus::Uncollectible,
        voided_at: None,
        memo: command.memo.clone(),
        metadata: Metadata::of(command.metadata.as_ref())?,
    };
    let settles = remaining > 0 && pre == remaining;
    Ok(CreditNoteEvent::Created { credit_note: note.into(), settles })
}

fn check_creditable(context: &NoteContext<'_>, command: &CreateCreditNote) -> Result<(), Refusal> {
    let invoice = context.invoice;
    let refused =
        |reason: String| Err(Refusal::state("invoice", &invoice.id, invoice.status, reason));
    if matches!(invoice.status, InvoiceStatus::Draft | InvoiceStatus::Void) {
        let reason = "only an invoice that is open, paid or uncollectible can be credited";
        return refused(reason.to_owned());
    }
    // What tax and discounts make of a part is not told yet, and a guess would be wrong.
    let changed = |line: &Line| !line.taxes.is_empty() || line.discounted() != 0;
    if invoice.lines().any(|line| changed(line)) {
        let reason = "it has taxes or discounts, and crediting a part of them is not built yet";
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
    total: i64,
    taken_back: Vec<Deferral>,
}

impl Draft {
    /// An amount of the whole: revenue is taken back as its lines earn it.
    fn of_amount(context: &NoteContext<'_>, amount: i64, at: Timestamp) -> Result<Self, Refusal> {
        let taken_back = spread(amount, context.invoice, at)?;
        Ok(Self { lines: Vec::new(), total: amount, taken_back })
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
        let mut draft = Self { lines, total: 0, taken_back: Vec::new() };
        let mut custom = 0_i64;
        for (index, input) in (0_u64..).zip(inputs) {
            let param = format!("lines[{index}]");
            text::check_optional(&format!("{param}.description"), input.description.as_deref())?;
            let id = Id::numbered(seq, index.saturating_add(1));
            let line = match input.kind {
                CreditNoteLineType::InvoiceLineItem => {
                    let (line, amount) = of_invoice(context, &draft.lines, input, &param)?;
                    draft.taken_back.push(Deferral { amount, period: line.period });
                    let credited = match input.quantity {
                        Some(_) => Credited::Quantity(line.id.clone()),
                        None => Credited::Amount(line.id.clone()),
                    };
                    CreditNoteLine {
                        id,
                        credited,
                        name: line.name.clone(),
                        description: input.description.clone(),
                        amount,
                        quantity: input.quantity,
                        unit_amount: None,
                    }
                }
                CreditNoteLineType::CustomLineItem => {
                    let line = of_itself(input, id, &param)?;
                    custom = custom.checked_add(line.amount).ok_or(ArithmeticError::Overflow)?;
                    line
                }
            };
            draft.total = draft.total.checked_add(line.amount).ok_or(ArithmeticError::Overflow)?;
            draft.lines.push(line);
        }
        if custom != 0 {
            draft.taken_back.extend(spread(custom, context.invoice, at)?);
        }
        draft.taken_back.retain(|own| own.amount != 0);
        Ok(draft)
    }
}

/// What was credited of a line of the invoice so far, in units and by amount.
fn credited<'a>(
    context: &'a NoteContext<'_>,
    here: &'a [CreditNoteLine],
    id: &'a InvoiceLineId,
) -> (i64, i64) {
    let before = issued(context.notes).flat_map(|note| &note.lines);
    let own = before.chain(here).filter(|line| line.invoice_line() == Some(id));
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
) -> Result<(&'a Line, i64), Refusal> {
    let of = |field: &str| format!("{param}.{field}");
    let given = [
        ("unit_amount", input.unit_amount.is_some()),
        ("unit_amount_decimal", input.unit_amount_decimal.is_some()),
    ];
    if let Some((field, _)) = given.iter().find(|(_, given)| *given) {
        let reason = "a line of the invoice has its own price";
        return Err(Refusal::invalid(of(field), reason));
    }
    let id = input.invoice_line_item.as_ref();
    let id = id.ok_or_else(|| Refusal::missing(of("invoice_line_item")))?;
    let line = context.invoice.lines().find(|line| line.id == *id);
    let line = line.ok_or_else(|| Refusal::unknown("line_item", id))?;
    let (units, amount) = credited(context, here, id);
    let share = match (input.quantity, input.amount) {
        (Some(_), None) if amount != 0 => Err(mixed(of("quantity"), id, "amount")),
        (None, Some(_)) if units != 0 => Err(mixed(of("amount"), id, "quantity")),
        (Some(quantity), None) => of_units(line, units, quantity, &of("quantity")),
        (None, Some(part)) => of_part(line, amount, part, &of("amount")),
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

fn of_units(line: &Line, before: i64, quantity: i64, param: &str) -> Result<i64, Refusal> {
    let Some(whole) = line.quantity.as_int().filter(|whole| *whole > 0) else {
        let reason = format!("{} has a quantity of {}: give an amount", line.id, line.quantity);
        return Err(Refusal::invalid(param, reason));
    };
    let left = whole.saturating_sub(before);
    if !(1..=left).contains(&quantity) {
        let reason = format!("{quantity} of {}, of which {left} are left", line.id);
        return Err(Refusal::invalid(param, reason));
    }
    Ok(between(line, (before, before.saturating_add(quantity)), whole)?)
}

/// Negative lines are credited with negative amounts, and none beyond what it has.
fn of_part(line: &Line, before: i64, part: i64, param: &str) -> Result<i64, Refusal> {
    let left = line.amount.saturating_sub(before);
    let within = match line.amount.signum() {
        1 => (1..=left).contains(&part),
        -1 => (left..=-1).contains(&part),
        _ => false,
    };
    if !within {
        let reason = format!("{part} of {}, of which {left} is left", line.id);
        return Err(Refusal::invalid(param, reason));
    }
    Ok(part)
}

/// A line that stands for itself.
fn of_itself(
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
    Ok(CreditNoteLine {
        id,
        credited: Credited::Custom,
        name: "Credit".to_owned(),
        description: input.description.clone(),
        amount,
        quantity: Some(quantity),
        unit_amount: Some(unit),
    })
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
