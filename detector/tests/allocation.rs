//! A detector allocates nothing after its first frames.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use std::sync::atomic::Ordering;

use counting::CALLS;
use sandglass_detector::{Detections, Detector, Frame};

#[path = "../../backbone/tests/common/counting.rs"]
mod counting;

// One test alone: another one beside it would be counted, too.
#[test]
fn no_frame_after_the_first_allocates() {
    let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
    let frame = Frame::rgb8(640, 360, (0..640 * 360 * 3).map(noise).collect()).unwrap();
    for threads in [1, 2] {
        // Some classes above the threshold everywhere, so that every list is filled.
        let builder = Detector::builder().backbone("mobilenext-0.35").threads(threads).score_threshold(0.01);
        let detector = builder.build().unwrap();
        let mut found = Detections::default();
        detector.detect_into(&frame, &mut found).unwrap();
        assert!(!found.items.is_empty());
        let before = CALLS.load(Ordering::SeqCst);
        for _ in 0..3 {
            detector.detect_into(&frame, &mut found).unwrap();
        }
        assert_eq!(CALLS.load(Ordering::SeqCst) - before, 0, "{threads} threads");
    }
}
