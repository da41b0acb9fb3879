//! `sandglass-eval`: mean average precision of detection files or of one of our own detectors.

mod arguments;
mod output;
mod run_detector;

use std::fs;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use sandglass_eval::{Dataset, Detections, evaluate};

use crate::arguments::Arguments;
use crate::output::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(failed) if failed.is_empty() => ExitCode::SUCCESS,
        Ok(failed) => {
            for Failure { image, reason } in &failed {
                eprintln!("failed: image {image}: {reason}");
            }
            eprintln!("pictures that failed, scored as having no detections: {}", failed.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// Scores what the arguments say, prints and writes the result, and returns the pictures that failed.
fn run(arguments: &Arguments) -> anyhow::Result<Vec<Failure>> {
    let Arguments { voc, split, .. } = arguments;
    let mut truth = Dataset::voc(voc, split).with_context(|| {
        format!(
            "reading split {split:?} of {} (the folder that holds ImageSets and Annotations)",
            voc.display()
        )
    })?;
    let left_out = arguments.limit.map(|limit| truth.keep_first(limit.get())).unwrap_or_default();
    if truth.images().is_empty() {
        eprintln!("warning: split {split:?} of {} lists no image", voc.display());
    }
    if let Some(folder) = &arguments.save_detections {
        // Now rather than after a long run.
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let (found, failed) = match &arguments.detections {
        Some(path) => {
            let mut found = if path.is_file() {
                Detections::read_jsonl(path)?
            } else {
                Detections::read_devkit(path, split)?
            };
            found.remove_images(&left_out);
            (found, Vec::new())
        }
        None => run_detector::detect_all(arguments, &truth)?,
    };
    warn_of_strange_classes(&truth, &found);
    if let Some(folder) = &arguments.save_detections {
        found.write_devkit(folder, split)?;
    }
    let report = evaluate(&truth, &found, arguments.iou)
        .with_context(|| format!("were these detections made for split {split:?}?"))?;
    output::print(&report, &failed, arguments.json.as_deref())?;
    Ok(failed)
}

/// A class without a counterpart is legal and most often a slip of the pen.
fn warn_of_strange_classes(truth: &Dataset, found: &Detections) {
    let one_sided = |these: &[String], others: &[String]| {
        these.iter().filter(|class| !others.contains(class)).cloned().collect::<Vec<_>>().join(", ")
    };
    let unknown = one_sided(found.classes(), truth.classes());
    if !unknown.is_empty() {
        eprintln!("warning: no object of the set is called {unknown}: left out of the means");
    }
    let missing = one_sided(truth.classes(), found.classes());
    if !missing.is_empty() {
        eprintln!("warning: no detections are given for {missing}: scored as nothing found");
    }
}

/// An error with its causes, each said once: our own messages hold their causes already.
fn told(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}
