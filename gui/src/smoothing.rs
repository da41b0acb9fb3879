//! Boxes that glide and labels that do not flicker: for the eye alone, never for the table or recordings.

use sandglass_detector::{BoxXyxy, Detection};

/// Boxes of a class that overlap at least this much from one frame to the next are the same object.
const OVERLAP: f32 = 0.3;

/// The share of the new box and score in what is drawn.
const SHARE: f32 = 0.5;

/// An object is drawn after this many frames in a row, and stays for so many without it.
const APPEAR: u32 = 2;
const STAY: u32 = 3;

#[derive(Clone, Debug)]
struct Track {
    item: Detection,
    seen: u32,
    missed: u32,
}

/// The objects of the last frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Smoother {
    tracks: Vec<Track>,
}

impl Smoother {
    /// Takes in the objects of the next frame, and returns what to draw, the surest first.
    pub(crate) fn next(&mut self, items: &[Detection]) -> Vec<Detection> {
        let mut free: Vec<&Detection> = items.iter().collect();
        for track in &mut self.tracks {
            let overlap = |other: &Detection| track.item.bounds.iou(other.bounds);
            let same = free.iter().enumerate().filter(|(_, other)| other.label == track.item.label);
            let best = same.max_by(|(_, a), (_, b)| overlap(a).total_cmp(&overlap(b)));
            match best.filter(|(_, other)| overlap(other) >= OVERLAP).map(|(at, _)| at) {
                Some(at) => {
                    let new = free.swap_remove(at);
                    track.item = between(&track.item, new);
                    track.seen += 1;
                    track.missed = 0;
                }
                None => track.missed += 1,
            }
        }
        self.tracks.retain(|track| track.missed <= if track.seen < APPEAR { 0 } else { STAY });
        self.tracks.extend(free.into_iter().map(|item| Track { item: item.clone(), seen: 1, missed: 0 }));
        let mut drawn: Vec<Detection> =
            self.tracks.iter().filter(|track| track.seen >= APPEAR).map(|track| track.item.clone()).collect();
        drawn.sort_by(|a, b| b.score.total_cmp(&a.score));
        drawn
    }

    /// Forgets them: another source, or another place in it.
    pub(crate) fn forget(&mut self) {
        self.tracks.clear();
    }
}

fn between(old: &Detection, new: &Detection) -> Detection {
    let mix = |old: f32, new: f32| old + SHARE * (new - old);
    let (a, b) = (old.bounds, new.bounds);
    let bounds =
        BoxXyxy { x1: mix(a.x1, b.x1), y1: mix(a.y1, b.y1), x2: mix(a.x2, b.x2), y2: mix(a.y2, b.y2) };
    Detection { score: mix(old.score, new.score), bounds, ..new.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cat(x1: f32, score: f32) -> Detection {
        let bounds = BoxXyxy { x1, y1: 0.0, x2: x1 + 100.0, y2: 100.0 };
        Detection { label: "cat".into(), class_id: 8, score, bounds }
    }

    #[test]
    fn objects_glide_stay_a_while_and_flashes_are_left_out() {
        let mut smoother = Smoother::default();
        assert!(smoother.next(&[cat(0.0, 0.9)]).is_empty());
        let drawn = smoother.next(&[cat(10.0, 0.5)]);
        assert_eq!(drawn.len(), 1);
        assert!((drawn[0].bounds.x1 - 5.0).abs() < 1e-4 && (drawn[0].score - 0.7).abs() < 1e-4);
        for _ in 0..STAY {
            assert_eq!(smoother.next(&[]).len(), 1);
        }
        assert!(smoother.next(&[]).is_empty());
        // A flash in one frame is never drawn.
        assert!(smoother.next(&[cat(300.0, 0.9)]).is_empty());
        assert!(smoother.next(&[]).is_empty());
        assert!(smoother.next(&[cat(300.0, 0.9)]).is_empty());
    }
}
