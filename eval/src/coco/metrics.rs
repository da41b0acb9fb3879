//! The twelve numbers of COCO's detection challenge, as pycocotools computes them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::parallel;
use crate::scene::{Scene, SceneDetection, SceneObject};

/// IoU thresholds: 0.5, 0.55 … 0.95.
const THRESHOLDS: usize = 10;

/// Levels of recall: 0, 0.01 … 1.
const LEVELS: usize = 101;

/// Detections a class and image that count, at most, for the three recalls; the last one for precision.
const LIMITS: [usize; 3] = [1, 10, 100];

/// Area ranges in pixels, both ends inclusive: all, small, medium, large.
const AREAS: [(f64, f64); 4] = [(0.0, 1e10), (0.0, 1024.0), (1024.0, 9216.0), (9216.0, 1e10)];

/// The twelve numbers; `None` (pycocotools: -1) where no class has an object to find.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct CocoReport {
    /// Average precision over IoU thresholds 0.5 to 0.95, 0 to 1.
    pub ap: Option<f64>,
    /// Average precision at IoU 0.5.
    pub ap_50: Option<f64>,
    /// Average precision at IoU 0.75.
    pub ap_75: Option<f64>,
    /// Average precision for objects of at most 32² pixels.
    pub ap_small: Option<f64>,
    /// Average precision for objects of 32² to 96² pixels.
    pub ap_medium: Option<f64>,
    /// Average precision for objects of at least 96² pixels.
    pub ap_large: Option<f64>,
    /// Average recall with 1 detection a class and image.
    pub ar_1: Option<f64>,
    /// Average recall with 10 detections.
    pub ar_10: Option<f64>,
    /// Average recall with 100 detections.
    pub ar_100: Option<f64>,
    /// Average recall for objects of at most 32² pixels.
    pub ar_small: Option<f64>,
    /// Average recall for objects of 32² to 96² pixels.
    pub ar_medium: Option<f64>,
    /// Average recall for objects of at least 96² pixels.
    pub ar_large: Option<f64>,
    /// By class, for those with an object to find.
    pub per_class: BTreeMap<String, CocoClass>,
}

impl CocoReport {
    /// The twelve numbers in COCO's order, with COCO's names.
    #[must_use]
    pub fn numbers(&self) -> [(&'static str, Option<f64>); 12] {
        [
            ("AP", self.ap),
            ("AP50", self.ap_50),
            ("AP75", self.ap_75),
            ("AP small", self.ap_small),
            ("AP medium", self.ap_medium),
            ("AP large", self.ap_large),
            ("AR 1", self.ar_1),
            ("AR 10", self.ar_10),
            ("AR 100", self.ar_100),
            ("AR small", self.ar_small),
            ("AR medium", self.ar_medium),
            ("AR large", self.ar_large),
        ]
    }
}

/// One class by COCO's rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CocoClass {
    /// Average precision over IoU thresholds 0.5 to 0.95.
    pub ap: f64,
    /// Average precision at IoU 0.5.
    pub ap_50: f64,
    /// Average recall with 100 detections.
    pub ar_100: f64,
}

