//! VOC annotations and lists of images: whatever they hold, an error or a set that can be scored.
#![no_main]

#[path = "folder.rs"]
mod folder;

use libfuzzer_sys::fuzz_target;
use sandglass_eval::{Dataset, Detections, Policy, Skipped, evaluate};

fuzz_target!(|data: &[u8]| {
    let root = folder::folder("annotation");
    std::fs::write(root.join("a.xml"), data).expect("the folder can be written to");
    for policy in [Policy::Lenient, Policy::Complete, Policy::Strict] {
        if let Ok(set) = Dataset::folder(&root, &mut Skipped::new(policy)) {
            let report = evaluate(&set, &Detections::default(), 0.5).expect("a set without detections");
            assert_eq!(report.images, 1);
        }
    }
});
