use super::*;
use crate::{CustomerIds, Field, Identifiers, Values};
use counterfoil_core::Code;
use counterfoil_core::limits::{USAGE_BATCH_ROWS_MAX, USAGE_ROW_BYTES_MAX};
use std::collections::BTreeSet;

fn of(text: &str) -> Field {
    Field::ColumnOrConstant(text.into())
}

/// The tokens of one customer, with identifiers made from rows.
fn tokens() -> Mapping {
    Mapping {
        event_name: of("tokens"),
        customer: of("cus_1"),
        timestamp: of("TIMESTAMP"),
        value: of("Tokens"),
        identifier: Field::Row,
        ..Mapping::default()
    }
}

/// A column for every field.
fn own() -> Mapping {
    Mapping {
        event_name: of("name"),
        customer: of("who"),
        timestamp: of("at"),
        value: of("count"),
        identifier: of("id"),
        ..Mapping::default()
    }
}

/// Everything that a file holds, in batches.
fn read_as(name: &str, bytes: &[u8], mapping: &Mapping) -> Result<Vec<FileBatch>, FileError> {
    let path = Path::new(name);
    UsageFile::from_bytes(path, FileFormat::of_path(path)?, bytes.to_vec(), mapping)?.collect()
}

fn read(name: &str, text: &str, mapping: &Mapping) -> FileBatch {
    let mut batches = read_as(name, text.as_bytes(), mapping).unwrap();
    assert_eq!(batches.len(), 1, "{text:?}");
    batches.remove(0)
}

fn constants(event_name: &str, customer: &str, timestamp: &str) -> Mapping {
    Mapping {
        event_name: of(event_name),
        customer: of(customer),
        timestamp: of(timestamp),
        value: of("1"),
        ..Mapping::default()
    }
}

fn lines(batch: &FileBatch) -> Vec<u64> {
    (0..batch.len()).map(|row| batch.place(row).unwrap().number()).collect()
}

fn values(batch: &FileBatch) -> Vec<String> {
    match batch.view().unwrap().values {
        Values::Text(values) => values.iter().map(str::to_owned).collect(),
        other => panic!("{other:?}"),
    }
}

fn names(batch: &FileBatch) -> Vec<String> {
    let view = batch.view().unwrap();
    let name = |&code: &u16| view.names[usize::from(code)].to_owned();
    view.codes.unwrap().iter().map(name).collect()
}

fn customers(batch: &FileBatch) -> Vec<String> {
    let view = batch.view().unwrap();
    match view.customers {
        CustomerIds::Texts(texts) => texts.iter().map(str::to_owned).collect(),
        CustomerIds::Coded { ids, codes } => {
            codes.iter().map(|&code| ids.get(code.try_into().unwrap()).unwrap().into()).collect()
        }
        CustomerIds::Numbers(_) => panic!("numbers"),
    }
}

fn identifiers(batch: &FileBatch) -> Vec<String> {
    match batch.view().unwrap().identifiers {
        Identifiers::Texts(texts) => texts.iter().map(str::to_owned).collect(),
        Identifiers::Numbers(own) => own.iter().map(|own| format!("{own:032x}")).collect(),
        Identifiers::Generated => Vec::new(),
    }
}

/// Line, value and time of each row.
fn rows(batch: &FileBatch) -> Vec<(u64, String, i64)> {
    let view = batch.view().unwrap();
    let times = view.times.unwrap().iter().copied();
    lines(batch).into_iter().zip(values(batch)).zip(times).map(|((a, b), c)| (a, b, c)).collect()
}

fn row(line: u64, value: &str, time: i64) -> (u64, String, i64) {
    (line, value.to_owned(), time)
}

fn refusals(batch: &FileBatch) -> Vec<(u64, String)> {
    let reason = |row: &RefusedRow| format!("{}: {}", row.code, row.reason);
    batch.refused.iter().map(|row| (row.place.number(), reason(row))).collect()
}

const SECOND: i64 = 1_700_158_623_000_000_000;

