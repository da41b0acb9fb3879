//! The CPU engine: runs a plan step by step, NHWC, in f32, on as many threads as it is given.
//!
//! Each kernel is written once over [`simd::Simd`] and compiled for every instruction set; which one runs
//! is chosen when the engine is made. The scalar twin is always compiled and is the oracle in tests.

use crate::engine::Engine;
use crate::error::Error;
use crate::plan::{Place, Plan, Step, StepKind};

mod depthwise;
mod mean;
mod packing;
mod pointwise;
mod simd;
mod stem;
mod threads;

use packing::Packed;
pub use simd::InstructionSet;
use simd::Simd;
use threads::Pool;

/// Steps with fewer multiply-adds than this run on the calling thread alone: waking the others would take
/// longer.
const WORTH_SHARING: usize = 100_000;

/// A plan made ready for this machine's processor.
pub struct CpuEngine {
    instructions: InstructionSet,
    pool: Pool,
    steps: Vec<PreparedStep>,
    input_len: usize,
    scratch: Vec<Vec<f32>>,
    outputs: Vec<Vec<f32>>,
    /// As many zeros as the widest row of a depthwise input: the row above and below the picture.
    zeros: Vec<f32>,
}

/// A step with its weights packed for the instruction set.
struct PreparedStep {
    step: Step,
    packed: Packed,
}

/// What a kernel needs to know of one call.
struct Call<'a> {
    step: &'a Step,
    packed: &'a Packed,
    input: &'a [f32],
    /// The map whose first channels are added; empty where the step has no shortcut.
    shortcut: &'a [f32],
    zeros: &'a [f32],
}

impl CpuEngine {
    /// Makes a plan ready for `threads` threads (0 for one a processor) and the best instruction set.
    ///
    /// # Errors
    /// [`Error::Thread`] where the system refuses a thread.
    pub fn new(plan: Plan, threads: usize) -> Result<Self, Error> {
        Self::with_instructions(plan, threads, InstructionSet::best())
    }

    /// As [`CpuEngine::new`] for a given instruction set; one that this processor lacks is replaced by
    /// the scalar code.
    ///
    /// # Errors
    /// [`Error::Thread`] where the system refuses a thread.
    pub fn with_instructions(
        plan: Plan,
        threads: usize,
        instructions: InstructionSet,
    ) -> Result<Self, Error> {
        let instructions = if instructions.is_available() { instructions } else { InstructionSet::Scalar };
        let pool = Pool::new(threads).map_err(Error::Thread)?;
        let widest = plan.steps.iter().filter(|s| matches!(s.kind, StepKind::Depthwise { .. }));
        let widest = widest.map(|s| s.input_shape.width * s.input_shape.channels).max().unwrap_or(0);
        let prepare = |mut step: Step| {
            let packed = Packed::new(&step, instructions);
            step.weights = Vec::new();
            PreparedStep { step, packed }
        };
        Ok(Self {
            instructions,
            pool,
            input_len: plan.input.len(),
            steps: plan.steps.into_iter().map(prepare).collect(),
            scratch: plan.scratch.iter().map(|&len| vec![0.0; len]).collect(),
            outputs: plan.outputs.iter().map(|&(_, len)| vec![0.0; len]).collect(),
            zeros: vec![0.0; widest],
        })
    }

    /// Threads that work on one input.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The instruction set in use.
    #[must_use]
    pub fn instructions(&self) -> InstructionSet {
        self.instructions
    }

    fn run_step(&mut self, index: usize, input: &[f32]) {
        let step = &self.steps[index].step;
        // The buffer that is written is taken out while the others are read.
        let (mut buffer, offset) = match step.output {
            Place::Scratch(slot) => (std::mem::take(&mut self.scratch[slot]), 0),
            Place::Output { index, offset } => (std::mem::take(&mut self.outputs[index]), offset),
            Place::Input => return,
        };
        let read = |place: Place, len: usize| match place {
            Place::Input => &input[..len],
            Place::Scratch(slot) => &self.scratch[slot][..len],
            Place::Output { index, offset } => &self.outputs[index][offset..][..len],
        };
        let call = Call {
            step,
            packed: &self.steps[index].packed,
            input: read(step.input, step.input_shape.len()),
            shortcut: match &step.shortcut {
                Some(s) => read(s.place, step.output_shape.pixels() * s.stride),
                None => &[],
            },
            zeros: &self.zeros,
        };
        let output = &mut buffer[offset..][..step.output_shape.len()];
        self.instructions.run(Kernel { call, output, pool: &self.pool });
        match step.output {
            Place::Scratch(slot) => self.scratch[slot] = buffer,
            Place::Output { index, .. } => self.outputs[index] = buffer,
            Place::Input => {}
        }
    }
}

/// One step as work for whatever instruction set is in use.
struct Kernel<'a> {
    call: Call<'a>,
    output: &'a mut [f32],
    pool: &'a Pool,
}

impl simd::Work for Kernel<'_> {
    fn run<S: Simd>(self, simd: S) {
        let Self { call, output, pool } = self;
        let shape = call.step.output_shape;
        // Whole rows go to a thread; a 1×1 convolution sees one long row of pixels and is cut anywhere.
        let (unit, units, least) = match call.step.kind {
            StepKind::Pointwise => (shape.channels, shape.pixels(), pointwise::MOST_ROWS),
            StepKind::GlobalMean => (shape.channels, 1, 1),
            StepKind::Full { .. } | StepKind::Depthwise { .. } => {
                (shape.width * shape.channels, shape.height, 1)
            }
        };
        let pieces = if call.step.multiply_adds() < WORTH_SHARING { 1 } else { pool.pieces() };
        let per_piece = units.div_ceil(pieces).next_multiple_of(least);
        pool.for_each_chunk(output, per_piece * unit, &|index, chunk| {
            simd.vectorize(Piece { call: &call, first: index * per_piece, output: chunk });
        });
    }
}

/// What one thread does of a step: the rows or pixels from `first` on.
struct Piece<'a, 'b> {
    call: &'a Call<'a>,
    first: usize,
    output: &'b mut [f32],
}

impl simd::Work for Piece<'_, '_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { call, first, output } = self;
        match call.step.kind {
            StepKind::Pointwise => pointwise::run(simd, call, first, output),
            StepKind::Depthwise { stride } => depthwise::run(simd, call, stride, first, output),
            StepKind::Full { stride } => stem::run(simd, call, stride, first, output),
            StepKind::GlobalMean => mean::run(call, output),
        }
    }
}

impl Engine for CpuEngine {
    fn describe(&self) -> String {
        let threads = self.threads();
        let s = if threads == 1 { "" } else { "s" };
        format!("CPU, {}, {threads} thread{s}", self.instructions)
    }

    fn run(&mut self, input: &[f32]) -> Result<(), Error> {
        if input.len() != self.input_len {
            return Err(Error::InputSize { got: input.len(), expected: self.input_len });
        }
        (0..self.steps.len()).for_each(|index| self.run_step(index, input));
        Ok(())
    }

    fn output(&self, index: usize) -> &[f32] {
        self.outputs.get(index).map_or(&[], Vec::as_slice)
    }
}
