//! Cameras: a thread takes pictures as they come, and whoever asks gets the newest.
//!
//! ```text
//! driver (nokhwa) ──Raw──▶ pixels ──Frame──▶ one slot ──▶ next_frame
//!  on a thread of its own                    newest wins, what was overwritten is counted
//! ```
//!
//! A camera that is unplugged is an event, not the end: the thread looks for it every half second and
//! takes it up again.

mod capture;
mod driver;
mod native;
mod pixels;

pub use self::pixels::unpack;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use self::capture::Capture;
use self::driver::Driver;
use super::FrameSource;
use crate::error::Error;
use crate::frame::Frame;

/// How long [`Camera::next_frame`] waits for a picture before it says that none came.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a camera packs its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// Each picture a JPEG.
    Mjpeg,
    /// Y U Y V, two pixels in four bytes.
    Yuyv,
    /// A plane of Y, then one of U and V for each 2×2 pixels.
    Nv12,
    /// R G B.
    Rgb,
    /// B G R.
    Bgr,
    /// Brightness alone.
    Gray,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mjpeg => "MJPEG",
            Self::Yuyv => "YUYV",
            Self::Nv12 => "NV12",
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
            Self::Gray => "grey",
        })
    }
}

impl FromStr for Encoding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let all = [Self::Mjpeg, Self::Yuyv, Self::Nv12, Self::Rgb, Self::Bgr, Self::Gray];
        let named = all.into_iter().find(|encoding| encoding.to_string().eq_ignore_ascii_case(text));
        named.ok_or_else(|| {
            Error::Source(format!(
                "{text:?} is no packing of pixels; there are MJPEG, YUYV, NV12, RGB, BGR and grey"
            ))
        })
    }
}

/// A size, rate and packing that a camera offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CameraFormat {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures a second.
    pub rate: u32,
    /// How pixels are packed.
    pub encoding: Encoding,
}

impl fmt::Display for CameraFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{} at {} a second, {}", self.width, self.height, self.rate, self.encoding)
    }
}

/// A camera that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraInfo {
    /// What [`Camera::open`] takes: a number, or what the system calls it.
    pub id: String,
    /// Its name, for people.
    pub name: String,
}

/// The size and rate asked for; the closest that the camera offers is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures a second.
    pub rate: u32,
    /// Only this packing, where the camera has it at all.
    pub encoding: Option<Encoding>,
}

impl Default for Wish {
    /// 1280×720 at 30 a second, whatever the packing.
    fn default() -> Self {
        Self { width: 1280, height: 720, rate: 30, encoding: None }
    }
}

impl FromStr for Wish {
    type Err = Error;

    /// `1280x720`, `1280x720@30` or `1280x720@30:MJPEG`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (text, encoding) = text.split_once(':').map_or((text, None), |(t, e)| (t, Some(e)));
        let encoding = encoding.map(str::parse).transpose()?;
        let (size, rate) = text.split_once('@').unwrap_or((text, "30"));
        let numbers = size.split_once('x').map(|(w, h)| (w.parse(), h.parse(), rate.parse()));
        match numbers {
            Some((Ok(width @ 1..), Ok(height @ 1..), Ok(rate @ 1..))) => {
                Ok(Self { width, height, rate, encoding })
            }
            _ => Err(Error::Source(format!(
                "{text:?} is no camera format; write it as 1280x720, 1280x720@30 or 1280x720@30:MJPEG"
            ))),
        }
    }
}

impl Wish {
    /// The format that comes closest: in size first, then in rate. Of equals MJPEG where the size is
    /// large (the others do not fit through USB 2 at a good rate), else one that needs no decoding.
    fn closest(self, formats: &[CameraFormat]) -> Option<CameraFormat> {
        let pixels = |width: u32, height: u32| i64::from(width) * i64::from(height);
        let large = pixels(self.width, self.height) > pixels(640, 480);
        let distance = |format: &CameraFormat| {
            let size = (pixels(format.width, format.height) - pixels(self.width, self.height)).abs();
            let aspect = (i64::from(format.width) * i64::from(self.height)
                - i64::from(format.height) * i64::from(self.width))
            .abs();
            let rate = (i64::from(format.rate) - i64::from(self.rate)).abs();
            let encoding = match format.encoding {
                Encoding::Mjpeg => u8::from(!large) * 3,
                Encoding::Yuyv | Encoding::Nv12 => 1,
                Encoding::Rgb | Encoding::Bgr => 2,
                Encoding::Gray => 4,
            };
            (self.encoding.is_some_and(|wanted| wanted != format.encoding), size, aspect, rate, encoding)
        };
        formats.iter().copied().min_by_key(distance)
    }
}

