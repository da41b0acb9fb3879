//! What the viewer needs from the detector crate, behind traits: tests put something small in its place.

use std::path::PathBuf;

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
}

/// A detector at work.
pub trait Engine: Send {
    /// The backbone by name.
    fn backbone(&self) -> String;

    /// Whether its weights are trained ones.
    fn is_trained(&self) -> bool;

    /// Where it runs, such as `CPU, AVX2, 2 threads`.
    fn describe(&self) -> String;

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

    /// Opens a source by the words of the command line.
    ///
    /// # Errors
    /// As the source.
    fn open(&self, source: &str) -> Result<Box<dyn FrameSource>, Error>;
}
