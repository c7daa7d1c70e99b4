//! Records beside the bytes: written and read again they are the same, within their limit.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::properties::record(data));
