//! Reads MessagePack from a slice: what `rmp-serde` writes of events, as `rmp-serde` reads it, and
//! several times as fast. Names of fields are compared as bytes instead of being checked for UTF-8
//! first, and nothing goes through a reader that may fail at every byte.
//!
//! Floats and extensions are refused: no event holds any.

use serde::de::value::Error;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

/// How deep values may lie in each other. Events are at most ten deep.
const DEPTH_MAX: u8 = 64;

/// Reads one value, which is all of the bytes.
pub(crate) fn from_slice<'de, T>(
    bytes: &'de [u8],
    read: impl FnOnce(&mut Reader<'de>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut reader = Reader { bytes, depth: DEPTH_MAX };
    let value = read(&mut reader)?;
    if reader.bytes.is_empty() { Ok(value) } else { Err(Error::custom("bytes are left over")) }
}

/// What is left to read.
pub(crate) struct Reader<'de> {
    bytes: &'de [u8],
    depth: u8,
}

/// What a value begins with.
enum Head {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Text(usize),
    Bytes(usize),
    Seq(usize),
    Map(usize),
}

#[cold]
fn cut() -> Error {
    Error::custom("a value is cut off")
}

#[cold]
fn other(marker: u8) -> Error {
    Error::custom(format_args!("a value of the form {marker:#04x}"))
}

