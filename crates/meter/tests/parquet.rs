//! Files of Parquet say what files of text say, and broken ones say nothing.
#![allow(clippy::disallowed_methods, reason = "files are what is read here")]

use arrow_array::{
    ArrayRef, BooleanArray, Decimal64Array, FixedSizeBinaryArray, Float64Array, Int32Array,
    RecordBatch, StringArray, TimestampMillisecondArray,
};
use counterfoil_core::{Id, Period, Timestamp};
use counterfoil_meter::files::{FileBatch, FileError, FileFormat, FilePosition, UsageFile};
use counterfoil_meter::{
    AdmitContext, Aggregator, Anyone, Field, Formula, Mapping, MappingError, MeterConfig, Position,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const NOW: i64 = 1_742_040_000;
const ALWAYS: Period = Period::new(Timestamp::MIN, Timestamp::MAX);

fn column<T>(rows: &[usize], of: impl Fn(usize) -> T) -> Vec<T> {
    rows.iter().map(|&row| of(row)).collect()
}

/// So many events of two customers, each third of which equals the one before it but for the
/// identifier.
fn batch(rows: &[usize], identifiers: bool) -> RecordBatch {
    let own = |row: usize| row - usize::from(row % 3 == 2);
    let time = |row: usize| NOW * 1_000 - i64::try_from(own(row)).unwrap();
    let value = |row: usize| i64::try_from(own(row)).unwrap() * 1_000 + 1;
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("customer", Arc::new(StringArray::from(column(rows, |row| ["a", "b"][own(row) % 2])))),
        ("timestamp", Arc::new(TimestampMillisecondArray::from(column(rows, time)))),
        ("odd", Arc::new(BooleanArray::from(column(rows, |row| own(row) % 2 == 1)))),
        (
            "value",
            Arc::new(
                Decimal64Array::from(column(rows, value)).with_precision_and_scale(18, 3).unwrap(),
            ),
        ),
    ];
    if identifiers {
        let bytes = column(rows, |row| u128::try_from(row).unwrap().to_be_bytes().to_vec());
        let array = FixedSizeBinaryArray::try_from_iter(bytes.into_iter()).unwrap();
        columns.push(("identifier", Arc::new(array)));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

fn written(batch: &RecordBatch, compression: Compression, group: usize) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(group))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn mapping() -> Mapping {
    Mapping { event_name: Field::Constant("tokens".into()), ..Mapping::default() }
}

fn open_at(bytes: &[u8], mapping: &Mapping, at: u64) -> Result<UsageFile, FileError> {
    let (path, bytes) = (Path::new("a.parquet"), bytes.to_vec());
    UsageFile::from_bytes_at(path, FileFormat::Parquet, bytes, mapping, FilePosition(at))
}

fn meters() -> Aggregator {
    let mut meters = Aggregator::default();
    meters.define(Id::derived(1), MeterConfig::new("tokens", Formula::Sum)).unwrap();
    meters
}

/// Takes a file in: taken, duplicates, refused.
fn take(meters: &mut Aggregator, file: UsageFile) -> (u64, u64, Vec<String>) {
    let mut sum = (0, 0, Vec::new());
    for batch in file {
        let batch: FileBatch = batch.unwrap();
        let view = batch.view().unwrap();
        let position = Position(meters.position().0 + 1);
        let ctx = AdmitContext::new(Timestamp::from_unix(NOW).unwrap(), &Anyone);
        let taken = meters.take(position, view.columns().unwrap(), &ctx);
        sum.0 += taken.taken;
        sum.1 += taken.duplicates;
        sum.2.extend(batch.refused.iter().map(ToString::to_string));
        let refused = taken.refused.iter().map(|own| batch.refused_event(own).unwrap());
        sum.2.extend(refused.map(|row| row.to_string()));
    }
    sum
}

fn used(meters: &Aggregator) -> [String; 2] {
    ["a", "b"].map(|customer| {
        let reading = meters.usage(&Id::derived(1), customer, ALWAYS, Position::MAX).unwrap();
        format!("{} of {}", reading.quantity, reading.events)
    })
}

#[test]
fn parquet_and_csv_of_the_same_rows_are_the_same_usage() {
    let rows: Vec<usize> = (0..20_000).collect();
    let mut by_text = meters();
    let mut text = "identifier,customer,timestamp,value\n".to_owned();
    for &row in &rows {
        let own = row - usize::from(row % 3 == 2);
        let (seconds, millis) = (NOW - 1 - i64::try_from(own / 1_000).unwrap(), own % 1_000);
        let (seconds, millis) =
            if millis == 0 { (seconds + 1, 0) } else { (seconds, 1_000 - millis) };
        let at = Timestamp::from_unix(seconds).unwrap().to_string();
        let at = at.trim_end_matches('Z');
        let customer = ["a", "b"][own % 2];
        text += &format!("{row:032x},{customer},{at}.{millis:03}Z,{own}.001\n");
    }
    let path = Path::new("a.csv");
    let file = UsageFile::from_bytes(path, FileFormat::Csv, text.into(), &mapping()).unwrap();
    assert_eq!(take(&mut by_text, file), (20_000, 0, vec![]));
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::GZIP(parquet::basic::GzipLevel::default()),
    ] {
        let mut own = meters();
        let bytes = written(&batch(&rows, true), compression, 7_000);
        let taken = take(&mut own, open_at(&bytes, &mapping(), 0).unwrap());
        assert_eq!(taken, (20_000, 0, vec![]), "{compression}");
        assert_eq!(used(&own), used(&by_text));
        // Fed again, by the text, it is what it was.
        let path = Path::new("a.csv");
        let again = open_at(&bytes, &mapping(), 0).unwrap();
        assert_eq!(take(&mut by_text, again), (0, 20_000, vec![]), "{}", path.display());
    }
}

