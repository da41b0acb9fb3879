//! Pictures from files, one or a folder full.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use super::FrameSource;
use crate::error::Error;
use crate::frame::{Frame, MAX_SIDE};

/// The largest picture that is decoded, in pixels.
const MAX_PIXELS: u64 = 100_000_000;
/// The largest file that is read, in bytes; 100 megapixels of 16-bit RGBA without compression fit.
const MAX_FILE: u64 = 1 << 30;
/// What in a folder counts as a picture. Files named one by one may be called anything.
const EXTENSIONS: [&str; 12] =
    ["bmp", "gif", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"];

/// Pictures from a list of files, in the order of the list, each taken at time zero or, with
/// [`Images::with_rate`], one after the other.
///
/// A picture that cannot be read is an error once; the next call goes on with the one after it.
#[derive(Clone, Debug)]
pub struct Images {
    paths: Vec<PathBuf>,
    next: usize,
    /// The time of a picture.
    interval: Option<Duration>,
}

impl Images {
    /// A source over these files; none is opened yet.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, next: 0, interval: None }
    }

    /// The same, `rate` pictures a second, 0.001 to 1,000.
    ///
    /// # Errors
    /// [`Error::Setting`] where it is out of range.
    pub fn with_rate(self, rate: f64) -> Result<Self, Error> {
        if !(0.001..=1000.0).contains(&rate) {
            let expected = "between 0.001 and 1000 pictures a second";
            return Err(Error::Setting { name: "picture rate", value: rate.to_string(), expected });
        }
        Ok(Self { interval: Some(Duration::from_secs_f64(1.0 / rate)), ..self })
    }

    /// The file of the frame given last, or of the first before that.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.paths.get(self.next.saturating_sub(1)).map(PathBuf::as_path)
    }
}

impl FrameSource for Images {
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let Some(path) = self.paths.get(self.next) else { return Ok(None) };
        let time = self.time(self.next);
        self.next += 1;
        load_image(path).map(|frame| Some(frame.at(time)))
    }

    fn name(&self) -> String {
        self.path().map_or_else(|| "no pictures".into(), |path| path.display().to_string())
    }

    fn frame_count(&self) -> Option<u64> {
        Some(self.paths.len() as u64)
    }

    fn frame_interval(&self) -> Option<Duration> {
        self.interval
    }

    fn duration(&self) -> Option<Duration> {
        self.interval.map(|_| self.time(self.paths.len()))
    }

    fn seek(&mut self, to: Duration) -> Result<(), Error> {
        // Without times of their own, pictures are at 0: back to the first.
        let interval = self.interval.map_or(0, |interval| interval.as_nanos());
        let index = to.as_nanos().checked_div(interval).unwrap_or(0);
        self.next = usize::try_from(index).unwrap_or(usize::MAX).min(self.paths.len());
        Ok(())
    }
}

impl Images {
    /// When the picture of this number is shown.
    fn time(&self, index: usize) -> Duration {
        let interval = self.interval.unwrap_or_default();
        u32::try_from(index).map_or(Duration::MAX, |index| interval.saturating_mul(index))
    }
}

/// How much of a picture is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Every pixel.
    Whole,
    /// What a detector looks at: large JPEG pictures are decoded to a half, a quarter or an eighth, which takes a fraction
    /// of the time. The frame stands for the whole picture ([`Frame::full_size`]).
    Reduced,
}

/// Decodes a picture file to a frame, upright, whatever its name ends in: [`read_image`] with every pixel.
///
/// # Errors
/// As [`read_image`].
pub fn load_image(path: &Path) -> Result<Frame, Error> {
    read_image(path, Detail::Whole)
}

/// Decodes a picture file to a frame, upright, whatever its name ends in.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Media`] where it is a folder, otherwise as [`decode_image`].
pub fn read_image(path: &Path, detail: Detail) -> Result<Frame, Error> {
    decode_image(&read(path)?, path, detail)
}

