//! A set and its detections as columns of numbers, as they come from other programs' arrays.

use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::Dataset;
use crate::pixel_box::PixelBox;
use crate::scene::{Scene, SceneDetection, SceneImage, SceneObject, Xywh};

/// Objects, one at each position of the columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObjectColumns<'a> {
    /// The number of its image, from 0.
    pub images: &'a [i64],
    /// The number of its class, from 0.
    pub labels: &'a [i64],
    /// Left, top, right and bottom edge in pixels, continuous: a box over the whole of a picture is 0, 0, width, height.
    pub boxes: &'a [[f64; 4]],
    /// Whether it counts for nothing: VOC's difficult objects, COCO's crowds.
    pub ignored: &'a [bool],
    /// Its area in square pixels, for COCO's ranges; empty for that of the boxes.
    pub areas: &'a [f64],
}

/// Detections, one at each position of the columns; that order decides between equal scores.
#[derive(Clone, Copy, Debug, Default)]
pub struct DetectionColumns<'a> {
    /// The number of its image, from 0.
    pub images: &'a [i64],
    /// The number of its class, from 0.
    pub labels: &'a [i64],
    /// As [`ObjectColumns::boxes`].
    pub boxes: &'a [[f64; 4]],
    /// How sure the detector is; larger is surer.
    pub scores: &'a [f64],
}

/// A set with its detections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Columns<'a> {
    /// How many images there are.
    pub images: usize,
    /// The names of the classes.
    pub classes: &'a [String],
    /// What is to be found.
    pub objects: ObjectColumns<'a>,
    /// What was.
    pub detections: DetectionColumns<'a>,
}

impl Columns<'_> {
    /// The same for VOC's rules, with boxes in inclusive pixels ([`PixelBox::from_continuous`]), objects at least a pixel wide and high. Images are named by their
    /// number. Classes without an object or a detection are left out.
    ///
    /// # Errors
    /// [`Error::Columns`] where columns differ in length, or name an image or class that is not there; [`Error::Value`] where
    /// a number is not finite or an object's box is inverted.
    pub fn voc(&self) -> Result<(Dataset, Detections), Error> {
        self.check()?;
        let ids: Vec<String> = (0..self.images).map(|image| image.to_string()).collect();
        let id = |image: i64| at(&ids, image).map_or("", String::as_str);
        let class = |label: i64| at(self.classes, label).map_or("", String::as_str);
        let objects = &self.objects;
        let mut of_image: Vec<Vec<(&str, bool, PixelBox)>> = vec![Vec::new(); self.images];
        for (((&image, &label), &bounds), &ignored) in
            objects.images.iter().zip(objects.labels).zip(objects.boxes).zip(objects.ignored)
        {
            if let Some(of_image) = usize::try_from(image).ok().and_then(|image| of_image.get_mut(image)) {
                let [x1, y1, x2, y2] = bounds;
                if x2 < x1 || y2 < y1 {
                    return Err(inverted(class(label), image));
                }
                // Less than a pixel counts as one.
                let b = PixelBox::from_continuous(bounds);
                let b = PixelBox { xmax: b.xmax.max(b.xmin), ymax: b.ymax.max(b.ymin), ..b };
                of_image.push((class(label), ignored, b));
            }
        }
        let mut truth = Dataset::default();
        for (id, objects) in ids.iter().zip(of_image) {
            truth.add_image(id, objects)?;
        }
        let mut found = Detections::default();
        let detections = &self.detections;
        for (((&image, &label), &bounds), &score) in
            detections.images.iter().zip(detections.labels).zip(detections.boxes).zip(detections.scores)
        {
            found.push(class(label), id(image), score, PixelBox::from_continuous(bounds))?;
        }
        Ok((truth, found))
    }

    /// The same for COCO's rules.
    ///
    /// # Errors
    /// As [`Columns::voc`].
    pub fn scene(&self) -> Result<Scene, Error> {
        self.check()?;
        let number = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        let mut images = vec![SceneImage::default(); self.images];
        let objects = &self.objects;
        let rows = objects.images.iter().zip(objects.labels).zip(objects.boxes).zip(objects.ignored);
        for (row, (((&image, &label), &bounds), &crowd)) in rows.enumerate() {
            let [x1, y1, x2, y2] = bounds;
            let wrong = |reason| {
                let what =
                    format!("object of class {:?}", at(self.classes, label).map_or("", String::as_str));
                Error::Value { what, image: image.to_string(), reason }
            };
            if !bounds.iter().all(|corner| corner.is_finite()) {
                return Err(wrong("a corner of its box is not a finite number"));
            }
            if x2 < x1 || y2 < y1 {
                return Err(inverted(at(self.classes, label).map_or("", String::as_str), image));
            }
            let bounds = edges(bounds);
            let area = objects.areas.get(row).copied().unwrap_or_else(|| bounds.area());
            if !area.is_finite() {
                return Err(wrong("its area is not a finite number"));
            }
            if let Some(of_image) = images.get_mut(number(image)) {
                of_image.objects.push(SceneObject { class: number(label), bounds, area, crowd });
            }
        }
        let detections = &self.detections;
        for (((&image, &label), &bounds), &score) in
            detections.images.iter().zip(detections.labels).zip(detections.boxes).zip(detections.scores)
        {
            if !(score.is_finite() && bounds.iter().all(|corner| corner.is_finite())) {
                let what =
                    format!("detection of class {:?}", at(self.classes, label).map_or("", String::as_str));
                let reason = "its score or a corner of its box is not a finite number";
                return Err(Error::Value { what, image: image.to_string(), reason });
            }
            if let Some(of_image) = images.get_mut(number(image)) {
                let detection = SceneDetection { class: number(label), score, bounds: edges(bounds) };
                of_image.detections.push(detection);
            }
        }
        Ok(Scene { classes: self.classes.to_vec(), images })
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |reason: String| Err(Error::Columns(reason));
        let Self { objects, detections, .. } = self;
        let areas = if objects.areas.is_empty() { objects.images.len() } else { objects.areas.len() };
        let of_objects = [objects.labels.len(), objects.boxes.len(), objects.ignored.len(), areas];
        let of_detections = [detections.labels.len(), detections.boxes.len(), detections.scores.len()];
        for (what, images, others) in [
            ("objects", objects.images, &of_objects[..]),
            ("detections", detections.images, &of_detections[..]),
        ] {
            if others.iter().any(|&length| length != images.len()) {
                return wrong(format!(
                    "the columns of the {what} differ in length: {}, {others:?}",
                    images.len()
                ));
            }
        }
        for (what, numbers, count) in [
            ("image of an object", objects.images, self.images),
            ("image of a detection", detections.images, self.images),
            ("label of an object", objects.labels, self.classes.len()),
            ("label of a detection", detections.labels, self.classes.len()),
        ] {
            let outside = |n: &&i64| usize::try_from(**n).map_or(true, |number| number >= count);
            if let Some(number) = numbers.iter().find(outside) {
                return wrong(format!("the {what} is {number}; there are {count}, from 0"));
            }
        }
        Ok(())
    }
}

