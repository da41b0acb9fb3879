//! The CPU engine: runs a plan in `f32`, NHWC, on as many threads as it is given, streaming the blocks
//! ([`chains`]) so that their wide maps stay in the cache.
//!
//! Each kernel is written once over [`simd::Simd`] and compiled for every instruction set; which one runs
//! is chosen when the engine is made. The scalar twin is always compiled and is the oracle in tests, and so
//! is the plain way, step by step.

#![expect(unsafe_code, reason = "the kernels are called with rows of shared maps")]

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::error::Error;
use crate::network::Shape;
use crate::plan::{Plan, StepKind};

mod chains;
mod depthwise;
mod mean;
mod memory;
mod packing;
mod placement;
mod pointwise;
mod simd;
mod stem;
mod threads;

use chains::{Chain, MOST_STEPS};
use memory::{Buffer, Rows};
use packing::Prepared;
pub use simd::InstructionSet;
use simd::{Simd, Work};
use stem::{Input, Padded};
use threads::Pool;

/// How a [`CpuEngine`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuOptions {
    /// Threads that work on one input; 0 for one a processor.
    pub threads: usize,
    /// The instruction set; one that this processor lacks is replaced by the scalar code.
    pub instructions: InstructionSet,
    /// Whether blocks are streamed. Without it every step is run by itself: slower, and the oracle of tests.
    pub streamed: bool,
}

impl Default for CpuOptions {
    fn default() -> Self {
        Self { threads: 0, instructions: InstructionSet::best(), streamed: true }
    }
}

/// A plan made ready for this machine's processor.
pub struct CpuEngine {
    /// The plan without its weights, which the model's steps have.
    plan: Arc<Plan>,
    streamed: bool,
    pool: Pool,
    model: Model,
    /// The maps that are whole, and the outputs.
    memory: Buffer,
    outputs: Vec<Range<usize>>,
    /// Of each thread, the stem's rows and the windows of a chain.
    windows: Vec<Buffer>,
}

/// All that does not change from one input to the next, but for the progress of the threads.
struct Model {
    instructions: InstructionSet,
    steps: Arc<[Prepared]>,
    chains: Vec<Chain>,
    progress: Vec<Progress>,
    /// The maps that are whole, with their channels.
    maps: Vec<Option<(Rows, usize)>>,
    input: Shape,
    border: Vec<f32>,
    /// When each chain began, while that is asked for.
    clock: Option<Vec<OnceLock<Instant>>>,
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
    /// From its beginning to that of the next.
    pub time: Duration,
}

/// How far a chain has come.
#[derive(Default)]
struct Progress {
    /// Pieces that a thread has taken.
    taken: AtomicUsize,
    /// Pieces that are computed.
    done: AtomicUsize,
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
    pub fn with_options(plan: Plan, options: CpuOptions) -> Result<Self, Error> {
        plan.check()?;
        let instructions = match options.instructions {
            set if set.is_available() => set,
            _ => InstructionSet::Scalar,
        };
        let Plan { maps, steps, outputs, border } = plan;
        let prepared: Arc<[_]> = steps.into_iter().map(|step| Prepared::new(step, instructions)).collect();
        let steps = prepared.iter().map(|prepared| prepared.step.clone()).collect();
        let plan = Arc::new(Plan { maps, steps, outputs, border });
        Self::assemble(plan, prepared, CpuOptions { instructions, ..options })
    }

    fn assemble(plan: Arc<Plan>, steps: Arc<[Prepared]>, options: CpuOptions) -> Result<Self, Error> {
        let CpuOptions { threads, instructions, streamed } = options;
        let pool = Pool::new(threads).map_err(Error::Thread)?;
        let chains = chains::chains(&plan, pool.threads(), streamed);
        let layout = chains::layout(&plan, &chains);
        let memory = Buffer::new(layout.len);
        let rows = |(shape, home): (&Shape, &Option<usize>)| {
            // SAFETY: the layout has given the map its place inside the memory, which lives as long as the
            // engine.
            let rows = unsafe {
                Rows::new(memory.as_ptr().add((*home)?), shape.width * shape.channels, shape.height)
            };
            Some((rows, shape.channels))
        };
        let model = Model {
            instructions,
            input: plan.input(),
            maps: plan.maps.iter().zip(&layout.homes).map(rows).collect(),
            border: plan.border.clone(),
            clock: None,
            steps,
            progress: chains.iter().map(|_| Progress::default()).collect(),
            chains,
        };
        let windows = (0..pool.threads()).map(|_| Buffer::new(layout.thread_len)).collect();
        Ok(Self { plan, streamed, pool, model, memory, outputs: layout.outputs, windows })
    }

