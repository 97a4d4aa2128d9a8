//! Looking into a book that a program has open, or that cannot be written.
#![cfg(unix)]

mod support;

use counterfoil::{CreateCustomer, Engine, LogOptions, Lsn, Options};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::{Ran, beside, book, command, counterfoil, example};
use tempfile::TempDir;

/// Everything that only looks, on a book, with what it writes beside it.
fn looks(book: &str, dir: &TempDir, round: usize) -> Vec<Vec<String>> {
    let proof = beside(dir, &format!("{round}.proof"));
    let copy = beside(dir, &format!("{round}.copy"));
    let looks: Vec<Vec<&str>> = vec![
        vec!["events", book],
        vec!["events", book, "--reverse", "--limit", "3"],
        vec!["events", book, "--stream", "customer:cus_ada"],
        vec!["balance", book],
        vec!["alerts", book],
        vec!["explain", book, "in_manuals"],
        vec!["receipt", book],
        vec!["prove", book, "in_manuals", "--out", &proof],
        vec!["verify", book],
        vec!["backup", book, &copy],
        vec!["disk", book],
    ];
    looks.into_iter().map(|look| look.into_iter().map(str::to_owned).collect()).collect()
}

/// The files of a book, but for its lock.
fn files(book: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = fs::read_dir(book).unwrap().map(|entry| entry.unwrap().path());
    let files = names.map(|path| (path.display().to_string(), fs::read(path).unwrap()));
    files.filter(|(name, _)| !name.ends_with("LOCK")).collect()
}

#[test]
fn a_book_that_a_program_writes_to_is_looked_into_by_every_command_that_only_looks() {
    let (dir, book) = book();
    let path = book.to_str().unwrap();
    let engine = Engine::open_existing(&book, Options::default()).unwrap();
    engine.snapshot().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = engine.clone();
        let done = &done;
        scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                writer.customers().create(CreateCustomer::default()).unwrap();
            }
        });
        let looked = thread::Builder::new().spawn_scoped(scope, || {
            let mut receipt = String::new();
            for round in 0..3 {
                for look in looks(path, &dir, round) {
                    let ran = counterfoil(&look);
                    assert_eq!(ran.status, 0, "{look:?}: {}{}", ran.stdout, ran.stderr);
                }
                // What was acknowledged is seen.
                let last = engine.durable().0.to_string();
                let seen = counterfoil(&["events", path, "--from", &last, "--limit", "1"]);
                assert!(seen.succeeds().trim_start().starts_with(&last));
                // A receipt of before holds, for the book and for the copy.
                if round > 0 {
                    let copy = beside(&dir, &format!("{round}.copy"));
                    for book in [path, &copy] {
                        let ran = counterfoil(&["verify", book, "--receipt", &receipt]);
                        assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
                    }
                }
                receipt = counterfoil(&["receipt", path]).succeeds().trim().to_owned();
            }
        });
        let looked = looked.unwrap().join();
        done.store(true, Ordering::Release);
        looked.unwrap();
    });
    // It is left open, as after a crash: looking neither recovers nor closes it.
    let before = files(&book);
    for look in looks(path, &dir, 9) {
        counterfoil(&look).succeeds();
    }
    assert!(files(&book) == before, "looking changed the book");
    engine.close().unwrap();
}

/// A command that goes on until it is told to end; its output comes line by line.
fn started(arguments: &[&str]) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = command().args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map(Result::unwrap))
}

