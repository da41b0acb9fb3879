//! Sound weights in which tensors are changed: plans are made of them and run.
#![no_main]

#[path = "shared.rs"]
mod shared;

libfuzzer_sys::fuzz_target!(|data: &[u8]| shared::plan(data));
