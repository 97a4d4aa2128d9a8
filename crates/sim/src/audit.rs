//! Looking at a book from the outside: its log alone, from the start.

use counterfoil::{Engine, Error, Invoice, Lsn, RecurringRevenue};
use counterfoil_model::{ClosedStore, Shelf, State, Unreadable, invariants};
use std::sync::{Arc, Mutex, PoisonError};

/// Replays the log of a book and checks all invariants of all customers and of the book after every
/// record. At the end the state that the events lead to is the one that the book is in. Gives the
/// number of records.
///
/// # Errors
/// What does not hold, and after which record.
pub fn audit(engine: &Engine) -> Result<u64, String> {
    let (mut state, mut records) = (State::default(), 0);
    let mut packed = State::on_shelf(Arc::new(Shelf::in_store(Box::<Store>::default())));
    for record in engine.events(Lsn::ZERO) {
        let record = record.map_err(|error| error.to_string())?;
        for event in &record.events {
            state.apply(record.at, event);
            packed.apply(record.at, event);
        }
        packed.settle();
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
    answers_alike(&state, &packed)?;
    answers_alike(&state, &live)?;
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

/// Whether a state whose closed invoices left memory says the same as one that has them all.
fn answers_alike(whole: &State, packed: &State) -> Result<(), String> {
    if whole.hash() != packed.hash() {
        return Err("packing closed invoices leads to another state".to_owned());
    }
    for shard in whole.shards() {
        let id = &shard.customer().id;
        let other = packed.shard(id).map_err(|error| error.to_string())?;
        if shard.invoices() != other.invoices() {
            return Err(format!("the invoices of {id} differ where closed ones are packed"));
        }
        if shard.live_invoices() != other.live_invoices() {
            return Err(format!("the live invoices of {id} differ where closed ones are packed"));
        }
        let heads = |of: &counterfoil_model::Shard| {
            let heads = of.invoice_heads();
            let mut heads: Vec<_> = heads.map(|head| head.to_string()).collect();
            heads.sort_unstable();
            heads
        };
        if heads(shard) != heads(other) {
            return Err(format!("lists of the invoices of {id} differ where they are packed"));
        }
        // One whose payment is still on its way is awaited.
        let rests = |own: &&Arc<Invoice>| own.status.is_closed() && own.open_attempt.is_none();
        for invoice in shard.invoices().iter().filter(rests) {
            if !other.is_packed(&invoice.id) {
                return Err(format!("{} is closed and did not leave memory", invoice.id));
            }
        }
    }
    match packed.fault() {
        Some(fault) => Err(fault.to_string()),
        None => Ok(()),
    }
}

/// A store that is not the memory of the state.
#[derive(Debug, Default)]
struct Store(Mutex<Vec<u8>>);

impl ClosedStore for Store {
    fn put(&self, bytes: &[u8]) -> Result<u64, Unreadable> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = u64::try_from(all.len()).map_err(Unreadable::because)?;
        all.extend_from_slice(bytes);
        Ok(place)
    }

    fn get(&self, place: u64, len: usize) -> Result<Vec<u8>, Unreadable> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(place).map_err(Unreadable::because)?;
        let found = all.get(from..from.saturating_add(len));
        found.map(<[u8]>::to_vec).ok_or_else(|| Unreadable::because("nothing was put there"))
    }
}
