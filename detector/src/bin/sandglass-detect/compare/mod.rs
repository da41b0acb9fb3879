//! `sandglass-detect compare`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use sandglass_detector::backbone::Backbone;
use sandglass_detector::compare::Comparison;
use sandglass_detector::models;

use crate::detect::progress_bar;

mod plot;
mod table;

/// Compares backbones on this machine's processor: parameters, multiply-adds, memory, time, accuracy.
///
/// All are measured in turns, each as an SSDLite detector of one 320×320 picture, the network alone. Activations are
/// what a run reads from maps in memory and writes to them: as the engine streams them, and as if each layer ran by
/// itself. mAP is 11-point on VOC2007 test, of the weights that come with the program; top-1 is what the authors
/// published for the classifier on ImageNet. Untrained backbones take as long as trained ones.
#[derive(Args)]
#[command(after_help = "Example:\n  sandglass-detect compare --threads 1 --svg accuracy.svg")]
pub(crate) struct CompareArgs {
    /// Backbones, such as mobilenext-1.0,classic-1.0,mobilenext-0.6-id4; by default all that `models` lists
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    backbones: Vec<String>,
    /// Number of threads; 0: one for each processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// How often each is measured; the median counts
    #[arg(long, value_name = "N", default_value_t = 30)]
    rounds: usize,
    /// Write the tables for a text such as a README; `-` for standard output
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write all figures for a spreadsheet; `-` for standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw accuracy against multiply-adds and against time; `-` for standard output
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode> {
    if args.rounds == 0 {
        bail!("--rounds must be at least 1");
    }
    let files = [&args.markdown, &args.csv, &args.svg];
    if files.into_iter().flatten().filter(|file| is_standard(file)).count() > 1 {
        bail!("only one of --markdown, --csv and --svg can go to standard output");
    }
    let backbones = match args.backbones.as_slice() {
        [] => models::all().iter().map(|model| model.name.parse()).collect::<Result<Vec<Backbone>, _>>()?,
        names => names.iter().map(|name| name.parse()).collect::<Result<Vec<Backbone>, _>>()?,
    };
    let bar = progress_bar(backbones.len() + args.rounds);
    let mut comparison = Comparison::new();
    for backbone in &backbones {
        comparison.add(backbone, args.threads)?;
        bar.inc(1);
    }
    for _ in 0..args.rounds {
        comparison.round()?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(file) = &args.markdown {
        write(file, table::markdown(&comparison, args.rounds).as_bytes())?;
    }
    if let Some(file) = &args.csv {
        write(file, &table::csv(&comparison)?)?;
    }
    if let Some(file) = &args.svg {
        write(file, plot::svg(comparison.entries())?.as_bytes())?;
    }
    if files.into_iter().all(Option::is_none) {
        write(Path::new("-"), table::text(&comparison, args.rounds).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    if is_standard(file) {
        Ok(std::io::stdout().lock().write_all(bytes)?)
    } else {
        std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
    }
}
