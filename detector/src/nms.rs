//! Greedy non-maximum suppression, class by class.

use crate::detections::BoxXyxy;

/// A candidate with its box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scored {
    pub(crate) class: u32,
    pub(crate) score: f32,
    pub(crate) bounds: BoxXyxy,
}

/// Keeps, best first, each box that overlaps no better kept one of its class by more than `iou`, up to
/// `limit` boxes. `sorted` comes best first; what is kept goes to `kept`.
pub(crate) fn suppress(
    sorted: impl IntoIterator<Item = Scored>,
    iou: f32,
    limit: usize,
    kept: &mut Vec<Scored>,
) {
    kept.clear();
    for candidate in sorted {
        if kept.len() == limit {
            return;
        }
        let hidden =
            |better: &Scored| better.class == candidate.class && better.bounds.iou(candidate.bounds) > iou;
        if !kept.iter().any(hidden) {
            kept.push(candidate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(class: u32, score: f32, x1: f32) -> Scored {
        let bounds = BoxXyxy { x1, y1: 0.0, x2: x1 + 10.0, y2: 10.0 };
        Scored { class, score, bounds }
    }

    #[test]
    fn best_of_each_class_stays() {
        let list = [scored(1, 0.9, 0.0), scored(2, 0.8, 0.0), scored(1, 0.7, 1.0), scored(1, 0.6, 20.0)];
        let mut kept = Vec::new();
        suppress(list, 0.45, 100, &mut kept);
        assert_eq!(kept.iter().map(|k| k.score).collect::<Vec<_>>(), [0.9, 0.8, 0.6]);
        suppress(list, 0.45, 2, &mut kept);
        assert_eq!(kept.len(), 2);
        suppress(list, 1.0, 100, &mut kept);
        assert_eq!(kept.len(), 4);
    }
}
