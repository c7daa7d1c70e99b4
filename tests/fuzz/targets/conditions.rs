//! Conditional headers: a tag matches itself and nothing else, and reads and writes agree.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::properties::conditions(data));
