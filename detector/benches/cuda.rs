//! The CUDA engine on a machine that has a GPU; `backbone/benches/cuda.py` runs all of it and adds the peers.
//!
//!     cargo bench -p sandglass-detector --bench cuda -- plan     launches and bytes, without a GPU
//!     … parity | small | leak | speed | profile NAME BATCH | weights NAME FILE
//!
//! `parity`: every network, 16 and 32 bits, and what ships in 8, batches of 1, 2, 7 and 64, against the CPU engine, and the same detections
//! in the demo pictures. `small`: a few pictures, for compute-sanitizer. `leak`: memory after 2,000 frames and 50
//! changes of the backbone. `speed`: a JSON object. `profile`: each launch by itself.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::process::ExitCode;
use std::time::Instant;

use sandglass_backbone::cuda::{
    Argument, Contents, CudaEngine, CudaOptions, Device, InputKind, KERNELS, Launch, Limits, Precision,
    Program, Runner, Schedule, ScheduleOptions,
};
use sandglass_backbone::{Backbone, CpuEngine, Engine, Plan, Weights};
use sandglass_detector::heads::{INPUT_SIZE, ssdlite};
use sandglass_detector::{Detector, Frame};
use serde_json::json;

const NETWORKS: [&str; 2] = ["mobilenext-1.0", "mobilenet-v2-1.0"];
/// In eight bits, as they ship.
const INTEGERS: [&str; 1] = ["mobilenet-v2-1.0-int8"];
const CLASSES: usize = 21;
const BATCHES: [usize; 4] = [1, 2, 7, 64];
/// The largest differences over the range of the expected values.
const TOLERANCES: [(Precision, f32); 2] = [(Precision::F32, 1e-3), (Precision::F16, 2e-2)];
/// What an H100 or H200 has: for `plan`, where there is no device to ask.
const HOPPER: Limits = Limits { shared: 226 * 1024, multiprocessors: 132 };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let fine = match words.as_slice() {
        ["parity"] => parity(),
        ["small"] => small(),
        ["leak"] => leak(),
        ["speed"] => speed(),
        ["profile", name, batch] => profile(name, batch.parse().unwrap()),
        ["weights", name, file] => weights(name, file),
        _ => plan(),
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn planned(name: &str) -> Plan {
    let backbone = name.parse::<Backbone>().unwrap();
    let network = ssdlite(&backbone, CLASSES);
    let weights = match INTEGERS.contains(&name) {
        true => sandglass_detector::models::weights(&backbone).unwrap().0,
        false => Weights::untrained(&network),
    };
    Plan::new(&network, &weights, INPUT_SIZE, INPUT_SIZE).unwrap()
}

fn scheduled(plan: &Plan, batch: usize, limits: Limits) -> Schedule {
    let (precision, input) = (Precision::of(plan), InputKind::Pixels);
    Schedule::new(plan, ScheduleOptions { precision, batch, input, limits, fused: true }).unwrap()
}

/// Bytes that a launch reads and writes, each buffer once. Results, to which many launches write a part each, are
/// left out: they are counted with the whole.
fn bytes(program: &Program, launch: &Launch) -> usize {
    let ids = launch.arguments.iter().filter_map(|argument| match argument {
        Argument::Part(_) => None,
        other => other.buffer(),
    });
    ids.map(|id| program.size(id)).sum()
}

/// What all launches read and write.
fn traffic(schedule: &Schedule) -> usize {
    let program = &schedule.program;
    let results: usize = schedule.outputs.iter().map(|id| program.size(*id)).sum();
    program.launches.iter().map(|launch| bytes(program, launch)).sum::<usize>() + results
}

/// Launches that have to wait for each other, at most.
fn longest(program: &Program) -> usize {
    let mut depths: Vec<usize> = Vec::new();
    for before in program.dependencies() {
        depths.push(1 + before.iter().map(|&i| depths[i]).max().unwrap_or(0));
    }
    depths.into_iter().max().unwrap_or(0)
}

/// What the schedule comes to, without a device: how many launches, and how much they have to move.
fn plan() -> bool {
    for name in NETWORKS.into_iter().chain(INTEGERS) {
        let plan = planned(name);
        let alone = ScheduleOptions {
            precision: Precision::of(&plan),
            batch: 1,
            input: InputKind::Pixels,
            limits: HOPPER,
            fused: false,
        };
        let steps = Schedule::new(&plan, alone).unwrap();
        println!(
            "{name}: step by step {} launches, {:.1} MB a frame",
            steps.program.launches.len(),
            traffic(&steps) as f64 / 1e6
        );
        for batch in [1, 8, 64, 256] {
            let schedule = scheduled(&plan, batch, HOPPER);
            let program = &schedule.program;
            let blocks = program.launches.iter().filter(|l| l.kernel.contains('_')).count();
            println!(
                "  batch {batch}: {} launches ({blocks} of fused steps), at most {} one after the other, {:.1} MB a \
                 frame, {:.0} MB of memory",
                program.launches.len(),
                longest(program),
                traffic(&schedule) as f64 / 1e6 / batch as f64,
                program.placement().bytes as f64 / 1e6
            );
            if batch == 1 || batch == 64 {
                for launch in &program.launches {
                    let bytes = bytes(program, launch);
                    println!(
                        "    {:24}{:>6}×{}×{}{:>8} B{:>9.2} MB  {}",
                        launch.kernel,
                        launch.grid[0],
                        launch.grid[1],
                        launch.grid[2],
                        launch.shared,
                        bytes as f64 / 1e6,
                        launch.label
                    );
                }
            }
        }
    }
    true
}

/// Made-up pictures.
fn pictures(count: usize) -> Vec<f32> {
    (0..count * INPUT_SIZE * INPUT_SIZE * 3).map(|i| ((i * 7919) % 1009) as f32 / 252.0 - 2.0).collect()
}

/// The largest difference over the range of the expected values.
fn difference(expected: &[f32], got: &[f32]) -> f32 {
    assert_eq!(expected.len(), got.len());
    let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let worst = expected.iter().zip(got).map(|(a, b)| (a - b).abs());
    // A value that is no number is the largest difference of all.
    worst.fold(0.0, |w: f32, d| if d > w || d.is_nan() { d } else { w }) / (high - low).max(1e-6)
}

fn parity() -> bool {
    let device = Device::open(0).unwrap();
    println!("{}, compute capability {}", device.name(), device.capability());
    let (mut fine, most) = (true, BATCHES[3]);
    let input = pictures(most);
    let each = input.len() / most;
    for backbone in Backbone::all() {
        let name = backbone.to_string();
        let plan = planned(&name);
        let mut cpu = CpuEngine::new(plan.clone(), 0).unwrap();
        let mut expected = vec![Vec::new(); plan.outputs.len()];
        for picture in input.chunks_exact(each) {
            cpu.run(picture).unwrap();
            expected.iter_mut().enumerate().for_each(|(i, all)| all.extend_from_slice(cpu.output(i)));
        }
        for (precision, tolerance) in TOLERANCES {
            for batch in BATCHES {
                for fused in [true, false] {
                    if !fused && batch > 2 {
                        continue;
                    }
                    let mut engine = CudaEngine::new(
                        &device,
                        plan.clone(),
                        CudaOptions { precision: Some(precision), batch, fused },
                    )
                    .unwrap();
                    // Twice: the second run meets used memory.
                    engine.run(&input[..each * batch]).unwrap();
                    engine.run(&input[..each * batch]).unwrap();
                    for (index, all) in expected.iter().enumerate() {
                        let worst = difference(&all[..all.len() / most * batch], engine.output(index));
                        let good = worst <= tolerance;
                        if !good || index == 0 {
                            let verdict = if good { "ok" } else { "FAILED" };
                            println!(
                                "{name} {precision:?} batch {batch} fused {fused}: {worst:.1e} {verdict}"
                            );
                        }
                        fine &= good;
                    }
                }
            }
        }
    }
    fine & integers(&device) & same_detections()
}

/// Networks of eight bits give to the bit what the CPU gives. The first layer is in float: were its sums rounded in another
/// order, single bytes would differ, and are told.
fn integers(device: &Device) -> bool {
    let (mut fine, most) = (true, BATCHES[2]);
    let input = pictures(most);
    let each = input.len() / most;
    for name in INTEGERS {
        let plan = planned(name);
        let mut cpu = CpuEngine::new(plan.clone(), 0).unwrap();
        let mut expected = vec![Vec::new(); plan.outputs.len()];
        for picture in input.chunks_exact(each) {
            cpu.run(picture).unwrap();
            expected.iter_mut().enumerate().for_each(|(i, all)| all.extend_from_slice(cpu.output(i)));
        }
        for (batch, fused) in [(1, true), (1, false), (2, true), (7, true), (7, false)] {
            let options = CudaOptions { precision: Some(Precision::I8), batch, fused };
            let mut engine = CudaEngine::new(device, plan.clone(), options).unwrap();
            engine.run(&input[..each * batch]).unwrap();
            for (index, all) in expected.iter().enumerate() {
                let (all, got) = (&all[..all.len() / most * batch], engine.output(index));
                let differ = all.iter().zip(got).filter(|(a, b)| a != b).count();
                let good = differ == 0 && all.len() == got.len();
                let verdict = if good { "ok" } else { "FAILED" };
                println!("{name} batch {batch} fused {fused}: {differ} of {} differ {verdict}", all.len());
                fine &= good;
            }
        }
    }
    fine
}

fn photos() -> Vec<(String, Frame)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo");
    // Where the binary was carried to another machine, the pictures are beside the current folder.
    let folder = if std::path::Path::new(folder).exists() { folder } else { "assets/demo" };
    let names = ["astronaut.jpg", "chelsea.jpg", "motorcycle.jpg"];
    let load = |name: &str| {
        let picture = image::open(format!("{folder}/{name}")).unwrap().to_rgb8();
        Frame::rgb8(picture.width(), picture.height(), picture.into_raw()).unwrap()
    };
    names.iter().map(|name| ((*name).to_owned(), load(name))).collect()
}

