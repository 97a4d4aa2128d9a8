//! `counterfoil run`: a scenario, and what came of it.

use crate::Ending;
use crate::arguments::Run;
use crate::invoice::{lines, name};
use crate::problem::{Problem, tell_tail_cut};
use crate::progress::{Progress, waiting};
use crate::table::{Columns, amount, amount_header, counted, days, only_currency};
use counterfoil::{
    BookError, Currency, Engine, Entropy, Error, InvoiceId, InvoiceStatus, MemStorage, Money,
    Options, Period,
};
use counterfoil_scenario::report::InvoiceReport;
use counterfoil_scenario::{Document, Failure, Outcome, Report, UsageSummary, run as run_scenario};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How many invoices are listed where not all are asked for.
const INVOICES_SHOWN: usize = 40;

/// Up to how many invoices each is shown with its lines.
const INVOICES_WITH_LINES: usize = 8;

/// How many rows of other lists are shown.
const ROWS_SHOWN: usize = 10;

/// How many refused rows are shown of each usage file.
const REFUSED_SHOWN: usize = 5;

/// Runs a scenario and prints what came of it.
pub(crate) fn run(arguments: &Run, out: &mut dyn Write) -> Result<Ending, Problem> {
    let path = &arguments.scenario;
    let unreadable = |reason| Problem::Scenario { path: path.clone(), reason };
    let document = Document::read(path).map_err(unreadable)?;
    // Before any book is opened: a file that cannot be read leaves none behind.
    counterfoil_scenario::check(&document).map_err(unreadable)?;
    let settings = counterfoil_scenario::settings_of(&document).map_err(unreadable)?;
    let options = Options::default().settings(settings);
    let place = arguments.book.clone().unwrap_or_else(|| PathBuf::from("book in memory"));
    let engine = waiting("opening the book", || open(arguments.book.as_deref(), options))
        .map_err(|reason| Problem::Book { path: place.clone(), reason })?;
    tell_tail_cut(engine.tail_cut(), &place);
    let mut progress = Progress::new();
    let outcome = run_scenario(&document, &engine, &mut progress);
    drop(progress);
    let outcome = outcome.map_err(unreadable)?;
    let question = |reason| Problem::Question { path: place.clone(), reason };
    if let Some(report) = &outcome.report {
        if arguments.json {
            serde_json::to_writer_pretty(&mut *out, report).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            let page = Page { arguments, document: &document, outcome: &outcome };
            page.print(report, &engine, out, &question)?;
        }
    }
    out.flush()?;
    let ending = match &outcome.failure {
        None => Ending::Sound,
        Some(failure) => tell(path, failure),
    };
    engine.close().map_err(question)?;
    Ok(ending)
}

fn open(book: Option<&Path>, options: Options) -> Result<Engine, BookError> {
    match book {
        Some(dir) => Engine::open(dir, options),
        // Nothing of it is kept, so nothing in it is secret.
        None => Engine::on(MemStorage::new(), options.entropy(Entropy::FIXED)),
    }
}

/// Tells why a scenario stopped.
fn tell(path: &Path, failure: &Failure) -> Ending {
    eprintln!("counterfoil: {}: {failure}", path.display());
    if failure.problem.is_unreadable() { Ending::Unreadable } else { Ending::Unsound }
}

/// What a person reads after a run.
struct Page<'a> {
    arguments: &'a Run,
    document: &'a Document,
    outcome: &'a Outcome,
}

impl Page<'_> {
    fn print(
        &self,
        report: &Report,
        engine: &Engine,
        out: &mut dyn Write,
        question: &dyn Fn(Error) -> Problem,
    ) -> Result<(), Problem> {
        self.head(engine, report, out, question)?;
        usage(&self.outcome.usage, out)?;
        let all = self.arguments.all;
        invoices(report, all, out)?;
        if all || report.invoices.len() <= INVOICES_WITH_LINES {
            for invoice in &report.invoices {
                lines(invoice, out)?;
            }
        }
        pending(report, out)?;
        unbilled(report, out)?;
        trial_balance(report, out)?;
        if let Some(id) = worth_explaining(report) {
            let explanation = engine.invoices().explain(id).map_err(question)?;
            writeln!(out, "\nOne invoice explained\n\n{explanation}")?;
        }
        if let Some(book) = &self.arguments.book {
            writeln!(out, "The book is in {}.", book.display())?;
        }
        Ok(())
    }

    fn head(
        &self,
        engine: &Engine,
        report: &Report,
        out: &mut dyn Write,
        question: &dyn Fn(Error) -> Problem,
    ) -> Result<(), Problem> {
        let state = engine.state().map_err(question)?;
        let name = match state.settings().name.as_str() {
            "" => self.arguments.scenario.display().to_string(),
            name => name.to_owned(),
        };
        let steps = self.document.steps.len();
        let done = match &self.outcome.failure {
            None => format!("all {steps} steps did what they said"),
            Some(failure) => format!("stopped in step {} of {steps}", failure.step),
        };
        writeln!(out, "{name}: {done}")?;
        let time = match engine.now().map_err(question)? {
            Some(now) => format!(", the book's time is {now}"),
            None => String::new(),
        };
        writeln!(
            out,
            "{}, {}, {}{time}",
            counted(count(&report.customers), "customer"),
            counted(count(&report.invoices), "invoice"),
            counted(report.events, "event"),
        )?;
        Ok(())
    }
}

fn count<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