/// Scores by COCO's rules: IoU of continuous boxes, the best 100 detections of a class in an image, each
/// taking the best object that is free; crowds and objects outside an area range count for nothing;
/// precision at 101 levels of recall, averaged over ten IoU thresholds.
#[must_use]
pub fn evaluate(scene: &Scene) -> CocoReport {
    let classes: Vec<usize> = (0..scene.classes.len()).collect();
    let curves = parallel::map(&classes, |&class| score_class(scene, class));
    // All cells of all classes with an object in the range; the mean is over cells, as pycocotools' is.
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
        (count > 0).then(|| sum / count as f64)
    };
    let precision = |area: usize, thresholds: std::ops::Range<usize>| {
        let of_class = |class: &ClassCurves| class.areas.get(area)?.clone();
        let curves: Vec<AreaCurves> = curves.iter().filter_map(of_class).collect();
        let rows = curves.iter().flat_map(|curves| curves.precision.get(thresholds.clone()).unwrap_or(&[]));
        mean(&mut rows.flatten().copied())
    };
    let recall = |area: usize, limit: usize| {
        let of_class = |class: &ClassCurves| class.areas.get(area)?.as_ref()?.recall.get(limit).copied();
        mean(&mut curves.iter().filter_map(of_class).flatten())
    };
    let all = 0..THRESHOLDS;
    let per_class = scene.classes.iter().zip(&curves).filter_map(|(name, class)| {
        let curves = class.areas.first()?.as_ref()?;
        let whole = |rows: &[[f64; LEVELS]]| mean(&mut rows.iter().flatten().copied()).unwrap_or(0.0);
        let report = CocoClass {
            ap: whole(&curves.precision),
            ap_50: whole(curves.precision.get(..1)?),
            ar_100: mean(&mut curves.recall.get(2)?.iter().copied())?,
        };
        Some((name.clone(), report))
    });
    CocoReport {
        ap: precision(0, all.clone()),
        ap_50: precision(0, 0..1),
        ap_75: precision(0, 5..6),
        ap_small: precision(1, all.clone()),
        ap_medium: precision(2, all.clone()),
        ap_large: precision(3, all),
        ar_1: recall(0, 0),
        ar_10: recall(0, 1),
        ar_100: recall(0, 2),
        ar_small: recall(1, 2),
        ar_medium: recall(2, 2),
        ar_large: recall(3, 2),
        per_class: per_class.collect(),
    }
}

/// What a class comes to in one area range.
#[derive(Clone)]
struct AreaCurves {
    /// By threshold, at each level of recall.
    precision: Vec<[f64; LEVELS]>,
    /// By limit of detections, at each threshold.
    recall: [[f64; THRESHOLDS]; LIMITS.len()],
}

struct ClassCurves {
    /// By area range; `None` where there is no object in it.
    areas: Vec<Option<AreaCurves>>,
}

/// A detection after matching: its score, its place among those of its image, and at each threshold whether
/// it is a hit and whether it counts.
#[derive(Clone, Copy)]
struct Judged {
    score: f64,
    rank: usize,
    hit: [bool; THRESHOLDS],
    ignored: [bool; THRESHOLDS],
}

/// `numpy.linspace(0.5, 0.95, 10)`, to the last bit.
fn threshold(index: usize) -> f64 {
    if index + 1 == THRESHOLDS { 0.95 } else { index as f64 * ((0.95 - 0.5) / 9.0) + 0.5 }
}

/// `numpy.linspace(0, 1, 101)`.
fn level(index: usize) -> f64 {
    if index + 1 == LEVELS { 1.0 } else { index as f64 * 0.01 }
}

fn score_class(scene: &Scene, class: usize) -> ClassCurves {
    let images: Vec<(Vec<SceneObject>, Vec<SceneDetection>)> = scene
        .images
        .iter()
        .filter_map(|image| {
            let objects: Vec<_> = image.objects.iter().filter(|o| o.class == class).copied().collect();
            let mut found: Vec<_> = image.detections.iter().filter(|d| d.class == class).copied().collect();
            // Stable: equal scores keep the order of the file.
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            found.truncate(LIMITS[2]);
            (!objects.is_empty() || !found.is_empty()).then_some((objects, found))
        })
        .collect();
    let areas = AREAS.iter().map(|&range| {
        let mut judged = Vec::new();
        let mut to_find = 0;
        for (objects, found) in &images {
            to_find += judge(objects, found, range, &mut judged);
        }
        (to_find > 0).then(|| curves(judged, to_find))
    });
    ClassCurves { areas: areas.collect() }
}

