//! Expectations: a subset match against a report.

mod matching;
mod number;

use crate::node::{Node, Value, excerpt};
use matching::Pairing;
use serde_json::Value as Json;
use std::fmt;

/// Compares a report with what is expected of it.
///
/// A map is matched by the fields it names, and a field that is absent is null. Each element of a
/// list needs an element of its own, in any order; `[]` means empty. `{ exactly: [ … ] }` means
/// these elements and no others. Numbers and decimal strings are compared as numbers, exactly, and
/// an RFC 3339 string equals the Unix seconds of its instant.
///
/// # Errors
/// [`Mismatch`] with every difference outside lists and, for a list, the first elements that
/// found no partner.
pub fn match_subset(expected: &Node, actual: &Json) -> Result<(), Mismatch> {
    if matches(expected, actual) {
        return Ok(());
    }
    let mut differences = Vec::new();
    collect(expected, actual, "", &mut differences);
    Err(Mismatch { differences })
}

/// What a report has other than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The differences in the order of the expectation; never empty.
    pub differences: Vec<Difference>,
}

/// One difference, with both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its path in the expectation: `invoices[0].total`; empty for the whole.
    pub path: String,
    /// The line of what was expected, from 1.
    pub line: usize,
    /// What was expected.
    pub expected: String,
    /// What the report has instead; for an element of a list, what kept the nearest elements from
    /// being it, a line each.
    pub actual: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the report" } else { &self.path };
        writeln!(f, "line {}: {path}", self.line)?;
        writeln!(f, "  expected: {}", self.expected)?;
        write!(f, "  actual:   {}", self.actual.replace('\n', "\n            "))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, difference) in self.differences.iter().enumerate() {
            write!(f, "{}{difference}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Mismatch {}

/// How many elements without a partner a list shows.
const LONELY_SHOWN_MAX: usize = 20;
/// How many of the nearest elements a difference shows.
const NEAREST_SHOWN_MAX: usize = 3;
/// How many elements are looked at for the nearest.
const NEAREST_SEARCHED_MAX: usize = 1_000;
/// Characters of a value in a difference.
const SHOWN_CHARS_MAX: usize = 400;

fn matches(expected: &Node, actual: &Json) -> bool {
    match (&expected.value, actual) {
        (Value::Map(fields), _) if exactly(fields).is_some() => {
            match (exactly(fields).map(|list| &list.value), actual) {
                (Some(Value::List(elements)), Json::Array(items)) => {
                    elements.len() == items.len() && pair(elements, items).is_perfect()
                }
                _ => false,
            }
        }
        (Value::Map(fields), Json::Object(object)) => fields
            .iter()
            .all(|(key, field)| matches(field, object.get(&key.name).unwrap_or(&Json::Null))),
        (Value::List(elements), Json::Array(items)) if elements.is_empty() => items.is_empty(),
        (Value::List(elements), Json::Array(items)) => {
            elements.len() <= items.len() && pair(elements, items).is_perfect()
        }
        _ => scalars_match(&expected.value, actual),
    }
}

/// The list under `exactly`, where that is the only key.
fn exactly(fields: &[(crate::node::Key, Node)]) -> Option<&Node> {
    match fields {
        [(key, list)] if key.name == "exactly" => Some(list),
        _ => None,
    }
}

fn pair(elements: &[Node], items: &[Json]) -> Pairing {
    let fits = |i: usize, j: usize| match (elements.get(i), items.get(j)) {
        (Some(expected), Some(actual)) => matches(expected, actual),
        _ => false,
    };
    matching::pair(elements.len(), items.len(), fits)
}

fn scalars_match(expected: &Value, actual: &Json) -> bool {
    match (expected, actual) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(left), Json::Bool(right)) => left == right,
        (Value::Number(left), Json::Number(right)) => number::equal(left, &right.to_string()),
        (Value::Number(left), Json::String(right)) => number::equal(left, right),
        (Value::String(left), Json::String(right)) => left == right || number::equal(left, right),
        (Value::String(left), Json::Number(right)) => {
            let right = right.to_string();
            number::equal(left, &right) || number::is_instant(left, &right)
        }
        _ => false,
    }
}

