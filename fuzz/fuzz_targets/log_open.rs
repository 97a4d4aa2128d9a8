//! Opens a log whose bytes came from anywhere: it opens, or refuses with a typed error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| counterfoil_log::fuzz::open_hostile(data));
