//! The scenarios under `examples/`, and the usage files that were made for them.

#[path = "../examples/generate.rs"]
#[expect(dead_code, reason = "a program has a main of its own")]
mod generate;

use counterfoil::{Engine, Entropy, MemStorage, Options};
use counterfoil_scenario::{Document, run, settings_of};
use std::path::{Path, PathBuf};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

#[test]
fn the_usage_files_are_what_their_generator_makes() {
    for (name, text) in generate::files() {
        let committed = std::fs::read(examples().join(name)).unwrap();
        assert!(committed == text.as_bytes(), "{name} is not what the generator makes");
    }
}

#[test]
fn every_example_does_what_it_says() {
    for (name, invoices) in [("saas", 19), ("api", 3), ("llm", 4)] {
        let document = Document::read(&examples().join(name).join("scenario.yaml")).unwrap();
        let options =
            Options::default().settings(settings_of(&document).unwrap()).entropy(Entropy::FIXED);
        let engine = Engine::on(MemStorage::new(), options).unwrap();
        let outcome = run(&document, &engine, &mut ()).unwrap();
        if let Some(failure) = outcome.failure {
            panic!("{name}: {failure}");
        }
        let report = outcome.report.unwrap();
        assert_eq!(report.invoices.len(), invoices, "{name}");
        assert!(report.journal.balanced, "{name}");
    }
}
