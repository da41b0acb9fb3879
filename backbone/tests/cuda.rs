//! Every CUDA kernel, executed on the CPU (`cuda::emulation`), gives what plain loops in f64 give, in 32 and in 16
//! bits, fused and step by step, in whichever order the threads run; and what a GPU would leave undefined fails.
//!
//! Needs a C++ compiler on x86-64; without one the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex};

use sandglass_backbone::cuda::emulation::{Emulator, Order};
use sandglass_backbone::cuda::{
    Argument, COMMON, Contents, InputKind, KERNELS, Launch, Limits, Precision, Program, Schedule,
    ScheduleOptions, Source,
};
use sandglass_backbone::network::{Activation, Shape};
use sandglass_backbone::plan::{Map, Plan, StepKind};
use sandglass_backbone::{Backbone, CpuEngine, Engine, Normalisation, Weights};

#[path = "common/made.rs"]
mod made;
#[path = "common/made_int8.rs"]
mod made_int8;
#[path = "common/plain_int8.rs"]
mod plain_int8;

use made::{CHANNELS, Made, Noise, SIZES, difference, plain};

/// Room for every fused kernel, and few multiprocessors, so that even one picture fills them.
const ROOMY: Limits = Limits { shared: 227 * 1024, multiprocessors: 2 };
/// Many multiprocessors: blocks are cut into halves, and depths into parts.
const WIDE: Limits = Limits { shared: 100 * 1024, multiprocessors: 132 };

fn emulator(precision: Precision) -> Option<&'static Emulator> {
    static F16: LazyLock<Result<Emulator, String>> =
        LazyLock::new(|| Emulator::new(&KERNELS, Precision::F16));
    static F32: LazyLock<Result<Emulator, String>> =
        LazyLock::new(|| Emulator::new(&KERNELS, Precision::F32));
    static I8: LazyLock<Result<Emulator, String>> = LazyLock::new(|| Emulator::new(&KERNELS, Precision::I8));
    let emulator = match precision {
        Precision::F16 => &*F16,
        Precision::F32 => &*F32,
        Precision::I8 => &*I8,
    };
    match emulator {
        Ok(emulator) => Some(emulator),
        Err(reason) if cfg!(target_arch = "x86_64") && !reason.starts_with("cannot run") => {
            panic!("{reason}")
        }
        Err(reason) => {
            eprintln!("skipped: {reason}");
            None
        }
    }
}

/// Which kernels ran, in all parts of [`every_kernel_is_executed`].
static EXECUTED: Mutex<BTreeSet<(Precision, String)>> = Mutex::new(BTreeSet::new());

fn values(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Runs a schedule, and gives what each output has.
fn run(
    emulator: &Emulator,
    precision: Precision,
    schedule: &Schedule,
    input: &[u8],
    order: Order,
) -> Vec<Vec<f32>> {
    let names = schedule.program.launches.iter().map(|l| (precision, l.kernel.clone().into_owned()));
    EXECUTED.lock().unwrap().extend(names);
    let results = emulator.run(&schedule.program, &[(schedule.input, input)], &schedule.outputs, order);
    results
        .unwrap_or_else(|e| panic!("{e}\n{:#?}", schedule.program.launches))
        .iter()
        .map(|b| values(b))
        .collect()
}

/// Compares a made plan with plain loops: `batch` pictures in both precisions.
fn check(mut made: Made, both: bool, batch: usize, limits: Limits) {
    made.ask(both);
    let pictures: Vec<Vec<f32>> = (0..batch).map(|_| made.noise.values(made.plan.input().len())).collect();
    let input = bytes(&pictures.concat());
    let expected: Vec<_> = pictures.iter().map(|picture| plain(&made.plan, picture)).collect();
    for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::F16, 1e-2)] {
        let Some(emulator) = emulator(precision) else { return };
        for fused in [true, false] {
            let options = ScheduleOptions { precision, batch, input: InputKind::Values, limits, fused };
            let schedule = Schedule::new(&made.plan, options).unwrap();
            let got = run(emulator, precision, &schedule, &input, Order::Forward);
            for (output, got) in made.plan.outputs.iter().zip(&got) {
                let expected: Vec<f64> =
                    expected.iter().flat_map(|maps| &maps[output.maps[0].0]).copied().collect();
                let difference = difference(&expected, got);
                let steps: Vec<_> = made.plan.steps.iter().map(|s| (s.kind, s.output_shape)).collect();
                assert!(
                    difference < tolerance,
                    "{difference}: {options:?} {:?} {steps:?} {:#?}",
                    made.plan.input(),
                    schedule.program.launches
                );
            }
            if fused {
                for order in [Order::Backward, Order::Shuffled] {
                    assert_eq!(run(emulator, precision, &schedule, &input, order), got, "{order:?}");
                }
            }
        }
    }
    check_integers(made, batch, limits);
}

