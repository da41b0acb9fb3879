//! From a plan to a program: which steps one kernel computes, in which tiles, and where their maps are.
//!
//! ```text
//! depthwise ─ reduce ─ expand ─ depthwise + shortcut     sandglass_N            one launch a block,
//! expand ─ depthwise ─ project + shortcut                inverted_residual_N    where it fills the device
//! depthwise ─ 1×1                                        depthwise_pointwise    heads, halves of blocks
//! 1×1 ─ depthwise                                        pointwise_depthwise    halves of blocks
//! ```
//!
//! A whole block in one launch writes the least, but has no more thread blocks than tiles. Where these would
//! leave much of the device idle (one picture, small maps) the block is cut into halves, which are spread
//! over channels, too: whichever is expected to take less time (`tiles.rs`).

mod launches;

use std::borrow::Cow;

use super::packing::bytes_of;
use super::program::{Argument, BufferId, Contents, Launch, Program};
use super::tiles::{COLUMNS, ROWS};
use crate::error::Error;
use crate::plan::{Map, Plan, Step, StepKind};

/// What maps are stored in. Sums are always 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// 16 bits, products on tensor cores.
    #[default]
    F16,
    /// 32 bits, without tensor cores: for comparison.
    F32,
    /// Bytes, products in integers on tensor cores: for plans with a
    /// [`quantisation`](crate::plan::Plan::quantisation), whose outputs are to the bit those of the CPU.
    I8,
}

impl Precision {
    /// Bytes of a value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
            Self::I8 => 1,
        }
    }

    /// What a plan runs fastest in.
    #[must_use]
    pub const fn of(plan: &Plan) -> Self {
        if plan.quantisation.is_some() { Self::I8 } else { Self::F16 }
    }

    /// Channels as a map on the device has them: whole vectors.
    pub(super) const fn padded(self, channels: usize) -> usize {
        channels.next_multiple_of(self.vector())
    }

    /// Channels that are copied in one go: VECTOR of `kernels/common.cuh`.
    pub(super) const fn vector(self) -> usize {
        match self {
            Self::F16 | Self::F32 => 8,
            Self::I8 => 16,
        }
    }
}

/// What the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Pixels of 0 to 255, a byte each.
    Pixels,
    /// 32-bit values.
    Values,
}

/// What a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Shared memory that a thread block may have, in bytes.
    pub shared: usize,
    /// Multiprocessors.
    pub multiprocessors: usize,
}

/// How a plan is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleOptions {
    /// What maps are stored in.
    pub precision: Precision,
    /// Pictures at a time.
    pub batch: usize,
    /// What the input is.
    pub input: InputKind,
    /// The device.
    pub limits: Limits,
    /// Whether steps share launches. Without it every step is one: the plain way, for comparison.
    pub fused: bool,
}

/// A plan as launches.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// What is run.
    pub program: Program,
    /// The input: pictures one after the other, rows, columns, channels.
    pub input: BufferId,
    /// The results in the plan's order: of each picture all values, in 32 bits.
    pub outputs: Vec<BufferId>,
}

impl Schedule {
    /// Schedules a plan.
    ///
    /// # Errors
    /// [`Error::Plan`] where the plan does not fit together, or the batch is 0 or too large for the kernels'
    /// counters.
    pub fn new(plan: &Plan, options: ScheduleOptions) -> Result<Self, Error> {
        plan.check()?;
        let refuse = |reason| Error::Plan { step: "the whole".to_owned(), reason };
        if options.precision == Precision::I8 && plan.quantisation.is_none() {
            return Err(refuse("it is not one of integers"));
        }
        // Pixels of all pictures, and values of one, are counted in 31 bits.
        let pixels = plan.maps.iter().map(|map| map.pixels()).max().unwrap_or(0);
        let counted = |count: Option<usize>| count.is_some_and(|count| count < 1 << 31);
        if options.batch == 0 {
            return Err(refuse("the batch is 0"));
        }
        if !counted(options.batch.checked_mul(pixels).and_then(|p| p.checked_mul(options.precision.vector())))
        {
            return Err(refuse("the batch is too large"));
        }
        let mut writer = Writer::new(plan, options);
        let mut first = 0;
        while let Some(step) = plan.steps.get(first) {
            first += writer.group(first, step);
        }
        writer.unpack();
        let Writer { program, input, outputs, .. } = writer;
        program.check()?;
        Ok(Self { program, input, outputs })
    }
}

/// Where a map of the network's results goes.
#[derive(Clone, Copy)]
struct Place {
    output: BufferId,
    /// Values before it, of one picture.
    offset: usize,
    /// Values of one picture's result.
    stride: usize,
}

