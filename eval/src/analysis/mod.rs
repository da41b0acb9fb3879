//! What is behind a score: matched detections, and what can be read off them.

mod bootstrap;
mod confusion;
mod groups;
mod matched;
mod thresholds;
mod worst;

pub use bootstrap::{Interval, Spread, difference, interval};
pub use confusion::Confusion;
pub use groups::{Group, GroupScore, by_aspect, by_size};
pub use matched::{ClassOutcomes, Matched, MatchedClass, MatchedDetection, MatchedObject, Outcomes};
pub use thresholds::{Histogram, Operating};
pub use worst::{Worst, worst};
