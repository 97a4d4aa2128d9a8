//! Keeping a book: checking it, copying it, saving what is left of it.

use crate::Ending;
use crate::arguments::{Backup, Disk, Salvage, Snapshot, Verify};
use crate::inspect;
use crate::problem::{Problem, tell_tail_cut, tell_torn};
use crate::progress::{Bar, waiting};
use crate::table::{Columns, counted};
use counterfoil::{Engine, Options, ReceiptCheck, SalvageReport, Verified};
use serde_json::Value;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// `counterfoil verify`.
pub(crate) fn verify(arguments: &Verify, out: &mut dyn Write) -> Result<Ending, Problem> {
    let path = &arguments.read.book;
    let mut bar = Bar::new("replaying the book", "reading every byte of the book");
    let mut options = Options::default();
    options.archive.clone_from(&arguments.read.archive);
    let mut progress = |done, of| bar.at(done, of);
    let verified =
        counterfoil::verify_with(path, &options, arguments.receipt.as_ref(), &mut progress);
    drop(bar);
    let verified = verified.map_err(|reason| Problem::Book { path: path.clone(), reason })?;
    if !verified.log.damage.is_empty() {
        return Err(Problem::Damaged { path: path.clone(), places: verified.log.damage });
    }
    tell_torn(verified.log.tail.as_ref(), path);
    tell_content(&verified, out)?;
    let receipt = tell_receipt(&verified, path, out)?;
    let beside = &verified.log.beside;
    if verified.findings.is_empty() && beside.is_empty() && receipt == Ending::Sound {
        writeln!(out, "invariants  all hold: the book is sound")?;
        return Ok(Ending::Sound);
    }
    out.flush()?;
    if receipt == Ending::Unsound {
        eprintln!("counterfoil: {}: the book is not what the receipt says", path.display());
    }
    if !verified.findings.is_empty() || !beside.is_empty() {
        eprintln!("counterfoil: {}: the book is not sound", path.display());
    }
    for damage in beside {
        eprintln!("counterfoil: {}: {damage}", path.display());
    }
    for finding in &verified.findings {
        eprintln!("record {}: {}", finding.lsn, finding.what);
    }
    Ok(Ending::Unsound)
}

fn tell_content(verified: &Verified, out: &mut dyn Write) -> Result<(), Problem> {
    let (log, segments) = (&verified.log, verified.log.segments.into());
    let (records, segments) = (counted(log.records, "record"), counted(segments, "segment"));
    writeln!(out, "log         {records} in {segments} read, every checksum right")?;
    if let Some(head) = log.head {
        writeln!(out, "head        {} at record {}", hex(&head.head), head.lsn)?;
    }
    let (events, usage) =
        (counted(verified.events, "event"), counted(verified.usage_events, "meter event"));
    writeln!(out, "history     {events} and {usage} replayed from the start")?;
    writeln!(out, "usage       {} read again", counted(verified.lines_read_again, "metered line"))?;
    writeln!(out, "state hash  {}", hex(&verified.state_hash))?;
    Ok(())
}

fn tell_receipt(verified: &Verified, path: &Path, out: &mut dyn Write) -> Result<Ending, Problem> {
    let text = match verified.log.receipt {
        None => return Ok(Ending::Sound),
        Some(ReceiptCheck::Holds) => {
            writeln!(out, "receipt     holds: no record up to the receipt's was changed")?;
            return Ok(Ending::Sound);
        }
        Some(ReceiptCheck::Differs { found }) => {
            format!("differs: the head of the book at record {} is {}", found.lsn, hex(&found.head))
        }
        Some(ReceiptCheck::EndsBefore { last }) => {
            format!("differs: the book ends before it, at record {last}")
        }
        Some(_) => format!("cannot be compared with {}", path.display()),
    };
    writeln!(out, "receipt     {text}")?;
    Ok(Ending::Unsound)
}

/// `counterfoil backup`.
pub(crate) fn backup(arguments: &Backup, out: &mut dyn Write) -> Result<Ending, Problem> {
    let book = inspect::open(&arguments.book)?;
    let path = &arguments.to;
    let report = waiting("copying the book", || book.backup(path))
        .map_err(|reason| Problem::Backup { path: path.clone(), reason })?;
    let copied = counted(report.segments_copied.into(), "segment");
    let kept = report.segments_kept;
    writeln!(out, "copied      {copied}, {} bytes; {kept} were there", report.bytes_written)?;
    writeln!(out, "receipt     {}", report.receipt)?;
    Ok(Ending::Sound)
}

