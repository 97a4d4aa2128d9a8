//! Looking at a book from the outside: its log alone, from the start.

use counterfoil::{Engine, Lsn};
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
    Ok(records)
}
