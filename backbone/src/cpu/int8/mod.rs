//! Plans of eight bits ([`crate::quantised`]): maps of bytes, products of bytes summed in 32 bits.
//!
//! The first layer runs in `f32` and its rows are rounded to bytes, outputs are `f32` again; in between all is
//! in integers. Chains, strips and threads are those of the float engine.

#![expect(unsafe_code, reason = "the kernels are called with rows of shared maps")]

use std::ops::Range;
use std::sync::Arc;

use super::Kernels;
use super::chains::{Chain, Window};
use super::layout::Layout;
use super::memory::{Buffer, Part, Rows};
use super::packing;
use super::schedule::{Claims, Strips};
use super::simd::InstructionSet;
use super::stem::{self, Input, Padded};
use crate::network::Shape;
use crate::plan::{Plan, Step, StepKind};
use crate::quantised::{Quantisation, Scale};

mod depthwise;
mod mean;
mod pack;
mod pointwise;
mod simd;

use pack::Conv;
use simd::{IntegerSet, IntegerSimd, IntegerWork};

/// The weights of a plan, packed for an instruction set.
pub(super) struct Prepared {
    set: IntegerSet,
    steps: Vec<Kernel>,
}

/// How a step is computed.
enum Kernel {
    /// In float, its values rounded to bytes.
    Stem(Box<packing::Prepared>, Scale),
    /// Of bytes on one scale bytes on another.
    Mean(Scale, Scale),
    Conv(Box<Conv>),
}

impl Prepared {
    /// For a plan that was checked.
    pub(super) fn new(plan: &Plan, quantisation: Quantisation, instructions: InstructionSet) -> Self {
        let set = IntegerSet::of(instructions);
        let layout = set.layout();
        let scale = |map: usize| quantisation.maps.get(map).copied().flatten();
        let steps = plan.steps.iter().enumerate().filter_map(|(i, step)| {
            let output = scale(step.output.0);
            let (bytes, kernel): (Vec<u8>, Box<dyn FnOnce(Part) -> Kernel>) = match step.kind {
                StepKind::Full { .. } => {
                    let float = match set {
                        // Whatever vectors of float go with those of integers.
                        IntegerSet::Scalar => InstructionSet::Scalar,
                        IntegerSet::Avx2 | IntegerSet::AvxVnni => InstructionSet::Avx2,
                        IntegerSet::Avx512Vnni => InstructionSet::Avx512,
                    };
                    let stem = Box::new(packing::prepare(std::slice::from_ref(step), float).pop()?);
                    let output = output?;
                    (Vec::new(), Box::new(move |_| Kernel::Stem(stem, output)))
                }
                StepKind::GlobalMean => {
                    let (input, output) = (scale(step.input.0)?, output?);
                    (Vec::new(), Box::new(move |_| Kernel::Mean(input, output)))
                }
                StepKind::Depthwise { .. } | StepKind::Pointwise => {
                    let (bytes, conv) = Conv::new(plan, i, &quantisation, layout)?;
                    (bytes, Box::new(move |weights| Kernel::Conv(Box::new(conv(weights)))))
                }
            };
            Some((bytes, kernel))
        });
        // The weights of eight bits lie together, in the plan's order.
        let (bytes, kernels): (Vec<Vec<u8>>, Vec<_>) = steps.unzip();
        let parts = Buffer::of_pieces(&bytes);
        let steps: Vec<Kernel> = kernels.into_iter().zip(parts).map(|(kernel, part)| kernel(part)).collect();
        debug_assert_eq!(steps.len(), plan.steps.len(), "the check lets through what has all its scales");
        Self { set, steps }
    }

    /// Bytes of the weights.
    pub(super) fn bytes(&self) -> usize {
        let each = self.steps.iter().map(|step| match step {
            Kernel::Stem(stem, _) => stem.bytes(),
            Kernel::Mean(..) => 0,
            Kernel::Conv(conv) => conv.bytes(),
        });
        each.sum()
    }
}

