//! One row of CSV (RFC 4180), strictly.
//!
//! A reader that is lenient about quotes merges rows where it guesses wrong, and a merged row is
//! lost usage; here a row is what its writer meant or it is refused.

use std::borrow::Cow;

/// Quotes that do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum QuoteError {
    /// A field that begins with a quote and has no other.
    #[error("a quote without its end")]
    Open,
    /// Something between a closing quote and the comma.
    #[error("something after a closing quote")]
    After,
    /// A quote inside of a field that does not begin with one.
    #[error("a quote inside of an unquoted field")]
    Inside,
}

/// The fields of a row without its line ending.
pub(super) fn fields(row: &str) -> Result<Vec<Cow<'_, str>>, QuoteError> {
    if !row.contains('"') {
        return Ok(row.split(',').map(Cow::Borrowed).collect());
    }
    let mut fields = Vec::new();
    let mut rest = row;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                if field.contains('"') {
                    return Err(QuoteError::Inside);
                }
                (Cow::Borrowed(field), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(QuoteError::After),
        }
    }
}

/// A field from behind its opening quote, and what follows its closing one.
fn quoted_field(text: &str) -> Result<(Cow<'_, str>, &str), QuoteError> {
    let mut field = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or(QuoteError::Open)?;
        match field {
            Cow::Borrowed("") => field = Cow::Borrowed(part),
            _ => field.to_mut().push_str(part),
        }
        match after.strip_prefix('"') {
            Some(more) => {
                field.to_mut().push('"');
                rest = more;
            }
            None => return Ok((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_are_split_at_commas_outside_quotes() {
        for (row, expected) in [
            ("", Ok(vec![""])),
            ("a,b", Ok(vec!["a", "b"])),
            ("a,,", Ok(vec!["a", "", ""])),
            (" a , b ", Ok(vec![" a ", " b "])),
            ("\"a,b\",c", Ok(vec!["a,b", "c"])),
            ("\"\",\"\"\"\"", Ok(vec!["", "\""])),
            ("\"a\"\"b\"\"\",c", Ok(vec!["a\"b\"", "c"])),
            ("\"two\nlines\",c", Ok(vec!["two\nlines", "c"])),
            ("a,\"b", Err(QuoteError::Open)),
            ("\"a\"b,c", Err(QuoteError::After)),
            ("a\"b,c", Err(QuoteError::Inside)),
            ("a,b\"", Err(QuoteError::Inside)),
        ] {
            let owned = |row: Vec<Cow<'_, str>>| row.into_iter().map(Cow::into_owned).collect();
            let found: Result<Vec<String>, _> = fields(row).map(owned);
            let expected = expected.map(|row| row.into_iter().map(str::to_owned).collect());
            assert_eq!(found, expected, "{row:?}");
        }
    }

    proptest! {
        #[test]
        fn what_another_writer_writes_is_read_back(
            row in prop::collection::vec("[a\",\r\n é]{0,4}", 2..5)
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(&row).unwrap();
            let written = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(fields(written.strip_suffix('\n').unwrap()).unwrap(), row);
        }

        #[test]
        fn no_row_makes_it_panic(row in "[a\",\n ]{0,12}") {
            let _ = fields(&row);
        }
    }
}