    /// Threads that work on one input.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The instruction set in use.
    #[must_use]
    pub fn instructions(&self) -> InstructionSet {
        self.model.instructions
    }

    /// Runs the network as [`Engine::run`] does, and tells what each chain of steps took.
    ///
    /// # Errors
    /// [`Error::InputSize`] where `input` has another number of values.
    pub fn profile(&mut self, input: &[f32]) -> Result<Vec<ChainTime>, Error> {
        self.model.clock = Some(vec![OnceLock::new(); self.model.chains.len()]);
        let outcome = self.run_input(Input::Values(input));
        let end = Instant::now();
        let starts: Vec<Instant> =
            self.model.clock.take().unwrap_or_default().iter().filter_map(|s| s.get().copied()).collect();
        outcome?;
        let ends = starts.iter().skip(1).chain([&end]);
        let times = self.model.chains.iter().zip(starts.iter().zip(ends)).map(|(chain, (start, end))| {
            let steps = &self.model.steps[chain.steps.clone()];
            ChainTime {
                steps: steps.iter().map(|s| s.step.name.clone()).collect(),
                multiply_adds: steps.iter().map(|s| s.step.multiply_adds()).sum(),
                output: steps.last().map_or(self.model.input, |s| s.step.output_shape),
                time: *end - *start,
            }
        });
        Ok(times.collect())
    }

    fn run_input(&mut self, input: Input<'_>) -> Result<(), Error> {
        let (got, expected) = (input.len(), self.model.input.len());
        if got != expected {
            return Err(Error::InputSize { got, expected });
        }
        self.model.progress.fill_with(Progress::default);
        let (model, windows) = (&self.model, &self.windows);
        self.pool.everywhere(&|thread, failed| {
            if let Some(window) = windows.get(thread) {
                model.work(input, window.as_ptr(), failed);
            }
        });
        Ok(())
    }
}

impl Engine for CpuEngine {
    fn describe(&self) -> String {
        let threads = self.threads();
        let s = if threads == 1 { "" } else { "s" };
        format!("CPU, {}, {threads} thread{s}", self.model.instructions)
    }

    fn run(&mut self, input: &[f32]) -> Result<(), Error> {
        self.run_input(Input::Values(input))
    }

    fn run_pixels(&mut self, pixels: &[u8]) -> Result<(), Error> {
        self.run_input(Input::Pixels(pixels))
    }

    fn twin(&self, threads: usize) -> Result<Box<dyn Engine>, Error> {
        let options = CpuOptions { threads, instructions: self.model.instructions, streamed: self.streamed };
        let twin = Self::assemble(Arc::clone(&self.plan), Arc::clone(&self.model.steps), options)?;
        Ok(Box::new(twin))
    }

    fn output(&self, index: usize) -> &[f32] {
        // SAFETY: the memory is written during a run alone, for which the engine is borrowed mutably.
        let values = unsafe { self.memory.as_slice() };
        self.outputs.get(index).and_then(|range| values.get(range.clone())).unwrap_or(&[])
    }
}

impl Model {
    /// What one thread does for an input: pieces of the chains in their order, each chain begun when the one
    /// before it is done. `window` is the thread's own memory.
    fn work(&self, input: Input<'_>, window: *mut f32, failed: &dyn Fn() -> bool) {
        for (index, (chain, progress)) in self.chains.iter().zip(&self.progress).enumerate() {
            if let Some(before) = index.checked_sub(1) {
                let pieces = self.chains[before].pieces;
                let done = &self.progress[before].done;
                if !threads::wait_for(&|| done.load(Ordering::Acquire) == pieces, failed) {
                    return;
                }
            }
            if let Some(clock) = self.clock.as_ref().and_then(|clock| clock.get(index)) {
                clock.get_or_init(Instant::now);
            }
            loop {
                let piece = progress.taken.fetch_add(1, Ordering::Relaxed);
                if piece >= chain.pieces {
                    break;
                }
                self.instructions.run(Piece { model: self, chain, piece, input, window });
                progress.done.fetch_add(1, Ordering::Release);
            }
        }
    }
}

