//! Decoding the pictures of Motion JPEG, from cameras and AVI files.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::frame::{Frame, MAX_SIDE};

/// The most pixels of a picture.
const MAX_PIXELS: usize = 100_000_000;
/// The most pixels that a byte can stand for: a block of 64 takes a bit at least, though it be grey.
const MAX_PIXELS_A_BYTE: usize = 8 * 64;

/// Decodes one JPEG; bytes behind it are passed over. Motion JPEG may leave out its Huffman tables: those
/// of the standard are taken then. The error is a reason.
pub(crate) fn decode(bytes: &[u8]) -> Result<Frame, String> {
    let side = MAX_SIDE as usize;
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(side)
        .set_max_height(side)
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let failed = |e: zune_jpeg::errors::DecodeErrors| format!("not a whole JPEG: {e}");
    decoder.decode_headers().map_err(failed)?;
    let (width, height) = decoder.dimensions().ok_or("a JPEG without a size")?;
    let most = bytes.len().saturating_mul(MAX_PIXELS_A_BYTE).min(MAX_PIXELS);
    if width.checked_mul(height).is_none_or(|pixels| pixels > most) {
        return Err(format!("{} bytes are no JPEG of {width}×{height} pixels", bytes.len()));
    }
    let rgb = decoder.decode().map_err(failed)?;
    let size = |n: usize| u32::try_from(n).map_err(|_| "a JPEG of an impossible size");
    Frame::rgb8(size(width)?, size(height)?, rgb).map_err(|e| e.to_string())
}
