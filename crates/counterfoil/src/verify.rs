//! Verifying a book: its bytes, its history, its numbers.

use crate::codec;
use crate::engine::Options;
use crate::error::BookError;
use crate::keys::Keys;
use crate::metering::read_at;
use crate::reader::attach_archive;
use crate::sequencer::Sequencer;
use counterfoil_billing::alert::AlertEvent;
use counterfoil_billing::invoice::InvoiceEvent;
use counterfoil_log::{
    FileStorage, History, Lsn, OpenError, Reader, Receipt, RecordRef, VerifyReport, verify_against,
};
use counterfoil_meter::{Aggregator, Position};
use counterfoil_model::{Event, invariants};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// What a verification saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the files of the log hold, and where they are damaged. Where they are, nothing was
    /// replayed.
    pub log: VerifyReport,
    /// Records of the log.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Meter events in them.
    pub usage_events: u64,
    /// Metered lines whose usage was read again.
    pub lines_read_again: u64,
    /// The state hash at the end.
    pub state_hash: [u8; 32],
    /// What does not hold: which record, and why. Empty for a sound book.
    pub findings: Vec<Finding>,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The record after which it was seen.
    pub lsn: Lsn,
    /// What does not hold.
    pub what: String,
}

/// How many findings are kept; a book that is wrong once is often wrong everywhere.
const FINDINGS_MAX: usize = 100;

/// Reads a whole book: every checksum, every record; replays it from the start, checks every
/// invariant of each customer a record touches, and of the book at the end, and reads the usage
/// behind every metered line again at the position that its event names; what alerts went off is
/// found again from the usage. The book may be open in
/// another process, or lie where nothing can be written; what was archived is read from where
/// [`Options::archive`] says.
///
/// # Errors
/// [`BookError`] where the book cannot be read, is damaged, or there is none.
pub fn verify(dir: impl AsRef<Path>, options: &Options) -> Result<Verified, BookError> {
    let verified = verify_with(dir, options, None, &mut |_, _| {})?;
    match verified.log.damage.first() {
        Some(damage) => Err(OpenError::Damaged(damage.clone()).into()),
        None => Ok(verified),
    }
}

/// The same, with a receipt that the history is compared with, and with word of how many records of
/// how many were replayed. Damage is in the report.
///
/// # Errors
/// [`BookError`] where the book cannot be read, or there is none.
pub fn verify_with(
    dir: impl AsRef<Path>,
    options: &Options,
    receipt: Option<&Receipt>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, BookError> {
    let storage = Arc::new(FileStorage::open_existing(dir.as_ref())?);
    match Reader::open(Arc::clone(&storage)) {
        Ok(reader) => {
            if let Some(dir) = &options.archive {
                attach_archive(&reader, dir)?;
            }
            let keys = Arc::new(Keys::read_only(storage));
            verify_read(&reader, &keys, options, receipt, progress)
        }
        Err(OpenError::Damaged(damage)) => {
            let mut report = match receipt {
                Some(receipt) => verify_against(&*storage, receipt)?,
                None => counterfoil_log::verify(&*storage)?,
            };
            if report.damage.is_empty() {
                report.damage.push(damage);
            }
            Ok(Verified::of(report))
        }
        Err(error) => Err(error.into()),
    }
}

/// The same for a book that is looked into.
pub(crate) fn verify_read(
    reader: &Reader,
    keys: &Arc<Keys>,
    options: &Options,
    receipt: Option<&Receipt>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, BookError> {
    let mut verified = Verified::of(reader.verify(receipt)?);
    if verified.log.damage.is_empty() {
        // The files may go on to a record that was not there yet when the reader looked.
        reader.refresh()?;
        replay(reader, keys, options, &mut verified, progress)?;
    }
    Ok(verified)
}

fn replay(
    log: &History,
    keys: &Arc<Keys>,
    options: &Options,
    verified: &mut Verified,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), BookError> {
    let last = verified.log.last;
    let meters = Aggregator::new(options.dedupe);
    let mut book =
        Sequencer::new(options.settings.clone(), meters, Arc::clone(keys), Arc::default());
    let mut records = log.read(Lsn::ZERO.next());
    while book.last < last
        && let Some(record) = records.next_ref()
    {
        let lsn = book.last.next();
        let record = record.map_err(|error| BookError::reading(lsn, error))?;
        let decoded = codec::decode_ref(record, keys)?;
        check_versions(&book, record, verified);
        check_usage(&book, lsn, &decoded.events, verified);
        let noticed = book.replay_noticing(lsn, &decoded)?;
        check_alerts(lsn, &noticed, &decoded.events, verified);
        verified.records = verified.records.saturating_add(1);
        check_touched(&book, lsn, &decoded.events, verified);
        progress(lsn.0, last.0);
    }
    if let Some(now) = book.clock
        && let Err(violation) = invariants::check_all(&book.state, now)
    {
        verified.note(book.last, violation.to_string());
    }
    // Where the book is open, its writer destroyed them since.
    keys.refresh();
    for slot in book.state.erased_slots() {
        match keys.is_destroyed(slot) {
            Ok(true) => {}
            Ok(false) => verified.note(
                book.last,
                format!(
                    "the key in slot {slot} was erased, and is still there: open the book once, \
                     or look again where it is open"
                ),
            ),
            Err(error) => verified.note(book.last, error.to_string()),
        }
    }
    verified.events = book.state.event_count();
    verified.usage_events = book.usage_events;
    verified.state_hash = book.hash();
    Ok(())
}

impl Verified {
    /// What is known before anything is replayed.
    fn of(log: VerifyReport) -> Self {
        Self {
            log,
            records: 0,
            events: 0,
            usage_events: 0,
            lines_read_again: 0,
            state_hash: [0; 32],
            findings: Vec::new(),
        }
    }

    fn note(&mut self, lsn: Lsn, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { lsn, what });
        }
    }
}

