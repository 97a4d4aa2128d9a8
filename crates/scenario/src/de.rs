//! From a tree to a type: a serde deserializer whose errors name the path and the line.

use crate::node::{Node, Value};
use crate::shape::Shape;
use counterfoil_core::Refusal;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer as _, EnumAccess, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use std::fmt;

/// Reads a value of type `T`.
///
/// Integers reach the type as integers and all other numbers as their text, so that an exact
/// decimal reads what was written and a float reads nothing. A number is not taken for a string,
/// nor a string for a number, but by types that read both. A field of a struct that the struct
/// does not have is an error, whether or not its type would ignore it.
///
/// # Errors
/// [`DecodeError`] for the first fault.
pub fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, DecodeError> {
    let root = Deserializer { node, path: Path::Root, shape: None };
    T::deserialize(root).map_err(|fault| fault.at(node, &Path::Root).error())
}

/// Why a tree is not a value of the type it was read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// The path of the value that was read: `items[0].price`; empty for the whole.
    pub path: String,
    /// The line that value begins on, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: DecodeProblem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeProblem {
    /// It lacks a field that is required.
    Missing {
        /// The field.
        field: String,
    },
    /// It has a field that its type does not.
    UnknownField {
        /// The field.
        field: String,
    },
    /// It is of the wrong type, or out of its range or form.
    Invalid {
        /// What is wrong, and the limit where there is one.
        reason: String,
    },
    /// It is an unknown currency code.
    InvalidCurrency {
        /// The code.
        code: String,
    },
}

impl DecodeError {
    /// The path of the parameter at fault, which for a missing or unknown field is that field.
    #[must_use]
    pub fn param(&self) -> String {
        match &self.problem {
            DecodeProblem::Missing { field } | DecodeProblem::UnknownField { field } => {
                join(&self.path, field)
            }
            DecodeProblem::Invalid { .. } | DecodeProblem::InvalidCurrency { .. } => {
                self.path.clone()
            }
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, Refusal::from(self.clone()))
    }
}

impl std::error::Error for DecodeError {}

/// The codes of rule 1.9: `parameter_missing`, `invalid_currency`, or `parameter_invalid`.
impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let param = error.param();
        match error.problem {
            DecodeProblem::Missing { .. } => Self::missing(param),
            DecodeProblem::UnknownField { .. } => Self::invalid(param, "there is no such field"),
            DecodeProblem::Invalid { reason } => Self::invalid(param, reason),
            DecodeProblem::InvalidCurrency { code } => Self::InvalidCurrency { code },
        }
    }
}

