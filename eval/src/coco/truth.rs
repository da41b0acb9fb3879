//! Reading COCO's files: `instances_….json` and results.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::Dataset;
use crate::pixel_box::PixelBox;
use crate::scene::{Scene, SceneDetection, SceneImage, SceneObject, Xywh};
use crate::skipped::{Oddity, Skipped};

#[derive(Deserialize)]
struct File {
    images: Vec<ImageRecord>,
    categories: Vec<Category>,
    #[serde(default)]
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct ImageRecord {
    id: i64,
    #[serde(default)]
    file_name: String,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    category_id: i64,
    bbox: [f64; 4],
    area: Option<f64>,
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct ResultRecord {
    image_id: i64,
    category_id: i64,
    /// `null` is how JSON writers spell NaN and infinity.
    bbox: [Option<f64>; 4],
    score: Option<f64>,
}

/// COCO's ground truth: images by rising id, categories, objects.
#[derive(Clone, Debug, Default)]
pub struct CocoTruth {
    path: PathBuf,
    /// The ids, rising; the position is the image's number.
    ids: Vec<i64>,
    /// By image: the name it has in the VOC tables and in our own files.
    names: Vec<String>,
    files: Vec<String>,
    images: Vec<Vec<SceneObject>>,
    classes: Vec<String>,
    categories: HashMap<i64, usize>,
}

impl CocoTruth {
    /// Reads an `instances_….json`. Images are named by their file without folder and ending, or by their
    /// id where those are not distinct.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read; [`Error::Annotation`] where it is none, an id is there
    /// twice, an annotation names an image or category that is not there, or has a box of negative size.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let wrong = |reason: String| Error::Annotation { path: path.to_owned(), reason };
        let mut file: File = serde_json::from_slice(&text).map_err(|error| {
            wrong(format!("no COCO ground truth (images, categories, annotations): {error}"))
        })?;
        file.images.sort_by_key(|image| image.id);
        if let Some(pair) = file.images.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(wrong(format!("image id {} is there twice", pair[0].id)));
        }
        let mut truth = Self { path: path.to_owned(), ..Self::default() };
        for category in file.categories {
            if truth.classes.contains(&category.name) {
                return Err(wrong(format!("category {:?} is there twice", category.name)));
            }
            if truth.categories.insert(category.id, truth.classes.len()).is_some() {
                return Err(wrong(format!("category id {} is there twice", category.id)));
            }
            truth.classes.push(category.name);
        }
        truth.names = names(&file.images);
        truth.ids = file.images.iter().map(|image| image.id).collect();
        truth.files = file.images.into_iter().map(|image| image.file_name).collect();
        truth.images = vec![Vec::new(); truth.ids.len()];
        for (number, annotation) in (1..).zip(&file.annotations) {
            let wrong = |reason: String| wrong(format!("annotation {number}: {reason}"));
            let image = truth.number(annotation.image_id);
            let objects = image.and_then(|image| truth.images.get_mut(image));
            let objects =
                objects.ok_or_else(|| wrong(format!("there is no image {}", annotation.image_id)))?;
            let class = truth.categories.get(&annotation.category_id);
            let class =
                *class.ok_or_else(|| wrong(format!("there is no category {}", annotation.category_id)))?;
            let [x, y, w, h] = annotation.bbox;
            if w < 0.0 || h < 0.0 {
                return Err(wrong(format!("its box has a negative size ({w} × {h})")));
            }
            let area = annotation.area.unwrap_or(w * h);
            let bounds = Xywh { x, y, w, h };
            objects.push(SceneObject { class, bounds, area, crowd: annotation.iscrowd != 0 });
        }
        Ok(truth)
    }

    /// The same as a VOC set: boxes become inclusive pixels by [`PixelBox::from_continuous`], crowds
    /// difficult objects.
    ///
    /// # Errors
    /// [`Error::Value`] for a box of no width or height, which no pixel box can be.
    pub fn dataset(&self) -> Result<Dataset, Error> {
        let mut set = Dataset::default();
        for (name, objects) in self.names.iter().zip(&self.images) {
            let object = |o: &SceneObject| {
                let class = self.classes.get(o.class).map_or("", String::as_str);
                (class, o.crowd, pixels(o.bounds))
            };
            set.add_image(name, objects.iter().map(object))?;
        }
        Ok(set)
    }

