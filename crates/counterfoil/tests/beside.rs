//! Looking into a book that another process has open, and into one that is damaged.

mod support;

use counterfoil::{
    BackupError, BookError, BookReader, CreateCustomer, Engine, EraseCustomer, Error, EventBatch,
    LogOptions, Lsn, OpenError, Options,
};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use support::{CALLS, begin, customer_id};
use tempfile::TempDir;

/// Where the child finds its book.
const BOOK: &str = "COUNTERFOIL_BESIDE_BOOK";
/// Segments small enough for many.
const SEGMENT_BYTES: u64 = 32 << 10;
/// The step in which the child erases its first customer, after a snapshot and once it is told to.
const ERASED_IN: u64 = 45;

fn options() -> Options {
    Options::default().log(LogOptions { segment_bytes: SEGMENT_BYTES, ..LogOptions::default() })
}

fn named(n: u64) -> CreateCustomer {
    let (id, name) = (Some(customer_id(&format!("cus_{n}"))), Some(format!("Name {n}")));
    CreateCustomer { id, name, ..CreateCustomer::default() }
}

fn usage(n: u64) -> EventBatch {
    let mut batch = EventBatch::new(CALLS);
    batch.push(Some(&format!("e{n}")), Some(&format!("cus_{n}")), None, Some("3")).unwrap();
    batch
}

#[test]
#[ignore = "runs until it is killed: started by the test below"]
fn child() {
    let Ok(dir) = env::var(BOOK) else { return };
    let book = Engine::open(dir, options()).unwrap();
    let mut out = std::io::stdout().lock();
    for n in 0.. {
        book.customers().create(named(n)).unwrap();
        book.meter_events().ingest(&usage(n)).unwrap();
        if n % 20 == 19 {
            book.snapshot().unwrap();
        }
        if n == ERASED_IN {
            std::io::stdin().read_line(&mut String::new()).unwrap();
            book.customers().erase(EraseCustomer { id: customer_id("cus_0") }).unwrap();
        }
        let hash: String =
            book.state_hash().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "\nack {n} {} {hash}", book.durable()).unwrap();
        out.flush().unwrap();
    }
}

/// A process that has a book open and changes it, until it is dropped.
struct Writer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What the writer was told that is on disk: a step, its last record, and the state hash.
struct Acknowledged {
    step: u64,
    last: Lsn,
    hash: String,
}