/// How a command ended, which must not take long.
fn ended(mut child: Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("it did not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn events_are_followed_as_they_are_written_until_there_were_enough() {
    let (_dir, book) = book();
    let engine = Engine::open_existing(&book, Options::default()).unwrap();
    let path = book.to_str().unwrap();
    let last = engine.durable().0;
    let from = (last - 1).to_string();
    let listed = counterfoil(&["events", path, "--from", &from, "--json"]).succeeds();
    let listed: Vec<&str> = listed.lines().collect();
    let limit = (listed.len() + 3).to_string();
    let follow = ["events", path, "--from", &from, "--json", "--follow", "--limit", &limit];
    let (child, mut lines) = started(&follow);
    for expected in &listed {
        assert_eq!(lines.next().unwrap(), *expected);
    }
    for n in 1..=3 {
        let created = engine.customers().create(CreateCustomer::default()).unwrap();
        let event: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        assert_eq!(event["lsn"], last + n);
        assert_eq!(event["event"]["id"], created.id.as_str());
    }
    assert_eq!(lines.next(), None);
    assert!(ended(child).success());

    // Of one stream only, by its index; across a book that is closed and opened again.
    let (child, mut lines) =
        started(&["events", path, "--follow", "--stream", "customer:cus_zoe", "--limit", "1"]);
    engine.close().unwrap();
    drop(engine);
    let engine = Engine::open_existing(&book, Options::default()).unwrap();
    for id in ["cus_yan", "cus_zoe"] {
        let id = Some(counterfoil::CustomerId::new(id).unwrap());
        engine.customers().create(CreateCustomer { id, ..CreateCustomer::default() }).unwrap();
    }
    assert!(lines.next().unwrap().contains("cus_zoe"));
    assert_eq!(lines.next(), None);
    assert!(ended(child).success());
    counterfoil(&["events", path, "--follow", "--reverse"]).ends(2, &["--reverse"]);
}

#[test]
fn following_ends_when_nobody_reads_and_when_it_is_interrupted() {
    let (_dir, book) = book();
    let path = book.to_str().unwrap();
    let whole = counterfoil(&["events", path]).succeeds();
    let whole: Vec<&str> = whole.lines().collect();
    // Nothing more is ever written to this book.
    for interrupt in [false, true] {
        let (child, mut lines) = started(&["events", path, "--follow"]);
        for expected in &whole {
            assert_eq!(lines.next().unwrap(), *expected);
        }
        if !interrupt {
            drop(lines);
            assert!(ended(child).success());
            continue;
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert_eq!(lines.next(), None, "no line is cut");
        assert_eq!(ended(child).signal(), Some(2));
    }
}

#[test]
fn an_archived_book_is_read_with_its_archive() {
    let (dir, book) = book();
    let path = book.to_str().unwrap();
    let before = counterfoil(&["events", path, "--limit", "90"]).succeeds();
    let archive = beside(&dir, "archive");
    let log = LogOptions { segment_bytes: 16 << 10, ..LogOptions::default() };
    let options = Options::default().log(log).archive(&archive);
    let engine = Engine::open_existing(&book, options).unwrap();
    for _ in 0..200 {
        engine.customers().create(CreateCustomer::default()).unwrap();
    }
    assert!(engine.archive(Lsn(u64::MAX)).unwrap().segments.len() > 1);
    engine.close().unwrap();
    drop(engine);

    let receipt = counterfoil(&["receipt", path]).succeeds();
    let proof = beside(&dir, "proof");
    for look in [
        vec!["events", path, "--limit", "90"],
        vec!["balance", path],
        vec!["explain", path, "in_manuals"],
        vec!["prove", path, "in_manuals", "--out", &proof],
        vec!["verify", path, "--receipt", receipt.trim()],
    ] {
        counterfoil(&look).ends(2, &[path, "is in an archive that is not attached", "--archive"]);
        let with = [look, vec!["--archive", &archive]].concat();
        let said = counterfoil(&with).succeeds();
        assert!(with[0] != "events" || said == before, "{said}");
        assert!(with[0] != "verify" || said.contains("the book is sound"), "{said}");
    }
    let missing = beside(&dir, "none");
    counterfoil(&["events", path, "--archive", &missing]).ends(2, &[&missing]);
    assert!(!Path::new(&missing).exists());
    let used = counterfoil(&["disk", path, "--json"]).succeeds();
    let used: Value = serde_json::from_str(&used).unwrap();
    assert!(used["archived"].as_u64().unwrap() > 0, "{used}");
}

/// A directory that is mounted for reading only, until it is dropped.
struct Mounted(String);

impl Mounted {
    fn read_only(from: &Path, dir: &TempDir) -> Option<Self> {
        let to = beside(dir, "mounted");
        fs::create_dir(&to).unwrap();
        let mount = Command::new("mount").args(["--bind", "-o", "ro"]).arg(from).arg(&to).output();
        let mounted = mount.is_ok_and(|mount| mount.status.success());
        let mounted = mounted.then_some(Self(to))?;
        // Some systems take the flag only when it is mounted once more.
        let again = Command::new("mount").args(["-o", "remount,bind,ro", &mounted.0]).status();
        again.is_ok_and(|status| status.success()).then_some(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

#[test]
fn a_book_on_a_file_system_that_is_read_only_is_looked_into() {
    for closed in [true, false] {
        let (dir, book) = book();
        let engine = Engine::open_existing(&book, Options::default()).unwrap();
        engine.customers().create(CreateCustomer::default()).unwrap();
        let held = if closed { engine.close().map(|()| None).unwrap() } else { Some(engine) };
        let Some(mounted) = Mounted::read_only(&book, &dir) else {
            eprintln!("left out: nothing can be mounted here");
            return;
        };
        let path = mounted.0.as_str();
        assert!(fs::write(Path::new(path).join("x"), "x").is_err(), "it can be written to");
        let before = files(&book);
        for look in looks(path, &dir, 0) {
            counterfoil(&look).succeeds();
        }
        let scenario = example("saas");
        for write in [vec!["snapshot", path], vec!["run", &scenario, "--book", path]] {
            counterfoil(&write).ends(2, &[path, "cannot be written to", "hint: looking into it"]);
        }
        assert!(files(&book) == before);
        drop(held);
    }
}

#[test]
fn who_has_no_permission_is_told_and_who_may_only_read_looks_into_the_book() {
    let (dir, book) = book();
    let path = book.to_str().unwrap();
    // Permission bits do not bind root, so then somebody else looks.
    let root = fs::metadata(&book).unwrap().uid() == 0;
    let somebody = |arguments: &[&str]| {
        let mut command = command();
        command.args(arguments);
        if root {
            command.uid(65534).gid(65534);
        }
        command
    };
    let allow =
        |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    allow(dir.path(), 0o755);
    if !somebody(&["--version"]).output().is_ok_and(|ran| ran.status.success()) {
        eprintln!("left out: nobody else can run the command here");
        return;
    }
    for file in fs::read_dir(&book).unwrap() {
        allow(&file.unwrap().path(), 0o444);
    }
    allow(&book, 0o555);
    for look in [vec!["events", path], vec!["balance", path], vec!["verify", path]] {
        Ran::of(&mut somebody(&look)).succeeds();
    }
    let written = Ran::of(&mut somebody(&["snapshot", path]));
    written.ends(2, &[path, "cannot be written to", "Permission denied", "hint: looking into it"]);
    allow(&book, 0o000);
    for look in [vec!["events", path], vec!["verify", path], vec!["snapshot", path]] {
        Ran::of(&mut somebody(&look)).ends(2, &[path, "Permission denied"]);
    }
    allow(&book, 0o755);
}
