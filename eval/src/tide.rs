//! What kinds of errors cost how much: the split of TIDE (Bolya and others, ECCV 2020), as tidecv 1.0.1
//! computes it for boxes, with a hit at IoU 0.5 and background below 0.1.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::parallel;
use crate::scene::{Scene, SceneDetection, SceneImage, SceneObject};

/// An overlap that makes a hit.
const HIT: f64 = 0.5;

/// An overlap up to which a detection is on background.
const BACKGROUND: f64 = 0.1;

/// Kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// On an object of another class.
    Classification,
    /// On an object of its class, but not well enough.
    Localisation,
    /// On an object of another class, and not well enough.
    Both,
    /// On an object that a surer detection has found.
    Duplicate,
    /// On nothing.
    Background,
    /// An object that nothing points at.
    Missed,
}

impl Kind {
    /// All of them, in TIDE's order.
    pub const ALL: [Self; 6] = [
        Self::Classification,
        Self::Localisation,
        Self::Both,
        Self::Duplicate,
        Self::Background,
        Self::Missed,
    ];

    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Localisation => "localisation",
            Self::Both => "both",
            Self::Duplicate => "duplicate",
            Self::Background => "background",
            Self::Missed => "missed",
        }
    }
}

/// What a kind of errors comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// How many there are.
    pub count: usize,
    /// How much the mean average precision would rise without them, 0 to 1.
    pub d_ap: f64,
}

/// The split.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TideReport {
    /// TIDE's own mean average precision, 0 to 1: 101 points, over classes with an object or a detection.
    pub ap: f64,
    /// By kind.
    pub errors: BTreeMap<Kind, Cost>,
    /// How much it would rise if all false positives came last, 0 to 1.
    pub false_positives: f64,
    /// How much it would rise if nothing were missed, 0 to 1.
    pub false_negatives: f64,
}

/// One detection that was not a hit.
struct Mistake {
    kind: Kind,
    class: usize,
    score: f64,
    /// An ignored detection is no false positive, though it may point at an object.
    counts: bool,
    /// The object it would have found, as its class, where it is the one to be repaired.
    repaired: Option<usize>,
}

/// What an image comes to.
#[derive(Default)]
struct Verdict {
    /// Class and score of each hit.
    hits: Vec<(usize, f64)>,
    mistakes: Vec<Mistake>,
    /// Detections by falling score: class, score, whether it is a hit.
    ranked: Vec<(usize, f64, bool)>,
    /// Classes of objects that nothing points at, and of all that were not found.
    missed: Vec<usize>,
    not_found: Vec<usize>,
}

/// Splits the errors of a set; at most `max_detections` an image are looked at (TIDE: 100).
#[must_use]
pub fn analyse(scene: &Scene, max_detections: usize) -> TideReport {
    let verdicts = parallel::map(&scene.images, |image| judge(image, max_detections));
    let mut to_find = vec![0_i64; scene.classes.len()];
    for object in scene.images.iter().flat_map(|image| &image.objects).filter(|object| !object.crowd) {
        add(&mut to_find, object.class, 1);
    }
    let plain = verdicts.iter().flat_map(|v| v.ranked.iter().copied());
    let ap = mean_ap(plain, &to_find);
    let hits = || verdicts.iter().flat_map(|v| v.hits.iter().map(|&(class, score)| (class, score, true)));
    let mistakes = || verdicts.iter().flat_map(|v| &v.mistakes);
    let mut errors = BTreeMap::new();
    for kind in Kind::ALL {
        let mut to_find = to_find.clone();
        let count = match kind {
            Kind::Missed => {
                let missed = verdicts.iter().flat_map(|v| &v.missed);
                missed.clone().for_each(|&class| add(&mut to_find, class, -1));
                missed.count()
            }
            _ => mistakes().filter(|mistake| mistake.kind == kind).count(),
        };
        let left = mistakes().filter_map(|mistake| match mistake.kind == kind {
            true => mistake.repaired.map(|class| (class, mistake.score, true)),
            false => mistake.counts.then_some((mistake.class, mistake.score, false)),
        });
        let repaired = mean_ap(left.chain(hits()), &to_find);
        errors.insert(kind, Cost { count, d_ap: (repaired - ap).max(0.0) });
    }
    let last = mistakes().filter(|m| m.counts).map(|m| (m.class, 0.0, false));
    let first = hits().map(|(class, _, hit)| (class, 1.0, hit));
    let without_positives = mean_ap(last.chain(first), &to_find);
    let counted = mistakes().filter(|m| m.counts).map(|m| (m.class, m.score, false));
    let mut found = to_find.clone();
    verdicts.iter().flat_map(|v| &v.not_found).for_each(|&class| add(&mut found, class, -1));
    let without_negatives = mean_ap(counted.chain(hits()), &found);
    TideReport {
        ap,
        errors,
        false_positives: (without_positives - ap).max(0.0),
        false_negatives: (without_negatives - ap).max(0.0),
    }
}

fn add(counts: &mut [i64], class: usize, change: i64) {
    if let Some(count) = counts.get_mut(class) {
        *count += change;
    }
}

/// An object with what became of it.
struct Target<'a> {
    object: &'a SceneObject,
    used: bool,
    /// The surest mistake that points at it.
    best: Option<(f64, usize)>,
}

