//! `sandglass-detect bench`: how long a frame takes on this machine, stage by stage.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use sandglass_detector::{Detector, Frame, models};
use serde_json::json;

use crate::NetworkArgs;
use crate::output::{JsonLines, milliseconds};

#[derive(Args)]
#[command(
    after_help = "Example:\n  sandglass-detect bench --backbone mobilenext-1.0,mobilenet-v2-1.0 --threads 1"
)]
pub(crate) struct BenchArgs {
    /// Backbones to measure, such as mobilenext-1.0,mobilenet-v2-1.0; by default the one that detection uses
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    backbone: Vec<String>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Frames measured, after the warm-up
    #[arg(long, value_name = "N", default_value_t = 100)]
    frames: usize,
    /// Frames that run before, unmeasured
    #[arg(long, value_name = "N", default_value_t = 10)]
    warmup: usize,
    /// Write one JSON object a backbone (a line each); `-` for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The size of the made-up frame: 720p, as cameras give it.
const SIZE: (u32, u32) = (1280, 720);

pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    if args.frames == 0 {
        bail!("--frames must be at least 1");
    }
    let backbones: Vec<Option<&str>> = match args.backbone.as_slice() {
        // With --weights alone the file says which backbone it is.
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let mut json = args.json.as_deref().map(JsonLines::create).transpose()?;
    let table = args.json.as_deref() != Some(Path::new("-"));
    for backbone in backbones {
        let default = if args.network.weights.is_none() { Some(models::DEFAULT) } else { None };
        let detector = args.network.builder(backbone.or(default)).build()?;
        let stages = measure(&detector, args.warmup, args.frames)?;
        if let Some(json) = &mut json {
            let by_stage = stages.iter().map(|(name, times)| {
                let [p50, p90, p99] = [50, 90, 99].map(|p| milliseconds(percentile(times, p)));
                ((*name).to_owned(), json!({"p50_ms": p50, "p90_ms": p90, "p99_ms": p99}))
            });
            json.write(&json!({
                "backbone": detector.backbone().to_string(),
                "threads": threads(args),
                "device": detector.engine(),
                "frames": args.frames,
                "warmup": args.warmup,
                "source_size": [SIZE.0, SIZE.1],
                "stages": by_stage.collect::<serde_json::Map<_, _>>(),
            }))?;
        }
        if table {
            print_table(args, &detector, &stages)?;
        }
    }
    json.map_or(Ok(()), JsonLines::finish)?;
    Ok(ExitCode::SUCCESS)
}

/// Threads that were asked for, or one a processor.
fn threads(args: &BenchArgs) -> usize {
    match args.network.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

type Stages = [(&'static str, Vec<Duration>); 4];

/// The time of every frame, by stage.
fn measure(detector: &Detector, warmup: usize, frames: usize) -> Result<Stages> {
    let frame = frame()?;
    for _ in 0..warmup {
        detector.detect(&frame)?;
    }
    let mut stages: Stages = ["preprocess", "network", "postprocess", "total"].map(|name| (name, Vec::new()));
    for _ in 0..frames {
        let timing = detector.detect(&frame)?.timing;
        let parts = [timing.preprocess, timing.network, timing.postprocess, timing.total()];
        stages.iter_mut().zip(parts).for_each(|((_, times), part)| times.push(part));
    }
    stages.iter_mut().for_each(|(_, times)| times.sort_unstable());
    Ok(stages)
}

/// A made-up picture: soft shapes and some noise, so that no stage meets a constant.
fn frame() -> Result<Frame> {
    let mut pixels = Vec::with_capacity((SIZE.0 * SIZE.1 * 3) as usize);
    let mut noise = 1u32;
    for y in 0..SIZE.1 {
        for x in 0..SIZE.0 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wave = ((x as f32 / 90.0).sin() * (y as f32 / 70.0).cos() * 90.0 + 128.0) as u32;
            pixels.extend([wave, wave / 2 + 60, 255 - wave].map(|v| (v + (noise >> 28)).min(255) as u8));
        }
    }
    Ok(Frame::rgb8(SIZE.0, SIZE.1, pixels)?)
}

/// The smallest time that at least `percent` of the sorted times do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn print_table(args: &BenchArgs, detector: &Detector, stages: &Stages) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let (backbone, engine) = (detector.backbone(), detector.engine());
    writeln!(
        out,
        "{backbone} on {engine}; {} frames of {}×{} after {} of warm-up",
        args.frames, SIZE.0, SIZE.1, args.warmup
    )?;
    writeln!(out, "{:14}{:>10}{:>10}{:>10}", "ms", "p50", "p90", "p99")?;
    for (name, times) in stages {
        let [p50, p90, p99] = [50, 90, 99].map(|p| milliseconds(percentile(times, p)));
        writeln!(out, "{name:14}{p50:>10.2}{p90:>10.2}{p99:>10.2}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<Duration> = (1..=10).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(5));
        assert_eq!(percentile(&times, 90), Duration::from_millis(9));
        assert_eq!(percentile(&times, 99), Duration::from_millis(10));
        assert_eq!(percentile(&times[..1], 50), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
