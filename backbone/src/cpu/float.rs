//! Plans in `f32`: what lies where, and which kernel computes a step.

#![expect(unsafe_code, reason = "the kernels are called with rows of shared maps")]

use std::ops::Range;
use std::sync::Arc;

use super::chains::{Chain, Window};
use super::channels::{self, Part};
use super::layout::{self, Layout};
use super::memory::{Buffer, LINE, Rows};
use super::packing::Prepared;
use super::schedule::{Claims, Strips};
use super::simd::{InstructionSet, Simd, Work};
use super::stem::{self, Input, Padded};
#[cfg(target_arch = "x86_64")]
use super::tiles::Unit;
use super::tiles::{self, Place};
use super::{Kernels, depthwise, mean, pointwise};
use crate::network::Shape;
use crate::plan::{Plan, Step, StepKind};

/// A plan in `f32`.
pub(super) struct Float {
    instructions: InstructionSet,
    prepared: Arc<[Prepared]>,
    steps: Vec<Step>,
    /// The maps that are whole.
    maps: Vec<Option<Rows>>,
    input: Shape,
    border: Vec<f32>,
    outputs: Vec<Range<usize>>,
    /// Where the pieces of a chain leave sums that are to be joined.
    sums: usize,
    /// The maps, then the memory of each thread.
    memory: Buffer,
    threads: usize,
    /// Where the first thread's memory begins: the stem's rows, pixels for the matrix unit, and the windows of a chain.
    windows: usize,
    /// Values of a thread's memory.
    thread_len: usize,
}

impl Float {
    /// `plan` may be without its weights.
    pub(super) fn new(
        plan: &Plan,
        prepared: Arc<[Prepared]>,
        instructions: InstructionSet,
        layout: Layout,
        threads: usize,
    ) -> Self {
        let (windows, thread_len) =
            (layout.len.next_multiple_of(LINE), layout.thread_len.next_multiple_of(LINE));
        let memory = Buffer::new(threads.saturating_mul(thread_len).saturating_add(windows));
        let rows = |(shape, home): (&Shape, &Option<usize>)| {
            // SAFETY: the layout has given the map its place inside the memory, which lives as long as the
            // engine.
            let rows = unsafe {
                Rows::new(memory.as_ptr().add((*home)?), shape.width, shape.channels, shape.height)
            };
            Some(rows)
        };
        Self {
            instructions,
            prepared,
            steps: plan.steps.clone(),
            maps: plan.maps.iter().zip(&layout.homes).map(rows).collect(),
            input: plan.input(),
            border: plan.border.clone(),
            outputs: layout.outputs,
            sums: layout.sums,
            memory,
            threads,
            windows,
            thread_len,
        }
    }
}

impl Kernels for Float {
    fn piece(&self, chain: &Chain, claims: &Claims, input: Input<'_>, thread: usize) {
        if thread >= self.threads {
            return;
        }
        let window = self.memory.as_ptr().wrapping_add(self.windows + thread * self.thread_len);
        #[cfg(target_arch = "x86_64")]
        let _unit = (self.instructions == InstructionSet::Amx).then(Unit::ready);
        self.instructions.run(Piece { float: self, chain, claims, input, window });
    }

    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "there is no matrix unit"))]
    fn join(&self, chain: &Chain) {
        #[cfg(target_arch = "x86_64")]
        if let Some(prepared) = chain.steps.end.checked_sub(1).and_then(|last| self.prepared.get(last))
            && let Some(output) = self.maps[prepared.step.output.0]
            && let [Some(first), Some(second)] = [0, 1].map(|half| self.sums(chain, &prepared.step, half))
            && tiles::available()
        {
            let halves = [first, second];
            let shortcut = self.shortcut(&prepared.step);
            // SAFETY: the pieces have written their sums, and nobody writes to them or to the map before this is done; the
            // unit is there.
            unsafe {
                tiles::join(prepared, halves, output);
                pointwise::add_shortcut(prepared, output, shortcut, 0..prepared.step.output_shape.height);
            }
            return;
        }
        // The plan shares by halves only where the unit is, and the layout gives every map that is left a place.
        debug_assert!(false, "nothing to join");
    }

    fn output(&self, index: usize) -> &[f32] {
        // SAFETY: the memory is written during a run alone, for which the engine is borrowed mutably.
        let values = unsafe { self.memory.as_slice() };
        self.outputs.get(index).and_then(|range| values.get(range.clone())).unwrap_or(&[])
    }

    fn memory(&self) -> usize {
        self.memory.bytes()
    }

    fn describe(&self) -> String {
        self.instructions.to_string()
    }
}

impl Float {
    /// Where a half of the sums of a chain's last step is.
    fn sums(&self, chain: &Chain, last: &Step, half: usize) -> Option<Rows> {
        if !chain.joins() || half >= channels::HALVES {
            return None;
        }
        let shape = last.output_shape;
        // SAFETY: the layout has room for the halves of the chains that join, and the memory lives as long as the engine.
        unsafe {
            let data = self.memory.as_ptr().add(self.sums + half * layout::sums_len(last));
            Some(Rows::new(data, shape.width, layout::sums_pixel(last), shape.height))
        }
    }

    /// The map whose channels a step adds.
    fn shortcut(&self, step: &Step) -> Option<Rows> {
        step.shortcut.as_ref().and_then(|shortcut| self.maps[shortcut.map.0])
    }
}

