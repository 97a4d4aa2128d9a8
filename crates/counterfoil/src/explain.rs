//! How every amount of an invoice came about, down to the events it rests on.

mod terms;

use crate::error::Error;
use crate::metering::Readings;
use crate::sequencer::Sequencer;
use counterfoil_billing::catalog::Price;
use counterfoil_billing::catalog::{Basis, Round};
use counterfoil_billing::discount::DiscountAmount;
use counterfoil_billing::invoice::{
    Derivation, Fraction, FractionUnit, Invoice, InvoiceId, InvoiceStatus, ItemReason, Line,
    ProrationBase, ProrationDetails, ProrationKind, UsageReading,
};
use counterfoil_core::{Decimal12, Money};
use counterfoil_meter::{Position, UsageEvent};
use counterfoil_model::InvoiceView;
use std::fmt;

/// The derivation of an invoice, as a tree. Its [`Display`](fmt::Display) form is what a person
/// reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What this part says.
    pub text: String,
    /// What it rests on.
    pub parts: Vec<Explanation>,
}

/// How many of the meter events behind a line are named.
const EVENTS_NAMED: usize = 3;

impl Explanation {
    fn leaf(text: impl Into<String>) -> Self {
        Self { text: text.into(), parts: Vec::new() }
    }

    fn node(text: impl Into<String>, parts: Vec<Self>) -> Self {
        Self { text: text.into(), parts }
    }

    pub(crate) fn of(book: &Sequencer, id: &InvoiceId) -> Result<Self, Error> {
        let view = book.state.view(id, &Readings(&book.meters))?;
        let mut parts: Vec<_> = of_threshold(&view.invoice).into_iter().collect();
        let mut before = None;
        for line in &view.lines {
            let own = (line.subscription_item.as_ref(), reading(line));
            let repeats = own.1.is_some() && before == Some(own);
            parts.push(of_line(book, &view, line, repeats)?);
            before = Some(own);
        }
        if let Some(cost) = &view.invoice.shipping_cost {
            parts.push(terms::of_shipping(book, &view, cost)?);
        }
        if let Some(refusal) = &view.refused {
            parts.push(Self::leaf(format!("it cannot be finalized as it stands: {refusal}")));
        }
        parts.push(of_total(&view));
        parts.push(of_settlement(book, &view));
        if view.invoice.status != InvoiceStatus::Draft {
            parts.push(of_payment(&view));
        }
        let invoice = &view.invoice;
        let number = invoice.number.as_deref().unwrap_or("no number yet");
        let text = format!("invoice {id} ({number}) of {}, {}", invoice.customer, invoice.status);
        Ok(Self::node(text, parts))
    }
}

/// The thresholds that an invoice was made for (rule 6.13).
fn of_threshold(invoice: &Invoice) -> Option<Explanation> {
    let reason = invoice.threshold_reason.as_ref()?;
    let amount = |amount| format!("usage reached {}", Money::new(amount, invoice.currency));
    let of_item = |own: &ItemReason| {
        format!("usage of {} reached its threshold of {}", own.subscription_item, own.usage_gte)
    };
    let mut parts: Vec<_> = reason.amount_gte.map(amount).into_iter().collect();
    parts.extend(reason.item_reasons.iter().map(of_item));
    if reason.began_anew {
        parts.push("new periods began with it".to_owned());
    }
    Some(Explanation::leaf(parts.join("; ")))
}

fn of_line(
    book: &Sequencer,
    view: &InvoiceView,
    line: &Line,
    repeats_reading: bool,
) -> Result<Explanation, Error> {
    let currency = view.invoice.currency;
    let amount = Money::new(line.amount, currency);
    let text = format!("{amount}  {}", line.text());
    let mut parts = vec![Explanation::leaf(computation(line, currency.code()))];
    parts.extend(terms::of_line(book, view, line)?);
    if repeats_reading {
        // The tiers of one item rest on one reading; it is told under the first of them.
        return Ok(Explanation::node(text, parts));
    }
    if line.period.is_empty() {
        parts.push(Explanation::leaf(format!("at {}", line.period.start)));
    } else {
        parts.push(Explanation::leaf(format!("for {}", line.period)));
    }
    if let Some(id) = &line.price {
        let price = book.state.price(id)?;
        let every = price.interval().map(|interval| format!(", {interval}")).unwrap_or_default();
        parts.push(Explanation::leaf(format!("price {id} of product {}{every}", price.product)));
    }
    if let Some(item) = &line.subscription_item {
        parts.push(Explanation::leaf(format!("subscription item {item}")));
    }
    if let Some(item) = &line.invoice_item {
        parts.push(Explanation::leaf(format!("invoice item {item}")));
    }
    if let Some(reading) = line.derivation.reading() {
        parts.push(of_reading(book, view, line, reading)?);
    }
    Ok(Explanation::node(text, parts))
}

