//! Decodes a record from bytes that came from anywhere: it is refused, or written just so again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| counterfoil_log::fuzz::record_hostile(data));
