//! A month of an LLM's usage is billed the same, however it is cut into files.

use counterfoil::{Engine, Entropy, MemStorage, Options};
use counterfoil_scenario::{Document, Format, Report, run, settings_of};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A trace, and how it is billed.
struct Trace {
    path: PathBuf,
    /// When the month begins.
    begins: &'static str,
    /// When it is over, and its invoices are drafts still.
    feeds: &'static str,
    /// When they are not.
    ends: &'static str,
    /// The column of the customer, or the id of the only one.
    customer: &'static str,
    customers: &'static [&'static str],
}

/// Usage and amount on the context line and on the generated line.
type Billed = [(i64, i64); 2];

impl Trace {
    /// A scenario that bills the trace from these files.
    fn scenario(&self, files: &[String]) -> String {
        let mut steps = vec![json!({ "at": self.begins })];
        let mut create = |resource: &str, with| {
            steps.push(json!({ "do": format!("{resource}.create"), "with": with }));
        };
        for (name, cents) in [("context", "0.0003"), ("generated", "0.0015")] {
            let [product, meter] = ["prod", "mtr"].map(|prefix| format!("{prefix}_{name}"));
            create("product", json!({ "id": product, "name": name }));
            let aggregation = json!({ "formula": "sum" });
            create(
                "meter",
                json!({ "id": meter, "display_name": name, "event_name": name,
                    "default_aggregation": aggregation }),
            );
            let recurring = json!({ "interval": "month", "usage_type": "metered", "meter": meter });
            create(
                "price",
                json!({ "id": name, "product": product, "currency": "usd",
                    "unit_amount_decimal": cents, "recurring": recurring }),
            );
        }
        for id in self.customers {
            create("customer", json!({ "id": id, "payment_method": "pm_card_visa" }));
            let items = json!([{ "price": "context" }, { "price": "generated" }]);
            create("subscription", json!({ "customer": id, "items": items }));
        }
        steps.push(json!({ "at": self.feeds }));
        for file in files {
            for (name, column) in [("context", "ContextTokens"), ("generated", "GeneratedTokens")] {
                let columns = json!({ "event_name": name, "customer": self.customer,
                    "timestamp": "TIMESTAMP", "value": column, "identifier": "row" });
                steps.push(json!({ "usage": file, "columns": columns }));
            }
        }
        steps.push(json!({ "at": self.ends }));
        json!({ "steps": steps }).to_string()
    }

    /// The report of billing the trace from files of these texts.
    fn bill(&self, texts: &[String]) -> Report {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            files.push(format!("part-{number}.csv"));
            std::fs::write(dir.path().join(&files[number]), text).unwrap();
        }
        let text = self.scenario(&files);
        let document = Document::parse(&text, Format::Json, dir.path()).unwrap();
        let options =
            Options::default().settings(settings_of(&document).unwrap()).entropy(Entropy::FIXED);
        let engine = Engine::on(MemStorage::new(), options).unwrap();
        let outcome = run(&document, &engine, &mut ()).unwrap();
        assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
        outcome.report.unwrap()
    }

    /// Bills the trace whole, twice, shuffled and in 100 parts, and compares with what it should
    /// come to.
    fn check(&self, expected: &[(&str, Billed)]) {
        let whole = std::fs::read_to_string(&self.path).unwrap();
        let (headers, rows) = whole.split_once("\r\n").unwrap();
        let rows: Vec<&str> = rows.split("\r\n").collect();
        let file = |rows: &[&str]| format!("{headers}\r\n{}", rows.join("\r\n"));
        let report = self.bill(std::slice::from_ref(&whole));
        assert_eq!(billed(&report), expected.iter().copied().collect());
        assert!(report.rejected.is_empty() && report.unbilled_usage.is_empty());
        assert!(report.journal.balanced);

        let expected = serde_json::to_string(&report).unwrap();
        let mut shuffled = rows.clone();
        // A step that has no divisor in common with the number of rows visits each row once.
        let step = (rows.len() / 3..).find(|step| coprime(*step, rows.len())).unwrap();
        for (index, row) in shuffled.iter_mut().enumerate() {
            *row = rows[index * step % rows.len()];
        }
        assert_ne!(shuffled, rows);
        let parts: Vec<String> = rows.chunks(rows.len().div_ceil(100)).map(file).collect();
        assert!(parts.len() > 95);
        for (how, texts) in [
            ("twice", vec![whole.clone(), whole.clone()]),
            ("shuffled", vec![file(&shuffled)]),
            ("in parts", parts),
        ] {
            let again = serde_json::to_string(&self.bill(&texts)).unwrap();
            assert!(again == expected, "{how}: the report differs");
        }
    }
}

fn coprime(a: usize, b: usize) -> bool {
    if b == 0 { a == 1 } else { coprime(b, a % b) }
}

/// The quantity and the amount of both lines of each customer's invoice.
fn billed(report: &Report) -> BTreeMap<&str, Billed> {
    let mut billed = BTreeMap::new();
    for invoice in &report.invoices {
        let [context, generated] = invoice.lines.as_slice() else { panic!("{invoice:?}") };
        let line = |line: &counterfoil_scenario::report::LineReport| {
            (line.quantity.as_int().unwrap(), line.amount)
        };
        let lines = [line(context), line(generated)];
        assert!(billed.insert(invoice.customer.as_str(), lines).is_none());
    }
    billed
}

#[test]
fn a_made_month_is_billed_the_same_however_it_is_cut() {
    let trace = Trace {
        path: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/llm/trace-2026-01.csv"),
        begins: "2026-01-01T00:00:00Z",
        feeds: "2026-02-01T00:30:00Z",
        ends: "2026-02-01T02:00:00Z",
        customer: "Customer",
        customers: &["cus_atlas", "cus_borea", "cus_coral"],
    };
    trace.check(&[
        ("cus_atlas", [(4_728_117, 1_418), (194_994, 292)]),
        ("cus_borea", [(3_100_277, 930), (125_619, 188)]),
        ("cus_coral", [(1_647_098, 494), (59_762, 90)]),
    ]);
}

/// The Azure LLM inference trace of 2023, where it lies beside the workspace: it is not part of it.
#[test]
fn a_recorded_trace_is_billed_the_same_however_it_is_cut() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/llm_trace_code.csv");
    if !path.exists() {
        eprintln!("skipped: there is no {}", path.display());
        return;
    }
    let trace = Trace {
        path,
        begins: "2023-11-01T00:00:00Z",
        feeds: "2023-12-01T00:30:00Z",
        ends: "2023-12-01T02:00:00Z",
        customer: "cus_code",
        customers: &["cus_code"],
    };
    trace.check(&[("cus_code", [(18_059_974, 5_418), (245_896, 369)])]);
}
