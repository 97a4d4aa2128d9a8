//! Usage files: rows of CSV or lines of JSON as columns of meter events.

mod csv;
mod identifier;
mod lines;
mod time;

use crate::limits::{USAGE_CHUNK_ROWS_MAX, USAGE_ROW_BYTES_MAX};
use crate::node::{Node, Value};
use counterfoil_core::{Code, Decimal12, EventTime};
use identifier::RowIdentifiers;
use lines::{Line, Lines};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use time::{TimeError, parse_event_time};

/// Which column of a file holds which field of a meter event.
///
/// A text that is a header of the file names that column; any other is a constant. The headers of
/// a file of JSON lines are the keys of its first readable line. A time, a value and an identifier
/// that are neither a header nor what they should be are errors: a misspelt header would otherwise
/// refuse every row, or make all but one a duplicate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Columns {
    /// The name of the event.
    #[serde(deserialize_with = "text")]
    pub event_name: String,
    /// The customer's id.
    #[serde(deserialize_with = "text")]
    pub customer: String,
    /// The time: what [`parse_event_time`] reads.
    #[serde(deserialize_with = "text")]
    pub timestamp: String,
    /// The value, which the meter judges.
    #[serde(deserialize_with = "text")]
    pub value: String,
    /// The identifier: a header, or `row`, which is also what it is where it is not given. `row`
    /// derives it from the bytes of the row without its line ending and the count of equal rows
    /// before it in the file.
    #[serde(default = "row", deserialize_with = "text")]
    pub identifier: String,
}

fn row() -> String {
    "row".to_owned()
}

/// A text, or a number as it was written.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a column, or a constant")
        }

        fn visit_i64<E>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_u64<E>(self, value: u64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_str<E>(self, value: &str) -> Result<String, E> {
            Ok(value.to_owned())
        }
    }
    deserializer.deserialize_any(Visitor)
}

/// What a usage file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageFormat {
    /// RFC 4180 with a comma and a header row: `.csv`.
    Csv,
    /// One JSON object a line: `.ndjson` or `.jsonl`.
    Ndjson,
}

impl UsageFormat {
    /// The format that a path's extension stands for.
    ///
    /// # Errors
    /// [`UsageError::Unsupported`] for Parquet, [`UsageError::UnknownFormat`] for all else.
    pub fn of_path(path: &Path) -> Result<Self, UsageError> {
        let end = path.extension().unwrap_or_default().to_ascii_lowercase();
        match end.to_str() {
            Some("csv") => Ok(Self::Csv),
            Some("ndjson" | "jsonl") => Ok(Self::Ndjson),
            Some("parquet") => Err(UsageError::Unsupported { path: path.to_owned() }),
            _ => Err(UsageError::UnknownFormat { path: path.to_owned() }),
        }
    }
}

/// A usage file that cannot be read at all. A fault of one row is a [`RefusedRow`] instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// The file cannot be opened or read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// A format that is known and not supported.
    #[error("{}: Parquet is not supported; write the file as CSV or NDJSON", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
    },
    /// A format that is not known.
    #[error("{}: a usage file ends in .csv, .ndjson or .jsonl", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The first row of a CSV file is no row of headers.
    #[error("{}: the headers: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Two columns have the header that was named.
    #[error("{}: two columns are headed {header:?}", path.display())]
    AmbiguousColumn {
        /// The file.
        path: PathBuf,
        /// Their header.
        header: String,
    },
    /// A text that is neither a header nor a constant that the field could have.
    #[error("{}: {field}: {text:?} is neither a column of the file nor a constant that fits",
        path.display())]
    NoSuchColumn {
        /// The file.
        path: PathBuf,
        /// The field of [`Columns`].
        field: &'static str,
        /// The text that was given for it.
        text: String,
    },
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The line it begins on, from 1.
    pub line: u64,
    /// `parameter_invalid`, or `parameter_missing` for a JSON line without a key.
    pub code: Code,
    /// What is wrong, and the limit where there is one.
    pub reason: String,
}

/// Some rows of a file in their order, by columns of equal length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageChunk {
    /// Names of the events.
    pub event_names: TextColumn,
    /// Ids of the customers.
    pub customers: TextColumn,
    /// Times, to the nanosecond.
    pub times: Vec<EventTime>,
    /// Values, as they were written.
    pub values: TextColumn,
    /// Identifiers, none of them empty.
    pub identifiers: TextColumn,
    /// The line on which each row begins, from 1.
    pub lines: Vec<u64>,
    /// The rows among these that were not taken.
    pub refused: Vec<RefusedRow>,
    /// Bytes of the file read so far, of [`UsageReader::total_bytes`].
    pub bytes_read: u64,
}