fn inverted(class: &str, image: i64) -> Error {
    let what = format!("object of class {class:?}");
    Error::Value {
        what,
        image: image.to_string(),
        reason: "its box is inverted: x2 is below x1, or y2 below y1",
    }
}

fn at(names: &[String], number: i64) -> Option<&String> {
    names.get(usize::try_from(number).ok()?)
}

fn edges([x1, y1, x2, y2]: [f64; 4]) -> Xywh {
    // An inverted detection overlaps nothing.
    Xywh { x: x1, y: y1, w: (x2 - x1).max(0.0), h: (y2 - y1).max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coco;
    use crate::voc::{Metric, evaluate};

    #[test]
    fn columns_are_scored_as_sets_are() {
        let classes = ["cat".to_owned(), "dog".to_owned()];
        let boxes = [[0.0, 0.0, 50.0, 50.0], [10.0, 10.0, 60.0, 60.0]];
        let objects = ObjectColumns {
            images: &[0, 1],
            labels: &[0, 1],
            boxes: &boxes,
            ignored: &[false, false],
            areas: &[],
        };
        let detections = DetectionColumns {
            images: &[1, 0],
            labels: &[1, 0],
            boxes: &[boxes[1], boxes[0]],
            scores: &[0.9, 0.8],
        };
        let columns = Columns { images: 2, classes: &classes, objects, detections };
        let (truth, found) = columns.voc().unwrap();
        assert_eq!(evaluate(&truth, &found, 0.5).unwrap().map(Metric::AllPoint), Some(1.0));
        assert!((coco::evaluate(&columns.scene().unwrap()).ap.unwrap() - 1.0).abs() < 1e-12);

        let told = |columns: Columns<'_>| {
            let (voc, scene) =
                (columns.voc().unwrap_err().to_string(), columns.scene().unwrap_err().to_string());
            assert_eq!(voc.contains("columns"), scene.contains("columns"));
            scene
        };
        assert!(told(Columns { images: 1, ..columns }).contains("image of an object is 1"));
        assert!(told(Columns { classes: &classes[..1], ..columns }).contains("label of an object is 1"));
        let short = DetectionColumns { scores: &[0.9], ..detections };
        assert!(told(Columns { detections: short, ..columns }).contains("differ in length"));
        let nan = DetectionColumns { scores: &[0.9, f64::NAN], ..detections };
        assert!(told(Columns { detections: nan, ..columns }).contains("not a finite number"));
        let inverted = ObjectColumns { boxes: &[boxes[0], [60.0, 0.0, 10.0, 9.0]], ..objects };
        assert!(told(Columns { objects: inverted, ..columns }).contains("inverted"));
        let narrow = ObjectColumns { boxes: &[boxes[0], [60.0, 0.0, 60.5, 9.0]], ..objects };
        assert!(Columns { objects: narrow, ..columns }.voc().is_ok());
    }
}
