//! The default detector finds what is in the demo pictures.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![cfg(feature = "embedded-weights")]

use std::path::Path;

use sandglass_detector::{BoxXyxy, Detector, source};

/// The best detection of a class in a demo picture.
fn best(picture: &str, label: &str) -> Option<(f32, BoxXyxy)> {
    let detector = Detector::builder().build().unwrap();
    assert!(detector.is_trained());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo").join(picture);
    let found = detector.detect(&source::load_image(&path).unwrap()).unwrap();
    let item = found.items.into_iter().find(|d| &*d.label == label)?;
    Some((item.score, item.bounds))
}

#[test]
fn the_astronaut_is_a_person() {
    let (score, bounds) = best("astronaut.jpg", "person").unwrap();
    assert!(score > 0.5, "{score}");
    // Where she is in the 512×512 picture, drawn by hand.
    assert!(bounds.iou(BoxXyxy { x1: 18.0, y1: 5.0, x2: 455.0, y2: 512.0 }) > 0.5, "{bounds:?}");
}

#[test]
fn chelsea_is_a_cat() {
    let (score, bounds) = best("chelsea.jpg", "cat").unwrap();
    assert!(score > 0.5, "{score}");
    assert!(bounds.iou(BoxXyxy { x1: 20.0, y1: 5.0, x2: 420.0, y2: 300.0 }) > 0.5, "{bounds:?}");
}

#[test]
fn the_motorcycle_is_a_motorbike() {
    let (score, bounds) = best("motorcycle.jpg", "motorbike").unwrap();
    assert!(score > 0.5, "{score}");
    assert!(bounds.iou(BoxXyxy { x1: 92.0, y1: 30.0, x2: 685.0, y2: 455.0 }) > 0.5, "{bounds:?}");
}
