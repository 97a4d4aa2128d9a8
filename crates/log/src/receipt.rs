//! Receipts: what a book was at some record, in one line.

use std::{fmt, str::FromStr};

use crate::{Lsn, sum};

/// The head of a book at some record: enough to see later whether its history was changed.
///
/// The head is the plain BLAKE3 hash of the *record stream* up to that record: the bytes of all
/// records with their padding, one after the other. Whoever keeps a receipt outside the book can
/// compare it with the book ([`verify`](crate::verify)), and check a [`Proof`](crate::Proof) of one
/// record against it without the book. Without a receipt, a history that was rewritten from
/// beginning to end cannot be told from a true one.
///
/// Its text form is one line, made for a mail, a ticket or a notebook:
///
/// ```
/// use counterfoil_log::{Log, LogOptions, MemStorage, Receipt};
///
/// let line = "counterfoil-receipt-1 lsn=0 bytes=0 \
///     head=af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262 sum=659089cb";
/// let receipt: Receipt = line.parse()?;
/// assert_eq!(receipt, Receipt::EMPTY);
/// assert_eq!(receipt.to_string(), line);
/// # Ok::<(), counterfoil_log::ReceiptError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The last record that it covers.
    pub lsn: Lsn,
    /// Bytes of the record stream up to the end of that record.
    pub stream_bytes: u64,
    /// BLAKE3 hash of those bytes.
    pub head: [u8; 32],
}

/// Why a line is not a receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The line does not begin as a receipt does, or as one of another version does.
    #[error("not a receipt: it does not begin with {MAGIC:?}")]
    Magic,
    /// A field is missing or malformed.
    #[error("not a receipt: the field {field:?} is missing or malformed")]
    Field {
        /// Name of the field.
        field: &'static str,
    },
    /// Something follows the last field.
    #[error("not a receipt: something follows the last field")]
    AfterEnd,
    /// The line was changed, or copied with a mistake.
    #[error("the receipt was not copied correctly: its check sum is {expected}, not {found}")]
    Sum {
        /// The sum in the line.
        found: String,
        /// The sum of the rest of the line.
        expected: String,
    },
}

const MAGIC: &str = "counterfoil-receipt-1";

impl Receipt {
    /// That of a book without a record.
    pub const EMPTY: Self = Self {
        lsn: Lsn::ZERO,
        stream_bytes: 0,
        // The hash of nothing.
        head: [
            0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc,
            0xc9, 0x49, 0x9b, 0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca,
            0xe4, 0x1f, 0x32, 0x62,
        ],
    };

    fn body(&self) -> String {
        let head: String = self.head.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{MAGIC} lsn={} bytes={} head={head}", self.lsn, self.stream_bytes)
    }
}

fn sum(body: &str) -> String {
    format!("{:08x}", sum::crc32c(body.as_bytes()))
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        write!(f, "{body} sum={}", sum(&body))
    }
}

impl FromStr for Receipt {
    type Err = ReceiptError;

    /// Reads the line that [`Receipt`] displays. White space at both ends does not matter.
    fn from_str(line: &str) -> Result<Self, ReceiptError> {
        let mut words = line.trim().split(' ');
        if words.next() != Some(MAGIC) {
            return Err(ReceiptError::Magic);
        }
        let mut field = |field: &'static str| {
            let value = words.next().and_then(|word| word.strip_prefix(field)?.strip_prefix('='));
            value.ok_or(ReceiptError::Field { field })
        };
        let lsn = number(field("lsn")?).ok_or(ReceiptError::Field { field: "lsn" })?;
        let stream_bytes = number(field("bytes")?).ok_or(ReceiptError::Field { field: "bytes" })?;
        let head = hash(field("head")?).ok_or(ReceiptError::Field { field: "head" })?;
        let found = field("sum")?;
        if words.next().is_some() {
            return Err(ReceiptError::AfterEnd);
        }
        let receipt = Self { lsn: Lsn(lsn), stream_bytes, head };
        let expected = sum(&receipt.body());
        if found != expected {
            return Err(ReceiptError::Sum { found: found.to_owned(), expected });
        }
        Ok(receipt)
    }
}

/// A number in the only form in which it is written.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let mut hash = [0; 32];
    if pairs.len() != hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(pairs) {
        let lower = pair.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let digits = std::str::from_utf8(pair).ok().filter(|_| lower)?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receipt() -> Receipt {
        Receipt { lsn: Lsn(48), stream_bytes: 1 << 40, head: *blake3::hash(b"x").as_bytes() }
    }

    #[test]
    fn the_empty_receipt_has_the_hash_of_nothing() {
        assert_eq!(Receipt::EMPTY.head, *blake3::hash(b"").as_bytes());
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let line = receipt().to_string();
        assert_eq!(line.parse(), Ok(receipt()));
        assert_eq!(format!("  {line}\r\n").parse(), Ok(receipt()));
        assert!(!line.contains('\n'));
    }

    #[test]
    fn what_is_not_a_receipt_says_why() {
        let line = receipt().to_string();
        let cases = [
            ("", "does not begin"),
            ("counterfoil-receipt-2 lsn=1", "does not begin"),
            ("counterfoil-receipt-1", "\"lsn\" is missing"),
            ("counterfoil-receipt-1 lsn=+48", "\"lsn\" is missing or malformed"),
            ("counterfoil-receipt-1 lsn=048", "\"lsn\" is missing or malformed"),
            ("counterfoil-receipt-1 lsn=99999999999999999999", "\"lsn\" is missing or malformed"),
            ("counterfoil-receipt-1  lsn=48", "\"lsn\" is missing or malformed"),
            ("counterfoil-receipt-1 lsn=48 head=00", "\"bytes\" is missing"),
            ("counterfoil-receipt-1 lsn=48 bytes=0 head=00", "\"head\" is missing or malformed"),
            (&line.replace("head=", "head=AB")[..], "\"head\" is missing or malformed"),
            (&line.replace(" sum=", " "), "\"sum\" is missing"),
            (&line.replace("lsn=48", "lsn=49"), "not copied correctly"),
            (&line.replace(" sum=", " sum=0"), "not copied correctly"),
            (&format!("{line} and more"), "something follows"),
        ];
        for (line, expected) in cases {
            let error = line.parse::<Receipt>().unwrap_err().to_string();
            assert!(error.contains(expected), "{line:?}: {error}");
        }
    }

    #[test]
    fn every_changed_bit_of_the_line_is_noticed() {
        let line = receipt().to_string();
        for bit in 0..line.len() * 8 {
            let mut bytes = line.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // A change of a letter at the end into white space is trimmed, and then missed.
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert_ne!(changed.parse(), Ok(receipt()), "bit {bit}");
            assert!(changed.parse::<Receipt>().is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read(line in ".{0,200}", lsn: u64, bytes: u64, head: [u8; 32]) {
            prop_assert!(line.parse::<Receipt>().is_err());
            let receipt = Receipt { lsn: Lsn(lsn), stream_bytes: bytes, head };
            prop_assert_eq!(receipt.to_string().parse(), Ok(receipt));
        }
    }
}
