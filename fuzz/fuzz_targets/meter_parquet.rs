//! Reads Parquet of any bytes. The library panics over some and is caught; the fuzzer, which ends
//! with the first panic that it is told of, is told of none, and sees those that come out.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| ())),
    |data: &[u8]| counterfoil_meter::fuzz::parquet_hostile(data)
);
