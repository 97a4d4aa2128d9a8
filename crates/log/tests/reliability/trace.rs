//! R25: what the system was asked, read from a trace of a real process: before a record is
//! acknowledged it was written, and after that the file was synced and, if it is a new one, the
//! directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use counterfoil_log::{FileStorage, Log, NewEvent, NewRecord, RecordKind};

use crate::{oracle::options, size::sized};

/// Where the child finds its book.
const BOOK: &str = "COUNTERFOIL_TRACED_BOOK";
const THREADS: u64 = 4;

fn marker(number: u64) -> String {
    format!("<record-{number:08}>")
}

fn marked(number: u64) -> NewRecord {
    let event = NewEvent {
        stream: "book".into(),
        stream_version: 1,
        type_id: 1,
        schema: 1,
        body: marker(number).into_bytes(),
        personal: vec![0; 200],
    };
    NewRecord { at: 0, kind: RecordKind::Events, meta: Vec::new(), events: vec![event] }
}

#[test]
#[ignore = "is traced: started by the test below"]
fn traced_child() {
    let Ok(dir) = env::var(BOOK) else { return };
    let each = sized(40, 500, 3_000);
    let (log, _) = Log::open(FileStorage::open(dir).unwrap(), options()).unwrap();
    thread::scope(|scope| {
        for writer in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for number in (writer..each * THREADS).step_by(THREADS as usize) {
                    let lsn = log.append(marked(number)).unwrap();
                    log.wait(lsn).unwrap();
                    let line = format!("ack {}\n", marker(number));
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

/// A system call of the trace: what it was, and on which lines it began and ended.
struct Call {
    text: String,
    began: usize,
    ended: usize,
}

/// Puts the halves of calls together that others came in between.
fn calls(trace: &str) -> Vec<Call> {
    let mut halves: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut calls = Vec::new();
    for (ended, line) in trace.lines().enumerate() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            halves.insert(process, (ended, begin));
        } else if let Some(rest) = rest.strip_prefix("<... ") {
            let Some((began, begin)) = halves.remove(process) else { continue };
            let end = rest.split_once(" resumed>").map_or("", |(_, end)| end);
            calls.push(Call { text: format!("{begin}{end}"), began, ended });
        } else {
            calls.push(Call { text: rest.to_owned(), began: ended, ended });
        }
    }
    calls
}

/// The file that the first argument of a call is: between `<` and `>`.
fn file(text: &str) -> &str {
    let end = text.split_once('<').map_or("", |(_, rest)| rest);
    end.split_once('>').map_or("", |(path, _)| path)
}

/// The records that a piece of a trace names.
fn markers(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split("<record-").skip(1).filter_map(|rest| rest.get(..8)?.parse().ok())
}

/// Checks a trace; returns how many records were acknowledged, or what was not as it must be.
fn check(trace: &str) -> Result<usize, String> {
    let calls = calls(trace);
    let succeeded = |call: &&Call| !call.text.contains(" = -1 ");
    // When each record was first written, and to which file.
    let mut written: BTreeMap<u64, (usize, String)> = BTreeMap::new();
    let mut acknowledged = BTreeSet::new();
    let synced = |name: &str, from: usize, to: usize| {
        calls.iter().filter(succeeded).any(|call| {
            (call.text.starts_with("fdatasync(") || call.text.starts_with("fsync("))
                && file(&call.text) == name
                && call.began > from
                && call.ended < to
        })
    };
    for call in calls.iter().filter(succeeded) {
        let acknowledges = call.text.starts_with("write(1<");
        for number in markers(&call.text) {
            if !acknowledges {
                let place = || (call.ended, file(&call.text).to_owned());
                written.entry(number).or_insert_with(place);
                continue;
            }
            let Some((at, name)) = written.get(&number) else {
                return Err(format!("{number} was acknowledged and not written"));
            };
            if !synced(name, *at, call.began) {
                return Err(format!("{number} was acknowledged and {name} not synced"));
            }
            let dir = Path::new(name).parent().unwrap().to_str().unwrap();
            let named = calls.iter().rfind(|other| {
                let names = ["O_CREAT", "rename"].iter().any(|word| other.text.contains(word));
                names && other.text.contains(name) && other.ended < *at
            });
            if named.is_none_or(|other| !synced(dir, other.ended, call.began)) {
                return Err(format!("{number} was acknowledged and the name {name} not synced"));
            }
            acknowledged.insert(number);
        }
    }
    Ok(acknowledged.len())
}

#[test]
fn r25_every_acknowledged_record_was_synced_before() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("R25: skipped, for there is no strace (apt-get install strace)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (trace, book) = (dir.path().join("trace"), dir.path().join("book"));
    let traced = "trace=openat,rename,renameat,renameat2,write,pwrite64,pwritev,fsync,fdatasync";
    let child = Command::new("strace")
        .args(["-f", "-y", "-s", "1000000", "-e", traced, "-o"])
        .arg(&trace)
        .arg(env::current_exe().unwrap())
        .args(["trace::traced_child", "--exact", "--nocapture", "--include-ignored"])
        .env(BOOK, &book)
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    if !child.status.success() {
        let said = String::from_utf8_lossy(&child.stderr).into_owned();
        assert!(said.contains("ptrace") || said.contains("PTRACE"), "{said}");
        println!("R25: skipped, for this machine lets nobody trace");
        return;
    }
    let trace = String::from_utf8_lossy(&fs::read(trace).unwrap()).into_owned();
    let records = usize::try_from(sized(40, 500, 3_000) * THREADS).unwrap();
    assert_eq!(check(&trace), Ok(records));
    println!("R25: {records} acknowledgements by {THREADS} threads, each after its sync");

    // The checker sees what is missing.
    let without = |word: &str| -> String {
        trace.lines().filter(|line| !line.contains(word)).map(|line| format!("{line}\n")).collect()
    };
    assert!(check(&without("fdatasync")).is_err_and(|what| what.contains("not synced")));
    assert!(check(&without("fsync(")).is_err_and(|what| what.contains("the name")));
    assert!(check(&without("pwrite64")).is_err_and(|what| what.contains("not written")));
}
