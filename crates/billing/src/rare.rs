//! What most objects have nothing of.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A value that is nearly always nothing, behind a pointer: an object without it has no room for it.
///
/// It reads as the value, and in files and logs it is the value.
#[derive(Clone)]
pub struct Rare<T>(Option<Box<T>>);

/// What has a value that says nothing.
pub trait Nothing: Default + PartialEq + 'static {
    /// That value.
    fn nothing() -> &'static Self;
}

impl<T: PartialEq + 'static> Nothing for Vec<T> {
    fn nothing() -> &'static Self {
        const { &Self::new() }
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Nothing> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self((value != *T::nothing()).then(|| Box::new(value)))
    }
}

impl<T: Nothing> Rare<T> {
    /// The value itself.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0.map_or_else(T::default, |value| *value)
    }
}

impl<T: Nothing> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::nothing())
    }
}

impl<T: Nothing> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Nothing> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Nothing + Eq> Eq for Rare<T> {}

impl<T: Nothing + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: Nothing + Serialize> Serialize for Rare<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self, serializer)
    }
}

impl<'de, T: Nothing + Deserialize<'de>> Deserialize<'de> for Rare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

impl<'a, T: PartialEq + 'static> IntoIterator for &'a Rare<Vec<T>> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Rare<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_takes_no_room_and_what_is_there_is_the_value() {
        assert_eq!(size_of::<Rare<Vec<u8>>>(), size_of::<usize>());
        let nothing = Rare::<Vec<u8>>::default();
        assert!(nothing.is_empty() && nothing.0.is_none());
        assert!(Rare::from(Vec::<u8>::new()).0.is_none());
        let mut some = nothing.clone();
        some.push(7);
        assert_eq!((&*some, some == nothing), (&vec![7], false));
        // Emptied, it equals what never held anything.
        some.clear();
        assert_eq!(some, nothing);
        assert_eq!(Rare::from(vec![1]).into_inner(), [1]);
        assert!(nothing.into_inner().is_empty());
    }

    #[test]
    fn it_is_written_as_the_value() {
        for value in [Vec::new(), vec![1_u8, 2]] {
            let bytes = rmp_serde::to_vec_named(&Rare::from(value.clone())).unwrap();
            assert_eq!(bytes, rmp_serde::to_vec_named(&value).unwrap());
            let read: Rare<Vec<u8>> = rmp_serde::from_slice(&bytes).unwrap();
            assert_eq!((&*read, read.0.is_some()), (&value, !value.is_empty()));
        }
    }
}
