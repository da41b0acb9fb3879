//! COCO: reading its files and scoring by its rules.

mod metrics;
mod truth;

pub use metrics::{CocoClass, CocoReport, evaluate};
pub use truth::CocoTruth;
