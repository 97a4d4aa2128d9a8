//! Looking at a book from the outside: its log alone, from the start.

use counterfoil::{BookRecord, Engine, Event, Lsn};
use counterfoil_billing::Event as Billing;
use counterfoil_model::invariants::InvariantViolation;
use counterfoil_model::{State, invariants};
use std::collections::BTreeSet;

/// Replays the log of a book. After every record it checks the invoices that the record touches,
/// and the balance and the subscriptions of their customers; after every sixteenth and at the end
/// all invariants of all customers and of the book. At the end the state that the events lead to is
/// the one that the book is in. Gives the number of records.
///
/// # Errors
/// What does not hold, and after which record.
pub fn audit(engine: &Engine) -> Result<u64, String> {
    let (mut state, mut records) = (State::default(), 0);
    let mut last = None;
    for record in engine.events(Lsn::ZERO) {
        let record = record.map_err(|error| error.to_string())?;
        for event in &record.events {
            state.apply(record.at, event);
        }
        records += 1;
        if record.events.is_empty() {
            continue;
        }
        after(&state, &record).map_err(|why| format!("after record {}: {why}", record.lsn))?;
        if records % BOOK_EVERY == 0 {
            invariants::check_all(&state, record.at)
                .map_err(|why| format!("after record {}: {why}", record.lsn))?;
        }
        last = Some(record.at);
    }
    if let Some(at) = last {
        invariants::check_all(&state, at).map_err(|why| format!("at the end: {why}"))?;
    }
    let live = engine.state().map_err(|error| error.to_string())?;
    if state.hash() != live.hash() {
        return Err("replaying the log leads to another state".to_owned());
    }
    Ok(records)
}

/// After how many records everything is looked at, which takes as long as the book is large.
const BOOK_EVERY: u64 = 16;

fn after(state: &State, record: &BookRecord) -> Result<(), String> {
    let (mut customers, mut invoices) = (BTreeSet::new(), BTreeSet::new());
    for event in &record.events {
        customers.extend(event.customer());
        if let Event::Billing(Billing::Invoice(event)) = event {
            invoices.extend(event.invoice());
        }
    }
    let checked = |check: Result<(), InvariantViolation>| check.map_err(|why| why.to_string());
    for id in invoices {
        // A draft may be gone.
        let Ok(invoice) = state.invoice(id) else { continue };
        checked(invariants::invariant_invoice_amounts_follow_from_its_lines(invoice))?;
    }
    for id in customers {
        let shard = state.shard(id).map_err(|error| error.to_string())?;
        checked(invariants::invariant_balance_is_the_sum_of_its_transactions(shard))?;
        checked(invariants::invariant_periods_end_on_boundaries(state, shard))?;
    }
    Ok(())
}