/// What became of each usage file, with the first rows that were refused.
fn usage(files: &[UsageSummary], out: &mut dyn Write) -> io::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nUsage files\n")?;
    let mut columns = Columns::new(&["File", ">Step", ">Taken", ">Duplicate", ">Refused"]);
    for file in files {
        let counts = [file.taken, file.duplicates, file.refused].map(|count| count.to_string());
        let [taken, duplicates, refused] = counts;
        columns.row([file.file.clone(), file.step.to_string(), taken, duplicates, refused]);
    }
    columns.print(out)?;
    for file in files {
        if file.conflicts > 0 {
            let conflicts = counted(file.conflicts, "duplicate");
            let (name, step) = (&file.file, file.step);
            writeln!(
                out,
                "{name}, step {step}: {conflicts} with other content; what came first counts"
            )?;
        }
    }
    let mut told: Vec<(&str, u64)> = Vec::new();
    for file in files {
        let mut shown: u64 = 0;
        for row in file.first_refused.iter().take(REFUSED_SHOWN) {
            shown = shown.saturating_add(1);
            let at = (file.file.as_str(), row.place.number());
            if !told.contains(&at) {
                told.push(at);
                write!(out, "{}, {}", file.file, row.place)?;
                if let Some(column) = &row.column {
                    write!(out, ", column {column}")?;
                }
                writeln!(out, ": {} ({})", row.reason, row.code)?;
            }
        }
        let more = file.refused.saturating_sub(shown);
        if more > 0 {
            writeln!(out, "{}: … and {more} more refused", file.file)?;
        }
    }
    Ok(())
}

fn invoices(report: &Report, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let total = report.invoices.len();
    if total == 0 {
        return writeln!(out, "\nNo invoices");
    }
    writeln!(out, "\nInvoices\n")?;
    let only = only_currency(report.invoices.iter().map(|invoice| invoice.currency));
    let header = amount_header("Total", only);
    let mut columns = Columns::new(&["Number", "Customer", "Status", "Period", &header]);
    let shown = if all { total } else { total.min(INVOICES_SHOWN) };
    for invoice in report.invoices.iter().take(shown) {
        columns.row([
            name(invoice),
            invoice.customer.to_string(),
            invoice.status.to_string(),
            days(period(invoice)),
            amount(invoice.total, invoice.currency, only),
        ]);
    }
    columns.print(out)?;
    let more = total.saturating_sub(shown);
    if more > 0 {
        writeln!(out, "… and {more} more (--all shows them)")?;
    }
    sums(report, out)
}

/// What the invoices come to in each currency, by what became of them.
fn sums(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut sums: BTreeMap<(Currency, u8), i64> = BTreeMap::new();
    let kinds = ["draft", "open", "paid", "uncollectible", "void"];
    for invoice in &report.invoices {
        let (kind, minor) = match invoice.status {
            InvoiceStatus::Draft => (0, invoice.total),
            InvoiceStatus::Open => (1, invoice.amount_remaining),
            InvoiceStatus::Paid => (2, invoice.total),
            InvoiceStatus::Uncollectible => (3, invoice.amount_remaining),
            InvoiceStatus::Void => (4, invoice.total),
        };
        let sum = sums.entry((invoice.currency, kind)).or_default();
        *sum = sum.saturating_add(minor);
    }
    let sums = sums.into_iter().map(|((currency, kind), minor)| {
        let kind = kinds.get(usize::from(kind)).copied().unwrap_or_default();
        format!("{} {kind}", Money::new(minor, currency))
    });
    writeln!(out, "{}", sums.collect::<Vec<_>>().join(", "))
}

fn period(invoice: &InvoiceReport) -> Period {
    Period::new(invoice.period_start, invoice.period_end)
}

/// Invoice items that wait for an invoice.
fn pending(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.invoice_items.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWaiting for an invoice\n")?;
    let mut columns = Columns::new(&["Item", "Customer", "Description", ">Amount"]);
    for item in report.invoice_items.iter().take(ROWS_SHOWN) {
        columns.row([
            item.id.to_string(),
            item.customer.to_string(),
            item.description.clone(),
            Money::new(item.amount, item.currency).to_string(),
        ]);
    }
    columns.print(out)?;
    and_more(report.invoice_items.len(), out)
}

fn unbilled(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.unbilled_usage.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nUsage that no invoice takes\n")?;
    let mut columns = Columns::new(&["Meter", "Customer", "Period", ">Quantity", "Reason"]);
    for usage in report.unbilled_usage.iter().take(ROWS_SHOWN) {
        columns.row([
            usage.meter.to_string(),
            usage.customer.to_string(),
            days(usage.period),
            usage.quantity.to_string(),
            usage.reason.replace('_', " "),
        ]);
    }
    columns.print(out)?;
    and_more(report.unbilled_usage.len(), out)
}

fn and_more(rows: usize, out: &mut dyn Write) -> io::Result<()> {
    match rows.saturating_sub(ROWS_SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "… and {more} more (--json shows them)"),
    }
}

fn trial_balance(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let rows = report.journal.accounts.iter().map(|row| crate::inspect::BalanceRow {
        account: row.account,
        currency: row.currency,
        debit: row.debit.into(),
        credit: row.credit.into(),
    });
    if report.journal.accounts.is_empty() {
        return writeln!(out, "\nNothing was posted");
    }
    writeln!(out, "\nTrial balance\n")?;
    crate::inspect::print_balance(&rows.collect::<Vec<_>>(), report.journal.balanced, out)
}

/// The invoice with the most lines, the largest among equals.
fn worth_explaining(report: &Report) -> Option<&InvoiceId> {
    let finalized = report.invoices.iter().filter(|invoice| invoice.number.is_some());
    finalized.max_by_key(|invoice| (invoice.lines.len(), invoice.total)).map(|invoice| &invoice.id)
}
