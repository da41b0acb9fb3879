//! Channels made equally large, so that the bytes of a map serve all of them.
//!
//! A channel of a map can be multiplied by any factor that its readers' weights are divided by. For a depthwise
//! reader that is free, its scales being by channel anyway; a 1×1 has one scale for all its inputs, so that there the
//! factor is chosen between what the map gains and what the weights lose.

use super::statistics::Extremes;
use crate::network::Activation;
use crate::plan::{Map, Plan, Step, StepKind};

/// How much larger than anything seen a channel behind a ReLU6 may become before it is cut.
const MARGIN: f32 = 1.1;
/// The largest factor, and one over the smallest: what is hardly there stays small.
const MOST: f32 = 64.0;
/// Where ReLU6 cuts.
const SIX: f32 = 6.0;

/// Equalises every map whose readers allow it; maps that shortcuts connect have their factors in common. The
/// extremes follow.
pub(super) fn equalise(plan: &mut Plan, extremes: &mut [Extremes]) {
    for group in groups(plan) {
        let Some(factors) = factors(plan, extremes, &group) else { continue };
        for step in &mut plan.steps {
            if group.contains(&step.output) {
                scale(&mut step.weights, &factors, |w, f| w * f);
                scale(&mut step.bias, &factors, |b, f| b * f);
            }
            if !group.contains(&step.input) {
                continue;
            }
            if let StepKind::Depthwise { .. } = step.kind {
                scale(&mut step.weights, &factors, |w, f| w / f);
            } else {
                let rows = step.weights.chunks_exact_mut(step.output_shape.channels.max(1));
                rows.zip(&factors).for_each(|(row, f)| row.iter_mut().for_each(|w| *w /= f));
            }
        }
        for map in group {
            let extremes = &mut extremes[map.0];
            scale(&mut extremes.high, &factors, |high, f| high * f);
            scale(&mut extremes.low, &factors, |low, f| low * f);
        }
    }
}

/// The maps that steps write, those together that shortcuts connect.
fn groups(plan: &Plan) -> Vec<Vec<Map>> {
    let mut groups: Vec<Vec<Map>> = Vec::new();
    for step in &plan.steps {
        let other = step.shortcut.map(|shortcut| shortcut.map);
        match groups.iter_mut().find(|group| other.is_some_and(|map| group.contains(&map))) {
            Some(group) => group.push(step.output),
            None => groups.push(vec![step.output]),
        }
    }
    groups
}

/// What the channels of a group are multiplied by; nothing where that cannot be, or would change nothing.
fn factors(plan: &Plan, extremes: &[Extremes], group: &[Map]) -> Option<Vec<f32>> {
    let channels = plan.maps[group.first()?.0].channels;
    if group.iter().any(|map| plan.maps[map.0].channels != channels) {
        return None;
    }
    let is_output = |map: &Map| plan.outputs.iter().any(|output| output.maps.contains(map));
    let writers: Vec<&Step> = plan.steps.iter().filter(|step| group.contains(&step.output)).collect();
    let readers: Vec<&Step> = plan.steps.iter().filter(|step| group.contains(&step.input)).collect();
    let is_mean = |step: &&Step| step.kind == StepKind::GlobalMean;
    if group.iter().any(is_output) || readers.is_empty() || readers.iter().chain(&writers).any(is_mean) {
        return None;
    }
    let relu6 = writers.iter().any(|step| step.activation == Activation::Relu6);
    if relu6 && writers.len() > 1 {
        return None; // a sum of what was cut
    }
    let reach = |c: usize| {
        let each = group.iter().map(|map| extremes[map.0].high[c].abs().max(extremes[map.0].low[c].abs()));
        each.fold(0.0, f32::max)
    };
    let reach: Vec<f32> = (0..channels).map(reach).collect();
    let largest = reach.iter().copied().fold(0.0, f32::max);
    let weight = weight(&readers, channels);
    let factor = |c: usize| {
        if reach[c] <= 0.0 || !reach[c].is_finite() {
            return 1.0;
        }
        let wanted = match &weight {
            None => largest / reach[c],
            Some(weight) => (weight[c] * largest / reach[c]).sqrt(),
        };
        if relu6 {
            // A channel that is cut must stay as it is; others can grow until they would be.
            let room = SIX / (reach[c] * MARGIN);
            let wanted = if weight.is_none() { room } else { wanted };
            wanted.clamp(1.0, room.clamp(1.0, MOST))
        } else {
            wanted.clamp(1.0 / MOST, MOST)
        }
    };
    Some((0..channels).map(factor).collect())
}