/// A plan in integers.
pub(super) struct Int8 {
    prepared: Arc<Prepared>,
    steps: Vec<Step>,
    /// The maps that are whole.
    maps: Vec<Option<Rows<u8>>>,
    /// The outputs.
    float_maps: Vec<Option<Rows>>,
    input: Shape,
    border: Vec<f32>,
    outputs: Vec<Range<usize>>,
    floats: Buffer,
    /// The maps lie here; held for as long as their rows are.
    bytes: Buffer,
    /// Of each thread, the windows of a chain; and the stem's rows, in and out.
    windows: Vec<(Buffer, Buffer)>,
}

impl Int8 {
    /// `plan` may be without its weights; `layout` counts bytes for maps and floats for outputs.
    pub(super) fn new(plan: &Plan, prepared: Arc<Prepared>, layout: Layout, threads: usize) -> Self {
        let floats = Buffer::new(layout.outputs.last().map_or(0, |last| last.end));
        let bytes = Buffer::of_len(layout.len);
        let is_output = |map: usize| plan.outputs.iter().any(|o| o.maps.iter().any(|m| m.0 == map));
        let (mut maps, mut float_maps) = (Vec::new(), Vec::new());
        for (i, (shape, home)) in plan.maps.iter().zip(&layout.homes).enumerate() {
            let Shape { height, width, channels } = *shape;
            let rows = home.filter(|_| !is_output(i)).map(|home| {
                // SAFETY: the layout has given the map its place inside the memory, which lives as long as the
                // engine.
                unsafe { Rows::new(bytes.as_ptr().cast::<u8>().add(home), width, channels, height) }
            });
            maps.push(rows);
            float_maps.push(home.filter(|_| is_output(i)).map(|home| {
                // SAFETY: outputs come first in the layout, one behind the other, and there is a float for each
                // of their values.
                unsafe { Rows::new(floats.as_ptr().add(home), width, channels, height) }
            }));
        }
        let stem_row = plan.steps.iter().filter(|s| matches!(s.kind, StepKind::Full { .. }));
        let stem_row = stem_row.map(|s| s.output_shape.width * s.output_shape.channels).max().unwrap_or(0);
        let stem_len = stem::window_len(plan.input()) + stem_row;
        Self {
            steps: plan.steps.clone(),
            maps,
            float_maps,
            input: plan.input(),
            border: plan.border.clone(),
            outputs: layout.outputs,
            floats,
            bytes,
            windows: (0..threads)
                .map(|_| (Buffer::of_len(layout.thread_len), Buffer::new(stem_len)))
                .collect(),
            prepared,
        }
    }
}

impl Kernels for Int8 {
    fn piece(&self, chain: &Chain, claims: &Claims, input: Input<'_>, thread: usize) {
        let Some((window, floats)) = self.windows.get(thread) else { return };
        let (window, floats) = (window.as_ptr().cast(), floats.as_ptr());
        self.prepared.set.run(Piece { engine: self, chain, claims, input, window, floats });
    }

    fn join(&self, chain: &Chain) {
        debug_assert!(!chain.joins(), "integers are shared by rows");
    }

    fn output(&self, index: usize) -> &[f32] {
        // SAFETY: the memory is written during a run alone, for which the engine is borrowed mutably.
        let values = unsafe { self.floats.as_slice() };
        self.outputs.get(index).and_then(|range| values.get(range.clone())).unwrap_or(&[])
    }

    fn memory(&self) -> usize {
        let windows = self.windows.iter().map(|(window, stem)| window.bytes() + stem.bytes());
        self.bytes.bytes() + self.floats.bytes() + windows.sum::<usize>()
    }

    fn describe(&self) -> String {
        format!("int8 {}", self.prepared.set)
    }
}

/// Some rows of the last step of a chain, and all that has to be computed for them.
struct Piece<'a> {
    engine: &'a Int8,
    chain: &'a Chain,
    claims: &'a Claims,
    input: Input<'a>,
    window: *mut u8,
    floats: *mut f32,
}

