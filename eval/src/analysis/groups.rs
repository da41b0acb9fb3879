//! The score by size and by shape of objects.

use serde::Serialize;

use super::matched::{Matched, MatchedClass, MatchedDetection};
use crate::matching::Outcome;
use crate::pixel_box::PixelBox;
use crate::voc::Curve;

/// A range of sizes or shapes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Its name, for people.
    pub name: &'static str,
    /// From here (inclusive).
    pub from: f64,
    /// To here (exclusive).
    pub to: f64,
}

/// Boxes by the square root of their area in pixels; 32 and 96 are COCO's.
const SIZES: [Group; 4] = [
    Group { name: "small, under 32²", from: 0.0, to: 32.0 },
    Group { name: "medium, under 96²", from: 32.0, to: 96.0 },
    Group { name: "large, under 256²", from: 96.0, to: 256.0 },
    Group { name: "huge", from: 256.0, to: f64::INFINITY },
];

/// Boxes by width over height.
const ASPECTS: [Group; 5] = [
    Group { name: "very tall, under 1:2", from: 0.0, to: 0.5 },
    Group { name: "tall, under 4:5", from: 0.5, to: 0.8 },
    Group { name: "about square", from: 0.8, to: 1.25 },
    Group { name: "wide, under 2:1", from: 1.25, to: 2.0 },
    Group { name: "very wide", from: 2.0, to: f64::INFINITY },
];

/// The score of a group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroupScore {
    /// Which group.
    pub group: Group,
    /// Objects to be found.
    pub npos: usize,
    /// Mean over classes of all-point average precision; `None` without an object.
    pub map: Option<f64>,
    /// The part of the objects that are found at all, at any score.
    pub recall: Option<f64>,
}

fn width(b: PixelBox) -> f64 {
    b.xmax - b.xmin + 1.0
}

fn height(b: PixelBox) -> f64 {
    b.ymax - b.ymin + 1.0
}

/// Scores by the size of objects. Objects outside a group and what finds them count for nothing; so does a
/// false alarm whose own box lies outside.
#[must_use]
pub fn by_size(matched: &Matched) -> Vec<GroupScore> {
    score(matched, &SIZES, |b| (width(b) * height(b)).max(0.0).sqrt())
}

/// Scores by the shape of objects, likewise.
#[must_use]
pub fn by_aspect(matched: &Matched) -> Vec<GroupScore> {
    score(matched, &ASPECTS, |b| width(b) / height(b))
}

fn score(matched: &Matched, groups: &[Group], measure: impl Fn(PixelBox) -> f64) -> Vec<GroupScore> {
    groups
        .iter()
        .map(|&group| {
            let inside = |b: PixelBox| (group.from..group.to).contains(&measure(b));
            let (mut aps, mut npos, mut hits) = (Vec::new(), 0, 0);
            for class in &matched.classes {
                let to_find = class.objects.iter().filter(|o| !o.difficult && inside(o.bounds)).count();
                if to_find == 0 {
                    continue;
                }
                let outcomes: Vec<Outcome> =
                    class.detections.iter().map(|d| outcome(class, d, &inside)).collect();
                npos += to_find;
                hits += outcomes.iter().filter(|o| **o == Outcome::TruePositive).count();
                aps.push(Curve::new(outcomes, to_find).ap_all_point());
            }
            GroupScore {
                group,
                npos,
                map: (!aps.is_empty()).then(|| aps.iter().sum::<f64>() / aps.len() as f64),
                recall: (npos > 0).then(|| hits as f64 / npos as f64),
            }
        })
        .collect()
}

fn outcome(class: &MatchedClass, d: &MatchedDetection, inside: &impl Fn(PixelBox) -> bool) -> Outcome {
    let counts = match d.outcome {
        Outcome::TruePositive => {
            let object = d.best.and_then(|(at, _)| class.objects.get(at));
            object.is_some_and(|object| inside(object.bounds))
        }
        Outcome::FalsePositive => inside(d.bounds),
        Outcome::Ignored => false,
    };
    if counts { d.outcome } else { Outcome::Ignored }
}