    /// Where the picture of an image is, seen from a folder.
    #[must_use]
    pub fn picture(&self, image: usize, folder: &Path) -> Option<PathBuf> {
        let file = self.files.get(image).filter(|file| !file.is_empty())?;
        // A name out of a file that others wrote stays inside the folder.
        let inside = Path::new(file).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        inside.then(|| folder.join(file))
    }

    /// Reads COCO results (an array of `image_id`, `category_id`, `bbox`, `score`) as detections for
    /// [`CocoTruth::dataset`] and, with the boxes untouched, for COCO's own rules.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read; [`Error::Annotation`] where it holds something else, or
    /// names an image or category that the ground truth does not have. Odd numbers as `skipped` says.
    pub fn read_results(&self, path: &Path, skipped: &mut Skipped) -> Result<(Detections, Scene), Error> {
        let text = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let wrong = |reason: String| Error::Annotation { path: path.to_owned(), reason };
        let records: Vec<ResultRecord> = serde_json::from_slice(&text).map_err(|error| {
            wrong(format!("no COCO results (image_id, category_id, bbox, score): {error}"))
        })?;
        let mut scene = self.scene();
        let mut found = Detections::default();
        for class in &self.classes {
            found.add_class(class);
        }
        for (number, record) in (1..).zip(&records) {
            let wrong = |reason: String| wrong(format!("result {number}: {reason}"));
            let truth = self.path.display();
            let image = self.number(record.image_id);
            let image = image.ok_or_else(|| wrong(format!("image {} is not in {truth}", record.image_id)))?;
            let class = self.categories.get(&record.category_id);
            let class =
                *class.ok_or_else(|| wrong(format!("category {} is not in {truth}", record.category_id)))?;
            let (Some(score), [Some(x), Some(y), Some(w), Some(h)]) = (record.score, record.bbox) else {
                let reason = "its score or a number of its box is null, which is no finite number";
                skipped.meet(Oddity::DetectionNotFinite, || wrong(reason.into()))?;
                continue;
            };
            if w < 0.0 || h < 0.0 {
                let reason = "its box is inverted: a negative width or height";
                skipped.meet(Oddity::DetectionInverted, || wrong(reason.into()))?;
            }
            let bounds = Xywh { x, y, w: w.max(0.0), h: h.max(0.0) };
            if let (Some(name), Some(class)) = (self.names.get(image), self.classes.get(class)) {
                found.push(class, name, score, pixels(Xywh { x, y, w, h }))?;
            }
            if let Some(image) = scene.images.get_mut(image) {
                image.detections.push(SceneDetection { class, score, bounds });
            }
        }
        Ok((found, scene))
    }

    /// The objects for COCO's rules, without detections.
    fn scene(&self) -> Scene {
        let image =
            |objects: &Vec<SceneObject>| SceneImage { objects: objects.clone(), detections: Vec::new() };
        Scene { classes: self.classes.clone(), images: self.images.iter().map(image).collect() }
    }

    fn number(&self, id: i64) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }
}

/// COCO's box in inclusive pixels.
fn pixels(b: Xywh) -> PixelBox {
    PixelBox::from_continuous([b.x, b.y, b.x + b.w, b.y + b.h])
}

/// Names for images: their files without folder and ending, or their ids where those are not distinct.
fn names(images: &[ImageRecord]) -> Vec<String> {
    let stem = |image: &ImageRecord| {
        let stem = Path::new(&image.file_name).file_stem()?.to_str()?;
        Some(stem.to_owned())
    };
    let stems: Option<Vec<String>> = images.iter().map(stem).collect();
    let distinct = |stems: &Vec<String>| stems.iter().collect::<HashSet<_>>().len() == stems.len();
    stems.filter(distinct).unwrap_or_else(|| images.iter().map(|image| image.id.to_string()).collect())
}
