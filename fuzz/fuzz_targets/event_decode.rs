//! Reads an event whose bytes came from anywhere, in any form: it is read, or refused with a typed
//! error, and what is read is written again as itself.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| counterfoil::stored::fuzz_decode(data));
