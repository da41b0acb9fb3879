//! Where frames come from: one trait, one file a kind of source.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::frame::Frame;

#[cfg(feature = "camera")]
pub mod camera;
#[cfg(feature = "video")]
mod demo;
mod images;
#[cfg(any(feature = "camera", feature = "video"))]
mod jpeg;
#[cfg(feature = "turbojpeg")]
mod reduced;
#[cfg(feature = "video")]
pub mod video;

#[cfg(feature = "video")]
pub use demo::Demo;
pub use images::{Detail, Images, decode_image, expand, load_image, read_image};

/// File name endings of videos.
const VIDEO_EXTENSIONS: [&str; 10] = ["avi", "flv", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "webm", "wmv"];

/// Something that gives frames one after the other.
pub trait FrameSource: Send {
    /// The next frame, or `None` after the last.
    ///
    /// # Errors
    /// [`Error`] where this frame cannot be had. Sources that can go on (a folder with one broken picture,
    /// a camera that was unplugged) give the frame after it at a later call; the others give `None` from
    /// then on.
    fn next_frame(&mut self) -> Result<Option<Frame>, Error>;

    /// A name to show: the file of the current frame, `demo`, a camera's name.
    fn name(&self) -> String;

    /// How many frames there are in all, where that is known.
    fn frame_count(&self) -> Option<u64> {
        None
    }

    /// The usual time between two frames, where there is one.
    fn frame_interval(&self) -> Option<Duration> {
        None
    }

    /// From the first frame to the end of the last, where that is known.
    fn duration(&self) -> Option<Duration> {
        None
    }

    /// Goes on with the frame that is on the screen at `to`; frames keep their times. Beyond the end there
    /// is at most the last one.
    ///
    /// # Errors
    /// [`Error::Source`] where one cannot move in this source, otherwise as [`FrameSource::next_frame`].
    fn seek(&mut self, to: Duration) -> Result<(), Error> {
        let _ = to;
        Err(Error::Source(format!("{}: one cannot move in this source", self.name())))
    }

    /// For what is live: the moment that frame times count from.
    fn live_since(&self) -> Option<Instant> {
        None
    }

    /// Frames that were lost so far: overwritten by newer ones (live) or damaged.
    fn dropped(&self) -> u64 {
        0
    }

    /// Something worth telling people about how this source is read, such as that another program does it.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// How [`open_with`] opens what can be opened in more than one way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    /// The size and rate wanted of a camera.
    #[cfg(feature = "camera")]
    pub camera: camera::Wish,
    /// Pictures a second of a folder or list of pictures; without it they have no time.
    pub picture_rate: Option<f64>,
}

/// Opens a source by what a person types: `demo` (the built-in clip, once), `camera`, `camera:1` or
/// `camera:NAME`, a video file, a picture, a folder of pictures, a pattern such as `photos/*.jpg`.
///
/// # Errors
/// [`Error::Source`] where it names nothing, otherwise as the source itself.
pub fn open(name: &str) -> Result<Box<dyn FrameSource>, Error> {
    open_with(name, &OpenOptions::default())
}

/// As [`open`], in a certain way.
///
/// # Errors
/// As [`open`], and [`Error::Setting`] where the picture rate is no rate.
pub fn open_with(name: &str, options: &OpenOptions) -> Result<Box<dyn FrameSource>, Error> {
    if let Some(id) = camera_id(name) {
        #[cfg(feature = "camera")]
        return Ok(Box::new(camera::Camera::open(id, options.camera)?));
        #[cfg(not(feature = "camera"))]
        return Err(Error::Source(format!("camera {id}: this build has no cameras")));
    }
    #[cfg(feature = "video")]
    if name == "demo" && !Path::new(name).exists() {
        return Ok(Box::new(Demo::new(false)?));
    }
    if is_video(name) {
        #[cfg(feature = "video")]
        return video::open(Path::new(name));
        #[cfg(not(feature = "video"))]
        return Err(Error::Source(format!("{name}: this build reads no videos")));
    }
    let images = Images::new(expand(&[name.to_owned()])?);
    Ok(Box::new(match options.picture_rate {
        Some(rate) => images.with_rate(rate)?,
        None => images,
    }))
}

/// Whether a name means a source that moves: a camera, `demo`, a file that is named as videos are, or one
/// that is a video by its first bytes, whatever it is called.
#[must_use]
pub fn is_video(name: &str) -> bool {
    let path = Path::new(name);
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let named = extension.is_some_and(|e| VIDEO_EXTENSIONS.contains(&e.as_str()));
    (named && !path.is_dir())
        || (name == "demo" && !path.exists())
        || is_camera(name)
        || (path.is_file() && begins_as_video(path))
}

/// Whether a file begins as MP4, AVI or Matroska do.
fn begins_as_video(path: &Path) -> bool {
    let mut head = [0; 12];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    let [_, _, _, _, k0, k1, k2, k3, ..] = head;
    let avi = head.starts_with(b"RIFF") && head.ends_with(b"AVI ");
    let movie = matches!(&[k0, k1, k2, k3], b"ftyp" | b"moov");
    read.is_ok() && (movie || avi || head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]))
}

/// Whether a name means a camera.
#[must_use]
pub fn is_camera(name: &str) -> bool {
    camera_id(name).is_some()
}

/// The camera that a name means: `camera` is the first, `camera:1` the one of that number or name.
fn camera_id(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("camera").filter(|_| !Path::new(name).exists())?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix(':') }
}
