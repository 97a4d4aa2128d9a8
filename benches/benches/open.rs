//! Opening a large book: with a recent snapshot, and without one.
//!
//! The book is built once and kept in `target/books`: customers that joined over a month, each
//! renewed every month with draft, finalization and payment, until it holds
//! `COUNTERFOIL_BOOK_EVENTS` events (10,000,000 unless it says otherwise); then a snapshot, and a
//! day of renewals after it. It is opened once for each figure, in a process of its own, so that
//! memory is that of the opening alone. The page cache is warm where the book was just built.

use counterfoil::{
    CreateCustomer, CreatePrice, CreateProduct, CreateSubscription, Currency, CustomerId, Engine,
    IntervalUnit, Options, RecurringInput, Refusal, SnapshotPolicy, Timestamp,
};
use counterfoil_benches::{collect, start};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const EVENTS: u64 = 10_000_000;
/// Customers, in groups that join at different hours of a month.
const GROUPS: usize = 100;
const GROUP: usize = 500;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let events = match std::env::var("COUNTERFOIL_BOOK_EVENTS") {
        Ok(text) => text.parse()?,
        Err(_) => EVENTS,
    };
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "../target".to_owned());
    let dir = PathBuf::from(target).join("books").join(events.to_string());
    match std::env::var("COUNTERFOIL_OPEN").as_deref() {
        Ok("build") => build(&dir, events),
        Ok(how) => open(&dir, how),
        Err(_) if std::env::args().any(|argument| argument == "--bench") => {
            if !dir.join("DONE").exists() {
                again("build")?;
            }
            for how in ["snapshot", "snapshot", "snapshot", "log"] {
                again(how)?;
            }
            Ok(())
        }
        // Not asked to measure: `cargo test` comes by here.
        Err(_) => Ok(()),
    }
}

/// Runs this program again, in a process of its own.
fn again(how: &str) -> Result<(), Failure> {
    let status = Command::new(std::env::current_exe()?).env("COUNTERFOIL_OPEN", how).status()?;
    if status.success() { Ok(()) } else { Err(format!("{how}: {status}").into()) }
}

/// A field of `/proc/self/status` in MiB; none where there is no such file.
fn memory(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn build(dir: &Path, events: u64) -> Result<(), Failure> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    let started = Instant::now();
    let policy = SnapshotPolicy::default().on_close_after(None);
    let book = Engine::open(dir, Options::default().snapshots(policy))?;
    book.advance_to(start(), &mut collect)?;
    let product = book.products().create(CreateProduct::new("Model"))?.id;
    let mut seat = CreatePrice::new(product, Currency::USD);
    seat.unit_amount = Some(2900);
    seat.recurring = Some(RecurringInput::every(IntervalUnit::Month));
    let seat = book.prices().create(seat)?.id;
    let mut now = start();
    for group in 0..GROUPS {
        join(&book, group, &seat)?;
        now = now.checked_add_seconds(7 * 3_600)?;
        book.advance_to(now, &mut collect)?;
    }
    while book.event_count()? < events {
        now = now.checked_add_days(1)?;
        book.advance_to(now, &mut collect)?;
    }
    let (count, lived) = (book.event_count()?, started.elapsed());
    println!("built: {count} events in {lived:.1?}, {:?} MiB", memory("VmRSS"));
    let started = Instant::now();
    let report = book.snapshot()?;
    println!("snapshot: {} bytes in {:.1?}", report.bytes, started.elapsed());
    book.advance_to(now.checked_add_days(1)?, &mut collect)?;
    let followed = book.event_count()? - count;
    println!("after it: {followed} events; peak {:?} MiB", memory("VmHWM"));
    book.close()?;
    std::fs::write(dir.join("DONE"), [])?;
    Ok(())
}

fn join(book: &Engine, group: usize, seat: &counterfoil::PriceId) -> Result<(), Failure> {
    let ids: Vec<CustomerId> = (group * GROUP..(group + 1) * GROUP)
        .map(|n| format!("cus_{n}").parse())
        .collect::<Result<_, Refusal>>()?;
    let customers = ids.iter().map(|id| CreateCustomer {
        id: Some(id.clone()),
        name: Some(format!("Customer {id}")),
        payment_method: Some("pm_card_visa".to_owned()),
        ..CreateCustomer::default()
    });
    for output in book.batch(customers)? {
        output?;
    }
    let subscribe = ids.iter().map(|id| CreateSubscription::new(id.clone(), [seat.clone()]));
    for output in book.batch(subscribe)? {
        output?;
    }
    Ok(())
}

fn open(dir: &Path, how: &str) -> Result<(), Failure> {
    let policy = SnapshotPolicy::default().on_close_after(None);
    let aside = dir.join("aside");
    if how == "log" {
        move_snapshots(dir, &aside)?;
    }
    let before = memory("VmRSS");
    let started = Instant::now();
    let book = Engine::open_existing(dir, Options::default().snapshots(policy))?;
    let opened = started.elapsed();
    let (from, resident) = (book.opened().clone(), memory("VmRSS"));
    let started = Instant::now();
    let invoices = book.invoices().list(&"cus_4711".parse()?)?.len();
    let first = started.elapsed();
    let started = Instant::now();
    let balanced = book.trial_balance(None::<Timestamp>)?.balanced;
    let balance = started.elapsed();
    println!(
        "open from {:?}, {} records replayed, skipped {:?}: {opened:.3?}; resident {before:?} -> \
         {resident:?} MiB, peak {:?} MiB; first query ({invoices} invoices) {first:.3?}; trial \
         balance {balance:.3?} ({balanced}); {} events",
        from.snapshot,
        from.replayed,
        from.skipped,
        memory("VmHWM"),
        book.event_count()?,
    );
    if std::env::var_os("COUNTERFOIL_OPEN_HASH").is_some() {
        let started = Instant::now();
        let hash = book.state_hash()?;
        println!("state hash {:02x?} in {:.3?}", &hash[..8], started.elapsed());
    }
    book.close()?;
    if how == "log" {
        move_snapshots(&aside, dir)?;
    }
    Ok(())
}

fn move_snapshots(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "snap")
            && let Some(name) = path.file_name()
        {
            std::fs::rename(&path, to.join(name))?;
        }
    }
    Ok(())
}
