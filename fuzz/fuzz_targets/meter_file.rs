//! Reads CSV and NDJSON of any bytes: every row is an event once, or refused once.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| counterfoil_meter::fuzz::file_hostile(data));
