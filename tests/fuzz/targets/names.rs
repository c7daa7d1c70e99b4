//! Bucket names and object keys: kept byte for byte, and a path never leaves its container.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::properties::names(data));
