//! The one error type of this crate.

use std::fmt;
use std::path::PathBuf;

/// What can go wrong between files and a score. Every message says where and what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason the system gave.
        source: std::io::Error,
    },
    /// An annotation file that is no VOC annotation.
    #[error("{}: {reason}", path.display())]
    Annotation {
        /// The XML file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// One object of an annotation file that cannot be used.
    #[error("{}: object {object}{}: {reason}", path.display(), shown(class))]
    Object {
        /// The XML file.
        path: PathBuf,
        /// Which object, counted from 1 in file order.
        object: usize,
        /// Its class, empty where it has none.
        class: String,
        /// What is wrong.
        reason: String,
    },
    /// A line of an image list or a detection file that cannot be used.
    #[error("{}: line {line}: {reason}", path.display())]
    Line {
        /// The text file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A folder whose detection files do not make one set.
    #[error("{}: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A name that cannot be used as (a part of) a file name.
    #[error("{what} {name:?} cannot be used: {reason}")]
    Name {
        /// What it names: an image, a class, a split.
        what: &'static str,
        /// The name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// An image that was added twice.
    #[error("image {0:?} is in the set already")]
    RepeatedImage(String),
    /// A detection in an image that the ground truth does not have.
    #[error(
        "{}a detection of class {class:?} is in image {image:?}, which is not among the {images} of the set",
        placed(place.as_ref())
    )]
    UnknownImage {
        /// The file and line that name the image first, where it came from a file.
        place: Option<Place>,
        /// Class of the detection.
        class: String,
        /// The image it names.
        image: String,
        /// How many images the set has.
        images: usize,
    },
    /// Columns of numbers that do not make a set.
    #[error("columns: {0}")]
    Columns(String),
    /// A box or a score that is no usable number.
    #[error("{what} in image {image:?}: {reason}")]
    Value {
        /// What it belongs to, such as `detection of class "cat"`.
        what: String,
        /// The image.
        image: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Two runs that cannot be compared.
    #[error("the two cannot be compared: {0}")]
    Compare(String),
    /// Parts of a set that do not make a whole.
    #[error("these parts cannot be merged: {0}")]
    Merge(String),
    /// An overlap threshold outside 0 to 1.
    #[error("an IoU threshold is a number from 0 to 1, not {0}")]
    Threshold(f64),
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Which line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}", self.path.display(), self.line)
    }
}

fn placed(place: Option<&Place>) -> String {
    place.map_or_else(String::new, |place| format!("{place}: "))
}

fn shown(class: &str) -> String {
    if class.is_empty() { String::new() } else { format!(" ({class})") }
}
