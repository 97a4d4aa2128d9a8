//! The arguments, and the help that teaches them.

use clap::{Args, Parser, Subcommand};
use counterfoil::{AsOf, Lsn, Receipt as BookReceipt, ReceiptError, Timestamp};
use std::path::PathBuf;

const EXIT_STATUS: &str = "\
Exit status:
  0  all is well
  1  a step, an expectation or an invariant is not as it was said to be
  2  the arguments, a file or a book could not be read";

const START_HERE: &str = "\
Start here:
  counterfoil run examples/saas/scenario.yaml
  counterfoil run examples/saas/scenario.yaml --book /tmp/saas
  counterfoil explain /tmp/saas in_manuals
  counterfoil verify /tmp/saas";

/// Runs billing scenarios, and looks into the books they leave behind.
///
/// A book is a directory: an append-only log of everything that happened, from which every invoice,
/// balance and posting follows. A scenario is a YAML or JSON file of commands in time order, with
/// files of usage and with what is expected to come of it all.
#[derive(Debug, Parser)]
#[command(name = "counterfoil", version, max_term_width = 80, after_help = START_HERE,
    after_long_help = format!("{START_HERE}\n\n{EXIT_STATUS}"))]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    Events(Events),
    Explain(Explain),
    Preview(Preview),
    Balance(Balance),
    Alerts(Alerts),
    Verify(Verify),
    Receipt(Receipt),
    Prove(Prove),
    CheckProof(CheckProof),
    Backup(Backup),
    Salvage(Salvage),
    Snapshot(Snapshot),
    Disk(Disk),
    Bench(Bench),
}

/// Run a scenario and show its invoices, its trial balance and one explained invoice.
///
/// Usage files are CSV and NDJSON, as they are or gzipped, and Parquet where this program was built
/// with the feature `parquet`.
///
/// The scenario is checked as a whole before anything happens. It runs in memory, unless --book
/// names a directory: the book there is continued, or a new one is begun, and stays for the other
/// commands to look into. When a step does not do what it says, the report of what went before is
/// still printed, and standard error says which step, on which line, and both sides.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil run examples/api/scenario.yaml
  counterfoil run examples/api/scenario.yaml --json | jq '.invoices[].total'
  counterfoil run examples/api/scenario.yaml --book /tmp/api

Exit status:
  0  every step did what it said
  1  a step was refused unannounced, or a `fails`, an `expect` or an invariant did not hold
  2  the scenario, one of its files or the book could not be read: nothing was done")]
pub(crate) struct Run {
    /// The scenario: a YAML or JSON file.
    pub(crate) scenario: PathBuf,
    /// The directory of the book to write to; made where it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) book: Option<PathBuf>,
    /// Print the report as one JSON object, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
    /// Show all invoices, each with its lines, however many there are.
    #[arg(long, conflicts_with = "json")]
    pub(crate) all: bool,
}

/// A book that is read.
#[derive(Debug, Args)]
pub(crate) struct ReadBook {
    /// The directory of the book.
    pub(crate) book: PathBuf,
    /// The directory that segments of this book were archived to.
    #[arg(long, value_name = "DIR")]
    pub(crate) archive: Option<PathBuf>,
}

/// List what happened in a book, one event a line.
///
/// Each line holds the position of the record, its time, the stream, the type and a summary. The
/// events of one record happened together or not at all. A book that a program has open is listed as
/// far as it has come; with --follow, what it writes from then on is listed as it comes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil events /tmp/api --limit 20
  counterfoil events /tmp/api --reverse --limit 5
  counterfoil events /tmp/api --stream customer:cus_ada
  counterfoil events /tmp/api --from 42 --json | jq -r .type
  counterfoil events /tmp/api --follow --json

Exit status: 0, or 2 where the book could not be read")]
pub(crate) struct Events {
    #[command(flatten)]
    pub(crate) read: ReadBook,
    /// Begin at this record; at the first, or with --reverse at the last, where it is not given.
    #[arg(long, value_name = "LSN")]
    pub(crate) from: Option<u64>,
    /// From the latest to the earliest.
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Only the events of this stream: book, catalog, meters, customer:ID.
    #[arg(long, value_name = "KEY")]
    pub(crate) stream: Option<String>,
    /// End after this many events.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Wait at the end for what is written next, until interrupted, or whoever reads goes away.
    #[arg(long, conflicts_with = "reverse")]
    pub(crate) follow: bool,
    /// Print one JSON object a line, with the whole event.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show how every amount of an invoice came about.
///
/// From the total down to prices, periods, the position up to which a meter was read and the first
/// meter events behind it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil explain /tmp/saas in_manuals
  counterfoil explain /tmp/saas 4F2A91C0-0003
  counterfoil explain /tmp/saas in_manuals --as-of 2028-01-31

Exit status: 0; 1 where there is no such invoice; 2 where the book could not be read")]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) read: ReadBook,
    /// The id of the invoice, or its number.
    pub(crate) invoice: String,
    /// As the book was after this record, or at this time, whose day is enough.
    #[arg(long, value_name = "LSN|TIME", value_parser = as_of)]
    pub(crate) as_of: Option<AsOf>,
}