/// Where a value stands, as a chain towards the root that lives on the stack.
#[derive(Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Field(&'p Path<'p>, &'p str),
    Element(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Path::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// An error on its way out of the types; the first node that it passes gives it its place.
#[derive(Debug)]
pub(crate) struct Fault {
    problem: DecodeProblem,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    path: String,
    line: usize,
    node: *const Node,
}

impl Fault {
    fn new(problem: DecodeProblem) -> Self {
        Self { problem, place: None }
    }

    fn invalid(reason: impl Into<String>) -> Self {
        Self::new(DecodeProblem::Invalid { reason: reason.into() })
    }

    /// The fault at a node, unless it already has a place.
    pub(crate) fn at(mut self, node: &Node, path: &Path<'_>) -> Self {
        if self.place.is_none() {
            if let Some(text) = node.as_str() {
                self.recognise_currency(text);
            }
            self.place = Some(Place { path: path.to_string(), line: node.line, node });
        }
        self
    }

    /// A type can hand on its refusal only as text. The text of this one, for this very value,
    /// is known, which gives its code back.
    fn recognise_currency(&mut self, text: &str) {
        if let DecodeProblem::Invalid { reason } = &self.problem
            && *reason == (Refusal::InvalidCurrency { code: text.to_owned() }).to_string()
        {
            self.problem = DecodeProblem::InvalidCurrency { code: text.to_owned() };
        }
    }

    /// The node that gave the fault its place, for comparison by address.
    pub(crate) fn node(&self) -> Option<*const Node> {
        self.place.as_ref().map(|place| place.node)
    }

    fn error(self) -> DecodeError {
        let (path, line) = self.place.map_or_else(Default::default, |p| (p.path, p.line));
        DecodeError { path, line, problem: self.problem }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.problem)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::invalid(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid(format!("expected {expected}, not {unexpected}"))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid(format!("expected {expected}, not {unexpected}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::invalid(format!("{variant:?} is not one of {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::new(DecodeProblem::UnknownField { field: field.to_owned() })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(DecodeProblem::Missing { field: field.to_owned() })
    }
}

/// Reads one node; with a [`Shape`], unknown fields are recorded there instead of refused.
#[derive(Clone, Copy)]
pub(crate) struct Deserializer<'p, 'de> {
    pub(crate) node: &'de Node,
    pub(crate) path: Path<'p>,
    pub(crate) shape: Option<&'p Shape>,
}

impl<'p, 'de> Deserializer<'p, 'de> {
    fn expected(&self, what: &str) -> Fault {
        Fault::invalid(format!("expected {what}, not {}", self.node.describe()))
    }

    fn is_pruned(&self, node: &Node) -> bool {
        self.shape.is_some_and(|shape| shape.is_pruned(node))
    }

    fn child<'c>(&'c self, node: &'de Node, path: Path<'c>) -> Deserializer<'c, 'de> {
        Deserializer { node, path, shape: self.shape }
    }

    fn visit_list<V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        let Value::List(elements) = &self.node.value else {
            return Err(self.expected("a list"));
        };
        let mut access = Elements { of: self, rest: elements.iter().enumerate() };
        let value = visitor.visit_seq(&mut access)?;
        match access.rest.len() {
            0 => Ok(value),
            left => {
                let taken = elements.len().saturating_sub(left);
                Err(Fault::invalid(format!("{} elements, not {taken}", elements.len())))
            }
        }
    }

    fn visit_entries<V: Visitor<'de>>(
        &self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let Value::Map(entries) = &self.node.value else {
            return Err(self.expected("a map"));
        };
        if let Some(fields) = fields {
            for (key, _) in entries.iter().filter(|(key, _)| !fields.contains(&&*key.name)) {
                match self.shape {
                    Some(shape) => shape.record(&Path::Field(&self.path, &key.name), key.line),
                    None => return Err(de::Error::unknown_field(&key.name, fields)),
                }
            }
        }
        visitor.visit_map(Entries { of: self, fields, rest: entries.iter(), pending: None })
    }

    fn visit_whole<V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        let text = match &self.node.value {
            Value::Number(text) if !text.contains(['.', 'e', 'E']) => text,
            _ => return Err(self.expected("a whole number")),
        };
        match (text.parse::<i64>(), text.parse::<u64>()) {
            (Ok(whole), _) => visitor.visit_i64(whole),
            (_, Ok(whole)) => visitor.visit_u64(whole),
            _ => Err(self.expected("a whole number of at most 64 bits")),
        }
    }
}