/// Some rows of the last step of a chain, and all that has to be computed for them.
struct Piece<'a> {
    model: &'a Model,
    chain: &'a Chain,
    piece: usize,
    input: Input<'a>,
    window: *mut f32,
}

impl Work for Piece<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { model, chain, piece, input, window } = self;
        let steps = &model.steps[chain.steps.clone()];
        let height = steps.last().map_or(0, |last| last.step.output_shape.height);
        let rows = height * piece / chain.pieces..height * (piece + 1) / chain.pieces;
        // SAFETY: the stem's rows are at the beginning of the thread's memory.
        let mut padded = unsafe { Padded::new(input, model.input, &model.border, window) };
        // The next row of each step, and the one at which to stop for this strip.
        let (mut next, mut ends) = ([0; MOST_STEPS], [0; MOST_STEPS]);
        let mut first = rows.start;
        for (next, prepared) in next.iter_mut().zip(steps).take(steps.len()).rev() {
            *next = first;
            first = chains::begin(&prepared.step, first);
        }
        let mut strip = rows.start;
        while strip < rows.end {
            strip = (strip + chain.strip).min(rows.end);
            let mut end = strip;
            for (e, prepared) in ends.iter_mut().zip(steps).take(steps.len()).rev() {
                *e = end;
                end = chains::reach(&prepared.step, end);
            }
            let mut above = None;
            for (i, prepared) in steps.iter().enumerate() {
                let shape = prepared.step.output_shape;
                let output = match chain.windows.get(i) {
                    Some(&(start, kept)) => {
                        let row = shape.width * shape.channels;
                        // SAFETY: the chain's windows are inside the thread's memory.
                        Some(unsafe { Rows::new(window.add(start), row, kept) })
                    }
                    None => model.maps[prepared.step.output.0].map(|map| map.0),
                };
                let call = Call {
                    prepared,
                    input: above.or(model.maps[prepared.step.input.0].map(|map| map.0)),
                    output,
                    rows: next[i]..ends[i],
                };
                // SAFETY: the layout and the windows keep every row that a step needs, and the rows of one
                // piece are one thread's.
                unsafe { call.run(simd, model, &mut padded) };
                next[i] = ends[i];
                above = output;
            }
        }
    }
}

/// Some rows of one step.
struct Call<'a> {
    prepared: &'a Prepared,
    input: Option<Rows>,
    output: Option<Rows>,
    rows: Range<usize>,
}

impl Call<'_> {
    /// # Safety
    /// As the kernels ask.
    #[inline(always)]
    unsafe fn run<S: Simd>(self, simd: S, model: &Model, padded: &mut Padded<'_>) {
        let Self { prepared, input, output, rows } = self;
        let shortcut = prepared.step.shortcut.as_ref().and_then(|shortcut| model.maps[shortcut.map.0]);
        // SAFETY: as the caller vouches.
        unsafe {
            match (prepared.step.kind, input, output) {
                (StepKind::Full { stride }, _, Some(output)) => {
                    stem::run(simd, prepared, stride, padded, output, rows);
                }
                (StepKind::Pointwise, Some(input), Some(output)) => {
                    pointwise::run(simd, prepared, input, output, shortcut, rows);
                }
                (StepKind::Depthwise { stride }, Some(input), Some(output)) => {
                    depthwise::run(simd, prepared, stride, input, output, shortcut, rows);
                }
                (StepKind::GlobalMean, Some(input), Some(output)) => mean::run(prepared, input, output),
                // The plan gives every map that is read a place.
                _ => debug_assert!(false, "{} has no place", prepared.step.name),
            }
        }
    }
}
