//! The whole pipeline, 1280×720 RGB to detections: each stage on one thread, the worst case of the last one,
//! and a batch on one thread and on two.
//!
//!     cargo bench -p sandglass-detector --bench pipeline
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::time::{Duration, Instant};

use sandglass_detector::{Detections, Detector, Frame};

const FRAMES: usize = 100;
const BATCH: usize = 32;
const ROUNDS: usize = 9;

fn main() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo/astronaut.jpg");
    let photo = image::open(path).unwrap().resize_exact(1280, 720, image::imageops::FilterType::Triangle);
    let frame = Frame::rgb8(1280, 720, photo.to_rgb8().into_raw()).unwrap();
    for name in ["mobilenext-1.0", "mobilenet-v2-1.0"] {
        let mut detector = Detector::builder().backbone(name).threads(1).build().unwrap();
        println!("{name}, {}, medians of {FRAMES} frames:", detector.engine());
        let times = stages(&detector, &frame);
        println!(
            "  preprocess {:.2} ms, network {:.2} ms, postprocess {:.2} ms; all {:.3} × the network",
            times[0],
            times[1],
            times[2],
            times.iter().sum::<f64>() / times[1],
        );
        detector.settings_mut().score_threshold = 0.0;
        println!("  postprocess with every class of every anchor above the threshold {:.2} ms", {
            stages(&detector, &frame)[2]
        });
        let two = Detector::builder().backbone(name).threads(2).build().unwrap();
        detector.settings_mut().score_threshold = two.settings().score_threshold;
        let frames = vec![frame.clone(); BATCH];
        let [mut one_thread, mut two_threads] = [Vec::new(), Vec::new()];
        two.detect_batch(&frames).unwrap();
        for _ in 0..ROUNDS {
            one_thread.push(batch(&detector, &frames));
            two_threads.push(batch(&two, &frames));
        }
        let (one, two) = (median(one_thread), median(two_threads));
        println!(
            "  batch of {BATCH}: {:.1} a second on one thread, {:.1} on two: {:.2} ×",
            BATCH as f64 / one * 1e3,
            BATCH as f64 / two * 1e3,
            one / two
        );
    }
}

fn stages(detector: &Detector, frame: &Frame) -> [f64; 3] {
    let mut found = Detections::default();
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..FRAMES {
        detector.detect_into(frame, &mut found).unwrap();
        let parts = [found.timing.preprocess, found.timing.network, found.timing.postprocess];
        times.iter_mut().zip(parts).for_each(|(times, part)| times.push(part));
    }
    times.map(median)
}

fn batch(detector: &Detector, frames: &[Frame]) -> Duration {
    let start = Instant::now();
    detector.detect_batch(frames).unwrap();
    start.elapsed()
}

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}
