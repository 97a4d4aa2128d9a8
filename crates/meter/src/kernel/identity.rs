//! What identifiers and customers are told apart by.
//!
//! An identifier is kept as 128 bits. One that is a number, in an [`Identifiers::Numbers`] column
//! or as text of 32 lower-case hexadecimal digits, is those bits. Any other text is hashed under
//! the key of the aggregator, which its callers do not know, so that nobody can make two texts
//! meet; by chance they do once in 2^64 texts or so. Each meter has its own name space: its bits
//! are mixed in.
//!
//! [`Identifiers::Numbers`]: crate::Identifiers::Numbers

use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// What the aggregator hashes under. It decides where things lie in memory and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    text: [u64; 2],
    place: [u64; 2],
}

impl Default for Key {
    fn default() -> Self {
        Self::new([0x5a; 32])
    }
}

impl Key {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        let word = |skip: usize| {
            let word = bytes.iter().skip(skip).take(8);
            word.fold(0_u64, |word, &byte| word << 8 | u64::from(byte))
        };
        // Multipliers are odd and have many bits set, whatever the key. The two differ even where
        // the words of the key are the same: a number of few bits on the second meter would be
        // multiplied by nothing else.
        let place = [word(16) ^ 0x9e37_79b9_7f4a_7c15, (word(24) ^ 0xc2b2_ae3d_27d4_eb4f) | 1];
        Self { text: [word(0), word(8)], place }
    }

    fn text(&self, text: &str) -> [u64; 2] {
        let mut hasher = SipHasher13::new_with_keys(self.text[0], self.text[1]);
        hasher.write(text.as_bytes());
        let hash = hasher.finish128();
        [hash.h1, hash.h2]
    }

    /// The 128 bits of an identifier of a meter.
    #[inline(always)]
    pub(crate) fn identifier(&self, meter: u16, identifier: Identifier<'_>) -> [u64; 2] {
        let [high, low] = match identifier {
            Identifier::Number(number) => halves(number),
            Identifier::Text(text) => match number(text) {
                Some(number) => halves(number),
                None => self.text(text),
            },
        };
        self.spaced(meter, [high, low])
    }

    #[inline(always)]
    fn spaced(&self, meter: u16, [high, low]: [u64; 2]) -> [u64; 2] {
        let space = u64::from(meter).wrapping_mul(self.place[1]);
        [high ^ space, low ^ space.rotate_left(32)]
    }

    /// The number that an identifier of a meter was, if it was one.
    pub(crate) fn number(&self, meter: u16, identifier: [u64; 2]) -> u128 {
        whole(self.spaced(meter, identifier))
    }

    /// Where an identifier lies in an index.
    #[inline(always)]
    pub(crate) fn place(&self, identifier: [u64; 2]) -> u64 {
        fold(identifier[0] ^ self.place[0], identifier[1] ^ self.place[1])
    }

    /// Where a pair of numbers that the aggregator gave lies in an index.
    #[inline(always)]
    pub(crate) fn pair(&self, pair: u64) -> u64 {
        fold(pair ^ self.place[0], self.place[1])
    }

    /// Where a customer lies in an index.
    #[inline(always)]
    pub(crate) fn customer(&self, customer: Customer<'_>) -> u64 {
        match customer {
            Customer::Number(number) => self.pair(number),
            Customer::Text(text) => self.text(text)[0],
        }
    }
}

/// The two halves of a 128-bit product, folded into one word, twice: once leaves patterns of
/// counting numbers visible.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    let once = low(product) ^ low(product >> 64);
    let product = u128::from(once ^ 0x2d35_8dcc_aa6c_78a5).wrapping_mul(0xd6e8_feb8_6659_fd93);
    low(product) ^ low(product >> 64)
}

#[expect(clippy::as_conversions, reason = "the lower half is what is asked for")]
const fn low(word: u128) -> u64 {
    word as u64
}

/// A number as two words, the higher one first.
#[inline(always)]
pub(crate) const fn halves(number: u128) -> [u64; 2] {
    [low(number >> 64), low(number)]
}

