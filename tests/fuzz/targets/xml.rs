//! XML bodies: answered, never with a failure of the server; what is not named stays.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::front::xml(data));
