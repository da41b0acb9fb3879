//! What the targets do with their inputs; `tests/corpus.rs` does the same with the corpus.
#![allow(dead_code, reason = "each target takes one of these")]
#![allow(clippy::expect_used, reason = "a fuzz target fails by a panic")]

use std::path::PathBuf;

use sandglass_eval::coco::{self, CocoTruth};
use sandglass_eval::partial::Partial;
use sandglass_eval::{Dataset, Detections, Policy, Skipped, evaluate, tide};

/// What a target does with an input.
type Run = fn(&[u8]);

/// The targets by name.
pub(crate) const TARGETS: [(&str, Run); 4] =
    [("annotation", annotation), ("coco", coco), ("detections", detections), ("parts", parts)];

/// A folder of this process alone.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sandglass-fuzz-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
}

/// VOC annotations and lists of images: whatever they hold, an error or a set that can be scored.
pub(crate) fn annotation(data: &[u8]) {
    let root = folder("annotation");
    std::fs::write(root.join("a.xml"), data).expect("the folder can be written to");
    for policy in [Policy::Lenient, Policy::Complete, Policy::Strict] {
        if let Ok(set) = Dataset::folder(&root, &mut Skipped::new(policy)) {
            let report = evaluate(&set, &Detections::default(), 0.5).expect("a set without detections");
            assert_eq!(report.images, 1);
        }
    }
}

/// COCO's ground truth and results, the two divided by the first zero byte.
pub(crate) fn coco(data: &[u8]) {
    let folder = folder("coco");
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
}

/// Detections in every form a file can have.
pub(crate) fn detections(data: &[u8]) {
    let path = folder("detections").join("cat.txt");
    std::fs::write(&path, data).expect("the folder can be written to");
    for policy in [Policy::Lenient, Policy::Complete, Policy::Strict] {
        if let Ok(found) = Detections::read(&path, "test", &mut Skipped::new(policy)) {
            let finite = |class: &String| found.of_class(class).iter().all(|d| d.score.is_finite());
            assert!(found.classes().iter().all(finite));
        }
    }
}

/// Parts of an evaluation.
pub(crate) fn parts(data: &[u8]) {
    let path = folder("parts").join("part.json");
    std::fs::write(&path, data).expect("the folder can be written to");
    if let Ok(part) = Partial::read(&path)
        && let Ok(merged) = Partial::merge(vec![part])
    {
        evaluate(&merged.truth, &merged.found, 0.5).expect("merged parts name their own images");
    }
}