/// The demo pictures, one by one and as a batch: as many objects, of the same classes, in the same places.
fn same_detections() -> bool {
    let build = |device| Detector::builder().device(device).build().unwrap();
    let cpu = build(sandglass_detector::Device::Cpu);
    let gpu = build(sandglass_detector::Device::Cuda(0));
    let (names, frames): (Vec<_>, Vec<_>) = photos().into_iter().unzip();
    // More than one batch, and the last not full.
    let many: Vec<Frame> = frames.iter().cycle().take(19).cloned().collect();
    let batch = gpu.detect_batch(&many).unwrap();
    let mut fine = true;
    for (index, frame) in many.iter().enumerate() {
        let expected = cpu.detect(frame).unwrap().items;
        for (got, of) in [(&batch[index].items, "batch"), (&gpu.detect(frame).unwrap().items, "alone")] {
            let same = expected.len() == got.len()
                && expected.iter().zip(got).all(|(a, b)| {
                    a.class_id == b.class_id
                        && (a.score - b.score).abs() < 0.02
                        && a.bounds.iou(b.bounds) > 0.95
                });
            if !same || index < names.len() {
                let verdict = if same { "ok" } else { "FAILED" };
                println!("{} {of}: {} objects {verdict}", names[index % names.len()], got.len());
            }
            fine &= same;
        }
    }
    fine
}

