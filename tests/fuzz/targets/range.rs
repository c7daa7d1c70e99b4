//! The `Range` header: printed and read again it is the same, and what it means lies inside the body.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::properties::range(data));
