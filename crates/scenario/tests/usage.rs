//! Usage files: fed twice, shuffled or split they give the same report, and broken rows are listed.

use counterfoil::{Code, Engine};
use counterfoil_scenario::{
    Document, Format, Observer, Outcome, RejectedRow, UsageStep, UsageSummary, run,
};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const BEGIN: &str = "
steps:
  - at: 2025-01-01T00:00:00Z
    do: product.create
    with: { id: prod_1, name: Tokens }
  - do: meter.create
    with: { id: mtr_in, display_name: In, event_name: in, default_aggregation: { formula: sum } }
  - do: meter.create
    with: { id: mtr_out, display_name: Out, event_name: out, default_aggregation: { formula: sum } }
  - do: price.create
    with: { id: price_in, product: prod_1, currency: usd, unit_amount_decimal: '0.003', recurring: { interval: month, usage_type: metered, meter: mtr_in } }
  - do: price.create
    with: { id: price_out, product: prod_1, currency: usd, unit_amount_decimal: '0.015', recurring: { interval: month, usage_type: metered, meter: mtr_out } }
  - do: customer.create
    with: { id: cus_1, payment_method: pm_card_visa }
  - do: subscription.create
    with: { id: sub_1, customer: cus_1, items: [ { price: price_in }, { price: price_out } ] }
  - at: 2025-01-31T00:00:00Z
";
const END: &str = "  - at: 2025-02-01T01:00:00Z\n";
const COLUMNS: &str = "{ event_name: name, customer: cus_1, timestamp: time, value: tokens }";

fn run_files(folder: &Path, files: &[&str], columns: &str) -> Outcome {
    let mut text = BEGIN.to_owned();
    for file in files {
        writeln!(text, "  - usage: {file}\n    columns: {columns}").unwrap();
    }
    text.push_str(END);
    let document = Document::parse(&text, Format::Yaml, folder).unwrap();
    let outcome = run(&document, &Engine::in_memory(), &mut ()).unwrap();
    assert!(outcome.failure.is_none(), "{}", outcome.failure.unwrap());
    outcome
}

fn rows() -> Vec<String> {
    (0..3000_u32)
        .map(|n| {
            let name = if n % 3 == 0 { "out" } else { "in" };
            let (day, minute, second) = (n % 28 + 1, n / 60 % 60, n % 60);
            format!("2025-01-{day:02} 10:{minute:02}:{second:02}.{n:03},{name},{}", n % 97)
        })
        .collect()
}

fn csv<'r>(rows: impl IntoIterator<Item = &'r String>) -> String {
    let rows: Vec<&str> = rows.into_iter().map(String::as_str).collect();
    format!("time,name,tokens\n{}\n", rows.join("\n"))
}

#[test]
fn how_usage_is_cut_into_files_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows();
    fs::write(folder.path().join("whole.csv"), csv(&rows)).unwrap();
    fs::write(folder.path().join("crlf.csv"), csv(&rows).replace('\n', "\r\n")).unwrap();
    // A permutation: 1231 and 3000 have no common factor.
    let shuffled = (0..rows.len()).map(|n| &rows[n * 1231 % rows.len()]);
    fs::write(folder.path().join("shuffled.csv"), csv(shuffled)).unwrap();
    let parts: Vec<String> = (0..100).map(|n| format!("part-{n}.csv")).collect();
    for (name, part) in parts.iter().zip(rows.chunks(30)) {
        fs::write(folder.path().join(name), csv(part)).unwrap();
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();

    let whole = run_files(folder.path(), &["whole.csv"], COLUMNS);
    let sum = |name: &str| -> u64 {
        let of_name = |row: &&String| row.split(',').nth(1) == Some(name);
        let value = |row: &String| row.rsplit(',').next().unwrap().parse::<u64>().unwrap();
        rows.iter().filter(of_name).map(value).sum()
    };
    let report = whole.report.as_ref().unwrap();
    let lines = serde_json::to_value(&report.invoices[0].lines).unwrap();
    assert_eq!(lines[0]["quantity"], sum("in"));
    assert_eq!(lines[1]["quantity"], sum("out"));
    assert_eq!((whole.usage[0].taken, whole.usage[0].duplicates), (3000, 0));

    for (files, duplicates) in [
        (vec!["whole.csv", "whole.csv"], 3000),
        (vec!["whole.csv", "crlf.csv", "shuffled.csv"], 6000),
        (vec!["shuffled.csv"], 0),
        (parts, 0),
    ] {
        let other = run_files(folder.path(), &files, COLUMNS);
        assert_eq!(other.report.as_ref(), Some(report), "{files:?}");
        let count = |of: fn(&UsageSummary) -> u64| other.usage.iter().map(of).sum::<u64>();
        assert_eq!(count(|usage| usage.taken), 3000);
        assert_eq!(count(|usage| usage.duplicates), duplicates);
        assert_eq!(count(|usage| usage.refused), 0);
    }
}

