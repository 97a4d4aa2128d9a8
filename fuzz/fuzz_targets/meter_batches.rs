//! Takes batches in at once and in two phases: both say and come to the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| counterfoil_meter::fuzz::batches_hostile(data));