/// Show what would be invoiced, without doing it.
///
/// The next invoice of a customer, of a subscription or of a schedule: with the usage so far, and as
/// if every payment until then succeeded. Or what a command would invoice at once, and what would
/// come after it. The amounts are those of the real invoice, for it is made by the same code. The
/// book is not changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil preview /tmp/saas --subscription sub_acme
  counterfoil preview /tmp/saas --customer cus_acme --json | jq .upcoming.total
  counterfoil preview /tmp/saas --command '{\"subscription.cancel\":
    {\"id\": \"sub_acme\", \"invoice_now\": true, \"prorate\": true}}'

Exit status: 0; 1 where the command would be refused, or no invoice will come; 2 where the command
or the book could not be read")]
#[command(group = clap::ArgGroup::new("of").required(true))]
pub(crate) struct Preview {
    #[command(flatten)]
    pub(crate) read: ReadBook,
    /// The next invoice of any subscription of this customer.
    #[arg(long, value_name = "ID", group = "of")]
    pub(crate) customer: Option<String>,
    /// The next invoice of this subscription.
    #[arg(long, value_name = "ID", group = "of")]
    pub(crate) subscription: Option<String>,
    /// The next invoice of the subscription that this schedule guides, or will begin.
    #[arg(long, value_name = "ID", group = "of")]
    pub(crate) schedule: Option<String>,
    /// What this command would invoice: a map from the operation to its parameters, in YAML or JSON
    /// as in a scenario.
    #[arg(long, value_name = "COMMAND", group = "of")]
    pub(crate) command: Option<String>,
    /// As the book was after this record, or at this time, whose day is enough.
    #[arg(long, value_name = "LSN|TIME", value_parser = as_of)]
    pub(crate) as_of: Option<AsOf>,
    /// Print one JSON object, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show the trial balance: every account of the journal, debits against credits.
///
/// Revenue is earned by the day, so the balance depends on the time it is drawn up for: --at takes
/// what is known today and earns up to then, --as-of takes what was known then.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil balance /tmp/saas
  counterfoil balance /tmp/saas --at 2028-12-31T00:00:00Z
  counterfoil balance /tmp/saas --as-of 2028-12-31

Exit status: 0; 1 where debits and credits differ; 2 where the book could not be read")]
pub(crate) struct Balance {
    #[command(flatten)]
    pub(crate) read: ReadBook,
    /// The time up to which revenue is earned; the book's own where it is not given.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) at: Option<Timestamp>,
    /// As the book was after this record, or at this time, whose day is enough.
    #[arg(long, value_name = "LSN|TIME", value_parser = as_of)]
    pub(crate) as_of: Option<AsOf>,
}

/// List the alerts on usage, and whom each went off for.
///
/// An alert goes off once for a customer, until it is activated again; what is listed is since then.
/// All that ever went off are events: `counterfoil events BOOK`, of type alert.triggered.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil alerts /tmp/api
  counterfoil alerts /tmp/api --as-of 2028-12-31
  counterfoil alerts /tmp/api --json | jq '.[] | select(.status == \"active\").triggered[].customer'

Exit status: 0, or 2 where the book could not be read")]
pub(crate) struct Alerts {
    #[command(flatten)]
    pub(crate) read: ReadBook,
    /// As the book was after this record, or at this time, whose day is enough.
    #[arg(long, value_name = "LSN|TIME", value_parser = as_of)]
    pub(crate) as_of: Option<AsOf>,
    /// Print one JSON array, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Check a book: its bytes, its history and its numbers.
///
/// Reads every byte with its checksums and computes the hash tree over all records anew; replays
/// them from the start, checks the invariants of each customer after every record and of the whole
/// at the end, and reads the usage behind every metered line again. With a receipt that was kept
/// elsewhere it also tells whether the history up to there is still the same. Two books with the
/// same history have the same state hash. Nothing is written: the book may be open in a program that
/// goes on, and is then checked as far as it has come.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil verify /tmp/saas
  counterfoil verify /tmp/saas --receipt saas-2028.receipt
  counterfoil verify /tmp/saas --archive /mnt/archive/saas

Exit status: 0; 1 where something does not hold; 2 where the book is damaged or could not be read")]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) read: ReadBook,
    /// A receipt of this book, or a file that holds one.
    #[arg(long, value_name = "FILE|TEXT", value_parser = receipt)]
    pub(crate) receipt: Option<BookReceipt>,
}

/// Print a receipt: what the history of a book is, in one line.
///
/// The receipt names a record and the hash of everything up to it. Kept where nobody who can write
/// to the book can change it, it shows later that no record before it was altered, taken out or put
/// in (`verify --receipt`), and it is what a proof of one invoice is checked with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil receipt /tmp/saas > saas.receipt
  counterfoil receipt /tmp/saas --at 42

Exit status: 0; 1 where there is no such record; 2 where the book could not be read")]
pub(crate) struct Receipt {
    #[command(flatten)]
    pub(crate) read: ReadBook,
    /// The record up to which it goes; the last one where it is not given.
    #[arg(long, value_name = "LSN")]
    pub(crate) at: Option<u64>,
}

/// Write a proof that an invoice was finalized, for somebody who has a receipt.
///
/// The proof holds the record in which the invoice was finalized, with all its amounts, and the
/// hashes that lead from it to the head in the receipt. It shows at most two kilobytes of what stands
/// beside that record in the book, and nothing else.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil prove /tmp/saas in_manuals --receipt saas.receipt --out manuals.proof
  counterfoil check-proof manuals.proof --receipt saas.receipt

Exit status: 0; 1 where there is no such invoice or the receipt is not of this book; 2 where the
book or the receipt could not be read")]
pub(crate) struct Prove {
    #[command(flatten)]
    pub(crate) read: ReadBook,
    /// The id of the invoice, or its number.
    pub(crate) invoice: String,
    /// The file to write the proof to.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The receipt that it is to be checked with, or a file that holds it; one of now, which is
    /// printed, where it is not given.
    #[arg(long, value_name = "FILE|TEXT", value_parser = receipt)]
    pub(crate) receipt: Option<BookReceipt>,
}

/// Check a proof with a receipt, and show what it proves. The book is not needed.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  counterfoil check-proof manuals.proof --receipt saas.receipt

Exit status: 0; 1 where the proof does not hold; 2 where a file could not be read")]
pub(crate) struct CheckProof {
    /// The file with the proof.
    pub(crate) proof: PathBuf,
    /// The receipt, or a file that holds it.
    #[arg(long, value_name = "FILE|TEXT", value_parser = receipt)]
    pub(crate) receipt: BookReceipt,
    /// Print one JSON object a line for each event, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Copy a book to another directory, or bring a former copy up to date.
///
/// The copy ends at the last record that is on disk when it begins, and opens like any book. Only
/// what is missing in the target is written. A program that has the book open goes on meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil backup /tmp/saas /mnt/backup/saas
  counterfoil verify /mnt/backup/saas

Exit status: 0, or 2 where the book could not be read or the copy not be written")]
pub(crate) struct Backup {
    /// The directory of the book.
    pub(crate) book: PathBuf,
    /// The directory of the copy; made where it is not there.
    pub(crate) to: PathBuf,
}

/// Copy what is whole in a damaged book to a new one, and say what is missing.
///
/// The new book holds every record up to the first that is missing: it is a sound book of an earlier
/// moment. Whole records behind the damage cannot be applied without those before; --orphans writes
/// them to a file, to be looked at. The damaged book is not changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil salvage /tmp/damaged /tmp/rescued
  counterfoil salvage /tmp/damaged /tmp/rescued --orphans orphans.ndjson

Exit status: 0 where nothing is missing; 1 where something is; 2 where nothing could be copied")]
pub(crate) struct Salvage {
    /// The directory of the damaged book.
    pub(crate) book: PathBuf,
    /// The directory of the new book; it must be empty or not there.
    pub(crate) to: PathBuf,
    /// Write whole records behind the damage to this file, one JSON object an event and line.
    #[arg(long, value_name = "FILE")]
    pub(crate) orphans: Option<PathBuf>,
}

/// Write a snapshot of a book, so that it opens without replaying what lies before.
///
/// A snapshot can be removed at any time: it holds nothing that does not follow from the log. Older
/// ones that are not needed any more are removed.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  counterfoil snapshot /tmp/saas

Exit status: 0, or 2 where the book could not be read or the snapshot not be written")]
pub(crate) struct Snapshot {
    /// The directory of the book.
    pub(crate) book: PathBuf,
}

/// Show what a book takes up on disk, by kind, in bytes.
///
/// `ahead` is space that was written before it is needed, and is given back when the book is closed;
/// `archived` segments are not in the book any more, and not in the total.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil disk /tmp/saas
  counterfoil disk /tmp/saas --json | jq .total

Exit status: 0, or 2 where the book could not be read")]
pub(crate) struct Disk {
    /// The directory of the book.
    pub(crate) book: PathBuf,
    /// Print one JSON object, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measure a part of the library on this machine, alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  counterfoil bench meter --events 10000000

Exit status: 0, or 1 where what was counted is not what went in")]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) subject: Subject,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    Meter(BenchMeter),
}

/// Count generated usage events, and show how fast and in how much memory.
///
/// Customers are drawn by Zipf's law, times lie within a month and are mostly in order, eight meters
/// each keep count, sum, maximum and last value by customer and hour, identifiers are remembered for
/// 35 days. Nothing is written to disk, unless --durable names a directory: then a batch, or a single
/// event, is done when it is synced. Making the events is not part of the figures.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil bench meter
  counterfoil bench meter --events 50000000 --threads 2 --batch 1000000
  counterfoil bench meter --batch 10000 --no-reserve --json
  counterfoil bench meter --durable /tmp/meters
  counterfoil bench meter --durable /tmp/meters --online
  counterfoil bench meter --durable /tmp/meters --singles --events 1000000
  counterfoil bench meter --durable /tmp/meters --singles --tickets 1 --events 100000

Exit status: 0; 1 where what was counted is not what went in; 2 where the directory failed")]
pub(crate) struct BenchMeter {
    /// How many events.
    #[arg(long, value_name = "N", default_value_t = 10_000_000,
        value_parser = clap::value_parser!(u64).range(31..=4_000_000_000))]
    pub(crate) events: u64,
    /// Threads that take in a batch, or give single events; those of the machine where it is not
    /// given, and 8 for single events.
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) threads: Option<u8>,
    /// Events of a batch, at most 1,048,576, which is what is taken where it is not given; with
    /// --durable or --online it is 10,000.
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) batch: Option<u32>,
    /// How many customers there are; at most 10 million.
    #[arg(long, value_name = "N", default_value_t = 100_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) customers: u32,
    /// How many of a thousand events repeat an earlier one.
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(0..=999))]
    pub(crate) repeats: u32,
    /// Write each batch to a log in this directory, which must be empty or not there, and sync it.
    #[arg(long, value_name = "DIR")]
    pub(crate) durable: Option<PathBuf>,
    /// Ask for a customer's totals on all meters, for the month, after each batch.
    #[arg(long, conflicts_with = "singles")]
    pub(crate) online: bool,
    /// Give events one by one, from several threads.
    #[arg(long, requires = "durable", conflicts_with = "batch")]
    pub(crate) singles: bool,
    /// Single events of a thread that may be unanswered; 1: each is waited for.
    #[arg(long, value_name = "N", default_value_t = 1_024, requires = "singles",
        value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) tickets: u32,
    /// Make no room ahead: tables, and files, grow while events come in.
    #[arg(long)]
    pub(crate) no_reserve: bool,
    /// The seed that the events follow from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print one JSON object, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|refusal| refusal.to_string())
}

