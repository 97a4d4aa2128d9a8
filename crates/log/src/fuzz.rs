//! Hostile bytes as an ordinary function: what a fuzzer feeds, and what the tests feed.

use std::collections::BTreeMap;

use crate::{
    Damage, DamageReason, Frontier, Log, LogOptions, Lsn, MemStorage, NewEvent, NewRecord, Proof,
    Receipt, Record, RecordKind, SnapshotStamp,
    batch::{self, BatchHeader},
    buffer::{BLOCK_BYTES, BlockBuffer},
    bytes::{Fields, is_zero, put, wide},
    footer,
    header::{BookId, HEADER_BYTES, Owner, Place, reseal},
    limits::SEGMENT_BYTES_MIN,
    manifest::{self, MANIFEST, Manifest},
    record::{BatchMemory, EncodedRecord, RecordRef, RecordView, resum},
    segment::{self, SegmentHeader, segment_name},
    snapshot, sum, verify,
};

/// The id of the books that are laid down with valid headers.
const BOOK: BookId = [0; 16];
/// Records read from a book that opens: hostile bytes may make it long.
const RECORDS_READ_MAX: usize = 1_000;

/// Lays the bytes down as the files of a book, and opens, reads and verifies it: it opens, or is
/// refused with a typed error. A book that opens can be appended to, closed, and opened again.
///
/// The first byte says how: bit 0, with a valid manifest and segment header in front; bit 1, with
/// all checksums made right, so that what lies behind them is reached. Then come any number of
/// files: a byte for the name (0 the manifest, 1 to 3 a segment, others a foreign file), a length
/// in four bytes, and the bytes.
///
/// # Panics
/// If one of the promises above is broken.
pub fn open_hostile(bytes: &[u8]) {
    let storage = MemStorage::from_files(files(bytes));
    let before = storage.files();
    let verified = verify(&storage);
    assert_eq!(storage.files(), before, "verifying changed the book");
    let options = LogOptions { segment_bytes: SEGMENT_BYTES_MIN, ..LogOptions::default() };
    let Ok((log, report)) = Log::open(storage.clone(), options.clone()) else {
        let damaged = verified.map(|report| !report.damage.is_empty());
        assert!(damaged.unwrap_or(true), "a sound book was refused");
        return;
    };
    // Opening reads the last segment; what is damaged before it is found when it is read.
    let verified_damage = verified.as_ref().is_ok_and(|found| !found.damage.is_empty());
    if let Ok(verified) = verified {
        let last = segment_name(report.segments);
        let seen = |file: &str| file == MANIFEST || file == last;
        // What a header says of the records before it is wrong if those are not as they were.
        let of_before = |damage: &Damage| {
            let reason = damage.reason;
            let first = matches!(reason, DamageReason::FirstLsn { .. } | DamageReason::Tree);
            damage.file == last && damage.offset == 0 && first
        };
        let damage = verified.damage.first();
        let damage = damage.filter(|damage| seen(&damage.file) && !of_before(damage));
        assert_eq!(damage, None, "a damaged book was opened");
        assert!(verified_damage || verified.last == report.last);
    }
    for record in log.read(Lsn::ZERO).take(RECORDS_READ_MAX) {
        let whole = record.is_ok() || verified_damage;
        assert!(whole, "a record of a sound book cannot be read: {record:?}");
    }
    let closed = log.close();
    assert_eq!(closed, Ok(()));
    let again = Log::open(storage, options).map(|(_, report)| (report.clean, report.last));
    assert!(matches!(again, Ok((true, last)) if last == report.last), "{again:?}");
}

/// Reads the bytes as a proof, and checks it with receipts made for it: it proves a record, or is
/// refused with a typed error.
///
/// The first byte says how: bit 0, with the checksum of the record made right; bit 1, with a
/// receipt that has the head to which the proof leads, so that what lies behind it is reached.
///
/// # Panics
/// If one of the promises above is broken.
pub fn check_hostile_proof(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let Ok(mut proof) = Proof::decode(bytes) else { return };
    assert_eq!(proof.encode(), bytes, "a proof is not written as it was read");
    if how & 1 != 0 {
        proof.heal();
    }
    let mut receipt = proof.claimed_receipt().unwrap_or(Receipt::EMPTY);
    if how & 2 == 0 {
        receipt.head = *blake3::hash(bytes).as_bytes();
    }
    let checked = proof.check(&receipt);
    assert!(how & 2 != 0 || checked.is_err(), "a hash was found by chance");
    if let Ok(record) = checked {
        assert_eq!(record.lsn, proof.lsn());
        let line = receipt.to_string();
        assert_eq!(line.parse(), Ok(receipt));
    }
}

/// The files that [`open_hostile`] lays down.
#[must_use]
pub fn files(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut input = Fields(bytes);
    let how = input.u8().unwrap_or_default();
    if how & 1 != 0 {
        let frontier = Frontier::default();
        let header = SegmentHeader { first: Lsn(1), previous_end: 0, book: BOOK, frontier };
        files.insert(MANIFEST.to_owned(), Manifest::initial(BOOK).encode().to_vec());
        files.insert(segment_name(1), header.encode(1));
    }
    while let (Some(name), Some(len)) = (input.u8(), input.len32()) {
        let content = input.take(len.min(input.0.len())).unwrap_or_default();
        let (name, number) = match name {
            0 => (MANIFEST.to_owned(), 0),
            1..=3 => (segment_name(name.into()), name.into()),
            _ => (format!("foreign{name}"), 0),
        };
        let file: &mut Vec<u8> = files.entry(name).or_default();
        file.extend_from_slice(content);
        if how & 2 != 0 {
            heal(file, number);
        }
    }
    files
}

