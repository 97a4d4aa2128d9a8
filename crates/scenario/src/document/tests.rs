use super::*;
use std::fs;
use tempfile::TempDir;

const WHOLE: &str = "
settings: { name: Acme }
steps:
  - at: 2025-01-01T00:00:00Z
    do: product.create
    with: { id: prod_1 }
  - do: invoice.pay
    idempotency_key: k-1
    with: { id: '{{invoice sub_1 2}}' }
    fails: resource_missing
  - do: tick
  - at: 1735689601
    usage: in/tokens.csv
    columns: { event_name: tokens, customer: cus_1, timestamp: TIMESTAMP, value: 1 }
  - at: 1735689601
  - expect:
      invoices: []
  - at: 1735689602
    expect: { customers: [] }
";

fn parse(text: &str) -> Result<Document, Unreadable> {
    Document::parse(text, Format::Yaml, Path::new("base"))
}

#[test]
fn every_kind_of_step_is_read() {
    let document = parse(WHOLE).unwrap();
    assert_eq!(document.settings.unwrap().get("name").unwrap().as_str(), Some("Acme"));
    let times: Vec<_> = document.steps.iter().map(|s| s.at.map(Timestamp::unix)).collect();
    let start = 1_735_689_600;
    let expected =
        [Some(start), None, None, Some(start + 1), Some(start + 1), None, Some(start + 2)];
    assert_eq!(times, expected);
    let places: Vec<_> = document.steps.iter().map(|s| (s.number, s.line)).collect();
    assert_eq!(places, [(1, 4), (2, 7), (3, 11), (4, 12), (5, 15), (6, 16), (7, 18)]);
    let [create, pay, tick, usage, advance, expect, both] = document.steps.as_slice() else {
        panic!("seven steps");
    };
    let Body::Do(create) = &create.body else { panic!("{create:?}") };
    assert_eq!((create.name.as_str(), create.name_line), ("product.create", 5));
    assert_eq!((&create.fails, &create.idempotency_key), (&None, &None));
    let Body::Do(pay) = &pay.body else { panic!("{pay:?}") };
    assert_eq!(pay.fails.as_deref(), Some("resource_missing"));
    assert_eq!(pay.idempotency_key.as_deref(), Some("k-1"));
    let Body::Do(tick) = &tick.body else { panic!("{tick:?}") };
    assert_eq!(tick.with.value, Value::Map(vec![]));
    let Body::Usage(usage) = &usage.body else { panic!("{usage:?}") };
    assert_eq!(
        (usage.file.as_str(), usage.path.as_path()),
        ("in/tokens.csv", Path::new("base/in/tokens.csv"))
    );
    assert_eq!((usage.columns.value.as_str(), usage.columns.identifier.as_str()), ("1", "row"));
    assert_eq!(advance.body, Body::Advance);
    assert!(matches!(expect.body, Body::Expect(_)));
    assert!(matches!(both.body, Body::Expect(_)));
}

