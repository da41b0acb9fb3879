//! What the viewer needs from the detector crate, behind traits: tests put something small in its place.

use std::path::PathBuf;
use std::sync::Arc;

use sandglass_detector::source::FrameSource;
use sandglass_detector::{Detections, Error, Frame};

use crate::settings::Thresholds;
use crate::state::ModelInfo;

/// Which detector is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelChoice {
    /// The backbone by name; `None` leaves it to the weights file, or to the default.
    pub backbone: Option<String>,
    /// Weights from a file in place of the built-in ones.
    pub weights: Option<PathBuf>,
    /// Threads that work on one frame; 0 for one a processor.
    pub threads: usize,
}

/// A camera of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraEntry {
    /// What opens it, as `camera:0`.
    pub source: String,
    /// Its name, for people.
    pub name: String,
}

/// A detector at work.
pub trait Engine: Send {
    /// The backbone by name.
    fn backbone(&self) -> String;

    /// Whether its weights are trained ones.
    fn is_trained(&self) -> bool;

    /// Where it runs, such as `CPU, AVX2, 2 threads`.
    fn describe(&self) -> String;

    /// The classes it knows, without the background.
    fn classes(&self) -> Vec<Arc<str>>;

    /// The objects in a frame.
    ///
    /// # Errors
    /// As the detector's own.
    fn detect(&mut self, frame: &Frame, thresholds: &Thresholds) -> Result<Detections, Error>;
}

/// Where detectors and sources come from.
pub trait Backend: Send + Sync {
    /// The backbones there are.
    fn models(&self) -> Vec<ModelInfo>;

    /// Builds a detector; takes as long as it takes, so it is called from a worker alone.
    ///
    /// # Errors
    /// As the detector's builder.
    fn build(&self, choice: &ModelChoice) -> Result<Box<dyn Engine>, Error>;

    /// Opens a source by the words of the command line; `format` is the size and rate wanted of a camera.
    ///
    /// # Errors
    /// As the source.
    fn open(&self, source: &str, format: Option<&str>) -> Result<Box<dyn FrameSource>, Error>;

    /// The cameras that are there.
    ///
    /// # Errors
    /// Where the system does not say.
    fn cameras(&self) -> Result<Vec<CameraEntry>, Error>;

    /// The formats of a camera by its source name, each in the words that [`Backend::open`] takes.
    ///
    /// # Errors
    /// Where there is no such camera, or it is in use.
    fn formats(&self, camera: &str) -> Result<Vec<String>, Error>;
}
