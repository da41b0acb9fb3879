//! The scorer. Reports go to Python as JSON: a few hundred numbers, in the form that `sandglass-eval --json` has.

use std::path::PathBuf;

use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sandglass_eval::coco::{self, CocoTruth};
use sandglass_eval::columns::{Columns, DetectionColumns, ObjectColumns};
use sandglass_eval::{Dataset, Detections, Policy, Skipped, evaluate};
use serde::Serialize;

use crate::errors::of_scorer;
use crate::without_gil;

type Numbers<'py> = PyReadonlyArray1<'py, i64>;
type Boxes<'py> = PyReadonlyArray2<'py, f64>;
/// Images, labels, boxes, what is ignored, areas.
type Objects<'py> =
    (Numbers<'py>, Numbers<'py>, Boxes<'py>, PyReadonlyArray1<'py, bool>, PyReadonlyArray1<'py, f64>);
/// Images, labels, boxes, scores.
type Found<'py> = (Numbers<'py>, Numbers<'py>, Boxes<'py>, PyReadonlyArray1<'py, f64>);

/// VOC's figures of columns.
#[pyfunction]
pub(crate) fn voc_columns(
    py: Python<'_>,
    images: usize,
    classes: Vec<String>,
    objects: Objects<'_>,
    found: Found<'_>,
    iou: f64,
) -> PyResult<String> {
    let columns = columns(images, &classes, &objects, &found)?;
    let report = without_gil(py, || {
        let (truth, found) = columns.voc()?;
        evaluate(&truth, &found, iou)
    });
    json(&report.map_err(of_scorer)?)
}

/// COCO's figures of columns.
#[pyfunction]
pub(crate) fn coco_columns(
    py: Python<'_>,
    images: usize,
    classes: Vec<String>,
    objects: Objects<'_>,
    found: Found<'_>,
) -> PyResult<String> {
    let columns = columns(images, &classes, &objects, &found)?;
    let report = without_gil(py, || Ok(coco::evaluate(&columns.scene()?)));
    json(&report.map_err(of_scorer)?)
}

fn columns<'a>(
    images: usize,
    classes: &'a [String],
    objects: &'a Objects<'_>,
    found: &'a Found<'_>,
) -> PyResult<Columns<'a>> {
    fn slice<'a, T: numpy::Element>(array: &'a PyReadonlyArray1<'_, T>) -> PyResult<&'a [T]> {
        array.as_slice().map_err(|error| PyValueError::new_err(error.to_string()))
    }
    let boxes = |array: &'a Boxes<'_>| -> PyResult<&'a [[f64; 4]]> {
        let values = array.as_slice().map_err(|error| PyValueError::new_err(error.to_string()))?;
        match values.as_chunks::<4>() {
            (boxes, []) => Ok(boxes),
            _ => Err(PyValueError::new_err("boxes have four corners each")),
        }
    };
    Ok(Columns {
        images,
        classes,
        objects: ObjectColumns {
            images: slice(&objects.0)?,
            labels: slice(&objects.1)?,
            boxes: boxes(&objects.2)?,
            ignored: slice(&objects.3)?,
            areas: slice(&objects.4)?,
        },
        detections: DetectionColumns {
            images: slice(&found.0)?,
            labels: slice(&found.1)?,
            boxes: boxes(&found.2)?,
            scores: slice(&found.3)?,
        },
    })
}

/// VOC's figures of files: a tree, and detections in the devkit's folder or one file.
#[pyfunction]
pub(crate) fn voc_files(
    py: Python<'_>,
    root: PathBuf,
    split: String,
    detections: PathBuf,
    iou: f64,
) -> PyResult<String> {
    let report = without_gil(py, || {
        let truth = Dataset::open(&root, &split, &mut Skipped::new(Policy::Complete))?;
        let found = Detections::read(&detections, &split, &mut Skipped::new(Policy::Complete))?;
        evaluate(&truth, &found, iou)
    });
    json(&report.map_err(of_scorer)?)
}

/// COCO's figures of files: `instances_….json` and results.
#[pyfunction]
pub(crate) fn coco_files(py: Python<'_>, annotations: PathBuf, results: PathBuf) -> PyResult<String> {
    let report = without_gil(py, || {
        let truth = CocoTruth::read(&annotations)?;
        let (_, scene) = truth.read_results(&results, &mut Skipped::new(Policy::Complete))?;
        Ok(coco::evaluate(&scene))
    });
    json(&report.map_err(of_scorer)?)
}

/// Of a VOC image: id, picture, and of each object class, whether it is difficult, and its box in continuous pixels.
type VocImage = (String, Option<PathBuf>, Vec<(String, bool, [f64; 4])>);

/// A VOC tree.
#[pyfunction]
pub(crate) fn read_voc(py: Python<'_>, root: PathBuf, split: String) -> PyResult<Vec<VocImage>> {
    let truth = without_gil(py, || Dataset::open(&root, &split, &mut Skipped::new(Policy::Complete)))
        .map_err(of_scorer)?;
    let class = |class: usize| truth.classes().get(class).cloned().unwrap_or_default();
    let images = truth.images().iter().enumerate().map(|(number, image)| {
        let objects = image.objects.iter().map(|object| {
            let b = object.bounds;
            // The inverse of PixelBox::from_continuous.
            (class(object.class), object.difficult, [b.xmin - 1.0, b.ymin - 1.0, b.xmax, b.ymax])
        });
        (image.id.clone(), truth.picture(number), objects.collect())
    });
    Ok(images.collect())
}

fn json(report: &impl Serialize) -> PyResult<String> {
    serde_json::to_string(report).map_err(|error| PyValueError::new_err(error.to_string()))
}
