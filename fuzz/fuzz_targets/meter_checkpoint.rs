//! Opens a checkpoint of meters whose bytes came from anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| counterfoil_meter::fuzz::checkpoint_hostile(data));
