//! CRC-32C, the checksum of everything in a book.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of what `crc` is the checksum of, followed by `bytes`.
pub(crate) fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    // A checksum of 32 bits stands in the lower half.
    u32::try_from(digest.finalize()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, as the polynomial says.
    fn slow(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn the_checksum_is_that_of_the_polynomial_at_every_length_and_split() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let bytes: Vec<u8> = (0..3000_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        for len in (0..300).chain([511, 512, 1023, 1025, 2048, 2999]) {
            let part = &bytes[len % 5..len.max(len % 5)];
            let expected = slow(part);
            assert_eq!(crc32c(part), expected, "{len}");
            for cut in [0, 1, 4, part.len() / 3, part.len()] {
                let cut = cut.min(part.len());
                let begun = crc32c(&part[..cut]);
                assert_eq!(crc32c_append(begun, &part[cut..]), expected, "{len} at {cut}");
            }
        }
    }
}
