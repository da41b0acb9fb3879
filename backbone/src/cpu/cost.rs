//! What it costs to run steps as one chain, and by what its threads had better share it: all that could be spared, in multiply-adds.

use super::chains::{Share, Values, WORTH_SHARING, begin, pieces, reach, strip};
use super::{channels, tiles};
use crate::plan::Step;

/// Multiply-adds that are done in the time that threads take to meet between two chains.
const MEETING: usize = 100_000;
/// Multiply-adds that take as long as a byte of weights that comes from behind L2.
const AWAY: usize = 4;

/// What a chain costs that could be spared, in multiply-adds.
pub(super) fn cost(steps: &[Step], values: Values, threads: usize) -> usize {
    best_share(steps, values, threads).0
}

/// The cheaper way to share a chain, behind its cost.
pub(super) fn best_share(steps: &[Step], values: Values, threads: usize) -> (usize, Share) {
    let rows = (cost_by_rows(steps, values, threads), Share::Rows);
    match cost_by_channels(steps, values, threads) {
        Some(cost) if cost < rows.0 && channels::joins(steps) => (cost, Share::Halves),
        Some(cost) if cost < rows.0 => (cost, Share::Panels),
        _ => rows,
    }
}

/// What it costs to share a chain by channels, where that can be done.
fn cost_by_channels(steps: &[Step], values: Values, threads: usize) -> Option<usize> {
    let worth = threads > 1 && values.tiled && work(steps) >= WORTH_SHARING;
    if !worth || !channels::possible(steps) {
        return None;
    }
    let left = steps.last().map_or(0, |last| last.output_shape.len() * values.bytes);
    // Both sums are written and read.
    let joined = if channels::joins(steps) { 2 * 2 * 2 * left } else { 0 };
    // Others have nothing to do meanwhile.
    let pieces = channels::pieces(steps, threads);
    let idle = threads.saturating_sub(pieces) * busy(steps, values) / pieces;
    Some(2 * left + joined + idle + MEETING)
}

/// What it costs to share it by rows: a byte on its way to L2 or back takes about as long as one multiply-add.
fn cost_by_rows(steps: &[Step], values: Values, threads: usize) -> usize {
    let left = steps.last().map_or(0, |last| last.output_shape.len() * values.bytes);
    let cuts = pieces(steps, threads) - 1;
    let meeting = if threads > 1 { MEETING } else { 0 };
    // Each thread reads all weights.
    let each = if cuts > 0 { (threads - 1) * weights(steps, values) } else { 0 };
    // Weights that L2 does not keep come from further away for each strip.
    let again = match weights(steps, values) {
        bytes if bytes > values.windows => {
            let height = steps.last().map_or(1, |last| last.output_shape.height);
            let of_piece = height.div_ceil(cuts + 1).div_ceil(strip(steps, values));
            bytes * of_piece.saturating_sub(1)
        }
        _ => 0,
    };
    2 * (left + again) + AWAY * each + cuts * twice(steps, values) + meeting
}

/// Bytes of the weights of steps.
pub(super) fn weights(steps: &[Step], values: Values) -> usize {
    let of = |step: &Step| step.multiply_adds() / step.output_shape.pixels().max(1);
    steps.iter().map(of).sum::<usize>() * values.bytes
}

/// Multiply-adds of steps.
pub(super) fn work(steps: &[Step]) -> usize {
    steps.iter().map(Step::multiply_adds).sum()
}

/// The same, those of the matrix unit counted for the third of the time that they take.
pub(super) fn busy(steps: &[Step], values: Values) -> usize {
    steps.iter().map(|step| step.multiply_adds() / quick(step, values)).sum()
}

/// How many multiply-adds of a step are done in the time of one.
fn quick(step: &Step, values: Values) -> usize {
    if values.tiled && tiles::takes(step) { 3 } else { 1 }
}

/// Multiply-adds that are computed by both threads at a cut.
pub(super) fn twice(steps: &[Step], values: Values) -> usize {
    let height = |step: &Step| step.output_shape.height.max(1);
    let (mut first, mut end) = steps.last().map_or((0, 0), |last| (height(last) / 2, height(last) / 2));
    let mut sum = 0;
    for step in steps.iter().rev() {
        sum += end.saturating_sub(first) * step.multiply_adds() / height(step) / quick(step, values);
        (first, end) = (begin(step, first), reach(step, end));
    }
    sum
}
