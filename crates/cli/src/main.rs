//! The `counterfoil` command: runs scenarios, and looks into books.
//!
//! Standard output holds what was asked for, standard error what went wrong and how far the work
//! is. The exit status is 0 where all is well, 1 where something is not as it was said to be, and 2
//! where a file or a book could not be read.
#![forbid(unsafe_code)]

mod alerts;
mod arguments;
mod bench;
mod inspect;
mod invoice;
mod keep;
mod preview;
mod problem;
mod progress;
mod proof;
mod run;
mod table;

use arguments::{Arguments, Bench, Command, Subject};
use clap::Parser;
use problem::Problem;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

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
        Command::Preview(arguments) => preview::preview(arguments, &mut out),
        Command::Balance(arguments) => inspect::balance(arguments, &mut out),
        Command::Alerts(arguments) => alerts::alerts(arguments, &mut out),
        Command::Verify(arguments) => keep::verify(arguments, &mut out),
        Command::Receipt(arguments) => proof::receipt(arguments, &mut out),
        Command::Prove(arguments) => proof::prove(arguments, &mut out),
        Command::CheckProof(arguments) => proof::check(arguments, &mut out),
        Command::Backup(arguments) => keep::backup(arguments, &mut out),
        Command::Salvage(arguments) => keep::salvage(arguments, &mut out),
        Command::Snapshot(arguments) => keep::snapshot(arguments, &mut out),
        Command::Disk(arguments) => keep::disk(arguments, &mut out),
        Command::Bench(Bench { subject: Subject::Meter(arguments) }) => {
            bench::meter(arguments, &mut out)
        }
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