/// The same four rows as DuckDB, Arrow's C++ library (once with a dictionary, gzip and the oldest
/// version) and Polars write them.
#[test]
fn files_of_other_writers_are_read() {
    let path = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name);
    let mapping = Mapping {
        event_name: Field::Constant("tokens".into()),
        customer: Field::Column("name".into()),
        timestamp: Field::Column("time".into()),
        value: Field::Column("tokens".into()),
        ..Mapping::default()
    };
    let identifiers: BTreeSet<Vec<String>> =
        ["duck.parquet", "arrow.parquet", "dict.parquet", "polars.parquet"]
            .map(|name| {
                let mut own = meters();
                let now = Timestamp::from_unix(1_736_700_000).unwrap();
                let batches: Vec<_> =
                    UsageFile::open(&path(name), &mapping).unwrap().map(Result::unwrap).collect();
                assert_eq!(batches.len(), 1, "{name}");
                let view = batches[0].view().unwrap();
                let columns = view.columns().unwrap();
                let taken = own.take(Position(1), columns, &AdmitContext::new(now, &Anyone));
                assert_eq!((taken.taken, &taken.refused[..]), (4, &[][..]), "{name}");
                let read = |customer: &str| {
                    own.usage(&Id::derived(1), customer, ALWAYS, Position::MAX).unwrap().quantity
                };
                let quantities = ["in", "out"].map(|customer| read(customer).to_string());
                assert_eq!(quantities, ["61.5", "2"], "{name}");
                (0..4).map(|row| columns.identifier(row).unwrap().into_owned()).collect()
            })
            .into_iter()
            .collect();
    assert_eq!(identifiers.len(), 1, "who wrote a row is no part of it: {identifiers:?}");
    // Zstandard is C code, and a feature of its own.
    let zstd = UsageFile::open(&path("polars_zstd.parquet"), &mapping).unwrap().next().unwrap();
    match cfg!(feature = "zstd") {
        true => assert_eq!(zstd.unwrap().len(), 4),
        false => assert!(zstd.unwrap_err().to_string().contains("zstd")),
    }
}

#[test]
fn rows_without_identifiers_count_once_in_any_order_and_from_any_batch_on() {
    let rows: Vec<usize> = (0..20_000).collect();
    // A permutation: 20,000 and 7,919 have no common factor.
    let shuffled: Vec<usize> = rows.iter().map(|row| row * 7_919 % 20_000).collect();
    let bytes = written(&batch(&rows, false), Compression::SNAPPY, 9_000);
    let mut own = meters();
    let ends: Vec<u64> =
        open_at(&bytes, &mapping(), 0).unwrap().map(|batch| batch.unwrap().end.0).collect();
    assert_eq!(ends.last(), Some(&20_000));
    assert_eq!(take(&mut own, open_at(&bytes, &mapping(), 0).unwrap()), (20_000, 0, vec![]));
    let sum = used(&own);
    let other = written(&batch(&shuffled, false), Compression::UNCOMPRESSED, 20_000);
    assert_eq!(take(&mut own, open_at(&other, &mapping(), 0).unwrap()), (0, 20_000, vec![]));
    for end in ends {
        let rest = open_at(&bytes, &mapping(), end).unwrap();
        assert_eq!(take(&mut own, rest), (0, 20_000 - end, vec![]));
    }
    assert_eq!(used(&own), sum);
    for at in [7, 20_001] {
        let error = open_at(&bytes, &mapping(), at).unwrap_err();
        assert!(matches!(error, FileError::Position { .. }), "{error}");
    }
}

