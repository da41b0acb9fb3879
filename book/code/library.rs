//! The pieces of the chapter "From Rust", so that they are compiled and run (`eval/tests/book.rs`). The chapter has
//! them line by line.

use std::path::Path;

use sandglass_detector::{ClassFilter, Detections, Detector, Device, Error, Frame, source};

/// Everything that the chapter does, one after the other, in a folder that has `photos`.
pub(crate) fn all(photos: &Path) -> Result<(), Error> {
    let mut detector = build()?;
    let frames: Vec<Frame> = ["chelsea.jpg", "astronaut.jpg"]
        .iter()
        .map(|name| source::load_image(&photos.join(name)))
        .collect::<Result<_, _>>()?;
    let cat = detector.detect(&frames[0])?;
    assert_eq!(cat.items.first().map(|found| &*found.label), Some("cat"));
    tell(&cat);
    one(&detector)?;
    following(&detector, &frames)?;
    many(&detector, &frames)?;
    change(&mut detector)?;
    assert_eq!(detector.backbone().to_string(), "mobilenet-v2-1.0-int8");
    Ok(())
}

fn build() -> Result<Detector, Error> {
    let detector = Detector::builder()
        .backbone("mobilenet-v2-1.0")
        .device(Device::Cpu)
        .threads(1)
        .score_threshold(0.5)
        .classes(ClassFilter::Only(vec!["cat".into(), "dog".into()]))
        .build()?;
    Ok(detector)
}

fn one(detector: &Detector) -> Result<Detections, Error> {
    let pixels = vec![128; 640 * 480 * 3];
    let frame = Frame::rgb8(640, 480, pixels)?;
    let detections = detector.detect(&frame)?;
    Ok(detections)
}

fn tell(detections: &Detections) {
    for found in &detections.items {
        let share = found.bounds.clipped(detections.width, detections.height).area();
        println!("{} {:.2} {share:.0} pixels", found.label, found.score);
    }
    println!("{:?} for the network", detections.timing.network);
}

fn following(detector: &Detector, frames: &[Frame]) -> Result<(), Error> {
    let mut detections = Detections::default();
    for frame in frames {
        detector.detect_into(frame, &mut detections)?;
    }
    Ok(())
}

fn many(detector: &Detector, frames: &[Frame]) -> Result<(), Error> {
    let all = detector.detect_batch(frames)?;
    assert_eq!(all.len(), frames.len());
    Ok(())
}

fn change(detector: &mut Detector) -> Result<(), Error> {
    detector.switch_backbone("mobilenet-v2-1.0-int8", None)?;
    detector.settings_mut().score_threshold = 0.4;
    detector.set_classes(ClassFilter::Except(vec!["chair".into()]))?;
    Ok(())
}

/// Goes through a source; how many frames it says it has.
pub(crate) fn watch(photos: &str) -> Result<Option<u64>, Error> {
    let mut source = source::open(photos)?;
    while let Some(frame) = source.next_frame()? {
        println!("{}: {}×{}", source.name(), frame.width(), frame.height());
    }
    Ok(source.frame_count())
}
