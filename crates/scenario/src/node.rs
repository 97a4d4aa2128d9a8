//! A file as a tree: what YAML and JSON have in common, with the line of every value.

mod json;
mod yaml;

use std::fmt;
use std::path::Path;

/// A value and where it stands.
///
/// Two nodes are equal where their values are, wherever they stand.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// The line it begins on, from 1.
    pub line: usize,
}

/// A value of a scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing: `null`, `~`, or no value at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number in the grammar of JSON, as it was written. It never becomes a float.
    Number(String),
    /// A text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the file. No key stands in it twice.
    Map(Vec<(Key, Node)>),
}

/// The key of an entry and where it stands. Keys are equal where their names are.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// The line it stands on, from 1.
    pub line: usize,
}

/// A text that is not a tree, or a larger or deeper one than is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, and the limit where there is one.
    pub reason: String,
}

/// The grammar of a scenario file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The part of YAML 1.2 that has the meaning of JSON: no anchors, aliases, tags or merge keys,
    /// and one document. A plain scalar is a number where JSON says so, `null`, `~`, `true` and
    /// `false` are what they say, and every other one is a string; so is every quoted one.
    Yaml,
    /// JSON (RFC 8259).
    Json,
}

impl Format {
    /// JSON for a path that ends in `.json`, YAML for any other.
    #[must_use]
    pub fn of_path(path: &Path) -> Self {
        let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        if is_json { Self::Json } else { Self::Yaml }
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Node {}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

impl Node {
    /// Reads a text. A byte order mark at its beginning is no part of it.
    ///
    /// # Errors
    /// [`SyntaxError`] with the place of the first fault; a key that stands twice in one map, and
    /// a text beyond the bounds of [`limits`](crate::limits), are faults too.
    pub fn parse(text: &str, format: Format) -> Result<Self, SyntaxError> {
        match format {
            Format::Yaml => Self::parse_yaml(text),
            Format::Json => Self::parse_json(text),
        }
    }

    /// [`Node::parse`] of [`Format::Yaml`].
    ///
    /// # Errors
    /// As [`Node::parse`].
    pub fn parse_yaml(text: &str) -> Result<Self, SyntaxError> {
        yaml::parse(within_bounds(text)?)
    }

    /// [`Node::parse`] of [`Format::Json`].
    ///
    /// # Errors
    /// As [`Node::parse`].
    pub fn parse_json(text: &str) -> Result<Self, SyntaxError> {
        json::parse(within_bounds(text)?)
    }

    /// The value of a key, where this is a map that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entries()?.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The entries of a map.
    #[must_use]
    pub fn entries(&self) -> Option<&[(Key, Self)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The elements of a list.
    #[must_use]
    pub fn elements(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value for an error message: `the number 5`, `a list`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "null".into(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(text) => format!("the number {}", excerpt(text, VALUE_CHARS_SHOWN)),
            Value::String(text) => format!("the string {:?}", excerpt(text, VALUE_CHARS_SHOWN)),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
        }
    }

    /// The same tree with its strings replaced: `replace` gives the new text, or `None` to keep
    /// the old one. Keys are kept.
    ///
    /// # Errors
    /// The first error of `replace`, in the order of the file.
    pub fn map_strings<E>(
        &self,
        replace: &mut impl FnMut(&str) -> Result<Option<String>, E>,
    ) -> Result<Self, E> {
        let value = match &self.value {
            Value::String(text) => Value::String(replace(text)?.unwrap_or_else(|| text.clone())),
            Value::List(elements) => Value::List(
                elements.iter().map(|node| node.map_strings(replace)).collect::<Result<_, E>>()?,
            ),
            Value::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, node)| Ok((key.clone(), node.map_strings(replace)?)))
                    .collect::<Result<_, E>>()?,
            ),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other.clone(),
        };
        Ok(Self { value, line: self.line })
    }
}

/// Characters of a value that an error message shows.
const VALUE_CHARS_SHOWN: usize = 60;

/// The beginning of a text, short enough for a message.
pub(crate) fn excerpt(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// One line in the flow style of YAML: `{customer: cus_1, total: 7700}`.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Null => f.write_str("null"),
            Value::Bool(flag) => write!(f, "{flag}"),
            Value::Number(text) => f.write_str(text),
            Value::String(text) => write!(f, "{text:?}"),
            Value::List(elements) => {
                f.write_str("[")?;
                for (i, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Value::Map(entries) => {
                f.write_str("{")?;
                for (i, (key, node)) in entries.iter().enumerate() {
                    write!(f, "{}{}: {node}", if i == 0 { "" } else { ", " }, key.name)?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Whether a text is a number in the grammar of JSON.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|part| digits(part.strip_prefix(['+', '-']).unwrap_or(part)))
}

fn within_bounds(text: &str) -> Result<&str, SyntaxError> {
    if text.len() > crate::limits::SCENARIO_BYTES_MAX {
        let reason =
            format!("{} bytes (the limit is {})", text.len(), crate::limits::SCENARIO_BYTES_MAX);
        return Err(SyntaxError { line: 1, column: 1, reason });
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// What both grammars hold their trees to.
struct Bounds {
    nodes: usize,
}

impl Bounds {
    fn new() -> Self {
        Self { nodes: 0 }
    }

    /// Takes one more value into account.
    fn admit(&mut self) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > crate::limits::SCENARIO_NODES_MAX {
            return Err(format!("more than {} values", crate::limits::SCENARIO_NODES_MAX));
        }
        Ok(())
    }

    /// Refuses a list or map that is the `depth`th around another.
    fn nest(depth: usize) -> Result<(), String> {
        if depth > crate::limits::DEPTH_MAX {
            return Err(format!("nested more than {} deep", crate::limits::DEPTH_MAX));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
