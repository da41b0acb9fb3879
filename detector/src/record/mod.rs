//! Drawing detections, recording annotated video, and what was found as lines of JSON.

#[cfg(feature = "video")]
mod background;
pub mod draw;
#[cfg(feature = "video")]
mod encode;
mod line;
#[cfg(feature = "video")]
mod mux;
#[cfg(feature = "video")]
mod recorder;
#[cfg(feature = "video")]
mod segment;
#[cfg(feature = "video")]
mod sidecar;

#[cfg(feature = "video")]
pub use background::{Background, Monitor, Recorded, Status, WhenFull};
pub use draw::{Overlay, class_color, draw, draw_with};
pub use line::{Line, TimingMs};
#[cfg(feature = "video")]
pub use recorder::{Quality, Recorder, RecorderOptions, Summary};
