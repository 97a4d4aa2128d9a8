//! Events from Arrow record batches.

mod texts;
mod values;

use crate::mapping::{Place, Places};
use crate::{
    CustomerIds, DimensionColumn, EventColumns, EventView, Identifiers, Mapping, MappingError,
    TimeUnit,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::{ArrowNativeType, ScalarBuffer};
use arrow_schema::{DataType, TimeUnit as ArrowUnit};
use std::collections::BTreeMap;
use texts::{Coded, Texts};
use values::Numbers;

/// The events of a record batch: its columns found, checked, and shared where their types allow.
///
/// | field | types | |
/// |---|---|---|
/// | `event_name` | Utf8, LargeUtf8, Utf8View, or dictionaries of them | 16-bit keys without nulls are shared |
/// | `customer` | the same; UInt64, a customer whose id is 16 hexadecimal digits | all but views are shared, keys where they have 32 bits |
/// | `identifier` | the same texts; FixedSizeBinary(16), an identifier of 32 hexadecimal digits | Utf8 is shared |
/// | `timestamp` | Timestamp of every unit, Int64 in [`Mapping::time_unit`] | nanoseconds are shared |
/// | `value` | Decimal32, 64, 128, integers, Utf8 in the grammar of values | Decimal64, Int64 and Utf8 are shared |
/// | dimensions | the same texts | texts are shared, keys where they have 32 bits |
///
/// A null is what is not given: a time of receipt, a generated identifier, a value that only a
/// counting meter can do without, a dimension without a value, a customer or name that is refused
/// in its row. Columns with nulls are copied where the kernel has no other way to say so. Times
/// without a zone are in UTC, and those that nanoseconds cannot express are the earliest or latest
/// that they can, which no meter takes.
///
/// **Floats are refused**, as the whole batch: values are exact decimals, and a float that was
/// written as `0.1` is not `0.1`. Whoever has them casts to a decimal, and so says how to round.
///
/// ```
/// use arrow_array::{ArrayRef, Decimal64Array, RecordBatch, StringArray, TimestampSecondArray};
/// use counterfoil_core::{Id, Timestamp};
/// use counterfoil_meter::{
///     AdmitContext, Aggregator, Anyone, ArrowEvents, Formula, Mapping, MeterConfig, Position,
/// };
/// use std::sync::Arc;
///
/// let values = Decimal64Array::from(vec![2_500_000, 4_000_000]).with_precision_and_scale(18, 6)?;
/// let columns: [(&str, ArrayRef); 5] = [
///     ("identifier", Arc::new(StringArray::from(vec!["req_1", "req_2"]))),
///     ("event_name", Arc::new(StringArray::from(vec!["tokens", "tokens"]))),
///     ("customer", Arc::new(StringArray::from(vec!["cus_ada", "cus_ada"]))),
///     ("timestamp", Arc::new(TimestampSecondArray::from(vec![1_742_000_000, 1_742_000_100]))),
///     ("value", Arc::new(values)),
/// ];
/// let batch = RecordBatch::try_from_iter(columns)?;
///
/// let mut meters = Aggregator::default();
/// meters.define(Id::new("mtr_tokens")?, MeterConfig::new("tokens", Formula::Sum))?;
/// let events = ArrowEvents::new(&batch, &Mapping::default())?;
/// let view = events.view()?;
/// let now = Timestamp::parse("2025-03-15T12:00:00Z")?;
/// let taken = meters.take(Position(1), view.columns()?, &AdmitContext::new(now, &Anyone));
/// assert_eq!(taken.taken, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ArrowEvents {
    rows: usize,
    names: Names,
    identifiers: Given,
    customers: Owners,
    times: Option<Held<i64>>,
    values: Numbers,
    dimensions: Vec<(String, Coded)>,
}

/// Numbers of our own, or of an Arrow buffer.
#[derive(Debug, Clone)]
enum Held<T: ArrowNativeType> {
    Own(Vec<T>),
    Shared(ScalarBuffer<T>),
}

impl<T: ArrowNativeType> Held<T> {
    fn slice(&self) -> &[T] {
        match self {
            Self::Own(own) => own,
            Self::Shared(buffer) => buffer,
        }
    }
}

#[derive(Debug, Clone)]
struct Names {
    names: Vec<String>,
    codes: Option<Held<u16>>,
}

#[derive(Debug, Clone)]
enum Given {
    Generated,
    Texts(Texts),
    Numbers(Vec<u128>),
}

#[derive(Debug, Clone)]
enum Owners {
    Texts(Texts),
    Coded(Coded),
    Numbers(Held<u64>),
}

