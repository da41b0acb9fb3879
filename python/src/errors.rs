//! Our errors as exceptions of their kind.

use pyo3::create_exception;
use pyo3::exceptions::{PyFileNotFoundError, PyKeyError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

create_exception!(
    sandglass,
    ImageError,
    PyValueError,
    "A picture that cannot be used: damaged, too large, of an unknown format."
);
create_exception!(
    sandglass,
    ModelError,
    PyValueError,
    "Weights that cannot be read or do not fit a detector."
);
create_exception!(sandglass, DeviceError, PyRuntimeError, "A device that is not there, or failed.");

/// An error of the detector.
pub(crate) fn of_detector(error: sandglass_detector::Error) -> PyErr {
    use sandglass_detector::Error;
    let words = error.to_string();
    match error {
        // The kind of the system's error decides: FileNotFoundError, PermissionError …
        Error::Io { source, .. } => of_system(&source, words),
        Error::Media { .. } | Error::Frame { .. } => ImageError::new_err(words),
        Error::Model { .. } => ModelError::new_err(words),
        Error::Device(_) => DeviceError::new_err(words),
        Error::UnknownClass { .. } => PyKeyError::new_err(words),
        Error::Backbone(source) => of_backbone(&source, words),
        _ => PyValueError::new_err(words),
    }
}

fn of_backbone(error: &sandglass_detector::backbone::Error, words: String) -> PyErr {
    use sandglass_detector::backbone::Error;
    match error {
        Error::WeightsFile { path, .. } if !path.exists() => PyFileNotFoundError::new_err(words),
        Error::UnknownBackbone { .. } => PyValueError::new_err(words),
        Error::NoCudaDriver | Error::NoCudaDevice { .. } | Error::CudaKernel { .. } | Error::Cuda { .. } => {
            DeviceError::new_err(words)
        }
        Error::Thread(_) => PyRuntimeError::new_err(words),
        _ => ModelError::new_err(words),
    }
}

/// An error of the scorer.
pub(crate) fn of_scorer(error: sandglass_eval::Error) -> PyErr {
    use sandglass_eval::Error;
    let words = error.to_string();
    match error {
        Error::Io { source, .. } => of_system(&source, words),
        _ => PyValueError::new_err(words),
    }
}

fn of_system(source: &std::io::Error, words: String) -> PyErr {
    use pyo3::exceptions::{PyIsADirectoryError, PyPermissionError};
    use std::io::ErrorKind;
    match source.kind() {
        ErrorKind::NotFound => PyFileNotFoundError::new_err(words),
        ErrorKind::PermissionDenied => PyPermissionError::new_err(words),
        ErrorKind::IsADirectory => PyIsADirectoryError::new_err(words),
        _ => PyOSError::new_err(words),
    }
}
