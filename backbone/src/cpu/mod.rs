//! The CPU engine: runs a plan in `f32` ([`float`]) or, where its weights are of eight bits, in integers
//! ([`int8`]), NHWC, on as many threads as it is given, streaming the blocks ([`chains`]) so that their wide maps
//! stay in the cache.
//!
//! Each kernel is written once over vectors ([`simd::Simd`], [`int8::simd`]) and compiled for every instruction
//! set; which one runs is chosen when the engine is made. The scalar twin is always compiled and is the oracle in
//! tests, and so is the plain way, step by step.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::error::Error;
use crate::network::Shape;
use crate::plan::Plan;

mod cache;
mod chains;
mod channels;
mod cost;
mod depthwise;
mod float;
mod int8;
mod layout;
mod mean;
mod memory;
mod packing;
mod placement;
mod pointwise;
mod schedule;
mod simd;
mod stem;
mod threads;
mod tiles;

use chains::{Chain, Values};
use layout::Layout;
use schedule::{Claims, Schedule, Tasks};
pub use simd::InstructionSet;
use stem::Input;
use threads::Pool;

/// How a [`CpuEngine`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuOptions {
    /// Threads that work on one input; 0 for one a processor.
    pub threads: usize,
    /// The instruction set; one that this processor lacks is replaced by the scalar code.
    pub instructions: InstructionSet,
    /// Bytes of L2 cache that each thread can count on; 0 for what this processor has. Results do not depend on it.
    pub l2: usize,
    /// Whether blocks are streamed. Without it every step is run by itself: slower, and the oracle of tests.
    pub streamed: bool,
}

impl Default for CpuOptions {
    fn default() -> Self {
        Self { threads: 0, instructions: InstructionSet::best(), l2: 0, streamed: true }
    }
}

impl CpuOptions {
    fn l2(self, threads: usize) -> usize {
        match self.l2 {
            0 => cache::l2(threads),
            bytes => bytes,
        }
    }
}

/// A plan made ready for this machine's processor.
pub struct CpuEngine {
    /// The plan without its weights, which `weights` has.
    plan: Arc<Plan>,
    options: CpuOptions,
    weights: Weights,
    pool: Pool,
    schedule: Schedule,
    kernels: Box<dyn Kernels>,
}

/// Weights as kernels take them; shared by an engine and its twins.
#[derive(Clone)]
enum Weights {
    Floats(Arc<[packing::Prepared]>),
    Integers(Arc<int8::Prepared>),
}

impl Weights {
    /// What maps consist of.
    fn values(&self, input: Shape, l2: usize) -> Values {
        // The weights have to be there, too.
        let windows = l2 / 2;
        match self {
            Self::Floats(steps) => {
                let tiled = steps.iter().any(|step| step.tiled);
                let scratch = if tiled { 2 * tiles::SCRATCH } else { 0 };
                let own = stem::window_len(input) + scratch;
                Values { bytes: size_of::<f32>(), own, spread: true, tiled, windows }
            }
            Self::Integers(_) => Values { bytes: 1, own: 0, spread: false, tiled: false, windows },
        }
    }
}

/// The kernels of one kind of numbers, with the memory they work in.
trait Kernels: Send + Sync {
    /// Computes on a thread all the units of a chain that it has before it, and what has to be computed for
    /// them. Each unit is computed once a run, those of a chain when all that it reads is done, and no two
    /// threads have the same number.
    fn piece(&self, chain: &Chain, claims: &Claims, input: Input<'_>, thread: usize);

    /// Adds up the sums that a chain that [joins](Chain::joins) has left, when all are computed.
    fn join(&self, chain: &Chain);

    /// The values of an output.
    fn output(&self, index: usize) -> &[f32];

    /// Bytes of the maps and the windows.
    fn memory(&self) -> usize;

    /// What it computes with, for people: `AVX2`.
    fn describe(&self) -> String;
}

/// What a chain of steps took, see [`CpuEngine::profile`].
#[derive(Clone, Debug)]
pub struct ChainTime {
    /// The names of its steps.
    pub steps: Vec<String>,
    /// Multiply-adds of its steps; rows that are computed twice at a cut are counted once.
    pub multiply_adds: usize,
    /// The shape of what it leaves in memory.
    pub output: Shape,
    /// From its beginning to that of the next. With several threads, outputs are computed while one would wait for another; what they took
    /// then counts where it waited.
    pub time: Duration,
}

/// What an engine needs beside time, see [`CpuEngine::footprint`]. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Weights, as the kernels read them.
    pub weights: usize,
    /// Maps, and what each thread works in.
    pub maps: usize,
    /// What a run reads from whole maps and writes to them: what streaming leaves of `traffic_by_layer`. Less where
    /// L2 is larger, more where threads share the work.
    pub traffic: usize,
    /// The same if each layer ran by itself.
    pub traffic_by_layer: usize,
}

impl CpuEngine {
    /// Makes a plan ready for `threads` threads (0 for one a processor) and the best instruction set.
    ///
    /// # Errors
    /// As [`CpuEngine::with_options`].
    pub fn new(plan: Plan, threads: usize) -> Result<Self, Error> {
        Self::with_options(plan, CpuOptions { threads, ..CpuOptions::default() })
    }

