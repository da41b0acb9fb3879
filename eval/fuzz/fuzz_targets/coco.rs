//! COCO's ground truth and results, the two divided by the first zero byte.
#![no_main]

#[path = "shared.rs"]
mod shared;

libfuzzer_sys::fuzz_target!(|data: &[u8]| shared::coco(data));
