//! Channels made equally large, where that costs nothing.

use super::statistics::Extremes;
use crate::network::Activation;
use crate::plan::{Plan, StepKind};

/// How much larger than anything seen a channel may become before it is cut.
const MARGIN: f32 = 1.1;
/// The largest factor: what is hardly there stays small.
const MOST: f32 = 64.0;
/// Where ReLU6 cuts.
const SIX: f32 = 6.0;

/// Where the only readers of a ReLU6's map are depthwise convolutions, every channel that stays far below 6 is
/// multiplied so that it nearly reaches it, and divided again in the weights of its readers: their scales are by
/// channel anyway, so only the map's bytes change, and are used better. The extremes follow.
pub(super) fn equalise(plan: &mut Plan, extremes: &mut [Extremes]) {
    let readers = plan.readers();
    for i in 0..plan.steps.len() {
        let step = &plan.steps[i];
        let map = step.output;
        let depthwise =
            |s: &&crate::plan::Step| s.input == map && matches!(s.kind, StepKind::Depthwise { .. });
        let by_depthwise = plan.steps.iter().filter(depthwise).count();
        if step.activation != Activation::Relu6
            || step.shortcut.is_some()
            || step.kind == StepKind::GlobalMean
            || by_depthwise == 0
            || by_depthwise != readers[map.0]
        {
            continue;
        }
        let factors: Vec<f32> = extremes[map.0].high.iter().map(|&high| factor(high)).collect();
        scale(&mut plan.steps[i].weights, &factors, |w, f| w * f);
        scale(&mut plan.steps[i].bias, &factors, |b, f| b * f);
        for reader in plan.steps.iter_mut().filter(|s| s.input == map) {
            scale(&mut reader.weights, &factors, |w, f| w / f);
        }
        scale(&mut extremes[map.0].high, &factors, |high, f| (high * f).min(SIX));
        scale(&mut extremes[map.0].low, &factors, |low, f| low * f);
    }
}

/// What a channel that reached `high` is multiplied by.
fn factor(high: f32) -> f32 {
    if high > 0.0 { (SIX / (high * MARGIN)).clamp(1.0, MOST) } else { 1.0 }
}

/// Applies the channels' factors to values with channels innermost.
fn scale(values: &mut [f32], factors: &[f32], by: impl Fn(f32, f32) -> f32) {
    for row in values.chunks_exact_mut(factors.len().max(1)) {
        row.iter_mut().zip(factors).for_each(|(value, &factor)| *value = by(*value, factor));
    }
}
