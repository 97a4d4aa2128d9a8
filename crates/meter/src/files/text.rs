//! Rows of CSV and lines of JSON.

use super::batch::{
    Events, Fields, FileBatch, Given, Headers, RefusedRow, RowPlace, Rows, Standing,
};
use super::identifier::RowIdentifiers;
use super::lines::{Line, Lines, trim_ending};
use super::{FileError, FileFormat, FilePosition, Input, csv, json, time_in, too_long};
use crate::mapping::{Place, Places};
use crate::{Field, Mapping};
use counterfoil_core::{Code, limits};
use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads rows of text.
pub(super) struct TextReader {
    path: Arc<Path>,
    format: FileFormat,
    mapping: Mapping,
    lines: Lines<Box<dyn Read + Send>>,
    bytes: Arc<AtomicU64>,
    /// Known once the headers are.
    bound: Option<Bound>,
    identifiers: RowIdentifiers,
    pub(super) stop: bool,
}

impl fmt::Debug for TextReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TextReader");
        shown.field("path", &self.path).field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// The fields of events, found.
#[derive(Debug)]
struct Bound {
    places: Places,
    /// The headers of all columns of CSV, and of those columns of JSON that are read.
    headers: Vec<String>,
    names: Arc<Headers>,
}

/// Why a row is refused.
pub(super) struct Fault {
    column: Option<String>,
    code: Code,
    reason: String,
}

impl Fault {
    fn invalid(reason: impl Into<String>) -> Self {
        Self { column: None, code: Code::ParameterInvalid, reason: reason.into() }
    }
}

/// A reader at a position.
pub(super) fn reader(
    path: &Path,
    format: FileFormat,
    input: Input,
    mapping: &Mapping,
    position: FilePosition,
) -> Result<Box<TextReader>, FileError> {
    let mut reader = Box::new(TextReader {
        path: path.into(),
        format,
        mapping: mapping.clone(),
        lines: Lines::new(input.from),
        bytes: input.bytes,
        bound: None,
        identifiers: RowIdentifiers::default(),
        stop: false,
    });
    if format == FileFormat::Csv {
        reader.read_headers()?;
    }
    reader.skip_to(position)?;
    Ok(reader)
}

impl TextReader {
    fn next_line(&mut self) -> Result<Option<Line>, FileError> {
        let io = |error| FileError::Io { path: self.path.to_path_buf(), error };
        self.lines.next().map_err(io)
    }

    fn read_headers(&mut self) -> Result<(), FileError> {
        let line = loop {
            match self.next_line()? {
                Some(line) if line.row().trim_ascii().is_empty() => {}
                Some(line) => break line,
                None => return Ok(()),
            }
        };
        let fault = |reason: String| FileError::Header { path: self.path.to_path_buf(), reason };
        if line.too_long {
            return Err(fault(too_long()));
        }
        let row = std::str::from_utf8(line.row()).map_err(|_| fault("not UTF-8".into()))?;
        let headers = csv::fields(row).map_err(|error| fault(error.to_string()))?;
        self.bind(headers.into_iter().map(Cow::into_owned).collect())
    }

    fn bind(&mut self, headers: Vec<String>) -> Result<(), FileError> {
        let names: Vec<&str> = headers.iter().map(String::as_str).collect();
        let fault =
            |error| FileError::Mapping { path: self.path.to_path_buf(), error: Box::new(error) };
        let mut places = self.mapping.find(&names).map_err(fault)?;
        // Only with an identifier does a file that is fed twice count once.
        if self.mapping.identifier == Field::Usual && places.identifier == Place::Absent {
            places.identifier = Place::Row;
        }
        let names = Arc::new(Headers::of(&places, &names));
        self.bound = Some(Bound { places, headers, names });
        Ok(())
    }

