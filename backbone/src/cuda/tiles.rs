//! How a map is cut into the tiles that thread blocks compute, and the shared memory that takes.

use super::schedule::{Limits, Precision};
use crate::network::Shape;

/// ROWS and COLUMNS of `kernels/common.cuh`.
pub(super) const ROWS: usize = 128;
pub(super) const COLUMNS: usize = 64;

impl Precision {
    /// CHUNK of `kernels/common.cuh`.
    pub(super) const fn chunk(self) -> usize {
        match self {
            Self::F16 | Self::F32 => 32,
            Self::I8 => 64,
        }
    }

    /// PAD of `kernels/common.cuh`.
    const fn pad(self) -> usize {
        match self {
            Self::F16 | Self::F32 => 8,
            Self::I8 => 16,
        }
    }

    /// A row of a chunk.
    const fn pitch(self) -> usize {
        self.chunk() + self.pad()
    }

    /// DEPTH of `kernels/float.cuh` and `kernels/int8.cuh`: a depth rounded up to what one product takes.
    const fn deep(self, depth: usize) -> usize {
        let most = match self {
            Self::F16 | Self::F32 => 16,
            Self::I8 => 32,
        };
        self.padded(depth).next_multiple_of(most)
    }

    /// `weights_size` of `kernels/float.cuh` and `kernels/int8.cuh`.
    const fn weights(self, depth: usize, columns: usize) -> usize {
        match self {
            Self::F16 | Self::F32 => depth * (columns + self.pad()),
            Self::I8 => (depth + self.pad()) * columns,
        }
    }
}

/// A unit of time is what one pixel takes in one turn of a kernel's loop over channels. What a turn takes beside
/// its pixels: waiting for copies and for the other threads. An assumption, not measured.
const TURN: usize = 32;
/// What a launch takes beside its blocks, in the same unit. An assumption, not measured.
const LAUNCH: usize = 500;

/// Output pixels of a thread block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Tiles of a picture.
    pub(super) count: usize,
    /// Shared memory of a block in bytes.
    pub(super) shared: usize,
    /// About how long the launch takes, see [`LAUNCH`].
    pub(super) time: usize,
}

/// What a tile asks for.
pub(super) struct Need {
    /// Pixels that are computed or read, which the time follows.
    pub(super) work: usize,
    /// Shared memory, in values.
    pub(super) values: usize,
}

/// The tile of `output` for which a launch takes the least time; nothing where none fits. `blocks` is how many thread
/// blocks there are for each tile of one picture, `turns` how often so many blocks go around their loops.
pub(super) fn best(
    output: Shape,
    blocks: usize,
    turns: impl Fn(usize) -> usize,
    precision: Precision,
    limits: Limits,
    need: impl Fn(usize, usize) -> Option<Need>,
) -> Option<Tile> {
    let sizes = (1..=output.height.min(ROWS)).flat_map(|h| (1..=output.width.min(ROWS)).map(move |w| (h, w)));
    let candidates = sizes.filter_map(|(height, width)| {
        let need = need(height, width)?;
        let shared = need.values * precision.bytes();
        let count = output.height.div_ceil(height) * output.width.div_ceil(width);
        let time = time(count * blocks, turns(count * blocks), need.work, limits);
        (shared <= limits.shared).then_some(Tile { height, width, count, shared, time })
    });
    candidates.min_by_key(|tile| (tile.time, tile.count))
}

/// About how long a launch takes whose blocks each go around their loop so often, with so many pixels.
pub(super) fn time(blocks: usize, turns: usize, pixels: usize, limits: Limits) -> usize {
    LAUNCH + blocks.div_ceil(limits.multiprocessors.max(1)) * turns * (pixels + TURN)
}

/// In how many parts the depth of a product is cut, so that `blocks` blocks become enough for the device.
pub(super) fn parts(blocks: usize, depth: usize, precision: Precision, limits: Limits) -> usize {
    (limits.multiprocessors / blocks.max(1)).clamp(1, (depth.div_ceil(precision.chunk()) / 2).max(1))
}

/// Turns of a kernel whose depth is cut into [`parts`], adding the parts up included.
pub(super) fn turns_of_parts(depth: usize, precision: Precision, limits: Limits) -> impl Fn(usize) -> usize {
    let turns = depth.div_ceil(precision.chunk());
    move |blocks| match parts(blocks, depth, precision, limits) {
        1 => turns,
        parts => turns.div_ceil(parts) + 2,
    }
}

/// Rows and columns that a 3×3 reads for `height` × `width` pixels of its output.
fn halo(height: usize, width: usize, stride: usize) -> (usize, usize) {
    ((height - 1) * stride + 3, (width - 1) * stride + 3)
}

/// As [`halo`], without what is outside of the map.
pub(super) fn held(input: Shape, height: usize, width: usize, stride: usize) -> (usize, usize) {
    let (rows, columns) = halo(height, width, stride);
    (rows.min(input.height), columns.min(input.width))
}

/// Pixels of the padded halo that a sandglass block's first depthwise reads.
pub(super) fn sandglass_halo(input: Shape, tile: Tile, stride: usize) -> usize {
    let (rows, columns) = held(input, tile.height, tile.width, stride);
    (rows + 2) * (columns + 2)
}

/// `pointwise.cu`, in bytes.
pub(super) fn pointwise(precision: Precision) -> usize {
    2 * (ROWS * precision.pitch() + precision.weights(precision.chunk(), COLUMNS)) * precision.bytes()
}