const TEXTS: &str = "Utf8, LargeUtf8, Utf8View and dictionaries of them";
const NAMES_MAX: usize = 1 << 16;

impl ArrowEvents {
    /// Finds and checks the columns of a batch. At most [`EventColumns::EVENTS_MAX`] rows are taken
    /// at once; [`RecordBatch::slice`] cuts a larger batch without copying it.
    ///
    /// # Errors
    /// [`MappingError`] where a column is missing or of a type that its field is not read from,
    /// and [`ColumnError`](crate::ColumnError) inside it for too many rows or names.
    pub fn new(batch: &RecordBatch, mapping: &Mapping) -> Result<Self, MappingError> {
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let places = mapping.find(&names)?;
        Self::of(batch, mapping, &places, None)
    }

    /// The same at places that are known, with identifiers from elsewhere where there are any.
    pub(crate) fn of(
        batch: &RecordBatch,
        mapping: &Mapping,
        places: &Places,
        identifiers: Option<Vec<u128>>,
    ) -> Result<Self, MappingError> {
        let rows = batch.num_rows();
        if rows > EventColumns::EVENTS_MAX {
            return Err(crate::ColumnError::TooManyEvents.into());
        }
        let schema = batch.schema();
        let column = |field: &'static str, number: usize| {
            let own = schema.fields().get(number);
            let name = own.map_or_else(String::new, |own| own.name().clone());
            let missing = || MappingError::NoColumn { field, column: name.clone() };
            let array = batch.columns().get(number).ok_or_else(missing)?;
            Ok::<_, MappingError>(Column { field, name, array })
        };
        let dimensions = mapping.dimensions.iter().zip(&places.dimensions);
        Ok(Self {
            rows,
            names: match &places.event_name {
                Place::Column(number) => column("event_name", *number)?.names()?,
                Place::Constant(name) => Names { names: vec![name.clone()], codes: None },
                Place::Absent | Place::Row => {
                    return Err(MappingError::Required { field: "event_name" });
                }
            },
            identifiers: match (identifiers, &places.identifier) {
                (Some(own), _) => Given::Numbers(own),
                (None, Place::Column(number)) => column("identifier", *number)?.identifiers()?,
                (None, Place::Row) => return Err(MappingError::NotAFile),
                (None, Place::Absent | Place::Constant(_)) => Given::Generated,
            },
            customers: match &places.customer {
                Place::Column(number) => column("customer", *number)?.customers()?,
                Place::Constant(id) => Owners::Coded(Coded::constant(id, rows)),
                Place::Absent | Place::Row => {
                    return Err(MappingError::Required { field: "customer" });
                }
            },
            times: match &places.timestamp {
                Place::Column(number) => {
                    Some(column("timestamp", *number)?.times(mapping.time_unit)?)
                }
                Place::Constant(text) => {
                    let refused =
                        || MappingError::Constant { field: "timestamp", text: text.clone() };
                    let time = mapping.time(text).ok_or_else(refused)?;
                    Some(Held::Own(vec![time.nanos(); rows]))
                }
                Place::Absent | Place::Row => None,
            },
            values: match &places.value {
                Place::Column(number) => Numbers::of(&column("value", *number)?)?,
                Place::Constant(text) => Numbers::constant(text, rows)?,
                Place::Absent | Place::Row => Numbers::Absent,
            },
            dimensions: dimensions
                .map(|((name, _), &number)| {
                    Ok((name.clone(), column("dimensions", number)?.coded()?))
                })
                .collect::<Result<_, MappingError>>()?,
        })
    }

    /// How many events there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The columns, borrowed.
    ///
    /// # Errors
    /// [`ColumnError::StringEnd`](crate::ColumnError::StringEnd) where an array breaks what its
    /// type promises of texts.
    pub fn view(&self) -> Result<EventView<'_>, crate::ColumnError> {
        Ok(EventView {
            names: self.names.names.iter().map(String::as_str).collect(),
            codes: self.names.codes.as_ref().map(Held::slice),
            identifiers: match &self.identifiers {
                Given::Generated => Identifiers::Generated,
                Given::Texts(texts) => Identifiers::Texts(texts.strings()?),
                Given::Numbers(numbers) => Identifiers::Numbers(numbers),
            },
            customers: match &self.customers {
                Owners::Texts(texts) => CustomerIds::Texts(texts.strings()?),
                Owners::Coded(Coded { texts, codes }) => {
                    CustomerIds::Coded { ids: texts.strings()?, codes: codes.slice() }
                }
                Owners::Numbers(numbers) => CustomerIds::Numbers(numbers.slice()),
            },
            times: self.times.as_ref().map(Held::slice),
            values: self.values.values()?,
            dimensions: self
                .dimensions
                .iter()
                .map(|(name, Coded { texts, codes })| {
                    Ok(DimensionColumn { name, values: texts.strings()?, codes: codes.slice() })
                })
                .collect::<Result<_, crate::ColumnError>>()?,
        })
    }
}

