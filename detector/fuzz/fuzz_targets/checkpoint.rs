//! PyTorch checkpoints in both of their formats, and which network they are of.
#![no_main]

#[path = "shared.rs"]
mod shared;

libfuzzer_sys::fuzz_target!(|data: &[u8]| shared::checkpoint(data));
