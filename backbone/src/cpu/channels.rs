//! Threads that share a chain by channels instead of rows: panels of them, or, where the chain ends with a 1×1 over many, two halves.
//!
//! Low maps have many weights for few pixels. Cut by rows, each thread reads all the weights, from far away, for half of the
//! pixels, and computes rows around the cut that the other computes, too. Cut by channels, it reads half of them:
//!
//! ```text
//!             expand              depthwise            reduce
//! narrow ──┬──────────▶ channels ──────────▶ channels ──────────▶ sums ──┐
//!          │            0 … c/2              0 … c/2                     + ──▶ narrow        (join)
//!          └──────────▶ channels ──────────▶ channels ──────────▶ sums ──┘
//!                       c/2 … c              c/2 … c
//! ```
//!
//! A depthwise keeps channels apart, so a thread's channels depend on those of the thread itself from the first 1×1 on,
//! which computes some of its output channels, up to the last, which adds up some of its input channels. The thread that is last adds both
//! sums. So that results do not depend on threads, such a 1×1 adds up its halves apart wherever it runs ([`tiles::halved`]).

use std::ops::Range;

use super::chains::{Chain, Share};
use super::tiles;
use crate::plan::{Step, StepKind};

/// Parts of a chain that joins.
pub(super) const HALVES: usize = 2;
/// Channels of a wide map, at least.
const LEAST: usize = 64;

/// The channels of a half.
fn half(channels: usize, piece: usize) -> Range<usize> {
    let middle = tiles::middle(channels);
    if piece == 0 { 0..middle } else { middle..channels }
}

/// Panels of channels.
pub(super) fn panels(channels: usize) -> usize {
    channels.div_ceil(tiles::DEPTH)
}

/// How many threads begin with a part of a chain that is shared so.
pub(super) fn pieces(steps: &[Step], threads: usize) -> usize {
    match steps.last() {
        Some(last) if !joins(steps) => panels(last.output_shape.channels).clamp(1, threads.max(1)),
        _ => HALVES,
    }
}

/// What is computed of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All its channels.
    Whole,
    /// These of its channels.
    Channels(Range<usize>),
    /// Sums over these of its input's channels.
    Depth(Range<usize>),
}

impl Chain {
    /// What some units of the chain are of the step with this number.
    pub(super) fn part(&self, step: &Step, index: usize, units: Range<usize>) -> Part {
        debug_assert!(self.share != Share::Halves || units.len() <= 1, "halves are taken one by one");
        let channels = step.output_shape.channels;
        match self.share {
            Share::Rows => Part::Whole,
            Share::Panels => {
                let [start, end] = [units.start, units.end].map(|unit| (unit * tiles::DEPTH).min(channels));
                Part::Channels(start..end)
            }
            Share::Halves if index + 1 == self.steps.len() => {
                Part::Depth(half(step.input_shape.channels, units.start))
            }
            Share::Halves => Part::Channels(half(channels, units.start)),
        }
    }
}

/// Whether the halves' sums have to be added up.
pub(super) fn joins(steps: &[Step]) -> bool {
    steps.last().is_some_and(|last| last.kind == StepKind::Pointwise && tiles::halved(last))
}

/// Whether steps that run together can be shared by channels, where the matrix unit computes those it takes.
pub(super) fn possible(steps: &[Step]) -> bool {
    let last = steps.len().saturating_sub(1);
    let can = |(i, step): (usize, &Step)| {
        let channels = step.output_shape.channels;
        if !tiles::is_low(step) {
            return false;
        }
        match step.kind {
            StepKind::Pointwise if i == last && tiles::halved(step) => true,
            StepKind::Pointwise => {
                i == 0 && tiles::takes(step) && channels >= LEAST && step.shortcut.is_none()
            }
            // A vector must not reach back into the other half.
            StepKind::Depthwise { .. } => channels >= LEAST && channels.is_multiple_of(tiles::SIDE),
            _ => false,
        }
    };
    !steps.is_empty() && steps.iter().enumerate().all(can)
}

#[cfg(test)]
mod tests {
    use super::super::chains::tests::plan;
    use super::*;

    #[test]
    fn chains_around_wide_and_low_maps_can_be_shared() {
        let plan = plan("mobilenext-1.0", 320);
        // Depthwise, reduce, expand, depthwise, at ten pixels by ten and at twenty by twenty.
        let block = |side: usize| {
            let is = |steps: &[Step]| {
                steps.iter().all(|step| step.output_shape.height == side)
                    && matches!(steps[0].kind, StepKind::Depthwise { .. })
                    && steps[1..3].iter().all(|step| step.kind == StepKind::Pointwise)
            };
            plan.steps.windows(4).find(|steps| is(steps)).unwrap()
        };
        let low = block(10);
        assert!(possible(&low[..1]) && possible(&low[..2]) && possible(&low[2..]) && possible(&low[1..2]));
        assert_eq!([&low[..1], &low[..2], &low[2..], &low[1..2]].map(joins), [false, true, false, true]);
        // Not with a reduce in the middle, and not for many pixels.
        assert!(!possible(low) && !possible(&low[1..3]) && !possible(&[]));
        assert!(!possible(&block(20)[..2]));
    }

    #[test]
    fn halves_are_whole_tiles_and_all_channels() {
        for channels in [64, 96, 144, 288, 960, 1280] {
            let [first, second] = [0, 1].map(|piece| half(channels, piece));
            assert_eq!((first.start, first.end, second.end), (0, second.start, channels));
            assert!(
                first.end.is_multiple_of(tiles::DEPTH) && first.len() >= second.len() && !second.is_empty()
            );
        }
    }
}
