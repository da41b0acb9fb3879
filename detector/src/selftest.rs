//! Whether everything that this machine has works: every engine on every network against plain code, the weights
//! inside the program, the way from a clip to detections and to a recording, and what else there is to use.

use std::time::{Duration, Instant};

use sandglass_backbone::{Backbone, CpuEngine, CpuOptions, Engine, InstructionSet, Plan};
use serde::Serialize;

use crate::error::Error;
use crate::heads::{INPUT_SIZE, ssdlite};
use crate::models;
use crate::words::without_paths;
use crate::work::INPUT_BYTES;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// The weights inside the program.
    Weights,
    /// An engine's results on a network.
    Network,
    /// From a video to detections.
    Detection,
    /// From frames to a file, and back.
    Recording,
    /// Programs and libraries that read and write videos.
    Codec,
    /// What is plugged in.
    Camera,
    /// An NVIDIA GPU with its driver.
    Gpu,
    /// What draws the viewer's window.
    Renderer,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Something is wrong with it.
    Failed,
    /// It is not there, which is no fault.
    Absent,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub area: Area,
    /// What was looked at, such as a backbone's name.
    pub name: String,
    /// On what it ran, such as `CPU, AVX2, 2 threads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, or what is wrong. Without paths of this machine.
    pub detail: String,
    /// How long a picture took, in milliseconds: the median of [`ROUNDS`]; of plain code the one there was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// By how much an engine differs from plain code, over the range of an output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<f32>,
}

impl Finding {
    fn new(area: Area, name: impl Into<String>, outcome: Result<String, String>) -> Self {
        let (verdict, detail) = match outcome {
            Ok(detail) => (Verdict::Passed, detail),
            // Reports are given away: what went wrong, not where on this disk.
            Err(detail) => (Verdict::Failed, without_paths(&detail)),
        };
        Self { area, name: name.into(), backend: None, verdict, detail, milliseconds: None, difference: None }
    }

    #[cfg(any(feature = "camera", feature = "cuda", feature = "program", feature = "video"))]
    fn absent(area: Area, name: &str, detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Absent, ..Self::new(area, name, Ok(detail.into())) }
    }

    fn on(mut self, backend: String, time: Duration) -> Self {
        self.backend = Some(backend);
        self.milliseconds = Some(time.as_micros() as f64 / 1e3);
        self
    }
}

/// How often an engine's time is taken.
pub const ROUNDS: usize = 5;
/// What engines of 32 bits may differ from plain code, over the range of an output.
const EXACT: f32 = 1e-3;
/// The same for 16 bits.
#[cfg(feature = "cuda")]
const HALF: f32 = 2e-2;