fn of_reading(
    book: &Sequencer,
    view: &InvoiceView,
    line: &Line,
    reading: &UsageReading,
) -> Result<Explanation, Error> {
    let price = line.price.as_ref().and_then(|id| book.state.price(id).ok());
    let kept = &book.state.meter(&reading.meter)?.dimensions;
    let only: Vec<(&str, &str)> = price.into_iter().flat_map(Price::dimensions).collect();
    let selected = |event: &UsageEvent<'_>| {
        let value = |name: &str| {
            kept.iter().zip(&event.dimensions).find(|(own, _)| *own == name).map(|own| *own.1)
        };
        only.iter().all(|(name, wanted)| value(name) == Some(wanted))
    };
    let of: Vec<String> = only.iter().map(|(name, value)| format!(" of {name} {value}")).collect();
    let cut = Position(reading.position);
    let customer = view.invoice.customer.as_str();
    let text = format!(
        "meter {} read {}{} from {} events, up to record {}",
        reading.meter,
        reading.quantity,
        of.join(""),
        reading.events,
        reading.position
    );
    let events = book.meters.events(&reading.meter, customer, line.period, cut)?;
    let mut named = Vec::new();
    for event in events.filter(|event| event.counts && selected(event)).take(EVENTS_NAMED) {
        named.push(Explanation::leaf(format!(
            "{} at {}: {} (record {})",
            event.identifier,
            event.time.second(),
            event.value,
            event.position.0
        )));
    }
    let named_count = u64::try_from(named.len()).unwrap_or(u64::MAX);
    if let Some(more) = reading.events.checked_sub(named_count).filter(|more| *more > 0) {
        named.push(Explanation::leaf(format!("and {more} more")));
    }
    Ok(Explanation::node(text, named))
}

fn reading(line: &Line) -> Option<&UsageReading> {
    line.derivation.reading()
}

/// The arithmetic of a line, in minor units.
fn computation(line: &Line, code: &str) -> String {
    let code = code.to_uppercase();
    let unit = |amount: Option<Decimal12>| match amount {
        Some(amount) => amount.to_string(),
        None => "the sum of its tiers".to_owned(),
    };
    let product = match line.unit_amount.and_then(|unit| line.quantity.exact_product(unit)) {
        Some(exact) if exact != Decimal12::from_int(line.amount) => {
            format!(
                "{} × {} = {exact}, rounded to {}",
                line.quantity,
                unit(line.unit_amount),
                line.amount
            )
        }
        _ => format!("{} × {} = {}", line.quantity, unit(line.unit_amount), line.amount),
    };
    match &line.derivation {
        Derivation::Rated { basis } | Derivation::Metered { basis, .. } => {
            of_basis(*basis, &product, line, &code)
        }
        Derivation::Prorated { whole, fraction } => {
            let seconds = Fraction {
                part: line.period.seconds(),
                whole: whole.seconds(),
                unit: FractionUnit::Second,
            };
            format!(
                "{} of the period {whole}{}, rounded once: {} minor units of {code}",
                part(fraction.unwrap_or(seconds)),
                with_discounts(line),
                line.amount
            )
        }
        Derivation::Changed(details) => of_change(line, details, &code),
        Derivation::Late { reading, billed_quantity, billed_amount } => format!(
            "{} at the price, less {billed_amount} billed before for {billed_quantity}: {} minor \
             units of {code}",
            reading.quantity, line.amount
        ),
        Derivation::PreviouslyBilled { invoice, quantity, amount, discounted } => format!(
            "{invoice} billed {amount} for {quantity}, less {discounted} of discounts that apply \
             again: {} minor units of {code}",
            line.amount
        ),
        Derivation::Trial => "free: a trial".to_owned(),
        Derivation::Given => format!("given: {} minor units of {code}", line.amount),
        Derivation::Item => format!("{product} minor units of {code}"),
    }
}

fn part(fraction: Fraction) -> String {
    let unit = match fraction.unit {
        FractionUnit::Second => "seconds",
        FractionUnit::Day => "days",
    };
    format!("{} of {} {unit}", fraction.part, fraction.whole)
}

/// What a change gives back or charges, and what it is a part of (rule 6.6).
fn of_change(line: &Line, details: &ProrationDetails, code: &str) -> String {
    let base = match &details.base {
        ProrationBase::Price => match line.unit_amount {
            Some(unit) => format!("{} × {unit}", line.quantity),
            None => format!("{} at the price", line.quantity),
        },
        ProrationBase::Added { to } => format!("{} more than {to} at the price", line.quantity),
        ProrationBase::Line { invoice, line, amount } => {
            format!("{amount} of line {line} of {invoice}")
        }
        ProrationBase::Item { invoice_item, amount } => {
            format!("{amount} of invoice item {invoice_item}")
        }
    };
    let verb = match details.kind {
        ProrationKind::Unused => "given back",
        ProrationKind::Remaining => "charged",
    };
    format!(
        "{verb}: {base} for {}, {} of it{}, rounded once: {} minor units of {code}",
        details.whole,
        part(details.fraction),
        with_discounts(line),
        line.amount
    )
}

