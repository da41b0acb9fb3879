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

use std::borrow::Cow;

use super::packing::{bias, bytes_of, matrix, padded, taps};
use super::program::{Argument, BufferId, Contents, Launch, Program};
use super::tiles::{self, CHUNK, COLUMNS, ROWS, Tile};
use crate::error::Error;
use crate::network::Activation;
use crate::plan::{Map, Plan, Step, StepKind};

/// Channels of a map are padded to a multiple of this.
pub(super) const CHANNEL_PAD: usize = 8;

/// Channels for which the fused kernels are made: the N of `sandglass_N` and `inverted_residual_N`.
const WIDTHS: [usize; 4] = [32, 64, 96, 160];

/// What maps are stored in. Sums are always 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 16 bits, products on tensor cores.
    #[default]
    F16,
    /// 32 bits, without tensor cores: for comparison.
    F32,
}

impl Precision {
    /// Bytes of a value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
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
        // Pixels of all pictures, and values of one, are counted in 31 bits.
        let pixels = plan.maps.iter().map(|map| map.pixels()).max().unwrap_or(0);
        let counted = |count: Option<usize>| count.is_some_and(|count| count < 1 << 31);
        if options.batch == 0 {
            return Err(refuse("the batch is 0"));
        }
        if !counted(options.batch.checked_mul(pixels).and_then(|p| p.checked_mul(CHANNEL_PAD))) {
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

    // Buffers.

    fn read(&self, map: Map) -> Argument {
        Argument::read(self.maps.get(map.0).copied().flatten())
    }

    /// The map that a step leaves, in the type of maps.
    fn write(&mut self, map: Map) -> Argument {
        let shape = self.plan.maps[map.0];
        let values = self.options.batch * shape.pixels() * padded(shape.channels);
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
                let pitch = padded(self.plan.maps[shortcut.map.0].channels);
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

    fn parts(&self, blocks: usize, depth: usize) -> usize {
        tiles::parts(blocks, depth, self.options.limits)
    }

    fn tile(
        &self,
        step: &Step,
        others: usize,
        turns: impl Fn(usize) -> usize,
        need: impl Fn(usize, usize) -> Option<tiles::Need>,
    ) -> Option<Tile> {
        let ScheduleOptions { batch, precision, limits, .. } = self.options;
        tiles::best(step.output_shape, batch * others, turns, precision, limits, need)
    }

    /// The tile of `depthwise_pointwise.cu` for these two steps.
    fn depthwise_pointwise_tile(&self, depthwise: &Step, product: &Step, stride: usize) -> Option<Tile> {
        let columns = padded(product.output_shape.channels).div_ceil(COLUMNS);
        let turns = tiles::turns_of_parts(padded(depthwise.input_shape.channels), self.options.limits);
        self.tile(product, columns, turns, tiles::depthwise_pointwise(stride))
    }

    /// The tile of `pointwise_depthwise.cu` for these two steps.
    fn pointwise_depthwise_tile(&self, product: &Step, depthwise: &Step, stride: usize) -> Option<Tile> {
        let columns = padded(depthwise.output_shape.channels).div_ceil(COLUMNS);
        // The loop over the depth, and the depthwise.
        let turns = padded(product.input_shape.channels).div_ceil(CHUNK) + 1;
        self.tile(depthwise, columns, |_| turns, tiles::pointwise_depthwise(product.input_shape, stride))
    }

    /// About how long a 1×1 by itself takes.
    fn pointwise_time(&self, step: &Step) -> usize {
        let pixels = (self.options.batch * step.output_shape.pixels()).div_ceil(ROWS);
        let blocks = pixels * padded(step.output_shape.channels).div_ceil(COLUMNS);
        let limits = self.options.limits;
        let turns = tiles::turns_of_parts(padded(step.input_shape.channels), limits)(blocks);
        tiles::time(blocks, turns, ROWS, limits)
    }

    // One function a kernel: its arguments in their order.

    fn stem(&mut self, step: &Step, stride: usize) {
        let (input, output) = (step.input_shape, step.output_shape);
        let kernel = match self.options.input {
            InputKind::Pixels => "stem_pixels",
            InputKind::Values => "stem_values",
        };
        let threads = self.options.batch * output.pixels() * padded(output.channels) / CHANNEL_PAD;
        let weights = self.constant(taps(step));
        let arguments = vec![
            Argument::Read(self.input),
            Argument::Read(self.border),
            weights,
            self.write(step.output),
            int(self.options.batch),
            int(input.height),
            int(input.width),
            int(input.channels),
            int(output.height),
            int(output.width),
            int(padded(output.channels)),
            int(stride),
            relu6(step, 1),
        ];
        self.plain(step, kernel, threads, arguments);
    }

    fn depthwise(&mut self, step: &Step, stride: usize) {
        let (input, output) = (step.input_shape, step.output_shape);
        let threads = self.options.batch * output.pixels() * padded(output.channels) / 4;
        let (shortcut, added) = self.shortcut(step);
        let weights = self.constant(taps(step));
        let mut arguments = vec![self.read(step.input), weights, self.write(step.output), shortcut];
        arguments.extend([self.options.batch, input.height, input.width, padded(input.channels)].map(int));
        arguments.extend([output.height, output.width, stride].map(int));
        arguments.push(relu6(step, 1));
        arguments.extend(added);
        self.plain(step, "depthwise", threads, arguments);
    }

    fn mean(&mut self, step: &Step) {
        let channels = padded(step.input_shape.channels);
        let mut arguments = vec![self.read(step.input), self.write(step.output)];
        arguments.extend([self.options.batch, step.input_shape.pixels(), channels].map(int));
        self.plain(step, "mean", self.options.batch * channels, arguments);
    }

    /// A kernel with so many threads in all, none of which needs another.
    fn plain(&mut self, step: &Step, kernel: &'static str, threads: usize, arguments: Vec<Argument>) {
        let blocks = threads.div_ceil(Launch::THREADS as usize);
        self.launch(std::slice::from_ref(step), kernel.into(), [blocks, 1, 1], 0, arguments);
    }

    fn pointwise(&mut self, step: &Step) {
        let (input, output) = (step.input_shape, step.output_shape);
        let (depth, pitch) = (padded(input.channels), padded(output.channels));
        let (rows, columns) =
            ((self.options.batch * output.pixels()).div_ceil(ROWS), pitch.div_ceil(COLUMNS));
        let parts = self.parts(rows * columns, depth);
        let (targets, place) = self.target(step.output);
        let (shortcut, added) = self.shortcut(step);
        let (weights, biases) =
            (self.constant(matrix(step, self.options.precision)), self.constant(bias(step)));
        let mut arguments = vec![self.read(step.input), weights, biases];
        arguments.extend(targets);
        arguments.push(shortcut);
        arguments.extend(self.partial(rows * columns, parts));
        arguments.extend([self.options.batch, output.pixels(), depth, pitch, output.channels].map(int));
        arguments.push(relu6(step, 1));
        arguments.extend(added);
        arguments.extend(place);
        let shared = tiles::pointwise(self.options.precision);
        self.launch(
            std::slice::from_ref(step),
            "pointwise".into(),
            [rows, columns, parts],
            shared,
            arguments,
        );
    }

    fn depthwise_pointwise(&mut self, first: usize) -> bool {
        let [depthwise, product] = &self.plan.steps[first..first + 2] else { return false };
        let StepKind::Depthwise { stride } = depthwise.kind else { return false };
        let (input, output) = (depthwise.input_shape, product.output_shape);
        let (depth, pitch) = (padded(input.channels), padded(output.channels));
        let columns = pitch.div_ceil(COLUMNS);
        let Some(tile) = self.depthwise_pointwise_tile(depthwise, product, stride) else { return false };
        let blocks = tile.count * self.options.batch;
        let parts = self.parts(blocks * columns, depth);
        let (targets, place) = self.target(product.output);
        let (shortcut, added) = self.shortcut(product);
        let mut arguments = vec![self.read(depthwise.input)];
        arguments.push(self.constant(taps(depthwise)));
        arguments.push(self.constant(matrix(product, self.options.precision)));
        arguments.push(self.constant(bias(product)));
        arguments.extend(targets);
        arguments.push(shortcut);
        arguments.extend(self.partial(blocks * columns, parts));
        arguments.extend([input.height, input.width, depth, output.height, output.width, stride].map(int));
        arguments.push(relu6(depthwise, 1));
        arguments.extend([pitch, output.channels].map(int));
        arguments.push(relu6(product, 1));
        arguments.extend(added);
        arguments.extend(place);
        arguments.extend(tile_arguments(tile));
        let steps = &self.plan.steps[first..first + 2];
        self.launch(steps, "depthwise_pointwise".into(), [blocks, columns, parts], tile.shared, arguments);
        true
    }

    fn pointwise_depthwise(&mut self, first: usize) -> bool {
        let [product, depthwise] = &self.plan.steps[first..first + 2] else { return false };
        let StepKind::Depthwise { stride } = depthwise.kind else { return false };
        let (input, output) = (product.input_shape, depthwise.output_shape);
        let channels = padded(output.channels);
        let columns = channels.div_ceil(COLUMNS);
        let Some(tile) = self.pointwise_depthwise_tile(product, depthwise, stride) else { return false };
        let (shortcut, added) = self.shortcut(depthwise);
        let mut arguments = vec![self.read(product.input)];
        arguments.push(self.constant(matrix(product, self.options.precision)));
        arguments.push(self.constant(bias(product)));
        arguments.push(self.constant(taps(depthwise)));
        arguments.extend([self.write(depthwise.output), shortcut]);
        arguments.extend([input.height, input.width, padded(input.channels), channels].map(int));
        arguments.push(relu6(product, 1));
        arguments.extend([output.height, output.width, stride].map(int));
        arguments.push(relu6(depthwise, 1));
        arguments.extend(added);
        arguments.extend(tile_arguments(tile));
        let grid = [tile.count * self.options.batch, columns, 1];
        let steps = &self.plan.steps[first..first + 2];
        self.launch(steps, "pointwise_depthwise".into(), grid, tile.shared, arguments);
        true
    }

    fn sandglass(&mut self, first: usize) -> bool {
        let steps = &self.plan.steps[first..first + 4];
        let [depthwise1, reduce, expand, depthwise2] = steps else { return false };
        let StepKind::Depthwise { stride } = depthwise2.kind else { return false };
        let (input, narrow, output) = (depthwise1.input_shape, reduce.output_shape, depthwise2.output_shape);
        let Some(most) = WIDTHS.into_iter().find(|width| narrow.channels <= *width) else { return false };
        let need = tiles::sandglass(input, stride, narrow.channels, most);
        let turns = padded(input.channels).div_ceil(CHUNK) + padded(output.channels).div_ceil(COLUMNS);
        let Some(tile) = self.tile(depthwise2, 1, |_| turns, need) else { return false };
        let halves = [
            self.depthwise_pointwise_tile(depthwise1, reduce, 1),
            self.pointwise_depthwise_tile(expand, depthwise2, stride),
        ];
        if let [Some(one), Some(other)] = halves
            && one.time + other.time < tile.time
        {
            return false;
        }
        let (shortcut, added) = self.shortcut(depthwise2);
        let mut arguments = vec![self.read(depthwise1.input)];
        arguments.push(self.constant(taps(depthwise1)));
        for product in [reduce, expand] {
            arguments.push(self.constant(matrix(product, self.options.precision)));
            arguments.push(self.constant(bias(product)));
        }
        arguments.push(self.constant(taps(depthwise2)));
        arguments.extend([self.write(depthwise2.output), shortcut]);
        arguments.extend([input.height, input.width, padded(input.channels)].map(int));
        arguments.extend([padded(narrow.channels), padded(output.channels)].map(int));
        arguments.extend([output.height, output.width, stride].map(int));
        arguments.push(flags(steps));
        arguments.extend(added);
        arguments.extend(tile_arguments(tile));
        arguments.push(int(tiles::sandglass_halo(input, tile, stride)));
        let grid = [tile.count * self.options.batch, 1, 1];
        self.launch(steps, format!("sandglass_{most}").into(), grid, tile.shared, arguments);
        true
    }

    fn inverted_residual(&mut self, first: usize) -> bool {
        let steps = &self.plan.steps[first..first + 3];
        let [expand, depthwise, project] = steps else { return false };
        let StepKind::Depthwise { stride } = depthwise.kind else { return false };
        let (input, wide, output) = (expand.input_shape, depthwise.input_shape, project.output_shape);
        let Some(most) = WIDTHS.into_iter().find(|width| output.channels <= *width) else { return false };
        if self.readers[project.output.0] == 1 && self.places[project.output.0].is_some() {
            // A result in 32 bits, which this kernel does not write.
            return false;
        }
        let turns = padded(wide.channels).div_ceil(CHUNK);
        let need = tiles::inverted_residual(input, stride, most);
        let Some(tile) = self.tile(project, 1, |_| turns, need) else { return false };
        let half = self.pointwise_depthwise_tile(expand, depthwise, stride);
        if half.is_some_and(|half| half.time + self.pointwise_time(project) < tile.time) {
            return false;
        }
        let (rows, columns) = tiles::held(input, tile.height, tile.width, stride);
        let (shortcut, added) = self.shortcut(project);
        let mut arguments = vec![self.read(expand.input)];
        arguments.push(self.constant(matrix(expand, self.options.precision)));
        arguments.push(self.constant(bias(expand)));
        arguments.push(self.constant(taps(depthwise)));
        arguments.push(self.constant(matrix(project, self.options.precision)));
        arguments.push(self.constant(bias(project)));
        arguments.extend([self.write(project.output), shortcut]);
        arguments.extend([input.height, input.width, padded(input.channels)].map(int));
        arguments.extend([padded(wide.channels), padded(output.channels)].map(int));
        arguments.extend([output.height, output.width, stride].map(int));
        arguments.push(flags(steps));
        arguments.extend(added);
        arguments.extend(tile_arguments(tile));
        arguments.push(int((rows * columns).next_multiple_of(16)));
        let grid = [tile.count * self.options.batch, 1, 1];
        self.launch(steps, format!("inverted_residual_{most}").into(), grid, tile.shared, arguments);
        true
    }

    /// Results that no product wrote.
    fn unpack(&mut self) {
        for index in 0..self.places.len() {
            let (Some(place), shape) = (self.places[index], self.plan.maps[index]) else { continue };
            let mut arguments = vec![self.read(Map(index)), Argument::Part(place.output)];
            let (pixels, channels) = (shape.pixels(), shape.channels);
            arguments.extend([self.options.batch, pixels, padded(channels), channels].map(int));
            arguments.extend([place.offset, place.stride].map(int));
            let blocks = (self.options.batch * shape.len()).div_ceil(Launch::THREADS as usize);
            self.program.launches.push(Launch {
                label: format!("result {index}"),
                kernel: "unpack".into(),
                grid: [u32::try_from(blocks).unwrap_or(u32::MAX), 1, 1],
                shared: 0,
                arguments,
            });
        }
    }
}

/// Sizes are below 2³¹: the plan and the batch were checked.
fn int(value: usize) -> Argument {
    Argument::Int(i32::try_from(value).unwrap_or(i32::MAX))
}

/// `bit` where a step ends with ReLU6.
fn relu6(step: &Step, bit: i32) -> Argument {
    Argument::Int(if step.activation == Activation::Relu6 { bit } else { 0 })
}

/// Which of a block's steps end with ReLU6: a bit each, the first lowest.
fn flags(steps: &[Step]) -> Argument {
    let bits = steps.iter().enumerate().map(|(i, s)| i32::from(s.activation == Activation::Relu6) << i);
    Argument::Int(bits.sum())
}

fn tile_arguments(tile: Tile) -> [Argument; 3] {
    [tile.height, tile.width, tile.count].map(int)
}
