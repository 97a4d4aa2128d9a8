//! Renewals that all fall due at one instant: subscriptions to one licensed and one metered item
//! each, with usage; draft, finalization, payment and journal.
//!
//! `COUNTERFOIL_SUBSCRIPTIONS` says how many (100,000 unless it says otherwise). Each mode runs in a
//! process of its own, so that memory is its own: in memory, where nothing is written, and on disk,
//! where each record is synced with others before the work goes on. The book on disk is then
//! snapshotted, closed and opened again, and asked for one customer's invoices.

use counterfoil::{CustomerId, Engine, Options, SnapshotPolicy, Timestamp};
use counterfoil_benches::{World, collect, usage};
use std::error::Error;
use std::process::Command;
use std::time::Instant;

const SUBSCRIPTIONS: usize = 100_000;
/// Events in one call.
const BATCH: usize = 100_000;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    match std::env::var("COUNTERFOIL_RENEW").as_deref() {
        Ok(mode) => renew(mode == "disk"),
        Err(_) if std::env::args().any(|argument| argument == "--bench") => {
            for mode in ["memory", "disk"] {
                let mut own = Command::new(std::env::current_exe()?);
                let status = own.env("COUNTERFOIL_RENEW", mode).status()?;
                if !status.success() {
                    return Err(format!("{mode}: {status}").into());
                }
            }
            Ok(())
        }
        // Not asked to measure: `cargo test` comes by here.
        Err(_) => Ok(()),
    }
}

fn subscriptions() -> Result<usize, Failure> {
    match std::env::var("COUNTERFOIL_SUBSCRIPTIONS") {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(SUBSCRIPTIONS),
    }
}

/// What the process has in memory, in bytes; 0 where the system does not say.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0
}

fn options() -> Options {
    Options::default().snapshots(SnapshotPolicy::default().on_close_after(None))
}

fn renew(on_disk: bool) -> Result<(), Failure> {
    let (count, mode) = (subscriptions()?, if on_disk { "on disk" } else { "in memory" });
    let dir = tempfile::tempdir_in(std::env::var("CARGO_TARGET_DIR").unwrap_or(".".to_owned()))?;
    let book = if on_disk { Engine::open(dir.path(), options())? } else { Engine::in_memory() };
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
        "{mode}: {count} renewals in {all:.2} s, {:.0} invoices a second (drafts {:.0} a second); \
         {:.0} bytes a subscription with its two invoices",
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
    let book = Engine::open_existing(dir.path(), options())?;
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
