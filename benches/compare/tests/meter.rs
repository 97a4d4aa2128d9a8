//! Every mode of the program that measures the meter runs, at a size that says nothing of speed:
//! all sides come to equal results, or it fails; and an engine that is not there is named.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A folder for a test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("compare-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn page(&self) -> PathBuf {
        self.0.join("page.md")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn program(folder: &Folder, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil-compare-meter"));
    command.args(words).args(["--rounds", "1"]);
    command.arg("--dir").arg(&folder.0).arg("--out").arg(folder.page());
    command
}

fn success(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

/// The page that a run writes.
fn page(folder: &Folder, words: &[&str]) -> String {
    success(&program(folder, words).output().unwrap());
    fs::read_to_string(folder.page()).unwrap()
}

const ALONE: [&str; 2] = ["--against", ""];

/// A mode, more arguments, the targets it is about, and sides of it.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

#[test]
fn every_mode_runs_and_leaves_its_section() {
    let folder = Folder::new("modes");
    let small = ["--events", "30000", "--small", "3000"];
    let cases: [Case<'_>; 6] = [
        (
            "batch",
            &[],
            &["P1", "P2", "P3", "P6"],
            &["counterfoil, durable, growing, 4 unanswered", "hash maps, fast hash"],
        ),
        ("online", &[], &["P4"], &["counterfoil, durable, reserved"]),
        ("singles", &[], &["P5"], &["counterfoil, blocking calls"]),
        ("growth", &[], &["P7"], &["**counterfoil, growing"]),
        ("growth", &["--durable"], &["P7"], &["**counterfoil, durable, reserved"]),
        ("recovery", &[], &["P8"], &["counterfoil, replay without a checkpoint"]),
    ];
    let mut targets = 0;
    for (mode, more, about, sides) in cases {
        let words = [&[mode][..], &small, &ALONE, &["--threads", "2"], more].concat();
        let page = page(&folder, &words);
        targets += about.len();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| P")).collect();
        assert_eq!(rows.len(), targets, "{mode}: {page}");
        for id in about {
            assert!(rows.iter().any(|row| row.starts_with(&format!("| {id} |"))), "{id}: {page}");
        }
        for side in sides {
            assert!(page.contains(side), "{mode}: {side}: {page}");
        }
        let plots = page.lines().filter_map(|line| line.strip_prefix("!["));
        for plot in plots.filter_map(|line| line.split("](").nth(1)?.strip_suffix(')')) {
            let svg = fs::read_to_string(folder.0.join(plot)).unwrap();
            assert!(svg.starts_with("<svg") && svg.contains("<rect x="), "{plot}: {svg}");
        }
    }
    let left: Vec<_> = fs::read_dir(&folder.0).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.path().is_file()), "{left:?}");
}

#[test]
fn growth_ends_where_a_limit_is_reached() {
    let folder = Folder::new("limit");
    let words = ["growth", "--events", "2000000", "--memory-gib", "0.02", "--batch", "1000"];
    let page = page(&folder, &words);
    assert!(page.contains("ended by a limit: 20 MiB of memory"), "{page}");
    assert!(page.contains("**missed**"), "{page}");
}

#[test]
fn an_engine_that_is_not_installed_is_named_and_skipped() {
    let folder = Folder::new("skipped");
    let words = ["--events", "2000", "--against", "duckdb,sqlite"];
    let output = program(&folder, &words).env("COUNTERFOIL_ENGINES", "/nowhere").output().unwrap();
    success(&output);
    let page = fs::read_to_string(folder.page()).unwrap();
    for engine in ["duckdb", "sqlite"] {
        let named = page.lines().find(|line| line.starts_with(&format!("{engine} was skipped: ")));
        assert!(named.is_some_and(|line| line.contains("/nowhere")), "{page}");
    }
    // One that nobody knows is a mistake.
    let output = program(&folder, &["--events", "2000", "--against", "oracle"]).output().unwrap();
    assert!(!output.status.success());
}

/// With whatever is installed, of engines and of data: what all sides come to is the same.
#[test]
fn traces_come_to_the_same_on_every_engine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut traces = vec![root.join("examples/llm/trace-2026-01.csv")];
    // Recorded data that lies beside the workspace: it is not part of it.
    let recorded = std::env::var_os("COUNTERFOIL_TRACES").map(PathBuf::from);
    let recorded = recorded.unwrap_or_else(|| root.join("../shared/data"));
    for file in fs::read_dir(&recorded).into_iter().flatten().flatten() {
        if file.path().extension().is_some_and(|ending| ending == "csv") {
            traces.push(file.path());
        }
    }
    if traces.len() == 1 {
        eprintln!("skipped: there are no traces in {}", recorded.display());
    }
    let folder = Folder::new("traces");
    for trace in &traces {
        let trace = trace.to_str().unwrap();
        for mode in ["batch", "online", "singles", "recovery"] {
            let words = [mode, "--trace", trace, "--against", "duckdb,polars,sqlite,redis"];
            let said = success(&program(&folder, &words).output().unwrap());
            said.lines().filter(|line| line.starts_with("skipped")).for_each(|line| {
                eprintln!("{line}");
            });
        }
        let name = Path::new(trace).file_name().unwrap().to_str().unwrap();
        let page = fs::read_to_string(folder.page()).unwrap();
        for title in ["Batches", "Recovery"] {
            assert!(page.contains(&format!("## {title}, {name}")), "{page}");
        }
        assert!(!page.contains("| P1 |"), "the targets are about another workload: {page}");
    }
}
