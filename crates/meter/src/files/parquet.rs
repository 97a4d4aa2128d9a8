//! Rows of Parquet.

use super::batch::{Events, FileBatch, Headers, Standing};
use super::identifier::RowIdentifiers;
use super::{FileError, FilePosition};
use crate::mapping::{Place, Places};
use crate::{ArrowEvents, Field, Mapping, MappingError};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Schema};
use counterfoil_core::limits;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// Reads rows of Parquet.
pub(super) struct ParquetReader {
    path: Arc<Path>,
    mapping: Mapping,
    /// Among the columns that are read.
    places: Places,
    headers: Arc<Headers>,
    batches: ParquetRecordBatchReader,
    /// Where identifiers are made from rows.
    identifiers: Option<RowIdentifiers>,
    /// Rows that were read.
    read: u64,
    rows: u64,
    total_bytes: u64,
}

impl fmt::Debug for ParquetReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ParquetReader");
        shown.field("path", &self.path).field("row", &self.read).finish_non_exhaustive()
    }
}

impl ParquetReader {
    pub(super) fn open<R: ChunkReader + 'static>(
        path: &Path,
        input: R,
        total_bytes: u64,
        mapping: &Mapping,
        position: FilePosition,
    ) -> Result<Self, FileError> {
        let fault = |reason: String| FileError::Parquet { path: path.to_owned(), reason };
        let unfit = |error| FileError::Mapping { path: path.to_owned(), error: Box::new(error) };
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(input)).map_err(fault)?;
        let rows = check(builder.metadata(), total_bytes).map_err(fault)?;
        if position.0 > rows {
            let end = FilePosition(rows);
            return Err(FileError::Position { path: path.to_owned(), position, end });
        }
        let schema = Arc::clone(builder.schema());
        let names: Vec<&str> = schema.fields().iter().map(|own| own.name().as_str()).collect();
        let mut places = mapping.find(&names).map_err(unfit)?;
        // Only with an identifier does a file that is fed twice count once.
        if mapping.identifier == Field::Usual && places.identifier == Place::Absent {
            places.identifier = Place::Row;
        }
        let made = places.identifier == Place::Row;
        let wanted = if made { (0..names.len()).collect() } else { columns_of(&places) };
        let headers = Arc::new(Headers::of(&places, &names));
        let places = among(places, &wanted);
        check_types(&schema, mapping, &places, &wanted).map_err(unfit)?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let mut builder =
            builder.with_projection(mask).with_batch_size(limits::USAGE_BATCH_ROWS_MAX);
        if !made {
            builder = builder.with_offset(usize::try_from(position.0).unwrap_or(usize::MAX));
        }
        let batches = guarded(|| builder.build()).map_err(fault)?;
        let mut reader = Self {
            path: path.into(),
            mapping: mapping.clone(),
            places,
            headers,
            batches,
            identifiers: made.then(RowIdentifiers::default),
            read: if made { 0 } else { position.0 },
            rows,
            total_bytes,
        };
        reader.skip_to(position)?;
        Ok(reader)
    }

    /// Counts the equal rows before a position, which is the end of a batch.
    fn skip_to(&mut self, position: FilePosition) -> Result<(), FileError> {
        while self.read < position.0 {
            if self.read_batch()?.is_none() {
                break;
            }
        }
        if self.read == position.0 {
            return Ok(());
        }
        let (path, end) = (self.path.to_path_buf(), FilePosition(self.read));
        Err(FileError::Position { path, position, end })
    }

    pub(super) fn read_batch(&mut self) -> Result<Option<FileBatch>, FileError> {
        let fault = |reason: String| FileError::Parquet { path: self.path.to_path_buf(), reason };
        let batch = guarded(|| self.batches.next().transpose()).map_err(fault)?;
        let rows = batch.as_ref().map_or(0, RecordBatch::num_rows);
        let before = self.read;
        self.read = before.saturating_add(u64::try_from(rows).unwrap_or(u64::MAX));
        // A file that ends before its rows do would otherwise lose usage without a word.
        if self.read > self.rows || (batch.is_none() && self.read != self.rows) {
            let (read, rows) = (self.read, self.rows);
            return Err(fault(format!("the file is damaged: of {rows} rows it has {read}")));
        }
        let Some(batch) = batch else { return Ok(None) };
        let unfit =
            |error| FileError::Mapping { path: self.path.to_path_buf(), error: Box::new(error) };
        let numbers = match &mut self.identifiers {
            Some(identifiers) => Some(derive(identifiers, &batch).map_err(unfit)?),
            None => None,
        };
        let events =
            ArrowEvents::of(&batch, &self.mapping, &self.places, numbers).map_err(unfit)?;
        Ok(Some(FileBatch {
            file: Arc::clone(&self.path),
            events: Events::Arrow(events),
            standing: Standing::After(before),
            headers: Arc::clone(&self.headers),
            refused: Vec::new(),
            bytes_read: self.bytes_read(),
            end: FilePosition(self.read),
        }))
    }

    /// The part of the file that its rows so far are of all rows.
    fn bytes_read(&self) -> u64 {
        let bytes = u128::from(self.total_bytes).checked_mul(self.read.into());
        let part = bytes.and_then(|bytes| bytes.checked_div(self.rows.into()));
        part.and_then(|part| u64::try_from(part).ok()).unwrap_or(self.total_bytes)
    }
}