    /// Passes over the rows up to a position, which has to be there.
    fn skip_to(&mut self, position: FilePosition) -> Result<(), FileError> {
        while self.lines.position() < position.0 {
            let made = self.bound.as_ref().map(|bound| bound.places.identifier == Place::Row);
            let Some(line) = self.next_line()? else {
                let end = FilePosition(self.lines.position());
                return Err(FileError::Position { path: self.path.to_path_buf(), position, end });
            };
            // Headers are still to be found, or equal rows to be counted.
            if made != Some(false) && !line.row().trim_ascii().is_empty() {
                let mut rows = None;
                let _ = self.take(line, &mut rows)?;
            }
        }
        Ok(())
    }

    /// Reads until the batch is full or the file ends; `None` where there was nothing to read.
    pub(super) fn read_batch(
        &mut self,
        bad: &mut Option<Box<RefusedRow>>,
    ) -> Result<Option<FileBatch>, FileError> {
        let (mut rows, mut lines, mut refused) = (None::<Rows>, Vec::new(), Vec::new());
        let mut end = FilePosition(self.lines.position());
        let mut read = 0_usize;
        while read < limits::USAGE_BATCH_ROWS_MAX {
            let Some(line) = self.next_line()? else { break };
            if line.row().trim_ascii().is_empty() {
                continue;
            }
            read = read.saturating_add(1);
            let number = line.number;
            match self.take(line, &mut rows)? {
                Ok(()) => lines.push(number),
                Err(Fault { column, code, reason }) => {
                    let (file, place) = (self.path.to_path_buf(), RowPlace::Line(number));
                    let row = RefusedRow { file, place, column, code, reason };
                    if self.stop {
                        *bad = Some(Box::new(row));
                        read = read.saturating_sub(1);
                        break;
                    }
                    refused.push(row);
                }
            }
            end = FilePosition(self.lines.position());
        }
        if read == 0 {
            return Ok(None);
        }
        Ok(Some(FileBatch {
            file: Arc::clone(&self.path),
            events: Events::Rows(rows.unwrap_or_default()),
            standing: Standing::Lines(lines),
            headers: self.bound.as_ref().map(|bound| Arc::clone(&bound.names)).unwrap_or_default(),
            refused,
            bytes_read: self.bytes_read(),
            end,
        }))
    }

    /// Bytes of the file behind which reading is: of plain text those of its lines, and of
    /// compressed text those that were asked for.
    fn bytes_read(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed).min(self.lines.bytes_read())
    }

    fn take(
        &mut self,
        line: Line,
        rows: &mut Option<Rows>,
    ) -> Result<Result<(), Fault>, FileError> {
        match self.format {
            FileFormat::Ndjson => self.take_json(&line, rows),
            _ => self.take_csv(line, rows),
        }
    }

    /// Takes the row that begins with a line, and the lines that belong to it.
    fn take_csv(
        &mut self,
        first: Line,
        rows: &mut Option<Rows>,
    ) -> Result<Result<(), Fault>, FileError> {
        let mut bytes = Cow::Borrowed(first.row());
        let mut more = Vec::new();
        let mut open = false;
        if first.has_open_quote() && !first.too_long {
            let mut whole = first.bytes.clone();
            open = true;
            while open && whole.len() <= limits::USAGE_ROW_BYTES_MAX {
                let Some(line) = self.next_line()? else { break };
                open = !line.has_open_quote();
                whole.extend_from_slice(&line.bytes);
                more.push(line);
            }
            trim_ending(&mut whole);
            bytes = Cow::Owned(whole);
        }
        let taken = if first.too_long || (!open && bytes.len() > limits::USAGE_ROW_BYTES_MAX) {
            Err(Fault::invalid(too_long()))
        } else {
            self.take_csv_row(&bytes, rows)
        };
        if taken.is_err() {
            self.lines.put_back(more);
        }
        Ok(taken)
    }

    fn take_csv_row(&mut self, bytes: &[u8], rows: &mut Option<Rows>) -> Result<(), Fault> {
        let row = std::str::from_utf8(bytes).map_err(|_| Fault::invalid("not UTF-8"))?;
        let fields = csv::fields(row).map_err(|error| Fault::invalid(error.to_string()))?;
        let Some(bound) = &self.bound else {
            return Err(Fault::invalid("a row before its headers"));
        };
        if fields.len() != bound.headers.len() {
            let (got, expected) = (fields.len(), bound.headers.len());
            return Err(Fault::invalid(format!("{got} fields under {expected} headers")));
        }
        let field = |number: usize| Ok(fields.get(number).map(|field| Cow::Borrowed(&**field)));
        push(bound, &self.mapping, &mut self.identifiers, bytes, rows, &field)
    }

    fn take_json(
        &mut self,
        line: &Line,
        rows: &mut Option<Rows>,
    ) -> Result<Result<(), Fault>, FileError> {
        if line.too_long {
            return Ok(Err(Fault::invalid(too_long())));
        }
        let bytes = line.row();
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Ok(Err(Fault::invalid("not UTF-8")));
        };
        if self.bound.is_none() {
            match json::keys(text) {
                Ok(keys) => self.bind(keys)?,
                Err(reason) => return Ok(Err(Fault::invalid(reason))),
            }
        }
        let Some(bound) = &self.bound else {
            return Ok(Err(Fault::invalid("a row before its headers")));
        };
        let values = match json::values(text, &bound.headers) {
            Ok(values) => values,
            Err(reason) => return Ok(Err(Fault::invalid(reason))),
        };
        let field = |number: usize| match values.get(number) {
            Some(Some(json::Found::Text(text))) => Ok(Some(Cow::Borrowed(&**text))),
            Some(Some(json::Found::Other)) => Err(Fault::invalid("neither a string nor a number")),
            Some(None) | None => Ok(None),
        };
        Ok(push(bound, &self.mapping, &mut self.identifiers, bytes, rows, &field))
    }
}

