//! The system's cameras through nokhwa (V4L2, AVFoundation, Media Foundation).
//!
//! nokhwa is known to panic where a camera misreports itself; each call is caught, and what it says of a
//! picture's format is checked against the bytes later ([`super::pixels`]).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nokhwa::Camera;
use nokhwa::utils::{
    ApiBackend, CameraFormat as NokhwaFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType,
    Resolution,
};

use super::driver::{Driver, Raw, Stream};
use super::{CameraFormat, CameraInfo, Encoding};
use crate::foreign;

/// What can be read; nokhwa opens nothing else.
const READABLE: [FrameFormat; 6] = [
    FrameFormat::MJPEG,
    FrameFormat::YUYV,
    FrameFormat::NV12,
    FrameFormat::RAWRGB,
    FrameFormat::RAWBGR,
    FrameFormat::GRAY,
];

/// The cameras of this machine.
pub(super) struct Native;

impl Driver for Native {
    fn list(&mut self) -> Result<Vec<CameraInfo>, String> {
        let list = guarded(|| nokhwa::query(ApiBackend::Auto))?;
        let info =
            |c: nokhwa::utils::CameraInfo| CameraInfo { id: c.index().to_string(), name: c.human_name() };
        let mut list: Vec<CameraInfo> = list.into_iter().map(info).collect();
        // V4L2 gives them in no order, and a second device for the metadata of some cameras.
        list.sort_by_key(|info| (info.id.parse::<u32>().unwrap_or(u32::MAX), info.id.clone()));
        Ok(list)
    }

    fn formats(&mut self, id: &str) -> Result<Vec<CameraFormat>, String> {
        let any = RequestedFormat::with_formats(RequestedFormatType::None, &READABLE);
        let formats = guarded(|| Camera::new(index(id), any)?.compatible_camera_formats())?;
        Ok(formats.into_iter().filter_map(ours).collect())
    }

    fn open(&mut self, id: &str, format: CameraFormat) -> Result<Box<dyn Stream>, String> {
        let exactly = RequestedFormatType::Exact(theirs(format));
        let camera = guarded(|| {
            let mut camera = Camera::new(index(id), RequestedFormat::with_formats(exactly, &READABLE))?;
            camera.open_stream()?;
            Ok(camera)
        })?;
        Ok(Box::new(Open(camera)))
    }
}

struct Open(Camera);

impl Stream for Open {
    fn format(&self) -> CameraFormat {
        let format = self.0.camera_format();
        ours(format).unwrap_or(CameraFormat { width: 0, height: 0, rate: 0, encoding: Encoding::Mjpeg })
    }

    fn read(&mut self) -> Result<Raw, String> {
        let buffer = guarded(|| self.0.frame())?;
        // The stamp is a time of day; a camera without a clock gives none, a bad one something absurd.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let age = buffer.capture_timestamp().and_then(|stamp| now.checked_sub(stamp));
        let age = age.filter(|age| *age < Duration::from_secs(1)).unwrap_or_default();
        let taken = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        Ok(Raw { bytes: buffer.buffer().to_vec(), taken })
    }
}

/// Calls nokhwa; an error or a panic becomes a reason.
fn guarded<T>(call: impl FnOnce() -> Result<T, nokhwa::NokhwaError>) -> Result<T, String> {
    match foreign::catch(call) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(plainly(&error.to_string())),
        Err(_) => {
            Err("the camera library failed; the camera may report a format that it does not have".into())
        }
    }
}

/// The system's words with what to do about them.
fn plainly(message: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let hint = if has(&["os error 13", "Permission denied"]) {
        ": you may not use it (on Linux: add yourself to the group `video`)"
    } else if has(&["os error 16", "busy"]) {
        ": another program uses it"
    } else if has(&["os error 19", "No such device", "os error 2)"]) {
        ": it is not there (unplugged?)"
    } else {
        ""
    };
    format!("{message}{hint}")
}

fn index(id: &str) -> CameraIndex {
    id.parse().map_or_else(|_| CameraIndex::String(id.to_owned()), CameraIndex::Index)
}

fn ours(format: NokhwaFormat) -> Option<CameraFormat> {
    let encoding = match format.format() {
        FrameFormat::MJPEG => Encoding::Mjpeg,
        FrameFormat::YUYV => Encoding::Yuyv,
        FrameFormat::NV12 => Encoding::Nv12,
        FrameFormat::RAWRGB => Encoding::Rgb,
        FrameFormat::RAWBGR => Encoding::Bgr,
        FrameFormat::GRAY => Encoding::Gray,
    };
    let (width, height, rate) = (format.width(), format.height(), format.frame_rate());
    Some(CameraFormat { width, height, rate, encoding }).filter(|_| width > 0 && height > 0)
}

fn theirs(format: CameraFormat) -> NokhwaFormat {
    let encoding = match format.encoding {
        Encoding::Mjpeg => FrameFormat::MJPEG,
        Encoding::Yuyv => FrameFormat::YUYV,
        Encoding::Nv12 => FrameFormat::NV12,
        Encoding::Rgb => FrameFormat::RAWRGB,
        Encoding::Bgr => FrameFormat::RAWBGR,
        Encoding::Gray => FrameFormat::GRAY,
    };
    NokhwaFormat::new(Resolution::new(format.width, format.height), encoding, format.rate)
}