/// Decodes the content of a picture file to a frame, upright; `path` is what errors call it.
///
/// The first picture of an animation counts. What is transparent is laid over white. 16 bits a channel
/// become 8, CMYK becomes RGB without a colour profile.
///
/// # Errors
/// [`Error::Media`] where it is empty, in an unknown format, cut short, damaged, or larger than [`MAX_SIDE`] on a
/// side or 100 megapixels, which is found out before the pixels are decoded.
pub fn decode_image(bytes: &[u8], path: &Path, detail: Detail) -> Result<Frame, Error> {
    let refuse = |reason: &str| Error::Media { path: path.to_owned(), reason: reason.to_owned() };
    if bytes.is_empty() {
        return Err(refuse("is empty (0 bytes)"));
    }
    let reader = ImageReader::new(Cursor::new(bytes));
    let mut reader =
        reader.with_guessed_format().map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let Some(format) = reader.format() else {
        return Err(refuse("is not a picture that can be read (JPEG, PNG, WebP, GIF, BMP, TIFF, PNM)"));
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_PIXELS * 8 + (64 << 20));
    reader.limits(limits);
    let failed = |error: ImageError| refuse(&explain(&error, format));
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(refuse("has no pixels"));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(refuse(&format!("has {width}×{height} pixels, 100 megapixels are accepted")));
    }
    // A decoder fills up what is missing of a JPEG with grey and says nothing.
    if format == ImageFormat::Jpeg && !jpeg_has_end(bytes) {
        return Err(refuse("is cut short: the end of the JPEG picture is missing"));
    }
    let orientation = decoder.orientation().map_err(failed)?;
    let reduced = match (format, detail) {
        (ImageFormat::Jpeg, Detail::Reduced) => reduced(bytes, width, height),
        _ => None,
    };
    let mut picture = match reduced {
        Some(small) => DynamicImage::from(small),
        None => DynamicImage::from_decoder(decoder).map_err(failed)?,
    };
    picture.apply_orientation(orientation);
    let picture = flatten(picture);
    use image::metadata::Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let on_its_side = matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    let (width, height) = if on_its_side { (height, width) } else { (width, height) };
    Ok(Frame::rgb8(picture.width(), picture.height(), picture.into_raw())?.standing_for(width, height))
}

/// The content of a file that could be a picture by its size.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let refuse = |reason: String| Err(Error::Media { path: path.to_owned(), reason });
    let io = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    if about.is_dir() {
        return refuse("is a folder, not a picture".into());
    }
    if about.len() > MAX_FILE {
        return refuse(format!("has {} bytes, a picture may have {MAX_FILE}", about.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

#[cfg(feature = "turbojpeg")]
use super::reduced::decode as reduced;

/// Without the decoder for it, every picture is decoded whole.
#[cfg(not(feature = "turbojpeg"))]
fn reduced(_: &[u8], _: u32, _: u32) -> Option<RgbImage> {
    None
}

fn explain(error: &ImageError, format: ImageFormat) -> String {
    let kind = format!("{format:?}").to_uppercase();
    match error {
        ImageError::Limits(_) => {
            format!("is too large: sides of {MAX_SIDE} pixels and 100 megapixels are accepted")
        }
        ImageError::Unsupported(_) => format!("is a {kind} picture of a kind that cannot be read: {error}"),
        _ => format!("is cut short or damaged {kind}: {error}"),
    }
}

/// Whether an end marker follows the last start of a scan. In the coded data between them neither pair
/// of bytes can occur.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xda) < last(0xd9)
}

/// The picture as RGB of 8 bits, over white where it is transparent.
fn flatten(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let (width, height) = rgba.dimensions();
    let mut rgb = RgbImage::new(width, height);
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [r, g, b, alpha] = from.0.map(u16::from);
        to.0 = [r, g, b].map(|c| ((c * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    rgb
}

/// The files meant by arguments of a command line: files as they are, folders as the pictures directly in
/// them, patterns with `*`, `?` or `[` (where no file is called so) as the files they match; folders and
/// patterns in natural order, `2.jpg` before `10.jpg`.
///
/// # Errors
/// [`Error::Source`], naming the argument, where it means nothing; [`Error::Io`] where a folder cannot be
/// listed.
pub fn expand(args: &[String]) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for arg in args {
        let path = Path::new(arg);
        let found = if path.is_dir() {
            nothing_is_an_error(in_folder(path)?, || format!("there is no picture in the folder {arg}"))?
        } else if path.exists() {
            vec![path.to_owned()]
        } else if arg.contains(['*', '?', '[']) {
            nothing_is_an_error(matching(arg)?, || format!("no file matches {arg}"))?
        } else {
            return Err(Error::Source(format!("there is no file or folder {arg}")));
        };
        paths.extend(found);
    }
    Ok(paths)
}

fn nothing_is_an_error(
    mut paths: Vec<PathBuf>,
    reason: impl FnOnce() -> String,
) -> Result<Vec<PathBuf>, Error> {
    if paths.is_empty() {
        return Err(Error::Source(reason()));
    }
    paths.sort_by(|a, b| natord::compare(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(paths)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        // Names with a dot in front are other programs' notes, such as macOS's ._photo.jpg.
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && is_picture_name(&path) && path.is_file() {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn is_picture_name(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

fn matching(pattern: &str) -> Result<Vec<PathBuf>, Error> {
    let paths = glob::glob(pattern)
        .map_err(|error| Error::Source(format!("{pattern} is no pattern that can be used: {error}")))?;
    // Folders that may not be entered have nothing that could be opened either.
    Ok(paths.filter_map(Result::ok).filter(|path| path.is_file()).collect())
}

#[cfg(test)]
mod tests;