/// `tests/files/usage.parquet` has four rows: the same as the text here.
#[test]
#[cfg(feature = "parquet")]
fn usage_of_parquet_is_that_of_the_same_rows_in_text() {
    let folder = tempfile::tempdir().unwrap();
    let text = "time,name,tokens\n\
                2025-01-10 00:00:00,in,1.5\n2025-01-11 00:00:00.250,out,2\n\
                2025-01-12 00:00:00,in,30\n2025-01-12 00:00:00,in,30\n";
    fs::write(folder.path().join("a.csv"), text).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/usage.parquet");
    fs::copy(file, folder.path().join("a.parquet")).unwrap();
    let [text, parquet] = ["a.csv", "a.parquet"].map(|file| {
        let outcome = run_files(folder.path(), &[file, file], COLUMNS);
        let counts = outcome.usage.iter().map(|usage| (usage.taken, usage.duplicates));
        assert_eq!(counts.collect::<Vec<_>>(), [(4, 0), (0, 4)], "{file}");
        outcome.report.unwrap()
    });
    assert_eq!(text, parquet);
    assert_eq!(parquet.invoices[0].lines[0].quantity.to_string(), "61.5");
}

#[test]
fn refused_rows_are_listed_and_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let text = "\
time,name,tokens,customer
2025-01-10T00:00:00Z,in,100,cus_1
never,in,1,cus_1
2025-01-10T00:00:00Z,unknown,1,cus_1
2025-01-10T00:00:00Z,in,1,cus_x
2025-01-10T00:00:00Z,in
2025-01-10T00:00:00Z,out,many,cus_1
2024-12-01T00:00:00Z,in,1,cus_1
2025-02-10T00:00:00Z,in,1,cus_1
2025-01-10T00:00:00Z,in,1,
2025-01-11T00:00:00Z,in,23,cus_1
";
    fs::write(folder.path().join("messy.csv"), text).unwrap();
    let columns = "{ event_name: name, customer: customer, timestamp: time, value: tokens }";
    let outcome = run_files(folder.path(), &["messy.csv"], columns);
    let summary = &outcome.usage[0];
    assert_eq!((summary.taken, summary.duplicates, summary.refused), (2, 0, 8));
    assert_eq!(summary.first_refused.len(), 8);
    assert!(summary.first_refused.iter().all(|row| !row.reason.is_empty()));
    let report = outcome.report.unwrap();
    assert_eq!(report.invoices[0].lines[0].quantity.to_string(), "123");
    let expected = [
        (3, Code::ParameterInvalid),
        (4, Code::NoMeter),
        (5, Code::MeterEventCustomerNotFound),
        (6, Code::ParameterInvalid),
        (7, Code::MeterEventInvalidValue),
        (8, Code::TimestampTooFarInPast),
        (9, Code::TimestampInFuture),
        (10, Code::MeterEventNoCustomerDefined),
    ]
    .map(|(line, code)| RejectedRow { file: "messy.csv".into(), line, code });
    assert_eq!(report.rejected, expected);
}

#[test]
fn an_observer_sees_the_bytes_go_by() {
    #[derive(Default)]
    struct Seen {
        bytes: Vec<(u64, u64)>,
        steps: usize,
        worked: usize,
        summaries: Vec<UsageSummary>,
    }

    impl Observer for Seen {
        fn step_began(&mut self, step: &counterfoil_scenario::Step, steps: usize) {
            self.steps += 1;
            assert_eq!(step.number, self.steps);
            assert_eq!(steps, 10);
        }

        fn work_done(
            &mut self,
            _: &counterfoil_scenario::Step,
            _: counterfoil::Timestamp,
            worked: usize,
        ) {
            self.worked = worked;
        }

        fn usage_read(&mut self, _: &UsageStep, bytes: u64, total_bytes: u64) {
            self.bytes.push((bytes, total_bytes));
        }

        fn usage_taken(&mut self, summary: &UsageSummary) {
            self.summaries.push(summary.clone());
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<String> =
        (0..20_000).map(|n| format!("2025-01-10T00:00:00Z,in,{}", n % 10)).collect();
    let text = csv(&rows);
    let size = u64::try_from(text.len()).unwrap();
    fs::write(folder.path().join("a.csv"), text).unwrap();
    let text = format!("{BEGIN}  - usage: a.csv\n    columns: {COLUMNS}\n{END}");
    let document = Document::parse(&text, Format::Yaml, folder.path()).unwrap();
    let mut seen = Seen::default();
    let outcome = run(&document, &Engine::in_memory(), &mut seen).unwrap();
    assert!(outcome.failure.is_none());
    assert_eq!(seen.summaries, outcome.usage);
    // A renewal and a finalization.
    assert_eq!((seen.steps, seen.worked), (10, 2));
    assert_eq!(seen.bytes.len(), 3);
    assert!(seen.bytes.iter().all(|(_, total)| *total == size));
    assert_eq!(seen.bytes.last(), Some(&(size, size)));
    assert_eq!(seen.summaries[0].taken, 20_000);
}

#[test]
fn a_file_that_vanishes_on_the_way_stops_the_run() {
    struct Remover<'p>(&'p Path);
    impl Observer for Remover<'_> {
        fn step_began(&mut self, step: &counterfoil_scenario::Step, _: usize) {
            if step.number == 1 {
                fs::remove_file(self.0).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, csv(&rows())).unwrap();
    let text = format!("{BEGIN}  - usage: a.csv\n    columns: {COLUMNS}\n{END}");
    let document = Document::parse(&text, Format::Yaml, folder.path()).unwrap();
    let outcome = run(&document, &Engine::in_memory(), &mut Remover(&path)).unwrap();
    let failure = outcome.failure.unwrap();
    assert!(failure.problem.is_unreadable(), "{failure}");
    assert!(failure.to_string().contains("a.csv"), "{failure}");
    assert_eq!(outcome.report.unwrap().customers.len(), 1);
}
