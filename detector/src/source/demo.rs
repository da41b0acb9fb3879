//! The clip inside the program: there is always something to look at.

use std::time::Duration;

use super::FrameSource;
use super::video::Mp4File;
use crate::error::Error;
use crate::frame::Frame;

/// Twelve seconds of 640×360: a person, a cat, a car with a bicycle, cars. `assets/PROVENANCE.md` tells
/// where they are from.
const CLIP: &[u8] = include_bytes!("../../../assets/demo/demo.mp4");

/// The demo clip, once or for ever.
pub struct Demo {
    clip: Mp4File,
    looped: bool,
    /// When the round that runs began, counted from the first.
    began: Duration,
}

impl Demo {
    /// Opens the clip; `looped` starts it again after its last frame, with times that go on.
    ///
    /// # Errors
    /// [`Error::Media`] where the H.264 decoder does not start.
    pub fn new(looped: bool) -> Result<Self, Error> {
        let clip = Mp4File::from_bytes("demo", CLIP)?;
        Ok(Self { clip, looped, began: Duration::ZERO })
    }
}

impl FrameSource for Demo {
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let mut frame = self.clip.next_frame()?;
        if frame.is_none() && self.looped {
            self.began += self.clip.duration().unwrap_or_default();
            self.clip.rewind()?;
            frame = self.clip.next_frame()?;
        }
        Ok(frame.map(|frame| {
            let captured = self.began + frame.captured();
            frame.at(captured)
        }))
    }

    fn name(&self) -> String {
        "demo".into()
    }

    fn frame_count(&self) -> Option<u64> {
        self.clip.frame_count().filter(|_| !self.looped)
    }

    fn frame_interval(&self) -> Option<Duration> {
        self.clip.frame_interval()
    }

    fn duration(&self) -> Option<Duration> {
        self.clip.duration().filter(|_| !self.looped)
    }

    fn seek(&mut self, to: Duration) -> Result<(), Error> {
        self.began = Duration::ZERO;
        self.clip.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_clip_decodes() {
        let mut demo = Demo::new(false).unwrap();
        assert_eq!(demo.frame_count(), Some(360));
        let mut times = Vec::new();
        while let Some(frame) = demo.next_frame().unwrap() {
            assert_eq!((frame.width(), frame.height()), (640, 360));
            times.push(frame.captured());
        }
        assert_eq!(times.len(), 360);
        assert!(times.is_sorted_by(|a, b| a < b));
        assert_eq!(times[0], Duration::ZERO);
        assert!(times[359].abs_diff(Duration::from_millis(11_967)) < Duration::from_millis(1));
        assert_eq!(demo.frame_interval().map(|t| t.as_millis()), Some(33));
        assert!(demo.next_frame().unwrap().is_none());
    }

    #[test]
    fn a_loop_goes_on_in_time() {
        let mut demo = Demo::new(true).unwrap();
        assert_eq!(demo.frame_count(), None);
        let mut last = None;
        for _ in 0..370 {
            let captured = demo.next_frame().unwrap().unwrap().captured();
            assert!(last < Some(captured));
            last = Some(captured);
        }
        assert!(last.unwrap().abs_diff(Duration::from_millis(12_300)) < Duration::from_millis(1));
    }
}