/// A column of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextColumn {
    /// The same text in each row.
    Constant {
        /// The text.
        text: Arc<str>,
        /// The number of rows.
        rows: usize,
    },
    /// A text for each row.
    Each {
        /// The texts, one behind the other.
        text: String,
        /// Where each ends.
        ends: Vec<usize>,
    },
}

impl TextColumn {
    fn of(binding: &Binding) -> Self {
        match binding {
            Binding::Constant(text) => Self::Constant { text: Arc::clone(text), rows: 0 },
            Binding::Column(_) | Binding::Row => {
                Self::Each { text: String::new(), ends: Vec::new() }
            }
        }
    }

    fn push(&mut self, value: &str) {
        match self {
            Self::Constant { rows, .. } => *rows = rows.saturating_add(1),
            Self::Each { text, ends } => {
                text.push_str(value);
                ends.push(text.len());
            }
        }
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Constant { rows, .. } => *rows,
            Self::Each { ends, .. } => ends.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text of a row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Constant { text, rows } => (row < *rows).then_some(&**text),
            Self::Each { text, ends } => {
                let start = match row.checked_sub(1) {
                    Some(before) => *ends.get(before)?,
                    None => 0,
                };
                text.get(start..*ends.get(row)?)
            }
        }
    }

    /// The texts in the order of the rows.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|row| self.get(row))
    }

    /// The text that all rows share by definition, so that it need be looked up only once.
    #[must_use]
    pub fn constant(&self) -> Option<&str> {
        match self {
            Self::Constant { text, .. } => Some(text),
            Self::Each { .. } => None,
        }
    }
}

/// Where the texts of a field come from.
#[derive(Debug, Clone)]
enum Binding {
    Constant(Arc<str>),
    /// The column of this number, from 0.
    Column(usize),
    /// Derived from the row itself.
    Row,
}

/// Where the texts of all fields come from.
#[derive(Debug, Clone)]
struct Bindings {
    event_name: Binding,
    customer: Binding,
    timestamp: Binding,
    value: Binding,
    identifier: Binding,
}

/// Reads a usage file in chunks of at most
/// [`USAGE_CHUNK_ROWS_MAX`](crate::limits::USAGE_CHUNK_ROWS_MAX) rows.
///
/// Lines end in LF or CRLF, the last one with or without; a byte order mark at the beginning and
/// empty lines are passed over. A broken row is refused and reading goes on behind it. A CSV row
/// may span lines within quotes; where the whole is broken, its first line alone is refused and
/// the next one is read as a row, so that a stray quote does not swallow what follows.
///
/// Memory is that of one chunk and, where the identifier is `row`, some 20 to 40 bytes for each
/// row read, by which equal rows are counted.
#[derive(Debug)]
pub struct UsageReader {
    path: PathBuf,
    format: UsageFormat,
    columns: Columns,
    lines: Lines<File>,
    headers: Vec<String>,
    /// Known once the headers are.
    bindings: Option<Bindings>,
    identifiers: RowIdentifiers,
    total_bytes: u64,
    finished: bool,
}

impl UsageReader {
    /// Opens a file and, where it is CSV, reads its headers.
    ///
    /// # Errors
    /// [`UsageError`] where the file cannot be read, or does not have what `columns` asks for.
    pub fn open(path: &Path, columns: &Columns) -> Result<Self, UsageError> {
        let format = UsageFormat::of_path(path)?;
        let io = |error| UsageError::Io { path: path.to_owned(), error };
        let file = File::open(path).map_err(io)?;
        let total_bytes = file.metadata().map_err(io)?.len();
        let mut reader = Self {
            path: path.to_owned(),
            format,
            columns: columns.clone(),
            lines: Lines::new(file),
            headers: Vec::new(),
            bindings: None,
            identifiers: RowIdentifiers::default(),
            total_bytes,
            finished: false,
        };
        if format == UsageFormat::Csv {
            reader.read_headers()?;
        }
        Ok(reader)
    }

