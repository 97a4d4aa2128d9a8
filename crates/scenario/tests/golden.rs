//! Every scenario under `tests/golden` says itself what is expected of it. Here each is run in
//! memory and on disk, and what must not matter is varied: opening the book again, running it
//! again, and the size of the steps in which time advances.

use counterfoil::{BookRecord, Engine, Entropy, Lsn, MemStorage, Options};
use counterfoil_scenario::{Body, Document, Outcome, Report, Step, run, settings_of};
use std::fs;
use std::path::{Path, PathBuf};

const DAY_SECONDS: i64 = 86_400;

struct Golden {
    name: String,
    document: Document,
}

fn goldens() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    paths.sort();
    assert!(paths.len() > 30, "the folder of golden scenarios is empty");
    paths
        .iter()
        .map(|path| Golden {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            document: Document::read(path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        })
        .collect()
}

/// Runs a check on every golden and names all that fail.
fn for_each_golden(check: impl Fn(&Golden) -> Result<(), String>) {
    let failures: Vec<String> = goldens()
        .iter()
        .filter_map(|golden| Some(format!("{}: {}", golden.name, check(golden).err()?)))
        .collect();
    assert!(failures.is_empty(), "{} failed\n\n{}", failures.len(), failures.join("\n\n"));
}

fn options(document: &Document) -> Options {
    Options::default().settings(settings_of(document).unwrap()).entropy(Entropy::FIXED)
}

fn in_memory(document: &Document) -> Engine {
    Engine::on(MemStorage::new(), options(document)).unwrap()
}

fn succeed(document: &Document, engine: &Engine) -> Result<Report, String> {
    let outcome = run(document, engine, &mut ()).map_err(|error| error.to_string())?;
    let Outcome { report, failure, .. } = outcome;
    match failure {
        Some(failure) => Err(failure.to_string()),
        None => Ok(report.unwrap()),
    }
}

fn records(engine: &Engine) -> Vec<BookRecord> {
    engine.events(Lsn::ZERO).collect::<Result<_, _>>().unwrap()
}

/// The files of a book, by name.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn same<T: PartialEq>(what: &str, left: &T, right: &T) -> Result<(), String> {
    if left == right { Ok(()) } else { Err(format!("{what} differs")) }
}

#[test]
fn what_is_expected_holds_in_memory() {
    for_each_golden(|golden| succeed(&golden.document, &in_memory(&golden.document)).map(drop));
}

#[test]
fn a_book_that_is_opened_again_is_the_same() {
    for_each_golden(|Golden { document, .. }| {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path(), options(document)).unwrap();
        let report = succeed(document, &engine)?;
        let (hash, rejected) = (engine.state_hash().unwrap(), &report.rejected);
        let now = engine.now().unwrap().unwrap();
        engine.close().unwrap();
        drop(engine);
        let again = Engine::open_existing(folder.path(), Options::default()).unwrap();
        same("the state hash", &again.state_hash().unwrap(), &hash)?;
        // A time at which nothing happened is not in the log.
        again.advance_to(now, &mut counterfoil_scenario::SimulatedGateway).unwrap();
        same("the report", &Report::of(&again, rejected).unwrap(), &report)
    });
}

#[test]
fn a_second_run_writes_the_same_bytes() {
    for_each_golden(|Golden { document, .. }| {
        let written = || {
            let folder = tempfile::tempdir().unwrap();
            let engine = Engine::open(folder.path(), options(document)).unwrap();
            succeed(document, &engine)?;
            engine.close().unwrap();
            Ok::<_, String>(files(folder.path()))
        };
        let (first, second) = (written()?, written()?);
        assert!(first.iter().any(|(_, bytes)| bytes.len() > 100), "{:?}", first);
        same("the log", &first, &second)
    });
}

#[test]
fn small_steps_of_time_lead_to_the_same_book() {
    for_each_golden(|Golden { document, .. }| {
        let engine = in_memory(document);
        let report = succeed(document, &engine)?;
        let daily = Document { steps: split_by_day(&document.steps), ..document.clone() };
        let small = in_memory(&daily);
        let small_report = succeed(&daily, &small)?;
        let seen = |engine: &Engine| {
            records(engine).iter().map(|record| format!("{record:?}")).collect::<Vec<_>>()
        };
        for (whole, split) in seen(&engine).iter().zip(&seen(&small)) {
            if whole != split {
                return Err(format!("a record differs:\n{whole}\n{split}"));
            }
        }
        same("the state hash", &engine.state_hash().unwrap(), &small.state_hash().unwrap())?;
        same("the report", &report, &small_report)
    });
}

/// The same steps with the clock stopping on every day on the way.
fn split_by_day(steps: &[Step]) -> Vec<Step> {
    let mut split = Vec::new();
    let mut clock = None;
    for step in steps {
        if let (Some(from), Some(to)) = (clock, step.at) {
            let mut at: counterfoil::Timestamp = from;
            while let Some(next) = Some(at.checked_add_seconds(DAY_SECONDS).unwrap())
                && next < to
            {
                at = next;
                split.push(Step { at: Some(at), body: Body::Advance, ..step.clone() });
            }
        }
        clock = step.at.or(clock);
        split.push(step.clone());
    }
    split
}
