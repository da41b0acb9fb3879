//! The anchors of the authors' VOC configuration for an input of 320×320.

use crate::heads::INPUT_SIZE;

/// Boxes at each cell of a map: two squares, and two shapes for each of the ratios 2 and 3.
pub const BOXES_PER_CELL: usize = 6;

/// One map: cells a side, pixels between centres, least and greatest side of a box in pixels.
struct Level {
    cells: usize,
    step: f64,
    least: f64,
    greatest: f64,
}

/// The six maps. The step of 120 is the authors', not 320 / 3.
const LEVELS: [Level; 6] = [
    Level { cells: 20, step: 16.0, least: 45.0, greatest: 120.0 },
    Level { cells: 10, step: 32.0, least: 90.0, greatest: 180.0 },
    Level { cells: 5, step: 64.0, least: 135.0, greatest: 220.0 },
    Level { cells: 3, step: 120.0, least: 180.0, greatest: 260.0 },
    Level { cells: 2, step: 160.0, least: 225.0, greatest: 300.0 },
    Level { cells: 1, step: 320.0, least: 270.0, greatest: 320.0 },
];

/// A box that the network's offsets start from; centre and size relative to the picture, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anchor {
    /// Centre, from the left.
    pub cx: f32,
    /// Centre, from the top.
    pub cy: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

/// All 3,234 anchors by level, row, column and box: the square of the least side, the square of
/// √(least × greatest), and for each ratio r the box of √r by 1/√r and the upright one. Every number is
/// clipped to 0..1 by itself, as the authors do it.
#[must_use]
pub fn anchors() -> Vec<Anchor> {
    let side = INPUT_SIZE as f64;
    let mut list = Vec::new();
    for level in &LEVELS {
        let small = level.least / side;
        let big = (level.least * level.greatest).sqrt() / side;
        let mut shapes = vec![(small, small), (big, big)];
        for ratio in [2.0f64, 3.0] {
            let root = ratio.sqrt();
            shapes.extend([(small * root, small / root), (small / root, small * root)]);
        }
        for (row, column) in (0..level.cells).flat_map(|r| (0..level.cells).map(move |c| (r, c))) {
            let centre = |i: usize| (i as f64 + 0.5) * level.step / side;
            list.extend(shapes.iter().map(|&(width, height)| {
                let [cx, cy, width, height] =
                    [centre(column), centre(row), width, height].map(|x| x.clamp(0.0, 1.0) as f32);
                Anchor { cx, cy, width, height }
            }));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_order() {
        let all = anchors();
        assert_eq!(all.len(), 3234);
        let first = Anchor { cx: 0.025, cy: 0.025, width: 45.0 / 320.0, height: 45.0 / 320.0 };
        assert_eq!(all[0], first);
        assert_eq!(all[6].cx, 0.075); // the next column
        assert_eq!((all[6 * 20].cx, all[6 * 20].cy), (0.025, 0.075)); // the next row
        let last = all[3233];
        assert_eq!((last.cx, last.cy, last.height), (0.5, 0.5, 1.0)); // 270·√3 is clipped to the picture
        assert!((last.width - 270.0 / 3f32.sqrt() / 320.0).abs() < 1e-6);
    }
}
