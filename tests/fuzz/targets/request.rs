//! Targets and headers of whole requests: answered; no sub-resource falls through to its bucket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::front::request(data));