#[test]
fn rows_with_identifiers_are_gone_to_directly_and_refused_by_number() {
    let rows: Vec<usize> = (0..1_000).collect();
    let bytes = written(&batch(&rows, true), Compression::SNAPPY, 300);
    let mut own = meters();
    let rest = open_at(&bytes, &mapping(), 990).unwrap();
    assert_eq!(take(&mut own, rest), (10, 0, vec![]));
    let late = Mapping { timestamp: Field::Constant("2025-01-01T00:00:00Z".into()), ..mapping() };
    let (taken, _, refused) = take(&mut meters(), open_at(&bytes, &late, 998).unwrap());
    assert_eq!((taken, refused.len()), (0, 2));
    assert!(refused[1].starts_with("a.parquet, row 1000: "), "{}", refused[1]);
    assert!(refused[1].contains("2025-02-"), "{}", refused[1]);
    assert!(open_at(&bytes, &mapping(), 1_000).unwrap().next().is_none());
}

#[test]
fn what_cannot_be_read_exactly_is_refused_when_the_file_is_opened() {
    let float: ArrayRef = Arc::new(Float64Array::from(vec![0.1]));
    let customer: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let number: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let file = |columns: &[(&str, &ArrayRef)]| {
        let columns = columns.iter().map(|(name, array)| (*name, Arc::clone(array)));
        written(&RecordBatch::try_from_iter(columns).unwrap(), Compression::UNCOMPRESSED, 10)
    };
    let error = |bytes: &[u8]| open_at(bytes, &mapping(), 0).unwrap_err().to_string();
    let floats = file(&[("customer", &customer), ("value", &float)]);
    let expected = "a.parquet: value: column \"value\" is of type Float64; it is read from";
    assert!(error(&floats).starts_with(expected), "{}", error(&floats));
    // A column that is not read may be of any type, and part of what rows are told apart by.
    let others = file(&[("customer", &customer), ("other", &float), ("value", &number)]);
    assert_eq!(take(&mut meters(), open_at(&others, &mapping(), 0).unwrap()).0, 1);
    let missing = open_at(&file(&[("value", &number)]), &mapping(), 0).unwrap_err();
    let required = MappingError::Required { field: "customer" };
    assert!(matches!(missing, FileError::Mapping { error, .. } if *error == required));
    assert!(error(b"no parquet at all").starts_with("a.parquet: "));
}

/// `short.parquet` was found by a fuzzer: it says that it has no rows, and has four.
#[test]
fn a_file_with_other_rows_than_it_says_is_damaged() {
    let bytes = std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join("short.parquet"),
    );
    let bare = Mapping {
        customer: Field::Constant("a".into()),
        timestamp: Field::Absent,
        value: Field::Absent,
        ..mapping()
    };
    let ends: Vec<String> = open_at(&bytes.unwrap(), &bare, 0)
        .unwrap()
        .map(|batch| batch.map_or_else(|error| error.to_string(), |own| own.len().to_string()))
        .collect();
    assert_eq!(ends, ["a.parquet: the file is damaged: of 0 rows it has 4"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_an_error_or_other_rows(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
        identifiers: bool,
    ) {
        let rows: Vec<usize> = (0..50).collect();
        let mut bytes = written(&batch(&rows, identifiers), Compression::SNAPPY, 20);
        for (at, byte) in &damage {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let Ok(file) = open_at(&bytes, &mapping(), 0) else { return Ok(()) };
        let mut seen = BTreeSet::new();
        for batch in file {
            let Ok(batch) = batch else { break };
            let _ = batch.view().map(|view| view.columns().map(|columns| columns.len()));
            for row in 0..batch.len() {
                prop_assert!(seen.insert(batch.place(row).unwrap()));
            }
        }
    }
}
