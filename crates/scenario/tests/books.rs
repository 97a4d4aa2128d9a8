//! Books that earlier versions wrote, two from examples of then and one from `books/whole.yaml`:
//! `books/NAME` beside what that version reported of them, `books/NAME.json`. They open, say the same,
//! and go on.

use counterfoil::{Engine, Options, verify};
use counterfoil_scenario::{Report, SimulatedGateway};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const BOOKS: [&str; 3] = ["saas", "api", "whole"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/books")
}

/// A copy of a book, to be written to.
fn opened(name: &str) -> (TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder().join(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let engine = Engine::open_existing(dir.path(), Options::default()).unwrap();
    (dir, engine)
}

/// What is said now has everything that was said then; it may say more.
fn holds(then: &Value, now: &Value, path: &str) -> Result<(), String> {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => then.iter().try_for_each(|(key, then)| {
            let now = now.get(key).ok_or_else(|| format!("{path}.{key} is gone"))?;
            holds(then, now, &format!("{path}.{key}"))
        }),
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => (then.iter())
            .zip(now)
            .enumerate()
            .try_for_each(|(n, (then, now))| holds(then, now, &format!("{path}[{n}]"))),
        _ if then == now => Ok(()),
        _ => Err(format!("{path} was {then} and is {now}")),
    }
}

#[test]
fn a_book_of_before_says_the_same() {
    for name in BOOKS {
        let (_dir, engine) = opened(name);
        let text = fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let then: Value = serde_json::from_str(&text).unwrap();
        let now = serde_json::to_value(Report::of(&engine, &[]).unwrap()).unwrap();
        let rejected = &then["rejected"];
        assert!(rejected.is_array());
        for (key, then) in then.as_object().unwrap() {
            // What a file was refused is no part of a book.
            if key != "rejected" {
                holds(then, &now[key], key).unwrap_or_else(|why| panic!("{name}: {why}"));
            }
        }
        assert!(then["invoices"].as_array().unwrap().len() >= 3, "{name}");
    }
}

#[test]
fn a_book_of_before_goes_on_and_its_whole_log_is_right() {
    for name in BOOKS {
        let (dir, engine) = opened(name);
        let before = Report::of(&engine, &[]).unwrap();
        let later = engine.now().unwrap().unwrap().checked_add_days(400).unwrap();
        engine.advance_to(later, &mut SimulatedGateway).unwrap();
        let hash = engine.state_hash().unwrap();
        engine.close().unwrap();
        drop(engine);
        let engine = Engine::open_existing(dir.path(), Options::default()).unwrap();
        assert_eq!(engine.state_hash().unwrap(), hash, "{name}");
        let after = Report::of(&engine, &[]).unwrap();
        let invoices = |report: &Report| {
            serde_json::to_value(report).unwrap()["invoices"].as_array().unwrap().len()
        };
        assert!(invoices(&after) > invoices(&before), "{name}");
        engine.close().unwrap();
        drop(engine);
        verify(dir.path(), &Options::default()).unwrap();
    }
}
