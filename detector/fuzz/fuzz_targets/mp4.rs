//! MP4 and MOV files: their index, and a few pictures.
#![no_main]

#[path = "shared.rs"]
mod shared;

libfuzzer_sys::fuzz_target!(|data: &[u8]| shared::mp4(data));
