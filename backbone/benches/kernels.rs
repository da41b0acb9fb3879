//! Each kernel of the CPU engine alone, at shapes from the networks, on one thread: GFLOP/s and percent of the
//! multiply-add peak measured on the same core in the same run.
//!
//!     cargo bench -p sandglass-backbone --bench kernels
#![allow(
    missing_docs,
    unsafe_code,
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

use sandglass_backbone::network::{Activation, Shape};
use sandglass_backbone::plan::{Map, Output, Plan, Step, StepKind};
use sandglass_backbone::{CpuEngine, CpuOptions, InstructionSet};

#[path = "common/peak.rs"]
mod peak;

const ROUNDS: usize = 60;

const KERNELS: [(StepKind, Shape, usize); 16] = [
    (StepKind::Full { stride: 2 }, Shape::new(320, 320, 3), 32),
    (StepKind::Pointwise, Shape::new(80, 80, 144), 24),
    (StepKind::Pointwise, Shape::new(80, 80, 24), 144),
    (StepKind::Pointwise, Shape::new(40, 40, 192), 32),
    (StepKind::Pointwise, Shape::new(40, 40, 32), 192),
    (StepKind::Pointwise, Shape::new(20, 20, 384), 64),
    (StepKind::Pointwise, Shape::new(20, 20, 64), 384),
    (StepKind::Pointwise, Shape::new(10, 10, 960), 160),
    (StepKind::Pointwise, Shape::new(10, 10, 320), 1280),
    (StepKind::Pointwise, Shape::new(5, 5, 1280), 126),
    (StepKind::Depthwise { stride: 1 }, Shape::new(160, 160, 32), 32),
    (StepKind::Depthwise { stride: 2 }, Shape::new(160, 160, 96), 96),
    (StepKind::Depthwise { stride: 1 }, Shape::new(80, 80, 144), 144),
    (StepKind::Depthwise { stride: 1 }, Shape::new(40, 40, 192), 192),
    (StepKind::Depthwise { stride: 1 }, Shape::new(20, 20, 384), 384),
    (StepKind::Depthwise { stride: 1 }, Shape::new(10, 10, 960), 960),
];

fn main() {
    for instructions in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        println!("{instructions}, one thread, medians of {ROUNDS}:");
        for (kind, shape, channels) in KERNELS {
            let plan = plan(kind, shape, channels);
            let input = vec![0.5; plan.input().len()];
            let options = CpuOptions { threads: 1, instructions, streamed: false, ..CpuOptions::default() };
            let mut engine = CpuEngine::with_options(plan, options).unwrap();
            let (mut times, mut peaks) = (Vec::new(), Vec::new());
            let mut multiply_adds = 0;
            for _ in 0..ROUNDS {
                let step = engine.profile(&input).unwrap().pop().unwrap();
                multiply_adds = step.multiply_adds;
                times.push(step.time.as_secs_f64());
                peaks.push(peak::peak(instructions));
            }
            let (time, peak) = (median(times), median(peaks));
            let rate = 2e-9 * multiply_adds as f64 / time;
            println!(
                "{:>8.3} ms {rate:>6.1} GFLOP/s {:>4.0} %  {}x{}x{} to {channels}, {kind:?}",
                time * 1e3,
                100.0 * rate / peak,
                shape.height,
                shape.width,
                shape.channels,
            );
        }
        println!();
    }
}

/// The kernel, after a convolution of one channel that makes a map of its size.
fn plan(kind: StepKind, shape: Shape, channels: usize) -> Plan {
    let step = |number: usize, kind, input_shape: Shape, channels, weights| {
        let stride = match kind {
            StepKind::Full { stride } | StepKind::Depthwise { stride } => stride,
            _ => 1,
        };
        let output_shape =
            Shape::new(input_shape.height.div_ceil(stride), input_shape.width.div_ceil(stride), channels);
        Step {
            name: String::new(),
            kind,
            input: Map(number - 1),
            input_shape,
            output: Map(number),
            output_shape,
            shortcut: None,
            activation: Activation::Relu6,
            weights: vec![0.01; weights],
            bias: vec![0.1; channels],
        }
    };
    let mut steps = Vec::new();
    let mut maps = Vec::new();
    if let StepKind::Full { .. } = kind {
        maps.push(shape);
        steps.push(step(1, kind, shape, channels, 9 * shape.channels * channels));
    } else {
        let input = Shape::new(shape.height, shape.width, 1);
        maps.extend([input, shape]);
        let first = StepKind::Full { stride: 1 };
        steps.push(step(1, first, input, shape.channels, 9 * shape.channels));
        let weights = if kind == StepKind::Pointwise { shape.channels * channels } else { 9 * channels };
        steps.push(step(2, kind, shape, channels, weights));
    }
    maps.push(steps[steps.len() - 1].output_shape);
    let outputs = vec![Output { name: "result", maps: vec![Map(maps.len() - 1)] }];
    let border = vec![0.0; maps[0].channels];
    Plan { maps, steps, outputs, border, quantisation: None }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