/// The cameras of this machine.
///
/// # Errors
/// [`Error::Camera`] where the system does not say.
pub fn cameras() -> Result<Vec<CameraInfo>, Error> {
    native::Native.list().map_err(|reason| Error::Camera { name: "cameras".into(), reason, over: true })
}

/// The formats that a camera offers, by size and rate. The camera must not be in use.
///
/// # Errors
/// [`Error::Camera`] where there is no such camera, or it is in use or not permitted.
pub fn formats(id: &str) -> Result<Vec<CameraFormat>, Error> {
    let mut formats = native::Native.formats(id).map_err(|reason| Error::Camera {
        name: format!("camera {id}"),
        reason,
        over: true,
    })?;
    formats.sort_unstable();
    formats.dedup();
    Ok(formats)
}

/// Something that happened to a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraEvent {
    /// It gives pictures in this format, for the first time or again.
    Opened(CameraFormat),
    /// It is gone, for this reason; it is looked for.
    Lost(String),
}

/// What became of a camera's pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CameraCounts {
    /// Pictures that came.
    pub captured: u64,
    /// Pictures that were overwritten by newer ones before anybody asked.
    pub dropped: u64,
    /// Pictures that could not be decoded and were left out.
    pub corrupt: u64,
}

/// A camera that is open. Dropping it closes it.
pub struct Camera {
    name: String,
    capture: Capture,
    format: CameraFormat,
}

impl Camera {
    /// Opens a camera by its number, its system name or (a part of) its name; empty means the first.
    ///
    /// # Errors
    /// [`Error::Camera`] where there is none of that name, or it is in use, not permitted or offers no
    /// format that can be read.
    pub fn open(id: &str, wish: Wish) -> Result<Self, Error> {
        Self::with_driver(native::Native, id, wish)
    }

    fn with_driver(mut driver: impl Driver, id: &str, wish: Wish) -> Result<Self, Error> {
        let shown = if id.is_empty() { "camera".to_owned() } else { format!("camera {id}") };
        let refuse = |reason| Error::Camera { name: shown.clone(), reason, over: true };
        let list = driver.list().map_err(refuse)?;
        let info = find(&list, id).map_err(refuse)?.clone();
        let capture = Capture::start(driver, info.clone(), wish);
        match capture.opened() {
            Ok(format) => Ok(Self { name: info.name, capture, format }),
            Err(reason) => Err(refuse(reason)),
        }
    }

    /// The format in use; it can change when the camera comes back.
    #[must_use]
    pub fn format(&self) -> CameraFormat {
        self.format
    }

    /// What happened since the last call, the oldest first.
    pub fn events(&mut self) -> Vec<CameraEvent> {
        let events = self.capture.events();
        for event in &events {
            if let CameraEvent::Opened(format) = event {
                self.format = *format;
            }
        }
        events
    }

    /// What became of the pictures so far.
    #[must_use]
    pub fn counts(&self) -> CameraCounts {
        self.capture.counts()
    }
}

impl FrameSource for Camera {
    /// The newest picture that was not given yet, as soon as there is one. Where none comes for two
    /// seconds, an [`Error::Camera`] that is not over says why.
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        match self.capture.newest(PATIENCE) {
            Ok(frame) => Ok(Some(frame)),
            Err(reason) => Err(Error::Camera { name: self.name.clone(), reason, over: false }),
        }
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn frame_interval(&self) -> Option<Duration> {
        (self.format.rate > 0).then(|| Duration::from_secs(1) / self.format.rate)
    }

    fn live_since(&self) -> Option<Instant> {
        Some(self.capture.began())
    }

    fn dropped(&self) -> u64 {
        let counts = self.counts();
        counts.dropped + counts.corrupt
    }
}

/// The camera that `id` means: by id first, then by name, then by part of a name.
fn find<'a>(list: &'a [CameraInfo], id: &str) -> Result<&'a CameraInfo, String> {
    if list.is_empty() {
        return Err("there is no camera (plug one in, or see that you may read /dev/video*)".into());
    }
    if id.is_empty() {
        return list.first().ok_or_else(String::new);
    }
    let wanted = id.to_lowercase();
    list.iter()
        .find(|info| info.id == id)
        .or_else(|| list.iter().find(|info| info.name == id))
        .or_else(|| list.iter().find(|info| info.name.to_lowercase().contains(&wanted)))
        .ok_or_else(|| {
            let known: Vec<_> = list.iter().map(|info| format!("{} ({})", info.id, info.name)).collect();
            format!("there is no such camera; there are: {}", known.join(", "))
        })
}

#[cfg(test)]
mod tests;
