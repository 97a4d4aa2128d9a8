//! Opens a snapshot whose bytes came from anywhere: it is read, or refused with a typed error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| counterfoil_log::fuzz::snapshot_hostile(data));
