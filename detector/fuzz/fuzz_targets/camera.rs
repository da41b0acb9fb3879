//! What a camera sends: six bytes say what it promised, the rest is what came.
#![no_main]

#[path = "shared.rs"]
mod shared;

libfuzzer_sys::fuzz_target!(|data: &[u8]| shared::camera(data));
