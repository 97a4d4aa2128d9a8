use super::*;
use crate::decode;
use std::collections::BTreeSet;
use std::fs;
use tempfile::TempDir;

const TOKENS: &str =
    "{event_name: tokens, customer: cus_1, timestamp: TIMESTAMP, value: Tokens, identifier: row}";
const OWN: &str = "{event_name: name, customer: who, timestamp: at, value: count, identifier: id}";

/// Everything that a file holds, in one chunk.
fn read_as(name: &str, bytes: &[u8], columns: &str) -> Result<Vec<UsageChunk>, UsageError> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    let columns = decode(&Node::parse_yaml(columns).unwrap()).unwrap();
    UsageReader::open(&path, &columns)?.collect()
}

fn read(name: &str, text: &str, columns: &str) -> UsageChunk {
    let mut chunks = read_as(name, text.as_bytes(), columns).unwrap();
    assert_eq!(chunks.len(), 1, "{text:?}");
    chunks.remove(0)
}

fn rows(chunk: &UsageChunk) -> Vec<(u64, &str, i64)> {
    let times = chunk.times.iter().map(|time| time.nanos());
    chunk
        .lines
        .iter()
        .copied()
        .zip(chunk.values.iter())
        .zip(times)
        .map(|((line, value), time)| (line, value, time))
        .collect()
}

fn refusals(chunk: &UsageChunk) -> Vec<(u64, String)> {
    let reason = |row: &RefusedRow| format!("{}: {}", row.code, row.reason);
    chunk.refused.iter().map(|row| (row.line, reason(row))).collect()
}

const SECOND: i64 = 1_700_158_623_000_000_000;

#[test]
fn line_endings_marks_and_quotes_change_nothing() {
    let plain = read("a.csv", "TIMESTAMP,Tokens\n2023-11-16 18:17:03,1\n1700158624,2", TOKENS);
    assert_eq!(rows(&plain), [(2, "1", SECOND), (3, "2", SECOND + 1_000_000_000)]);
    assert_eq!(plain.event_names.constant(), Some("tokens"));
    assert_eq!(plain.customers.iter().collect::<Vec<_>>(), ["cus_1", "cus_1"]);
    for text in [
        "TIMESTAMP,Tokens\n2023-11-16 18:17:03,1\n1700158624,2\n",
        "TIMESTAMP,Tokens\r\n2023-11-16 18:17:03,1\r\n1700158624,2",
        "TIMESTAMP,Tokens\r\n2023-11-16 18:17:03,1\r\n1700158624,2\r\n",
        "\u{feff}TIMESTAMP,Tokens\n2023-11-16 18:17:03,1\n1700158624,2\n",
        "\"TIMESTAMP\",\"Tokens\"\n2023-11-16 18:17:03,1\r\n1700158624,2\n",
    ] {
        let other = read("a.csv", text, TOKENS);
        assert_eq!(rows(&other), rows(&plain), "{text:?}");
        assert_eq!(other.identifiers, plain.identifiers, "{text:?}");
        assert_eq!(other.refused, []);
    }
    let spaced = read("a.csv", "\n\nTIMESTAMP,Tokens\n\n\r\n1700158623,1\n\n", TOKENS);
    assert_eq!(rows(&spaced), [(6, "1", SECOND)]);
}

#[test]
fn every_field_may_have_its_column() {
    let csv = "id,name,who,at,count,more\ne-1,calls,cus_1,1700158623,\"1,5\",x\n\
               e-2,\"to\nkens\",cus_\"2,1700158623,2,\ne-3,\"to\nkens\",cus_2,1700158623,2,\n";
    let chunk = read("a.csv", csv, OWN);
    assert_eq!(chunk.event_names.iter().collect::<Vec<_>>(), ["calls", "to\nkens"]);
    assert_eq!(chunk.customers.iter().collect::<Vec<_>>(), ["cus_1", "cus_2"]);
    assert_eq!(chunk.identifiers.iter().collect::<Vec<_>>(), ["e-1", "e-3"]);
    assert_eq!(chunk.values.iter().collect::<Vec<_>>(), ["1,5", "2"]);
    assert_eq!(chunk.values.get(2), None);
    assert_eq!(chunk.lines, [2, 5]);
    let json = "\u{feff}{\"id\":\"e-1\",\"name\":\"calls\",\"who\":\"cus_1\",\"at\":1700158623,\"count\":1.50}\r\n\n\
                {\"at\":\"2023-11-16T18:17:03Z\",\"count\":\"2\",\"who\":\"\\u0041\",\"name\":\"b\",\"id\":7}";
    let chunk = read("a.ndjson", json, OWN);
    assert_eq!(rows(&chunk), [(1, "1.50", SECOND), (3, "2", SECOND)]);
    assert_eq!(chunk.identifiers.iter().collect::<Vec<_>>(), ["e-1", "7"]);
    assert_eq!(chunk.customers.iter().collect::<Vec<_>>(), ["cus_1", "A"]);
}

