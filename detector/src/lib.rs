//! SSDLite object detection with MobileNeXt and its relatives: sources of frames, the pipeline from a frame
//! to detections, drawing and recording.
//!
//! ```
//! use sandglass_detector::{Detector, Device, Frame};
//!
//! # let frame = Frame::rgb8(32, 24, vec![0; 32 * 24 * 3])?;
//! let detector = Detector::builder().backbone("mobilenext-1.0").device(Device::Cpu).build()?;
//! let detections = detector.detect(&frame)?;
//! # assert!(detections.timing.total().as_nanos() > 0);
//! # Ok::<(), sandglass_detector::Error>(())
//! ```

pub mod anchors;
mod classify;
pub mod compare;
#[cfg(feature = "cuda")]
mod cuda;
mod decode;
mod detections;
mod error;
#[cfg(feature = "export")]
pub mod export;
#[cfg(any(feature = "arrow", feature = "camera", feature = "program"))]
mod foreign;
mod frame;
pub mod heads;
#[cfg(feature = "import")]
pub mod import;
pub mod models;
mod nms;
mod pipeline;
mod postprocess;
mod preprocess;
#[cfg(feature = "program")]
pub mod program;
pub mod quantise;
pub mod recognise;
pub mod record;
pub mod selftest;
mod settings;
pub mod source;
#[cfg(feature = "arrow")]
pub mod table;
mod words;
mod work;

pub use classify::{Classifier, Guess};
pub use detections::{BoxXyxy, Detection, Detections, Timing};
pub use error::Error;
pub use frame::{Frame, FrameView, MAX_SIDE};
pub use pipeline::{Detector, DetectorBuilder, Opened};
pub use sandglass_backbone as backbone;
pub use settings::{ClassFilter, Device, Settings};
