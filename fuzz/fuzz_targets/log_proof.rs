//! Checks a proof whose bytes came from anywhere: it proves a record, or is refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| counterfoil_log::fuzz::check_hostile_proof(data));
