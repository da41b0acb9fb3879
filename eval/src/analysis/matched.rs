//! Every detection with what became of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::detections::{Detection, Detections};
use crate::error::Error;
use crate::ground_truth::Dataset;
use crate::matching::{ClassObject, ClassObjects, Outcome, match_class};
use crate::parallel;
use crate::pixel_box::PixelBox;
use crate::voc::{Curve, class_objects, numbers_in_set};

/// A detection with its outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatchedDetection {
    /// The image, as an index into [`Matched::images`].
    pub image: usize,
    /// How sure the detector is.
    pub score: f64,
    /// Hit, false alarm or neither.
    pub outcome: Outcome,
    /// Where it is, in inclusive pixels.
    pub bounds: PixelBox,
    /// The object of its class that it overlaps most, as an index into [`MatchedClass::objects`], and by
    /// how much.
    pub best: Option<(usize, f64)>,
}

/// An object of a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatchedObject {
    /// The image, as an index into [`Matched::images`].
    pub image: usize,
    /// Where it is, in inclusive pixels.
    pub bounds: PixelBox,
    /// Whether it counts for nothing.
    pub difficult: bool,
}

/// The objects of a class and its detections by falling score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatchedClass {
    /// Its name.
    pub name: String,
    /// Its objects, by image.
    pub objects: Vec<MatchedObject>,
    /// Its detections, by falling score, equal scores in file order.
    pub detections: Vec<MatchedDetection>,
}

impl MatchedClass {
    /// How many objects are to be found.
    #[must_use]
    pub fn npos(&self) -> usize {
        self.objects.iter().filter(|object| !object.difficult).count()
    }

    /// Precision against recall.
    #[must_use]
    pub fn curve(&self) -> Curve {
        Curve::new(self.detections.iter().map(|d| d.outcome), self.npos())
    }
}

/// A set with every detection matched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matched {
    /// The overlap that makes a hit.
    pub iou: f64,
    /// The names of the images.
    pub images: Vec<String>,
    /// The classes, by name.
    pub classes: Vec<MatchedClass>,
}

impl Matched {
    /// Matches all detections of a set as [`evaluate`](crate::evaluate) does.
    ///
    /// # Errors
    /// As there.
    pub fn new(truth: &Dataset, found: &Detections, iou: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&iou) {
            return Err(Error::Threshold(iou));
        }
        let mut objects = class_objects(truth);
        let numbers = numbers_in_set(truth, found)?;
        let names: BTreeSet<&str> =
            truth.classes().iter().chain(found.classes()).map(String::as_str).collect();
        let work: Vec<(&str, Vec<ClassObject>)> =
            names.into_iter().map(|name| (name, objects.remove(name).unwrap_or_default())).collect();
        let classes = parallel::map(&work, |(name, objects)| {
            let renumbered = |d: &Detection| Some(Detection { image: *numbers.get(d.image)?, ..*d });
            let found: Vec<Detection> = found.of_class(name).iter().filter_map(renumbered).collect();
            match_one(name, ClassObjects::new(objects.clone()), &found, iou)
        });
        Ok(Self { iou, images: truth.images().iter().map(|image| image.id.clone()).collect(), classes })
    }

    /// The form for JSON: no boxes, which comparing two runs does not need.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        let class = |class: &MatchedClass| {
            let mut objects: BTreeMap<usize, usize> = BTreeMap::new();
            for object in class.objects.iter().filter(|object| !object.difficult) {
                *objects.entry(object.image).or_default() += 1;
            }
            let detections = class.detections.iter().map(|d| (d.image, d.score, code(d.outcome)));
            ClassOutcomes {
                class: class.name.clone(),
                objects: objects.into_iter().collect(),
                detections: detections.collect(),
            }
        };
        let classes = self.classes.iter().map(class).collect();
        Outcomes { iou: self.iou, images: self.images.clone(), classes }
    }
}

fn code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::FalsePositive => 0,
        Outcome::TruePositive => 1,
        Outcome::Ignored => 2,
    }
}

/// What became of all detections, as JSON holds it: enough to compare two runs image by image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// The overlap that makes a hit.
    pub iou: f64,
    /// The names of the images.
    pub images: Vec<String>,
    /// The classes, by name.
    pub classes: Vec<ClassOutcomes>,
}

/// One class of [`Outcomes`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassOutcomes {
    /// Its name.
    pub class: String,
    /// Images with objects to find: (number of the image, how many).
    pub objects: Vec<(usize, usize)>,
    /// Detections by falling score: (number of the image, score, 1 for a hit, 0 for a false alarm, 2 for
    /// neither).
    pub detections: Vec<(usize, f64, u8)>,
}

fn match_one(name: &str, objects: ClassObjects, found: &[Detection], iou: f64) -> MatchedClass {
    let matches = match_class(&objects, found, iou);
    let detections = matches.iter().filter_map(|m| {
        let d = found.get(m.detection)?;
        let (outcome, best) = (m.outcome, m.best);
        Some(MatchedDetection { image: d.image, score: d.score, outcome, bounds: d.bounds, best })
    });
    let object = |o: &ClassObject| MatchedObject { image: o.image, bounds: o.bounds, difficult: o.difficult };
    MatchedClass {
        name: name.to_owned(),
        objects: objects.all().iter().map(object).collect(),
        detections: detections.collect(),
    }
}
