//! What cannot be: looked at in what a decision came to, before it counts.
//!
//! None of this can follow from the rules. Where it does all the same, a command is refused, and a
//! customer whose due work leads to it is parked; all others go on.

use super::tx::Tx;
use crate::closed::trace;
use crate::invariants::invariant_invoice_amounts_follow_from_its_lines;
use crate::late::is_superseded;
use crate::shard::Shard;
use counterfoil_billing::Event as Billing;
use counterfoil_billing::invoice::{Derivation, Invoice, InvoiceEvent, InvoiceId, Line};
use counterfoil_core::{Refusal, limits};
use std::sync::Arc;

impl Tx<'_> {
    /// Refuses a decision that came to what cannot be: amounts that do not follow from their lines,
    /// something negative that remains to be paid, one item billed twice for one period, more
    /// lines of a subscription in a day than anybody reads.
    pub(super) fn check_possible(&self) -> Result<(), Refusal> {
        let (mut changed, mut finalized) = (Vec::new(), Vec::new());
        for event in self.events() {
            let crate::Event::Billing(Billing::Invoice(event)) = event else { continue };
            let Some(id) = event.invoice() else { continue };
            changed.push(id);
            if let InvoiceEvent::Finalized(_) = event {
                finalized.push(id);
            }
        }
        for ids in [&mut changed, &mut finalized] {
            ids.sort_unstable();
            ids.dedup();
        }
        for id in changed {
            // A draft may have been deleted.
            let Ok(invoice) = self.state.invoice(id) else { continue };
            invariant_invoice_amounts_follow_from_its_lines(&invoice)
                .map_err(|violation| impossible(id, violation.detail))?;
        }
        for id in finalized {
            let invoice = self.state.invoice(id)?;
            let shard = self.state.shard(&invoice.customer)?;
            check_billed_once(&invoice, shard)?;
            check_line_count(&invoice, shard, limits::SUBSCRIPTION_LINES_PER_DAY_MAX)?;
        }
        Ok(())
    }
}

fn impossible(id: &InvoiceId, reason: String) -> Refusal {
    Refusal::Impossible { kind: "invoice".to_owned(), id: id.to_string(), reason }
}

/// No item is billed twice for one period: not on two invoices that count, and not twice on one. Of
/// closed invoices only those are read that may have such a line.
fn check_billed_once(invoice: &Invoice, shard: &Shard) -> Result<(), Refusal> {
    for (place, line) in invoice.lines().enumerate() {
        let Some(item) = line.subscription_item.as_ref().filter(|_| is_recurring(line)) else {
            continue;
        };
        let trace = line.price.as_ref().map(|price| trace(item, price, line.period.start));
        if let Some(twin) = invoice.lines().take(place).find(|other| bills_the_same(line, other)) {
            let reason =
                format!("{} and {} both bill {item} for {}", twin.id, line.id, line.period);
            return Err(impossible(&invoice.id, reason));
        }
        // What was billed before the end of the period is taken back on the same invoice.
        if invoice.lines().any(|other| takes_back(other, line)) {
            continue;
        }
        let others = shard.invoices.with_heads(move |other| {
            *other.id != invoice.id
                && other.subscription == invoice.subscription.as_ref()
                && other.counts()
                && trace.is_none_or(|trace| other.may_have(trace))
        });
        for other in others {
            let stands = |own: &&Arc<Line>| !is_superseded(shard, &other.id, own);
            if other.lines().filter(stands).any(|own| bills_the_same(line, own)) {
                let reason = format!("{} bills {item} for {} already", other.id, line.period);
                return Err(impossible(&invoice.id, reason));
            }
        }
    }
    Ok(())
}

/// Whether a line is for what recurs, and not for a change in mid-period.
fn is_recurring(line: &Line) -> bool {
    match line.derivation {
        Derivation::Rated { .. } | Derivation::Metered { .. } => true,
        Derivation::Prorated { .. } => line.invoice_item.is_none(),
        _ => false,
    }
}

/// Whether two lines are for the same part of the same price of one item: for the same period, or for
/// usage from the same second on. A period that was cut short and begun anew has another end.
fn bills_the_same(line: &Line, other: &Line) -> bool {
    let metered = matches!(line.derivation, Derivation::Metered { .. });
    let basis = |line: &Line| match &line.derivation {
        Derivation::Rated { basis } | Derivation::Metered { basis, .. } => Some(*basis),
        _ => None,
    };
    is_recurring(other)
        && other.subscription_item == line.subscription_item
        && other.period.start == line.period.start
        && (metered || other.period.end == line.period.end)
        && other.price == line.price
        && basis(other) == basis(line)
}

/// Whether a line takes back what was billed before for the usage that another charges (rule 6.13).
fn takes_back(line: &Line, of: &Line) -> bool {
    matches!(line.derivation, Derivation::PreviouslyBilled { .. })
        && matches!(of.derivation, Derivation::Metered { .. })
        && line.subscription_item == of.subscription_item
        && line.price == of.price
        && line.period.start == of.period.start
}

/// A subscription whose invoices of a day have so many lines is in a loop.
fn check_line_count(invoice: &Invoice, shard: &Shard, limit: usize) -> Result<(), Refusal> {
    let Some(subscription) = &invoice.subscription else { return Ok(()) };
    let day = invoice.created.day_number();
    let today = shard.invoices.heads().filter(|other| {
        other.created.day_number() == day && other.subscription == Some(subscription)
    });
    let lines: usize = today.map(|other| other.line_count()).sum();
    if lines <= limit {
        return Ok(());
    }
    let reason = format!("{lines} lines of {subscription} in one day (the limit is {limit})");
    Err(impossible(&invoice.id, reason))
}