/// The number of a record, a time, or a day, which means its end.
fn as_of(text: &str) -> Result<AsOf, String> {
    if let Ok(lsn) = text.parse() {
        return Ok(AsOf::Position(Lsn(lsn)));
    }
    if text.len() == "2028-01-31".len() {
        return time(&format!("{text}T23:59:59Z")).map(AsOf::Time);
    }
    time(text).map(AsOf::Time)
}

/// A receipt, or a file that holds one.
fn receipt(text: &str) -> Result<BookReceipt, String> {
    let refused: ReceiptError = match text.parse() {
        Ok(receipt) => return Ok(receipt),
        Err(refused) => refused,
    };
    if text.trim().contains(' ') {
        // No file is named so; whoever pasted a receipt wants to know what is wrong with it.
        return Err(refused.to_string());
    }
    let file = std::fs::read_to_string(text).map_err(|error| format!("{text}: {error}"))?;
    file.parse().map_err(|refused: ReceiptError| format!("{text}: {refused}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent_and_every_command_teaches_by_example() {
        let mut command = Arguments::command();
        command.clone().debug_assert();
        for subcommand in command.get_subcommands_mut() {
            if subcommand.get_name() == "help" {
                continue;
            }
            let help = subcommand.render_long_help().to_string();
            assert!(help.contains("Example"), "{help}");
            assert!(help.contains("Exit status"), "{help}");
            assert!(help.contains(&format!("counterfoil {}", subcommand.get_name())), "{help}");
        }
    }
}
