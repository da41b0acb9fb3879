//! The detector.

use std::path::PathBuf;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use sandglass_detector::{ClassFilter, Detections};

use crate::errors::of_detector;
use crate::image::{Borrowed, Image};
use crate::without_gil;

/// Boxes, scores, class numbers, width, height, milliseconds: what `sandglass.Detections` is made of.
type Found<'py> =
    (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<i64>>, u32, u32, f64);

/// A detector, ready to run; see `sandglass.Detector`.
#[pyclass(frozen, subclass, module = "sandglass._sandglass")]
pub(crate) struct Detector {
    inner: sandglass_detector::Detector,
}

#[pymethods]
impl Detector {
    #[new]
    #[pyo3(signature = (backbone, weights, device, threads, score_threshold, iou_threshold, max_detections, classes))]
    #[expect(clippy::too_many_arguments, reason = "Python has names for them")]
    fn new(
        py: Python<'_>,
        backbone: Option<String>,
        weights: Option<PathBuf>,
        device: &str,
        threads: usize,
        score_threshold: f32,
        iou_threshold: f32,
        max_detections: usize,
        classes: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let device = device
            .parse()
            .map_err(|error: sandglass_detector::Error| PyValueError::new_err(error.to_string()))?;
        let mut builder = sandglass_detector::Detector::builder().device(device).threads(threads);
        builder = builder.score_threshold(score_threshold).iou_threshold(iou_threshold);
        builder = builder.max_detections(max_detections);
        builder = builder.classes(classes.map_or(ClassFilter::All, ClassFilter::Only));
        if let Some(name) = backbone {
            builder = builder.backbone(name);
        }
        if let Some(path) = weights {
            builder = builder.weights(path);
        }
        let inner = without_gil(py, || builder.build()).map_err(of_detector)?;
        Ok(Self { inner })
    }

    /// One picture.
    fn _detect<'py>(&self, py: Python<'py>, image: &Bound<'py, PyAny>) -> PyResult<Found<'py>> {
        let image = Image::new(image)?;
        let borrowed = image.borrow()?;
        let found = without_gil(py, || {
            let opened = borrowed.open()?;
            self.inner.detect_view(opened.view())
        });
        arrays(py, found.map_err(of_detector)?)
    }

    /// Several pictures: of each what was found, or the exception.
    fn _detect_batch<'py>(
        &self,
        py: Python<'py>,
        images: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let images: Vec<PyResult<Image<'py>>> = images.iter().map(Image::new).collect();
        let mut good = Vec::with_capacity(images.len());
        // What is no picture has its exception at once.
        let mut results: Vec<Option<PyErr>> = Vec::with_capacity(images.len());
        for image in &images {
            let borrowed = image.as_ref().map_err(|error| error.clone_ref(py)).and_then(Image::borrow);
            match borrowed {
                Ok(borrowed) => {
                    good.push(borrowed);
                    results.push(None);
                }
                Err(error) => results.push(Some(error)),
            }
        }
        let found = without_gil(py, || self.inner.detect_each(&good, Borrowed::open)).map_err(of_detector)?;
        let mut found = found.into_iter();
        let list = PyList::empty(py);
        for error in results {
            let found = error.map_or_else(
                || found.next().map(|found| found.map_err(of_detector)),
                |error| Some(Err(error)),
            );
            match found {
                Some(Ok(found)) => list.append(arrays(py, found)?)?,
                Some(Err(error)) => list.append(error.into_value(py))?,
                // There are as many as there were pictures.
                None => {}
            }
        }
        Ok(list)
    }

    /// All class names by number; 0 is the background.
    #[getter]
    fn classes(&self) -> Vec<String> {
        self.inner.classes().iter().map(ToString::to_string).collect()
    }

    /// The backbone's name.
    #[getter]
    fn backbone(&self) -> String {
        self.inner.backbone().to_string()
    }

    /// What the network runs on, in words.
    #[getter]
    fn engine(&self) -> &str {
        self.inner.engine()
    }

    /// Why it is not a GPU that it runs on, where any device would do.
    #[getter]
    fn fallback(&self) -> Option<String> {
        self.inner.fallback().map(ToString::to_string)
    }

    /// Whether the weights were ever trained: without that, detections mean nothing.
    #[getter]
    fn trained(&self) -> bool {
        self.inner.is_trained()
    }
}

fn arrays(py: Python<'_>, found: Detections) -> PyResult<Found<'_>> {
    let items = &found.items;
    let corners: Vec<f32> = items
        .iter()
        .flat_map(|item| [item.bounds.x1, item.bounds.y1, item.bounds.x2, item.bounds.y2])
        .collect();
    let scores: Vec<f32> = items.iter().map(|item| item.score).collect();
    let classes: Vec<i64> =
        items.iter().map(|item| i64::try_from(item.class_id).unwrap_or(i64::MAX)).collect();
    Ok((
        corners.into_pyarray(py).reshape([items.len(), 4])?,
        scores.into_pyarray(py),
        classes.into_pyarray(py),
        found.width,
        found.height,
        found.timing.total().as_secs_f64() * 1e3,
    ))
}