/// The number of two words.
#[inline(always)]
pub(crate) fn whole([high, low]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// The number that a text of 32 lower-case hexadecimal digits says.
#[inline(always)]
pub(crate) fn number(text: &str) -> Option<u128> {
    (text.len() == 32).then(|| digits(text)).flatten()
}

fn digits(text: &str) -> Option<u128> {
    text.bytes().try_fold(0_u128, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit.wrapping_sub(b'0'),
            b'a'..=b'f' => digit.wrapping_sub(b'a').wrapping_add(10),
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// The text of an identifier that is a number.
pub(crate) fn identifier_text(number: u128) -> String {
    format!("{number:032x}")
}

/// An identifier as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identifier<'a> {
    Text(&'a str),
    Number(u128),
}

impl Identifier<'_> {
    /// Its text.
    pub(crate) fn to_text(self) -> String {
        match self {
            Self::Text(text) => text.to_owned(),
            Self::Number(number) => identifier_text(number),
        }
    }
}

/// A customer as it was given: a number is the customer whose id is its 16 lower-case hexadecimal
/// digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Customer<'a> {
    Text(&'a str),
    Number(u64),
}

impl<'a> Customer<'a> {
    /// The customer of a text, in the one form that it is compared in.
    #[inline(always)]
    pub(crate) fn of(text: &'a str) -> Self {
        let number = (text.len() == 16).then(|| digits(text)).flatten();
        number.map_or(Self::Text(text), |number| Self::Number(low(number)))
    }

    /// Its text.
    pub(crate) fn to_text(self) -> String {
        match self {
            Self::Text(text) => text.to_owned(),
            Self::Number(number) => format!("{number:016x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_and_its_text_are_one_identifier() {
        let key = Key::default();
        for number in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let text = identifier_text(number);
            let of = |identifier| key.identifier(3, identifier);
            assert_eq!(of(Identifier::Text(&text)), of(Identifier::Number(number)));
            let upper = text.to_uppercase();
            if upper != text {
                assert_ne!(of(Identifier::Text(&upper)), of(Identifier::Number(number)));
                assert_eq!(super::number(&upper), None);
            }
        }
        assert_eq!(Customer::of("00000000000000ff"), Customer::Number(255));
        assert_eq!(Customer::Number(255).to_text(), "00000000000000ff");
        assert_eq!(Customer::of("00000000000000fF"), Customer::Text("00000000000000fF"));
        assert_eq!(Customer::of("ff"), Customer::Text("ff"));
    }

    #[test]
    fn meters_have_name_spaces_of_their_own_and_keys_matter() {
        let (one, other) = (Key::default(), Key::new([7; 32]));
        let a = Identifier::Text("a");
        assert_ne!(one.identifier(0, a), one.identifier(1, a));
        assert_ne!(one.identifier(0, a), other.identifier(0, a));
        assert_ne!(one.place([1, 2]), other.place([1, 2]));
    }

    #[test]
    fn counting_numbers_lie_apart_on_every_meter() {
        for key in [Key::default(), Key::new([0; 32]), Key::new([7; 32])] {
            for meter in 0..40 {
                let place = |number| key.place(key.identifier(meter, Identifier::Number(number)));
                let mut lines = [0_u32; 1024];
                for number in 0..4096 {
                    let line = usize::try_from(place(number) >> 22 & 1023).unwrap();
                    lines[line] += 1;
                }
                // Four are expected; twenty come by chance once in a thousand million.
                let most = lines.iter().max().unwrap();
                assert!(*most < 20, "{most} of 4096 in one of 1024 lines, on meter {meter}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_bit_of_a_place_is_as_often_set_as_not(start in any::<u128>(), step in 1..9_u128) {
            let key = Key::default();
            let mut set = [0_u32; 64];
            for number in 0..4096_u128 {
                let place = key.place(halves(start.wrapping_add(number * step)));
                for (bit, count) in set.iter_mut().enumerate() {
                    *count += u32::from(place >> bit & 1 == 1);
                }
            }
            // Six deviations of a fair coin.
            prop_assert!(set.iter().all(|&count| count.abs_diff(2048) < 192), "{:?}", set);
        }
    }
}