#[test]
fn line_endings_marks_and_quotes_change_nothing() {
    let plain = read("a.csv", "TIMESTAMP,Tokens\n2023-11-16 18:17:03,1\n1700158624,2", &tokens());
    assert_eq!(rows(&plain), [row(2, "1", SECOND), row(3, "2", SECOND + 1_000_000_000)]);
    assert_eq!(names(&plain), ["tokens", "tokens"]);
    assert_eq!(customers(&plain), ["cus_1", "cus_1"]);
    for text in [
        "TIMESTAMP,Tokens\n2023-11-16 18:17:03,1\n1700158624,2\n",
        "TIMESTAMP,Tokens\r\n2023-11-16 18:17:03,1\r\n1700158624,2",
        "TIMESTAMP,Tokens\r\n2023-11-16 18:17:03,1\r\n1700158624,2\r\n",
        "\u{feff}TIMESTAMP,Tokens\n2023-11-16 18:17:03,1\n1700158624,2\n",
        "\"TIMESTAMP\",\"Tokens\"\n2023-11-16 18:17:03,1\r\n1700158624,2\n",
    ] {
        let other = read("a.csv", text, &tokens());
        assert_eq!(rows(&other), rows(&plain), "{text:?}");
        assert_eq!(identifiers(&other), identifiers(&plain), "{text:?}");
        assert_eq!(other.refused, []);
    }
    let spaced = read("a.csv", "\n\nTIMESTAMP,Tokens\n\n\r\n1700158623,1\n\n", &tokens());
    assert_eq!(rows(&spaced), [row(6, "1", SECOND)]);
}

#[test]
fn every_field_may_have_its_column() {
    let csv = "id,name,who,at,count,more\ne-1,calls,cus_1,1700158623,\"1,5\",x\n\
               e-2,\"to\nkens\",cus_\"2,1700158623,2,\ne-3,\"to\nkens\",cus_2,1700158623,2,\n";
    let batch = read("a.csv", csv, &own());
    assert_eq!(names(&batch), ["calls", "to\nkens"]);
    assert_eq!(customers(&batch), ["cus_1", "cus_2"]);
    assert_eq!(identifiers(&batch), ["e-1", "e-3"]);
    assert_eq!(values(&batch), ["1,5", "2"]);
    assert_eq!(batch.place(2), None);
    assert_eq!(lines(&batch), [2, 5]);
    let json = "\u{feff}{\"id\":\"e-1\",\"name\":\"calls\",\"who\":\"cus_1\",\"at\":1700158623,\"count\":1.50}\r\n\n\
                {\"at\":\"2023-11-16T18:17:03Z\",\"count\":\"2\",\"who\":\"\\u0041\",\"name\":\"b\",\"id\":7}";
    let batch = read("a.ndjson", json, &own());
    assert_eq!(rows(&batch), [row(1, "1.50", SECOND), row(3, "2", SECOND)]);
    assert_eq!(identifiers(&batch), ["e-1", "7"]);
    assert_eq!(customers(&batch), ["cus_1", "A"]);
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
        let batch = read("a.csv", &text, &tokens());
        let lines: Vec<_> = rows(&batch).into_iter().map(|(line, ..)| line).collect();
        assert_eq!(lines, [2, 4, 5], "{row}");
        let refused = refusals(&batch);
        assert_eq!(refused.len(), 1, "{row}");
        assert_eq!(refused[0].0, 3, "{row}");
        assert!(refused[0].1.starts_with("parameter_invalid: "), "{refused:?}");
        assert!(refused[0].1.contains(reason), "{refused:?}");
    }
}

#[test]
fn stray_quotes_do_not_swallow_the_rows_between_them() {
    let text = "TIMESTAMP,Tokens\n1,\"1\n2,2\n3,3\n4,\"4\n5,5\n";
    let batch = read("a.csv", text, &tokens());
    assert_eq!(lines(&batch), [3, 4, 6]);
    assert_eq!(batch.refused.iter().map(|row| row.place.number()).collect::<Vec<_>>(), [2, 5]);
}

