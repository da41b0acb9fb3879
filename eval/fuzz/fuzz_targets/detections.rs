//! Detections in every form a file can have.
#![no_main]

#[path = "folder.rs"]
mod folder;

use libfuzzer_sys::fuzz_target;
use sandglass_eval::{Detections, Policy, Skipped};

fuzz_target!(|data: &[u8]| {
    let path = folder::folder("detections").join("cat.txt");
    std::fs::write(&path, data).expect("the folder can be written to");
    for policy in [Policy::Lenient, Policy::Complete, Policy::Strict] {
        if let Ok(found) = Detections::read(&path, "test", &mut Skipped::new(policy)) {
            let finite = |class: &String| found.of_class(class).iter().all(|d| d.score.is_finite());
            assert!(found.classes().iter().all(finite));
        }
    }
});
