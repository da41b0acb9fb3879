//! COCO's ground truth and results, the two divided by the first zero byte.
#![no_main]

#[path = "folder.rs"]
mod folder;

use libfuzzer_sys::fuzz_target;
use sandglass_eval::coco::{self, CocoTruth};
use sandglass_eval::{Policy, Skipped, evaluate, tide};

fuzz_target!(|data: &[u8]| {
    let folder = folder::folder("coco");
    let (gt, dt) = (folder.join("gt.json"), folder.join("dt.json"));
    let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    std::fs::write(&gt, &data[..cut]).expect("the folder can be written to");
    std::fs::write(&dt, data.get(cut + 1..).unwrap_or_default()).expect("the folder can be written to");
    let Ok(truth) = CocoTruth::read(&gt) else { return };
    let set = truth.dataset();
    if let Ok((found, scene)) = truth.read_results(&dt, &mut Skipped::new(Policy::Lenient)) {
        let _ = coco::evaluate(&scene);
        let _ = tide::analyse(&scene, 100);
        if let Ok(set) = set {
            evaluate(&set, &found, 0.5).expect("results were checked against the ground truth");
        }
    }
});
