//! The viewer's command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use sandglass::{Device, Options};
use sandglass_detector::complain;
use sandglass_detector::program::{self, GenerateArgs, Shared};

/// Frames come and go between threads by the megabyte, which leaves the system's allocator with holes that
/// it keeps for hours; this one gives them back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Watch a video with the objects found in it.
///
/// Opens a window that plays the source and draws a box with a name and a score around every object.
/// Backbone and thresholds can be changed while it runs; press ? in the window for the shortcuts.
#[derive(Debug, Parser)]
#[command(
    name = "sandglass",
    version,
    override_usage = "sandglass [OPTIONS] [SOURCE]\n       sandglass generate <KIND>",
    after_help = format!("{EXAMPLES}\nMore with --help."),
    after_long_help = EXAMPLES,
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// What to watch: a video, a picture, a folder of pictures, a pattern in quotes, "camera",
    /// "camera:1" or "demo" [default: the first camera, or the demo where there is none]
    source: Option<String>,

    /// The network, such as mobilenext-1.0 [default: the one used last]
    #[arg(short, long, value_name = "NAME")]
    backbone: Option<String>,

    /// A safetensors file with weights, instead of those that come with the program
    #[arg(short, long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// Threads that work on one frame; 0 stands for one a processor [default: as last time]
    #[arg(short, long, value_name = "N")]
    threads: Option<usize>,

    /// What the network runs on: auto, cpu, cuda or cuda:N
    #[arg(short, long, value_name = "DEVICE", default_value = "auto")]
    device: Device,

    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the manual page or completions for a shell
    Generate(GenerateArgs),
}

const EXAMPLES: &str = "\
Examples:
  sandglass                                   the first camera, or the demo clip
  sandglass camera:1                          the second camera
  sandglass street.mp4                        a video
  sandglass 'photos/*.jpg'                    pictures, one after the other
  sandglass --backbone mobilenext-1.0 demo    another network

Exit status: 0 the window was closed, 2 wrong usage, or no window can be opened.";

fn main() -> ExitCode {
    let Cli { command, source, backbone, weights, threads, device, .. } = program::parse();
    let outcome = match command {
        Some(Command::Generate(generate)) => generate.run(Cli::command()).map_err(anyhow::Error::from),
        None => sandglass::run(Options { source, backbone, weights, threads, device }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let cli =
            Cli::parse_from(["sandglass", "a.mp4", "--backbone", "x", "--weights", "w", "--threads", "2"]);
        assert_eq!((cli.source.as_deref(), cli.threads), (Some("a.mp4"), Some(2)));
        assert_eq!(Cli::parse_from(["sandglass"]).source, None);
    }
}
