//! What the order of equal scores can do to an average precision.
//!
//! The rules settle it (file order), but another tool, or another file order, may settle it otherwise. How
//! many hits and false alarms there are among detections of one score does not depend on their order: each
//! keeps its best object, and a free object makes one hit, whichever comes first. So the highest figure has
//! the hits of each score first and the lowest has them last.

use serde::Serialize;

use crate::detections::Detection;
use crate::matching::{Match, Outcome};
use crate::voc::Curve;

/// The lowest and the highest that a figure can be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// Not below this.
    pub low: f64,
    /// Not above this.
    pub high: f64,
}

impl Bounds {
    /// How far apart the two are.
    #[must_use]
    pub fn width(self) -> f64 {
        self.high - self.low
    }
}

/// The bounds of both average precisions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ties {
    /// Of the 11-point one.
    pub ap_11_point: Bounds,
    /// Of the all-point one.
    pub ap_all_point: Bounds,
}

/// The bounds for a class; `None` where no two detections of one score differ in what became of them.
pub(crate) fn bounds(matches: &[Match], detections: &[Detection], npos: usize) -> Option<Ties> {
    let score = |m: &Match| detections.get(m.detection).map(|d| d.score);
    let mixed = |group: &[Match]| {
        let has = |outcome| group.iter().any(|m| m.outcome == outcome);
        has(Outcome::TruePositive) && has(Outcome::FalsePositive)
    };
    let groups = || matches.chunk_by(|a, b| score(a) == score(b));
    if npos == 0 || !groups().any(mixed) {
        return None;
    }
    let curve = |hits_first: bool| {
        let mut outcomes = Vec::with_capacity(matches.len());
        for group in groups() {
            let of = |outcome| group.iter().map(|m| m.outcome).filter(move |o| *o == outcome);
            let (hits, alarms) = (of(Outcome::TruePositive), of(Outcome::FalsePositive));
            if hits_first { outcomes.extend(hits.chain(alarms)) } else { outcomes.extend(alarms.chain(hits)) }
        }
        Curve::new(outcomes, npos)
    };
    let (worst, best) = (curve(false), curve(true));
    Some(Ties {
        ap_11_point: Bounds { low: worst.ap_11_point(), high: best.ap_11_point() },
        ap_all_point: Bounds { low: worst.ap_all_point(), high: best.ap_all_point() },
    })
}