impl Writer {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
            .env(BOOK, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> Acknowledged {
        loop {
            let line = self.lines.next().expect("the writer lives").unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            if let ["ack", step, last, hash] = words[..] {
                let (step, last) = (step.parse().unwrap(), Lsn(last.parse().unwrap()));
                return Acknowledged { step, last, hash: hash.to_owned() };
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn hex(hash: [u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of the first customer, as a book has it now.
fn first_name(book: &BookReader) -> Option<String> {
    let view = book.as_of(book.last()).unwrap();
    view.state().customer(&customer_id("cus_0")).unwrap().personal.name.clone()
}

fn started() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("book");
    let book = Engine::open(&path, options()).unwrap();
    begin(&book);
    book.close().unwrap();
    (dir, path)
}

#[test]
fn a_reader_follows_what_another_process_writes() {
    let (dir, path) = started();
    let book = BookReader::open(&path).unwrap();
    let begun = book.last();
    let mut events = book.events(Lsn(1));
    assert_eq!(events.by_ref().count() as u64, begun.0);
    let mut writer = Writer::start(&path);
    assert!(book.wait_beyond(begun, Duration::from_secs(60)).unwrap() > begun);

    let (mut seen, mut receipt) = (begun, book.receipt().unwrap());
    loop {
        let acknowledged = writer.next();
        let last = book.refresh().unwrap();
        assert!(last >= acknowledged.last, "{last} < {}", acknowledged.last);
        assert_eq!(book.damage(), None);
        for record in events.by_ref() {
            let record = record.unwrap();
            assert_eq!(record.lsn, seen.next());
            seen = record.lsn;
        }
        assert_eq!(seen, last);
        let step = acknowledged.step;
        if step.is_multiple_of(7) {
            let view = book.as_of(acknowledged.last).unwrap();
            assert_eq!(hex(view.state_hash()), acknowledged.hash, "step {step}");
            assert!(view.state().customer(&customer_id(&format!("cus_{step}"))).is_ok());
        }
        if step + 1 == ERASED_IN {
            assert_eq!(first_name(&book).as_deref(), Some("Name 0"));
            writer.child.stdin.take().unwrap().write_all(b"\n").unwrap();
        }
        if step == ERASED_IN {
            // In memory, in the log and in what snapshots are left.
            assert_eq!(first_name(&book), None);
            let first = book.events_of("customer:cus_0", Lsn(1)).next().unwrap().unwrap();
            assert!(first.erased.contains(&customer_id("cus_0")));
        }
        if step % 40 == 39 {
            let verified = book.verify(&options(), Some(&receipt), &mut |_, _| {}).unwrap();
            assert!(verified.log.is_sound(), "{:?}", verified.log);
            assert_eq!((verified.findings, verified.records), (vec![], verified.log.last.0));
            book.refresh().unwrap();
            receipt = book.backup(dir.path().join("copy")).unwrap().receipt;
            assert_eq!(receipt, book.receipt_at(receipt.lsn).unwrap());
            let copy = BookReader::open(dir.path().join("copy")).unwrap();
            assert_eq!(copy.receipt().unwrap(), receipt);
            assert_eq!(
                copy.as_of(receipt.lsn).unwrap().state_hash(),
                book.as_of(receipt.lsn).unwrap().state_hash()
            );
        }
        if step == 120 {
            break;
        }
    }
    assert!(!book.snapshots().unwrap().is_empty());
    assert!(book.disk_use().unwrap().snapshots > 0);

    // Killed, the book is read as it is left; and the next writer goes on with what was seen.
    drop(writer);
    let last = book.refresh().unwrap();
    let latest = book.as_of(last).unwrap().state_hash();
    let engine = Engine::open(&path, options()).unwrap();
    assert_eq!((engine.durable(), engine.state_hash().unwrap()), (last, latest));
}

#[test]
fn a_snapshot_saves_reading_what_lies_before_it_and_damage_there_is_named() {
    let (_dir, path) = started();
    let engine = Engine::open(&path, options()).unwrap();
    for n in 0..400 {
        engine.customers().create(named(n)).unwrap();
    }
    engine.snapshot().unwrap();
    engine.customers().create(named(400)).unwrap();
    let (hash, last) = (engine.state_hash().unwrap(), engine.durable());
    engine.close().unwrap();
    drop(engine);
    assert!(path.join("0000000003.seg").exists());
    let first = path.join("0000000001.seg");
    let mut bytes = fs::read(&first).unwrap();
    bytes[10_000] ^= 1;
    fs::write(&first, bytes).unwrap();

    let book = BookReader::open(&path).unwrap();
    assert_eq!(book.as_of(last).unwrap().state_hash(), hash);
    for position in book.snapshots().unwrap() {
        fs::remove_file(path.join(format!("{:020}.snap", position.0))).unwrap();
    }
    let refused = book.as_of(last).unwrap_err();
    let BookError::Log(OpenError::Damaged(damage)) = refused else { panic!("{refused}") };
    assert_eq!(damage.file, "0000000001.seg");
    let read = book.events(Lsn(1)).last().unwrap();
    assert!(matches!(read, Err(Error::Damaged(found)) if found == damage));
    let refused = counterfoil::verify(&path, &options()).unwrap_err();
    assert!(matches!(refused, BookError::Log(OpenError::Damaged(_))), "{refused}");
}

#[test]
fn what_is_damaged_at_its_end_is_read_up_to_there_and_not_repaired() {
    let (dir, path) = started();
    let last = BookReader::open(&path).unwrap().last();
    let segment = path.join("0000000001.seg");
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 8]).unwrap();
    let book = BookReader::open(&path).unwrap();
    assert!(book.damage().is_some() && book.last() < last);
    assert!(book.as_of(book.last()).is_ok());
    let damaged = |error: &BookError| matches!(error, BookError::Log(OpenError::Damaged(_)));
    let refused = book.as_of(counterfoil::AsOf::Latest).unwrap_err();
    assert!(damaged(&refused), "{refused}");
    let refused = book.receipt().unwrap_err();
    assert!(matches!(refused, Error::Damaged(_)), "{refused}");
    let refused = book.backup(dir.path().join("copy")).unwrap_err();
    assert!(matches!(refused, BackupError::Book(_)), "{refused}");
    assert!(book.events(Lsn(1)).last().unwrap().is_err());
    assert_eq!(fs::read(&segment).unwrap(), &bytes[..bytes.len() - 8]);
}

#[test]
fn an_archived_book_is_opened_looked_into_and_verified_with_its_archive() {
    let (dir, path) = started();
    let archive = dir.path().join("archive");
    let options = || options().archive(&archive);
    let engine = Engine::open(&path, options()).unwrap();
    for n in 0..400 {
        engine.customers().create(named(n)).unwrap();
        engine.meter_events().ingest(&usage(n)).unwrap();
    }
    let moved = engine.archive(engine.durable()).unwrap().segments;
    assert!(moved.len() > 2, "{moved:?}");
    assert!(engine.archive(engine.durable()).unwrap().segments.is_empty());
    let (hash, last) = (engine.state_hash().unwrap(), engine.durable());
    let receipt = engine.receipt_at(last).unwrap();
    engine.close().unwrap();
    assert_eq!(Engine::open(&path, options()).unwrap().state_hash().unwrap(), hash);

    // Without its archive it is there, and says what it lacks.
    let book = BookReader::open(&path).unwrap();
    assert_eq!(book.disk_use().unwrap().archived, {
        let files = fs::read_dir(&archive).unwrap().map(|file| file.unwrap());
        files.map(|file| file.metadata().unwrap().len()).sum::<u64>()
    });
    let refused = book.as_of(last).unwrap_err().to_string();
    assert!(refused.contains("in an archive that is not attached"), "{refused}");
    let verify = |book: &BookReader| book.verify(&options(), Some(&receipt), &mut |_, _| {});
    let refused = verify(&book).unwrap_err().to_string();
    assert!(refused.contains("in an archive that is not attached"), "{refused}");

    book.attach_archive(&archive).unwrap();
    assert_eq!(book.as_of(last).unwrap().state_hash(), hash);
    assert_eq!(book.events(Lsn(1)).map(Result::unwrap).count() as u64, last.0);
    let verified = verify(&book).unwrap();
    assert!(verified.log.is_sound(), "{:?}", verified.log);
    assert_eq!((verified.log.archived, verified.records), (0, last.0));
    assert_eq!((verified.findings, verified.state_hash), (vec![], hash));

    // What is changed in the archive is found.
    let file = archive.join("0000000002.seg");
    let sound = fs::read(&file).unwrap();
    let mut bytes = sound.clone();
    bytes[20_000] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let damage = verify(&book).unwrap().log.damage;
    assert_eq!(damage.first().map(|damage| damage.file.as_str()), Some("0000000002.seg"));
    fs::write(&file, sound).unwrap();

    // Fetched back, it needs the archive no longer.
    let engine = Engine::open(&path, options()).unwrap();
    assert_eq!(engine.fetch(Lsn(1)).unwrap().segments, moved);
    assert!(verify(&BookReader::open(&path).unwrap()).unwrap().log.is_sound());
}
