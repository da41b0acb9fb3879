//! How far two detectors agree about a frame.

use sandglass_detector::Detection;

/// Boxes of a class that overlap at least this much are the same object.
const OVERLAP: f32 = 0.5;

/// How far two detectors agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Objects that both found.
    pub both: usize,
    /// Objects that only the first found.
    pub first: usize,
    /// Objects that only the second found.
    pub second: usize,
}

impl Agreement {
    /// Pairs objects of the same class with an IoU of at least 0.5, the surest of the first list first, each
    /// with the one it overlaps most.
    #[must_use]
    pub fn between(first: &[Detection], second: &[Detection]) -> Self {
        let mut free: Vec<&Detection> = second.iter().collect();
        let mut both = 0;
        for item in first {
            let overlap = |other: &Detection| item.bounds.iou(other.bounds);
            let same = free.iter().enumerate().filter(|(_, other)| other.label == item.label);
            let best = same.max_by(|(_, a), (_, b)| overlap(a).total_cmp(&overlap(b)));
            if let Some((at, _)) = best.filter(|(_, other)| overlap(other) >= OVERLAP) {
                free.swap_remove(at);
                both += 1;
            }
        }
        Self { both, first: first.len() - both, second: free.len() }
    }

    /// The share of objects that both found, 0 to 1, as F1 counts it; `None` where there is no object.
    #[must_use]
    pub fn share(self) -> Option<f32> {
        let all = 2 * self.both + self.first + self.second;
        (all > 0).then(|| 2.0 * self.both as f32 / all as f32)
    }
}

#[cfg(test)]
mod tests {
    use sandglass_detector::BoxXyxy;

    use super::*;

    fn item(label: &str, x1: f32) -> Detection {
        let bounds = BoxXyxy { x1, y1: 0.0, x2: x1 + 10.0, y2: 10.0 };
        Detection { label: label.into(), class_id: 1, score: 0.5, bounds }
    }

    #[test]
    fn pairs_are_of_a_class_and_overlap() {
        let first = [item("cat", 0.0), item("cat", 1.0), item("dog", 50.0), item("dog", 90.0)];
        let second = [item("cat", 2.0), item("cat", 0.0), item("cow", 50.0)];
        let agreement = Agreement::between(&first, &second);
        assert_eq!(agreement, Agreement { both: 2, first: 2, second: 1 });
        assert!((agreement.share().unwrap() - 4.0 / 7.0).abs() < 1e-6);
        assert_eq!(Agreement::between(&[], &[]).share(), None);
    }
}
