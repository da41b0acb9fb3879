//! From the network's outputs to detections: candidates, the best of each class, their boxes, suppression.

use crate::anchors::{Anchor, anchors};
use crate::decode::{Candidate, by_score, candidates, decode};
use crate::nms::{Scored, suppress};
use crate::settings::Settings;

/// What the network said of one frame.
#[derive(Clone, Copy)]
pub(crate) struct Outputs<'a> {
    /// Class scores before the softmax, anchor by anchor.
    pub(crate) logits: &'a [f32],
    /// Four offsets an anchor.
    pub(crate) deltas: &'a [f32],
    /// Width and height of the frame in pixels.
    pub(crate) size: (u32, u32),
}

/// Keeps its lists from one frame to the next, so that they are allocated once.
#[derive(Debug)]
pub(crate) struct Postprocessor {
    anchors: Vec<Anchor>,
    exponentials: Vec<f32>,
    by_class: Vec<Vec<Candidate>>,
    best: Vec<Candidate>,
    kept: Vec<Scored>,
}

impl Postprocessor {
    /// For so many classes, the background among them.
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            anchors: anchors(),
            exponentials: Vec::new(),
            by_class: vec![Vec::new(); classes],
            best: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// The objects, best first, with boxes in pixels of the frame. `allowed` tells by class whether it is
    /// looked for.
    pub(crate) fn run(&mut self, outputs: Outputs<'_>, allowed: &[bool], settings: &Settings) -> &[Scored] {
        let Self { anchors, exponentials, by_class, best, kept } = self;
        candidates(outputs.logits, allowed, settings.score_threshold, exponentials, by_class);
        best.clear();
        for class in by_class {
            // Where all anchors pass, sorting them all would take longer than the rest together.
            let most = settings.candidates_per_class;
            if class.len() > most {
                class.select_nth_unstable_by(most, by_score);
                class.truncate(most);
            }
            best.extend_from_slice(class);
        }
        best.sort_unstable_by(by_score);
        let deltas = outputs.deltas.as_chunks::<4>().0;
        let (width, height) = (outputs.size.0 as f32, outputs.size.1 as f32);
        let boxes = best.iter().filter_map(|c| {
            let at = c.anchor as usize;
            let bounds = decode(anchors.get(at)?, deltas.get(at)?, width, height);
            Some(Scored { class: c.class, score: c.score, bounds })
        });
        suppress(boxes, settings.iou_threshold, settings.max_detections, kept);
        kept
    }
}