#[test]
fn broken_csv_rows_are_refused_and_reading_goes_on() {
    let head = "TIMESTAMP,Tokens";
    for (row, reason) in [
        ("1700158623", "1 fields under 2 headers"),
        ("1700158623,1,2", "3 fields under 2 headers"),
        ("yesterday,1", "\"yesterday\" is not a time"),
        ("2023-02-30 00:00:00,1", "is no time of the calendar"),
        (",1", "\"\" is not a time"),
        ("1700158623,\"1", "a quote without its end"),
        ("1700158623,\"1\"x", "something after a closing quote"),
        ("1700158623,1\"\"", "a quote inside of an unquoted field"),
        ("\"1700158623,1", "a quote without its end"),
    ] {
        let text = format!("{head}\n1700158623,1\n{row}\n1700158623,2\n1700158623,3\n");
        let chunk = read("a.csv", &text, TOKENS);
        let lines: Vec<_> = rows(&chunk).into_iter().map(|(line, ..)| line).collect();
        assert_eq!(lines, [2, 4, 5], "{row}");
        let refused = refusals(&chunk);
        assert_eq!(refused.len(), 1, "{row}");
        assert_eq!(refused[0].0, 3, "{row}");
        assert!(refused[0].1.starts_with("parameter_invalid: "), "{refused:?}");
        assert!(refused[0].1.contains(reason), "{refused:?}");
    }
}

#[test]
fn stray_quotes_do_not_swallow_the_rows_between_them() {
    let text = "TIMESTAMP,Tokens\n1,\"1\n2,2\n3,3\n4,\"4\n5,5\n";
    let chunk = read("a.csv", text, TOKENS);
    assert_eq!(chunk.lines, [3, 4, 6]);
    assert_eq!(chunk.refused.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 5]);
}

#[test]
fn bytes_that_are_no_text_and_rows_without_end_are_refused() {
    let mut bytes = b"TIMESTAMP,Tokens\n1,1\n2,\xff\n3,3\n4,".to_vec();
    bytes.extend(std::iter::repeat_n(b'4', 3 * USAGE_ROW_BYTES_MAX));
    bytes.extend_from_slice(b"\n5,5\n6,\"");
    bytes.extend(std::iter::repeat_n(b'\n', 2 * USAGE_ROW_BYTES_MAX));
    bytes.extend_from_slice(b"7,7\n");
    let chunks = read_as("a.csv", &bytes, TOKENS).unwrap();
    assert_eq!(chunks.len(), 1);
    let last = 7 + 2 * u64::try_from(USAGE_ROW_BYTES_MAX).unwrap();
    assert_eq!(chunks[0].lines, [2, 4, 6, last]);
    let expected = [
        (3, "parameter_invalid: not UTF-8"),
        (5, "parameter_invalid: a row of more than 65536 bytes"),
        (7, "parameter_invalid: a quote without its end"),
    ];
    assert_eq!(refusals(&chunks[0]), expected.map(|(line, reason)| (line, reason.to_owned())));
    assert_eq!(chunks[0].bytes_read, u64::try_from(bytes.len()).unwrap());
}