/// The same in bytes, of which every bit is as it has to be.
fn check_integers(made: Made, batch: usize, limits: Limits) {
    let Some(emulator) = emulator(Precision::I8) else { return };
    let (plan, mut noise) = made_int8::quantised(made);
    let pictures: Vec<Vec<f32>> = (0..batch).map(|_| noise.values(plan.input().len())).collect();
    let expected: Vec<f32> = pictures.iter().flat_map(|picture| made_int8::last(&plan, picture)).collect();
    let input = bytes(&pictures.concat());
    for fused in [true, false] {
        let options =
            ScheduleOptions { precision: Precision::I8, batch, input: InputKind::Values, limits, fused };
        let schedule = Schedule::new(&plan, options).unwrap();
        for order in if fused { &Order::ALL[..] } else { &Order::ALL[..1] } {
            let got = run(emulator, Precision::I8, &schedule, &input, *order).remove(0);
            let differ = expected.iter().zip(&got).filter(|(a, b)| a != b).count();
            let steps: Vec<_> = plan.steps.iter().map(|s| (s.kind, s.output_shape, s.shortcut)).collect();
            assert!(
                expected.len() == got.len() && differ == 0,
                "{differ} of {}: {order:?} {options:?} {:?} {steps:?} {:#?}",
                expected.len(),
                plan.input(),
                schedule.program.launches
            );
        }
    }
}

fn the_stem() {
    for (seed, channels) in CHANNELS.into_iter().enumerate().step_by(3) {
        for (i, (height, width)) in SIZES.into_iter().enumerate() {
            let inputs = [3, 1, 4][seed % 3];
            check(
                Made::new(seed as u64, Shape::new(height, width, inputs), 1 + i % 2, channels),
                false,
                2,
                ROOMY,
            );
        }
    }
}

fn pointwise() {
    for (seed, channels) in CHANNELS.into_iter().enumerate() {
        let (height, width) = SIZES[seed % SIZES.len()];
        let inputs = CHANNELS[(seed * 5 + 3) % CHANNELS.len()];
        let mut made = Made::new(seed as u64, Shape::new(height, width, 3), 1, inputs);
        made.add(StepKind::Pointwise, channels, [Activation::Linear, Activation::Relu6][seed % 2]);
        if seed % 3 == 0 {
            made.shortcut(Map(1), inputs.min(channels).div_ceil(2));
        }
        check(made, true, 1 + seed % 2, [ROOMY, WIDE][seed / 2 % 2]);
    }
}

fn depthwise() {
    for (seed, channels) in CHANNELS.into_iter().enumerate() {
        let (height, width) = SIZES[(seed * 3) % SIZES.len()];
        let stride = 1 + seed % 2;
        let mut made = Made::new(seed as u64, Shape::new(height, width, 3), 1, channels);
        made.add(
            StepKind::Depthwise { stride },
            channels,
            [Activation::Relu6, Activation::Linear][seed / 2 % 2],
        );
        if stride == 1 {
            made.shortcut(Map(1), channels.div_ceil(2));
        }
        check(made, true, 2, ROOMY);
    }
}

fn the_mean() {
    for channels in [1, 8, 33, 300] {
        let mut made = Made::new(1, Shape::new(5, 7, 3), 2, channels);
        made.add(StepKind::GlobalMean, channels, Activation::Linear);
        made.add(StepKind::Pointwise, 10, Activation::Linear);
        check(made, false, 3, ROOMY);
    }
}

/// Blocks of every width for which there is a kernel, larger than a tile, and odd ones.
fn blocks() {
    for (seed, narrow) in [8, 40, 65, 97, 20].into_iter().enumerate() {
        for stride in [1, 2] {
            let input = Shape::new(19 + seed, 21, 3);
            let mut made = Made::new(seed as u64, input, 1, 72);
            made.add(StepKind::Depthwise { stride: 1 }, 0, Activation::Relu6);
            made.add(StepKind::Pointwise, narrow, Activation::Linear);
            made.add(StepKind::Pointwise, 75, Activation::Relu6);
            made.add(StepKind::Depthwise { stride }, 0, Activation::Linear);
            if stride == 1 {
                made.shortcut(Map(1), 37);
            }
            check(made, true, 1, [ROOMY, WIDE][seed / 4]);
            let mut made = Made::new(seed as u64, input, 1, 24);
            made.add(StepKind::Pointwise, 75, Activation::Relu6);
            made.add(StepKind::Depthwise { stride }, 0, Activation::Relu6);
            made.add(StepKind::Pointwise, narrow, Activation::Linear);
            if stride == 1 {
                made.shortcut(Map(1), narrow.min(24));
            }
            // So that the block's own result stays a map.
            made.add(StepKind::Pointwise, 5, Activation::Linear);
            check(made, true, 1, [ROOMY, WIDE][seed / 4]);
        }
    }
    for seed in 0..12 {
        let (made, both) = Made::blocks(seed);
        check(made, both, 1 + seed as usize % 2, [ROOMY, WIDE][seed as usize % 2]);
    }
}