#[test]
fn faults_name_step_and_line() {
    for (text, expected) in [
        ("", "line 1: the file: expected a map, not null"),
        ("[]", "line 1: the file: expected a map, not a list"),
        ("{}", "line 1: steps: it is required"),
        ("a: [", "line 2: column 1: "),
        ("steps: {}", "line 1: steps: expected a list, not a map"),
        ("settings: 5\nsteps: []", "line 1: settings: expected a map, not the number 5"),
        ("steps: []\nstep: []", "line 2: unknown key \"step\""),
        ("steps:\n- 5", "step 1, line 2: step: expected a map, not the number 5"),
        ("steps:\n- {}", "step 1, line 2: step: it needs one of at, do, usage and expect"),
        ("steps:\n- at: 1\n- at: 2\n  fail: x", "step 2, line 4: unknown key \"fail\""),
        (
            "steps:\n- at: 2\n- do: x\n- do: y\n  at: 1",
            "step 3, line 5: time goes back from 1970-01-01T00:00:02Z to 1970-01-01T00:00:01Z",
        ),
        ("steps:\n- at: soon", "step 1, line 2: at: timestamp: \"soon\" is not RFC 3339"),
        ("steps:\n- at: null", "step 1, line 2: at: expected a time"),
        ("steps:\n- at: 1.5", "step 1, line 2: at: timestamp: \"1.5\" is not RFC 3339"),
        (
            "steps:\n- usage: x.csv\n  columns: { event_name: a, timestamp: t }\n  expect: {}",
            "step 1, line 2: step: usage stands alone, without do and expect",
        ),
        ("steps:\n- do: 5", "step 1, line 2: do: expected a string, not the number 5"),
        ("steps:\n- do: ''", "step 1, line 2: do: it is empty"),
        ("steps:\n- do: x\n  with: []", "step 1, line 3: with: expected a map, not a list"),
        (
            "steps:\n- do: x\n  with: { a: [\n    '{{nope}}'] }",
            "step 1, line 4: \"{{nope}}\" is none of",
        ),
        ("steps:\n- expect: { a: '{{nope' }", "step 1, line 2: \"{{nope\" is none of"),
        ("steps:\n- do: x\n  fails: 5", "step 1, line 3: fails: expected a string"),
        (
            "steps:\n- do: x\n  idempotency_key: 5",
            "step 1, line 3: idempotency_key: expected a string",
        ),
        ("steps:\n- expect: {}\n  with: {}", "step 1, line 3: with: it needs do beside it"),
        ("steps:\n- at: 1\n  fails: x", "step 1, line 3: fails: it needs do beside it"),
        ("steps:\n- at: 1\n  idempotency_key: x", "idempotency_key: it needs do beside it"),
        ("steps:\n- at: 1\n  columns: {}", "step 1, line 3: columns: it needs usage beside it"),
        ("steps:\n- usage: a.csv", "step 1, line 2: usage: it needs columns beside it"),
        (
            "steps:\n- usage: a.csv\n  columns: {customer: x}",
            "step 1, line 3: columns: event_name is required",
        ),
        (
            "steps:\n- usage: a.csv\n  columns: {x: y}",
            "step 1, line 3: columns: x: there is no such field",
        ),
        (
            "steps:\n- usage: a.csv\n  columns: {value: []}",
            "columns: value: expected the name of a column",
        ),
        ("steps:\n- usage: 5\n  columns: {}", "step 1, line 2: usage: expected a string"),
    ] {
        let error = parse(text).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with(expected) || error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn files_are_read_with_what_they_name() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("scenario.json");
    let scenario = |usage: &str| {
        let columns = r#"{"event_name":"e","customer":"c","timestamp":"t","value":"v"}"#;
        format!(r#"{{"steps": [{{"at": 1}}, {{"usage": "{usage}", "columns": {columns}}}]}}"#)
    };
    fs::write(dir.path().join("here.csv"), "").unwrap();
    fs::write(&path, scenario("here.csv")).unwrap();
    assert_eq!(Document::read(&path).unwrap().steps.len(), 2);
    for (usage, expected) in [
        ("gone.csv", "step 2, line 1: "),
        ("here.txt", "a usage file ends in .csv, .ndjson, .jsonl or .parquet"),
    ] {
        fs::write(&path, scenario(usage)).unwrap();
        let error = Document::read(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(usage), "{error}");
    }
    fs::write(&path, b"\xff").unwrap();
    assert!(matches!(
        Document::read(&path).unwrap_err(),
        Unreadable { step: None, line: None, problem: UnreadableProblem::Io { .. } }
    ));
    let gone = Document::read(&dir.path().join("gone.yaml")).unwrap_err().to_string();
    assert!(gone.contains("gone.yaml"), "{gone}");
    fs::write(&path, vec![b' '; SCENARIO_BYTES_MAX + 1]).unwrap();
    let error = Document::read(&path).unwrap_err().to_string();
    assert!(error.contains("more than 33554432 bytes"), "{error}");
}

#[test]
fn the_runner_names_what_only_it_can_know() {
    let document = parse("steps:\n- do: x\n").unwrap();
    let problem = UnreadableProblem::UnknownOperation { operation: "x".into() };
    let error = document.steps[0].unreadable(2, problem);
    assert_eq!(error.to_string(), "step 1, line 2: unknown operation \"x\"");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(cut in 0_usize..WHOLE.len(), drop in 0_usize..30) {
        let mut text = WHOLE.to_owned();
        text.replace_range(cut..(cut + drop).min(WHOLE.len()), "");
        let _ = parse(&text);
    }
}