/// Matches the detections of an image, by falling score, and returns how many objects there are to find.
fn judge(
    objects: &[SceneObject],
    found: &[SceneDetection],
    (least, most): (f64, f64),
    judged: &mut Vec<Judged>,
) -> usize {
    let ignored = |o: &SceneObject| o.crowd || o.area < least || o.area > most;
    // Objects that count come first.
    let mut order: Vec<(&SceneObject, bool)> = objects.iter().map(|o| (o, ignored(o))).collect();
    order.sort_by_key(|(_, ignored)| *ignored);
    let overlaps: Vec<Vec<f64>> = found
        .iter()
        .map(|d| {
            let overlap = |o: &SceneObject| match o.crowd {
                true => d.bounds.part_in(o.bounds),
                false => d.bounds.iou_continuous(o.bounds),
            };
            order.iter().map(|(object, _)| overlap(object)).collect()
        })
        .collect();
    let first = judged.len();
    for (rank, detection) in found.iter().enumerate() {
        let (hit, ignored) = ([false; THRESHOLDS], [false; THRESHOLDS]);
        judged.push(Judged { score: detection.score, rank, hit, ignored });
    }
    for at in 0..THRESHOLDS {
        let mut taken = vec![false; order.len()];
        let of_image = judged.get_mut(first..).unwrap_or_default();
        for ((detection, overlaps), judged) in found.iter().zip(&overlaps).zip(of_image) {
            let mut best: Option<(usize, bool)> = None;
            let mut most_overlap = threshold(at).min(1.0 - 1e-10);
            for (index, ((object, ignored), overlap)) in order.iter().zip(overlaps).enumerate() {
                if taken.get(index) == Some(&true) && !object.crowd {
                    continue;
                }
                // One that counts was found, and only such that do not are left.
                if *ignored && best.is_some_and(|(_, ignored)| !ignored) {
                    break;
                }
                // Of equal overlaps the later object wins.
                if *overlap >= most_overlap {
                    most_overlap = *overlap;
                    best = Some((index, *ignored));
                }
            }
            let area = detection.bounds.area();
            let (hit, ignored) = match best {
                Some((index, ignored)) => {
                    if let Some(taken) = taken.get_mut(index) {
                        *taken = true;
                    }
                    (!ignored, ignored)
                }
                None => (false, area < least || area > most),
            };
            if let (Some(a), Some(b)) = (judged.hit.get_mut(at), judged.ignored.get_mut(at)) {
                (*a, *b) = (hit, ignored);
            }
        }
    }
    order.iter().filter(|(_, ignored)| !ignored).count()
}

fn curves(mut judged: Vec<Judged>, to_find: usize) -> AreaCurves {
    judged.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut curves = AreaCurves { precision: Vec::new(), recall: [[0.0; THRESHOLDS]; LIMITS.len()] };
    for at in 0..THRESHOLDS {
        let (mut recalls, mut precisions) = (Vec::new(), Vec::new());
        let mut last = [0_usize; LIMITS.len()];
        let (mut hits, mut misses) = (0_usize, 0_usize);
        for d in &judged {
            let (hit, ignored) = (d.hit.get(at) == Some(&true), d.ignored.get(at) == Some(&true));
            hits += usize::from(hit);
            misses += usize::from(!hit && !ignored);
            for (last, limit) in last.iter_mut().zip(LIMITS) {
                *last += usize::from(hit && d.rank < limit);
            }
            recalls.push(hits as f64 / to_find as f64);
            precisions.push(hits as f64 / ((hits + misses) as f64 + f64::EPSILON));
        }
        for (recall, last) in curves.recall.iter_mut().zip(last) {
            if let Some(recall) = recall.get_mut(at) {
                *recall = last as f64 / to_find as f64;
            }
        }
        let mut largest = 0.0_f64;
        for precision in precisions.iter_mut().rev() {
            largest = largest.max(*precision);
            *precision = largest;
        }
        curves.precision.push(std::array::from_fn(|index| {
            let first = recalls.partition_point(|&recall| recall < level(index));
            precisions.get(first).copied().unwrap_or(0.0)
        }));
    }
    curves
}
