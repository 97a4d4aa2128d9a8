//! YAML, as far as it has the meaning of JSON.

use super::{Bounds, Key, Node, SyntaxError, Value, is_number};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};
use std::collections::BTreeSet;

/// Reads one document; an empty text is null.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    refuse_control_characters(text)?;
    let mut builder = Builder::new();
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0_usize;
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| scan_error(&error))?;
        let place = span.start;
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) if documents == 0 => documents = 1,
            Event::DocumentStart(_) => {
                return Err(fault(place, "a second document; one file holds one"));
            }
            Event::Alias(_) => return Err(fault(place, "aliases are not supported")),
            Event::Scalar(.., anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag)
                if anchor != 0 || tag.is_some() =>
            {
                return Err(fault(place, "anchors and tags are not supported"));
            }
            Event::Scalar(text, style, ..) => builder.scalar(&text, style, span)?,
            Event::SequenceStart(..) => builder.open(Frame::List(Vec::new()), place)?,
            Event::MappingStart(..) => builder.open(Frame::map(), place)?,
            Event::SequenceEnd | Event::MappingEnd => builder.close(place)?,
        }
    }
    Ok(builder.root.unwrap_or(Node { value: Value::Null, line: 1 }))
}

/// The scanner takes a NUL for the end of the text, so that all behind it would be lost in
/// silence; YAML allows none of these characters anyway.
fn refuse_control_characters(text: &str) -> Result<(), SyntaxError> {
    let refused = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    for (row, line) in text.split('\n').enumerate() {
        if let Some(column) = line.chars().position(refused) {
            let reason = "a control character".to_owned();
            let (line, column) = (row.saturating_add(1), column.saturating_add(1));
            return Err(SyntaxError { line, column, reason });
        }
    }
    Ok(())
}

fn fault(place: Marker, reason: impl Into<String>) -> SyntaxError {
    SyntaxError { line: place.line(), column: place.col().saturating_add(1), reason: reason.into() }
}

fn scan_error(error: &ScanError) -> SyntaxError {
    fault(*error.marker(), error.info())
}

/// A list or map that is still open.
enum Frame {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, names: BTreeSet<String>, pending: Option<Key> },
}

impl Frame {
    fn map() -> Self {
        Self::Map { entries: Vec::new(), names: BTreeSet::new(), pending: None }
    }
}

struct Builder {
    open: Vec<(Frame, usize)>,
    root: Option<Node>,
    bounds: Bounds,
}

impl Builder {
    fn new() -> Self {
        Self { open: Vec::new(), root: None, bounds: Bounds::new() }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Result<(), SyntaxError> {
        let place = span.start;
        if let Some((Frame::Map { names, pending: pending @ None, .. }, _)) = self.open.last_mut() {
            let plain = style == ScalarStyle::Plain;
            if plain && (text.is_empty() || text == "~") {
                return Err(fault(place, "a key without a name"));
            }
            if plain && text == "<<" {
                return Err(fault(place, "merge keys are not supported"));
            }
            if !names.insert(text.to_owned()) {
                return Err(fault(place, format!("the key {text:?} stands twice in one map")));
            }
            *pending = Some(Key { name: text.to_owned(), line: place.line() });
            return Ok(());
        }
        let value = match style {
            ScalarStyle::Plain => plain_value(text),
            _ => Value::String(text.to_owned()),
        };
        self.place(Node { value, line: place.line() }, place)
    }

    fn open(&mut self, frame: Frame, place: Marker) -> Result<(), SyntaxError> {
        if let Some((Frame::Map { pending: None, .. }, _)) = self.open.last() {
            return Err(fault(place, "a key that is not a scalar"));
        }
        let depth = self.open.len().saturating_add(1);
        Bounds::nest(depth).map_err(|reason| fault(place, reason))?;
        self.open.push((frame, place.line()));
        Ok(())
    }

    fn close(&mut self, place: Marker) -> Result<(), SyntaxError> {
        let node = match self.open.pop() {
            Some((Frame::List(elements), line)) => Node { value: Value::List(elements), line },
            Some((Frame::Map { entries, .. }, line)) => Node { value: Value::Map(entries), line },
            None => return Err(fault(place, "an end without a beginning")),
        };
        self.place(node, place)
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node, place: Marker) -> Result<(), SyntaxError> {
        self.bounds.admit().map_err(|reason| fault(place, reason))?;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((Frame::List(elements), _)) => elements.push(node),
            Some((Frame::Map { entries, pending, .. }, _)) => match pending.take() {
                Some(key) => entries.push((key, node)),
                None => return Err(fault(place, "a key that is not a scalar")),
            },
        }
        Ok(())
    }
}

fn plain_value(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::String(text.to_owned()),
    }
}
