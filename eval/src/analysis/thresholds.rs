//! Where to cut the scores of a class.

use serde::Serialize;

use super::matched::MatchedClass;
use crate::matching::Outcome;

/// The score threshold at which a class does best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Operating {
    /// Keep detections of this score or more.
    pub threshold: f64,
    /// Harmonic mean of precision and recall there, 0 to 1.
    pub f1: f64,
    /// The part of those kept that are hits.
    pub precision: f64,
    /// The part of the objects that are found.
    pub recall: f64,
}

impl Operating {
    /// The threshold of the best F1, the highest of equals; `None` without an object or a hit.
    #[must_use]
    pub fn best(class: &MatchedClass) -> Option<Self> {
        let npos = class.npos();
        let (mut hits, mut alarms) = (0_usize, 0_usize);
        let mut best: Option<Self> = None;
        let mut rest = class.detections.iter().peekable();
        while let Some(d) = rest.next() {
            match d.outcome {
                Outcome::TruePositive => hits += 1,
                Outcome::FalsePositive => alarms += 1,
                Outcome::Ignored => {}
            }
            // A threshold keeps all of equal scores, or none.
            let last = rest.peek().is_none_or(|next| next.score < d.score);
            if !last || hits == 0 || npos == 0 {
                continue;
            }
            let f1 = 2.0 * hits as f64 / (hits + alarms + npos) as f64;
            if best.is_none_or(|best| f1 > best.f1) {
                best = Some(Self {
                    threshold: d.score,
                    f1,
                    precision: hits as f64 / (hits + alarms) as f64,
                    recall: hits as f64 / npos as f64,
                });
            }
        }
        best
    }
}

/// How the scores of hits and of false alarms are spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Histogram {
    /// The lower end of the first bin and the upper end of the last.
    pub range: (f64, f64),
    /// Hits by bin, from low scores to high.
    pub hits: Vec<usize>,
    /// False alarms by bin.
    pub false_alarms: Vec<usize>,
}

impl Histogram {
    /// The scores of all classes in so many bins, over 0 to 1 where they lie there, else over their own
    /// range.
    #[must_use]
    pub fn new<'a>(classes: impl Iterator<Item = &'a MatchedClass> + Clone, bins: usize) -> Self {
        let bins = bins.clamp(1, 1000);
        let scores = || classes.clone().flat_map(|class| &class.detections);
        let ends =
            scores().fold((0.0_f64, 1.0_f64), |(least, most), d| (least.min(d.score), most.max(d.score)));
        let width = (ends.1 - ends.0) / bins as f64;
        let mut histogram = Self { range: ends, hits: vec![0; bins], false_alarms: vec![0; bins] };
        for d in scores() {
            let bin = (((d.score - ends.0) / width) as usize).min(bins - 1);
            let counts = match d.outcome {
                Outcome::TruePositive => &mut histogram.hits,
                Outcome::FalsePositive => &mut histogram.false_alarms,
                Outcome::Ignored => continue,
            };
            if let Some(count) = counts.get_mut(bin) {
                *count += 1;
            }
        }
        histogram
    }
}
