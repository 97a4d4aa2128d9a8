//! A small and quick encoding of what leaves memory and comes back in the same process: by serde, with
//! fields and variants as their numbers in place of their names.
//!
//! It is scratch. What wrote it reads it, in the same build, so it promises nothing: no version, no
//! field that one side does not know. What is kept has the encodings of `hash` and `snapshot`.

use super::Unreadable;
use serde::de::{self, DeserializeSeed, Visitor};
use serde::ser;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Below this a byte is a number that is not negative.
const NUMBER: u8 = 0x80;
const NOTHING: u8 = 0x80;
const FALSE: u8 = 0x81;
const TRUE: u8 = 0x82;
/// Not negative; a length follows as it does for what comes next.
const LARGE: u8 = 0x83;
/// Negative: one less than its amount.
const NEGATIVE: u8 = 0x84;
const TEXT: u8 = 0x85;
const BYTES: u8 = 0x86;
const LIST: u8 = 0x87;
const MAP: u8 = 0x88;
/// A text of this many bytes less: up to 63.
const SHORT: u8 = 0xc0;

/// Appends a value to a buffer.
///
/// # Errors
/// Where it has a float, or a list whose length nobody knows: nothing in a state has.
pub(crate) fn encode<T: Serialize>(value: &T, into: &mut Vec<u8>) -> Result<(), Unreadable> {
    value.serialize(&mut Writer(into))
}

/// The value that bytes hold, all of them.
///
/// # Errors
/// Where they hold no such value.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unreadable> {
    let mut reader = Reader(bytes);
    let value = T::deserialize(&mut reader)?;
    if reader.0.is_empty() { Ok(value) } else { Err(ends()) }
}

fn ends() -> Unreadable {
    Unreadable::because("what was packed ends elsewhere than it should")
}

fn unknown() -> Unreadable {
    Unreadable::because("what was packed is something else")
}

impl ser::Error for Unreadable {
    fn custom<T: std::fmt::Display>(reason: T) -> Self {
        Self::because(reason)
    }
}

impl de::Error for Unreadable {
    fn custom<T: std::fmt::Display>(reason: T) -> Self {
        Self::because(reason)
    }
}

struct Writer<'b>(&'b mut Vec<u8>);

impl Writer<'_> {
    /// Seven bits a byte, the lowest first.
    fn varint(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            let low = low & 0x7f;
            number >>= 7;
            if number == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    fn unsigned(&mut self, number: u64) {
        match u8::try_from(number) {
            Ok(small) if small < NUMBER => self.0.push(small),
            _ => self.sized(LARGE, number),
        }
    }

    fn sized(&mut self, tag: u8, number: u64) {
        self.0.push(tag);
        self.varint(number);
    }

    fn len(&mut self, tag: u8, len: usize) -> Result<(), Unreadable> {
        self.sized(tag, u64::try_from(len).map_err(Unreadable::because)?);
        Ok(())
    }
}

fn known(len: Option<usize>) -> Result<usize, Unreadable> {
    len.ok_or_else(|| Unreadable::because("a list of unknown length"))
}

/// What is written part by part.
struct Parts<'w, 'b> {
    writer: &'w mut Writer<'b>,
    /// The number of the next field.
    field: u8,
}

impl Parts<'_, '_> {
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unreadable> {
        value.serialize(&mut *self.writer)
    }

