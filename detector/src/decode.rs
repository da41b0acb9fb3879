//! From the network's outputs to candidates: softmax over the classes, boxes from anchors and offsets.

use std::cmp::Ordering;

use crate::anchors::Anchor;
use crate::detections::BoxXyxy;

/// What offsets of the centre and of the size are multiplied by (SSD's variances).
pub(crate) const VARIANCES: (f32, f32) = (0.1, 0.2);

/// Offsets of the size are held below this: a box 1,000 times its anchor means nothing, and `exp` would
/// overflow.
pub(crate) const MOST_GROWTH: f32 = 7.0;

/// A class at an anchor with a score above the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) class: u32,
    pub(crate) anchor: u32,
    pub(crate) score: f32,
}

/// Collects every allowed class whose probability is above `threshold`, by class; the background (0) is none.
///
/// `logits` has `into.len()` values an anchor. The exponentials of an anchor are summed only where its best
/// class can reach the threshold, so that the many anchors on background cost little. `exponentials` is
/// scratch.
pub(crate) fn candidates(
    logits: &[f32],
    allowed: &[bool],
    threshold: f32,
    exponentials: &mut Vec<f32>,
    into: &mut [Vec<Candidate>],
) {
    into.iter_mut().for_each(Vec::clear);
    // softmax(c) > t needs exp(logit_c - background) > t × (1 + …), so at least this much:
    let margin = if threshold > 0.0 { threshold.ln() } else { f32::NEG_INFINITY };
    for (anchor, logits) in logits.chunks_exact(into.len().max(1)).enumerate() {
        let best = logits[1..].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let top = logits[0].max(best);
        if !top.is_finite() || best - top < margin {
            continue;
        }
        exponentials.clear();
        exponentials.extend(logits.iter().map(|l| (l - top).exp()));
        let sum: f32 = exponentials.iter().sum();
        let classes = exponentials.iter().zip(allowed).zip(into.iter_mut()).enumerate().skip(1);
        for (class, ((exponential, allowed), into)) in classes {
            let score = exponential / sum;
            if *allowed && score > threshold {
                into.push(Candidate { class: class as u32, anchor: anchor as u32, score });
            }
        }
    }
}

/// Better candidates first; equal scores by lower anchor, then class, so that the result is one.
pub(crate) fn by_score(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score).then(a.anchor.cmp(&b.anchor)).then(a.class.cmp(&b.class))
}

/// The box of an anchor and its four offsets, in units of the picture scaled by `width` and `height`.
pub(crate) fn decode(anchor: &Anchor, deltas: &[f32; 4], width: f32, height: f32) -> BoxXyxy {
    let cx = anchor.cx + deltas[0] * VARIANCES.0 * anchor.width;
    let cy = anchor.cy + deltas[1] * VARIANCES.0 * anchor.height;
    let w = anchor.width * (deltas[2] * VARIANCES.1).min(MOST_GROWTH).exp() / 2.0;
    let h = anchor.height * (deltas[3] * VARIANCES.1).min(MOST_GROWTH).exp() / 2.0;
    BoxXyxy { x1: (cx - w) * width, y1: (cy - h) * height, x2: (cx + w) * width, y2: (cy + h) * height }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_and_threshold() {
        let logits = [0.0, 0.0, 0.0, 5.0, 0.0, 0.0, f32::NAN, f32::NAN, f32::NAN, 0.0, 3.0, 0.0];
        let found = |allowed: [bool; 3], threshold: f32| {
            let mut found = [const { Vec::new() }; 3];
            candidates(&logits, &allowed, threshold, &mut Vec::new(), &mut found);
            let mut found = found.concat();
            found.sort_by(|a, b| a.anchor.cmp(&b.anchor).then(a.class.cmp(&b.class)));
            found
        };
        let all = found([true; 3], 0.3);
        let third = 1.0 / 3.0;
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].anchor, all[0].class), (0, 1));
        assert!((all[0].score - third).abs() < 1e-6 && (all[1].score - third).abs() < 1e-6);
        assert_eq!((all[2].anchor, all[2].class), (3, 1));
        assert_eq!(found([true, false, true], 0.3).len(), 1);
        assert_eq!(found([true; 3], 0.0).len(), 6);
    }

    #[test]
    fn ties_go_by_anchor() {
        let candidate = |anchor, class| Candidate { class, anchor, score: 0.5 };
        let mut list = [candidate(7, 1), candidate(3, 2), candidate(3, 1)];
        list.sort_by(by_score);
        assert_eq!(list, [candidate(3, 1), candidate(3, 2), candidate(7, 1)]);
    }

    #[test]
    fn boxes() {
        let anchor = Anchor { cx: 0.5, cy: 0.5, width: 0.2, height: 0.4 };
        let whole = decode(&anchor, &[0.0; 4], 100.0, 50.0);
        let close = |a: f32, b: f32| (a - b).abs() < 1e-4;
        assert!(
            close(whole.x1, 40.0) && close(whole.y1, 15.0) && close(whole.x2, 60.0) && close(whole.y2, 35.0)
        );
        let moved = decode(&anchor, &[1.0, 0.0, 2f32.ln() / 0.2, 0.0], 100.0, 50.0);
        assert!(close(moved.x1, 32.0) && close(moved.x2, 72.0));
        assert!(decode(&anchor, &[0.0, 0.0, f32::MAX, 0.0], 100.0, 50.0).x2.is_finite());
    }
}