    /// The size of the file when it was opened.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    fn next_line(&mut self) -> Result<Option<Line>, UsageError> {
        self.lines.next().map_err(|error| UsageError::Io { path: self.path.clone(), error })
    }

    fn read_headers(&mut self) -> Result<(), UsageError> {
        let line = loop {
            match self.next_line()? {
                Some(line) if line.row().trim_ascii().is_empty() => {}
                Some(line) => break line,
                None => {
                    self.finished = true;
                    return Ok(());
                }
            }
        };
        let fault = |reason: String| UsageError::Header { path: self.path.clone(), reason };
        if line.too_long {
            return Err(fault(too_long()));
        }
        let row = std::str::from_utf8(line.row()).map_err(|_| fault("not UTF-8".into()))?;
        self.headers = csv::fields(row)
            .map_err(|error| fault(error.to_string()))?
            .into_iter()
            .map(Cow::into_owned)
            .collect();
        self.bindings = Some(self.bind()?);
        Ok(())
    }

    fn bind(&self) -> Result<Bindings, UsageError> {
        let columns = &self.columns;
        let bind = |text: &str| {
            let mut found = self.headers.iter().enumerate().filter(|(_, header)| *header == text);
            match (found.next(), found.next()) {
                (Some(_), Some(_)) => Err(UsageError::AmbiguousColumn {
                    path: self.path.clone(),
                    header: text.to_owned(),
                }),
                (Some((index, _)), None) => Ok(Binding::Column(index)),
                (None, _) => Ok(Binding::Constant(text.into())),
            }
        };
        let checked = |field, text: &str, fits: &dyn Fn(&str) -> bool| match bind(text)? {
            Binding::Constant(text) if !fits(&text) => Err(UsageError::NoSuchColumn {
                path: self.path.clone(),
                field,
                text: text.to_string(),
            }),
            binding => Ok(binding),
        };
        Ok(Bindings {
            event_name: bind(&columns.event_name)?,
            customer: bind(&columns.customer)?,
            timestamp: checked("timestamp", &columns.timestamp, &|text| {
                parse_event_time(text).is_ok()
            })?,
            value: checked("value", &columns.value, &|text| text.parse::<Decimal12>().is_ok())?,
            identifier: match columns.identifier.as_str() {
                "row" => Binding::Row,
                text => checked("identifier", text, &|_| false)?,
            },
        })
    }

    /// Reads until the chunk is full or the file ends; `None` where there was nothing to read.
    fn read_chunk(&mut self) -> Result<Option<UsageChunk>, UsageError> {
        let mut chunk: Option<UsageChunk> = None;
        let mut refused = Vec::new();
        let mut rows = 0_usize;
        while rows < USAGE_CHUNK_ROWS_MAX {
            let Some(line) = self.next_line()? else {
                self.finished = true;
                break;
            };
            let number = line.number;
            if line.row().trim_ascii().is_empty() {
                continue;
            }
            rows = rows.saturating_add(1);
            let taken = match self.format {
                UsageFormat::Csv => self.take_csv(line, &mut chunk)?,
                UsageFormat::Ndjson => self.take_json(&line, &mut chunk)?,
            };
            if let Err(Fault { code, reason }) = taken {
                refused.push(RefusedRow { line: number, code, reason });
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        let mut chunk = chunk.unwrap_or_else(|| UsageChunk::empty(self.bindings.as_ref()));
        chunk.refused = refused;
        chunk.bytes_read = self.lines.bytes_read();
        Ok(Some(chunk))
    }

    /// Takes the row that begins with a line, and the lines that belong to it.
    fn take_csv(
        &mut self,
        first: Line,
        chunk: &mut Option<UsageChunk>,
    ) -> Result<Result<(), Fault>, UsageError> {
        let mut bytes = Cow::Borrowed(first.row());
        let mut more = Vec::new();
        let mut open = false;
        if first.has_open_quote() && !first.too_long {
            let mut whole = first.bytes.clone();
            open = true;
            while open && whole.len() <= USAGE_ROW_BYTES_MAX {
                let Some(line) = self.next_line()? else { break };
                open = !line.has_open_quote();
                whole.extend_from_slice(&line.bytes);
                more.push(line);
            }
            lines::trim_ending(&mut whole);
            bytes = Cow::Owned(whole);
        }
        let taken = if first.too_long || (!open && bytes.len() > USAGE_ROW_BYTES_MAX) {
            Err(Fault::invalid(too_long()))
        } else {
            self.take_csv_row(&bytes, first.number, chunk)
        };
        if taken.is_err() {
            self.lines.put_back(more);
        }
        Ok(taken)
    }

    fn take_csv_row(
        &mut self,
        bytes: &[u8],
        line: u64,
        chunk: &mut Option<UsageChunk>,
    ) -> Result<(), Fault> {
        let row = std::str::from_utf8(bytes).map_err(|_| Fault::invalid("not UTF-8"))?;
        let fields = csv::fields(row).map_err(|error| Fault::invalid(error.to_string()))?;
        if fields.len() != self.headers.len() {
            let (got, expected) = (fields.len(), self.headers.len());
            return Err(Fault::invalid(format!("{got} fields under {expected} headers")));
        }
        let Some(bindings) = &self.bindings else {
            return Err(Fault::invalid("a row before its headers"));
        };
        let chunk = chunk.get_or_insert_with(|| UsageChunk::empty(Some(bindings)));
        chunk.push(bindings, &mut self.identifiers, bytes, line, |index| {
            Ok(fields.get(index).map_or("", |field| field))
        })
    }

    fn take_json(
        &mut self,
        line: &Line,
        chunk: &mut Option<UsageChunk>,
    ) -> Result<Result<(), Fault>, UsageError> {
        if line.too_long {
            return Ok(Err(Fault::invalid(too_long())));
        }
        let bytes = line.row();
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Ok(Err(Fault::invalid("not UTF-8")));
        };
        let object = match Node::parse_json(text) {
            Ok(object) => object,
            Err(error) => {
                let reason = format!("column {}: {}", error.column, error.reason);
                return Ok(Err(Fault::invalid(reason)));
            }
        };
        let Some(entries) = object.entries() else {
            let reason = format!("expected a JSON object, not {}", object.describe());
            return Ok(Err(Fault::invalid(reason)));
        };
        if self.bindings.is_none() {
            self.headers = entries.iter().map(|(key, _)| key.name.clone()).collect();
            self.bindings = Some(self.bind()?);
        }
        let Some(bindings) = &self.bindings else {
            return Ok(Err(Fault::invalid("a row before its headers")));
        };
        let chunk = chunk.get_or_insert_with(|| UsageChunk::empty(Some(bindings)));
        let headers = &self.headers;
        Ok(chunk.push(bindings, &mut self.identifiers, bytes, line.number, |index| {
            let header = headers.get(index).map_or("", |header| header);
            match object.get(header).map(|node| &node.value) {
                Some(Value::String(text) | Value::Number(text)) => Ok(text),
                Some(_) => Err(Fault::invalid(format!("{header}: neither a string nor a number"))),
                None => Err(Fault {
                    code: Code::ParameterMissing,
                    reason: format!("{header} is required"),
                }),
            }
        }))
    }
}