/// Methods that accept one kind of value only, each with the name of that kind.
macro_rules! whole_numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.visit_whole(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Deserializer<'_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(text) => match (text.parse::<i64>(), text.parse::<u64>()) {
                (Ok(whole), _) => visitor.visit_i64(whole),
                (_, Ok(whole)) => visitor.visit_u64(whole),
                _ => visitor.visit_borrowed_str(text),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::List(_) => self.visit_list(visitor),
            Value::Map(_) => self.visit_entries(None, visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Bool(flag) => visitor.visit_bool(flag),
            _ => Err(self.expected("true or false")),
        }
    }

    whole_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Number(text) => match text.parse() {
                Ok(whole) => visitor.visit_i128(whole),
                Err(_) => Err(self.expected("a whole number of at most 128 bits")),
            },
            _ => Err(self.expected("a whole number")),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Number(text) => match text.parse() {
                Ok(whole) => visitor.visit_u128(whole),
                Err(_) => Err(self.expected("a whole number from 0, of at most 128 bits")),
            },
            _ => Err(self.expected("a whole number")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fault> {
        Err(Fault::invalid("a float is never read; use an exact decimal"))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            _ => Err(self.expected("a string")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Null => visitor.visit_unit(),
            _ => Err(self.expected("null")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit_list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.visit_list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.visit_list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit_entries(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.visit_entries(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::String(name) => visitor.visit_enum(Variant { of: &self, name, content: None }),
            Value::Map(entries) => {
                let [(key, content)] = entries.as_slice() else {
                    return Err(self.expected(&format!("one of {}", variants.join(", "))));
                };
                if !variants.contains(&&*key.name) {
                    match self.shape {
                        Some(shape) => shape.record(&Path::Field(&self.path, &key.name), key.line),
                        None => return Err(de::Error::unknown_field(&key.name, variants)),
                    }
                }
                visitor.visit_enum(Variant { of: &self, name: &key.name, content: Some(content) })
            }
            _ => Err(self.expected(&format!("one of {}", variants.join(", ")))),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

/// The elements of a list that were not pruned.
struct Elements<'a, 'p, 'de> {
    of: &'a Deserializer<'p, 'de>,
    rest: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let of = self.of;
        let Some((index, node)) = self.rest.find(|(_, node)| !of.is_pruned(node)) else {
            return Ok(None);
        };
        let path = Path::Element(&of.path, index);
        seed.deserialize(of.child(node, path)).map(Some).map_err(|fault| fault.at(node, &path))
    }
}

/// The entries of a map that were not pruned and, for a struct, that it has fields for.
struct Entries<'a, 'p, 'de> {
    of: &'a Deserializer<'p, 'de>,
    fields: Option<&'static [&'static str]>,
    rest: std::slice::Iter<'de, (crate::node::Key, Node)>,
    pending: Option<(&'de str, &'de Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let (of, fields) = (self.of, self.fields);
        let known = |name: &str| fields.is_none_or(|fields| fields.contains(&name));
        let next = self.rest.find(|(key, node)| known(&key.name) && !of.is_pruned(node));
        let Some((key, node)) = next else {
            return Ok(None);
        };
        self.pending = Some((&key.name, node));
        let path = Path::Field(&of.path, &key.name);
        let read = seed.deserialize(BorrowedStrDeserializer::<Fault>::new(&key.name));
        read.map(Some).map_err(|mut fault| {
            fault.recognise_currency(&key.name);
            fault.at(node, &path)
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, node) = self
            .pending
            .take()
            .ok_or_else(|| Fault::invalid("a value was asked for before its key"))?;
        let path = Path::Field(&self.of.path, name);
        seed.deserialize(self.of.child(node, path)).map_err(|fault| fault.at(node, &path))
    }
}

/// A variant of an enum: its name alone, or a map from its name to its content.
struct Variant<'a, 'p, 'de> {
    of: &'a Deserializer<'p, 'de>,
    name: &'de str,
    content: Option<&'de Node>,
}

impl<'de> Variant<'_, '_, 'de> {
    /// Reads the content, unless there is none or it was pruned.
    fn read<T>(
        self,
        read: impl FnOnce(Deserializer<'_, 'de>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        match self.content {
            Some(node) if !self.of.is_pruned(node) => {
                let path = Path::Field(&self.of.path, self.name);
                read(self.of.child(node, path)).map_err(|fault| fault.at(node, &path))
            }
            _ => Err(Fault::invalid(format!("{} needs a value of its own", self.name))),
        }
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, '_, 'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name = seed.deserialize(BorrowedStrDeserializer::<Fault>::new(self.name))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_, 'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None => Ok(()),
            Some(node) if node.value == Value::Null => Ok(()),
            Some(_) => Err(Fault::invalid(format!("{} takes no value", self.name))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.read(|content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.read(|content| content.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.read(|content| content.deserialize_struct("", fields, visitor))
    }
}

#[cfg(test)]
mod tests;