    fn skip(&mut self) -> Result<(), Unreadable> {
        self.field = self.field.checked_add(1).ok_or_else(ends)?;
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unreadable> {
        self.writer.0.push(self.field);
        self.skip()?;
        self.value(value)
    }
}

impl<'w, 'b> Serializer for &'w mut Writer<'b> {
    type Ok = ();
    type Error = Unreadable;
    type SerializeSeq = Parts<'w, 'b>;
    type SerializeTuple = Parts<'w, 'b>;
    type SerializeTupleStruct = Parts<'w, 'b>;
    type SerializeTupleVariant = Parts<'w, 'b>;
    type SerializeMap = Parts<'w, 'b>;
    type SerializeStruct = Parts<'w, 'b>;
    type SerializeStructVariant = Parts<'w, 'b>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Unreadable> {
        self.0.push(if value { TRUE } else { FALSE });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Unreadable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Unreadable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unreadable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Unreadable> {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(value),
            Err(_) => self.sized(NEGATIVE, (!value).unsigned_abs()),
        }
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Unreadable> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Unreadable> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Unreadable> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Unreadable> {
        self.unsigned(value);
        Ok(())
    }

    fn serialize_f32(self, _: f32) -> Result<(), Unreadable> {
        Err(Unreadable::because("a float"))
    }

    fn serialize_f64(self, _: f64) -> Result<(), Unreadable> {
        Err(Unreadable::because("a float"))
    }

    fn serialize_char(self, value: char) -> Result<(), Unreadable> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<(), Unreadable> {
        match u8::try_from(text.len()) {
            Ok(len) if len < 0x40 => self.0.push(SHORT | len),
            _ => self.len(TEXT, text.len())?,
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Unreadable> {
        self.len(BYTES, bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unreadable> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unreadable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unreadable> {
        self.0.push(NOTHING);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unreadable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<(), Unreadable> {
        self.varint(index.into());
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unreadable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unreadable> {
        self.varint(index.into());
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Parts<'w, 'b>, Unreadable> {
        self.len(LIST, known(len)?)?;
        Ok(Parts { writer: self, field: 0 })
    }

    fn serialize_tuple(self, len: usize) -> Result<Parts<'w, 'b>, Unreadable> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Parts<'w, 'b>, Unreadable> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        len: usize,
    ) -> Result<Parts<'w, 'b>, Unreadable> {
        self.varint(index.into());
        self.serialize_seq(Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Parts<'w, 'b>, Unreadable> {
        self.len(MAP, known(len)?)?;
        Ok(Parts { writer: self, field: 0 })
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Parts<'w, 'b>, Unreadable> {
        let len = u8::try_from(len).ok().filter(|len| *len < NOTHING);
        self.0.push(len.ok_or_else(|| Unreadable::because("too many fields"))?);
        Ok(Parts { writer: self, field: 0 })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        _: &'static str,
        len: usize,
    ) -> Result<Parts<'w, 'b>, Unreadable> {
        self.varint(index.into());
        self.serialize_struct(name, len)
    }
}

macro_rules! elements {
    ($($of:ident $write:ident;)*) => {$(
        impl ser::$of for Parts<'_, '_> {
            type Ok = ();
            type Error = Unreadable;

            fn $write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unreadable> {
                self.value(value)
            }

            fn end(self) -> Result<(), Unreadable> {
                Ok(())
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

impl ser::SerializeMap for Parts<'_, '_> {
    type Ok = ();
    type Error = Unreadable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unreadable> {
        self.value(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unreadable> {
        self.value(value)
    }

    fn end(self) -> Result<(), Unreadable> {
        Ok(())
    }
}

macro_rules! fields {
    ($($of:ident)*) => {$(
        /// Fields come in the order in which they are declared, those too that are left out.
        impl ser::$of for Parts<'_, '_> {
            type Ok = ();
            type Error = Unreadable;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Result<(), Unreadable> {
                self.field(value)
            }

            fn skip_field(&mut self, _: &'static str) -> Result<(), Unreadable> {
                self.skip()
            }

            fn end(self) -> Result<(), Unreadable> {
                Ok(())
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.0.split_first().ok_or_else(ends)?;
        self.0 = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<u64, Unreadable> {
        let (mut number, mut shift) = (0_u64, 0_u32);
        loop {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).ok_or_else(unknown)?;
            if byte < 0x80 {
                return Ok(number);
            }
            shift = shift.saturating_add(7);
        }
    }

    fn take(&mut self) -> Result<&'a [u8], Unreadable> {
        let len = self.varint()?;
        self.some(usize::try_from(len).map_err(Unreadable::because)?)
    }

    fn some(&mut self, len: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(ends)?;
        self.0 = rest;
        Ok(taken)
    }

    fn parts(&mut self) -> Result<Left<'_, 'a>, Unreadable> {
        let left = usize::try_from(self.varint()?).map_err(Unreadable::because)?;
        Ok(Left { reader: self, left })
    }

    fn fields(&mut self) -> Result<Left<'_, 'a>, Unreadable> {
        let left = self.byte()?.into();
        Ok(Left { reader: self, left })
    }

    fn expect(&mut self, tag: u8) -> Result<(), Unreadable> {
        if self.byte()? == tag { Ok(()) } else { Err(unknown()) }
    }
}

fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(Unreadable::because)
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Unreadable;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.byte()? {
            small @ 0..NUMBER => visitor.visit_u64(small.into()),
            NOTHING => visitor.visit_unit(),
            FALSE => visitor.visit_bool(false),
            TRUE => visitor.visit_bool(true),
            LARGE => visitor.visit_u64(self.varint()?),
            NEGATIVE => {
                let number = i64::try_from(self.varint()?).map_err(Unreadable::because)?;
                visitor.visit_i64(!number)
            }
            TEXT => visitor.visit_borrowed_str(text(self.take()?)?),
            BYTES => visitor.visit_borrowed_bytes(self.take()?),
            LIST => visitor.visit_seq(self.parts()?),
            MAP => visitor.visit_map(self.parts()?),
            short @ SHORT.. => visitor.visit_borrowed_str(text(self.some((short & 0x3f).into())?)?),
            _ => Err(unknown()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.0.first() {
            Some(&NOTHING) => {
                self.byte()?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_map(Fields(self.fields()?))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The number of a variant or a field.
struct Number(u64);

impl<'de> Deserializer<'de> for Number {
    type Error = Unreadable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_u64(self.0)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'a, 'r> de::EnumAccess<'a> for &'r mut Reader<'a> {
    type Error = Unreadable;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'a>>(
        self,
        seed: S,
    ) -> Result<(S::Value, &'r mut Reader<'a>), Unreadable> {
        let variant = seed.deserialize(Number(self.varint()?))?;
        Ok((variant, self))
    }
}

impl<'a> de::VariantAccess<'a> for &mut Reader<'a> {
    type Error = Unreadable;

    fn unit_variant(self) -> Result<(), Unreadable> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, Unreadable> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Unreadable> {
        self.expect(LIST)?;
        visitor.visit_seq(self.parts()?)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_map(Fields(self.fields()?))
    }
}

/// What is left of a list or a map.
struct Left<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
}

impl Left<'_, '_> {
    fn is_more(&mut self) -> bool {
        let more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        more
    }
}

impl<'a> de::SeqAccess<'a> for Left<'_, 'a> {
    type Error = Unreadable;

    fn next_element_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Unreadable> {
        if self.is_more() { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'a> de::MapAccess<'a> for Left<'_, 'a> {
    type Error = Unreadable;

    fn next_key_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Unreadable> {
        if self.is_more() { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Unreadable> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// What is left of the fields of an object.
struct Fields<'r, 'a>(Left<'r, 'a>);

impl<'a> de::MapAccess<'a> for Fields<'_, 'a> {
    type Error = Unreadable;

    fn next_key_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Unreadable> {
        if !self.0.is_more() {
            return Ok(None);
        }
        let field = self.0.reader.byte()?;
        seed.deserialize(Number(field.into())).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Unreadable> {
        seed.deserialize(&mut *self.0.reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::{Decimal12, Timestamp};
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Plain,
        New(Box<Kind>),
        Pair(i64, String),
        Named {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            left: Option<u64>,
            right: bool,
        },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Object {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        first: Vec<Kind>,
        #[serde(skip)]
        never: u8,
        at: Timestamp,
        #[serde(default)]
        #[serde(rename = "other")]
        quantity: Option<Decimal12>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        map: BTreeMap<String, Option<i64>>,
        pair: (i32, Vec<u8>),
    }

    fn same<T: Serialize + for<'a> Deserialize<'a> + PartialEq + Debug>(value: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(value, &mut bytes).unwrap();
        assert_eq!(&decode::<T>(&bytes).unwrap(), value);
        for cut in 0..bytes.len() {
            assert!(decode::<T>(&bytes[..cut]).is_err(), "{value:?} cut at {cut}");
        }
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        for number in [0, 1, 127, 128, 300, i64::MAX, -1, -2, -128, i64::MIN] {
            same(&number);
            same(&Kind::Pair(number, "x".repeat(usize::from(number.to_le_bytes()[0]))));
        }
        for number in [0, 1, 127, 128, u64::MAX] {
            same(&Some(number));
        }
        same(&None::<u64>);
        let named = Kind::Named { left: None, right: true };
        let nested = Kind::New(Box::new(Kind::New(Box::new(named.clone()))));
        let object = Object {
            first: vec![Kind::Plain, named, Kind::Named { left: Some(7), right: false }, nested],
            never: 0,
            at: Timestamp::from_unix(-5).unwrap(),
            quantity: Some("1.5".parse().unwrap()),
            map: [("a".to_owned(), None), ("b".to_owned(), Some(-7))].into(),
            pair: (-3, vec![1, 200]),
        };
        same(&object);
        let empty = Object { first: Vec::new(), quantity: None, map: BTreeMap::new(), ..object };
        // No name of a field is in it.
        let bytes = same(&empty);
        assert!(bytes.len() < 20, "{bytes:?}");
    }

    #[test]
    fn other_bytes_are_refused() {
        let mut bytes = Vec::new();
        encode(&Kind::Plain, &mut bytes).unwrap();
        bytes.push(0);
        assert!(decode::<Kind>(&bytes).is_err());
        assert!(decode::<Kind>(&[9]).is_err());
        assert!(decode::<u64>(&[0x8f]).is_err());
        assert!(decode::<u64>(&[&[LARGE][..], &[0xff; 11], &[0]].concat()).is_err());
        assert!(encode(&1.5_f64, &mut bytes).is_err());
    }
}
