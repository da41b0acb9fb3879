//! Steps of plans of eight bits, computed with plain loops in 64 bits as the documentation says.

use sandglass_backbone::network::Activation;
use sandglass_backbone::plan::{Plan, StepKind};
use sandglass_backbone::quantised::Scale;

/// What step `index` makes of `maps` (of `input`, where it is the first): bytes, or an output's floats.
pub(crate) fn step(plan: &Plan, index: usize, input: &[f32], maps: &[Vec<u8>]) -> Result<Vec<u8>, Vec<f32>> {
    let quantisation = plan.quantisation.as_ref().unwrap();
    let (step, integers) = (&plan.steps[index], &quantisation.steps[index]);
    let (from, to) = (step.input_shape, step.output_shape);
    let output = quantisation.maps[step.output.0];
    let (mut bytes, mut values) = (Vec::new(), Vec::new());
    for (y, x) in (0..to.height).flat_map(|y| (0..to.width).map(move |x| (y, x))) {
        for o in 0..to.channels {
            if let StepKind::Full { stride } = step.kind {
                let mut sum = step.bias[o];
                for (k, i) in (0..9).flat_map(|k| (0..from.channels).map(move |i| (k, i))) {
                    let (y, x) = (y * stride + k / 3, x * stride + k % 3);
                    let inside = y >= 1 && x >= 1 && y <= from.height && x <= from.width;
                    let at = |y: usize, x: usize| input[((y - 1) * from.width + x - 1) * from.channels + i];
                    let value = if inside { at(y, x) } else { plan.border[i] };
                    sum = value.mul_add(step.weights[(k * from.channels + i) * to.channels + o], sum);
                }
                if step.activation == Activation::Relu6 {
                    sum = sum.clamp(0.0, 6.0);
                }
                let Scale { step, zero_point } = output.unwrap();
                bytes.push(sum.mul_add(1.0 / step, f32::from(zero_point)).round_ties_even() as u8);
                continue;
            }
            let (map, scale) = (&maps[step.input.0], quantisation.maps[step.input.0].unwrap());
            let zero = i64::from(scale.zero_point);
            let read =
                |y: usize, x: usize, c: usize| i64::from(map[(y * from.width + x) * from.channels + c]);
            let unit = f64::from(scale.step);
            let Some(integers) = integers else {
                let sum: i64 = (0..from.pixels()).map(|p| i64::from(map[p * from.channels + o])).sum();
                let Scale { step, zero_point } = output.unwrap();
                let unit = unit / f64::from(step);
                let factor = (unit / from.pixels() as f64) as f32;
                let offset = (f64::from(zero_point) - unit * zero as f64) as f32;
                bytes.push((sum as f32).mul_add(factor, offset).round_ties_even() as u8);
                continue;
            };
            let mut sum = i64::from(integers.bias[o]);
            let weight = |tap: usize| i64::from(integers.weights[tap * to.channels + o]);
            if let StepKind::Depthwise { stride } = step.kind {
                for k in 0..9 {
                    let (y, x) = (y * stride + k / 3, x * stride + k % 3);
                    if y >= 1 && x >= 1 && y <= from.height && x <= from.width {
                        sum += weight(k) * (read(y - 1, x - 1, o) - zero);
                    }
                }
            } else {
                sum += (0..from.channels).map(|i| weight(i) * (read(y, x, i) - zero)).sum::<i64>();
            }
            let factor = unit * f64::from(integers.steps[o]);
            let Some(Scale { step: out, zero_point }) = output else {
                values.push((sum as f32).mul_add(factor as f32, 0.0));
                continue;
            };
            let shared = step.shortcut.filter(|s| o < s.channels).map(|s| {
                let other = quantisation.maps[s.map.0].unwrap();
                let at = (y * to.width + x) * plan.maps[s.map.0].channels + o;
                (f64::from(other.step) / f64::from(out), f64::from(other.zero_point), maps[s.map.0][at])
            });
            let (share, other_zero, byte) = shared.unwrap_or((0.0, 0.0, 0));
            let offset = (f64::from(zero_point) - share * other_zero) as f32;
            let scaled = (sum as f32).mul_add((factor / f64::from(out)) as f32, offset);
            bytes.push(f32::from(byte).mul_add(share as f32, scaled).round_ties_even() as u8);
        }
    }
    if output.is_some() { Ok(bytes) } else { Err(values) }
}