/// Looks at everything, or of the networks at some alone, and tells each finding when it is there.
pub fn run(networks: Option<&[Backbone]>, tell: &mut dyn FnMut(Finding)) {
    models::check_embedded(&mut |name, outcome| tell(Finding::new(Area::Weights, name, outcome)));
    #[cfg(feature = "cuda")]
    let gpu = gpu(tell);
    let all: Vec<Backbone> = match networks {
        Some(networks) => networks.to_vec(),
        None => models::all().iter().filter_map(|model| model.name.parse().ok()).collect(),
    };
    let byte = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
    let pixels: Vec<u8> = (0..).map(byte).take(INPUT_BYTES).collect();
    for backbone in all {
        let (plan, expected) = match plain(&backbone, &pixels, tell) {
            Ok(plain) => plain,
            Err(error) => {
                tell(Finding::new(Area::Network, backbone.to_string(), Err(error.to_string())));
                continue;
            }
        };
        let tolerance = if plan.quantisation.is_some() { 0.0 } else { EXACT };
        let mut check = |engine: Result<Box<dyn Engine>, Error>, tolerance: f32| {
            let outcome = engine.and_then(|mut engine| {
                let time = time(engine.as_mut(), &pixels, ROUNDS)?;
                Ok((compare(&expected, engine.as_ref(), tolerance), engine.describe(), time))
            });
            tell(match outcome {
                Ok(((difference, outcome), backend, time)) => {
                    let finding = Finding::new(Area::Network, backbone.to_string(), outcome);
                    Finding { difference, ..finding.on(backend, time) }
                }
                Err(error) => Finding::new(Area::Network, backbone.to_string(), Err(error.to_string())),
            });
        };
        let faster = InstructionSet::ALL.into_iter().skip(1).filter(|set| set.is_available());
        for instructions in faster {
            let options = CpuOptions { instructions, ..CpuOptions::default() };
            let engine = CpuEngine::with_options(plan.clone(), options);
            check(engine.map(|e| Box::new(e) as _).map_err(Error::from), tolerance);
        }
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &gpu {
            use sandglass_backbone::cuda::{CudaEngine, CudaOptions};
            let engine = CudaEngine::new(gpu, plan, CudaOptions::default());
            let tolerance = if tolerance == 0.0 { 0.0 } else { HALF };
            check(engine.map(|e| Box::new(e) as _).map_err(Error::from), tolerance);
        }
    }
    #[cfg(feature = "video")]
    media::run(tell);
    #[cfg(feature = "camera")]
    cameras(tell);
    #[cfg(feature = "program")]
    renderer(tell);
}

#[cfg(feature = "program")]
fn renderer(tell: &mut dyn FnMut(Finding)) {
    use crate::program::{crash, renderer};
    tell(match crash::folder().and_then(|folder| renderer::last(&folder)) {
        Some(renderer) => Finding::new(Area::Renderer, "OpenGL", Ok(without_paths(&renderer))),
        None => Finding::absent(Area::Renderer, "OpenGL", "the viewer, which finds out, was not opened yet"),
    });
}

/// The network's plan, and what plain code makes of the pixels, step by step.
fn plain(
    backbone: &Backbone,
    pixels: &[u8],
    tell: &mut dyn FnMut(Finding),
) -> Result<(Plan, Vec<Vec<f32>>), Error> {
    let (weights, info) = models::weights(backbone)?;
    let network = ssdlite(backbone, info.classes.len());
    let mut plan = Plan::new(&network, &weights, INPUT_SIZE, INPUT_SIZE)?;
    plan.take_pixels(&info.normalisation);
    let options =
        CpuOptions { instructions: InstructionSet::Scalar, streamed: false, ..CpuOptions::default() };
    let mut engine = CpuEngine::with_options(plan.clone(), options)?;
    let time = time(&mut engine, pixels, 1)?;
    let outputs: Vec<Vec<f32>> = (0..plan.outputs.len()).map(|index| engine.output(index).to_vec()).collect();
    let outcome = match outputs.iter().all(|values| values.iter().all(|v| v.is_finite())) {
        true => Ok("what the others are held to".to_owned()),
        false => Err("values that are no numbers".to_owned()),
    };
    tell(Finding::new(Area::Network, backbone.to_string(), outcome).on(engine.describe(), time));
    Ok((plan, outputs))
}

/// The median time of a run, after one that is not counted where there is more than one.
fn time(engine: &mut dyn Engine, pixels: &[u8], rounds: usize) -> Result<Duration, Error> {
    if rounds > 1 {
        engine.run_pixels(pixels)?;
    }
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begin = Instant::now();
        engine.run_pixels(pixels)?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(rounds / 2).copied().unwrap_or_default())
}

