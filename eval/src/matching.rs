//! Which detection finds which object: one class, every image, by the devkit's rules.
//!
//! Detections are taken by falling score. Each looks at the one object of its class in its image that
//! it overlaps most, whether `difficult`, taken already, or free. Where the overlap reaches the
//! threshold, a difficult object makes the detection ignored, a free one a hit, a taken one a false
//! alarm. A detection never turns to its second-best object.

use std::collections::HashMap;
use std::ops::Range;

use crate::detections::Detection;
use crate::pixel_box::{PixelBox, iou_inclusive};

/// What became of a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It found an object that nothing before it had found.
    TruePositive,
    /// It found nothing, or an object that was found already.
    FalsePositive,
    /// It found a `difficult` object: it counts for nothing.
    Ignored,
}

/// A detection and what it met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Index of the detection in the list given.
    pub detection: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// The object it overlaps most, as an index into [`ClassObjects::all`], with their
    /// [`iou_inclusive`]; `None` where it overlaps none.
    pub best: Option<(usize, f64)>,
}

/// An object of the class that is being matched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassObject {
    /// The image it is in, numbered as the detections' images are.
    pub image: usize,
    /// Where it is, in inclusive pixels.
    pub bounds: PixelBox,
    /// Whether it counts for nothing.
    pub difficult: bool,
}

/// The objects of one class, those of an image side by side.
#[derive(Clone, Debug, Default)]
pub struct ClassObjects {
    all: Vec<ClassObject>,
    in_image: HashMap<usize, Range<usize>>,
}

impl ClassObjects {
    /// Groups objects by image; within an image they keep their order, the annotation's.
    #[must_use]
    pub fn new(mut objects: Vec<ClassObject>) -> Self {
        objects.sort_by_key(|o| o.image);
        let mut in_image: HashMap<usize, Range<usize>> = HashMap::new();
        for (index, object) in objects.iter().enumerate() {
            in_image.entry(object.image).or_insert(index..index).end = index + 1;
        }
        Self { all: objects, in_image }
    }

    /// The objects, grouped by image.
    #[must_use]
    pub fn all(&self) -> &[ClassObject] {
        &self.all
    }

    /// How many objects are to be found (the devkit's `npos`): those that are not difficult.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.all.iter().filter(|o| !o.difficult).count()
    }

    /// The object of `image` that `bounds` overlaps most, with its overlap. On equal overlaps the
    /// first in annotation order.
    fn best(&self, image: usize, bounds: PixelBox) -> Option<(usize, f64)> {
        let range = self.in_image.get(&image)?.clone();
        let mut best: Option<(usize, f64)> = None;
        for (index, object) in range.clone().zip(self.all.get(range)?) {
            let Some(overlap) = iou_inclusive(bounds, object.bounds) else { continue };
            // `>` keeps the first of equals; corners near the end of f64 give NaN, which is no overlap.
            if overlap > best.map_or(f64::NEG_INFINITY, |(_, most)| most) {
                best = Some((index, overlap));
            }
        }
        best
    }
}

/// A number that is the smaller the larger the score is. Integers sort faster than f64.
fn falling(score: f64) -> u64 {
    // Adding 0 makes -0 and 0 the tie that they are. What follows is the order of `f64::total_cmp`:
    // of negative numbers all bits are turned, of the others the sign alone.
    let bits = (score + 0.0).to_bits();
    let rising = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    !rising
}

/// Matches the detections of a class with its objects: one [`Match`] a detection, by falling score,
/// equal scores in the order given. An overlap of exactly `threshold` is enough.
#[must_use]
pub fn match_class(objects: &ClassObjects, detections: &[Detection], threshold: f64) -> Vec<Match> {
    let mut order: Vec<(u64, usize)> = detections.iter().map(|d| falling(d.score)).zip(0..).collect();
    // The index makes all keys distinct, in the order given where scores are equal.
    order.sort_unstable();
    let mut taken = vec![false; objects.all.len()];
    let mut matches = Vec::with_capacity(order.len());
    for (_, detection) in order {
        let Some(found) = detections.get(detection) else { continue };
        let best = objects.best(found.image, found.bounds);
        let met = best
            .filter(|(_, overlap)| *overlap >= threshold)
            .and_then(|(index, _)| objects.all.get(index).zip(taken.get_mut(index)));
        let outcome = match met {
            None => Outcome::FalsePositive,
            Some((object, _)) if object.difficult => Outcome::Ignored,
            Some((_, taken)) => {
                if std::mem::replace(taken, true) {
                    Outcome::FalsePositive
                } else {
                    Outcome::TruePositive
                }
            }
        };
        matches.push(Match { detection, outcome, best });
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_scores_fall() {
        let scores = [
            f64::NAN,
            f64::INFINITY,
            1e300,
            1.0,
            0.5 + 1e-12,
            0.5,
            5e-324,
            0.0,
            -1e-9,
            -2.0,
            f64::NEG_INFINITY,
        ];
        assert!(scores.windows(2).all(|pair| falling(pair[0]) < falling(pair[1])));
        assert_eq!(falling(-0.0), falling(0.0));
    }
}