/// Calls the library, which panics over some files that are damaged: that is an error of the file
/// here, after which nothing is read of it. (A program that aborts on a panic aborts there too.)
fn guarded<T, E: fmt::Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("the file is damaged: {}", text.unwrap_or("it cannot be read")))
        }
    }
}

/// Checks what the file says of itself before anything is read by it: the library takes memory for
/// a column before it looks whether the file is that long. Gives back the number of rows.
fn check(metadata: &ParquetMetaData, total_bytes: u64) -> Result<u64, String> {
    let mut rows = 0_u64;
    for group in metadata.row_groups() {
        let count = u64::try_from(group.num_rows()).ok();
        rows = count.and_then(|count| rows.checked_add(count)).ok_or("rows without number")?;
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let range = [start, column.compressed_size()].map(u64::try_from);
            let [Ok(start), Ok(bytes)] = range else {
                return Err(format!("column {} has no place in the file", column.column_path()));
            };
            let end = start.checked_add(bytes);
            if end.is_none_or(|end| end > total_bytes) {
                let path = column.column_path();
                return Err(format!(
                    "column {path} ends behind the {total_bytes} bytes of the file"
                ));
            }
        }
    }
    Ok(rows)
}

/// The columns that events are read from, in their order.
fn columns_of(places: &Places) -> Vec<usize> {
    let fields = [
        &places.event_name,
        &places.customer,
        &places.timestamp,
        &places.value,
        &places.identifier,
    ];
    let column = |place: &Place| match place {
        Place::Column(number) => Some(*number),
        Place::Absent | Place::Constant(_) | Place::Row => None,
    };
    let mut columns: Vec<usize> = fields.into_iter().filter_map(column).collect();
    columns.extend(&places.dimensions);
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The same places among some of the columns.
fn among(places: Places, columns: &[usize]) -> Places {
    let number = |number: usize| columns.binary_search(&number).unwrap_or(usize::MAX);
    let of = |place: Place| match place {
        Place::Column(own) => Place::Column(number(own)),
        other => other,
    };
    Places {
        event_name: of(places.event_name),
        customer: of(places.customer),
        timestamp: of(places.timestamp),
        value: of(places.value),
        identifier: of(places.identifier),
        dimensions: places.dimensions.into_iter().map(number).collect(),
    }
}

/// Refuses columns of types that are not read, before any row is.
fn check_types(
    schema: &Schema,
    mapping: &Mapping,
    places: &Places,
    wanted: &[usize],
) -> Result<(), MappingError> {
    let fields: Vec<_> =
        wanted.iter().filter_map(|&number| schema.fields().get(number).cloned()).collect();
    let empty = RecordBatch::new_empty(Arc::new(Schema::new(fields)));
    let made = places.identifier == Place::Row;
    let numbers = if made { Some(derive(&mut RowIdentifiers::default(), &empty)?) } else { None };
    ArrowEvents::of(&empty, mapping, places, numbers).map(drop)
}

/// An identifier for each row, made from the bytes of all its columns.
fn derive(
    identifiers: &mut RowIdentifiers,
    batch: &RecordBatch,
) -> Result<Vec<u128>, MappingError> {
    let schema = batch.schema();
    let columns = batch.columns().iter().zip(schema.fields());
    let columns: Result<Vec<Bytes>, MappingError> =
        columns.map(|(array, field)| Bytes::of(field.name(), array)).collect();
    let columns = columns?;
    let mut row = Vec::new();
    let derived = (0..batch.num_rows()).map(|number| {
        row.clear();
        columns.iter().for_each(|column| column.append(number, &mut row));
        identifiers.derive(&row)
    });
    Ok(derived.collect())
}

/// The bytes of the rows of a column.
struct Bytes {
    array: ArrayRef,
    kind: Kind,
}

enum Kind {
    Null,
    Bool,
    /// All of one length, one behind the other.
    Fixed {
        buffer: Buffer,
        length: usize,
    },
    Utf8,
    LargeUtf8,
    Utf8View,
    Binary,
    LargeBinary,
    BinaryView,
    FixedBinary,
    /// The keys, and the rows of the dictionary.
    Dictionary {
        keys: Vec<Option<usize>>,
        values: Box<Bytes>,
    },
}

impl Bytes {
    fn of(name: &str, array: &ArrayRef) -> Result<Self, MappingError> {
        let array = Arc::clone(array);
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Bool,
            DataType::Utf8 => Kind::Utf8,
            DataType::LargeUtf8 => Kind::LargeUtf8,
            DataType::Utf8View => Kind::Utf8View,
            DataType::Binary => Kind::Binary,
            DataType::LargeBinary => Kind::LargeBinary,
            DataType::BinaryView => Kind::BinaryView,
            DataType::FixedSizeBinary(_) => Kind::FixedBinary,
            other => match (other.primitive_width(), array.as_any_dictionary_opt()) {
                (_, Some(dictionary)) => {
                    let values = Box::new(Self::of(name, dictionary.values())?);
                    let normal = match dictionary.values().is_empty() {
                        true => vec![0; array.len()],
                        false => dictionary.normalized_keys(),
                    };
                    let keys = normal.into_iter().enumerate();
                    let keys = keys.map(|(row, key)| array.is_valid(row).then_some(key)).collect();
                    Kind::Dictionary { keys, values }
                }
                (Some(length), None) => {
                    let data = array.to_data();
                    let start = data.offset().saturating_mul(length);
                    let bytes = data.len().saturating_mul(length);
                    let buffer = data.buffers().first().cloned().unwrap_or_default();
                    Kind::Fixed { buffer: buffer.slice_with_length(start, bytes), length }
                }
                (None, None) => {
                    return Err(MappingError::Type {
                        field: "identifier",
                        column: name.to_owned(),
                        found: other.to_string(),
                        takes: "a column of identifiers, as this one cannot be made part of one",
                    });
                }
            },
        };
        Ok(Self { array, kind })
    }

    /// Appends the bytes of a row: whether it is null, and its length before what has no fixed one.
    fn append(&self, row: usize, to: &mut Vec<u8>) {
        if row >= self.array.len() || self.array.is_null(row) {
            to.push(0);
            return;
        }
        let mut bytes = |bytes: &[u8]| {
            to.push(1);
            to.extend_from_slice(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            to.extend_from_slice(bytes);
        };
        let array = &self.array;
        match &self.kind {
            Kind::Null => to.push(0),
            Kind::Bool => bytes(&[u8::from(array.as_boolean().value(row))]),
            Kind::Fixed { buffer, length } => {
                let start = row.saturating_mul(*length);
                let end = start.saturating_add(*length);
                bytes(buffer.get(start..end).unwrap_or_default());
            }
            Kind::Utf8 => bytes(array.as_string::<i32>().value(row).as_bytes()),
            Kind::LargeUtf8 => bytes(array.as_string::<i64>().value(row).as_bytes()),
            Kind::Utf8View => bytes(array.as_string_view().value(row).as_bytes()),
            Kind::Binary => bytes(array.as_binary::<i32>().value(row)),
            Kind::LargeBinary => bytes(array.as_binary::<i64>().value(row)),
            Kind::BinaryView => bytes(array.as_binary_view().value(row)),
            Kind::FixedBinary => bytes(array.as_fixed_size_binary().value(row)),
            Kind::Dictionary { keys, values } => match keys.get(row).copied().flatten() {
                Some(key) => values.append(key, to),
                None => to.push(0),
            },
        }
    }
}
