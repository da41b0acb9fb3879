//! Parts of an evaluation.
#![no_main]

#[path = "folder.rs"]
mod folder;

use libfuzzer_sys::fuzz_target;
use sandglass_eval::evaluate;
use sandglass_eval::partial::Partial;

fuzz_target!(|data: &[u8]| {
    let path = folder::folder("parts").join("part.json");
    std::fs::write(&path, data).expect("the folder can be written to");
    if let Ok(part) = Partial::read(&path)
        && let Ok(merged) = Partial::merge(vec![part])
    {
        evaluate(&merged.truth, &merged.found, 0.5).expect("merged parts name their own images");
    }
});
