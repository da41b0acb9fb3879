//! Drawing detections and recording annotated video.

pub mod draw;
#[cfg(feature = "video")]
mod encode;
#[cfg(feature = "video")]
mod mux;
#[cfg(feature = "video")]
mod recorder;

pub use draw::{class_color, draw};
#[cfg(feature = "video")]
pub use recorder::{Recorder, RecorderOptions, Summary};
