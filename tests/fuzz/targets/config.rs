//! The configuration file: a sound configuration or a list of problems.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::properties::config(data));
