//! `sandglass-eval imagenet`: how often an ImageNet classifier is right, in one guess and in five.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, bail};
use clap::Args;
use sandglass_detector::complain;
use sandglass_detector::program::note;
use sandglass_detector::{Classifier, Device, source};
use serde_json::json;

use crate::output;

/// Guesses that count for "top-5".
const FIVE: usize = 5;

/// Which pictures, which classifier.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sandglass-eval imagenet imagenet/val --weights mobilenet-v2-1.0.safetensors"
)]
pub(crate) struct Imagenet {
    /// A folder for each class: named by the class's number (from 0) or name, or as many of them as there are classes, in
    /// the order of their names (ImageNet's n01440764, n01443537, …). With --list, the folder that its paths are in.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// A file with a picture a line: its path inside DIR, a space, and its class by number or name.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// The classifier's weights (safetensors, in torchvision's layout).
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The backbone, where the weights leave it open.
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    /// Where it runs: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value_t = Device::Auto)]
    device: Device,
    /// Pictures at once; 0: one for each processor.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Write the result as JSON; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A picture and the number of its class.
type Sample = (PathBuf, usize);

#[derive(Default)]
struct Tally {
    first: usize,
    five: usize,
    failed: Vec<String>,
}

pub(crate) fn run(arguments: &Imagenet) -> anyhow::Result<ExitCode> {
    let build = || {
        // Each thread has a classifier of its own, on one thread of the processor.
        Classifier::open(&arguments.weights, arguments.backbone.as_deref(), arguments.device, 1)
    };
    let classifier = build()?;
    let names: Vec<&str> = classifier.classes().iter().map(|name| &**name).collect();
    let samples = match &arguments.list {
        Some(list) => listed(&arguments.folder, list, &names)?,
        None => by_folder(&arguments.folder, &names)?,
    };
    let threads = match arguments.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    note(format_args!("{} on {}, {threads} at once", classifier.backbone(), classifier.engine()));
    let progress = crate::run_detector::bar(samples.len(), 0)?;
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let others = (1..threads.min(samples.len())).map(|_| build()).collect::<Result<Vec<_>, _>>()?;
    thread::scope(|scope| {
        for classifier in others.iter().chain([&classifier]) {
            scope.spawn(|| {
                while let Some((path, class)) = samples.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let guesses =
                        source::load_image(path).and_then(|frame| classifier.classify(&frame, FIVE));
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    match guesses {
                        Ok(guesses) => {
                            let place = guesses.iter().position(|guess| guess.class_id == *class);
                            tally.first += usize::from(place == Some(0));
                            tally.five += usize::from(place.is_some());
                        }
                        Err(error) => tally.failed.push(error.to_string()),
                    }
                    progress.inc(1);
                }
            });
        }
    });
    progress.finish_and_clear();
    let Tally { first, five, mut failed } = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let count = samples.len() - failed.len();
    if count == 0 {
        bail!("none of {} pictures could be read; the first: {}", samples.len(), failed.concat());
    }
    let share = |right: usize| right as f64 / count as f64;
    let result = json!({
        "backbone": classifier.backbone().to_string(),
        "weights": arguments.weights.display().to_string(),
        "pictures": count,
        "failed": failed.len(),
        "top1": share(first),
        "top5": share(five),
    });
    let text = format!(
        "pictures {count}\ntop-1    {:.2} %\ntop-5    {:.2} %\n",
        share(first) * 100.0,
        share(five) * 100.0
    );
    output::text_and_json(&text, arguments.json.as_deref(), || serde_json::to_string_pretty(&result))?;
    failed.sort();
    failed.iter().for_each(|reason| complain!("failed: {reason}"));
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    complain!("pictures that failed, left out: {}", failed.len());
    Ok(ExitCode::FAILURE)
}

/// A class by number or name.
fn class(text: &str, names: &[&str]) -> Option<usize> {
    let number = text.parse().ok().filter(|number| *number < names.len());
    number.or_else(|| names.iter().position(|name| *name == text))
}

/// The pictures of a list.
fn listed(folder: &Path, list: &Path, names: &[&str]) -> anyhow::Result<Vec<Sample>> {
    let text = fs::read_to_string(list).with_context(|| list.display().to_string())?;
    let mut samples = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parts = line.trim().split_once(' ').map(|(path, name)| (path, class(name.trim(), names)));
        let Some((path, Some(class))) = parts else {
            bail!(
                "{}, line {}: {line:?} is not a path, a space, and a class by number (0 to {}) or name",
                list.display(),
                index + 1,
                names.len() - 1
            );
        };
        samples.push((folder.join(path), class));
    }
    if samples.is_empty() {
        bail!("{}: the list is empty", list.display());
    }
    Ok(samples)
}

/// The pictures of a folder with one folder a class.
fn by_folder(folder: &Path, names: &[&str]) -> anyhow::Result<Vec<Sample>> {
    let read = |path: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut paths = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
        paths.sort();
        Ok(paths)
    };
    let folders: Vec<PathBuf> = read(folder)?.into_iter().filter(|path| path.is_dir()).collect();
    let mut samples = Vec::new();
    for (index, path) in folders.iter().enumerate() {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let class = match folders.len() == names.len() {
            // As many as there are classes: in their order, unless they say more.
            true => class(&name, names).unwrap_or(index),
            false => class(&name, names).with_context(|| {
                format!(
                    "{}: no class is called {name:?}, and there are {} folders for {} classes",
                    folder.display(),
                    folders.len(),
                    names.len()
                )
            })?,
        };
        samples.extend(read(path)?.into_iter().filter(|path| path.is_file()).map(|path| (path, class)));
    }
    if samples.is_empty() {
        bail!("{}: there are no folders with pictures; see --list for another form", folder.display());
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["tench", "great white shark", "7"];

    #[test]
    fn folders_and_lists_name_classes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let put = |path: &str| {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "").unwrap();
        };
        assert!(by_folder(root, &NAMES).unwrap_err().to_string().contains("no folders"));
        put("great white shark/a.jpg");
        put("0/b.jpg");
        let classes = |samples: Vec<Sample>| samples.iter().map(|s| s.1).collect::<Vec<_>>();
        assert_eq!(classes(by_folder(root, &NAMES).unwrap()), [0, 1]);
        put("n3/c.jpg");
        put("n4/d.jpg");
        assert!(by_folder(root, &NAMES).unwrap_err().to_string().contains("\"n3\""));

        let list = root.join("list.txt");
        fs::write(&list, "a.jpg great white shark\n\nb.jpg 2\n").unwrap();
        let samples = listed(root, &list, &NAMES).unwrap();
        assert_eq!(samples, [(root.join("a.jpg"), 1), (root.join("b.jpg"), 2)]);
        fs::write(&list, "a.jpg tench\nb.jpg whale\n").unwrap();
        let error = listed(root, &list, &NAMES).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("whale"), "{error}");
        fs::write(&list, "\n").unwrap();
        assert!(listed(root, &list, &NAMES).is_err());
    }

    #[test]
    fn folders_in_order_stand_for_the_classes() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["n01", "n02", "n03"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("x.jpg"), "").unwrap();
        }
        let samples = by_folder(folder.path(), &NAMES).unwrap();
        assert_eq!(samples.iter().map(|s| s.1).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