/// Adds the differences of two values that do not match; nothing where they do.
fn collect(expected: &Node, actual: &Json, path: &str, into: &mut Vec<Difference>) {
    match (&expected.value, actual) {
        (Value::Map(fields), _) if exactly(fields).is_some() => {
            match (exactly(fields).map(|list| &list.value), actual) {
                (Some(Value::List(elements)), Json::Array(items)) => {
                    collect_list(expected, elements, items, true, path, into);
                }
                _ => into.push(difference(expected, actual, path)),
            }
        }
        (Value::Map(fields), Json::Object(object)) => {
            for (key, field) in fields {
                let path = join(path, &key.name);
                match object.get(&key.name) {
                    Some(actual) => collect(field, actual, &path, into),
                    None if field.value == Value::Null => {}
                    None => into.push(Difference {
                        actual: "there is no such field".into(),
                        ..difference(field, &Json::Null, &path)
                    }),
                }
            }
        }
        (Value::List(elements), Json::Array(items)) => {
            collect_list(expected, elements, items, elements.is_empty(), path, into);
        }
        _ if scalars_match(&expected.value, actual) => {}
        _ => into.push(difference(expected, actual, path)),
    }
}

fn collect_list(
    expected: &Node,
    elements: &[Node],
    items: &[Json],
    complete: bool,
    path: &str,
    into: &mut Vec<Difference>,
) {
    let pairing = pair(elements, items);
    for index in pairing.left_alone().take(LONELY_SHOWN_MAX) {
        if let Some(element) = elements.get(index) {
            into.push(Difference {
                path: format!("{path}[{index}]"),
                line: element.line,
                expected: shown(element),
                actual: nearest(element, items, &pairing),
            });
        }
    }
    if complete {
        let surplus: Vec<_> = pairing.right_alone().filter_map(|j| items.get(j)).collect();
        if !surplus.is_empty() {
            let first: Vec<_> = surplus.iter().take(NEAREST_SHOWN_MAX).map(shown).collect();
            let more = match surplus.len().saturating_sub(first.len()) {
                0 => String::new(),
                more => format!("\nand {more} more"),
            };
            into.push(Difference {
                path: path.to_owned(),
                line: expected.line,
                expected: format!("{} elements and no others", elements.len()),
                actual: format!("{} besides:\n{}{more}", surplus.len(), first.join("\n")),
            });
        }
    }
}

/// Why the elements that come nearest are not the expected one.
fn nearest(expected: &Node, items: &[Json], pairing: &Pairing) -> String {
    let mut ranked: Vec<(usize, usize, Vec<Difference>)> = items
        .iter()
        .enumerate()
        .take(NEAREST_SEARCHED_MAX)
        .map(|(index, item)| {
            let mut differences = Vec::new();
            collect(expected, item, "", &mut differences);
            (differences.len(), index, differences)
        })
        .collect();
    ranked.sort_by_key(|(count, index, _)| (*count, *index));
    let mut lines = vec![match items.len() {
        0 => "the list is empty".to_owned(),
        1 => "no match in 1 element".to_owned(),
        count => format!("no match in {count} elements"),
    }];
    for (_, index, differences) in ranked.into_iter().take(NEAREST_SHOWN_MAX) {
        let reasons: Vec<_> = differences.iter().map(brief).collect();
        let reason = match (reasons.is_empty(), pairing.partner_of_right(index)) {
            (true, Some(other)) => format!("is taken by expected element {other}"),
            (true, None) => "matches".to_owned(),
            (false, _) => reasons.join("; "),
        };
        lines.push(format!("[{index}] {reason}"));
    }
    lines.join("\n")
}

/// A difference inside a candidate, on one line.
fn brief(difference: &Difference) -> String {
    let actual = difference.actual.lines().next().unwrap_or_default();
    let subject =
        if difference.path.is_empty() { String::new() } else { format!("{}: ", difference.path) };
    format!("{subject}expected {}, actual {actual}", difference.expected)
}

fn difference(expected: &Node, actual: &Json, path: &str) -> Difference {
    Difference {
        path: path.to_owned(),
        line: expected.line,
        expected: shown(expected),
        actual: shown(actual),
    }
}

fn shown(value: &impl fmt::Display) -> String {
    excerpt(&value.to_string(), SHOWN_CHARS_MAX)
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

#[cfg(test)]
mod tests;