/// Where a step leaves its rows.
#[derive(Clone, Copy)]
enum Target {
    Bytes(Rows<u8>),
    Floats(Rows),
}

impl IntegerWork for Piece<'_> {
    #[inline(always)]
    fn run<S: IntegerSimd>(self, simd: S) {
        let Self { engine, chain, claims, input, window, floats } = self;
        let range = chain.steps.clone();
        let (steps, kernels) = (&engine.steps[range.clone()], &engine.prepared.steps[range]);
        // SAFETY: the stem's rows are at the beginning of the thread's floats.
        let mut padded = unsafe { Padded::new(input, engine.input, &engine.border, floats) };
        let stem_row = floats.wrapping_add(stem::window_len(engine.input));
        // Where a step of the chain leaves its rows.
        let left = |i: usize| match chain.windows.get(i) {
            Some(&Window { start, rows, pixel }) => {
                // SAFETY: the chain's windows are inside the thread's memory.
                Some(unsafe { Rows::new(window.add(start), steps[i].output_shape.width, pixel, rows) })
            }
            None => engine.maps[steps[i].output.0],
        };
        let mut strips = Strips::new(chain, steps, claims);
        while let Some((i, rows)) = strips.next() {
            let step = &steps[i];
            let input = match i.checked_sub(1) {
                Some(above) => left(above),
                None => engine.maps[step.input.0],
            };
            let float = engine.float_maps[step.output.0].map(Target::Floats);
            let target = float.or_else(|| left(i).map(Target::Bytes));
            let shortcut = step.shortcut.as_ref().and_then(|shortcut| engine.maps[shortcut.map.0]);
            // SAFETY: the layout and the windows keep every row that a step needs, and the rows of one piece are
            // one thread's.
            unsafe {
                match (&kernels[i], step.kind, input, target) {
                    (
                        Kernel::Stem(prepared, scale),
                        StepKind::Full { stride },
                        _,
                        Some(Target::Bytes(output)),
                    ) => {
                        let len = step.output_shape.width * step.output_shape.channels;
                        let row = Rows::new(stem_row, step.output_shape.width, step.output_shape.channels, 1);
                        for y in rows {
                            stem::run(simd.float(), prepared, stride, &mut padded, row, y..y + 1);
                            round(simd, stem_row, *scale, output.row(y), len);
                        }
                    }
                    (Kernel::Conv(conv), StepKind::Pointwise, Some(input), Some(output)) => {
                        pointwise::run(simd, conv, input, output, shortcut, rows);
                    }
                    (
                        Kernel::Conv(conv),
                        StepKind::Depthwise { stride },
                        Some(input),
                        Some(Target::Bytes(output)),
                    ) => depthwise::run(simd.narrow(), conv, stride, input, output, shortcut, rows),
                    (Kernel::Mean(from, to), _, Some(input), Some(Target::Bytes(output))) => {
                        mean::run(step.input_shape, *from, *to, input, output);
                    }
                    // The plan gives every map that is read a place.
                    _ => debug_assert!(false, "{} has no place", step.name),
                }
            }
        }
    }
}

/// Makes bytes of floats.
///
/// # Safety
/// So many floats must be readable, so many bytes writable.
#[inline(always)]
unsafe fn round<S: IntegerSimd>(simd: S, from: *const f32, scale: Scale, to: *mut u8, len: usize) {
    let (factor, zero) = scale.of_values();
    let whole = len - len % (2 * S::LANES);
    for i in (0..whole).step_by(2 * S::LANES) {
        // SAFETY: so many values are left.
        unsafe {
            let first = simd.fuse(simd.load_floats(from.add(i)), factor, zero);
            let second = simd.fuse(simd.load_floats(from.add(i + S::LANES)), factor, zero);
            simd.store_row(to.add(i), [first, second]);
        }
    }
    for i in whole..len {
        // SAFETY: the value is one of `len`.
        unsafe { to.add(i).write((*from.add(i)).mul_add(factor, zero).round_ties_even() as u8) };
    }
}
