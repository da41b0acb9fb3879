//! Pascal VOC mean average precision, to the digits of the VOC2007 devkit.
//!
//! ```text
//! annotation tree ──▶ Dataset ────┐
//!                                 ├──▶ matching ──▶ precision and recall ──▶ Report
//! detection files ──▶ Detections ─┘
//! ```
//!
//! Files are touched at the edge alone ([`Dataset::voc`], [`Detections::read_devkit`],
//! [`Detections::write_devkit`]); [`matching`] and [`voc`] are pure functions over plain arrays.
//! Every rule is the devkit's: inclusive pixels, equal scores in file order, one best object a
//! detection, `difficult` objects that count for nothing.
//!
//! ```
//! use sandglass_eval::voc::{Dataset, Metric, evaluate};
//! use sandglass_eval::{Detections, PixelBox};
//!
//! let cat = PixelBox { xmin: 1.0, ymin: 1.0, xmax: 10.0, ymax: 10.0 };
//! let mut truth = Dataset::default();
//! truth.add_image("000001", [("cat", false, cat)])?;
//! let mut found = Detections::default();
//! found.push("cat", "000001", 0.9, cat)?;
//! let report = evaluate(&truth, &found, 0.5)?;
//! assert_eq!(report.map(Metric::AllPoint), Some(1.0));
//! # Ok::<(), sandglass_eval::Error>(())
//! ```

pub mod analysis;
pub mod coco;
pub mod columns;
mod detections;
mod error;
mod ground_truth;
pub mod matching;
mod names;
mod number;
mod parallel;
pub mod partial;
mod pixel_box;
pub mod scene;
mod skipped;
pub mod tide;
pub mod ties;
pub mod voc;

pub use detections::{Detection, Detections, Format};
pub use error::{Error, Place};
pub use ground_truth::{Dataset, Image, Object, VOC_CLASSES};
pub use pixel_box::{PixelBox, iou_inclusive};
pub use skipped::{Oddity, Policy, Skipped, Tally};
pub use voc::{ClassReport, Report, evaluate};
