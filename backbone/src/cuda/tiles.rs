//! How a map is cut into the tiles that thread blocks compute, and the shared memory that takes.

use super::packing::padded;
use super::schedule::{Limits, Precision};
use crate::network::Shape;

/// ROWS, CHUNK, COLUMNS and PAD of `kernels/common.cuh`.
pub(super) const ROWS: usize = 128;
pub(super) const CHUNK: usize = 32;
pub(super) const COLUMNS: usize = 64;
const PAD: usize = 8;
const PITCH: usize = CHUNK + PAD;
const RIGHT: usize = COLUMNS + PAD;
/// What a block costs beside its pixels, in pixels: its beginning and end. Not measured.
const OVERHEAD: usize = 32;

/// Output pixels of a thread block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Tiles of a picture.
    pub(super) count: usize,
    /// Shared memory of a block in bytes.
    pub(super) shared: usize,
}

/// What a tile asks for.
pub(super) struct Need {
    /// Pixels that are computed or read, which the time follows.
    pub(super) work: usize,
    /// Shared memory, in values.
    pub(super) values: usize,
}

/// The tile of `output` for which all blocks together take the least time; nothing where none fits.
/// `blocks` is how many thread blocks there are for each tile of one picture.
pub(super) fn best(
    output: Shape,
    blocks: usize,
    precision: Precision,
    limits: Limits,
    need: impl Fn(usize, usize) -> Option<Need>,
) -> Option<Tile> {
    let sizes = (1..=output.height.min(ROWS)).flat_map(|h| (1..=output.width.min(ROWS)).map(move |w| (h, w)));
    let candidates = sizes.filter_map(|(height, width)| {
        let need = need(height, width)?;
        let shared = need.values * precision.bytes();
        let count = output.height.div_ceil(height) * output.width.div_ceil(width);
        let rounds = (count * blocks).div_ceil(limits.multiprocessors.max(1));
        let cost = (rounds * (need.work + OVERHEAD), count);
        (shared <= limits.shared).then_some((cost, Tile { height, width, count, shared }))
    });
    candidates.min_by_key(|(cost, _)| *cost).map(|(_, tile)| tile)
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
    2 * (ROWS * PITCH + CHUNK * RIGHT) * precision.bytes()
}

/// `depthwise_pointwise.cu`.
pub(super) fn depthwise_pointwise(stride: usize) -> impl Fn(usize, usize) -> Option<Need> {
    move |height, width| {
        let (rows, columns) = halo(height, width, stride);
        let read = rows * columns;
        (height * width <= ROWS).then(|| Need {
            work: (height * width).next_multiple_of(16) + read / 2,
            values: 2 * read * PITCH + ROWS * PITCH + 2 * CHUNK * RIGHT,
        })
    }
}

/// `pointwise_depthwise.cu`.
pub(super) fn pointwise_depthwise(input: Shape, stride: usize) -> impl Fn(usize, usize) -> Option<Need> {
    move |height, width| {
        let (rows, columns) = held(input, height, width, stride);
        (rows * columns <= ROWS).then(|| Need {
            work: (rows * columns).next_multiple_of(16),
            values: 2 * (ROWS * PITCH + CHUNK * RIGHT) + ROWS * RIGHT,
        })
    }
}

/// `sandglass.cu`, with `most` the narrow channels that the kernel is made for.
pub(super) fn sandglass(
    input: Shape,
    stride: usize,
    narrow: usize,
    most: usize,
) -> impl Fn(usize, usize) -> Option<Need> {
    move |height, width| {
        let (rows, columns) = held(input, height, width, stride);
        let read = (rows + 2) * (columns + 2);
        let first = 2 * read * PITCH + ROWS * PITCH + 2 * CHUNK * (most + PAD);
        let second = 2 * padded(narrow).next_multiple_of(16) * RIGHT + ROWS * RIGHT;
        (rows * columns <= ROWS).then(|| Need {
            work: (rows * columns).next_multiple_of(16) + read / 4,
            values: ROWS * (most + PAD) + first.max(second),
        })
    }
}

/// `inverted_residual.cu`, with `most` the output channels that the kernel is made for.
pub(super) fn inverted_residual(
    input: Shape,
    stride: usize,
    most: usize,
) -> impl Fn(usize, usize) -> Option<Need> {
    move |height, width| {
        let (rows, columns) = held(input, height, width, stride);
        let held = (rows * columns).next_multiple_of(16);
        let deep = padded(input.channels).next_multiple_of(16);
        (held <= 2 * ROWS && height * width <= ROWS).then(|| Need {
            work: held + (height * width).next_multiple_of(16),
            values: held * (deep + PAD)
                + held * PITCH
                + ROWS * PITCH
                + 2 * deep * PITCH
                + 2 * CHUNK * (most + PAD),
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
            for (precision, blocks) in [(Precision::F16, 1), (Precision::F16, 64), (Precision::F32, 1)] {
                let tile =
                    best(output, blocks, precision, HOPPER, sandglass(input, stride, 160, 160)).unwrap();
                let (rows, columns) = held(input, tile.height, tile.width, stride);
                assert!(rows * columns <= ROWS && tile.shared <= HOPPER.shared);
                assert!(tile.count * tile.height * tile.width >= output.pixels());
            }
        }
        let (turing, shape) = (Limits { shared: 64 * 1024, multiprocessors: 40 }, Shape::new(10, 10, 960));
        assert_eq!(best(shape, 1, Precision::F16, turing, sandglass(shape, 1, 160, 160)), None);
        assert!(best(shape, 1, Precision::F16, turing, depthwise_pointwise(2)).is_some());
    }

    #[test]
    fn one_picture_is_cut_finer_than_many() {
        let shape = Shape::new(40, 40, 192);
        let count =
            |blocks| best(shape, blocks, Precision::F16, HOPPER, sandglass(shape, 1, 32, 32)).unwrap().count;
        assert!(count(1) > count(64));
    }
}
