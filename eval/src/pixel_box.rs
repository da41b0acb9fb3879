//! Boxes of inclusive pixels and their overlap.

/// A rectangle by its first and last pixel, the first pixel of a picture being 1, 1 in VOC's files.
///
/// Both ends belong to the box: it is `xmax - xmin + 1` pixels wide. Corners can be fractional and
/// the `+ 1` stays, as in the devkit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PixelBox {
    /// First column.
    pub xmin: f64,
    /// First row.
    pub ymin: f64,
    /// Last column.
    pub xmax: f64,
    /// Last row.
    pub ymax: f64,
}

impl PixelBox {
    /// A box from `[xmin, ymin, xmax, ymax]`.
    #[must_use]
    pub fn from_corners([xmin, ymin, xmax, ymax]: [f64; 4]) -> Self {
        Self { xmin, ymin, xmax, ymax }
    }

    /// The inclusive pixels of a continuous box `[x1, y1, x2, y2]`, whose coordinates count from the
    /// corner of the picture. The pixel that lies from x to x + 1 has the number x + 1 in VOC's count
    /// from 1, so a box over the whole of a picture becomes 1, 1, width, height.
    #[must_use]
    pub fn from_continuous([x1, y1, x2, y2]: [f64; 4]) -> Self {
        Self { xmin: x1 + 1.0, ymin: y1 + 1.0, xmax: x2, ymax: y2 }
    }

    /// The box as `[xmin, ymin, xmax, ymax]`.
    #[must_use]
    pub fn corners(self) -> [f64; 4] {
        [self.xmin, self.ymin, self.xmax, self.ymax]
    }

    /// Whether all four corners are numbers, neither NaN nor infinite.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.corners().iter().all(|c| c.is_finite())
    }

    /// Whether a last pixel comes before its first one.
    #[must_use]
    pub fn is_inverted(self) -> bool {
        self.xmax < self.xmin || self.ymax < self.ymin
    }
}

/// Intersection over union of two boxes of inclusive pixels, or `None` where they do not overlap:
/// where the intersection, its last pixel included, has no width or no height.
///
/// The order of the operations is the devkit's (`VOCevaldet.m`), so that a value that lies exactly
/// on a threshold lies there with us too.
#[must_use]
pub fn iou_inclusive(a: PixelBox, b: PixelBox) -> Option<f64> {
    let width = a.xmax.min(b.xmax) - a.xmin.max(b.xmin) + 1.0;
    let height = a.ymax.min(b.ymax) - a.ymin.max(b.ymin) + 1.0;
    if width > 0.0 && height > 0.0 {
        let area = |r: PixelBox| (r.xmax - r.xmin + 1.0) * (r.ymax - r.ymin + 1.0);
        let both = width * height;
        Some(both / (area(a) + area(b) - both))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn b(xmin: f64, ymin: f64, xmax: f64, ymax: f64) -> PixelBox {
        PixelBox { xmin, ymin, xmax, ymax }
    }

    #[test]
    fn the_last_pixel_belongs_to_the_box() {
        let ten = b(1.0, 1.0, 10.0, 10.0);
        assert_eq!(iou_inclusive(ten, ten), Some(1.0));
        assert_eq!(iou_inclusive(ten, b(1.0, 1.0, 10.0, 5.0)), Some(0.5));
        // One shared column of 10 pixels in 190; side by side is no overlap.
        assert_eq!(iou_inclusive(ten, b(10.0, 1.0, 19.0, 10.0)), Some(10.0 / 190.0));
        assert_eq!(iou_inclusive(ten, b(11.0, 1.0, 20.0, 10.0)), None);
        // A single pixel is a box.
        assert_eq!(iou_inclusive(b(3.0, 3.0, 3.0, 3.0), ten), Some(0.01));
    }

    #[test]
    fn continuous_boxes_become_pixels() {
        assert_eq!(PixelBox::from_continuous([0.0, 0.0, 640.0, 480.0]), b(1.0, 1.0, 640.0, 480.0));
        assert_eq!(PixelBox::from_continuous([3.0, 4.0, 4.0, 5.0]), b(4.0, 5.0, 4.0, 5.0));
    }

    #[test]
    fn nothing_overlaps_an_inverted_box() {
        assert_eq!(iou_inclusive(b(8.0, 1.0, 2.0, 10.0), b(1.0, 1.0, 10.0, 10.0)), None);
        assert!(b(8.0, 1.0, 2.0, 10.0).is_inverted());
        assert!(!b(8.0, 1.0, 8.0, 1.0).is_inverted());
    }
}
