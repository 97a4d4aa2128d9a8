//! Commands of many threads on a book on disk: customers are created and changed, and invoices are
//! made, filled, finalized and paid elsewhere. With tickets, up to so many unanswered a thread, and
//! with calls that wait.
//!
//! `COUNTERFOIL_COMMANDS` says how many there are in all (600,000 unless it says otherwise).

use counterfoil::{
    Command, CreateCustomer, CreateInvoice, CreateInvoiceItem, CustomerId, Engine, FinalizeInvoice,
    InvoiceId, Options, Patch, PayInvoice, Refusal, UpdateCustomer,
};
use counterfoil_benches::{collect, start};
use std::collections::VecDeque;
use std::error::Error;
use std::time::Instant;

const COMMANDS: usize = 600_000;
const THREADS: usize = 64;
const UNANSWERED: usize = 1_024;
/// Commands about one customer.
const ROUND: usize = 6;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // Not asked to measure: `cargo test` comes by here.
        return Ok(());
    }
    let commands = match std::env::var("COUNTERFOIL_COMMANDS") {
        Ok(text) => text.parse()?,
        Err(_) => COMMANDS,
    };
    measure("tickets", commands, UNANSWERED)?;
    measure("waiting", commands / 8, 1)
}

/// The commands about one customer, in order.
fn round(thread: usize, n: usize) -> Result<[Command; ROUND], Refusal> {
    let customer: CustomerId = format!("cus_{thread}_{n}").parse()?;
    let invoice: InvoiceId = format!("in_{thread}_{n}").parse()?;
    let mut update = UpdateCustomer::new(customer.clone());
    update.payment_method = Patch::Set("pm_card_visa".to_owned());
    let mut draft = CreateInvoice::new(customer.clone());
    draft.id = Some(invoice.clone());
    let mut item = CreateInvoiceItem::amount(customer.clone(), 2_900);
    item.invoice = Some(invoice.clone());
    let pay = PayInvoice {
        id: invoice.clone(),
        payment_method: None,
        paid_out_of_band: true,
        forgive: false,
    };
    Ok([
        CreateCustomer { id: Some(customer), ..CreateCustomer::default() }.into(),
        update.into(),
        draft.into(),
        item.into(),
        FinalizeInvoice { id: invoice, auto_advance: None }.into(),
        pay.into(),
    ])
}

fn measure(mode: &str, commands: usize, unanswered: usize) -> Result<(), Failure> {
    let dir = tempfile::tempdir_in(std::env::var("CARGO_TARGET_DIR").unwrap_or(".".to_owned()))?;
    let book = Engine::open(dir.path(), Options::default())?;
    book.advance_to(start(), &mut collect)?;
    let rounds = commands / THREADS / ROUND;
    let began = Instant::now();
    let taken = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let book = &book;
                    move || one(book, thread, rounds, unanswered)
                })
            })
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread")?);
        ended.collect::<Result<Vec<_>, Failure>>()
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let mut micros: Vec<u64> = taken.concat();
    micros.sort_unstable();
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
    println!(
        "{mode}: {} commands of {THREADS} threads, up to {unanswered} unanswered each, synced: \
         {:.0} a second; answered after p50 {} µs, p99 {} µs",
        micros.len(),
        micros.len() as f64 / seconds,
        at(0.5),
        at(0.99),
    );
    book.close()?;
    Ok(())
}

/// One thread's commands, and how long each took to be answered, in microseconds.
fn one(book: &Engine, thread: usize, rounds: usize, most: usize) -> Result<Vec<u64>, Failure> {
    let mut taken = Vec::with_capacity(rounds * ROUND);
    let mut waiting = VecDeque::with_capacity(most);
    for n in 0..rounds {
        for command in round(thread, n)? {
            waiting.push_back((Instant::now(), book.submit(command)?));
            if waiting.len() >= most
                && let Some((sent, ticket)) = waiting.pop_front()
            {
                ticket.wait()?;
                taken.push(u64::try_from(sent.elapsed().as_micros())?);
            }
        }
    }
    for (sent, ticket) in waiting {
        ticket.wait()?;
        taken.push(u64::try_from(sent.elapsed().as_micros())?);
    }
    Ok(taken)
}
