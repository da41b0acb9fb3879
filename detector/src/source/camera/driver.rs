//! What stands between us and the library that talks to cameras.

use std::time::Instant;

use super::{CameraFormat, CameraInfo};

/// A system's cameras. Reasons are texts for people.
pub(super) trait Driver: Send + 'static {
    /// The cameras that are there now.
    fn list(&mut self) -> Result<Vec<CameraInfo>, String>;
    /// What a camera offers, of what can be read.
    fn formats(&mut self, id: &str) -> Result<Vec<CameraFormat>, String>;
    /// Opens a camera. The stream stays on the thread that opened it.
    fn open(&mut self, id: &str, format: CameraFormat) -> Result<Box<dyn Stream>, String>;
}

/// A camera that gives pictures until it is dropped.
pub(super) trait Stream {
    /// The format that was promised. What comes may differ.
    fn format(&self) -> CameraFormat;
    /// Waits for the next picture; an error means that the camera is gone.
    fn read(&mut self) -> Result<Raw, String>;
}

/// A picture as the camera packed it.
pub(super) struct Raw {
    /// The bytes, perhaps with more behind the picture.
    pub(super) bytes: Vec<u8>,
    /// When it was taken, as far as the camera says.
    pub(super) taken: Instant,
}