/// Chunks until the end of the file or the first error.
impl Iterator for UsageReader {
    type Item = Result<UsageChunk, UsageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let chunk = self.read_chunk();
        self.finished |= chunk.is_err();
        chunk.transpose()
    }
}

impl std::iter::FusedIterator for UsageReader {}

/// Why a row is refused.
struct Fault {
    code: Code,
    reason: String,
}

impl Fault {
    fn invalid(reason: impl Into<String>) -> Self {
        Self { code: Code::ParameterInvalid, reason: reason.into() }
    }
}

fn too_long() -> String {
    format!("a row of more than {USAGE_ROW_BYTES_MAX} bytes")
}

impl UsageChunk {
    fn empty(bindings: Option<&Bindings>) -> Self {
        let column =
            |of: fn(&Bindings) -> &Binding| TextColumn::of(bindings.map_or(&Binding::Row, of));
        Self {
            event_names: column(|bindings| &bindings.event_name),
            customers: column(|bindings| &bindings.customer),
            times: Vec::new(),
            values: column(|bindings| &bindings.value),
            identifiers: column(|bindings| &bindings.identifier),
            lines: Vec::new(),
            refused: Vec::new(),
            bytes_read: 0,
        }
    }

    /// Adds a row, all of it or nothing.
    fn push<'r>(
        &mut self,
        bindings: &'r Bindings,
        identifiers: &mut RowIdentifiers,
        bytes: &[u8],
        line: u64,
        field: impl Fn(usize) -> Result<&'r str, Fault>,
    ) -> Result<(), Fault> {
        let text = |binding: &'r Binding| match binding {
            Binding::Constant(text) => Ok(&**text),
            Binding::Column(index) => field(*index),
            Binding::Row => Ok(""),
        };
        let event_name = text(&bindings.event_name)?;
        let customer = text(&bindings.customer)?;
        let time = text(&bindings.timestamp)?;
        let time = parse_event_time(time).map_err(|error| Fault::invalid(error.to_string()))?;
        let value = text(&bindings.value)?;
        match &bindings.identifier {
            Binding::Row => self.identifiers.push(&identifiers.derive(bytes)),
            given => match text(given)? {
                "" => return Err(Fault::invalid("an empty identifier")),
                identifier => self.identifiers.push(identifier),
            },
        }
        self.event_names.push(event_name);
        self.customers.push(customer);
        self.times.push(time);
        self.values.push(value);
        self.lines.push(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
