//! Bodies in chunks: what is stored is what the framing says, or nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::front::chunked(data));
