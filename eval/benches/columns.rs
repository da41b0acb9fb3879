//! Scoring of columns that are in memory: what the same takes from Python is measured against (`python/benches/evaluate.py`
//! leaves the columns in a folder, and calls this with it). Prints the medians of VOC's and COCO's rules in seconds.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::fs;
use std::path::Path;
use std::time::Instant;

use sandglass_eval::columns::{Columns, DetectionColumns, ObjectColumns};
use sandglass_eval::{coco, evaluate};

const ROUNDS: usize = 7;

fn main() {
    // `cargo bench` adds --bench.
    let Some(folder) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        println!(
            "not measured: the folder with the columns is missing; python/benches/evaluate.py makes one"
        );
        return;
    };
    let folder = Path::new(&folder);
    let bytes = |name: &str| fs::read(folder.join(name)).unwrap();
    let whole = |name: &str| -> Vec<i64> {
        bytes(name).as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
    };
    let real = |name: &str| -> Vec<f64> {
        bytes(name).as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
    };
    let (object_boxes, boxes) = (real("object_boxes"), real("boxes"));
    let (object_images, object_labels) = (whole("object_images"), whole("object_labels"));
    let ignored: Vec<bool> = bytes("object_ignored").iter().map(|byte| *byte != 0).collect();
    let (images, labels, scores) = (whole("images"), whole("labels"), real("scores"));
    let classes: Vec<String> = (0..20).map(|class| class.to_string()).collect();
    let columns = Columns {
        images: 4952,
        classes: &classes,
        objects: ObjectColumns {
            images: &object_images,
            labels: &object_labels,
            boxes: object_boxes.as_chunks::<4>().0,
            ignored: &ignored,
            areas: &[],
        },
        detections: DetectionColumns {
            images: &images,
            labels: &labels,
            boxes: boxes.as_chunks::<4>().0,
            scores: &scores,
        },
    };
    let voc = median(|| {
        let (truth, found) = columns.voc().unwrap();
        evaluate(&truth, &found, 0.5).unwrap().map_11_point.unwrap()
    });
    let coco = median(|| coco::evaluate(&columns.scene().unwrap()).ap.unwrap());
    println!("{voc:.6} {coco:.6}");
}

fn median(mut call: impl FnMut() -> f64) -> f64 {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        assert!(call().is_finite());
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}
