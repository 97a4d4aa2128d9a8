//! Looking at a book from the outside: its log alone, from the start.

use counterfoil::{Engine, Error, Lsn, RecurringRevenue};
use counterfoil_model::{State, invariants};

/// Replays the log of a book and checks all invariants of all customers and of the book after every
/// record. At the end the state that the events lead to is the one that the book is in. Gives the
/// number of records.
///
/// # Errors
/// What does not hold, and after which record.
pub fn audit(engine: &Engine) -> Result<u64, String> {
    let (mut state, mut records) = (State::default(), 0);
    for record in engine.events(Lsn::ZERO) {
        let record = record.map_err(|error| error.to_string())?;
        for event in &record.events {
            state.apply(record.at, event);
        }
        records += 1;
        if !record.events.is_empty() {
            invariants::check_all(&state, record.at)
                .map_err(|why| format!("after record {}: {why}", record.lsn))?;
        }
    }
    let live = engine.state().map_err(|error| error.to_string())?;
    if state.hash() != live.hash() {
        return Err("replaying the log leads to another state".to_owned());
    }
    recurring_revenue_is_the_same_by_events_and_by_state(engine)?;
    Ok(records)
}

/// Recurring revenue comes to the same by the events of the book as by its state.
fn recurring_revenue_is_the_same_by_events_and_by_state(engine: &Engine) -> Result<(), String> {
    let said = |error: Error| error.to_string();
    let Some(now) = engine.now().map_err(said)? else { return Ok(()) };
    let rows = RecurringRevenue::default().follow(engine, now, 1).map_err(said)?;
    for (currency, own) in engine.recurring().map_err(said)? {
        let by_events = rows.iter().find(|row| row.currency == currency);
        let by_events = by_events.map(|row| (row.ending, row.customers));
        // A month that begins now has no row yet.
        if !rows.is_empty() && by_events != Some((own.amount, own.customers)) {
            return Err(format!("recurring revenue is {own:?}, and by its events {by_events:?}"));
        }
    }
    Ok(())
}
