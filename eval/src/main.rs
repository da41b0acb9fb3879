//! `sandglass-eval`: mean average precision of detection files or of one of our own detectors.

mod arguments;
mod compare;
mod html;
mod imagenet;
mod inputs;
mod journal;
mod output;
mod result;
mod run_detector;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use sandglass_detector::complain;
use sandglass_detector::program::{crash, note, told};
use sandglass_eval::partial::{Merged, Partial, Places};
use sandglass_eval::{Policy, Skipped};

use crate::arguments::{Arguments, Command, Run};
use crate::inputs::Inputs;
use crate::output::Failure;

fn main() -> ExitCode {
    let arguments: Arguments = sandglass_detector::program::parse();
    crash::watch("sandglass-eval", env!("CARGO_PKG_VERSION"));
    let outcome = match arguments.command {
        Some(Command::Merge { parts, output }) => merge(&parts, &output),
        Some(Command::Generate(generate)) => {
            generate.run(Arguments::command()).map(|()| Vec::new()).map_err(anyhow::Error::from)
        }
        Some(Command::Imagenet(arguments)) => {
            return imagenet::run(&arguments).unwrap_or_else(|error| {
                complain!("error: {}", told(error.as_ref()));
                ExitCode::FAILURE
            });
        }
        None => match &arguments.run.compare {
            Some(files) => compare::run(files, &arguments.run.output).map(|()| Vec::new()),
            None => run(&arguments.run),
        },
    };
    match outcome {
        Ok(failed) if failed.is_empty() => ExitCode::SUCCESS,
        Ok(failed) => {
            for Failure { image, reason } in &failed {
                complain!("failed: image {image}: {reason}");
            }
            complain!("pictures that failed, scored as having no detections: {}", failed.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            complain!("error: {}", told(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Scores what the arguments say, prints and writes the result, and returns the pictures that failed.
fn run(arguments: &Run) -> anyhow::Result<Vec<Failure>> {
    let mut skipped = Skipped::new(match (arguments.strict, arguments.lenient) {
        (true, _) => Policy::Strict,
        (_, true) => Policy::Lenient,
        _ => Policy::Complete,
    });
    let inputs = Inputs::read(arguments, &mut skipped)?;
    if let Some(shard) = arguments.shard {
        let failed = inputs.failed.iter().map(|f| (f.image.clone(), f.reason.clone())).collect();
        let places = if inputs.detector.is_some() { Places::ByImage } else { Places::Listed };
        let part = Partial::new(&inputs.truth, &inputs.found, shard, places, failed)?;
        let name = || PathBuf::from(format!("eval-part-{}-of-{}.json", shard.number, shard.of));
        let path = arguments.shard_file.clone().unwrap_or_else(name);
        part.write(&path)?;
        note(format_args!("part {}/{} is in {}", shard.number, shard.of, path.display()));
        return Ok(inputs.failed);
    }
    result::produce(inputs, &arguments.output, skipped)
}

fn merge(paths: &[PathBuf], output: &arguments::Outputs) -> anyhow::Result<Vec<Failure>> {
    let parts: Result<Vec<Partial>, _> = paths.iter().map(|path| Partial::read(path)).collect();
    let Merged { truth, found, failed } = Partial::merge(parts?)?;
    let failed = failed.into_iter().map(|(image, reason)| Failure { image, reason }).collect();
    let inputs = Inputs { truth, found, failed, scene: None, continuous: false, detector: None };
    result::produce(inputs, output, Skipped::new(Policy::Complete))
}