struct Writer<'a> {
    plan: &'a Plan,
    options: ScheduleOptions,
    program: Program,
    input: BufferId,
    border: BufferId,
    outputs: Vec<BufferId>,
    /// How often each map is read, results counted.
    readers: Vec<usize>,
    maps: Vec<Option<BufferId>>,
    places: Vec<Option<Place>>,
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan, options: ScheduleOptions) -> Self {
        let mut program = Program::default();
        let width = match options.input {
            InputKind::Pixels => 1,
            InputKind::Values => 4,
        };
        let input = program.buffer(options.batch * plan.input().len() * width, Contents::Kept);
        let border = program.constant(bytes_of(&plan.border, Precision::F32));
        let mut places = vec![None; plan.maps.len()];
        let mut outputs = Vec::new();
        for output in &plan.outputs {
            let stride = output.maps.iter().map(|map| plan.maps[map.0].len()).sum();
            let buffer = program.buffer(options.batch * stride * 4, Contents::Kept);
            let mut offset = 0;
            for map in &output.maps {
                places[map.0] = Some(Place { output: buffer, offset, stride });
                offset += plan.maps[map.0].len();
            }
            outputs.push(buffer);
        }
        let (readers, maps) = (plan.readers(), vec![None; plan.maps.len()]);
        Self { plan, options, program, input, border, outputs, readers, maps, places }
    }

    /// Schedules the steps from `first` on that one launch, or two, can compute. How many these are.
    fn group(&mut self, first: usize, step: &Step) -> usize {
        use StepKind::{Depthwise, Pointwise};
        if self.options.fused {
            match self.kinds(first).as_slice() {
                [Depthwise { stride: 1 }, Pointwise, Pointwise, Depthwise { .. }, ..]
                    if self.sandglass(first) =>
                {
                    return 4;
                }
                [Pointwise, Depthwise { .. }, Pointwise, ..] if self.inverted_residual(first) => return 3,
                [Depthwise { .. }, Pointwise, ..] if self.depthwise_pointwise(first) => return 2,
                [Pointwise, Depthwise { .. }, ..] if self.pointwise_depthwise(first) => return 2,
                _ => {}
            }
        }
        match step.kind {
            StepKind::Full { stride } => self.stem(step, stride),
            Depthwise { stride } => self.depthwise(step, stride),
            Pointwise => self.pointwise(step),
            StepKind::GlobalMean => self.mean(step),
        }
        1
    }

    /// The kinds of up to four steps from `first` on, as far as each is read by the next alone and has no
    /// shortcut unless it is the last.
    fn kinds(&self, first: usize) -> Vec<StepKind> {
        let steps = &self.plan.steps[first..];
        let joined = |pair: &[Step]| {
            pair[1].input == pair[0].output
                && self.readers[pair[0].output.0] == 1
                && pair[0].shortcut.is_none()
        };
        let more = steps.windows(2).take(3).take_while(|pair| joined(pair)).count();
        steps.iter().take(more + 1).map(|step| step.kind).collect()
    }

    fn padded(&self, channels: usize) -> usize {
        self.options.precision.padded(channels)
    }

    // Buffers.

    fn read(&self, map: Map) -> Argument {
        Argument::read(self.maps.get(map.0).copied().flatten())
    }

    /// The map that a step leaves, in the type of maps.
    fn write(&mut self, map: Map) -> Argument {
        let shape = self.plan.maps[map.0];
        let values = self.options.batch * shape.pixels() * self.padded(shape.channels);
        let buffer = self.program.buffer(values * self.options.precision.bytes(), Contents::Scratch);
        self.maps[map.0] = Some(buffer);
        Argument::Write(buffer)
    }

    /// Where a product's results go: the arguments `output` and `values`, then `offset` and `stride`.
    fn target(&mut self, map: Map) -> ([Argument; 2], [Argument; 2]) {
        match self.places[map.0] {
            Some(place) if self.readers[map.0] == 1 => {
                self.places[map.0] = None;
                let numbers = [int(place.offset), int(place.stride)];
                ([Argument::Null, Argument::Part(place.output)], numbers)
            }
            _ => ([self.write(map), Argument::Null], [int(0), int(0)]),
        }
    }

    /// The shortcut: its map, its channels on the device and how many are added.
    fn shortcut(&self, step: &Step) -> (Argument, [Argument; 2]) {
        match step.shortcut {
            Some(shortcut) => {
                let pitch = self.padded(self.plan.maps[shortcut.map.0].channels);
                (self.read(shortcut.map), [int(pitch), int(shortcut.channels)])
            }
            None => (Argument::Null, [int(0), int(0)]),
        }
    }

    fn constant(&mut self, bytes: Vec<u8>) -> Argument {
        Argument::Read(self.program.constant(bytes))
    }

    /// Sums that several blocks leave, and who has come: for `tiles` products of which each has `parts`.
    fn partial(&mut self, tiles: usize, parts: usize) -> [Argument; 2] {
        if parts == 1 {
            return [Argument::Null; 2];
        }
        let sums = self.program.buffer(tiles * parts * ROWS * COLUMNS * 4, Contents::Scratch);
        let tickets = self.program.buffer(tiles * 4, Contents::Zeros);
        [Argument::Write(sums), Argument::Update(tickets)]
    }

    fn launch(
        &mut self,
        steps: &[Step],
        kernel: Cow<'static, str>,
        grid: [usize; 3],
        shared: usize,
        arguments: Vec<Argument>,
    ) {
        let label = steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>().join(" + ");
        let grid = grid.map(|extent| u32::try_from(extent).unwrap_or(u32::MAX));
        self.program.launches.push(Launch { label, kernel, grid, shared, arguments });
    }
}

/// Sizes are below 2³¹: the plan and the batch were checked.
fn int(value: usize) -> Argument {
    Argument::Int(i32::try_from(value).unwrap_or(i32::MAX))
}