/// A column, and what it is for.
struct Column<'a> {
    field: &'static str,
    name: String,
    array: &'a ArrayRef,
}

impl Column<'_> {
    fn refused(&self, takes: &'static str) -> MappingError {
        MappingError::Type {
            field: self.field,
            column: self.name.clone(),
            found: self.array.data_type().to_string(),
            takes,
        }
    }

    fn texts(&self, takes: &'static str) -> Result<Texts, MappingError> {
        Texts::of(self.array)?.ok_or_else(|| self.refused(takes))
    }

    fn coded(&self) -> Result<Coded, MappingError> {
        if let Some(coded) = Coded::of(self.array)? {
            return Ok(coded);
        }
        let texts = self.texts(TEXTS)?;
        let rows = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        Ok(Coded { texts, codes: Held::Own((0..rows).collect()) })
    }

    fn names(&self) -> Result<Names, MappingError> {
        let code = |code: u32| u16::try_from(code).unwrap_or(u16::MAX);
        if let Some(coded) = Coded::of(self.array)? {
            let names: Vec<String> = coded.texts.strings()?.iter().map(str::to_owned).collect();
            self.check_names(names.len())?;
            let codes = match texts::shared_keys::<u16>(self.array) {
                Some(keys) => Held::Shared(keys),
                None => Held::Own(coded.codes.slice().iter().map(|&own| code(own)).collect()),
            };
            return Ok(Names { names, codes: Some(codes) });
        }
        let texts = self.texts(TEXTS)?;
        let mut places = BTreeMap::<&str, u32>::new();
        let mut names = Vec::new();
        let mut codes = Vec::new();
        for name in texts.strings()?.iter() {
            let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
            let place = *places.entry(name).or_insert_with(|| {
                names.push(name.to_owned());
                next
            });
            codes.push(code(place));
        }
        self.check_names(names.len())?;
        Ok(Names { names, codes: Some(Held::Own(codes)) })
    }

    fn check_names(&self, names: usize) -> Result<(), MappingError> {
        match names <= NAMES_MAX {
            true => Ok(()),
            false => Err(self.refused("texts with at most 65,536 different names in a batch")),
        }
    }

    fn identifiers(&self) -> Result<Given, MappingError> {
        let takes = "Utf8, LargeUtf8, Utf8View, dictionaries of them and FixedSizeBinary(16)";
        let Some(array) = self.array.as_fixed_size_binary_opt() else {
            return self.texts(takes).map(Given::Texts);
        };
        let number = |bytes: &[u8]| bytes.try_into().map(u128::from_be_bytes).ok();
        if array.null_count() > 0 {
            let hex = |bytes: &[u8]| number(bytes).map(|number| format!("{number:032x}"));
            let texts = array.iter().map(|own| own.and_then(hex).unwrap_or_default());
            return Ok(Given::Texts(Texts::own(texts)?));
        }
        let numbers: Option<Vec<u128>> = array.iter().map(|own| number(own?)).collect();
        numbers.map(Given::Numbers).ok_or_else(|| self.refused(takes))
    }

    fn customers(&self) -> Result<Owners, MappingError> {
        if let Some(array) = self.array.as_primitive_opt::<UInt64Type>() {
            if array.null_count() == 0 {
                return Ok(Owners::Numbers(Held::Shared(array.values().clone())));
            }
            let hex = |id: Option<u64>| id.map_or_else(String::new, |id| format!("{id:016x}"));
            return Ok(Owners::Texts(Texts::own(array.iter().map(hex))?));
        }
        if let Some(coded) = Coded::of(self.array)? {
            return Ok(Owners::Coded(coded));
        }
        let takes = "Utf8, LargeUtf8, Utf8View, dictionaries of them and UInt64";
        self.texts(takes).map(Owners::Texts)
    }

    fn times(&self, unit: TimeUnit) -> Result<Held<i64>, MappingError> {
        let (array, unit) = (self.array, unit.nanos());
        let found = match array.data_type() {
            DataType::Timestamp(ArrowUnit::Second, _) => {
                times::<TimestampSecondType>(array, TimeUnit::Second.nanos())
            }
            DataType::Timestamp(ArrowUnit::Millisecond, _) => {
                times::<TimestampMillisecondType>(array, TimeUnit::Millisecond.nanos())
            }
            DataType::Timestamp(ArrowUnit::Microsecond, _) => {
                times::<TimestampMicrosecondType>(array, TimeUnit::Microsecond.nanos())
            }
            DataType::Timestamp(ArrowUnit::Nanosecond, _) => {
                times::<TimestampNanosecondType>(array, TimeUnit::Nanosecond.nanos())
            }
            DataType::Int64 => times::<Int64Type>(array, unit),
            _ => None,
        };
        found.ok_or_else(|| self.refused("Timestamp of any unit and Int64"))
    }
}