/// `depthwise_pointwise.cu`.
pub(super) fn depthwise_pointwise(
    precision: Precision,
    stride: usize,
) -> impl Fn(usize, usize) -> Option<Need> {
    let (pitch, weights) = (precision.pitch(), precision.weights(precision.chunk(), COLUMNS));
    move |height, width| {
        let (rows, columns) = halo(height, width, stride);
        let read = rows * columns;
        (height * width <= ROWS).then(|| Need {
            work: (height * width).next_multiple_of(16) + read / 2,
            values: 2 * read * pitch + ROWS * pitch + 2 * weights,
        })
    }
}

/// `pointwise_depthwise.cu`.
pub(super) fn pointwise_depthwise(
    precision: Precision,
    input: Shape,
    stride: usize,
) -> impl Fn(usize, usize) -> Option<Need> {
    let (pitch, weights) = (precision.pitch(), precision.weights(precision.chunk(), COLUMNS));
    let rows_between = ROWS * (COLUMNS + precision.pad());
    move |height, width| {
        let (rows, columns) = held(input, height, width, stride);
        (rows * columns <= ROWS).then(|| Need {
            work: (rows * columns).next_multiple_of(16),
            values: 2 * (ROWS * pitch + weights) + rows_between,
        })
    }
}

/// `sandglass.cu`, with `most` the narrow channels that the kernel is made for.
pub(super) fn sandglass(
    precision: Precision,
    input: Shape,
    stride: usize,
    narrow: usize,
    most: usize,
) -> impl Fn(usize, usize) -> Option<Need> {
    move |height, width| {
        let (rows, columns) = held(input, height, width, stride);
        let read = (rows + 2) * (columns + 2);
        let (pitch, pad) = (precision.pitch(), precision.pad());
        let first = 2 * read * pitch + ROWS * pitch + 2 * precision.weights(precision.chunk(), most);
        let second = 2 * precision.weights(precision.deep(narrow), COLUMNS) + ROWS * (COLUMNS + pad);
        (rows * columns <= ROWS).then(|| Need {
            work: (rows * columns).next_multiple_of(16) + read / 4,
            values: ROWS * (most + pad) + first.max(second),
        })
    }
}

/// `inverted_residual.cu`, with `most` the output channels that the kernel is made for.
pub(super) fn inverted_residual(
    precision: Precision,
    input: Shape,
    stride: usize,
    most: usize,
) -> impl Fn(usize, usize) -> Option<Need> {
    move |height, width| {
        let (rows, columns) = held(input, height, width, stride);
        let held = (rows * columns).next_multiple_of(16);
        let (pitch, chunk, deep) = (precision.pitch(), precision.chunk(), precision.deep(input.channels));
        let weights = precision.weights(deep, chunk) + precision.weights(chunk, most);
        (held <= 2 * ROWS && height * width <= ROWS).then(|| Need {
            work: held + (height * width).next_multiple_of(16),
            values: held * (deep + precision.pad()) + held * pitch + ROWS * pitch + 2 * weights,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOPPER: Limits = Limits { shared: 227 * 1024, multiprocessors: 132 };

    #[test]
    fn tiles_fit_and_cover() {
        for (side, channels, stride) in [(80, 144, 1), (40, 192, 2), (20, 384, 1), (10, 960, 1), (1, 8, 1)] {
            let input = Shape::new(side, side, channels);
            let output = Shape::new(side.div_ceil(stride), side.div_ceil(stride), channels);
            for (precision, blocks) in
                [(Precision::F16, 1), (Precision::F16, 64), (Precision::F32, 1), (Precision::I8, 1)]
            {
                let tile = best(
                    output,
                    blocks,
                    |_| 9,
                    precision,
                    HOPPER,
                    sandglass(precision, input, stride, 160, 160),
                )
                .unwrap();
                let (rows, columns) = held(input, tile.height, tile.width, stride);
                assert!(rows * columns <= ROWS && tile.shared <= HOPPER.shared);
                assert!(tile.count * tile.height * tile.width >= output.pixels());
            }
        }
        let (turing, shape) = (Limits { shared: 64 * 1024, multiprocessors: 40 }, Shape::new(10, 10, 960));
        assert_eq!(
            best(shape, 1, |_| 9, Precision::F16, turing, sandglass(Precision::F16, shape, 1, 160, 160)),
            None
        );
        assert!(
            best(shape, 1, |_| 9, Precision::F16, turing, depthwise_pointwise(Precision::F16, 2)).is_some()
        );
    }

    #[test]
    fn few_blocks_share_a_depth() {
        assert_eq!(parts(1, 960, Precision::F16, HOPPER), 15);
        assert_eq!(parts(50, 960, Precision::F16, HOPPER), 2);
        assert_eq!((parts(200, 960, Precision::F16, HOPPER), parts(1, 40, Precision::F16, HOPPER)), (1, 1));
        assert_eq!(turns_of_parts(960, Precision::F16, HOPPER)(1), 4);
        assert_eq!(turns_of_parts(960, Precision::F16, HOPPER)(200), 30);
    }

    #[test]
    fn one_picture_is_cut_finer_than_many() {
        let shape = Shape::new(40, 40, 192);
        let count = |blocks| {
            best(shape, blocks, |_| 9, Precision::F16, HOPPER, sandglass(Precision::F16, shape, 1, 32, 32))
                .unwrap()
                .count
        };
        assert!(count(1) > count(64));
    }
}
