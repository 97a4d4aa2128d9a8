//! Decodes a block of usage whose bytes came from anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| counterfoil_meter::fuzz::block_hostile(data));
