//! `sandglass-detect`: object detection from a shell.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use sandglass_detector::complain;
use sandglass_detector::program::{self, GenerateArgs, Shared, crash, note, told};
use sandglass_detector::{ClassFilter, Detector, DetectorBuilder, Device, models};

mod bench;
#[cfg(feature = "camera")]
mod cameras;
mod classify;
mod compare;
mod detect;
#[cfg(feature = "export")]
mod export;
#[cfg(feature = "import")]
mod import;
mod list;
mod output;
mod pictures;
mod quantize;
mod selftest;
#[cfg(feature = "arrow")]
mod tables;
#[cfg(feature = "video")]
mod video;

/// Find objects in pictures and videos.
///
/// SOURCE is a picture, a folder of pictures, a pattern such as 'photos/*.jpg', a video (H.264 in MP4 or
/// MOV, Motion JPEG in AVI; others where ffmpeg is installed), `camera` or `camera:1`, or `demo` for the
/// built-in clip. Nothing is downloaded and no connection is made.
#[derive(Parser)]
#[command(
    name = "sandglass-detect",
    version,
    override_usage = "sandglass-detect [OPTIONS] <SOURCE>...\n       sandglass-detect <COMMAND>",
    subcommand_negates_reqs = true,
    after_help = EXAMPLES,
    after_long_help = LONG_EXAMPLES,
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    detect: detect::DetectArgs,
    #[command(flatten)]
    shared: Shared,
}

const EXAMPLES: &str = "\
Examples:
  sandglass-detect photo.jpg
  sandglass-detect photos/ --json found.jsonl --save out/
  sandglass-detect camera --record out.mp4
More, and exit statuses, with --help.";

const LONG_EXAMPLES: &str = "\
Examples:
  sandglass-detect photo.jpg                          print what is in a picture
  sandglass-detect photos/ --json found.jsonl         one JSON object a picture
  sandglass-detect 'photos/*.jpg' --save out/ --classes person,dog
  sandglass-detect clip.mp4 --record annotated.mp4    an annotated video
  sandglass-detect camera --record out.mp4 --sidecar out.jsonl   until Ctrl-C
  find /data -name '*.jpg' | sandglass-detect --stdin-paths --json found.jsonl
  sandglass-detect --parquet pictures.parquet --save found.parquet
  sandglass-detect cameras                            which cameras and formats there are
  sandglass-detect models                             which networks there are
  sandglass-detect selftest                           whether everything works here

Exit status: 0 all done, 1 some input failed (the others are done), 2 wrong usage.";

#[derive(Subcommand)]
enum Command {
    /// List the backbones: parameters, multiply-adds, weights, measured mAP
    Models(list::ListArgs),
    /// Measure this machine: time a frame by stage
    Bench(bench::BenchArgs),
    /// Compare the backbones on this machine: cost, time and accuracy
    Compare(compare::CompareArgs),
    /// Tell what pictures are of, with an ImageNet classifier
    Classify(classify::ClassifyArgs),
    /// Look whether everything works: engines, weights, videos, cameras, GPU
    Selftest(selftest::SelftestArgs),
    /// List the cameras and what they offer
    #[cfg(feature = "camera")]
    Cameras(cameras::CamerasArgs),
    /// Turn a PyTorch checkpoint into a weights file
    #[cfg(feature = "import")]
    Import(import::ImportArgs),
    /// Make weights of eight bits
    Quantize(quantize::QuantizeArgs),
    /// Write a detector as an ONNX model
    #[cfg(feature = "export")]
    Export(export::ExportArgs),
    /// Write manual pages or completions for a shell
    Generate(GenerateArgs),
}

/// Which network, and where it runs.
#[derive(Args, Clone)]
struct NetworkArgs {
    /// Weights file (.safetensors) instead of those that come with the program
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// What the network runs on: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Device,
    /// Number of threads; 0: one for each processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

impl NetworkArgs {
    fn builder(&self, backbone: Option<&str>) -> DetectorBuilder {
        let mut builder = Detector::builder().device(self.device).threads(self.threads);
        if let Some(backbone) = backbone {
            builder = builder.backbone(backbone);
        }
        if let Some(weights) = &self.weights {
            builder = builder.weights(weights);
        }
        builder
    }
}

/// Says it where a detector is not what one may think: on the CPU for lack of a GPU, never trained, or for a short
/// time. `shipped`: whether its weights are not the user's but came with the program.
fn warn(detector: &Detector, shipped: bool) {
    if let Some(reason) = detector.fallback() {
        note(format_args!("note: running on the {}: {reason}", detector.engine()));
    }
    if shipped && models::model(detector.backbone()).preliminary {
        note(format_args!(
            "note: the weights of {} are preliminary, their training was short; {} detects better",
            detector.backbone(),
            models::DEFAULT
        ));
    }
    if !detector.is_trained() {
        complain!(
            "warning: {} has only untrained weights: what it finds means nothing. Trained: {} (see \
             `sandglass-detect models`), or give --weights FILE.",
            detector.backbone(),
            models::DEFAULT
        );
    }
}

/// What `--classes a,b` means: those, or with a minus before each name all but those.
fn class_filter(names: &[String]) -> Result<ClassFilter> {
    let names: Vec<String> =
        names.iter().map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()).collect();
    let denied: Vec<String> = names.iter().filter_map(|n| n.strip_prefix('-')).map(str::to_owned).collect();
    Ok(match (names.len(), denied.len()) {
        (0, _) => ClassFilter::All,
        (_, 0) => ClassFilter::Only(names),
        (all, some) if all == some => ClassFilter::Except(denied),
        _ => anyhow::bail!("--classes takes either names or -names, not both"),
    })
}

fn main() -> ExitCode {
    let cli: Cli = program::parse();
    crash::watch("sandglass-detect", env!("CARGO_PKG_VERSION"));
    let outcome = match cli.command {
        Some(Command::Models(args)) => list::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Classify(args)) => classify::run(&args),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Quantize(args)) => quantize::run(&args),
        Some(Command::Selftest(args)) => selftest::run(&args),
        #[cfg(feature = "camera")]
        Some(Command::Cameras(args)) => cameras::run(&args),
        #[cfg(feature = "import")]
        Some(Command::Import(args)) => import::run(args),
        #[cfg(feature = "export")]
        Some(Command::Export(args)) => export::run(&args),
        Some(Command::Generate(args)) => {
            args.run(Cli::command()).map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from)
        }
        None => detect::run(&cli.detect),
    };
    match outcome {
        Ok(code) => code,
        // Reading stopped at the other end of a pipe: nobody is left to tell.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("error: {}", told(error.as_ref()));
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    };
    error.chain().any(io)
}
