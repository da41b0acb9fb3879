//! One function a kernel: its tiles, and its arguments in their order.

use super::{InputKind, Precision, ScheduleOptions, Writer, int};
use crate::cuda::packing::Packer;
use crate::cuda::program::{Argument, Launch};
use crate::cuda::tiles::{self, COLUMNS, ROWS, Tile};
use crate::network::Activation;
use crate::plan::{Map, Step, StepKind};

/// Channels for which the fused kernels are made: the N of `sandglass_N` and `inverted_residual_N`.
const WIDTHS: [usize; 4] = [32, 64, 96, 160];
/// Channels that a thread of the stem computes.
const STEM: usize = 8;

impl Writer<'_> {
    fn packer(&self) -> Packer<'_> {
        Packer { plan: self.plan, precision: self.options.precision }
    }

    /// The weights of a 1×1.
    fn matrix(&mut self, step: &Step) -> Argument {
        self.constant(self.packer().matrix(step))
    }

    /// What goes with each of its output channels.
    fn channels(&mut self, step: &Step) -> Argument {
        self.constant(self.packer().channels(step))
    }

    /// The weights of a depthwise or of the stem, with what goes with its channels.
    fn taps(&mut self, step: &Step) -> Argument {
        self.constant(self.packer().taps(step))
    }

    fn turns_of_parts(&self, channels: usize) -> impl Fn(usize) -> usize + use<> {
        let ScheduleOptions { precision, limits, .. } = self.options;
        tiles::turns_of_parts(precision.padded(channels), precision, limits)
    }

    fn parts(&self, blocks: usize, depth: usize) -> usize {
        tiles::parts(blocks, depth, self.options.precision, self.options.limits)
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
        let columns = self.padded(product.output_shape.channels).div_ceil(COLUMNS);
        let turns = self.turns_of_parts(depthwise.input_shape.channels);
        self.tile(product, columns, turns, tiles::depthwise_pointwise(self.options.precision, stride))
    }

    /// The tile of `pointwise_depthwise.cu` for these two steps.
    fn pointwise_depthwise_tile(&self, product: &Step, depthwise: &Step, stride: usize) -> Option<Tile> {
        let columns = self.padded(depthwise.output_shape.channels).div_ceil(COLUMNS);
        // The loop over the depth, and the depthwise.
        let turns = self.padded(product.input_shape.channels).div_ceil(self.options.precision.chunk()) + 1;
        self.tile(
            depthwise,
            columns,
            |_| turns,
            tiles::pointwise_depthwise(self.options.precision, product.input_shape, stride),
        )
    }

    /// About how long a 1×1 by itself takes.
    fn pointwise_time(&self, step: &Step) -> usize {
        let pixels = (self.options.batch * step.output_shape.pixels()).div_ceil(ROWS);
        let blocks = pixels * self.padded(step.output_shape.channels).div_ceil(COLUMNS);
        let limits = self.options.limits;
        let turns = self.turns_of_parts(step.input_shape.channels)(blocks);
        tiles::time(blocks, turns, ROWS, limits)
    }

    pub(super) fn stem(&mut self, step: &Step, stride: usize) {
        let (input, output) = (step.input_shape, step.output_shape);
        let kernel = match self.options.input {
            InputKind::Pixels => "stem_pixels",
            InputKind::Values => "stem_values",
        };
        let threads = self.options.batch * output.pixels() * self.padded(output.channels) / STEM;
        let weights = self.taps(step);
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
            int(self.padded(output.channels)),
            int(stride),
            relu6(step, 1),
        ];
        self.plain(step, kernel, threads, arguments);
    }

    pub(super) fn depthwise(&mut self, step: &Step, stride: usize) {
        let (input, output) = (step.input_shape, step.output_shape);
        let threads = self.options.batch * output.pixels() * self.padded(output.channels) / 4;
        let (shortcut, added) = self.shortcut(step);
        let weights = self.taps(step);
        let mut arguments = vec![self.read(step.input), weights, self.write(step.output), shortcut];
        arguments
            .extend([self.options.batch, input.height, input.width, self.padded(input.channels)].map(int));
        arguments.extend([output.height, output.width, stride].map(int));
        arguments.push(relu6(step, 1));
        arguments.extend(added);
        self.plain(step, "depthwise", threads, arguments);
    }

    pub(super) fn mean(&mut self, step: &Step) {
        let channels = self.padded(step.input_shape.channels);
        let mut arguments = vec![self.read(step.input), self.write(step.output)];
        arguments.extend([self.options.batch, step.input_shape.pixels(), channels].map(int));
        if self.options.precision == Precision::I8 {
            arguments.extend(self.packer().mean(step).map(Argument::Float));
        }
        self.plain(step, "mean", self.options.batch * channels, arguments);
    }

    /// A kernel with so many threads in all, none of which needs another.
    fn plain(&mut self, step: &Step, kernel: &'static str, threads: usize, arguments: Vec<Argument>) {
        let blocks = threads.div_ceil(Launch::THREADS as usize);
        self.launch(std::slice::from_ref(step), kernel.into(), [blocks, 1, 1], 0, arguments);
    }

    pub(super) fn pointwise(&mut self, step: &Step) {
        let (input, output) = (step.input_shape, step.output_shape);
        let (depth, pitch) = (self.padded(input.channels), self.padded(output.channels));
        let (rows, columns) =
            ((self.options.batch * output.pixels()).div_ceil(ROWS), pitch.div_ceil(COLUMNS));
        let parts = self.parts(rows * columns, depth);
        let (targets, place) = self.target(step.output);
        let (shortcut, added) = self.shortcut(step);
        let (weights, biases) = (self.matrix(step), self.channels(step));
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

    pub(super) fn depthwise_pointwise(&mut self, first: usize) -> bool {
        let [depthwise, product] = &self.plan.steps[first..first + 2] else { return false };
        let StepKind::Depthwise { stride } = depthwise.kind else { return false };
        let (input, output) = (depthwise.input_shape, product.output_shape);
        let (depth, pitch) = (self.padded(input.channels), self.padded(output.channels));
        let columns = pitch.div_ceil(COLUMNS);
        let Some(tile) = self.depthwise_pointwise_tile(depthwise, product, stride) else { return false };
        let blocks = tile.count * self.options.batch;
        let parts = self.parts(blocks * columns, depth);
        let (targets, place) = self.target(product.output);
        let (shortcut, added) = self.shortcut(product);
        let mut arguments = vec![self.read(depthwise.input)];
        arguments.push(self.taps(depthwise));
        arguments.push(self.matrix(product));
        arguments.push(self.channels(product));
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

    pub(super) fn pointwise_depthwise(&mut self, first: usize) -> bool {
        let [product, depthwise] = &self.plan.steps[first..first + 2] else { return false };
        let StepKind::Depthwise { stride } = depthwise.kind else { return false };
        let (input, output) = (product.input_shape, depthwise.output_shape);
        let channels = self.padded(output.channels);
        let columns = channels.div_ceil(COLUMNS);
        let Some(tile) = self.pointwise_depthwise_tile(product, depthwise, stride) else { return false };
        let (shortcut, added) = self.shortcut(depthwise);
        let mut arguments = vec![self.read(product.input)];
        arguments.push(self.matrix(product));
        arguments.push(self.channels(product));
        arguments.push(self.taps(depthwise));
        arguments.extend([self.write(depthwise.output), shortcut]);
        arguments.extend([input.height, input.width, self.padded(input.channels), channels].map(int));
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

    pub(super) fn sandglass(&mut self, first: usize) -> bool {
        let steps = &self.plan.steps[first..first + 4];
        let [depthwise1, reduce, expand, depthwise2] = steps else { return false };
        let StepKind::Depthwise { stride } = depthwise2.kind else { return false };
        let (input, narrow, output) = (depthwise1.input_shape, reduce.output_shape, depthwise2.output_shape);
        let Some(most) = WIDTHS.into_iter().find(|width| narrow.channels <= *width) else { return false };
        let need = tiles::sandglass(self.options.precision, input, stride, narrow.channels, most);
        let turns = self.padded(input.channels).div_ceil(self.options.precision.chunk())
            + self.padded(output.channels).div_ceil(COLUMNS);
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
        arguments.push(self.taps(depthwise1));
        for product in [reduce, expand] {
            arguments.push(self.matrix(product));
            arguments.push(self.channels(product));
        }
        arguments.push(self.taps(depthwise2));
        arguments.extend([self.write(depthwise2.output), shortcut]);
        arguments.extend([input.height, input.width, self.padded(input.channels)].map(int));
        arguments.extend([self.padded(narrow.channels), self.padded(output.channels)].map(int));
        arguments.extend([output.height, output.width, stride].map(int));
        arguments.push(flags(steps));
        arguments.extend(added);
        arguments.extend(tile_arguments(tile));
        arguments.push(int(tiles::sandglass_halo(input, tile, stride)));
        let grid = [tile.count * self.options.batch, 1, 1];
        self.launch(steps, format!("sandglass_{most}").into(), grid, tile.shared, arguments);
        true
    }

    pub(super) fn inverted_residual(&mut self, first: usize) -> bool {
        let steps = &self.plan.steps[first..first + 3];
        let [expand, depthwise, project] = steps else { return false };
        let StepKind::Depthwise { stride } = depthwise.kind else { return false };
        let (input, wide, output) = (expand.input_shape, depthwise.input_shape, project.output_shape);
        let Some(most) = WIDTHS.into_iter().find(|width| output.channels <= *width) else { return false };
        if self.readers[project.output.0] == 1 && self.places[project.output.0].is_some() {
            // A result in 32 bits, which this kernel does not write.
            return false;
        }
        let turns = self.padded(wide.channels).div_ceil(self.options.precision.chunk());
        let need = tiles::inverted_residual(self.options.precision, input, stride, most);
        let Some(tile) = self.tile(project, 1, |_| turns, need) else { return false };
        let half = self.pointwise_depthwise_tile(expand, depthwise, stride);
        if half.is_some_and(|half| half.time + self.pointwise_time(project) < tile.time) {
            return false;
        }
        let (rows, columns) = tiles::held(input, tile.height, tile.width, stride);
        let (shortcut, added) = self.shortcut(project);
        let mut arguments = vec![self.read(expand.input)];
        arguments.push(self.matrix(expand));
        arguments.push(self.channels(expand));
        arguments.push(self.taps(depthwise));
        arguments.push(self.matrix(project));
        arguments.push(self.channels(project));
        arguments.extend([self.write(project.output), shortcut]);
        arguments.extend([input.height, input.width, self.padded(input.channels)].map(int));
        arguments.extend([self.padded(wide.channels), self.padded(output.channels)].map(int));
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
    pub(super) fn unpack(&mut self) {
        for index in 0..self.places.len() {
            let (Some(place), shape) = (self.places[index], self.plan.maps[index]) else { continue };
            let mut arguments = vec![self.read(Map(index)), Argument::Part(place.output)];
            let (pixels, channels) = (shape.pixels(), shape.channels);
            arguments.extend([self.options.batch, pixels, self.padded(channels), channels].map(int));
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