/// `counterfoil disk`.
pub(crate) fn disk(arguments: &Disk, out: &mut dyn Write) -> Result<Ending, Problem> {
    let book = inspect::open(&arguments.book)?;
    let used = book.disk_use().map_err(inspect::question(&arguments.book))?;
    let rows = [
        ("records", used.records),
        ("ahead", used.ahead),
        ("footers", used.footers),
        ("snapshots", used.snapshots),
        ("keys", used.keys),
        ("other", used.other),
        ("total", used.total()),
        ("archived", used.archived),
    ];
    if arguments.json {
        let fields = rows.iter().map(|(kind, bytes)| ((*kind).to_owned(), (*bytes).into()));
        writeln!(out, "{}", Value::Object(fields.collect()))?;
        return Ok(Ending::Sound);
    }
    let mut columns = Columns::new(&["Kind", ">Bytes"]);
    for (kind, bytes) in rows {
        columns.row([kind.to_owned(), bytes.to_string()]);
    }
    columns.print(out)?;
    Ok(Ending::Sound)
}

/// `counterfoil snapshot`.
pub(crate) fn snapshot(arguments: &Snapshot, out: &mut dyn Write) -> Result<Ending, Problem> {
    let path = &arguments.book;
    let opened = waiting("reading the book", || Engine::open_existing(path, Options::default()));
    let book = opened.map_err(|reason| Problem::Book { path: path.clone(), reason })?;
    tell_tail_cut(book.tail_cut(), path);
    let question = inspect::question(path);
    let report = waiting("writing the snapshot", || book.snapshot()).map_err(&question)?;
    book.close().map_err(question)?;
    writeln!(out, "snapshot    at record {}, {} bytes", report.position, report.bytes)?;
    for old in &report.removed {
        writeln!(out, "removed     the one at record {old}")?;
    }
    Ok(Ending::Sound)
}

/// `counterfoil salvage`.
pub(crate) fn salvage(arguments: &Salvage, out: &mut dyn Write) -> Result<Ending, Problem> {
    let path = &arguments.book;
    let report = waiting("saving what is whole", || counterfoil::salvage(path, &arguments.to))
        .map_err(|reason| Problem::Salvage { path: path.clone(), reason })?;
    let to = arguments.to.display();
    writeln!(out, "copied      {} to {to}", counted(report.receipt.lsn.0, "record"))?;
    writeln!(out, "receipt     {}", report.receipt)?;
    let orphans = counted(report.orphans, "whole record");
    writeln!(out, "orphans     {orphans} behind the first gap, not copied")?;
    if let Some(file) = &arguments.orphans {
        write_orphans(path, file)?;
    }
    tell_missing(&report, path, out)
}

fn tell_missing(
    report: &SalvageReport,
    path: &Path,
    out: &mut dyn Write,
) -> Result<Ending, Problem> {
    if report.missing.is_empty() {
        writeln!(out, "missing     nothing")?;
        return Ok(Ending::Sound);
    }
    out.flush()?;
    if report.unreadable_bytes > 0 {
        let bytes = report.unreadable_bytes;
        eprintln!("note: {}: the disk did not give back {bytes} bytes", path.display());
    }
    for missing in &report.missing {
        eprintln!("missing: {missing}");
    }
    Ok(Ending::Unsound)
}

fn write_orphans(book: &Path, file: &Path) -> Result<(), Problem> {
    let broken = |reason| Problem::Book { path: book.to_owned(), reason };
    let mut out = BufWriter::new(File::create(file).map_err(Problem::file(file))?);
    for orphan in counterfoil::orphans(book).map_err(|error| broken(error.into()))? {
        match orphan {
            Ok(record) => inspect::print_record(&record, true, &mut out)?,
            // Whole, but not of this program.
            Err(error) => eprintln!("note: an orphan is left out: {error}"),
        }
    }
    out.flush().map_err(Problem::file(file))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