impl<'de> Reader<'de> {
    #[inline]
    fn take(&mut self, len: usize) -> Result<&'de [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or_else(cut)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(cut)?;
        self.bytes = rest;
        Ok(*taken)
    }

    #[inline]
    fn len(&mut self, bytes: u8) -> Result<usize, Error> {
        let len = match bytes {
            1 => u32::from(u8::from_be_bytes(self.chunk()?)),
            2 => u32::from(u16::from_be_bytes(self.chunk()?)),
            _ => u32::from_be_bytes(self.chunk()?),
        };
        usize::try_from(len).map_err(|_| cut())
    }

    #[inline]
    fn head(&mut self) -> Result<Head, Error> {
        let [marker] = self.chunk()?;
        Ok(match marker {
            0x00..=0x7f => Head::Unsigned(marker.into()),
            0x80..=0x8f => Head::Map((marker & 0x0f).into()),
            0x90..=0x9f => Head::Seq((marker & 0x0f).into()),
            0xa0..=0xbf => Head::Text((marker & 0x1f).into()),
            0xc0 => Head::Nil,
            0xc2 => Head::Bool(false),
            0xc3 => Head::Bool(true),
            0xc4 => Head::Bytes(self.len(1)?),
            0xc5 => Head::Bytes(self.len(2)?),
            0xc6 => Head::Bytes(self.len(4)?),
            0xcc => Head::Unsigned(u8::from_be_bytes(self.chunk()?).into()),
            0xcd => Head::Unsigned(u16::from_be_bytes(self.chunk()?).into()),
            0xce => Head::Unsigned(u32::from_be_bytes(self.chunk()?).into()),
            0xcf => Head::Unsigned(u64::from_be_bytes(self.chunk()?)),
            0xd0 => Head::Signed(i8::from_be_bytes(self.chunk()?).into()),
            0xd1 => Head::Signed(i16::from_be_bytes(self.chunk()?).into()),
            0xd2 => Head::Signed(i32::from_be_bytes(self.chunk()?).into()),
            0xd3 => Head::Signed(i64::from_be_bytes(self.chunk()?)),
            0xd9 => Head::Text(self.len(1)?),
            0xda => Head::Text(self.len(2)?),
            0xdb => Head::Text(self.len(4)?),
            0xdc => Head::Seq(self.len(2)?),
            0xdd => Head::Seq(self.len(4)?),
            0xde => Head::Map(self.len(2)?),
            0xdf => Head::Map(self.len(4)?),
            0xe0..=0xff => Head::Signed(i8::from_be_bytes([marker]).into()),
            _ => return Err(other(marker)),
        })
    }

    fn text(&mut self, len: usize) -> Result<&'de str, Error> {
        std::str::from_utf8(self.take(len)?).map_err(Error::custom)
    }

    /// The next byte, where it is among these; nothing is read otherwise.
    #[inline]
    fn marker(&mut self, low: u8, high: u8) -> Option<u8> {
        let (&marker, rest) = self.bytes.split_first()?;
        if marker < low || marker > high {
            return None;
        }
        self.bytes = rest;
        Some(marker)
    }

    /// The text that comes next, if it is shorter than 32 bytes, as names and ids are.
    #[inline]
    fn short_text(&mut self) -> Option<&'de [u8]> {
        let (&marker, rest) = self.bytes.split_first()?;
        let len = marker.checked_sub(0xa0).filter(|len| *len < 32)?;
        let (text, rest) = rest.split_at_checked(len.into())?;
        self.bytes = rest;
        Some(text)
    }

    #[inline]
    fn read_text<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.short_text() {
            Some(text) => {
                visitor.visit_borrowed_str(std::str::from_utf8(text).map_err(Error::custom)?)
            }
            None => self.deserialize_any(visitor),
        }
    }

    #[inline]
    fn read_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.marker(0x00, 0x7f) {
            Some(number) => visitor.visit_u64(number.into()),
            None => self.deserialize_any(visitor),
        }
    }

    #[inline]
    fn read_seq<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let len = match self.marker(0x90, 0x9f) {
            Some(marker) => (marker & 0x0f).into(),
            None => match self.head()? {
                Head::Seq(len) => len,
                _ => return Err(Error::custom("a value that is no sequence")),
            },
        };
        self.within(len, |items| visitor.visit_seq(items))
    }

    /// A struct is a map as well: its fields have names.
    #[inline]
    fn read_map<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let len = match self.marker(0x80, 0x8f) {
            Some(marker) => (marker & 0x0f).into(),
            None => match self.head()? {
                Head::Map(len) => len,
                _ => return Err(Error::custom("a value that has no named fields")),
            },
        };
        self.within(len, |items| visitor.visit_map(items))
    }

    /// Reads what lies within a value.
    #[inline]
    fn within<T>(
        &mut self,
        left: usize,
        read: impl FnOnce(&mut Items<'_, 'de>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| Error::custom("values too deep"))?;
        let mut items = Items { reader: self, left };
        let value = read(&mut items)?;
        let left = items.left;
        self.depth = self.depth.saturating_add(1);
        if left == 0 { Ok(value) } else { Err(Error::invalid_length(left, &"fewer items")) }
    }

    fn visit<V: Visitor<'de>>(&mut self, head: Head, visitor: V) -> Result<V::Value, Error> {
        match head {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::Text(len) => visitor.visit_borrowed_str(self.text(len)?),
            Head::Bytes(len) => visitor.visit_borrowed_bytes(self.take(len)?),
            Head::Seq(len) => self.within(len, |items| visitor.visit_seq(items)),
            Head::Map(len) => self.within(len, |items| visitor.visit_map(items)),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let head = self.head()?;
        self.visit(head, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.bytes.split_first() {
            Some((0xc0, rest)) => {
                self.bytes = rest;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if let Some(name) = self.short_text() {
            return visitor.visit_borrowed_bytes(name);
        }
        match self.head()? {
            Head::Text(len) => visitor.visit_borrowed_bytes(self.take(len)?),
            head => self.visit(head, visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.bytes.split_first() {
            Some((0x81, rest)) => {
                self.bytes = rest;
                self.within(0, |items| {
                    visitor.visit_enum(Variant { reader: items.reader, with: true })
                })
            }
            _ => visitor.visit_enum(Variant { reader: self, with: false }),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.read_text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.read_text(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.read_number(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.read_number(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.read_number(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.read_seq(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.read_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.read_map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.read_map(visitor)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple_struct
        ignored_any
    }
}

/// The items of a sequence, or the entries of a map.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A variant: its name, and what it is with, if anything.
struct Variant<'a, 'de> {
    reader: &'a mut Reader<'de>,
    with: bool,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(&mut *self.reader)?, self))
    }
}

impl<'de> Variant<'_, 'de> {
    fn content(self) -> Result<Self, Error> {
        if self.with { Ok(self) } else { Err(Error::custom("a variant without its content")) }
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.with { <()>::deserialize(self.reader) } else { Ok(()) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.content()?.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.content()?.reader.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content()?.reader.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Serialize;
    use std::collections::BTreeMap;

    /// Every shape that an event has.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Unit,
        Newtype(Box<Shape>),
        Struct {
            text: String,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            option: Option<i64>,
        },
        Numbers(i8, u8, i16, u16, i32, u32),
        Wide(i64, u64),
        Seq(Vec<Shape>),
        Map(BTreeMap<String, Option<bool>>),
    }

    fn shapes() -> impl Strategy<Value = Shape> {
        let leaf = prop_oneof![
            Just(Shape::Unit),
            (any::<String>(), any::<Option<i64>>())
                .prop_map(|(text, option)| Shape::Struct { text, option }),
            any::<(i8, u8, i16, u16, i32, u32)>()
                .prop_map(|(a, b, c, d, e, f)| Shape::Numbers(a, b, c, d, e, f)),
            (any::<i64>(), any::<u64>()).prop_map(|(a, b)| Shape::Wide(a, b)),
            prop::collection::btree_map(any::<String>(), any::<Option<bool>>(), 0..20)
                .prop_map(Shape::Map),
        ];
        leaf.prop_recursive(4, 40, 20, |inner| {
            prop_oneof![
                inner.clone().prop_map(|shape| Shape::Newtype(Box::new(shape))),
                prop::collection::vec(inner, 0..20).prop_map(Shape::Seq),
            ]
        })
    }

    fn read(bytes: &[u8]) -> Result<Shape, Error> {
        from_slice(bytes, |reader| Shape::deserialize(reader))
    }

    proptest! {
        #[test]
        fn it_reads_what_rmp_serde_writes(shape in shapes()) {
            let bytes = rmp_serde::to_vec_named(&shape).unwrap();
            prop_assert_eq!(read(&bytes).unwrap(), shape);
        }

        /// Damage is refused or read as the other reads it. The other takes more: bytes behind a
        /// value, structs without the names of their fields, and names that are not UTF-8 or stand
        /// for nothing.
        #[test]
        fn it_takes_nothing_that_rmp_serde_refuses(
            shape in shapes(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = rmp_serde::to_vec_named(&shape).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(shape) = read(&bytes) {
                prop_assert_eq!(rmp_serde::from_slice::<Shape>(&bytes).unwrap(), shape);
            }
            prop_assert!(read(&bytes[..at]).is_err());
        }
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        #[derive(Serialize)]
        struct Newer<'a> {
            before: BTreeMap<&'a str, Vec<Option<u64>>>,
            text: &'a str,
            after: &'a [(bool, i64)],
        }
        #[derive(Serialize)]
        enum Wrapped<'a> {
            Struct(Newer<'a>),
        }
        let newer = Newer {
            before: BTreeMap::from([("a", vec![Some(u64::MAX), None])]),
            text: "kept",
            after: &[(true, -1), (false, i64::MIN)],
        };
        let bytes = rmp_serde::to_vec_named(&Wrapped::Struct(newer)).unwrap();
        assert_eq!(read(&bytes).unwrap(), Shape::Struct { text: "kept".to_owned(), option: None });
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let deep = vec![0x91; 100_000];
        let long = [0xdd, 0xff, 0xff, 0xff, 0xff];
        for bytes in [&[][..], &[0xc1], &[0xca, 0, 0, 0, 0], &deep, &long] {
            assert!(
                from_slice(bytes, |reader| serde::de::IgnoredAny::deserialize(reader)).is_err()
            );
        }
        let mut over = rmp_serde::to_vec_named(&Shape::Unit).unwrap();
        over.push(0);
        let (text, option) = ("a".to_owned(), None);
        let unnamed = rmp_serde::to_vec(&Shape::Struct { text, option }).unwrap();
        assert!(read(&unnamed).unwrap_err().to_string().contains("no named fields"));
        assert!(read(&over).unwrap_err().to_string().contains("left over"));
    }
}
