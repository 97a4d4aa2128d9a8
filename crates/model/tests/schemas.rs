//! What is stored is described by JSON schemas in `docs/schemas`; a change of a form shows there.
//! `just golden` writes them anew.

#![expect(clippy::disallowed_methods, reason = "the crate is pure; what is kept of it is in files")]

use counterfoil_billing::PersonalData;
use counterfoil_model::{Event, EventType};
use serde_json::json;
use std::fs;
use std::path::Path;

#[test]
fn the_schemas_of_events_are_those_that_are_kept() {
    let types: Vec<_> = EventType::ALL
        .iter()
        .map(|known| {
            json!({
                "id": known.id,
                "name": known.name,
                "form": known.schema,
                "variants": known.variants.join("::"),
            })
        })
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    let mut wrong = Vec::new();
    for (name, value) in [
        ("types.json", json!(types)),
        ("event.json", json!(schemars::schema_for!(Event))),
        ("personal.json", json!(schemars::schema_for!(PersonalData))),
    ] {
        let (path, found) = (folder.join(name), serde_json::to_string_pretty(&value).unwrap());
        if std::env::var_os("COUNTERFOIL_BLESS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, format!("{found}\n")).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        if serde_json::from_str::<serde_json::Value>(&kept).ok() != Some(value) {
            wrong.push(name);
        }
    }
    assert!(
        wrong.is_empty(),
        "docs/schemas: {wrong:?} differ: raise the form, and run just golden"
    );
}
