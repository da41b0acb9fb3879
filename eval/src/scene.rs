//! Objects and detections with continuous boxes, image by image: what the COCO and TIDE rules work on.

use std::collections::{BTreeSet, HashMap};

use crate::detections::Detections;
use crate::error::Error;
use crate::ground_truth::Dataset;
use crate::pixel_box::PixelBox;
use crate::voc::numbers_in_set;

/// A box as COCO writes it: left, top, width, height in pixels, without the inclusive pixel of VOC.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Xywh {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width, 0 or more.
    pub w: f64,
    /// Height, 0 or more.
    pub h: f64,
}

impl Xywh {
    /// Width times height.
    #[must_use]
    pub fn area(self) -> f64 {
        self.w * self.h
    }

    /// The area that two boxes share.
    #[must_use]
    pub fn shared(self, other: Self) -> f64 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        if w > 0.0 && h > 0.0 { w * h } else { 0.0 }
    }

    /// Intersection over union, 0 to 1, in continuous coordinates (no pixel is added to a side, unlike
    /// [`iou_inclusive`](crate::iou_inclusive)).
    #[must_use]
    pub fn iou_continuous(self, other: Self) -> f64 {
        let both = self.shared(other);
        if both > 0.0 { both / (self.area() + other.area() - both) } else { 0.0 }
    }

    /// The part of this box that lies in a crowd region.
    #[must_use]
    pub fn part_in(self, crowd: Self) -> f64 {
        let both = self.shared(crowd);
        if both > 0.0 { both / self.area() } else { 0.0 }
    }
}

/// An object to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SceneObject {
    /// An index into [`Scene::classes`].
    pub class: usize,
    /// Where it is.
    pub bounds: Xywh,
    /// Its area in pixels: COCO's is that of the segmentation, not of the box.
    pub area: f64,
    /// A region that counts for nothing, neither found nor missed: COCO's crowds, VOC's difficult objects.
    pub crowd: bool,
}

/// A claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SceneDetection {
    /// An index into [`Scene::classes`].
    pub class: usize,
    /// How sure the detector is.
    pub score: f64,
    /// Where it is.
    pub bounds: Xywh,
}

/// An image with what is in it and what was claimed to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SceneImage {
    /// Its objects, in the order of the annotation.
    pub objects: Vec<SceneObject>,
    /// Detections, in the order of their file.
    pub detections: Vec<SceneDetection>,
}

/// A set with its detections.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// The names of the classes, in the order of their index.
    pub classes: Vec<String>,
    /// The images, in the order in which ties are decided.
    pub images: Vec<SceneImage>,
}

/// How the corners of a [`PixelBox`] become a [`Xywh`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corners {
    /// As they stand: width is xmax - xmin. What converters from VOC to COCO commonly do, and what
    /// published figures of VOC data by COCO's rules rest on.
    AsTheyStand,
    /// The inverse of [`PixelBox::from_continuous`]: width is xmax - xmin + 1, the left edge xmin - 1.
    Continuous,
}

impl Corners {
    fn convert(self, b: PixelBox) -> Xywh {
        let (x, y) = match self {
            Self::AsTheyStand => (b.xmin, b.ymin),
            Self::Continuous => (b.xmin - 1.0, b.ymin - 1.0),
        };
        // An inverted box overlaps nothing, here too.
        Xywh { x, y, w: (b.xmax - x).max(0.0), h: (b.ymax - y).max(0.0) }
    }
}

impl Scene {
    /// The same objects and detections by continuous boxes; difficult objects become regions that count
    /// for nothing.
    ///
    /// # Errors
    /// [`Error::UnknownImage`] where a detection names an image that is not in the set.
    pub fn new(truth: &Dataset, found: &Detections, corners: Corners) -> Result<Self, Error> {
        // By name, so that sums over classes do not depend on the order of files.
        let names: BTreeSet<&String> = truth.classes().iter().chain(found.classes()).collect();
        let classes: Vec<String> = names.into_iter().cloned().collect();
        let index: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
        let class_of: Vec<usize> =
            truth.classes().iter().filter_map(|name| index.get(name.as_str()).copied()).collect();
        let numbers = numbers_in_set(truth, found)?;
        let objects = |image: &crate::Image| {
            let object = |o: &crate::Object| {
                let bounds = corners.convert(o.bounds);
                let class = class_of.get(o.class).copied().unwrap_or_default();
                SceneObject { class, bounds, area: bounds.area(), crowd: o.difficult }
            };
            image.objects.iter().map(object).collect()
        };
        let mut images: Vec<SceneImage> = truth
            .images()
            .iter()
            .map(|image| SceneImage { objects: objects(image), detections: Vec::new() })
            .collect();
        for name in found.classes() {
            let Some(&class) = index.get(name.as_str()) else { continue };
            for d in found.of_class(name) {
                let image = numbers.get(d.image).and_then(|&number| images.get_mut(number));
                let detection = SceneDetection { class, score: d.score, bounds: corners.convert(d.bounds) };
                if let Some(image) = image {
                    image.detections.push(detection);
                }
            }
        }
        Ok(Self { classes, images })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_share_what_they_share() {
        let a = Xywh { x: 0.0, y: 0.0, w: 10.0, h: 10.0 };
        let b = Xywh { x: 5.0, y: 0.0, w: 10.0, h: 10.0 };
        assert_eq!((a.shared(b), a.iou_continuous(b), a.part_in(b)), (50.0, 50.0 / 150.0, 0.5));
        let far = Xywh { x: 10.0, ..a };
        assert_eq!((a.iou_continuous(far), a.part_in(far)), (0.0, 0.0));
        let empty = Xywh { w: 0.0, ..a };
        assert_eq!((empty.iou_continuous(a), empty.part_in(a)), (0.0, 0.0));
    }

    #[test]
    fn corners_become_edges() {
        let b = PixelBox { xmin: 3.0, ymin: 5.0, xmax: 12.0, ymax: 14.0 };
        assert_eq!(Corners::AsTheyStand.convert(b), Xywh { x: 3.0, y: 5.0, w: 9.0, h: 9.0 });
        assert_eq!(Corners::Continuous.convert(b), Xywh { x: 2.0, y: 4.0, w: 10.0, h: 10.0 });
    }
}
