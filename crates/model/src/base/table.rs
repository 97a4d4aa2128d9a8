//! Sorted tables as checked rkyv archives: columns of texts and numbers.

use super::Unreadable;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use rkyv::{Portable, api::high::HighValidator};
use std::fmt;
use std::marker::PhantomData;

/// Bytes that hold a checked archive of `T`.
pub(crate) struct Archive<T> {
    bytes: AlignedVec,
    of: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Archive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Archive({} bytes)", self.bytes.len())
    }
}

impl<T> Archive<T>
where
    T: rkyv::Archive,
    T::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
{
    pub(crate) fn open(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut aligned = AlignedVec::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        rkyv::access::<T::Archived, rancor::Error>(&aligned).map_err(Unreadable::because)?;
        Ok(Self { bytes: aligned, of: PhantomData })
    }

    /// The archive. It was checked when it was opened, so there is one.
    pub(crate) fn get(&self) -> Option<&T::Archived> {
        rkyv::access::<T::Archived, rancor::Error>(&self.bytes).ok()
    }
}

/// Texts one after the other, and where each ends.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize)]
pub(crate) struct TextColumn {
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl TextColumn {
    pub(crate) fn push(&mut self, text: &str) -> Result<(), Unreadable> {
        self.text.extend_from_slice(text.as_bytes());
        self.ends.push(u32::try_from(self.text.len()).map_err(Unreadable::because)?);
        Ok(())
    }
}

impl ArchivedTextColumn {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&str> {
        let end = |index: usize| self.ends.get(index).map(|end| end.to_native());
        let from = index.checked_sub(1).map_or(Some(0), end)?;
        let range = usize::try_from(from).ok()?..usize::try_from(end(index)?).ok()?;
        std::str::from_utf8(self.text.get(range)?).ok()
    }

    /// The place of a text in a sorted column.
    pub(crate) fn find(&self, text: &str) -> Option<usize> {
        let place = lower_bound(0, self.len(), |index| self.get(index).is_some_and(|t| t < text));
        (self.get(place) == Some(text)).then_some(place)
    }
}

/// The first index of a range for which `before` no longer holds.
pub(crate) fn lower_bound(from: usize, to: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (from, to.max(from));
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    low
}

/// Texts by text.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize)]
pub(crate) struct TextColumns {
    keys: TextColumn,
    values: TextColumn,
}

/// A sorted table of texts by text.
#[derive(Debug)]
pub(crate) struct TextTable(Archive<TextColumns>);

impl TextTable {
    pub(crate) fn open(bytes: &[u8]) -> Result<Self, Unreadable> {
        Archive::open(bytes).map(Self)
    }

    /// Calls with every row, in order of the keys.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &str)> {
        let columns = self.0.get();
        columns.into_iter().flat_map(|columns| {
            (0..columns.keys.len())
                .filter_map(|index| Some((columns.keys.get(index)?, columns.values.get(index)?)))
        })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let columns = self.0.get()?;
        columns.values.get(columns.keys.find(key)?)
    }
}

/// Makes the bytes of a [`TextTable`]; rows come in order of their keys.
#[derive(Debug, Default)]
pub(crate) struct TextTableBuilder(TextColumns);

impl TextTableBuilder {
    pub(crate) fn push(&mut self, key: &str, value: &str) -> Result<(), Unreadable> {
        self.0.keys.push(key)?;
        self.0.values.push(value)
    }

    pub(crate) fn finish(&self) -> Result<AlignedVec, Unreadable> {
        rkyv::to_bytes::<rancor::Error>(&self.0).map_err(Unreadable::because)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_asked_by_key() {
        let mut builder = TextTableBuilder::default();
        for n in 0..100 {
            builder.push(&format!("{:03}", n * 2), &format!("v{n}")).unwrap();
        }
        let bytes = builder.finish().unwrap();
        for shift in 0..16 {
            let mut shifted = vec![0; shift];
            shifted.extend_from_slice(&bytes);
            let table = TextTable::open(&shifted[shift..]).unwrap();
            for n in 0..200 {
                let expected = (n % 2 == 0).then(|| format!("v{}", n / 2));
                assert_eq!(table.get(&format!("{n:03}")), expected.as_deref());
            }
            assert_eq!(table.rows().count(), 100);
        }
        let empty = TextTable::open(&TextTableBuilder::default().finish().unwrap()).unwrap();
        assert_eq!((empty.get(""), empty.rows().count()), (None, 0));
    }

    #[test]
    fn hostile_bytes_are_no_table_or_one_without_answers() {
        let mut builder = TextTableBuilder::default();
        for n in 0..20 {
            builder.push(&format!("{n:03}"), "value").unwrap();
        }
        let bytes = builder.finish().unwrap();
        for at in 0..bytes.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut damaged = bytes.to_vec();
                damaged[at] = byte;
                if let Ok(table) = TextTable::open(&damaged) {
                    let _ = (table.get("007"), table.rows().count());
                }
            }
            assert!(TextTable::open(&bytes[..at]).is_err() || at == bytes.len());
        }
    }
}
