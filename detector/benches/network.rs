//! The detectors' networks on the CPU engine, chain by chain:
//! `cargo bench -p sandglass-detector --bench network -- [--threads N] [--set scalar|avx2|avx-512|amx] [--cold] [NAME…]`.
//!
//! NAME is a backbone or a weights file. The percentage is of the multiply-add peak measured on the same core in
//! the same run, which is that of `f32`: integers may be above 100. With `--cold`, other memory goes through the
//! caches of the first thread before each run, as where frames come seldom and other programs run in between. With `--serve INPUT NAME`
//! it times single runs for `peers.py`.
#![allow(
    missing_docs,
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark may stop at the first surprise"
)]

#[path = "../../backbone/benches/common/peak.rs"]
mod peak;

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use sandglass_detector::backbone::{
    Backbone, ChainTime, CpuEngine, CpuOptions, Engine, InstructionSet, Plan, Weights,
};
use sandglass_detector::heads::{INPUT_SIZE, ssdlite};
use sandglass_detector::models;

const ROUNDS: usize = 51;
/// Bytes that go through the caches with `--cold`: more than those of most processors hold.
const OTHER: usize = 128 << 20;

struct Asked {
    options: CpuOptions,
    serve: Option<String>,
    cold: bool,
    names: Vec<String>,
}

fn main() {
    let options = CpuOptions { threads: 1, ..CpuOptions::default() };
    let mut asked = Asked { options, serve: None, cold: false, names: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--threads" => asked.options.threads = arguments.next().unwrap().parse().unwrap(),
            "--set" => {
                let name = arguments.next().unwrap();
                let mut sets = InstructionSet::ALL.into_iter();
                let set = sets.rfind(|set| set.to_string().eq_ignore_ascii_case(&name));
                asked.options.instructions = set.unwrap_or_else(|| panic!("no instruction set {name:?}"));
            }
            "--steps" => asked.options.streamed = false,
            "--cold" => asked.cold = true,
            "--serve" => asked.serve = arguments.next(),
            _ => asked.names.push(argument),
        }
    }
    if asked.names.is_empty() {
        asked.names = ["mobilenext-1.0", "mobilenet-v2-1.0"].map(String::from).into();
    }
    for name in &asked.names {
        match &asked.serve {
            Some(input) => serve(name, asked.options, input),
            None => report(name, asked.options, asked.cold),
        }
    }
}

fn engine(name: &str, options: CpuOptions) -> CpuEngine {
    let (weights, info) = match name.ends_with(".safetensors") {
        true => {
            let weights = Weights::open(name.as_ref()).unwrap();
            let info = weights.info().unwrap();
            (weights, info)
        }
        false => models::weights(&name.parse::<Backbone>().unwrap()).unwrap(),
    };
    let network = ssdlite(&info.backbone, info.classes.len());
    CpuEngine::with_options(plan(&network, &weights), options).unwrap()
}

fn plan(network: &sandglass_detector::backbone::Network, weights: &Weights) -> Plan {
    Plan::new(network, weights, INPUT_SIZE, INPUT_SIZE).unwrap()
}

/// Runs once for every line that comes in, and says how many nanoseconds it took; `write PATH` writes the
/// outputs of the last run.
fn serve(name: &str, options: CpuOptions, input: &str) {
    let mut engine = engine(name, options);
    let input: Vec<f32> =
        std::fs::read(input).unwrap().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        if let Some(path) = line.strip_prefix("write ") {
            let values = engine.output(0).iter().chain(engine.output(1));
            std::fs::write(path, values.flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
        }
        // Let the asker go to sleep first: a helper thread woken while it holds the second processor would
        // be queued behind this one.
        std::thread::sleep(Duration::from_millis(1));
        let start = Instant::now();
        engine.run(&input).unwrap();
        println!("{}", start.elapsed().as_nanos());
        std::io::stdout().flush().unwrap();
    }
}

fn report(name: &str, options: CpuOptions, cold: bool) {
    let mut engine = engine(name, options);
    let input: Vec<f32> = (0..INPUT_SIZE * INPUT_SIZE * 3).map(|i| (i % 255) as f32 / 64.0 - 2.0).collect();
    let mut whole = Vec::new();
    let mut rounds: Vec<Vec<ChainTime>> = Vec::new();
    let mut peaks = Vec::new();
    let mut other = vec![0u8; if cold { OTHER } else { 0 }];
    for _ in 0..ROUNDS {
        walk(&mut other);
        let start = Instant::now();
        engine.run(&input).unwrap();
        whole.push(start.elapsed());
        walk(&mut other);
        rounds.push(engine.profile(&input).unwrap());
        peaks.push(peak::peak(engine.instructions()));
    }
    let rate = |multiply_adds: usize, time: Duration| 2e-9 * multiply_adds as f64 / time.as_secs_f64();
    peaks.sort_by(f64::total_cmp);
    let peak = peaks[ROUNDS / 2] * engine.threads() as f64;
    println!("{name}, {}: peak {peak:.0} GFLOP/s", engine.describe());
    let mut sum = 0;
    for i in 0..rounds[0].len() {
        let chain = &rounds[0][i];
        let time = median(rounds.iter().map(|r| r[i].time).collect());
        sum += chain.multiply_adds;
        let rate = rate(chain.multiply_adds, time);
        println!(
            "{:>8.3} ms {rate:>6.1} GFLOP/s {:>4.0} %  {}x{}x{:<5} {} steps, {} … {}",
            time.as_secs_f64() * 1e3,
            100.0 * rate / peak,
            chain.output.height,
            chain.output.width,
            chain.output.channels,
            chain.steps.len(),
            chain.steps[0],
            chain.steps.last().unwrap(),
        );
    }
    let (least, middle) = (*whole.iter().min().unwrap(), median(whole));
    println!(
        "{:>8.3} ms median, {:.3} least: {:.1} GFLOP/s, {:.0} % of the peak\n",
        middle.as_secs_f64() * 1e3,
        least.as_secs_f64() * 1e3,
        rate(sum, middle),
        100.0 * rate(sum, middle) / peak,
    );
}

/// Writes to all of it.
fn walk(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
    std::hint::black_box(bytes);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
