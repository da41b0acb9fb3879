//! Average precision, as `VOCevaldet.m` (2007: 11-point) and `VOCap.m` (2012: all-point) of the
//! devkits compute it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::detections::{Detection, Detections};
use crate::error::Error;
pub use crate::ground_truth::Dataset;
use crate::matching::{ClassObject, ClassObjects, Outcome, match_class};
use crate::parallel;
use crate::ties::{self, Bounds, Ties};

/// Which average precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Over 11 levels of recall (VOC2007).
    ElevenPoint,
    /// Over all points (VOC2010 and later).
    AllPoint,
}

/// Precision against recall along the detections of a class by falling score.
///
/// Ignored detections have no place in it. So precision is always defined, and the leading ones,
/// before which nothing was counted, cannot enter a maximum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// The part of the objects found so far, 0 to 1, never falling.
    pub recall: Vec<f64>,
    /// The part of the counted detections that were hits, 0 to 1.
    pub precision: Vec<f64>,
}

impl Curve {
    /// The curve of `outcomes`, by falling score, over `npos` objects to be found; empty where there
    /// are none.
    #[must_use]
    pub fn new(outcomes: impl IntoIterator<Item = Outcome>, npos: usize) -> Self {
        let mut curve = Self::default();
        if npos == 0 {
            return curve;
        }
        let (mut hits, mut counted) = (0_u64, 0_u64);
        for outcome in outcomes {
            match outcome {
                Outcome::Ignored => continue,
                Outcome::TruePositive => hits += 1,
                Outcome::FalsePositive => {}
            }
            counted += 1;
            curve.recall.push(hits as f64 / npos as f64);
            curve.precision.push(hits as f64 / counted as f64);
        }
        curve
    }

    /// Average precision over 11 levels of recall, 0 to 1 (VOC2007): the mean over 0, 0.1 … 1 of the
    /// largest precision at a recall of that level or more.
    ///
    /// The levels are the products `i * 0.1` in f64, as the devkit's loop makes them: a recall of
    /// exactly 3/10, 6/10 or 7/10 stays below its level by the last bit. Eleven terms of 1/11 can add
    /// up to 1.0000000000000002.
    #[must_use]
    pub fn ap_11_point(&self) -> f64 {
        let largest = self.envelope();
        (0..=10_u8).fold(0.0, |sum, i| {
            let level = f64::from(i) * 0.1;
            let first = self.recall.partition_point(|&r| r < level);
            sum + largest.get(first).copied().unwrap_or(0.0) / 11.0
        })
    }

    /// Average precision over all points, 0 to 1 (VOC2010 and later): the area under the curve once
    /// precision has been made non-increasing.
    #[must_use]
    pub fn ap_all_point(&self) -> f64 {
        let mut before = 0.0;
        self.recall.iter().zip(self.envelope()).fold(0.0, |area, (&recall, precision)| {
            let step = recall - before;
            before = recall;
            // A step of 0 adds 0, whatever the precision.
            area + step * precision
        })
    }

    /// The average precision of this kind, 0 to 1.
    #[must_use]
    pub fn ap(&self, metric: Metric) -> f64 {
        match metric {
            Metric::ElevenPoint => self.ap_11_point(),
            Metric::AllPoint => self.ap_all_point(),
        }
    }

    /// At each point the largest precision there or later.
    fn envelope(&self) -> Vec<f64> {
        let mut envelope = self.precision.clone();
        let mut largest = 0.0_f64;
        for precision in envelope.iter_mut().rev() {
            largest = largest.max(*precision);
            *precision = largest;
        }
        envelope
    }
}

/// The score of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClassReport {
    /// 11-point average precision, 0 to 1; `None` where `npos` is 0.
    pub ap_11_point: Option<f64>,
    /// All-point average precision, 0 to 1; `None` where `npos` is 0.
    pub ap_all_point: Option<f64>,
    /// Objects to be found: those that are not difficult, over all images of the set.
    pub npos: usize,
    /// Detections that found an object first.
    pub tp: usize,
    /// Detections that found nothing or an object that was found already.
    pub fp: usize,
    /// Detections that found a difficult object.
    pub ignored: usize,
    /// What another order of equal scores could make of the two precisions; `None` where it makes no
    /// difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ties: Option<Ties>,
}

/// The score of a set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The overlap that makes a detection a hit, 0 to 1.
    pub iou: f64,
    /// Images in the set.
    pub images: usize,
    /// Mean of the classes' 11-point average precision, 0 to 1, over the classes with `npos` above 0;
    /// `None` where there is no such class.
    pub map_11_point: Option<f64>,
    /// Mean of the classes' all-point average precision, likewise.
    pub map_all_point: Option<f64>,
    /// What another order of equal scores could make of the two means; `None` where it makes no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ties: Option<Ties>,
    /// Every class with an object or with a place among the detections, by name.
    pub per_class: BTreeMap<String, ClassReport>,
}

impl Report {
    /// The mean of this kind, 0 to 1; `None` without a class that has an object.
    #[must_use]
    pub fn map(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::ElevenPoint => self.map_11_point,
            Metric::AllPoint => self.map_all_point,
        }
    }
}