#[test]
fn broken_json_lines_are_refused_and_reading_goes_on() {
    let good = r#"{"id":"a","name":"n","who":"c","at":1700158623,"count":1}"#;
    for (row, reason) in [
        ("{", "parameter_invalid: column 2: "),
        ("[]", "parameter_invalid: expected a JSON object, not a list"),
        ("5", "parameter_invalid: expected a JSON object, not the number 5"),
        (r#"{"id":"a","name":"n","who":"c","at":1}"#, "parameter_missing: count is required"),
        (
            r#"{"id":"a","name":"n","who":"c","at":1,"count":null}"#,
            "parameter_invalid: count: neither",
        ),
        (r#"{"id":"a","name":"n","who":"c","at":[],"count":1}"#, "parameter_invalid: at: neither"),
        (
            r#"{"id":"a","name":"n","who":"c","at":1.5,"count":1}"#,
            "parameter_invalid: \"1.5\" is not a time",
        ),
        (
            r#"{"id":"","name":"n","who":"c","at":1,"count":1}"#,
            "parameter_invalid: an empty identifier",
        ),
        (r#"{"id":"a","id":"b","name":"n","who":"c","at":1,"count":1}"#, "stands twice"),
    ] {
        let chunk = read("a.jsonl", &format!("{good}\n{row}\n{good}\n"), OWN);
        assert_eq!(chunk.lines, [1, 3], "{row}");
        let refused = refusals(&chunk);
        assert_eq!((refused.len(), refused[0].0), (1, 2), "{row}");
        assert!(refused[0].1.contains(reason), "{refused:?}");
    }
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    for (name, text, columns, expected) in [
        ("a.parquet", "", TOKENS, "a.parquet: Parquet is not supported"),
        ("a.txt", "", TOKENS, "a usage file ends in .csv, .ndjson or .jsonl"),
        ("a.csv", "\"TIMESTAMP,Tokens\n", TOKENS, "the headers: a quote without its end"),
        ("a.csv", "at,Tokens\n", TOKENS, "timestamp: \"TIMESTAMP\" is neither a column"),
        ("a.csv", "TIMESTAMP,n\n", TOKENS, "value: \"Tokens\" is neither a column"),
        ("a.csv", "name,who,at,count\n", OWN, "identifier: \"id\" is neither a column"),
        ("a.csv", "TIMESTAMP,Tokens,Tokens\n", TOKENS, "two columns are headed \"Tokens\""),
        ("a.ndjson", "{\"at\": 1}\n", TOKENS, "timestamp: \"TIMESTAMP\" is neither a column"),
    ] {
        let error = read_as(name, text.as_bytes(), columns).unwrap_err().to_string();
        assert!(error.contains(expected), "{name} {text:?}: {error}");
    }
    let columns = decode(&Node::parse_yaml(TOKENS).unwrap()).unwrap();
    let error = UsageReader::open(Path::new("/nowhere/a.csv"), &columns).unwrap_err();
    assert!(matches!(error, UsageError::Io { .. }));
}

#[test]
fn constants_stand_for_every_row_and_empty_files_have_none() {
    let columns = "{event_name: calls, customer: who, timestamp: 1700158623, value: 1}";
    let chunk = read("a.csv", "who\ncus_1\ncus_2\ncus_1\n", columns);
    assert_eq!(rows(&chunk), [(2, "1", SECOND), (3, "1", SECOND), (4, "1", SECOND)]);
    assert_eq!(chunk.identifiers.iter().collect::<BTreeSet<_>>().len(), 3);
    for (name, text) in
        [("a.csv", ""), ("a.csv", "TIMESTAMP,Tokens\n"), ("a.csv", "\n"), ("a.ndjson", "\n\n")]
    {
        assert_eq!(read_as(name, text.as_bytes(), TOKENS).unwrap(), [], "{name} {text:?}");
    }
}

#[test]
fn shuffled_rows_have_the_same_identifiers() {
    let identifiers = |lines: &[&str]| {
        let text = format!("TIMESTAMP,Tokens\n{}", lines.join("\n"));
        let chunk = read("a.csv", &text, TOKENS);
        chunk.identifiers.iter().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let forward = identifiers(&["1,1", "2,2", "1,1", "3,3"]);
    assert_eq!(forward.len(), 4);
    assert_eq!(forward, identifiers(&["1,1", "3,3", "2,2", "1,1"]));
    let csv = read(
        "a.csv",
        "v\n{\"TIMESTAMP\":1}\n",
        "{event_name: e, customer: c, timestamp: 1, value: 1}",
    );
    let json = read(
        "a.ndjson",
        "{\"TIMESTAMP\":1}\r\n",
        "{event_name: e, customer: c, timestamp: TIMESTAMP, value: 1}",
    );
    assert_eq!(csv.refused.len() + json.refused.len(), 1, "the CSV row has a stray quote");
    assert_eq!(json.identifiers.get(0).map(str::len), Some(32));
}

#[test]
fn long_files_come_in_chunks() {
    let count = 2 * USAGE_CHUNK_ROWS_MAX + 1;
    let text: String = (0..count).map(|i| format!("{i},{i}\n")).collect();
    let text = format!("TIMESTAMP,Tokens\n{text}");
    let chunks = read_as("a.csv", text.as_bytes(), TOKENS).unwrap();
    let sizes: Vec<_> = chunks.iter().map(|chunk| chunk.lines.len()).collect();
    assert_eq!(sizes, [USAGE_CHUNK_ROWS_MAX, USAGE_CHUNK_ROWS_MAX, 1]);
    assert!(chunks.windows(2).all(|pair| pair[0].bytes_read < pair[1].bytes_read));
    assert_eq!(chunks[2].bytes_read, u64::try_from(text.len()).unwrap());
    let values: Vec<_> = chunks.iter().flat_map(|chunk| chunk.values.iter()).collect();
    assert!(values.iter().enumerate().all(|(i, value)| value.parse() == Ok(i)));
    for chunk in &chunks {
        let rows = chunk.lines.len();
        assert_eq!([chunk.times.len(), chunk.values.len(), chunk.identifiers.len()], [rows; 3]);
        assert_eq!([chunk.event_names.len(), chunk.customers.len()], [rows; 2]);
    }
}

proptest::proptest! {
    #[test]
    fn no_row_makes_it_panic_or_comes_twice(
        rows in proptest::collection::vec("[0-9,\"a\r\u{e9}]{0,8}", 0..12), json: bool
    ) {
        let name = if json { "a.ndjson" } else { "a.csv" };
        let text = format!("TIMESTAMP,Tokens\n{}", rows.join("\n"));
        if let Ok(chunks) = read_as(name, text.as_bytes(), TOKENS) {
            let mut seen = BTreeSet::new();
            for chunk in &chunks {
                let refused = chunk.refused.iter().map(|row| row.line);
                for line in chunk.lines.iter().copied().chain(refused) {
                    proptest::prop_assert!(seen.insert(line), "line {} came twice", line);
                }
            }
        }
    }
}
