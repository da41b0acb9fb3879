//! A detector that runs on an NVIDIA GPU from the pixels to the detections: the network's launches, and ours
//! (`cuda/detect.cu`) behind them in the same graph.

use std::sync::Arc;

use sandglass_backbone::Plan;
use sandglass_backbone::cuda::{
    Argument, BufferId, COMMON, Contents, Device, InputKind, KERNELS, Launch, Precision, Program, Runner,
    Schedule, ScheduleOptions, Source,
};

use crate::anchors::anchors;
use crate::detections::BoxXyxy;
use crate::error::Error;
use crate::heads::{BOX_DELTAS, CLASS_LOGITS};
use crate::nms::Scored;
use crate::settings::Settings;

/// The kernels behind the network.
pub(crate) const DETECT: Source = Source {
    name: "detect",
    files: &[("common.cuh", COMMON), ("detect.cu", include_str!("cuda/detect.cu"))],
    kernels: &["candidates", "suppress", "collect"],
    float_kernels: &[],
    archive: include_bytes!("cuda/detect.zip"),
};

/// HEADER and SORTED_HERE of `cuda/detect.cu`.
const HEADER: usize = 4;
const SORTED_HERE: usize = 4096;
/// Numbers of a detection: class, score, four of the box.
const RECORD: usize = 6;
/// Whole numbers up to this are exact as 32-bit values.
const MOST_EXACT: usize = 1 << 24;

/// Pictures that travel together in [`CudaDetector::run`] where there are more than one.
pub(crate) const BATCH: usize = 16;

/// What the launches behind the network add to a program.
#[derive(Clone, Copy, Debug)]
struct Tail {
    settings: BufferId,
    results: BufferId,
}

/// Adds softmax, decoding and suppression of `logits` and `deltas` to a program: up to `most` detections of each of
/// `batch` pictures.
fn tail(
    program: &mut Program,
    (logits, deltas): (BufferId, BufferId),
    batch: usize,
    classes: usize,
    most: usize,
) -> Tail {
    let anchors = anchors();
    // Sorting by halves needs room up to a power of two.
    let (room, merged) = (anchors.len().next_power_of_two(), (classes * most).next_power_of_two());
    let lists = batch * classes;
    let table: Vec<u8> = anchors
        .iter()
        .flat_map(|a| [a.cx, a.cy, a.width, a.height])
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let boxes_of_anchors = program.constant(table);
    let settings = program.buffer((HEADER + classes + 2 * batch) * 4, Contents::Kept);
    let keys = program.buffer(lists * room * 8, Contents::Scratch);
    let boxes = program.buffer(lists * room * 16, Contents::Scratch);
    let counts = program.buffer(lists * 4, Contents::Zeros);
    let kept = program.buffer(lists * 4, Contents::Scratch);
    let merged_keys = program.buffer(batch * merged * 8, Contents::Scratch);
    let results = program.buffer(batch * (1 + RECORD * most) * 4, Contents::Kept);
    let int = |value: usize| Argument::Int(i32::try_from(value).unwrap_or(i32::MAX));
    let grid = |x: usize, y: usize| [x, y, 1].map(|extent| u32::try_from(extent).unwrap_or(u32::MAX));
    let mut launch = |kernel: &'static str, grid, shared, arguments| {
        let label = kernel.to_owned();
        program.launches.push(Launch { label, kernel: kernel.into(), grid, shared, arguments });
    };
    launch(
        "candidates",
        grid(anchors.len().div_ceil(Launch::THREADS as usize), batch),
        0,
        vec![
            Argument::Read(logits),
            Argument::Read(settings),
            Argument::Write(keys),
            Argument::Update(counts),
            int(anchors.len()),
            int(classes),
            int(room),
        ],
    );
    launch(
        "suppress",
        grid(classes, batch),
        SORTED_HERE * 8 + anchors.len(),
        vec![
            Argument::Read(deltas),
            Argument::Read(boxes_of_anchors),
            Argument::Read(settings),
            Argument::Update(keys),
            Argument::Write(boxes),
            Argument::Update(counts),
            Argument::Write(kept),
            int(anchors.len()),
            int(classes),
            int(room),
        ],
    );
    launch(
        "collect",
        grid(batch, 1),
        SORTED_HERE * 8,
        vec![
            Argument::Read(keys),
            Argument::Read(boxes),
            Argument::Read(kept),
            Argument::Read(settings),
            Argument::Write(merged_keys),
            Argument::Write(results),
            int(classes),
            int(room),
            int(merged),
            int(most),
        ],
    );
    Tail { settings, results }
}