/// Scores detections against a set: a detection counts as a hit where [`iou_inclusive`] is `iou` or
/// more (VOC: 0.5).
///
/// Matching follows [`matching`](crate::matching), the curves follow [`Curve`]. The means leave out
/// classes without an object to be found, for which the devkit's code has no answer either (it
/// gives 0 in 2007, NaN in 2012).
///
/// [`iou_inclusive`]: crate::iou_inclusive
///
/// # Errors
/// [`Error::Threshold`] where `iou` is not in 0 to 1, [`Error::UnknownImage`] where a detection names
/// an image that is not in the set.
pub fn evaluate(truth: &Dataset, found: &Detections, iou: f64) -> Result<Report, Error> {
    if !(0.0..=1.0).contains(&iou) {
        return Err(Error::Threshold(iou));
    }
    let mut objects = class_objects(truth);
    let images = numbers_in_set(truth, found)?;
    let names: BTreeSet<&str> = truth.classes().iter().chain(found.classes()).map(String::as_str).collect();
    let mut classes: Vec<(&str, Vec<ClassObject>, &[Detection])> = names
        .into_iter()
        .map(|name| (name, objects.remove(name).unwrap_or_default(), found.of_class(name)))
        .collect();
    // The longest first: no thread begins with it when the others are done.
    classes.sort_by_key(|(_, _, detections)| Reverse(detections.len()));
    let scores = parallel::map(&classes, |(_, objects, detections)| {
        let renumbered = |d: &Detection| Some(Detection { image: *images.get(d.image)?, ..*d });
        let detections: Vec<Detection> = detections.iter().filter_map(renumbered).collect();
        score_class(&ClassObjects::new(objects.clone()), &detections, iou)
    });
    let names = classes.into_iter().map(|(name, _, _)| name.to_owned());
    let per_class: BTreeMap<String, ClassReport> = names.zip(scores).collect();
    Ok(Report {
        iou,
        images: truth.images().len(),
        map_11_point: mean(per_class.values().filter_map(|c| c.ap_11_point)),
        map_all_point: mean(per_class.values().filter_map(|c| c.ap_all_point)),
        ties: mean_ties(&per_class),
        per_class,
    })
}

/// The objects of each class, by image.
pub(crate) fn class_objects(truth: &Dataset) -> BTreeMap<&str, Vec<ClassObject>> {
    let mut objects: BTreeMap<&str, Vec<ClassObject>> = BTreeMap::new();
    for (image, content) in truth.images().iter().enumerate() {
        for object in &content.objects {
            let Some(class) = truth.classes().get(object.class) else { continue };
            let (bounds, difficult) = (object.bounds, object.difficult);
            objects.entry(class).or_default().push(ClassObject { image, bounds, difficult });
        }
    }
    objects
}

/// The number in the set of every image that detections name. Each distinct name is looked up once,
/// however many detections there are.
///
/// An image that no detection is in any more has no number and is no error: the list of images was
/// cut short, and [`Detections::remove_images`] followed.
pub(crate) fn numbers_in_set(truth: &Dataset, found: &Detections) -> Result<Vec<usize>, Error> {
    const UNKNOWN: usize = usize::MAX;
    let number = |id: &String| truth.image_index(id).unwrap_or(UNKNOWN);
    let numbers: Vec<usize> = found.images().iter().map(number).collect();
    if !numbers.contains(&UNKNOWN) {
        return Ok(numbers);
    }
    let unknown = |d: &&Detection| numbers.get(d.image) == Some(&UNKNOWN);
    let in_class = |class: &'_ String| found.of_class(class).iter().filter(unknown).map(|d| d.image).min();
    // Images are numbered as they are named first: the smallest number stands first in the files.
    match found.classes().iter().filter_map(|c| Some((in_class(c)?, c))).min_by_key(|(image, _)| *image) {
        None => Ok(numbers),
        Some((image, class)) => Err(Error::UnknownImage {
            place: found.origin(image),
            class: class.clone(),
            image: found.images().get(image).cloned().unwrap_or_default(),
            images: truth.images().len(),
        }),
    }
}

fn score_class(objects: &ClassObjects, detections: &[Detection], iou: f64) -> ClassReport {
    let npos = objects.counted();
    let matches = match_class(objects, detections, iou);
    let count = |outcome| matches.iter().filter(|m| m.outcome == outcome).count();
    let curve = Curve::new(matches.iter().map(|m| m.outcome), npos);
    ClassReport {
        ap_11_point: (npos > 0).then(|| curve.ap_11_point()),
        ap_all_point: (npos > 0).then(|| curve.ap_all_point()),
        npos,
        tp: count(Outcome::TruePositive),
        fp: count(Outcome::FalsePositive),
        ignored: count(Outcome::Ignored),
        ties: ties::bounds(&matches, detections, npos),
    }
}

/// The means of the classes' bounds.
fn mean_ties(per_class: &BTreeMap<String, ClassReport>) -> Option<Ties> {
    per_class.values().find(|class| class.ties.is_some())?;
    let low_and_high = |ap: fn(&ClassReport) -> Option<f64>, of: fn(&Ties) -> Bounds| {
        let class = |c: &ClassReport| {
            let single = ap(c).map(|ap| Bounds { low: ap, high: ap });
            c.ties.as_ref().map(of).or(single)
        };
        let low = mean(per_class.values().filter_map(class).map(|bounds| bounds.low))?;
        Some(Bounds { low, high: mean(per_class.values().filter_map(class).map(|bounds| bounds.high))? })
    };
    Some(Ties {
        ap_11_point: low_and_high(|c| c.ap_11_point, |t| t.ap_11_point)?,
        ap_all_point: low_and_high(|c| c.ap_all_point, |t| t.ap_all_point)?,
    })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