fn pixels_are_normalised() {
    let mut made = Made::new(7, Shape::new(9, 14, 3), 2, 20);
    made.add(StepKind::Depthwise { stride: 2 }, 0, Activation::Relu6);
    made.add(StepKind::Pointwise, 9, Activation::Relu6);
    made.ask(false);
    let pixels: Vec<u8> = (0..9 * 14 * 3).map(|_| made.noise.next() as u8).collect();
    let Normalisation { mean, deviation } = Normalisation::SSDLITE;
    let normal = |(i, v): (usize, &u8)| (f32::from(*v) - mean[i % 3]) / deviation[i % 3];
    let normalised: Vec<f32> = pixels.iter().enumerate().map(normal).collect();
    let expected = plain(&made.plan, &normalised).pop().unwrap();
    made.plan.take_pixels(&Normalisation::SSDLITE);
    for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::F16, 1e-2)] {
        let Some(got) = run_pixels(&made.plan, precision, &pixels) else { return };
        assert!(difference(&expected, &got) < tolerance);
    }
    let (plan, _) = made_int8::quantised(made);
    let mut cpu = CpuEngine::new(plan.clone(), 1).unwrap();
    cpu.run_pixels(&pixels).unwrap();
    let got = run_pixels(&plan, Precision::I8, &pixels).unwrap();
    assert!(cpu.output(0).iter().any(|v| *v != 0.0));
    assert_eq!(cpu.output(0), got);
}

fn run_pixels(plan: &Plan, precision: Precision, pixels: &[u8]) -> Option<Vec<f32>> {
    let options =
        ScheduleOptions { precision, batch: 1, input: InputKind::Pixels, limits: ROOMY, fused: true };
    let schedule = Schedule::new(plan, options).unwrap();
    Some(run(emulator(precision)?, precision, &schedule, pixels, Order::Forward).remove(0))
}

/// Whole networks agree with the CPU engine: every family, two pictures.
fn networks() {
    for (name, size, limits) in [
        ("mobilenext-0.35", (64, 33), ROOMY),
        ("mobilenext-0.5-id3", (33, 47), WIDE),
        ("mobilenet-v2-0.35", (65, 40), ROOMY),
        ("mobilenet-v2-0.5", (40, 33), WIDE),
        ("mobilenet-v1-0.25", (49, 64), ROOMY),
        ("classic-0.35", (48, 33), ROOMY),
        ("classic-0.35-id2", (33, 40), WIDE),
    ] {
        let network = name.parse::<Backbone>().unwrap().classifier(10);
        let plan = Plan::new(&network, &Weights::untrained(&network), size.0, size.1).unwrap();
        let pictures: Vec<f32> =
            (0..2 * plan.input().len()).map(|i| ((i * 37) % 101) as f32 / 25.0 - 2.0).collect();
        let mut engine = CpuEngine::new(plan.clone(), 1).unwrap();
        let mut expected = Vec::new();
        for picture in pictures.chunks_exact(plan.input().len()) {
            engine.run(picture).unwrap();
            expected.extend(engine.output(0).iter().map(|v| f64::from(*v)));
        }
        let range = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs())) * 2.0;
        for (precision, tolerance) in [(Precision::F32, 1e-3), (Precision::F16, 2e-2)] {
            let Some(emulator) = emulator(precision) else { return };
            let options =
                ScheduleOptions { precision, batch: 2, input: InputKind::Values, limits, fused: true };
            let schedule = Schedule::new(&plan, options).unwrap();
            let got = run(emulator, precision, &schedule, &bytes(&pictures), Order::Shuffled).remove(0);
            assert_eq!(got.len(), expected.len());
            let worst = expected.iter().zip(&got).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
            assert!(worst <= tolerance * range, "{name} {precision:?}: {worst} of {range}");
        }
        let mut plan = plan;
        made_int8::quantise(&mut plan, &mut Noise(7));
        let mut engine = CpuEngine::new(plan.clone(), 1).unwrap();
        let mut expected = Vec::new();
        for picture in pictures.chunks_exact(plan.input().len()) {
            engine.run(picture).unwrap();
            expected.extend_from_slice(engine.output(0));
        }
        let Some(emulator) = emulator(Precision::I8) else { return };
        let options = ScheduleOptions {
            precision: Precision::I8,
            batch: 2,
            input: InputKind::Values,
            limits,
            fused: true,
        };
        let schedule = Schedule::new(&plan, options).unwrap();
        let got = run(emulator, Precision::I8, &schedule, &bytes(&pictures), Order::Shuffled).remove(0);
        assert!(got == expected && got[0] != got[1], "{name} in integers");
    }
}

