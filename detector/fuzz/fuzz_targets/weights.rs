//! Weights files (safetensors) with whatever metadata and tensors.
#![no_main]

#[path = "shared.rs"]
mod shared;

libfuzzer_sys::fuzz_target!(|data: &[u8]| shared::weights(data));