/// The largest difference of all outputs over their range, and what that means: with a tolerance of 0 every bit has to be
/// the same.
fn compare(
    expected: &[Vec<f32>],
    engine: &dyn Engine,
    tolerance: f32,
) -> (Option<f32>, Result<String, String>) {
    let mut largest = 0.0_f32;
    for (index, expected) in expected.iter().enumerate() {
        let got = engine.output(index);
        if got.len() != expected.len() {
            let reason = format!("output {index} has {} values instead of {}", got.len(), expected.len());
            return (None, Err(reason));
        }
        let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        for (a, b) in expected.iter().zip(got) {
            let difference = (a - b).abs() / (high - low).max(f32::MIN_POSITIVE);
            // What is no number differs as far as can be.
            largest = if difference.is_nan() { f32::INFINITY } else { largest.max(difference) };
        }
    }
    let words = match (largest, tolerance) {
        (0.0, _) => "the same to the bit".to_owned(),
        (_, 0.0) => format!("differs by {largest:.1e} of the range, and not a bit is allowed"),
        _ => format!("differs by {largest:.1e} of the range, {tolerance:.0e} is allowed"),
    };
    (Some(largest), if largest <= tolerance { Ok(words) } else { Err(words) })
}

#[cfg(feature = "cuda")]
fn gpu(tell: &mut dyn FnMut(Finding)) -> Option<sandglass_backbone::cuda::Device> {
    match sandglass_backbone::cuda::Device::open(0) {
        Ok(gpu) => {
            let detail = format!(
                "driver for CUDA {}, compute {:.1}",
                gpu.driver(),
                f64::from(gpu.capability()) / 10.0
            );
            tell(Finding::new(Area::Gpu, gpu.name(), Ok(detail)));
            Some(gpu)
        }
        Err(error) => {
            tell(Finding::absent(Area::Gpu, "NVIDIA GPU", error.to_string()));
            None
        }
    }
}

#[cfg(feature = "camera")]
fn cameras(tell: &mut dyn FnMut(Finding)) {
    use crate::source::camera;
    match camera::cameras() {
        Ok(cameras) if cameras.is_empty() => {
            tell(Finding::absent(Area::Camera, "cameras", "none is plugged in"))
        }
        Err(error) => tell(Finding::absent(Area::Camera, "cameras", error.to_string())),
        Ok(cameras) => {
            for info in cameras {
                let formats = camera::formats(&info.id).map_err(|error| error.to_string());
                let outcome = formats.and_then(|formats| match formats.last() {
                    None => Err("it offers nothing that can be read".to_owned()),
                    Some(last) => Ok(format!("{} formats, such as {last}", formats.len())),
                });
                tell(Finding::new(Area::Camera, format!("camera:{} {}", info.id, info.name), outcome));
            }
        }
    }
}

/// From the built-in clip to detections, to a recording, and back.
#[cfg(feature = "video")]
mod media {
    use super::{Area, Error, Finding};
    use crate::record::{Recorder, RecorderOptions, draw};
    use crate::source::{self, FrameSource};
    use crate::{Detector, Device, Frame};

    /// Frames that are recorded.
    const FRAMES: usize = 10;

    pub(super) fn run(tell: &mut dyn FnMut(Finding)) {
        let mut frames = Vec::new();
        let outcome = decode(&mut frames).map_err(|error| error.to_string());
        tell(Finding::new(Area::Codec, "H.264 in MP4, reading", outcome));
        tell(match source::video::ffmpeg_version() {
            Some(version) => Finding::new(Area::Codec, "ffmpeg, for other videos", Ok(version.to_owned())),
            None => Finding::absent(Area::Codec, "ffmpeg, for other videos", "it is not installed"),
        });
        if !frames.is_empty() {
            let outcome = detect(&mut frames);
            tell(Finding::new(Area::Detection, "demo", outcome));
            let outcome = record(&frames).map_err(|error| error.to_string());
            tell(Finding::new(Area::Recording, "H.264 in MP4, writing", outcome));
        }
    }

    fn decode(frames: &mut Vec<Frame>) -> Result<String, Error> {
        let mut demo = source::Demo::new(false)?;
        while let Some(frame) = demo.next_frame()?.filter(|_| frames.len() < FRAMES) {
            frames.push(frame);
        }
        let (width, height) = frames.first().map_or((0, 0), |frame| (frame.width(), frame.height()));
        Ok(format!("{} frames of {width}×{height}", frames.len()))
    }

