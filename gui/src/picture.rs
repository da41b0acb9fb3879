//! From a frame to the picture the window draws.

use std::sync::Arc;

use egui::{Color32, ColorImage};
use sandglass_detector::Frame;

/// The longest side handed to the graphics card: any of them takes this much.
const MAX_SIDE: u32 = 4096;

/// The frame as an image for a texture; a huge one is thinned out to what every card takes.
pub(crate) fn image(frame: &Frame) -> Arc<ColorImage> {
    let step = frame.width().max(frame.height()).div_ceil(MAX_SIDE).max(1) as usize;
    let size = [(frame.width() as usize).div_ceil(step), (frame.height() as usize).div_ceil(step)];
    let mut pixels = Vec::with_capacity(size[0] * size[1]);
    for y in (0..frame.height()).step_by(step) {
        let (row, _) = frame.row(y).as_chunks::<3>();
        pixels.extend(row.iter().step_by(step).map(|&[r, g, b]| Color32::from_rgb(r, g, b)));
    }
    Arc::new(ColorImage::new(size, pixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_left_out_and_huge_frames_are_thinned() {
        let frame = Frame::with_stride(1, 2, 4, vec![1, 2, 3, 0, 4, 5, 6]).unwrap();
        let small = image(&frame);
        assert_eq!(small.size, [1, 2]);
        assert_eq!(small.pixels, [Color32::from_rgb(1, 2, 3), Color32::from_rgb(4, 5, 6)]);
        let wide = image(&Frame::rgb8(9001, 2, vec![7; 9001 * 6]).unwrap());
        assert_eq!(wide.size, [3001, 1]);
        assert_eq!(wide.pixels.len(), 3001);
    }
}
