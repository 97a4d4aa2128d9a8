//! Columns of values: whole numbers of a unit where they are that, decimals, or texts.

use super::texts::Texts;
use super::{Column, Held};
use crate::value::MAGNITUDE_END;
use crate::{ColumnError, MappingError, Values};
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal32Type, Decimal64Type, Decimal128Type, Int8Type, Int16Type,
    Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_schema::DataType;
use counterfoil_core::Decimal12;

#[derive(Debug, Clone)]
pub(super) enum Numbers {
    Absent,
    Texts(Texts),
    Decimals(Vec<Decimal12>),
    Units { units: Held<i64>, digits: u8 },
}

const TAKES: &str = "Decimal32, Decimal64, Decimal128, integers and Utf8 (a float is no exact \
                     decimal: cast it to one)";

/// A value that no meter takes, for numbers that are out of the range of values.
const REFUSED: Decimal12 = Decimal12::from_trillionths(i128::MAX);

impl Numbers {
    pub(super) fn of(column: &Column<'_>) -> Result<Self, MappingError> {
        let array: &dyn Array = column.array;
        Ok(match array.data_type() {
            DataType::Int64 => Self::narrow::<Int64Type>(array, 0)?,
            DataType::Decimal64(_, scale) => Self::narrow::<Decimal64Type>(array, *scale)?,
            DataType::Int8 => Self::wide::<Int8Type>(array, 0)?,
            DataType::Int16 => Self::wide::<Int16Type>(array, 0)?,
            DataType::Int32 => Self::wide::<Int32Type>(array, 0)?,
            DataType::UInt8 => Self::wide::<UInt8Type>(array, 0)?,
            DataType::UInt16 => Self::wide::<UInt16Type>(array, 0)?,
            DataType::UInt32 => Self::wide::<UInt32Type>(array, 0)?,
            DataType::UInt64 => Self::wide::<UInt64Type>(array, 0)?,
            DataType::Decimal32(_, scale) => Self::wide::<Decimal32Type>(array, *scale)?,
            DataType::Decimal128(_, scale) => Self::wide::<Decimal128Type>(array, *scale)?,
            _ => Self::Texts(column.texts(TAKES)?),
        })
    }

    /// The same value in so many rows.
    pub(super) fn constant(text: &str, rows: usize) -> Result<Self, MappingError> {
        let refused = |_| MappingError::Constant { field: "value", text: text.to_owned() };
        let value = crate::value::parse_value(text).map_err(refused)?;
        Ok(Self::Decimals(vec![value; rows]))
    }

    /// Numbers of 64 bits, shared where none is null and their unit is one of the kernel's.
    fn narrow<T: ArrowPrimitiveType<Native = i64>>(
        array: &dyn Array,
        scale: i8,
    ) -> Result<Self, ColumnError> {
        match (array.as_primitive_opt::<T>(), u8::try_from(scale)) {
            (Some(own), Ok(digits @ 0..=12)) if own.null_count() == 0 => {
                Ok(Self::Units { units: Held::Shared(own.values().clone()), digits })
            }
            _ => Self::wide::<T>(array, scale),
        }
    }

    /// Numbers that are copied: as units where all of them are, as decimals where none is null,
    /// and as texts otherwise.
    fn wide<T: ArrowPrimitiveType>(array: &dyn Array, scale: i8) -> Result<Self, ColumnError>
    where
        T::Native: Into<i128>,
    {
        let array = array.as_primitive::<T>();
        let decimal = |own: T::Native| decimal(own.into(), scale).unwrap_or(REFUSED);
        if array.null_count() > 0 {
            let text = |own: Option<T::Native>| {
                own.map_or_else(String::new, |own| decimal(own).to_string())
            };
            return Texts::own(array.iter().map(text)).map(Self::Texts);
        }
        if let Ok(digits @ 0..=12) = u8::try_from(scale) {
            let unit = |own: &T::Native| i64::try_from((*own).into()).ok();
            let units: Option<Vec<i64>> = array.values().iter().map(unit).collect();
            if let Some(units) = units {
                return Ok(Self::Units { units: Held::Own(units), digits });
            }
        }
        Ok(Self::Decimals(array.values().iter().map(|&own| decimal(own)).collect()))
    }

    pub(super) fn values(&self) -> Result<Values<'_>, ColumnError> {
        Ok(match self {
            Self::Absent => Values::Absent,
            Self::Texts(texts) => Values::Text(texts.strings()?),
            Self::Decimals(decimals) => Values::Decimals(decimals),
            Self::Units { units, digits } => {
                Values::Units { units: units.slice(), digits: *digits }
            }
        })
    }
}

/// A number of so many fractional digits, where it is a value. Digits beyond the twelfth have to
/// be zeros.
fn decimal(number: i128, scale: i8) -> Option<Decimal12> {
    let finer = 12_i16.checked_sub(scale.into())?;
    let power = 10_i128.checked_pow(u32::from(finer.unsigned_abs()));
    let value = match (finer >= 0, power) {
        _ if number == 0 => 0,
        (true, power) => number.checked_mul(power?)?,
        (false, Some(power)) if number.checked_rem(power) == Some(0) => {
            number.checked_div(power)?
        }
        (false, _) => return None,
    };
    let fits = value.unsigned_abs() < MAGNITUDE_END;
    fits.then(|| Decimal12::from_trillionths(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_move_exactly_or_not_at_all() {
        for (number, scale, expected) in [
            (15, 1, Some(1_500_000_000_000)),
            (-1, 12, Some(-1)),
            (10, 13, Some(1)),
            (11, 13, None),
            (0, 127, Some(0)),
            (0, -128, Some(0)),
            (1, 127, None),
            (1, -14, Some(10_i128.pow(26))),
            (1, -15, None),
            (1, -128, None),
            (10_i128.pow(27) - 1, 12, Some(10_i128.pow(27) - 1)),
            (10_i128.pow(27), 12, None),
            (i128::MIN, 12, None),
            (i128::MAX, 0, None),
        ] {
            let found = decimal(number, scale).map(Decimal12::trillionths);
            assert_eq!(found, expected, "{number} {scale}");
        }
    }
}
