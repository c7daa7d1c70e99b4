//! Policy documents: nothing that is not evaluated is accepted.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::properties::policy(data));
