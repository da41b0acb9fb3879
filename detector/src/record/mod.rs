//! Drawing detections, recording annotated video, and what was found as lines of JSON.

#[cfg(feature = "video")]
mod background;
pub mod draw;
#[cfg(feature = "video")]
mod encode;
#[cfg(feature = "video")]
mod mux;
#[cfg(feature = "video")]
mod recorder;
#[cfg(feature = "video")]
mod segment;
mod sidecar;

#[cfg(feature = "video")]
pub use background::{Background, Recorded, Status, WhenFull};
pub use draw::{Overlay, class_color, draw};
#[cfg(feature = "video")]
pub use recorder::{Quality, Recorder, RecorderOptions, Summary};
pub use sidecar::{Line, TimingMs};