/// Makes every checksum of a file right that can be found by walking over it.
fn heal(file: &mut [u8], number: u32) {
    if number == 0 {
        if let Some(magic) = file.get_mut(..manifest::MAGIC.len()) {
            magic.copy_from_slice(&manifest::MAGIC);
        }
        manifest::reseal(file);
        return;
    }
    if let Some(block) = file.get_mut(..BLOCK_BYTES) {
        put(block, 0, &segment::MAGIC);
        segment::reseal(block, number);
    }
    let mut at = BLOCK_BYTES;
    while let Some(frame) = file.get_mut(at..) {
        let Some(len) = heal_batch(frame, Place { segment: number, offset: wide(at) }) else {
            return;
        };
        at = at.saturating_add(len);
    }
}

/// Heals one batch or the footer; returns its length.
fn heal_batch(frame: &mut [u8], place: Place) -> Option<usize> {
    let owner = Owner::of(&BOOK);
    if frame.starts_with(&footer::MAGIC) {
        return footer::reseal(frame, owner, place);
    }
    let (header, records) = frame.split_at_mut_checked(HEADER_BYTES)?;
    if is_zero(header) {
        return None;
    }
    put(header, 0, &batch::MAGIC);
    reseal(owner, place, header);
    let mut found = BatchHeader::decode(header, owner, place).ok()?;
    let mut at: usize = 0;
    let mut sum = 0;
    for _ in 0..found.count {
        let Some((len, crc)) = records.get_mut(at..).and_then(resum) else { break };
        sum = sum::crc32c_append(sum, &crc.to_le_bytes());
        at = at.saturating_add(len);
    }
    found.records_crc = sum;
    put(header, 0, &found.encode(owner, place));
    usize::try_from(found.frame_len()).ok()
}

/// Takes the bytes for a record: it is refused, or it is one that a writer writes just so.
///
/// The first byte says how: bit 0, with the checksum made right, so that what lies behind it is
/// reached.
///
/// # Panics
/// If that is broken.
pub fn record_hostile(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if how & 1 != 0 {
        resum(&mut bytes);
    }
    // The number that it states, so that what lies behind that is reached as well.
    let lsn = Lsn(bytes.get(8..).and_then(|rest| Fields(rest).u64()).unwrap_or_default());
    let Ok((view, len)) = RecordView::parse(&bytes, lsn) else { return };
    let Record { at, kind, meta, events, .. } = RecordRef(view).to_record();
    let events = events.into_iter().map(|event| NewEvent {
        stream: event.stream,
        stream_version: event.stream_version,
        type_id: event.type_id,
        schema: event.schema,
        body: event.body,
        personal: event.personal,
    });
    let record = NewRecord { at, kind, meta, events: events.collect() };
    let memory = |_| BatchMemory { buffer: BlockBuffer::default(), records_at: 0 };
    let encoded = EncodedRecord::new(&record, memory).map(|mut encoded| {
        encoded.number(lsn);
        encoded.bytes().to_vec()
    });
    assert_eq!(encoded.as_deref(), Ok(bytes.get(..len).unwrap_or_default()), "{record:?}");
}

/// The kinds of section that [`snapshot_hostile`] asks for.
const SECTIONS_ASKED: std::ops::Range<u32> = 0..8;

/// Lays the bytes down as a snapshot beside a log of three records, and opens and reads it: it is
/// refused with a typed error, or what is read of it is no longer than it is. The log is whole
/// whatever lies beside it.
///
/// The first byte says how: bit 0, with the checksum of the header made right; bit 1, with a
/// snapshot that was really written in front, whose bytes the others then replace from the place
/// that the next two bytes name.
///
/// # Panics
/// If one of the promises above is broken.
pub fn snapshot_hostile(bytes: &[u8]) {
    let mut input = Fields(bytes);
    let how = input.u8().unwrap_or_default();
    let storage = MemStorage::new();
    let note = || NewRecord { at: 7, kind: RecordKind::Note, meta: vec![1], events: vec![] };
    let Ok((log, _)) = Log::open(storage, LogOptions::default()) else { return };
    let mut last = Lsn::ZERO;
    for _ in 0..3 {
        last = log.append(note()).unwrap_or_default();
    }
    let stamp = SnapshotStamp { lsn: last, at: 7, fingerprint: 1 };
    let written = log.write_snapshot(stamp, |writer| {
        for kind in 1..4 {
            writer.begin(kind)?;
            writer.write(&[7; 100])?;
        }
        Ok(())
    });
    assert!(written.is_ok(), "{written:?}");
    assert!(log.open_snapshot(last, 1).is_ok());
    log.replace_snapshot_file(last, |file| {
        let at = if how & 2 == 0 {
            file.clear();
            0
        } else {
            usize::from(input.u16().unwrap_or_default()).min(file.len())
        };
        let content = input.0;
        file.resize(file.len().max(at.saturating_add(content.len())), 0);
        put(file, at, content);
        if how & 1 != 0 {
            snapshot::reseal(file);
        }
    });
    let size = wide(bytes.len()).saturating_add(8192);
    if let Ok(snapshot) = log.open_snapshot(last, 1) {
        for kind in SECTIONS_ASKED {
            let len = snapshot.section(kind).map_or(0, |section| wide(section.len()));
            assert!(len <= size, "a section of {len} bytes");
            let _ = snapshot.range(kind, len / 2, usize::MAX);
            let _ = snapshot.range(kind, u64::MAX, 16);
        }
    }
    assert_eq!(log.read(Lsn::ZERO).filter(Result::is_ok).count(), 3);
    assert!(log.retain_snapshots(0).is_ok());
}
