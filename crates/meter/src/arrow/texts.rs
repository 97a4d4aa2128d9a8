//! Columns of texts, shared with Arrow where they lie as the kernel reads them.

use super::Held;
use crate::columns::StringColumn;
use crate::{ColumnError, Strings};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, ByteArrayType, Int8Type, Int16Type, Int32Type,
    Int64Type, LargeUtf8Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type, Utf8Type,
};
use arrow_array::{Array, GenericByteArray};
use arrow_buffer::{ArrowNativeType, Buffer, ScalarBuffer};
use arrow_schema::DataType;

/// A column of texts.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    text: Text,
    ends: Held<u32>,
}

#[derive(Debug, Clone)]
enum Text {
    Own(String),
    Shared(Buffer),
}

impl Texts {
    /// The texts of an array, nulls as empty ones; none where it has no texts.
    pub(super) fn of(array: &dyn Array) -> Result<Option<Self>, ColumnError> {
        Ok(Some(match array.data_type() {
            DataType::Utf8 => Self::shared::<Utf8Type>(array.as_string())?,
            DataType::LargeUtf8 => Self::shared::<LargeUtf8Type>(array.as_string())?,
            DataType::Utf8View => {
                let texts = array.as_string_view().iter();
                Self::own(texts.map(Option::unwrap_or_default))?
            }
            DataType::Dictionary(..) => {
                let Some(Coded { texts, codes }) = Coded::of(array)? else { return Ok(None) };
                let texts = texts.strings()?;
                let of = |&code: &u32| texts.get(usize::try_from(code).ok()?);
                Self::own(codes.slice().iter().map(|code| of(code).unwrap_or_default()))?
            }
            _ => return Ok(None),
        }))
    }

    /// Texts of our own.
    pub(super) fn own<S: AsRef<str>>(texts: impl Iterator<Item = S>) -> Result<Self, ColumnError> {
        let mut column = StringColumn::default();
        for text in texts {
            let text = text.as_ref();
            if !column.has_room_for(text.len()) {
                return Err(ColumnError::TooLong);
            }
            column.push(text);
        }
        Ok(Self { text: Text::Own(column.text), ends: Held::Own(column.ends) })
    }

    fn shared<T>(array: &GenericByteArray<T>) -> Result<Self, ColumnError>
    where
        T: ByteArrayType<Native = str>,
    {
        let offsets = array.offsets();
        // What a null hides need not be empty.
        if offsets.has_non_empty_nulls(array.nulls()) {
            return Self::own(array.iter().map(Option::unwrap_or_default));
        }
        let (first, last) = (offsets.first().as_usize(), offsets.last().as_usize());
        let bytes = last.saturating_sub(first);
        if u32::try_from(bytes).is_err() {
            return Err(ColumnError::TooLong);
        }
        let text = Text::Shared(array.values().slice_with_length(first, bytes));
        let ends = if first == 0 && size_of::<T::Offset>() == size_of::<u32>() {
            Held::Shared(ScalarBuffer::new(offsets.inner().inner().clone(), 1, array.len()))
        } else {
            let end = |offset: &T::Offset| {
                u32::try_from(offset.as_usize().saturating_sub(first)).unwrap_or(u32::MAX)
            };
            Held::Own(offsets.iter().skip(1).map(end).collect())
        };
        Ok(Self { text, ends })
    }

    pub(super) fn len(&self) -> usize {
        self.ends.slice().len()
    }

    /// The texts for the kernel.
    pub(super) fn strings(&self) -> Result<Strings<'_>, ColumnError> {
        let text = match &self.text {
            Text::Own(own) => own,
            // Arrow promises UTF-8. Where it is not, the ends do not fit the text.
            Text::Shared(buffer) => std::str::from_utf8(buffer).unwrap_or_default(),
        };
        Strings::new(text, self.ends.slice())
    }

    #[cfg(test)]
    pub(super) fn is_shared(&self) -> (bool, bool) {
        (matches!(self.text, Text::Shared(_)), matches!(self.ends, Held::Shared(_)))
    }
}

/// A list of texts, and the place of each row's in it.
#[derive(Debug, Clone)]
pub(super) struct Coded {
    pub(super) texts: Texts,
    pub(super) codes: Held<u32>,
}

impl Coded {
    /// A dictionary of texts as it is, nulls as an empty text; none where an array is no such.
    pub(super) fn of(array: &dyn Array) -> Result<Option<Self>, ColumnError> {
        let Some(dictionary) = array.as_any_dictionary_opt() else { return Ok(None) };
        let Some(texts) = Texts::of(dictionary.values())? else { return Ok(None) };
        let keys = dictionary.keys();
        if let Some(keys) = shared_keys::<u32>(array) {
            return Ok(Some(Self { texts, codes: Held::Shared(keys) }));
        }
        let null = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        let codes = match keys.data_type() {
            DataType::Int8 => codes::<Int8Type>(keys, null),
            DataType::Int16 => codes::<Int16Type>(keys, null),
            DataType::Int32 => codes::<Int32Type>(keys, null),
            DataType::Int64 => codes::<Int64Type>(keys, null),
            DataType::UInt8 => codes::<UInt8Type>(keys, null),
            DataType::UInt16 => codes::<UInt16Type>(keys, null),
            DataType::UInt32 => codes::<UInt32Type>(keys, null),
            DataType::UInt64 => codes::<UInt64Type>(keys, null),
            _ => return Ok(None),
        };
        let texts = match keys.null_count() {
            0 => texts,
            _ => Texts::own(texts.strings()?.iter().chain([""]))?,
        };
        Ok(Some(Self { texts, codes: Held::Own(codes) }))
    }

    /// The same text in so many rows.
    pub(super) fn constant(text: &str, rows: usize) -> Self {
        let ends = vec![u32::try_from(text.len()).unwrap_or(u32::MAX)];
        let texts = Texts { text: Text::Own(text.to_owned()), ends: Held::Own(ends) };
        Self { texts, codes: Held::Own(vec![0; rows]) }
    }
}

fn codes<T: ArrowDictionaryKeyType>(keys: &dyn Array, null: u32) -> Vec<u32> {
    let code = |key: T::Native| u32::try_from(key.as_usize()).unwrap_or(u32::MAX);
    let keys = keys.as_primitive::<T>();
    keys.iter().map(|key| key.map_or(null, code)).collect()
}

/// The keys of a dictionary without null keys, where they are numbers of this many bits. Keys are
/// places, so they are the same with and without a sign.
pub(super) fn shared_keys<T: ArrowNativeType>(array: &dyn Array) -> Option<ScalarBuffer<T>> {
    let keys = array.as_any_dictionary_opt()?.keys();
    if keys.null_count() > 0 {
        return None;
    }
    fn buffer<T: ArrowPrimitiveType>(keys: &dyn Array) -> Option<Buffer> {
        Some(keys.as_primitive_opt::<T>()?.values().inner().clone())
    }
    let (bytes, buffer) = match keys.data_type() {
        DataType::Int16 => (2, buffer::<Int16Type>(keys)?),
        DataType::UInt16 => (2, buffer::<UInt16Type>(keys)?),
        DataType::Int32 => (4, buffer::<Int32Type>(keys)?),
        DataType::UInt32 => (4, buffer::<UInt32Type>(keys)?),
        _ => return None,
    };
    (bytes == size_of::<T>()).then(|| ScalarBuffer::new(buffer, 0, keys.len()))
}
