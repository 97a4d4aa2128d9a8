//! The arguments, and the help that teaches them.

use clap::{Args, Parser, Subcommand};
use counterfoil::{AsOf, Lsn, Timestamp};
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
    Balance(Balance),
    Verify(Verify),
}

/// Run a scenario and show its invoices, its trial balance and one explained invoice.
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

/// List what happened in a book, one event a line.
///
/// Each line holds the position of the record, its time, the stream, the type and a summary. The
/// events of one record happened together or not at all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil events /tmp/api --limit 20
  counterfoil events /tmp/api --reverse --limit 5
  counterfoil events /tmp/api --stream customer:cus_ada
  counterfoil events /tmp/api --from 42 --json | jq -r .type

Exit status: 0, or 2 where the book could not be read")]
pub(crate) struct Events {
    /// The directory of the book.
    pub(crate) book: PathBuf,
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
    /// The directory of the book.
    pub(crate) book: PathBuf,
    /// The id of the invoice, or its number.
    pub(crate) invoice: String,
    /// As the book was after this record, or at this time, whose day is enough.
    #[arg(long, value_name = "LSN|TIME", value_parser = as_of)]
    pub(crate) as_of: Option<AsOf>,
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
    /// The directory of the book.
    pub(crate) book: PathBuf,
    /// The time up to which revenue is earned; the book's own where it is not given.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) at: Option<Timestamp>,
    /// As the book was after this record, or at this time, whose day is enough.
    #[arg(long, value_name = "LSN|TIME", value_parser = as_of)]
    pub(crate) as_of: Option<AsOf>,
}

/// Check a book: its bytes, its history and its numbers.
///
/// Reads every record with its checksum, replays them all from the start, checks the invariants of
/// each customer after every record and of the whole at the end, and reads the usage behind every
/// metered line again. Two books with the same history have the same state hash.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  counterfoil verify /tmp/saas

Exit status: 0; 1 where something does not hold; 2 where the book could not be read")]
pub(crate) struct Verify {
    /// The directory of the book.
    pub(crate) book: PathBuf,
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