/// Times in nanoseconds: shared where they are that and none of them means "when received".
fn times<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, unit: i64) -> Option<Held<i64>> {
    let array = array.as_primitive_opt::<T>()?;
    let values = array.values();
    if unit == 1 && array.null_count() == 0 && !values.contains(&EventColumns::RECEIPT_TIME) {
        return Some(Held::Shared(values.clone()));
    }
    let earliest = EventColumns::RECEIPT_TIME.saturating_add(1);
    let nanos = |own: i64| own.saturating_mul(unit).max(earliest);
    let times = array.iter().map(|own| own.map_or(EventColumns::RECEIPT_TIME, nanos));
    Some(Held::Own(times.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int32Type;
    use arrow_array::{
        Decimal64Array, DictionaryArray, StringArray, TimestampNanosecondArray, UInt64Array,
    };
    use std::sync::Arc;

    fn events(rows: [(&str, ArrayRef); 6]) -> ArrowEvents {
        let batch = RecordBatch::try_from_iter_with_nullable(rows.map(|(a, b)| (a, b, true)));
        let mapping = Mapping::default().dimension("model", "model");
        ArrowEvents::new(&batch.unwrap(), &mapping).unwrap()
    }

    #[test]
    fn what_lies_as_the_kernel_reads_it_is_not_copied() {
        let texts = StringArray::from(vec!["a", "bc", ""]);
        let words: DictionaryArray<Int32Type> = vec!["x", "y", "x"].into_iter().collect();
        let (ids, time, value) = (
            UInt64Array::from(vec![1, 2, 3]),
            TimestampNanosecondArray::from(vec![1, 2, 3]),
            Decimal64Array::from(vec![1, 2, 3]).with_precision_and_scale(18, 6).unwrap(),
        );
        let own = events([
            ("identifier", Arc::new(texts.clone())),
            ("event_name", Arc::new(words.clone())),
            ("customer", Arc::new(ids.clone())),
            ("timestamp", Arc::new(time.clone())),
            ("value", Arc::new(value.clone())),
            ("model", Arc::new(words.clone())),
        ]);
        let view = own.view().unwrap();
        let Identifiers::Texts(found) = view.identifiers else { panic!("texts") };
        assert_eq!(found.get(1).unwrap().as_ptr(), texts.value(1).as_ptr());
        let Given::Texts(found) = &own.identifiers else { panic!("texts") };
        assert_eq!(found.is_shared(), (true, true));
        let CustomerIds::Numbers(found) = view.customers else { panic!("numbers") };
        assert_eq!(found.as_ptr(), ids.values().as_ptr());
        assert_eq!(view.times.unwrap().as_ptr(), time.values().as_ptr());
        let crate::Values::Units { units, digits: 6 } = view.values else { panic!("units") };
        assert_eq!(units.as_ptr(), value.values().as_ptr());
        let keys = words.keys().values().as_ptr().cast::<u32>();
        assert_eq!(view.dimensions[0].codes.as_ptr(), keys);
        // A slice begins inside of its text: the text is shared and its ends are not.
        let sliced = Texts::of(&texts.slice(1, 2)).unwrap().unwrap();
        assert_eq!(sliced.is_shared(), (true, false));
        assert_eq!(sliced.strings().unwrap().iter().collect::<Vec<_>>(), ["bc", ""]);
    }

    #[test]
    fn what_a_null_hides_is_not_read() {
        use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};
        let (ends, text) = (OffsetBuffer::from_lengths([1, 1]), Buffer::from(b"ab".as_slice()));
        let nulls = NullBuffer::from(vec![false, true]);
        let texts = StringArray::new(ends, text, Some(nulls));
        let texts = Texts::of(&texts).unwrap().unwrap();
        assert_eq!(texts.strings().unwrap().iter().collect::<Vec<_>>(), ["", "b"]);
    }
}
