//! Pictures as Python has them.

use std::path::{Path, PathBuf};

use numpy::{PyArrayDescrMethods, PyReadonlyArray3, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use sandglass_detector::source::{Detail, decode_image, read_image};
use sandglass_detector::{Error, FrameView, Opened};

/// A picture that Python keeps while it is looked at.
pub(crate) enum Image<'py> {
    Pixels(PyReadonlyArray3<'py, u8>),
    Encoded(PyBackedBytes),
    File(PathBuf),
}

/// The same for threads that Python does not know of.
pub(crate) enum Borrowed<'a> {
    Pixels(FrameView<'a>),
    Encoded(&'a [u8]),
    File(&'a Path),
}

impl<'py> Image<'py> {
    /// An array, the bytes of a picture file, or its path. PIL's pictures are arrays by then.
    pub(crate) fn new(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = object.cast::<PyUntypedArray>() {
            return Self::of_array(array);
        }
        if let Ok(bytes) = object.extract::<PyBackedBytes>() {
            return Ok(Self::Encoded(bytes));
        }
        if let Ok(path) = object.extract::<PathBuf>() {
            return Ok(Self::File(path));
        }
        let kind = object.get_type().name()?;
        Err(PyTypeError::new_err(format!(
            "a picture is a NumPy array (height × width × 3, uint8), a PIL picture, the bytes of a picture file, or its path; \
             this is of type {kind}"
        )))
    }

    fn of_array(array: &Bound<'py, PyUntypedArray>) -> PyResult<Self> {
        let shape = array.shape();
        let dtype = array.dtype();
        if !dtype.is_equiv_to(&numpy::dtype::<u8>(array.py())) {
            return Err(PyTypeError::new_err(format!(
                "the array has dtype {dtype}; uint8 from 0 to 255 is expected: (image * 255).astype(numpy.uint8) for floats from \
                 0 to 1"
            )));
        }
        let [_, _, 3] = *shape else {
            return Err(PyValueError::new_err(format!(
                "the array has shape {shape:?}; (height, width, 3) is expected, RGB: image[..., :3] leaves out alpha, \
                 numpy.repeat(image[..., None], 3, 2) makes grey RGB, image.transpose(1, 2, 0) puts channels last"
            )));
        };
        let array: PyReadonlyArray3<'py, u8> = array.extract()?;
        if !array.is_c_contiguous() {
            return Err(PyValueError::new_err(format!(
                "the array's pixels do not lie one after the other (strides {:?}): numpy.ascontiguousarray(image) copies them so",
                array.strides()
            )));
        }
        Ok(Self::Pixels(array))
    }

    pub(crate) fn borrow(&self) -> PyResult<Borrowed<'_>> {
        Ok(match self {
            Self::Pixels(array) => {
                let side =
                    |length: Option<&usize>| length.map_or(0, |&n| u32::try_from(n).unwrap_or(u32::MAX));
                let (height, width) = (side(array.shape().first()), side(array.shape().get(1)));
                let pixels = array.as_slice().map_err(|error| PyValueError::new_err(error.to_string()))?;
                let view = FrameView::rgb8(width, height, width as usize * 3, pixels);
                Borrowed::Pixels(view.map_err(crate::errors::of_detector)?)
            }
            Self::Encoded(bytes) => Borrowed::Encoded(bytes),
            Self::File(path) => Borrowed::File(path),
        })
    }
}

impl<'a> Borrowed<'a> {
    pub(crate) fn open(&self) -> Result<Opened<'a>, Error> {
        Ok(match self {
            Self::Pixels(view) => Opened::View(*view),
            Self::Encoded(bytes) => {
                Opened::Frame(decode_image(bytes, Path::new("the picture"), Detail::Reduced)?)
            }
            Self::File(path) => Opened::Frame(read_image(path, Detail::Reduced)?),
        })
    }
}