/// How much of the range of its weights each channel takes in the 1×1 that weighs it most, 0 to 1; nothing where
/// only depthwise convolutions read.
fn weight(readers: &[&Step], channels: usize) -> Option<Vec<f32>> {
    let mut most = vec![0.0_f32; channels];
    let pointwise: Vec<&&Step> = readers.iter().filter(|step| step.kind == StepKind::Pointwise).collect();
    for step in &pointwise {
        let outputs = step.output_shape.channels;
        let mut range = vec![0.0_f32; outputs];
        for row in step.weights.chunks_exact(outputs) {
            range.iter_mut().zip(row).for_each(|(range, w)| *range = range.max(w.abs()));
        }
        for (most, row) in most.iter_mut().zip(step.weights.chunks_exact(outputs)) {
            let shares =
                row.iter().zip(&range).filter(|(_, range)| **range > 0.0).map(|(w, range)| w.abs() / range);
            *most = shares.fold(*most, f32::max);
        }
    }
    (!pointwise.is_empty()).then_some(most)
}

/// Applies the channels' factors to values with channels innermost.
fn scale(values: &mut [f32], factors: &[f32], by: impl Fn(f32, f32) -> f32) {
    for row in values.chunks_exact_mut(factors.len().max(1)) {
        row.iter_mut().zip(factors).for_each(|(value, &factor)| *value = by(*value, factor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Backbone;
    use crate::cpu::CpuEngine;
    use crate::engine::Engine;
    use crate::plan::Output;
    use crate::weights::Weights;

    /// Every map of a plan for one input.
    fn maps(plan: &Plan, input: &[f32]) -> Vec<Vec<f32>> {
        let mut plan = plan.clone();
        plan.outputs = plan.steps.iter().map(|s| Output { name: "map", maps: vec![s.output] }).collect();
        let count = plan.outputs.len();
        let mut engine = CpuEngine::new(plan, 1).unwrap();
        engine.run(input).unwrap();
        (0..count).map(|i| engine.output(i).to_vec()).collect()
    }

    #[test]
    fn maps_change_and_what_comes_out_does_not() {
        for name in [
            "mobilenet-v2-0.35",
            "mobilenext-0.35-id2",
            "mobilenext-0.35",
            "mobilenet-v1-0.25",
            "classic-0.35-id2",
        ] {
            let network = name.parse::<Backbone>().unwrap().classifier(10);
            let mut plan = Plan::new(&network, &Weights::untrained(&network), 64, 64).unwrap();
            let input: Vec<f32> =
                (0..plan.input().len()).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
            let before = maps(&plan, &input);
            let mut extremes: Vec<Extremes> =
                plan.maps.iter().map(|map| Extremes::new(map.channels)).collect();
            for (step, values) in plan.steps.iter().zip(&before) {
                extremes[step.output.0].add(values);
            }
            equalise(&mut plan, &mut extremes);
            let after = maps(&plan, &input);
            assert_ne!(before[1], after[1], "{name}");
            let (expected, got) = (before.last().unwrap(), after.last().unwrap());
            let largest = expected.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
            assert!(expected.iter().zip(got).all(|(a, b)| (a - b).abs() < 1e-3 * largest), "{name}");
            // The extremes are those of the maps as they are now.
            for (step, values) in plan.steps.iter().zip(&after) {
                let most = values.iter().copied().fold(0.0_f32, f32::max);
                let (_, high) = extremes[step.output.0].whole();
                assert!(
                    (most - high.max(0.0)).abs() <= 1e-2 * most.max(1e-3),
                    "{name}, {}: {most} {high}",
                    step.name
                );
            }
        }
    }
}
