//! Takes columns of every type in at once and in two phases: both say and come to the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| counterfoil_meter::fuzz::columns_hostile(data));
