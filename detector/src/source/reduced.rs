//! JPEG pictures at a fraction of their size: a decoder that leaves out the fine frequencies of each block of 8 × 8 pixels
//! does less of everything but reading the coded bits.
//!
//! libjpeg-turbo does it. What it cannot or will not decode, the usual decoder gets, which then says why.

use image::RgbImage;
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat, ScalingFactor};

use crate::heads::INPUT_SIZE;

/// The shorter side that is left, at least: what the network looks at. Less would lose detail; more is taken at points, without
/// smoothing, on the way to the network's input, which costs mAP (`python/benches/reduced.py` measures it).
const LEAST_SIDE: usize = INPUT_SIZE;
/// Scans of a progressive picture that are decoded; encoders make ten or so, and each costs as much as the picture is large.
const MOST_SCANS: u32 = 100;

/// The picture at a half, a quarter or an eighth, with sides rounded up; `None` where it is too small for that, or this
/// decoder is not for it. Its size has been looked at already.
pub(super) fn decode(jpeg: &[u8], width: u32, height: u32) -> Option<RgbImage> {
    let shorter = width.min(height) as usize;
    let part = [8, 4, 2].into_iter().find(|part| shorter.div_ceil(*part) >= LEAST_SIDE)?;
    let factor = ScalingFactor::new(1, part);
    let mut decoder = Decompressor::new().ok()?;
    decoder.set_scan_limit(MOST_SCANS).ok()?;
    let header = decoder.read_header(jpeg).ok()?;
    let same = (header.width, header.height) == (width as usize, height as usize);
    if !same || matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
        return None;
    }
    decoder.set_scaling_factor(factor).ok()?;
    let (width, height) = (factor.scale(header.width), factor.scale(header.height));
    let mut pixels = vec![0; width * 3 * height];
    let into = Image { pixels: &mut pixels[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
    decoder.decompress(jpeg, into).ok()?;
    RgbImage::from_raw(u32::try_from(width).ok()?, u32::try_from(height).ok()?, pixels)
}