    /// Detects in the first frame, and draws onto all what was found there.
    fn detect(frames: &mut [Frame]) -> Result<String, String> {
        let text = |error: Error| error.to_string();
        let detector = Detector::builder().device(Device::Auto).build().map_err(text)?;
        let Some(first) = frames.first() else { return Err("no frame".into()) };
        let found = detector.detect(first).map_err(text)?;
        for frame in frames {
            *frame = draw(frame, &found.items).at(frame.captured());
        }
        match found.items.first() {
            None if detector.is_trained() => Err("nothing was found in the built-in clip".into()),
            None => Ok("untrained weights, which find nothing".into()),
            Some(best) => Ok(format!(
                "{} objects on the {}, the best a {} ({:.2})",
                found.items.len(),
                detector.engine(),
                best.label,
                best.score
            )),
        }
    }

    fn record(frames: &[Frame]) -> Result<String, Error> {
        let failed = |source| Error::Io { path: "the folder for temporary files".into(), source };
        let folder = tempfile::tempdir().map_err(failed)?;
        let path = folder.path().join("selftest.mp4");
        // Nothing of this size fills a disk.
        let mut recorder =
            Recorder::create(&path, &RecorderOptions { keep_free: 0, ..RecorderOptions::default() })?;
        for frame in frames {
            recorder.push(frame)?;
        }
        let written = recorder.finish()?;
        let mut back = source::open(&path.to_string_lossy())?;
        let mut count = 0;
        while back.next_frame()?.is_some() {
            count += 1;
        }
        match count == frames.len() {
            true => Ok(format!("{count} frames, {} bytes, read again", written.bytes)),
            false => Err(Error::Source(format!("{} frames were recorded, {count} came back", frames.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_here_passes() {
        let networks = ["mobilenext-0.35", models::DEFAULT, "mobilenet-v2-1.0-int8"];
        let networks: Vec<Backbone> = networks.iter().filter_map(|name| name.parse().ok()).collect();
        let mut findings = Vec::new();
        run(Some(&networks), &mut |finding| findings.push(finding));
        let failed: Vec<_> =
            findings.iter().filter(|f| f.verdict == Verdict::Failed && f.area != Area::Camera).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let sets = InstructionSet::ALL.iter().filter(|set| set.is_available()).count();
        let ran = findings.iter().filter(|f| f.area == Area::Network && f.milliseconds.is_some()).count();
        assert!(ran >= sets * networks.len());
    }

    /// An engine whose outputs are given.
    struct Given(Vec<f32>);

    impl Engine for Given {
        fn describe(&self) -> String {
            "given".into()
        }

        fn run(&mut self, _: &[f32]) -> Result<(), sandglass_backbone::Error> {
            Ok(())
        }

        fn run_pixels(&mut self, _: &[u8]) -> Result<(), sandglass_backbone::Error> {
            Ok(())
        }

        fn twin(&self, _: usize) -> Result<Box<dyn Engine>, sandglass_backbone::Error> {
            Ok(Box::new(Given(self.0.clone())))
        }

        fn output(&self, _: usize) -> &[f32] {
            &self.0
        }
    }

    #[test]
    fn what_differs_is_told() {
        let expected = [vec![0.0, 10.0]];
        let of = |values: &[f32], tolerance| compare(&expected, &Given(values.to_vec()), tolerance).1;
        assert!(of(&[0.0, 10.0], 0.0).unwrap().contains("bit"));
        assert!(of(&[0.0, 10.005], EXACT).unwrap().contains("5.0e-4"));
        assert!(of(&[0.0, 10.005], 0.0).is_err() && of(&[0.0, 10.5], EXACT).is_err());
        assert!(of(&[0.0, f32::NAN], EXACT).is_err() && of(&[0.0], EXACT).is_err());
    }
}