/// One test, so that it knows what the parts have run.
#[test]
fn every_kernel_is_executed() {
    the_stem();
    pointwise();
    depthwise();
    the_mean();
    blocks();
    pixels_are_normalised();
    networks();
    let executed = EXECUTED.lock().unwrap();
    for precision in [Precision::F32, Precision::F16, Precision::I8] {
        for kernel in KERNELS.names(precision).filter(|_| emulator(precision).is_some()) {
            assert!(
                executed.contains(&(precision, kernel.to_owned())),
                "{precision:?} {kernel} was never executed"
            );
        }
    }
}

const BAD: Source = Source {
    name: "bad",
    files: &[
        ("common.cuh", COMMON),
        (
            "bad.cu",
            r#"
extern "C" __global__ void good(float* to) {
    SHARED_MEMORY(shared);
    float* values = (float*)shared;
    values[threadIdx.x] = (float)threadIdx.x;
    __syncthreads();
    to[threadIdx.x] = values[THREADS - 1 - threadIdx.x];
}
extern "C" __global__ void no_barrier(float* to) {
    SHARED_MEMORY(shared);
    float* values = (float*)shared;
    values[threadIdx.x] = (float)threadIdx.x;
    to[threadIdx.x] = values[THREADS - 1 - threadIdx.x];
}
extern "C" __global__ void diverging(float* to) {
    if (threadIdx.x % 2) __syncthreads();
    to[threadIdx.x] = 0.0f;
}
extern "C" __global__ void different_barriers(float* to) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    to[threadIdx.x] = 0.0f;
}
extern "C" __global__ void beyond_the_buffer(float* to) { to[threadIdx.x + 1] = 0.0f; }
extern "C" __global__ void before_the_buffer(float* to) { to[threadIdx.x] = to[(int)threadIdx.x - 1]; }
extern "C" __global__ void beyond_shared(float* to) {
    SHARED_MEMORY(shared);
    ((float*)shared)[threadIdx.x + 1] = 0.0f;
}
extern "C" __global__ void not_aligned(float* to) {
    if (threadIdx.x == 0) *(float4*)(to + 1) = float4{0.0f, 0.0f, 0.0f, 0.0f};
}
extern "C" __global__ void not_waited(float* to) {
    SHARED_MEMORY(shared);
    if (threadIdx.x < 8) begin_copy((Vector*)shared + threadIdx.x, (const Vector*)to + threadIdx.x, false);
    commit_copies();
    __syncthreads();
    to[threadIdx.x] = ((float*)shared)[0];
}
"#,
        ),
    ],
    kernels: &[
        "good",
        "no_barrier",
        "diverging",
        "different_barriers",
        "beyond_the_buffer",
        "before_the_buffer",
        "beyond_shared",
        "not_aligned",
        "not_waited",
    ],
    float_kernels: &[],
    archive: &[],
};

#[test]
fn what_a_gpu_would_leave_undefined_fails() {
    let emulator = match Emulator::new(&BAD, Precision::F32) {
        Ok(emulator) => emulator,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let run = |kernel: &'static str, order| {
        let mut program = Program::default();
        let to = program.buffer(256 * 4, Contents::Kept);
        program.launches.push(Launch {
            label: kernel.into(),
            kernel: kernel.into(),
            grid: [1; 3],
            shared: 256 * 4,
            arguments: vec![Argument::Write(to)],
        });
        emulator
            .run(&program, &[(to, &[0; 1024])], &[to], order)
            .map(|mut buffers| values(&buffers.remove(0)))
    };
    let expected: Vec<f32> = (0..256).rev().map(|i| i as f32).collect();
    for order in Order::ALL {
        assert_eq!(run("good", order).unwrap(), expected);
    }
    // A missing barrier: what is read is not there yet, for some threads, whatever the order.
    assert!(Order::ALL.into_iter().all(|order| run("no_barrier", order).unwrap().iter().any(|v| v.is_nan())));
    assert!(run("not_waited", Order::Forward).unwrap()[0].is_nan());
    const BEYOND: &str = "heap-buffer-overflow";
    for (kernel, message) in [
        ("diverging", "divergent barrier"),
        ("different_barriers", "divergent barrier"),
        ("beyond_the_buffer", BEYOND),
        ("before_the_buffer", BEYOND),
        ("beyond_shared", BEYOND),
        ("not_aligned", "misaligned address"),
        ("unheard_of", "no kernel is called unheard_of"),
    ] {
        let error = run(kernel, Order::Forward).unwrap_err();
        // Either sanitizer may be the first to see an access beyond a buffer.
        let beyond = message == BEYOND && error.contains("insufficient space");
        assert!(beyond || error.contains(message), "{kernel}: {error}");
    }
}
