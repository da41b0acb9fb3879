//! `selftest`: whether all that this machine has works.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use sandglass_detector::backbone::Backbone;
use sandglass_detector::selftest::{self, Area, Finding, Verdict};
use serde_json::json;

#[derive(Args)]
#[command(
    after_help = "Example:\n  sandglass-detect selftest --json > report.json\n\nExit status: 0 all of it works, 1 some does not, 2 wrong usage."
)]
pub(crate) struct SelftestArgs {
    /// Backbones to look at instead of all, such as mobilenext-1.0,mobilenet-v2-1.0
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    backbones: Vec<String>,
    /// Print one JSON object, for a bug report: it has no paths, no names of people or machines
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &SelftestArgs) -> Result<ExitCode> {
    let wanted = args.backbones.iter().map(|name| name.parse::<Backbone>());
    let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
    let networks = (!wanted.is_empty()).then_some(wanted.as_slice());
    let mut findings = Vec::new();
    let mut table = Table { out: std::io::stdout(), area: None, network: Vec::new() };
    let mut trouble = Ok(());
    if !args.json {
        writeln!(table.out, "{}", machine()).context("cannot write")?;
    }
    selftest::run(networks, &mut |finding| {
        if !args.json && trouble.is_ok() {
            trouble = table.add(&finding);
        }
        findings.push(finding);
    });
    trouble.and_then(|()| table.end_network())?;
    let mut out = table.out;
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count();
    if args.json {
        let report = json!({
            "program": "sandglass-detect",
            "version": env!("CARGO_PKG_VERSION"),
            "system": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "processors": processors(),
            "passed": failed == 0,
            "findings": findings,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else if failed == 0 {
        writeln!(out, "\nall of it works")?;
    } else {
        writeln!(out, "\n{failed} of {} do not work", findings.len())?;
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn machine() -> String {
    let (system, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("Sandglass {}, {system}, {architecture}, {} processors", env!("CARGO_PKG_VERSION"), processors())
}

/// What people read: a line a finding, and a line a network for all its engines.
struct Table {
    out: std::io::Stdout,
    area: Option<Area>,
    /// The network's findings so far.
    network: Vec<Finding>,
}

impl Table {
    fn add(&mut self, finding: &Finding) -> std::io::Result<()> {
        if self.network.first().is_some_and(|first| first.name != finding.name) {
            self.end_network()?;
        }
        if self.area != Some(finding.area) {
            self.area = Some(finding.area);
            let title = match finding.area {
                Area::Weights => "Weights inside the program",
                Area::Network => {
                    "Networks: milliseconds a picture of 320×320, and the largest difference from plain code (scalar) over \
                     the range"
                }
                Area::Detection => "Detection",
                Area::Recording => "Recording",
                Area::Codec => "Videos",
                Area::Camera => "Cameras",
                Area::Gpu => "GPU",
                Area::Renderer => "The viewer's window",
            };
            writeln!(self.out, "\n{title}")?;
        }
        match finding.area {
            Area::Network => self.network.push(finding.clone()),
            _ => {
                writeln!(self.out, "  {:7}{:26}{}", word(finding.verdict), finding.name, finding.detail)?;
            }
        }
        self.out.flush()
    }

    fn end_network(&mut self) -> std::io::Result<()> {
        let findings = std::mem::take(&mut self.network);
        let Some(first) = findings.first() else { return Ok(()) };
        let failed = findings.iter().find(|finding| finding.verdict == Verdict::Failed);
        let times = findings.iter().filter_map(|finding| {
            // `CPU, AVX2, 2 threads`, `NVIDIA H200, compute 9.0, 16 bits`
            let backend = finding.backend.as_deref()?;
            let mut parts = backend.strip_prefix("CPU, ").unwrap_or(backend).split(", ");
            Some(format!("{} {:.1}", parts.next()?, finding.milliseconds?))
        });
        let times = times.collect::<Vec<_>>().join("  ");
        let verdict = word(failed.map_or(first.verdict, |failed| failed.verdict));
        let largest = findings.iter().filter_map(|finding| finding.difference).fold(0.0, f32::max);
        let largest = if largest == 0.0 { "none".to_owned() } else { format!("{largest:.1e}") };
        writeln!(self.out, "  {verdict:7}{:26}{times:64} {largest}", first.name)?;
        match failed {
            Some(Finding { backend, detail, .. }) => {
                writeln!(self.out, "         {}: {detail}", backend.as_deref().unwrap_or("all"))
            }
            None => Ok(()),
        }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "ok",
        Verdict::Failed => "FAILED",
        Verdict::Absent => "–",
    }
}
