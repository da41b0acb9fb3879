//! The Python module `sandglass._sandglass`: detection and scoring on NumPy arrays. What people see of it is written in
//! Python, in `sandglass/`.

mod detector;
mod errors;
mod evaluate;
mod image;

use pyo3::prelude::*;

#[pymodule]
mod _sandglass {
    #[pymodule_export]
    use crate::detector::Detector;
    #[pymodule_export]
    use crate::errors::{DeviceError, ImageError, ModelError};
    #[pymodule_export]
    use crate::evaluate::{coco_columns, coco_files, read_voc, voc_columns, voc_files};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("DEFAULT_BACKBONE", sandglass_detector::models::DEFAULT)
    }
}

/// Calls something that takes long while other threads of Python run.
fn without_gil<T: Send>(py: Python<'_>, call: impl FnOnce() -> T + Send) -> T {
    py.detach(call)
}
