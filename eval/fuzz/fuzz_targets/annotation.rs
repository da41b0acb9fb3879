//! VOC annotations and lists of images: whatever they hold, an error or a set that can be scored.
#![no_main]

#[path = "shared.rs"]
mod shared;

libfuzzer_sys::fuzz_target!(|data: &[u8]| shared::annotation(data));
