//! Forms of browsers: nobody uploads, and a file is stored as it was sent however its bytes come.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::front::post_form(data));
