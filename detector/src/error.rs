//! The one error type of this crate.

use std::path::PathBuf;

/// What can go wrong on the way from a source to detections and recordings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A picture whose size and pixels do not fit together.
    #[error("a frame of {width}×{height} pixels: {reason}")]
    Frame {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// What is wrong.
        reason: String,
    },
    /// A file that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason the system gave.
        source: std::io::Error,
    },
    /// A file whose content cannot be used as a picture or video.
    #[error("{}: {reason}", path.display())]
    Media {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        reason: String,
    },
    /// A camera that cannot be opened or gives no pictures.
    #[error("{name}: {reason}")]
    Camera {
        /// The camera.
        name: String,
        /// What is wrong, and what to do about it.
        reason: String,
        /// Whether that is the end: otherwise pictures may come again.
        over: bool,
    },
    /// A source that names nothing.
    #[error("{0}")]
    Source(String),
    /// A setting outside its range.
    #[error("{name} is {value}, it must be {expected}")]
    Setting {
        /// Which setting.
        name: &'static str,
        /// The value given.
        value: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A class that the network does not know.
    #[error("no class is called {name:?}; the classes are: {known}")]
    UnknownClass {
        /// The name asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// A device this build or machine does not have.
    #[error("{0}")]
    Device(String),
    /// Weights that do not fit a detector.
    #[error("{}: {reason}", path.display())]
    Model {
        /// The weights file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A recording that could not go on.
    #[error("recording {}: {reason}", path.display())]
    Recording {
        /// The file being written.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A table of pictures that cannot be used, or one of results that cannot be written.
    #[error("{name}: {reason}")]
    Table {
        /// The file or stream.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A network or its weights.
    #[error(transparent)]
    Backbone(#[from] sandglass_backbone::Error),
}
