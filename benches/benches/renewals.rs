//! Renewals that all fall due at one instant: subscriptions to one licensed and one metered item
//! each, with usage; draft, finalization, payment and journal.
//!
//! `COUNTERFOIL_SUBSCRIPTIONS` says how many (100,000 unless it says otherwise). Each mode runs in a
//! process of its own, so that memory is its own: the model alone, where nothing is encoded; a book
//! in memory, where every record is encoded and kept, but not on a disk; and a book on disk, where
//! all records are synced before the call returns. The book on disk is then snapshotted, closed and
//! opened again, and asked for one customer's invoices. `COUNTERFOIL_RENEW` names one mode to run, and
//! `COUNTERFOIL_WORKERS` says how many threads decide (as many as there are processors, unless it does).

use counterfoil::{CustomerId, Engine, MemStorage, Options, SnapshotPolicy, Timestamp};
use counterfoil_benches::{Machine, World, collect, start, usage};
use std::error::Error;
use std::process::Command;
use std::time::Instant;

const SUBSCRIPTIONS: usize = 100_000;
/// Events in one call.
const BATCH: usize = 100_000;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // Not asked to measure: `cargo test` comes by here.
        return Ok(());
    }
    match std::env::var("COUNTERFOIL_RENEW").as_deref() {
        Ok("model") => model(),
        Ok("memory") => renew(false),
        Ok("disk") => renew(true),
        Ok(other) => Err(format!("no mode {other:?}: model, memory or disk").into()),
        Err(_) => {
            for mode in ["model", "memory", "disk"] {
                let mut own = Command::new(std::env::current_exe()?);
                let status = own.arg("--bench").env("COUNTERFOIL_RENEW", mode).status()?;
                if !status.success() {
                    return Err(format!("{mode}: {status}").into());
                }
            }
            Ok(())
        }
    }
}

fn subscriptions() -> Result<usize, Failure> {
    match std::env::var("COUNTERFOIL_SUBSCRIPTIONS") {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(SUBSCRIPTIONS),
    }
}

fn workers() -> Result<usize, Failure> {
    match std::env::var("COUNTERFOIL_WORKERS") {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(std::thread::available_parallelism()?.get()),
    }
}

/// What the process has in memory, in bytes; 0 where the system does not say.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0
}

fn options() -> Result<Options, Failure> {
    let options = Options::default().workers(workers()?);
    Ok(options.snapshots(SnapshotPolicy::default().on_close_after(None)))
}

/// Decisions and their effects on the state, with nothing encoded.
fn model() -> Result<(), Failure> {
    let count = subscriptions()?;
    let each = count as f64;
    let mut book = Machine::new(start())?.workers(workers()?);
    let world = World::lay_by(|command| book.execute(&command))?;
    let mut customers = Vec::with_capacity(count);
    let empty = resident();
    for n in 0..count {
        let (id, commands) = world.subscription_of(n)?;
        for command in commands {
            book.execute(&command)?;
        }
        customers.push(id);
    }
    book.collect()?;
    let subscribed = resident() - empty;
    for first in (0..count).step_by(BATCH) {
        book.ingest(&usage(&customers, first, BATCH.min(count - first)));
    }
    let metered = resident() - empty - subscribed;
    let month = Timestamp::parse("2025-02-01T00:00:00Z")?;
    let began = Instant::now();
    let drafts = book.advance(month, true)?;
    let drafted = began.elapsed().as_secs_f64();
    let finalized = book.advance(month.checked_add_seconds(3_600)?, true)?;
    let all = began.elapsed().as_secs_f64();
    assert_eq!((drafts, finalized), (count, count));
    let paid = resident() - empty - metered;
    println!(
        "model: {count} renewals in {all:.2} s with {} threads, {:.0} invoices a second (drafts {:.0} a second)",
        workers()?,
        each / all,
        each / drafted
    );
    println!(
        "model: {:.0} bytes a subscription that was paid once, {:.0} with a second paid invoice, \
         {:.0} more for a meter event",
        subscribed / each,
        paid / each,
        metered / each
    );
    Ok(())
}

fn renew(on_disk: bool) -> Result<(), Failure> {
    let (count, mode) = (subscriptions()?, if on_disk { "on disk" } else { "in memory" });
    let dir = tempfile::tempdir_in(std::env::var("CARGO_TARGET_DIR").unwrap_or(".".to_owned()))?;
    let book = if on_disk {
        Engine::open(dir.path(), options()?)?
    } else {
        Engine::on(MemStorage::new(), options()?)?
    };
    let world = World::lay(&book)?;
    let customers = world.subscribe(&book, count)?;
    let subscribed = resident();
    for first in (0..count).step_by(BATCH) {
        book.meter_events().ingest(&usage(&customers, first, BATCH.min(count - first)))?;
    }
    let (before, each) = (resident(), count as f64);
    println!(
        "{mode}: {count} subscriptions, paid once: {:.0} bytes each, {:.0} with a meter event each",
        subscribed / each,
        before / each
    );
    let month = Timestamp::parse("2025-02-01T00:00:00Z")?;
    let began = Instant::now();
    let drafts = book.advance_to(month, &mut collect)?.worked;
    let drafted = began.elapsed().as_secs_f64();
    let finalized = book.advance_to(month.checked_add_seconds(3_600)?, &mut collect)?.worked;
    let all = began.elapsed().as_secs_f64();
    assert_eq!((drafts, finalized), (count, count));
    println!(
        "{mode}: {count} renewals in {all:.2} s with {} threads, {:.0} invoices a second (drafts {:.0} a second); \
         {:.0} bytes a subscription with its two invoices",
        workers()?,
        each / all,
        each / drafted,
        resident() / each
    );
    if on_disk { again(book, &dir, &customers) } else { Ok(()) }
}

fn again(book: Engine, dir: &tempfile::TempDir, customers: &[CustomerId]) -> Result<(), Failure> {
    let began = Instant::now();
    let report = book.snapshot()?;
    println!("snapshot: {} bytes in {:.2?}", report.bytes, began.elapsed());
    book.close()?;
    drop(book);
    let began = Instant::now();
    let book = Engine::open_existing(dir.path(), options()?)?;
    let opened = began.elapsed();
    let one = customers.get(customers.len() / 2).ok_or("no customer")?;
    let invoices = book.invoices().list(one)?.len();
    println!(
        "opened in {opened:.2?}, first query ({invoices} invoices) after {:.2?}",
        began.elapsed()
    );
    book.close()?;
    Ok(())
}
