//! From a camera's bytes to a frame: what arrived decides, not what was promised.

use yuv::{YuvBiPlanarImage, YuvConversionMode, YuvPackedImage, YuvRange, YuvStandardMatrix};

use super::{CameraFormat, Encoding};
use crate::frame::{Frame, MAX_SIDE};
use crate::source::jpeg;

/// Unpacks a picture that was promised in `format`.
///
/// Bytes behind the picture are passed over. A JPEG is told by its first bytes and gives its own size,
/// whatever was promised.
///
/// # Errors
/// Why the bytes are no such picture.
pub fn unpack(bytes: &[u8], format: CameraFormat) -> Result<Frame, String> {
    if bytes.starts_with(&[0xff, 0xd8]) || format.encoding == Encoding::Mjpeg {
        return jpeg::decode(bytes);
    }
    let CameraFormat { width, height, .. } = format;
    if ![width, height].iter().all(|side| (1..=MAX_SIDE).contains(side)) {
        return Err(format!("a picture of {width}×{height} pixels is not accepted"));
    }
    let (columns, rows) = (width as usize, height as usize);
    let needed = match format.encoding {
        Encoding::Yuyv => columns.next_multiple_of(2) * rows * 2,
        Encoding::Nv12 => columns * rows + columns.next_multiple_of(2) * rows.div_ceil(2),
        Encoding::Rgb | Encoding::Bgr => columns * rows * 3,
        Encoding::Gray | Encoding::Mjpeg => columns * rows,
    };
    let bytes = bytes.get(..needed).ok_or_else(|| {
        format!(
            "{} bytes came, a picture of {width}×{height} in {} has {needed}",
            bytes.len(),
            format.encoding
        )
    })?;
    let failed = |e: yuv::YuvError| e.to_string();
    let mut rgb = vec![0; columns * rows * 3];
    // Cameras give BT.601 in the limited range unless they say otherwise, which V4L2 through nokhwa does not.
    let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt601);
    match format.encoding {
        Encoding::Yuyv => {
            let yuy_stride = width.next_multiple_of(2) * 2;
            let image = YuvPackedImage { yuy: bytes, yuy_stride, width, height };
            yuv::yuyv422_to_rgb(&image, &mut rgb, width * 3, range, matrix).map_err(failed)?;
        }
        Encoding::Nv12 => {
            let (y_plane, uv_plane) = bytes.split_at(columns * rows);
            let uv_stride = width.next_multiple_of(2);
            let image = YuvBiPlanarImage { y_plane, y_stride: width, uv_plane, uv_stride, width, height };
            let mode = YuvConversionMode::Balanced;
            yuv::yuv_nv12_to_rgb(&image, &mut rgb, width * 3, range, matrix, mode).map_err(failed)?;
        }
        Encoding::Rgb => rgb.copy_from_slice(bytes),
        Encoding::Bgr => {
            for (to, from) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(bytes.as_chunks::<3>().0) {
                *to = [from[2], from[1], from[0]];
            }
        }
        Encoding::Gray | Encoding::Mjpeg => {
            for (to, from) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(bytes) {
                *to = [*from; 3];
            }
        }
    }
    Frame::rgb8(width, height, rgb).map_err(|e| e.to_string())
}