    /// As [`CpuEngine::new`], every option given.
    ///
    /// # Errors
    /// [`Error::Thread`] where the system refuses a thread, [`Error::Plan`] where the plan was changed and no
    /// longer fits together.
    pub fn with_options(mut plan: Plan, mut options: CpuOptions) -> Result<Self, Error> {
        plan.check()?;
        if !options.instructions.is_available() {
            options.instructions = InstructionSet::Scalar;
        }
        let weights = match plan.quantisation.take() {
            Some(quantisation) => {
                Weights::Integers(Arc::new(int8::Prepared::new(&plan, quantisation, options.instructions)))
            }
            None => Weights::Floats(packing::prepare(&plan.steps, options.instructions).into()),
        };
        for step in &mut plan.steps {
            (step.weights, step.bias) = (Vec::new(), Vec::new());
        }
        Self::assemble(Arc::new(plan), weights, options)
    }

    fn assemble(plan: Arc<Plan>, weights: Weights, options: CpuOptions) -> Result<Self, Error> {
        let pool = Pool::new(options.threads).map_err(Error::Thread)?;
        let values = weights.values(plan.input(), options.l2(pool.threads()));
        let chains = chains::chains(&plan, values, pool.threads(), options.streamed);
        let layout: Layout = layout::layout(&plan, &chains, values);
        let kernels: Box<dyn Kernels> = match &weights {
            Weights::Floats(steps) => {
                let steps = Arc::clone(steps);
                Box::new(float::Float::new(&plan, steps, options.instructions, layout, pool.threads()))
            }
            Weights::Integers(steps) => {
                Box::new(int8::Int8::new(&plan, Arc::clone(steps), layout, pool.threads()))
            }
        };
        let schedule = Schedule::new(chains, pool.threads());
        Ok(Self { plan, options, weights, schedule, pool, kernels })
    }

    /// Threads that work on one input.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The instruction set in use.
    #[must_use]
    pub fn instructions(&self) -> InstructionSet {
        self.options.instructions
    }

    /// The memory that it takes, and what it moves through memory in a run.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let weights = match &self.weights {
            Weights::Floats(steps) => steps.iter().map(packing::Prepared::bytes).sum(),
            Weights::Integers(steps) => steps.bytes(),
        };
        let values = self.weights.values(self.plan.input(), self.options.l2(self.threads()));
        let one_by_one = chains::chains(&self.plan, values, self.threads(), false);
        Footprint {
            weights,
            maps: self.kernels.memory(),
            traffic: layout::traffic(&self.plan, &self.schedule.chains, values),
            traffic_by_layer: layout::traffic(&self.plan, &one_by_one, values),
        }
    }

    /// Runs the network as [`Engine::run`] does, and tells what each chain of steps took.
    ///
    /// # Errors
    /// [`Error::InputSize`] where `input` has another number of values.
    pub fn profile(&mut self, input: &[f32]) -> Result<Vec<ChainTime>, Error> {
        self.schedule.clock = Some(vec![OnceLock::new(); self.schedule.chains.len()]);
        let outcome = self.run_input(Input::Values(input));
        let end = Instant::now();
        let clock = self.schedule.clock.take().unwrap_or_default();
        let starts: Vec<Instant> = clock.iter().filter_map(|s| s.get().copied()).collect();
        outcome?;
        let ends = starts.iter().skip(1).chain([&end]);
        let times = self.schedule.chains.iter().zip(starts.iter().zip(ends)).map(|(chain, (start, end))| {
            let steps = &self.plan.steps[chain.steps.clone()];
            ChainTime {
                steps: steps.iter().map(|s| s.name.clone()).collect(),
                multiply_adds: steps.iter().map(crate::plan::Step::multiply_adds).sum(),
                output: steps.last().map_or(self.plan.input(), |s| s.output_shape),
                time: *end - *start,
            }
        });
        Ok(times.collect())
    }

    fn run_input(&mut self, input: Input<'_>) -> Result<(), Error> {
        let (got, expected) = (input.len(), self.plan.input().len());
        if got != expected {
            return Err(Error::InputSize { got, expected });
        }
        self.schedule.begin();
        let (schedule, kernels) = (&self.schedule, &self.kernels);
        self.pool.everywhere(&|thread, failed| {
            let run = |chain: &Chain, claims: &Claims| kernels.piece(chain, claims, input, thread);
            schedule.work(thread, &Tasks { run: &run, join: &|chain| kernels.join(chain), failed });
        });
        Ok(())
    }
}

impl Engine for CpuEngine {
    fn describe(&self) -> String {
        let threads = self.threads();
        let s = if threads == 1 { "" } else { "s" };
        format!("CPU, {}, {threads} thread{s}", self.kernels.describe())
    }

    fn run(&mut self, input: &[f32]) -> Result<(), Error> {
        self.run_input(Input::Values(input))
    }

    fn run_pixels(&mut self, pixels: &[u8]) -> Result<(), Error> {
        self.run_input(Input::Pixels(pixels))
    }

    fn twin(&self, threads: usize) -> Result<Box<dyn Engine>, Error> {
        let options = CpuOptions { threads, ..self.options };
        Ok(Box::new(Self::assemble(Arc::clone(&self.plan), self.weights.clone(), options)?))
    }

    fn output(&self, index: usize) -> &[f32] {
        self.kernels.output(index)
    }
}
