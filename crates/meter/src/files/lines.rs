//! Lines of a file, none longer than a bound.

use counterfoil_core::limits::USAGE_ROW_BYTES_MAX;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// A line of a file.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Its bytes with its ending; only the first of them where it is too long.
    pub(super) bytes: Vec<u8>,
    /// Whether it has more than [`USAGE_ROW_BYTES_MAX`] bytes.
    pub(super) too_long: bool,
}

impl Line {
    /// Its bytes without its ending.
    pub(super) fn row(&self) -> &[u8] {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }

    /// Whether a CSV row that was closed before this line is open behind it, and the reverse.
    pub(super) fn has_open_quote(&self) -> bool {
        self.bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 1
    }
}

/// Takes the line ending off.
pub(super) fn trim_ending(bytes: &mut Vec<u8>) {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
}

/// Reads lines, and takes lines back that are to be read again.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    returned: VecDeque<Line>,
    number: u64,
    bytes_read: u64,
}

impl<R> fmt::Debug for Lines<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("line", &self.number).finish_non_exhaustive()
    }
}

const BUFFER_BYTES: usize = 128 * 1024;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        Self { input, returned: VecDeque::new(), number: 0, bytes_read: 0 }
    }

    /// Bytes taken from the file so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// How many lines are behind it.
    pub(super) fn position(&self) -> u64 {
        let next = self.returned.front().map(|line| line.number.saturating_sub(1));
        next.unwrap_or(self.number)
    }

    /// The next line, or `None` at the end. The byte order mark is no part of the first.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.returned.pop_front() {
            return Ok(Some(line));
        }
        let mut bytes = Vec::new();
        let bound = u64::try_from(USAGE_ROW_BYTES_MAX).unwrap_or(u64::MAX);
        // Room for a row at the bound and its ending, in either form.
        self.input.by_ref().take(bound.saturating_add(2)).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.count(bytes.len());
        self.number = self.number.saturating_add(1);
        if !bytes.ends_with(b"\n") {
            self.skip_to_next()?;
        }
        if self.number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        let mut line = Line { number: self.number, bytes, too_long: false };
        line.too_long = line.row().len() > USAGE_ROW_BYTES_MAX;
        Ok(Some(line))
    }

    /// Takes back lines that came one after the other, the last of them most recently.
    pub(super) fn put_back(&mut self, lines: Vec<Line>) {
        for line in lines.into_iter().rev() {
            self.returned.push_front(line);
        }
    }

    fn count(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes_read = self.bytes_read.saturating_add(bytes);
    }

    fn skip_to_next(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let (skipped, found) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end.saturating_add(1), true),
                None => (buffer.len(), false),
            };
            self.input.consume(skipped);
            self.count(skipped);
            if found || skipped == 0 {
                return Ok(());
            }
        }
    }
}