/// Writes what `cuda/detect.cu` calls `settings`.
fn fill_settings(to: &mut [u8], settings: &Settings, allowed: &[bool], sizes: &[(u32, u32)]) {
    let whole = |value: usize| value.min(MOST_EXACT) as f32;
    let header: [f32; HEADER] = [
        settings.score_threshold,
        settings.iou_threshold,
        whole(settings.max_detections),
        whole(settings.candidates_per_class),
    ];
    let allowed = allowed.iter().map(|allowed| f32::from(u8::from(*allowed)));
    let sizes = sizes.iter().flat_map(|(width, height)| [*width as f32, *height as f32]);
    let values = header.into_iter().chain(allowed).chain(sizes);
    for (bytes, value) in to.as_chunks_mut::<4>().0.iter_mut().zip(values) {
        *bytes = value.to_ne_bytes();
    }
}

/// The detections of a picture in what `cuda/detect.cu` calls `results`.
fn found(results: &[f32], picture: usize, most: usize) -> impl Iterator<Item = Scored> {
    let own = results.chunks_exact(1 + RECORD * most).nth(picture).unwrap_or(&[]);
    let (count, records) = own.split_first().map_or((0, own), |(count, rest)| (*count as usize, rest));
    records.as_chunks::<RECORD>().0.iter().take(count).map(|&[class, score, x1, y1, x2, y2]| Scored {
        class: class as u32,
        score,
        bounds: BoxXyxy { x1, y1, x2, y2 },
    })
}

/// Runs whole pictures on a device.
pub(crate) struct CudaDetector {
    device: Device,
    plan: Arc<Plan>,
    precision: Precision,
    classes: usize,
    /// Detections of a picture that travel back, at most.
    most: usize,
    /// For one picture, and for [`BATCH`] of them.
    runners: [Option<Runner>; 2],
}

impl CudaDetector {
    /// Makes a detector's plan, which takes pixels, ready on a device.
    pub(crate) fn new(
        device: Device,
        plan: Plan,
        classes: usize,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let (precision, plan) = (Precision::of(&plan), Arc::new(plan));
        let mut own = Self { device, plan, precision, classes, most: 0, runners: [None, None] };
        own.runner(1, settings)?;
        Ok(own)
    }

    /// For people: `NVIDIA H200, 16 bits`.
    pub(crate) fn describe(&self) -> String {
        format!("{}, {} bits", self.device.name(), self.precision.bytes() * 8)
    }

    fn runner(&mut self, batch: usize, settings: &Settings) -> Result<&mut Runner, Error> {
        // More detections than there are anchors and classes cannot be.
        let wanted = settings.max_detections.min(anchors().len() * self.classes);
        if wanted > self.most {
            self.most = wanted.next_power_of_two();
            self.runners = [None, None];
        }
        let slot = &mut self.runners[usize::from(batch > 1)];
        match slot {
            Some(runner) => Ok(runner),
            None => {
                let options = ScheduleOptions {
                    precision: self.precision,
                    batch,
                    input: InputKind::Pixels,
                    limits: self.device.limits(),
                    fused: true,
                };
                let Schedule { mut program, input, outputs } = Schedule::new(&self.plan, options)?;
                let (Some(&logits), Some(&deltas)) = (outputs.get(CLASS_LOGITS), outputs.get(BOX_DELTAS))
                else {
                    return Err(Error::Device("the network has no boxes".into()));
                };
                let tail = tail(&mut program, (logits, deltas), batch, self.classes, self.most);
                let sources = [(KERNELS, self.precision), (DETECT, Precision::F32)];
                let (inputs, results) = ([input, tail.settings], [tail.results]);
                Ok(slot.insert(Runner::new(&self.device, &program, &sources, &inputs, &results)?))
            }
        }
    }

    /// The network's input for `batch` pictures (1 or [`BATCH`]), to be filled before [`CudaDetector::run`].
    pub(crate) fn pixels(&mut self, batch: usize, settings: &Settings) -> Result<&mut [u8], Error> {
        Ok(self.runner(batch, settings)?.input_mut(0))
    }

    /// Detects in the pictures whose pixels were filled in; `sizes` are those of the frames.
    pub(crate) fn run(
        &mut self,
        batch: usize,
        sizes: &[(u32, u32)],
        allowed: &[bool],
        settings: &Settings,
    ) -> Result<(), Error> {
        let runner = self.runner(batch, settings)?;
        fill_settings(runner.input_mut(1), settings, allowed, sizes);
        Ok(runner.run()?)
    }

