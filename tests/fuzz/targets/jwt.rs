//! Tokens: nothing counts that the server's secret did not sign.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::properties::jwt(data));