/// Some rows or channels of the last step of a chain, and all that has to be computed for them.
struct Piece<'a> {
    float: &'a Float,
    chain: &'a Chain,
    claims: &'a Claims,
    input: Input<'a>,
    window: *mut f32,
}

impl Work for Piece<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { float, chain, claims, input, window } = self;
        let range = chain.steps.clone();
        let (steps, prepared) = (&float.steps[range.clone()], &float.prepared[range]);
        // SAFETY: the stem's rows are at the beginning of the thread's memory.
        let mut padded = unsafe { Padded::new(input, float.input, &float.border, window) };
        // Where a step of the chain leaves its rows.
        let left = |i: usize| match chain.windows.get(i) {
            Some(&Window { start, rows, pixel }) => {
                // SAFETY: the chain's windows are inside the thread's memory.
                Some(unsafe { Rows::new(window.add(start), steps[i].output_shape.width, pixel, rows) })
            }
            None => float.maps[steps[i].output.0],
        };
        let mut strips = Strips::new(chain, steps, claims);
        // Two, so that a step may read the one and write the other.
        let scratch = [0, 1].map(|i| window.wrapping_add(stem::window_len(float.input) + i * tiles::SCRATCH));
        let mut before = false;
        while let Some((i, rows)) = strips.next() {
            let input = match i.checked_sub(1) {
                Some(above) => left(above),
                None => float.maps[steps[i].input.0],
            };
            // The matrix unit's next product takes its pixels split, and whoever has them in registers can do that at once.
            let split = i + 1 < steps.len() && prepared[i + 1].tiled && splits(&prepared[i], rows.len());
            let tiles = Tiles {
                scratch: scratch[i % 2],
                input: before,
                output: split.then_some(scratch[(i + 1) % 2]),
            };
            before = split;
            let units = strips.units();
            let part = chain.part(&steps[i], i, units.clone());
            let output = match part {
                Part::Depth(_) => float.sums(chain, &steps[i], units.start),
                _ => left(i),
            };
            let call = Call { prepared: &prepared[i], input, output, rows, part, tiles };
            // SAFETY: the layout and the windows keep every row that a step needs, and the rows of one piece, or its channels
            // of them, are one thread's, as is the scratch, where `splits` has seen to it that there is room. A 1×1 needs the rows that were left there
            // and no others. The matrix unit was made ready by `piece` on this thread.
            unsafe { call.run(simd, float, &mut padded) };
        }
    }
}

/// Whether a step can leave its rows split, in the scratch.
fn splits(prepared: &Prepared, rows: usize) -> bool {
    let (step, shape) = (&prepared.step, prepared.step.output_shape);
    let can = match step.kind {
        StepKind::Pointwise => prepared.tiled,
        StepKind::Depthwise { .. } => shape.channels.is_multiple_of(tiles::SIDE),
        _ => false,
    };
    can && step.shortcut.is_none() && tiles::fits(rows * shape.width, shape.channels)
}

/// What the matrix unit reads and writes beside maps.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "there is none"))]
struct Tiles {
    /// For the step's pixels, split.
    scratch: *mut f32,
    /// Whether they are there.
    input: bool,
    /// Where results go, split, instead of to rows.
    output: Option<*mut f32>,
}

/// Some rows of one step.
struct Call<'a> {
    prepared: &'a Prepared,
    input: Option<Rows>,
    output: Option<Rows>,
    rows: Range<usize>,
    part: Part,
    tiles: Tiles,
}

impl Call<'_> {
    /// # Safety
    /// As the kernels ask.
    #[inline(always)]
    unsafe fn run<S: Simd>(self, simd: S, float: &Float, padded: &mut Padded<'_>) {
        let Self { prepared, input, output, rows, part, tiles } = self;
        let shortcut = float.shortcut(&prepared.step);
        // SAFETY: as the caller vouches.
        unsafe {
            match (prepared.step.kind, input, output) {
                (StepKind::Full { stride }, _, Some(output)) => {
                    stem::run(simd, prepared, stride, padded, output, rows);
                }
                #[cfg(target_arch = "x86_64")]
                (StepKind::Pointwise, Some(input), Some(output)) if prepared.tiled => {
                    let from = match tiles.input {
                        true => Place::Tiles(tiles.scratch),
                        false => Place::Rows(input),
                    };
                    let to = tiles.output.map_or(Place::Rows(output), Place::Tiles);
                    tiles::product(prepared, from, to, rows.clone(), &part, tiles.scratch);
                    debug_assert!(shortcut.is_none() || !matches!(part, Part::Channels(_)), "not shared so");
                    if part == Part::Whole {
                        pointwise::add_shortcut(prepared, output, shortcut, rows);
                    }
                }
                (StepKind::Pointwise, Some(input), Some(output)) => {
                    pointwise::run(simd, prepared, input, output, shortcut, rows);
                }
                (StepKind::Depthwise { .. }, Some(input), Some(output)) => {
                    let to = tiles.output.map_or(Place::Rows(output), Place::Tiles);
                    let channels = match part {
                        Part::Channels(channels) => channels,
                        _ => 0..prepared.step.output_shape.channels,
                    };
                    depthwise::run(simd, prepared, input, to, shortcut, rows, channels);
                }
                (StepKind::GlobalMean, Some(input), Some(output)) => mean::run(prepared, input, output),
                // The plan gives every map that is read a place.
                _ => debug_assert!(false, "{} has no place", prepared.step.name),
            }
        }
    }
}
