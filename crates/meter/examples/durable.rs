//! Durable metering in a directory: batches, single events from threads, a retry, a limit, a
//! checkpoint, and the same answers after opening again.

use counterfoil_core::{Id, Period, Timestamp};
use counterfoil_meter::store::{MeterStore, SingleEvent, StoreOptions};
use counterfoil_meter::{EventBatch, Formula, MeterConfig, Position};

#[expect(clippy::disallowed_methods, reason = "an example has threads and a folder")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("meter-store-{}", std::process::id()));
    let (store, _) = MeterStore::open(&dir, StoreOptions::default())?;
    let now = Timestamp::parse("2025-03-15T12:00:00Z")?;
    let calls = Id::new("mtr_calls")?;
    store.define(calls.clone(), MeterConfig::new("api_call", Formula::Sum), now)?;

    // A batch: counted at once, acknowledged when it is on disk.
    let mut batch = EventBatch::new("api_call");
    for n in 0..1_000 {
        batch.push(Some(&format!("req_{n}")), Some("ada"), None, Some("1.5"))?;
    }
    let ticket = store.ingest(batch.columns(), now)?;
    let ack = ticket.wait()?;
    println!("{} taken, on disk as record {}", ack.taken, ack.position);

    // Single events of four threads share records and syncs. Half of these are retries.
    let taken = std::thread::scope(|scope| {
        let thread = |thread: u32| {
            let store = &store;
            scope.spawn(move || {
                let event = |n: u32| {
                    let id = format!("req_{}", 500 + thread * 250 + n);
                    let event = SingleEvent::new("api_call", "ada").identifier(&id).value("1.5");
                    store.submit(&event, now)
                };
                let tickets = (0..250).map(event).collect::<Result<Vec<_>, _>>()?;
                tickets.into_iter().try_fold(0, |taken, ticket| {
                    let ack = ticket.wait()?;
                    let new = ack.outcome == counterfoil_meter::Outcome::Taken;
                    Ok::<u32, counterfoil_meter::store::StoreError>(taken + u32::from(new))
                })
            })
        };
        let threads: Vec<_> = (0..4).map(thread).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum::<Result<u32, _>>()
    })?;
    println!("{taken} of 1000 single events were new");

    let march = Period::new(Timestamp::parse("2025-03-01T00:00:00Z")?, Timestamp::MAX);
    let more = store.is_within(&calls, "ada", march, "1.5".parse()?, "2250".parse()?)?;
    println!("one more call is {}within the limit", if more { "" } else { "not " });
    let before = store.usage(&calls, "ada", march, store.durable())?;
    let checkpoint = store.checkpoint()?.expect("there are records");
    store.close()?;
    drop(store);

    let (store, opened) = MeterStore::open(&dir, StoreOptions::default())?;
    assert_eq!(opened.checkpoint, Some(checkpoint.position));
    let after = store.usage(&calls, "ada", march, Position::MAX)?;
    println!("{} before, {} after opening again", before.quantity, after.quantity);
    store.close()?;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