    /// What the last run of `batch` pictures found in one of them, best first.
    pub(crate) fn found(&self, batch: usize, picture: usize) -> impl Iterator<Item = Scored> {
        let results = self.runners[usize::from(batch > 1)].as_ref().map_or(&[][..], |r| r.result_values(0));
        found(results, picture, self.most)
    }
}

#[cfg(test)]
mod tests {
    use sandglass_backbone::cuda::Limits;
    use sandglass_backbone::cuda::emulation::{Emulator, Order, check_ptx};
    use sandglass_backbone::{CpuEngine, Engine, Weights};

    use super::*;
    use crate::heads::ssdlite;
    use crate::postprocess::{Outputs, Postprocessor};

    #[test]
    fn shipped_ptx_is_made_of_the_kernels() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda/detect.zip");
        check_ptx(&DETECT, &[Precision::F32], &path).unwrap();
    }

    fn emulator(source: &Source, precision: Precision) -> Option<Emulator> {
        match Emulator::new(source, precision) {
            Ok(emulator) => Some(emulator),
            Err(reason) if reason.starts_with("cannot run") || !cfg!(target_arch = "x86_64") => {
                eprintln!("skipped: {reason}");
                None
            }
            Err(reason) => panic!("{reason}"),
        }
    }

    fn values(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    /// Whole detectors, executed on the CPU: the heads of two pictures lie in the results where the engine of the CPU
    /// has them. Smaller pictures than real ones, so that it takes seconds.
    #[test]
    fn heads_lie_where_the_cpu_has_them() {
        let Some(emulator) = emulator(&KERNELS, Precision::F16) else { return };
        for (name, multiprocessors) in [("mobilenext-0.35", 132), ("mobilenet-v2-0.35", 4)] {
            let network = ssdlite(&name.parse().unwrap(), 21);
            let plan = Plan::new(&network, &Weights::untrained(&network), 96, 64).unwrap();
            let each = plan.input().len();
            let mut state = 5;
            let pictures: Vec<f32> = (0..2 * each).map(|_| noise(&mut state) * 4.0 - 2.0).collect();
            let mut cpu = CpuEngine::new(plan.clone(), 1).unwrap();
            let mut expected = [Vec::new(), Vec::new()];
            for picture in pictures.chunks_exact(each) {
                cpu.run(picture).unwrap();
                for (index, all) in expected.iter_mut().enumerate() {
                    all.extend_from_slice(cpu.output(index));
                }
            }
            let options = ScheduleOptions {
                precision: Precision::F16,
                batch: 2,
                input: InputKind::Values,
                limits: Limits { shared: 100 * 1024, multiprocessors },
                fused: true,
            };
            let Schedule { program, input, outputs } = Schedule::new(&plan, options).unwrap();
            let bytes: Vec<u8> = pictures.iter().flat_map(|v| v.to_le_bytes()).collect();
            let got = emulator.run(&program, &[(input, &bytes)], &outputs, Order::Shuffled).unwrap();
            for (expected, got) in expected.iter().zip(&got) {
                let got = values(got);
                assert_eq!(got.len(), expected.len());
                let (low, high) =
                    expected.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
                let worst = expected.iter().zip(&got).map(|(a, b)| (a - b).abs());
                // What is no number is as far off as can be.
                let worst = worst.fold(0.0, |w: f32, d| if d.is_nan() { f32::MAX } else { w.max(d) });
                assert!(worst <= 2e-2 * (high - low), "{name}: {worst}");
            }
        }
    }

    /// The weights of eight bits that ship: their heads are to the bit what the CPU makes of the same pixels.
    #[test]
    fn shipped_integers_give_what_the_cpu_gives() {
        let Some(emulator) = emulator(&KERNELS, Precision::I8) else { return };
        let backbone = "mobilenet-v2-1.0-int8".parse().unwrap();
        let (weights, info) = crate::models::weights(&backbone).unwrap();
        let mut plan = Plan::new(&ssdlite(&backbone, info.classes.len()), &weights, 64, 96).unwrap();
        plan.take_pixels(&info.normalisation);
        assert_eq!(Precision::of(&plan), Precision::I8);
        let mut state = 7;
        let pixels: Vec<u8> = (0..plan.input().len()).map(|_| (noise(&mut state) * 255.0) as u8).collect();
        let mut cpu = CpuEngine::new(plan.clone(), 1).unwrap();
        cpu.run_pixels(&pixels).unwrap();
        for multiprocessors in [2, 132] {
            let options = ScheduleOptions {
                precision: Precision::I8,
                batch: 1,
                input: InputKind::Pixels,
                limits: Limits { shared: 100 * 1024, multiprocessors },
                fused: true,
            };
            let Schedule { program, input, outputs } = Schedule::new(&plan, options).unwrap();
            let got = emulator.run(&program, &[(input, &pixels)], &outputs, Order::Shuffled).unwrap();
            for (index, got) in got.iter().enumerate() {
                assert_eq!(values(got), cpu.output(index), "output {index}, {multiprocessors}");
            }
        }
    }

    /// Numbers that look random, between 0 and 1.
    fn noise(state: &mut u64) -> f32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// The kernels, executed on the CPU, find what the CPU's code finds: few candidates and all of them, few detections
    /// and many, some classes, boxes that are not finite.
    #[test]
    fn the_device_finds_what_the_cpu_finds() {
        let Some(emulator) = emulator(&DETECT, Precision::F32) else { return };
        let count = anchors().len();
        let plain = Settings::default();
        let flood = Settings { score_threshold: 0.0, max_detections: 30, ..plain.clone() };
        let many = Settings {
            score_threshold: 0.02,
            iou_threshold: 0.9,
            max_detections: 900,
            candidates_per_class: 1000,
        };
        for (seed, classes, settings) in [(1, 21, &plain), (2, 4, &flood), (3, 21, &many), (4, 2, &plain)] {
            let mut state = seed;
            let mut outputs = |values: usize, scale: f32| -> Vec<f32> {
                (0..values).map(|_| (noise(&mut state) - 0.5) * scale).collect()
            };
            let mut logits = outputs(2 * count * classes, 4.0);
            let deltas = outputs(2 * count * 4, 6.0);
            // Some anchors are sure of something, and some are nothing at all.
            for (i, anchor) in logits.chunks_exact_mut(classes).enumerate() {
                anchor[0] += if seed == 3 { 0.0 } else { 5.0 };
                if i % 97 == 0 {
                    anchor[1 + i % (classes - 1)] += 9.0;
                }
                if i % 1001 == 5 {
                    anchor.fill(f32::NAN);
                }
            }
            let mut allowed = vec![true; classes];
            allowed[classes / 2] = classes < 3;
            let sizes = [(640, 480), (33, 1200)];
            let most = settings.max_detections.next_power_of_two();

            let mut program = Program::default();
            let given = [&logits, &deltas].map(|values| {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                (program.buffer(bytes.len(), Contents::Kept), bytes)
            });
            let tail = tail(&mut program, (given[0].0, given[1].0), 2, classes, most);
            program.check().unwrap();
            let mut header = vec![0; (HEADER + classes + 4) * 4];
            fill_settings(&mut header, settings, &allowed, &sizes);
            let given = [
                (given[0].0, given[0].1.as_slice()),
                (given[1].0, given[1].1.as_slice()),
                (tail.settings, header.as_slice()),
            ];
            let mut postprocessor = Postprocessor::new(classes);
            let mut first = None;
            for order in Order::ALL {
                let bytes = emulator.run(&program, &given, &[tail.results], order).unwrap().remove(0);
                let results = values(&bytes);
                for (picture, size) in sizes.into_iter().enumerate() {
                    let part = |values: &'static str| match values {
                        "logits" => &logits[picture * count * classes..][..count * classes],
                        _ => &deltas[picture * count * 4..][..count * 4],
                    };
                    let outputs = Outputs { logits: part("logits"), deltas: part("deltas"), size };
                    let expected = postprocessor.run(outputs, &allowed, settings);
                    let got: Vec<Scored> = found(&results, picture, most).collect();
                    assert_eq!(got.len(), expected.len(), "{seed} {picture}");
                    assert!(!expected.is_empty());
                    for (got, expected) in got.iter().zip(expected) {
                        let near = |a: f32, b: f32| (a - b).abs() <= 1e-4 * b.abs().max(1.0);
                        let (a, b) = (got.bounds, expected.bounds);
                        assert!(got.class == expected.class && near(got.score, expected.score));
                        assert!(near(a.x1, b.x1) && near(a.y1, b.y1) && near(a.x2, b.x2) && near(a.y2, b.y2));
                    }
                }
                // Beyond what was found nothing is written, and that is not the same in two runs.
                let all: Vec<f32> = (0..2)
                    .flat_map(|picture| found(&results, picture, most).collect::<Vec<_>>())
                    .flat_map(|s| [s.score, s.bounds.x1, s.bounds.y2])
                    .collect();
                assert_eq!(first.get_or_insert_with(|| all.clone()), &all);
            }
        }
    }
}
