//! The `counterfoil` command: runs scenarios, and looks into books.
//!
//! Standard output holds what was asked for, standard error what went wrong and how far the work
//! is. The exit status is 0 where all is well, 1 where something is not as it was said to be, and 2
//! where a file or a book could not be read.
#![forbid(unsafe_code)]

mod inspect;
mod problem;
mod progress;
mod run;
mod table;

use clap::{Args, Parser, Subcommand};
use counterfoil::Timestamp;
use problem::Problem;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const EXIT_STATUS: &str = "\
Exit status:
  0  all is well
  1  a step, an expectation or an invariant is not as it was said to be
  2  the arguments, a file or a book could not be read";

const START_HERE: &str = "\
Start here:
  counterfoil run examples/saas/scenario.yaml
  counterfoil run examples/saas/scenario.yaml --book /tmp/saas
  counterfoil explain /tmp/saas in_manuals";

/// Runs billing scenarios, and looks into the books they leave behind.
///
/// A book is a directory: an append-only log of everything that happened, from which every invoice,
/// balance and posting follows. A scenario is a YAML or JSON file of commands in time order, with
/// files of usage and with what is expected to come of it all.
#[derive(Debug, Parser)]
#[command(name = "counterfoil", version, max_term_width = 80, after_help = START_HERE,
    after_long_help = format!("{START_HERE}\n\n{EXIT_STATUS}"))]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
struct Run {
    /// The scenario: a YAML or JSON file.
    scenario: PathBuf,
    /// The directory of the book to write to; made where it is not there.
    #[arg(long, value_name = "DIR")]
    book: Option<PathBuf>,
    /// Print the report as one JSON object, and nothing else.
    #[arg(long)]
    json: bool,
    /// Show all invoices, each with its lines, however many there are.
    #[arg(long, conflicts_with = "json")]
    all: bool,
}

/// List what happened in a book, one event a line.
///
/// Each line holds the position of the record, its time, the stream, the type and a summary. The
/// events of one record happened together or not at all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil events /tmp/api --limit 20
  counterfoil events /tmp/api --from 42 --json | jq -r .type

Exit status: 0, or 2 where the book could not be read")]
struct Events {
    /// The directory of the book.
    book: PathBuf,
    /// Begin at this record.
    #[arg(long, value_name = "LSN", default_value_t = 1)]
    from: u64,
    /// End after this many events.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print one JSON object a line, with the whole event.
    #[arg(long)]
    json: bool,
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

Exit status: 0; 1 where there is no such invoice; 2 where the book could not be read")]
struct Explain {
    /// The directory of the book.
    book: PathBuf,
    /// The id of the invoice, or its number.
    invoice: String,
}

/// Show the trial balance: every account of the journal, debits against credits.
///
/// Revenue is earned by the day, so the balance depends on the time it is drawn up for.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  counterfoil balance /tmp/saas
  counterfoil balance /tmp/saas --at 2028-12-31T00:00:00Z

Exit status: 0; 1 where debits and credits differ; 2 where the book could not be read")]
struct Balance {
    /// The directory of the book.
    book: PathBuf,
    /// The time up to which revenue is earned; the book's own where it is not given.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
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
struct Verify {
    /// The directory of the book.
    book: PathBuf,
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|refusal| refusal.to_string())
}

/// How a command that could do its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// All is well.
    Sound,
    /// Something is not as it was said to be; it has been told.
    Unsound,
    /// A file could not be read to its end; it has been told.
    Unreadable,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = BufWriter::new(io::stdout().lock());
    let ended = match &arguments.command {
        Command::Run(arguments) => run::run(arguments, &mut out),
        Command::Events(arguments) => inspect::events(arguments, &mut out),
        Command::Explain(arguments) => inspect::explain(arguments, &mut out),
        Command::Balance(arguments) => inspect::balance(arguments, &mut out),
        Command::Verify(arguments) => inspect::verify(arguments, &mut out),
    };
    let ended = ended.and_then(|ending| out.flush().map(|()| ending).map_err(Problem::from));
    match ended {
        Ok(Ending::Sound) => ExitCode::SUCCESS,
        Ok(Ending::Unsound) => ExitCode::from(1),
        Ok(Ending::Unreadable) => ExitCode::from(2),
        // Whoever reads has seen enough, as `head` has.
        Err(Problem::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(problem) => {
            problem.tell();
            ExitCode::from(problem.status())
        }
    }
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
