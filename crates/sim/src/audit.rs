//! Looking at a book from the outside: its log alone, from the start.

use counterfoil::{BookRecord, Engine, Event, Lsn};
use counterfoil_model::{State, invariants};

/// Replays the log of a book, checks every invariant of each customer that a record touches after
/// it, and those of the book as a whole now and then and at the end; that the state which the
/// events lead to is the one that the book is in. Gives the number of records.
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
            invariants::check_book(&state, record.at)
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

/// After how many records the book is looked at as a whole, which takes as long as it is large.
const BOOK_EVERY: u64 = 16;

fn after(state: &State, record: &BookRecord) -> Result<(), String> {
    let mut touched: Vec<_> = record.events.iter().filter_map(Event::customer).collect();
    touched.sort_unstable();
    touched.dedup();
    for customer in touched {
        let shard = state.shard(customer).map_err(|error| error.to_string())?;
        invariants::check_customer(state, shard).map_err(|violation| violation.to_string())?;
    }
    Ok(())
}