/// Little enough for a sanitizer: small pictures through every kernel, then one frame to detections.
fn small() -> bool {
    let device = Device::open(0).unwrap();
    let mut fine = true;
    for (name, size) in
        [("mobilenext-0.35", (64, 49)), ("mobilenet-v2-0.35", (49, 64)), ("mobilenet-v1-0.25", (33, 40))]
    {
        let network = name.parse::<Backbone>().unwrap().classifier(10);
        let plan = Plan::new(&network, &Weights::untrained(&network), size.0, size.1).unwrap();
        let input: Vec<f32> = pictures(1).into_iter().take(2 * plan.input().len()).collect();
        let mut cpu = CpuEngine::new(plan.clone(), 1).unwrap();
        let mut expected = Vec::new();
        for picture in input.chunks_exact(plan.input().len()) {
            cpu.run(picture).unwrap();
            expected.extend_from_slice(cpu.output(0));
        }
        for (precision, tolerance) in TOLERANCES {
            for fused in [true, false] {
                let options = CudaOptions { precision: Some(precision), batch: 2, fused };
                let mut engine = CudaEngine::new(&device, plan.clone(), options).unwrap();
                engine.run(&input).unwrap();
                let worst = difference(&expected, engine.output(0));
                println!("{name} {precision:?} fused {fused}: {worst:.1e}");
                fine &= worst <= tolerance;
            }
        }
    }
    let gpu = Detector::builder().device(sandglass_detector::Device::Cuda(0)).backbone("mobilenext-0.35");
    let gpu = gpu.score_threshold(0.04).build().unwrap();
    println!("{} objects", gpu.detect(&photos()[0].1).unwrap().items.len());
    for name in INTEGERS {
        let gpu = Detector::builder().device(sandglass_detector::Device::Cuda(0)).backbone(name);
        let found = gpu.build().unwrap().detect(&photos()[0].1).unwrap().items.len();
        println!("{name}: {found} objects");
        fine &= found > 0;
    }
    fine
}

