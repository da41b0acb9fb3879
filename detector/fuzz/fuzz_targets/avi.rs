//! AVI files with Motion JPEG: their headers, and a few pictures.
#![no_main]

#[path = "shared.rs"]
mod shared;

libfuzzer_sys::fuzz_target!(|data: &[u8]| shared::avi(data));