#[test]
fn bytes_that_are_no_text_and_rows_without_end_are_refused() {
    let mut bytes = b"TIMESTAMP,Tokens\n1,1\n2,\xff\n3,3\n4,".to_vec();
    bytes.extend(std::iter::repeat_n(b'4', 3 * USAGE_ROW_BYTES_MAX));
    bytes.extend_from_slice(b"\n5,5\n6,\"");
    bytes.extend(std::iter::repeat_n(b'\n', 2 * USAGE_ROW_BYTES_MAX));
    bytes.extend_from_slice(b"7,7\n");
    let batches = read_as("a.csv", &bytes, &tokens()).unwrap();
    assert_eq!(batches.len(), 1);
    let last = 7 + 2 * u64::try_from(USAGE_ROW_BYTES_MAX).unwrap();
    assert_eq!(lines(&batches[0]), [2, 4, 6, last]);
    let expected = [
        (3, "parameter_invalid: not UTF-8"),
        (5, "parameter_invalid: a row of more than 65536 bytes"),
        (7, "parameter_invalid: a quote without its end"),
    ];
    assert_eq!(refusals(&batches[0]), expected.map(|(line, reason)| (line, reason.to_owned())));
    assert_eq!(batches[0].bytes_read, u64::try_from(bytes.len()).unwrap());
}