/// What discounts took off a part of a period, in its amount or beside it (point 30).
fn with_discounts(line: &Line) -> String {
    let sum = |amounts: &[DiscountAmount]| {
        amounts.iter().map(|own| own.amount).fold(0, i64::saturating_add)
    };
    match (sum(&line.included_discounts), sum(&line.discount_amounts)) {
        (0, 0) => String::new(),
        (0, beside) => format!(", less {beside} of discounts beside it"),
        (inside, _) => format!(", less {inside} of discounts in it"),
    }
}

fn of_basis(basis: Basis, product: &str, line: &Line, code: &str) -> String {
    match basis {
        Basis::PerUnit => format!("{product} minor units of {code}"),
        Basis::Package { packages, divide_by, round } => {
            let direction = match round {
                Round::Up => "up",
                Round::Down => "down",
            };
            let unit = line.unit_amount.map(|amount| amount.to_string()).unwrap_or_default();
            format!(
                "{} in packages of {divide_by}, rounded {direction}: {packages} × {unit} = {} \
                 minor units of {code}",
                line.quantity, line.amount
            )
        }
        Basis::GraduatedUnit { tier, from, up_to } => {
            let to = up_to.map_or("on".to_owned(), |up_to| format!("to {up_to}"));
            let first = from.saturating_add(1);
            format!("tier {tier}, units {first} {to}: {product} minor units of {code}")
        }
        Basis::GraduatedFlat { tier } | Basis::VolumeFlat { tier } => {
            format!("flat amount of tier {tier}: {} minor units of {code}", line.amount)
        }
        Basis::VolumeUnit { tier } => {
            format!("all units at tier {tier}: {product} minor units of {code}")
        }
        Basis::TieredSingle => format!("{product} minor units of {code}"),
    }
}

fn of_total(view: &InvoiceView) -> Explanation {
    let total = Money::new(view.invoice.total, view.invoice.currency);
    let amounts: Vec<String> = view.lines.iter().map(|line| line.amount.to_string()).collect();
    let sum = match amounts.len() {
        0 => "no line".to_owned(),
        1..=8 => amounts.join(" + ").replace("+ -", "- "),
        n => format!("the sum of {n} lines"),
    };
    let sum = format!("{sum}{}", terms::of_total(view));
    Explanation::node(format!("{total}  total"), vec![Explanation::leaf(sum)])
}

fn of_settlement(book: &Sequencer, view: &InvoiceView) -> Explanation {
    let invoice = &view.invoice;
    let money = |amount: i64| Money::new(amount, invoice.currency);
    let mut parts = Vec::new();
    let before = invoice
        .starting_balance
        .or_else(|| Some(book.state.customer(&invoice.customer).ok()?.balance(invoice.currency)))
        .unwrap_or_default();
    if before != 0 {
        let kind = if before < 0 { "credit" } else { "debt" };
        parts.push(Explanation::leaf(format!(
            "the customer's balance was {} ({kind})",
            money(before)
        )));
    }
    for transaction in &invoice.balance_transactions {
        parts.push(Explanation::leaf(format!(
            "{}: {} → balance {} ({})",
            transaction.kind.as_str(),
            money(transaction.amount),
            money(transaction.ending_balance),
            transaction.id
        )));
    }
    Explanation::node(format!("{}  amount due", money(invoice.amount_due)), parts)
}

fn of_payment(view: &InvoiceView) -> Explanation {
    let invoice = &view.invoice;
    let money = |amount: i64| Money::new(amount, invoice.currency);
    let times = invoice.status_transitions;
    let mut parts = Vec::new();
    for (what, at) in [
        ("finalized", times.finalized_at),
        ("paid", times.paid_at),
        ("voided", times.voided_at),
        ("marked uncollectible", times.marked_uncollectible_at),
        ("next attempt", invoice.next_payment_attempt),
    ] {
        if let Some(at) = at {
            parts.push(Explanation::leaf(format!("{what} at {at}")));
        }
    }
    if invoice.attempt_count > 0 {
        parts.push(Explanation::leaf(format!("attempts: {}", invoice.attempt_count)));
    }
    Explanation::node(
        format!(
            "{}  paid, {} remaining",
            money(invoice.amount_paid),
            money(invoice.amount_remaining())
        ),
        parts,
    )
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        write_parts(f, &self.parts, "")
    }
}

fn write_parts(f: &mut fmt::Formatter<'_>, parts: &[Explanation], indent: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        let last = index.saturating_add(1) == parts.len();
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        writeln!(f, "{indent}{branch}{}", part.text)?;
        write_parts(f, &part.parts, &format!("{indent}{below}"))?;
    }
    Ok(())
}
