//! Which of the detections are shown, by class.

use sandglass_detector::{Detections, Timing};

use crate::settings::Hidden;

/// The detections without those of hidden classes.
#[must_use]
pub fn kept(found: &Detections, hidden: &Hidden) -> Detections {
    let mut kept = found.clone();
    kept.items.retain(|item| !hidden.contains(&*item.label));
    kept
}

/// No detections, for a picture of this size in pixels.
#[must_use]
pub fn nothing(width: u32, height: u32) -> Detections {
    Detections { items: Vec::new(), width, height, timing: Timing::default() }
}