fn leak() -> bool {
    const FRAMES: usize = 2000;
    const SWITCHES: usize = 50;
    let device = Device::open(0).unwrap();
    let used = || {
        let (free, all) = device.memory().unwrap();
        all - free
    };
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
    };
    let mut detector = Detector::builder()
        .device(sandglass_detector::Device::Cuda(0))
        .backbone(NETWORKS[0])
        .build()
        .unwrap();
    let frame = photos().remove(0).1;
    // What the driver keeps for itself is there after a first round.
    for name in NETWORKS.iter().cycle().take(4) {
        detector.switch_backbone(name, None).unwrap();
        detector.detect(&frame).unwrap();
    }
    let before = (used(), resident());
    for i in 0..FRAMES {
        detector.detect(&frame).unwrap();
        if i % (FRAMES / SWITCHES) == 0 {
            detector.switch_backbone(NETWORKS[i / (FRAMES / SWITCHES) % 2], None).unwrap();
        }
    }
    let after = (used(), resident());
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    println!(
        "{FRAMES} frames, {SWITCHES} changes of the backbone: device {:.1} MB before, {:.1} MB after; host {:.1}, {:.1}",
        megabytes(before.0),
        megabytes(after.0),
        megabytes(before.1),
        megabytes(after.1)
    );
    // The driver takes memory in pieces of 2 MB.
    after.0 <= before.0 + 4_000_000 && after.1 <= before.1 + 32_000_000
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Medians: the network alone by the device's clock, and a frame that waits in pinned memory to detections in the
/// host's memory by the wall's.
fn speed() -> bool {
    let device = Device::open(0).unwrap();
    let mut networks = serde_json::Map::new();
    for name in NETWORKS.into_iter().chain(INTEGERS) {
        let mut batches = serde_json::Map::new();
        for batch in [1, 8, 64, 256] {
            let options = CudaOptions { batch, ..CudaOptions::default() };
            let mut engine = CudaEngine::new(&device, planned(name), options).unwrap();
            engine.time(20).unwrap();
            let times: Vec<f64> = (0..15).map(|_| engine.time(20).unwrap() * 1e3).collect();
            let time = median(times);
            batches.insert(
                batch.to_string(),
                json!({"network_ms": time, "frames_a_second": batch as f64 / time * 1e3, "device_bytes": engine.bytes()}),
            );
        }
        let gpu =
            Detector::builder().device(sandglass_detector::Device::Cuda(0)).backbone(name).build().unwrap();
        // As large as the network's input: resizing is the CPU's, and measured elsewhere.
        let side = INPUT_SIZE as u32;
        let pixels = (0..side * side * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let frame = Frame::rgb8(side, side, pixels).unwrap();
        let mut found = sandglass_detector::Detections::default();
        let (mut whole, mut alone) = (Vec::new(), Vec::new());
        for i in 0..600 {
            let begin = Instant::now();
            gpu.detect_into(&frame, &mut found).unwrap();
            if i >= 100 {
                whole.push(begin.elapsed().as_secs_f64() * 1e3);
                alone.push((found.timing.network + found.timing.postprocess).as_secs_f64() * 1e3);
            }
        }
        let one = json!({"pinned_to_detections_ms": median(alone), "with_preprocessing_ms": median(whole)});
        networks.insert(name.into(), json!({"batches": batches, "pipeline": one}));
    }
    println!("{}", json!({"device": device.name(), "capability": device.capability(), "networks": networks}));
    true
}

/// Each launch by itself, repeated on the same memory: where the time goes.
fn profile(name: &str, batch: usize) -> bool {
    let device = Device::open(0).unwrap();
    let plan = planned(name);
    let program = scheduled(&plan, batch, device.limits()).program;
    let mut all = 0.0;
    for launch in &program.launches {
        let mut alone = program.clone();
        alone.launches = vec![launch.clone()];
        // Nobody writes its inputs: they are what they are.
        for buffer in alone.buffers.iter_mut().filter(|buffer| buffer.contents == Contents::Scratch) {
            buffer.contents = Contents::Zeros;
        }
        let sources = [(KERNELS, Precision::of(&plan))];
        let mut runner = Runner::new(&device, &alone, &sources, &[], &[]).unwrap();
        runner.time(20).unwrap();
        let time = median((0..7).map(|_| runner.time(50).unwrap()).collect());
        let bytes = bytes(&program, launch);
        all += time;
        println!(
            "{:9.2} µs{:9.2} MB{:9.0} GB/s  {:24}{:?} {}",
            time * 1e6,
            bytes as f64 / 1e6,
            bytes as f64 / 1e9 / time,
            launch.kernel,
            launch.grid,
            launch.label
        );
    }
    println!("{:9.2} µs for {} launches one by one", all * 1e6, program.launches.len());
    true
}

/// Writes the untrained weights of a network, for the peers to load.
fn weights(name: &str, file: &str) -> bool {
    let network = ssdlite(&name.parse::<Backbone>().unwrap(), CLASSES);
    let facts = std::collections::BTreeMap::new();
    Weights::untrained(&network)
        .save(file.as_ref(), &facts, sandglass_backbone::weights::StoredAs::F32)
        .unwrap();
    true
}
