//! Detection in tables of pictures: an Arrow stream through the command, or a Parquet file.

use std::io::{BufWriter, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use sandglass_detector::Detector;
use sandglass_detector::table::{TableOptions, detect_ipc, detect_parquet};

use crate::detect::{DetectArgs, progress_bar};
use crate::pictures::verdict;

#[derive(Args)]
pub(crate) struct TableArgs {
    /// An Arrow IPC stream of pictures (id: text, image: binary) on standard input, one of detections
    /// on standard output; a bad picture is a row with its error
    #[arg(long, conflicts_with_all = ["stdin_paths", "parquet", "json", "save"], hide_short_help = true)]
    arrow: bool,
    /// The same from a Parquet file into another, --save OUT.parquet
    #[arg(long, value_name = "IN", requires = "save", conflicts_with_all = ["stdin_paths", "json"], hide_short_help = true)]
    parquet: Option<PathBuf>,
}

impl TableArgs {
    pub(crate) fn is_wanted(&self) -> bool {
        self.arrow || self.parquet.is_some()
    }
}

pub(crate) fn run(args: &DetectArgs, detector: &Detector) -> Result<ExitCode> {
    let options = TableOptions { no_timing: args.no_timing };
    let progress = progress_bar(2);
    let tally = match (&args.tables.parquet, &args.save) {
        (Some(input), Some(output)) => {
            detect_parquet(detector, input, output, &options, &mut |tally, in_all| {
                progress.set_length(in_all);
                progress.set_position(tally.rows);
            })?
        }
        _ => {
            let output = std::io::stdout();
            if output.is_terminal() {
                bail!(
                    "--arrow writes binary data to standard output, which is a terminal: send it on with | or >"
                );
            }
            progress.unset_length();
            let output = BufWriter::new(output.lock());
            let input = std::io::stdin().lock();
            detect_ipc(detector, input, output, "standard input", &options, &mut |tally| {
                progress.set_position(tally.rows);
            })
            .context("--arrow")?
        }
    };
    progress.finish_and_clear();
    Ok(verdict(tally.failed, tally.rows, "rows"))
}