/// Matches the detections of an image and names the mistakes.
fn judge(image: &SceneImage, max_detections: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let mut found: Vec<&SceneDetection> = image.detections.iter().collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(max_detections);
    let mut targets: Vec<Target<'_>> = image
        .objects
        .iter()
        .filter(|object| !object.crowd)
        .map(|object| Target { object, used: false, best: None })
        .collect();
    let overlaps: Vec<Vec<f64>> = found
        .iter()
        .map(|d| targets.iter().map(|t| d.bounds.iou_continuous(t.object.bounds)).collect())
        .collect();
    // Hits first: mistakes are named with all of them known.
    let mut hits = vec![false; found.len()];
    for ((detection, overlaps), hit) in found.iter().zip(&overlaps).zip(&mut hits) {
        let free = |at: usize| targets.get(at).is_some_and(|t| t.object.class == detection.class && !t.used);
        if let Some((at, overlap)) = best(overlaps, free)
            && overlap >= HIT
            && let Some(target) = targets.get_mut(at)
        {
            (*hit, target.used) = (true, true);
        }
    }
    // By mistake, the object it points at.
    let mut pointing: Vec<Option<usize>> = Vec::new();
    for ((detection, overlaps), hit) in found.iter().zip(&overlaps).zip(&hits) {
        let in_crowd = |o: &SceneObject| {
            o.crowd && o.class == detection.class && detection.bounds.part_in(o.bounds) > HIT
        };
        let counts = *hit || !image.objects.iter().any(in_crowd);
        let (class, score) = (detection.class, detection.score);
        if counts {
            verdict.ranked.push((class, score, *hit));
        }
        if *hit {
            verdict.hits.push((class, score));
            continue;
        }
        let (kind, object) = name(class, overlaps, &targets);
        let number = verdict.mistakes.len();
        if let Some(target) = object.and_then(|at| targets.get_mut(at)).filter(|target| !target.used)
            && target.best.is_none_or(|(most, _)| most < score)
        {
            target.best = Some((score, number));
        }
        pointing.push(object);
        verdict.mistakes.push(Mistake { kind, class, score, counts, repaired: None });
    }
    for (number, (mistake, object)) in verdict.mistakes.iter_mut().zip(pointing).enumerate() {
        let target = object.and_then(|at| targets.get(at));
        let surest = target.filter(|target| target.best.is_some_and(|(_, best)| best == number));
        mistake.repaired = surest.map(|target| match mistake.kind {
            Kind::Classification => target.object.class,
            _ => mistake.class,
        });
    }
    for target in targets.iter().filter(|target| !target.used) {
        verdict.not_found.push(target.object.class);
        if target.best.is_none() {
            verdict.missed.push(target.object.class);
        }
    }
    verdict
}

/// The first kind that fits a detection that is no hit, and the object that it would have found.
fn name(class: usize, overlaps: &[f64], targets: &[Target<'_>]) -> (Kind, Option<usize>) {
    let of_class = |at: usize| targets.get(at).is_some_and(|t| t.object.class == class);
    let used = |at: usize| targets.get(at).is_some_and(|t| t.used);
    if targets.is_empty() {
        return (Kind::Background, None);
    }
    if let Some((at, overlap)) = best(overlaps, of_class)
        && (BACKGROUND..=HIT).contains(&overlap)
    {
        return (Kind::Localisation, Some(at));
    }
    if let Some((at, overlap)) = best(overlaps, |at| !of_class(at))
        && overlap >= HIT
    {
        return (Kind::Classification, Some(at));
    }
    if best(overlaps, |at| of_class(at) && used(at)).is_some_and(|(_, overlap)| overlap >= HIT) {
        return (Kind::Duplicate, None);
    }
    if best(overlaps, |_| true).is_none_or(|(_, overlap)| overlap <= BACKGROUND) {
        return (Kind::Background, None);
    }
    (Kind::Both, None)
}

/// The largest overlap among those that are allowed, the first of equals.
fn best(overlaps: &[f64], allowed: impl Fn(usize) -> bool) -> Option<(usize, f64)> {
    let mut best: Option<(usize, f64)> = None;
    for (at, &overlap) in overlaps.iter().enumerate().filter(|(at, _)| allowed(*at)) {
        if best.is_none_or(|(_, most)| overlap > most) {
            best = Some((at, overlap));
        }
    }
    best
}

/// The mean over classes of average precision at 101 points.
fn mean_ap(data: impl Iterator<Item = (usize, f64, bool)>, to_find: &[i64]) -> f64 {
    let mut by_class: Vec<Vec<(f64, bool)>> = vec![Vec::new(); to_find.len()];
    for (class, score, hit) in data {
        if let Some(list) = by_class.get_mut(class) {
            list.push((score, hit));
        }
    }
    let scores: Vec<f64> = by_class
        .into_iter()
        .zip(to_find)
        .filter(|(list, to_find)| !list.is_empty() || **to_find != 0)
        .map(|(list, &to_find)| class_ap(list, to_find))
        .collect();
    if scores.is_empty() { 0.0 } else { scores.iter().sum::<f64>() / scores.len() as f64 }
}

fn class_ap(mut list: Vec<(f64, bool)>, to_find: i64) -> f64 {
    if to_find <= 0 {
        return 0.0;
    }
    list.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut hits, mut all) = (0_u64, 0_u64);
    let (mut recalls, mut precisions) = (Vec::with_capacity(list.len()), Vec::with_capacity(list.len()));
    for (_, hit) in list {
        all += 1;
        hits += u64::from(hit);
        precisions.push(hits as f64 / all as f64);
        recalls.push(hits as f64 / to_find as f64);
    }
    let mut largest = 0.0_f64;
    for precision in precisions.iter_mut().rev() {
        largest = largest.max(*precision);
        *precision = largest;
    }
    let at_level = |level: u32| {
        let first = recalls.partition_point(|&recall| recall < f64::from(level) / 100.0);
        precisions.get(first).copied().unwrap_or(0.0)
    };
    (0..=100).map(at_level).sum::<f64>() / 101.0
}