#[test]
fn broken_json_lines_are_refused_and_reading_goes_on() {
    let good = r#"{"id":"a","name":"n","who":"c","at":1700158623,"count":1}"#;
    for (row, reason) in [
        ("{", "parameter_invalid: character 1: "),
        ("[]", "invalid type: sequence, expected a JSON object"),
        ("5", "expected a JSON object"),
        (r#"{"id":"a","name":"n","who":"c","at":1}"#, "parameter_missing: it is required"),
        (r#"{"id":"a","name":"n","who":"c","at":1,"count":null}"#, "parameter_invalid: neither"),
        (r#"{"id":"a","name":"n","who":"c","at":[],"count":1}"#, "parameter_invalid: neither"),
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
        let batch = read("a.jsonl", &format!("{good}\n{row}\n{good}\n"), &own());
        assert_eq!(lines(&batch), [1, 3], "{row}");
        let refused = refusals(&batch);
        assert_eq!((refused.len(), refused[0].0), (1, 2), "{row}");
        assert!(refused[0].1.contains(reason), "{refused:?}");
    }
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    for (name, text, columns, expected) in [
        ("a.txt", "", &tokens(), "a usage file ends in .csv, .ndjson, .jsonl or .parquet"),
        ("a.parquet.gz", "", &tokens(), "a usage file ends in .csv, .ndjson, .jsonl or .parquet"),
        ("a.csv", "\"TIMESTAMP,Tokens\n", &tokens(), "the headers: a quote without its end"),
        ("a.csv", "at,Tokens\n", &tokens(), "timestamp: \"TIMESTAMP\" is neither a column"),
        ("a.csv", "TIMESTAMP,n\n", &tokens(), "value: \"Tokens\" is neither a column"),
        ("a.csv", "name,who,at,count\n", &own(), "identifier: \"id\" is neither a column"),
        ("a.csv", "TIMESTAMP,Tokens,Tokens\n", &tokens(), "two columns are headed \"Tokens\""),
        ("a.ndjson", "{\"at\": 1}\n", &tokens(), "timestamp: \"TIMESTAMP\" is neither a column"),
    ] {
        let error = read_as(name, text.as_bytes(), columns).unwrap_err().to_string();
        assert!(error.contains(expected), "{name} {text:?}: {error}");
    }
    let error = UsageFile::open(Path::new("/nowhere/a.csv"), &tokens()).unwrap_err();
    assert!(matches!(error, FileError::Io { .. }));
}

#[test]
fn constants_stand_for_every_row_and_empty_files_have_none() {
    let columns = constants("calls", "who", "1700158623");
    let batch = read("a.csv", "who\ncus_1\ncus_2\ncus_1\n", &columns);
    assert_eq!(rows(&batch), [row(2, "1", SECOND), row(3, "1", SECOND), row(4, "1", SECOND)]);
    assert_eq!(identifiers(&batch).into_iter().collect::<BTreeSet<_>>().len(), 3);
    for (name, text) in
        [("a.csv", ""), ("a.csv", "TIMESTAMP,Tokens\n"), ("a.csv", "\n"), ("a.ndjson", "\n\n")]
    {
        let batches = read_as(name, text.as_bytes(), &tokens()).unwrap();
        assert!(batches.is_empty(), "{name} {text:?}");
    }
}

#[test]
fn shuffled_rows_have_the_same_identifiers() {
    let all = |lines: &[&str]| {
        let text = format!("TIMESTAMP,Tokens\n{}", lines.join("\n"));
        let batch = read("a.csv", &text, &tokens());
        identifiers(&batch).into_iter().collect::<BTreeSet<_>>()
    };
    let forward = all(&["1,1", "2,2", "1,1", "3,3"]);
    assert_eq!(forward.len(), 4);
    assert_eq!(forward, all(&["1,1", "3,3", "2,2", "1,1"]));
    let csv = read("a.csv", "v\n{\"TIMESTAMP\":1}\n", &constants("e", "c", "1"));
    let json = read("a.ndjson", "{\"TIMESTAMP\":1}\r\n", &constants("e", "c", "TIMESTAMP"));
    assert_eq!(csv.refused.len() + json.refused.len(), 1, "the CSV row has a stray quote");
    assert_eq!(identifiers(&json)[0].len(), 32);
}

#[test]
fn long_files_come_in_batches() {
    let count = 2 * USAGE_BATCH_ROWS_MAX + 1;
    let text: String = (0..count).map(|i| format!("{i},{i}\n")).collect();
    let text = format!("TIMESTAMP,Tokens\n{text}");
    let batches = read_as("a.csv", text.as_bytes(), &tokens()).unwrap();
    let sizes: Vec<_> = batches.iter().map(|batch| lines(batch).len()).collect();
    assert_eq!(sizes, [USAGE_BATCH_ROWS_MAX, USAGE_BATCH_ROWS_MAX, 1]);
    assert!(batches.windows(2).all(|pair| pair[0].bytes_read < pair[1].bytes_read));
    assert_eq!(batches[2].bytes_read, u64::try_from(text.len()).unwrap());
    let values: Vec<_> = batches.iter().flat_map(values).collect();
    assert!(values.iter().enumerate().all(|(i, value)| value.parse() == Ok(i)));
    for batch in &batches {
        let view = batch.view().unwrap();
        assert_eq!(view.columns().unwrap().len(), lines(batch).len());
        assert_eq!(batch.end.0, *lines(batch).last().unwrap());
    }
}

#[test]
fn a_fault_names_file_line_and_column() {
    let text = "id,name,who,at,count\ne1,n,c,never,1\n,n,c,1,1\n\"e\n2\",n,c,1,many\n";
    let batch = read("dir/a.csv", text, &own());
    let told: Vec<_> = batch.refused.iter().map(ToString::to_string).collect();
    let path = Path::new("dir/a.csv").display();
    let expected =
        ["line 2, column at: \"never\" is not a time", "line 3, column id: an empty identifier"];
    assert_eq!(told, expected.map(|rest| format!("{path}, {rest}")));
    // What the meter refuses is told in the same words.
    let row = batch.refuse(0, Code::MeterEventInvalidValue, "no number".into()).unwrap();
    assert_eq!(row.to_string(), format!("{path}, line 4, column count: no number"));
    assert_eq!(batch.refuse(1, Code::NoMeter, String::new()), None);
    let json = "{\"id\":\"e\",\"name\":\"n\",\"who\":\"c\",\"at\":1,\"count\":1}\n{\"id\":null}\n";
    let batch = read("a.ndjson", json, &own());
    assert_eq!(batch.refused[0].to_string(), "a.ndjson, line 2, column name: it is required");
}

#[test]
fn whole_numbers_count_in_a_unit_and_dimensions_are_columns_too() {
    let mapping = Mapping { time_unit: crate::TimeUnit::Millisecond, ..Mapping::default() }
        .dimension("model", "m");
    let csv = "event_name,customer,timestamp,m\nn,c,1700158623000,big\nn,c,2023-11-16 18:17:03,\n";
    let json = "{\"event_name\":\"n\",\"customer\":\"c\",\"timestamp\":1700158623000,\"m\":\"big\"}\n\
                {\"event_name\":\"n\",\"customer\":\"c\",\"timestamp\":\"2023-11-16T18:17:03Z\"}\n";
    for (name, text) in [("a.csv", csv), ("a.ndjson", json)] {
        let batch = read(name, text, &mapping);
        let view = batch.view().unwrap();
        assert_eq!(view.times, Some(&[SECOND, SECOND][..]), "{name}");
        let column = view.dimensions[0];
        assert_eq!((column.name, column.values.get(0)), ("model", Some("big")), "{name}");
        assert_eq!(column.values.get(1), Some(""));
        assert_eq!((view.values, identifiers(&batch).len()), (Values::Absent, 2));
    }
}

#[test]
fn a_bad_row_may_stop_the_file() {
    let text = "TIMESTAMP,Tokens\n1,1\nnever,2\n3,3\n";
    let open = |text: &str, at| {
        let (path, bytes) = (Path::new("a.csv"), text.as_bytes().to_vec());
        UsageFile::from_bytes_at(path, FileFormat::Csv, bytes, &tokens(), FilePosition(at))
            .unwrap()
            .on_bad_rows(BadRows::Stop)
    };
    let mut file = open(text, 0);
    let batch = file.next().unwrap().unwrap();
    assert_eq!((lines(&batch), batch.end, batch.refused.len()), (vec![2], FilePosition(2), 0));
    let error = file.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "a.csv, line 3, column TIMESTAMP: \"never\" is not a time");
    assert!(file.next().is_none() && file.next().is_none());
    // It goes on with the same row, where it is mended or not.
    assert!(matches!(open(text, 2).next(), Some(Err(FileError::Row(_)))));
    let mended = open(&text.replace("never", "2"), 2).next().unwrap().unwrap();
    assert_eq!(lines(&mended), [3, 4]);
}

/// What a file holds from a position on.
fn from(text: &str, name: &str, mapping: &Mapping, at: FilePosition) -> Vec<(String, RowPlace)> {
    let (path, format) = (Path::new(name), FileFormat::of_path(Path::new(name)).unwrap());
    let bytes = text.as_bytes().to_vec();
    let file = UsageFile::from_bytes_at(path, format, bytes, mapping, at).unwrap();
    let mut found = Vec::new();
    for batch in file {
        let batch = batch.unwrap();
        let places = (0..batch.len()).map(|row| batch.place(row).unwrap());
        found.extend(identifiers(&batch).into_iter().zip(places));
    }
    found
}

#[test]
fn a_file_goes_on_where_it_was_cut() {
    let count = USAGE_BATCH_ROWS_MAX + 100;
    let csv: String = (0..count).map(|i| format!("{},{}\n", i / 3, i % 2)).collect();
    let csv = format!("TIMESTAMP,Tokens\n{csv}");
    let json: String =
        (0..count).map(|i| format!("{{\"TIMESTAMP\":{},\"Tokens\":0}}\n", i / 3)).collect();
    let given = Mapping { identifier: of("Tokens"), ..tokens() };
    for (name, text) in [("a.csv", &csv), ("a.ndjson", &json)] {
        for mapping in [tokens(), given.clone()] {
            let batches = read_as(name, text.as_bytes(), &mapping).unwrap();
            let whole = from(text, name, &mapping, FilePosition(0));
            assert_eq!(whole.len(), count);
            let rest = from(text, name, &mapping, batches[0].end);
            assert_eq!(rest.len(), 100);
            assert_eq!(rest, whole[USAGE_BATCH_ROWS_MAX..], "{name}");
            assert_eq!(from(text, name, &mapping, batches[1].end), []);
            let behind = FilePosition(batches[1].end.0 + 1);
            let (path, format) = (Path::new(name), FileFormat::of_path(Path::new(name)).unwrap());
            let bytes = text.as_bytes().to_vec();
            let error = UsageFile::from_bytes_at(path, format, bytes, &mapping, behind);
            let error = error.unwrap_err().to_string();
            let (at, end) = (behind, batches[1].end);
            let expected = format!("{name}: it was read up to {at} before, and ends at {end} now");
            assert_eq!(error, expected);
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_row_makes_it_panic_or_comes_twice(
        rows in proptest::collection::vec("[0-9,\"a\r\u{e9}]{0,8}", 0..12), json: bool
    ) {
        let name = if json { "a.ndjson" } else { "a.csv" };
        let text = format!("TIMESTAMP,Tokens\n{}", rows.join("\n"));
        if let Ok(batches) = read_as(name, text.as_bytes(), &tokens()) {
            let mut seen = BTreeSet::new();
            for batch in &batches {
                let refused = batch.refused.iter().map(|row| row.place.number());
                for line in lines(batch).into_iter().chain(refused) {
                    proptest::prop_assert!(seen.insert(line), "line {} came twice", line);
                }
            }
        }
    }
}