fn check_versions(book: &Sequencer, record: RecordRef<'_>, verified: &mut Verified) {
    let mut seen = std::collections::BTreeMap::new();
    for entry in record.events().filter(|entry| entry.stream_version > 0) {
        let version =
            seen.entry(entry.stream).or_insert_with(|| book.state.stream_version(entry.stream));
        *version = version.saturating_add(1);
        if *version != entry.stream_version {
            let (stream, found) = (entry.stream, entry.stream_version);
            verified.note(record.lsn(), format!("{stream}: version {found}, expected {version}"));
        }
    }
}

fn check_usage(book: &Sequencer, lsn: Lsn, events: &[Event], verified: &mut Verified) {
    for event in events {
        let Event::Billing(counterfoil_billing::Event::Invoice(InvoiceEvent::Finalized(invoice))) =
            event
        else {
            continue;
        };
        for line in &invoice.lines {
            let Some(reading) = line.derivation.reading() else { continue };
            let cut = Position(reading.position);
            let customer = &invoice.customer;
            let price = line.price.as_ref().and_then(|id| book.state.price(id).ok());
            let period = (line.period, price);
            let again = read_at(&book.meters, &reading.meter, customer, period, cut);
            verified.lines_read_again = verified.lines_read_again.saturating_add(1);
            match again {
                Ok(again) if again == *reading => {}
                Ok(again) => verified.note(
                    lsn,
                    format!(
                        "line {} was billed for {} on {}, which reads {}",
                        line.id, reading.quantity, reading.meter, again.quantity
                    ),
                ),
                Err(error) => verified.note(lsn, format!("line {}: {error}", line.id)),
            }
        }
    }
}

/// The alerts that the usage in a record sets off are those that the record says went off.
fn check_alerts(
    lsn: Lsn,
    noticed: &[counterfoil_meter::AlertTriggered],
    events: &[Event],
    verified: &mut Verified,
) {
    let said = events.iter().filter_map(|event| match event {
        Event::Billing(counterfoil_billing::Event::Alert(AlertEvent::Triggered(own))) => Some(own),
        _ => None,
    });
    let said = said.map(|own| (own.alert.clone(), own.customer.to_string(), own.value));
    let noticed = noticed.iter().map(|own| (own.alert.clone(), own.customer.clone(), own.value));
    let (said, noticed): (BTreeSet<_>, BTreeSet<_>) = (said.collect(), noticed.collect());
    for (alert, customer, value) in said.symmetric_difference(&noticed) {
        let missed = noticed.contains(&(alert.clone(), customer.clone(), *value));
        let what = if missed { "is not said to have gone off" } else { "did not go off" };
        verified.note(lsn, format!("alert {alert} {what} for {customer} at {value}"));
    }
}

fn check_touched(book: &Sequencer, lsn: Lsn, events: &[Event], verified: &mut Verified) {
    let mut touched: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Billing(event) => event.customer(),
            Event::Book(_) => None,
        })
        .collect();
    touched.sort_unstable();
    touched.dedup();
    for customer in touched {
        let Ok(shard) = book.state.shard(customer) else {
            verified.note(lsn, format!("an event of {customer}, which does not exist"));
            continue;
        };
        if let Err(violation) = invariants::check_customer(&book.state, shard) {
            verified.note(lsn, violation.to_string());
        }
    }
}