type Found<'r> = Result<Option<Cow<'r, str>>, Fault>;

/// Adds a row, all of it or nothing. `field` is the text of a column, none where the row has none.
fn push<'r>(
    bound: &'r Bound,
    mapping: &Mapping,
    identifiers: &mut RowIdentifiers,
    bytes: &[u8],
    rows: &mut Option<Rows>,
    field: &dyn Fn(usize) -> Found<'r>,
) -> Result<(), Fault> {
    let header = |number: usize| bound.headers.get(number).cloned();
    let at = |number: usize, fault: Fault| Fault { column: header(number), ..fault };
    let text = |place: &'r Place| match place {
        Place::Constant(text) => Ok(Cow::Borrowed(text.as_str())),
        Place::Column(number) => match field(*number) {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err(Fault {
                column: header(*number),
                code: Code::ParameterMissing,
                reason: "it is required".to_owned(),
            }),
            Err(fault) => Err(at(*number, fault)),
        },
        Place::Absent | Place::Row => Ok(Cow::Borrowed("")),
    };
    let blame = |place: &Place, reason: String| match place {
        Place::Column(number) => at(*number, Fault::invalid(reason)),
        _ => Fault::invalid(reason),
    };
    let places = &bound.places;
    let event_name = text(&places.event_name)?;
    let customer = text(&places.customer)?;
    let when = match &places.timestamp {
        Place::Absent | Place::Row => None,
        place => {
            let read = time_in(&text(place)?, mapping.time_unit);
            Some(read.map_err(|error| blame(place, error.to_string()))?)
        }
    };
    let value = text(&places.value)?;
    let mut dimensions = Vec::new();
    for &number in &places.dimensions {
        let found = field(number).map_err(|fault| at(number, fault))?;
        dimensions.push(found.unwrap_or_default());
    }
    let given;
    let identifier = match &places.identifier {
        // Last, so that a row is counted among equal ones only where it is taken.
        Place::Row => Given::Number(identifiers.derive(bytes)),
        place => {
            given = text(place)?;
            if given.is_empty() && *place != Place::Absent {
                return Err(blame(place, "an empty identifier".to_owned()));
            }
            Given::Text(&given)
        }
    };
    let rows = rows.get_or_insert_with(|| Rows::new(mapping, places));
    let fields = Fields {
        event_name: &event_name,
        identifier,
        customer: &customer,
        time: when,
        value: &value,
    };
    rows.push(&fields, dimensions.iter().map(|value| &**value));
    Ok(())
}
