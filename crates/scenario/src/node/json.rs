//! JSON (RFC 8259), with the line of every value and numbers as they were written.

use super::{Bounds, Key, Node, SyntaxError, VALUE_CHARS_SHOWN, Value, excerpt, is_number};
use std::collections::BTreeSet;

/// Reads one value with nothing but white space around it.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut reader = Reader { text, at: 0, line: 1, line_start: 0, bounds: Bounds::new() };
    reader.skip_white_space();
    let node = reader.value(0)?;
    reader.skip_white_space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.fault("something after the end of the value")),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// The byte that is read next; always at a character's beginning.
    at: usize,
    line: usize,
    line_start: usize,
    bounds: Bounds,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn fault(&self, reason: impl Into<String>) -> SyntaxError {
        let before = self.text.get(self.line_start..self.at).unwrap_or_default();
        let column = before.chars().count().saturating_add(1);
        SyntaxError { line: self.line, column, reason: reason.into() }
    }

    fn skip_white_space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            self.advance(1);
            if byte == b'\n' {
                self.line = self.line.saturating_add(1);
                self.line_start = self.at;
            }
        }
    }

    /// Skips white space, then takes `byte` if it is next.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_white_space();
        let found = self.peek() == Some(byte);
        if found {
            self.advance(1);
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        self.bounds.admit().map_err(|reason| self.fault(reason))?;
        let line = self.line;
        let inside = depth.saturating_add(1);
        let value = match self.peek() {
            Some(b'{') => self.map(inside)?,
            Some(b'[') => self.list(inside)?,
            Some(b'"') => Value::String(self.string()?),
            Some(_) => self.word()?,
            None => return Err(self.fault("the text ends where a value should stand")),
        };
        Ok(Node { value, line })
    }

    fn list(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        Bounds::nest(depth).map_err(|reason| self.fault(reason))?;
        self.advance(1);
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(Value::List(elements));
        }
        loop {
            self.skip_white_space();
            elements.push(self.value(depth)?);
            if self.take(b']') {
                return Ok(Value::List(elements));
            }
            if !self.take(b',') {
                return Err(self.fault("expected `,` or `]`"));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        Bounds::nest(depth).map_err(|reason| self.fault(reason))?;
        self.advance(1);
        let mut entries = Vec::new();
        let mut names = BTreeSet::new();
        if self.take(b'}') {
            return Ok(Value::Map(entries));
        }
        loop {
            self.skip_white_space();
            if self.peek() != Some(b'"') {
                return Err(self.fault("expected a key in double quotes"));
            }
            let at = self.at;
            let key = Key { line: self.line, name: self.string()? };
            if !names.insert(key.name.clone()) {
                let reason = format!("the key {:?} stands twice in one map", key.name);
                self.at = at;
                return Err(self.fault(reason));
            }
            if !self.take(b':') {
                return Err(self.fault("expected `:`"));
            }
            self.skip_white_space();
            entries.push((key, self.value(depth)?));
            if self.take(b'}') {
                return Ok(Value::Map(entries));
            }
            if !self.take(b',') {
                return Err(self.fault("expected `,` or `}`"));
            }
        }
    }

    /// `null`, `true`, `false` or a number.
    fn word(&mut self) -> Result<Value, SyntaxError> {
        let rest = self.rest();
        let ends = |c: char| {
            matches!(c, ',' | ']' | '}' | ':' | '"' | '[' | '{') || c.is_ascii_whitespace()
        };
        let word = rest.split(ends).next().unwrap_or_default();
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ if is_number(word) => Value::Number(word.to_owned()),
            _ => {
                let found = excerpt(if word.is_empty() { rest } else { word }, VALUE_CHARS_SHOWN);
                return Err(self.fault(format!("{found:?} is no JSON value")));
            }
        };
        self.advance(word.len());
        Ok(value)
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        self.advance(1);
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ');
            let Some(length) = plain else {
                return Err(self.fault("a string without its closing quote"));
            };
            text.push_str(rest.get(..length).unwrap_or_default());
            self.advance(length);
            match self.peek() {
                Some(b'"') => {
                    self.advance(1);
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                _ => return Err(self.fault("a control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let (length, character) = match self.rest().as_bytes().get(1) {
            Some(b'"') => (2, '"'),
            Some(b'\\') => (2, '\\'),
            Some(b'/') => (2, '/'),
            Some(b'b') => (2, '\u{8}'),
            Some(b'f') => (2, '\u{c}'),
            Some(b'n') => (2, '\n'),
            Some(b'r') => (2, '\r'),
            Some(b't') => (2, '\t'),
            Some(b'u') => unicode_escape(self.rest())
                .ok_or_else(|| self.fault("a \\u escape that names no character"))?,
            _ => return Err(self.fault("an unknown escape")),
        };
        self.advance(length);
        Ok(character)
    }
}

/// The character of the `\uXXXX` (or pair of them) at the beginning of a text, and its length
/// there in bytes.
fn unicode_escape(text: &str) -> Option<(usize, char)> {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
        if hexadecimal { u16::from_str_radix(digits, 16).ok() } else { None }
    };
    let first = unit(text)?;
    if let Ok(character) = char::try_from(u32::from(first)) {
        return Some((6, character));
    }
    let second = unit(text.get(6..)?)?;
    let character = char::decode_utf16([first, second]).next()?.ok()?;
    Some((12, character))
}
