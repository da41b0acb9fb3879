//! H.264 in MP4 or QuickTime, one picture at a time and in the order they are shown.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{Cursor, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::RgbImage;
use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

use self::index::{Sample, Track};
use super::{Input, Refusal, file_name, open_file};
use crate::error::Error;
use crate::frame::{Frame, MAX_SIDE};
use crate::source::FrameSource;

mod boxes;
mod index;
mod samples;

/// The largest coded picture that is read, in bytes; an uncoded one of the largest size has 14 million.
const MAX_CODED: u32 = 64 << 20;

/// The most pictures that are taken to wait in the decoder for their turn; H.264 lets 16 of them.
const MAX_INSIDE: usize = 64;
/// How many times the bytes of a file may be part of a picture. Once is usual; without a limit a small file could
/// keep the decoder busy for days.
const MAX_OVERLAP: u64 = 16;

/// Opens a file; the inner error is a file that is not for us.
pub(super) fn open(path: &Path) -> Result<Result<Mp4File, Refusal>, Error> {
    let (file, len) = open_file(path)?;
    Ok(Mp4File::new(path.to_owned(), Box::new(file), len))
}

/// An MP4 or QuickTime file with H.264, read and decoded as its frames are asked for.
///
/// Frames come in the order in which they are shown, with the times the file gives them counted from the
/// first one shown; an edit list of one span is applied, and pictures stored on their side are turned.
/// Sound is passed over. A damaged picture is left out, see [`Mp4File::damaged`].
pub struct Mp4File {
    path: PathBuf,
    input: Box<dyn Input>,
    track: Track,
    decoder: Decoder,
    /// The next sample to decode.
    next: usize,
    /// Whether the decoder has not had its parameter sets.
    fresh: bool,
    /// Frames shown before this time, in ticks, are passed over: the way from a key picture to the one
    /// that was searched for.
    from: i64,
    /// How many samples the file has the bytes of, from the first on.
    whole: usize,
    /// Times of the pictures that went into the decoder and have not come out.
    inside: BinaryHeap<Reverse<i64>>,
    /// Frames that came out and were not yet asked for.
    ready: VecDeque<Frame>,
    /// The time, in ticks, that is 0 for who asks.
    zero: i64,
    /// Times, in ticks, of the frames that are shown: from the first up to before the second.
    shown: (i64, i64),
    count: u64,
    duration: Duration,
    given: u64,
    damaged: u64,
    flushed: bool,
    ended: bool,
}

impl Mp4File {
    /// Opens a file and reads its index.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be opened; [`Error::Media`], saying what it is instead, where it is
    /// empty, no MP4 or MOV file, has lost its index, or holds no H.264 video.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        open(path)?.map_err(|refusal| refusal.about(path))
    }

    /// The same over bytes in memory; `name` is what messages call it.
    ///
    /// # Errors
    /// [`Error::Media`] as [`Mp4File::open`].
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, Error> {
        let (name, bytes) = (name.into(), bytes.into());
        let len = bytes.len() as u64;
        Self::new(name.clone(), Box::new(Cursor::new(bytes)), len).map_err(|refusal| refusal.about(&name))
    }

    fn new(path: PathBuf, mut input: Box<dyn Input>, len: u64) -> Result<Self, Refusal> {
        if len == 0 {
            return Err("is empty (0 bytes)".into());
        }
        let track = index::read_track(input.as_mut(), len)?;
        let decoder = new_decoder().map_err(|e| format!("the H.264 decoder did not start: {e}"))?;

        let fits = |s: &Sample| s.offset.checked_add(s.size.into()).is_some_and(|end| end <= len);
        let whole = track.samples.iter().position(|s| !fits(s)).unwrap_or(track.samples.len());
        if whole == 0 {
            return Err("is cut short: it has an index, but none of the pictures".into());
        }
        let sizes = track.samples.iter().take(whole).map(|s| u64::from(s.size));
        if sizes.sum::<u64>() > len.saturating_mul(MAX_OVERLAP) {
            return Err("its index is damaged: its pictures lie one upon the other".into());
        }
        let first = track.samples.iter().map(|s| s.time).min().unwrap_or(0);
        let (shown, delay) = match track.edit {
            Some(edit) => ((edit.start, edit.end.unwrap_or(i64::MAX)), edit.delay),
            None => ((first, i64::MAX), 0),
        };
        let mut file = Self {
            path,
            input,
            decoder,
            next: 0,
            fresh: true,
            from: i64::MIN,
            whole,
            inside: BinaryHeap::new(),
            ready: VecDeque::new(),
            zero: shown.0.saturating_sub(delay),
            shown,
            count: 0,
            duration: Duration::ZERO,
            given: 0,
            damaged: 0,
            flushed: false,
            ended: false,
            track,
        };
        file.measure();
        Ok(file)
    }

    /// Counts the frames that will be shown and how long they last.
    fn measure(&mut self) {
        let samples = self.track.samples.get(..self.whole).unwrap_or(&[]);
        let mut times: Vec<i64> =
            samples.iter().map(|s| s.time).filter(|t| (self.shown.0..self.shown.1).contains(t)).collect();
        times.sort_unstable();
        self.count = times.len() as u64;
        if let [.., before, last] = times[..] {
            // The last frame is shown as long as the one before it.
            self.duration = self.time(last.saturating_add(last.saturating_sub(before)));
        }
    }

    /// How many pictures were left out so far because they were damaged.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Goes back to the first frame.
    ///
    /// # Errors
    /// [`Error::Media`] where the decoder does not start again.
    pub fn rewind(&mut self) -> Result<(), Error> {
        self.restart(0, i64::MIN)
    }

    /// Decodes from sample `next` on and gives the frames that are shown at `from` ticks or later.
    fn restart(&mut self, next: usize, from: i64) -> Result<(), Error> {
        self.decoder =
            new_decoder().map_err(|e| self.refuse(format!("the H.264 decoder did not start: {e}")))?;
        self.inside.clear();
        self.ready.clear();
        (self.next, self.from, self.fresh) = (next, from, true);
        (self.given, self.damaged) = (0, 0);
        (self.flushed, self.ended) = (false, false);
        Ok(())
    }

    fn refuse(&self, reason: String) -> Error {
        Error::Media { path: self.path.clone(), reason }
    }

    /// Ticks of the track as time since the start.
    fn time(&self, ticks: i64) -> Duration {
        let since = u128::from(ticks.saturating_sub(self.zero).max(0).unsigned_abs());
        let nanos = since * 1_000_000_000 / u128::from(self.track.timescale);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The next sample with start codes in place of lengths, the parameter sets before the first.
    fn packet(&mut self, sample: Sample) -> Result<Vec<u8>, Error> {
        if sample.size > MAX_CODED {
            return Err(self.refuse(format!("a picture of {} coded bytes is not accepted", sample.size)));
        }
        let mut data = vec![0; sample.size as usize];
        let read = self.input.seek(SeekFrom::Start(sample.offset));
        read.and_then(|_| self.input.read_exact(&mut data))
            .map_err(|source| Error::Io { path: self.path.clone(), source })?;
        let mut packet = if self.fresh { self.track.headers.clone() } else { Vec::new() };
        self.fresh = false;
        let mut rest = data.as_slice();
        while let Some((length, tail)) = rest.split_at_checked(self.track.length_size) {
            let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            let (unit, tail) = tail.split_at(length.min(tail.len()));
            packet.extend_from_slice(&[0, 0, 0, 1]);
            packet.extend_from_slice(unit);
            rest = tail;
        }
        Ok(packet)
    }

    /// Decodes one sample, or empties the decoder after the last; frames go to `ready`.
    fn advance(&mut self) -> Result<(), Error> {
        let decoded = match self.track.samples.get(self.next).copied().filter(|_| self.next < self.whole) {
            Some(sample) => {
                let packet = self.packet(sample)?;
                self.next += 1;
                self.inside.push(Reverse(sample.time));
                if self.inside.len() > MAX_INSIDE {
                    // The picture before all others will not come any more: its sample had none.
                    self.inside.pop();
                }
                match self.decoder.decode(&packet) {
                    Ok(picture) => picture.map(|p| Picture::copy(&p, &self.track)).into_iter().collect(),
                    Err(_) => {
                        self.damaged += 1;
                        self.inside.retain(|time| time.0 != sample.time);
                        Vec::new()
                    }
                }
            }
            None => {
                self.flushed = true;
                // Nothing more can come out of a decoder that fails here.
                let rest = self.decoder.flush_remaining().unwrap_or_default();
                rest.iter().map(|p| Picture::copy(p, &self.track)).collect::<Vec<_>>()
            }
        };
        for picture in decoded {
            // The earliest time inside belongs to the picture that comes out first.
            let Some(Reverse(time)) = self.inside.pop() else { continue };
            if (self.shown.0.max(self.from)..self.shown.1).contains(&time) {
                let picture = picture.map_err(|reason| self.refuse(reason))?;
                let (width, height) = picture.dimensions();
                self.ready.push_back(Frame::rgb8(width, height, picture.into_raw())?.at(self.time(time)));
            }
        }
        Ok(())
    }

    /// What to say after the last frame, if anything.
    fn verdict(&self) -> Option<Error> {
        let lost = self.track.samples.len() - self.whole;
        if lost > 0 {
            let all = self.track.samples.len();
            Some(self.refuse(format!("is cut short: the last {lost} of its {all} pictures are missing")))
        } else if self.given == 0 && self.from == i64::MIN {
            Some(self.refuse("none of its pictures could be decoded (damaged, or interlaced H.264)".into()))
        } else {
            None
        }
    }
}

impl FrameSource for Mp4File {
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                self.given += 1;
                return Ok(Some(frame));
            }
            if self.ended {
                return Ok(None);
            }
            if self.flushed {
                self.ended = true;
                return self.verdict().map_or(Ok(None), Err);
            }
            if let Err(error) = self.advance() {
                self.ended = true;
                return Err(error);
            }
        }
    }

    fn name(&self) -> String {
        file_name(&self.path)
    }

    fn frame_count(&self) -> Option<u64> {
        Some(self.count)
    }

    fn frame_interval(&self) -> Option<Duration> {
        let frames = u32::try_from(self.count).ok().filter(|n| *n > 1)?;
        Some(self.duration / frames)
    }

    fn duration(&self) -> Option<Duration> {
        Some(self.duration)
    }

    fn seek(&mut self, to: Duration) -> Result<(), Error> {
        // Rounded up, as times given were rounded down: a frame's own time leads back to it.
        let ticks = (to.as_nanos() * u128::from(self.track.timescale)).div_ceil(1_000_000_000);
        let ticks = self.zero.saturating_add(i64::try_from(ticks).unwrap_or(i64::MAX));
        let samples = self.track.samples.get(..self.whole).unwrap_or(&[]);
        // The frame on the screen at that time is the last that began before it.
        let shown = samples.iter().map(|s| s.time).filter(|time| *time <= ticks).max();
        let from = shown.unwrap_or(i64::MIN).max(self.shown.0);
        let key = samples.iter().rposition(|s| s.key && s.time <= from).unwrap_or(0);
        self.restart(key, from)
    }

    fn dropped(&self) -> u64 {
        self.damaged
    }
}

fn new_decoder() -> Result<Decoder, openh264::Error> {
    // Flushing after every picture, the default, would lose pictures that wait for their turn.
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    Decoder::with_api_config(OpenH264API::from_source(), config)
}

/// Making an upright RGB picture of a decoded one.
struct Picture;

impl Picture {
    fn copy(decoded: &DecodedYUV<'_>, track: &Track) -> Result<RgbImage, String> {
        let (width, height) = decoded.dimensions();
        let (strides, failed) = (decoded.strides(), |e: yuv::YuvError| format!("a picture is unusable: {e}"));
        let side = |n: usize| u32::try_from(n).ok().filter(|n| (1..=MAX_SIDE).contains(n));
        let (Some(width), Some(height)) = (side(width), side(height)) else {
            return Err(format!("a picture of {width}×{height} pixels is not accepted"));
        };
        let planes = YuvPlanarImage {
            y_plane: decoded.y(),
            y_stride: strides.0 as u32,
            u_plane: decoded.u(),
            u_stride: strides.1 as u32,
            v_plane: decoded.v(),
            v_stride: strides.2 as u32,
            width,
            height,
        };
        // Where a file does not say, the habit: BT.709 for high definition, else BT.601, limited range.
        let (matrix, full) = track.colour.unwrap_or((2, false));
        let matrix = match matrix {
            1 => YuvStandardMatrix::Bt709,
            9 | 10 => YuvStandardMatrix::Bt2020,
            4..=7 => YuvStandardMatrix::Bt601,
            _ if width.max(height) >= 1280 => YuvStandardMatrix::Bt709,
            _ => YuvStandardMatrix::Bt601,
        };
        let range = if full { YuvRange::Full } else { YuvRange::Limited };
        let mut rgb = RgbImage::new(width, height);
        yuv::yuv420_to_rgb(&planes, &mut rgb, width * 3, range, matrix).map_err(failed)?;
        Ok(match track.quarter_turns {
            1 => image::imageops::rotate90(&rgb),
            2 => image::imageops::rotate180(&rgb),
            3 => image::imageops::rotate270(&rgb),
            _ => rgb,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_without_a_picture_are_forgotten() {
        let mut video =
            Mp4File::from_bytes("x", &include_bytes!("../../../../assets/demo/demo.mp4")[..]).unwrap();
        for sample in video.track.samples.iter_mut().skip(1) {
            sample.size = 0;
        }
        while video.next_frame().unwrap().is_some() {
            assert!(video.inside.len() <= MAX_INSIDE);
        }
        assert_eq!((video.next, video.given), (360, 1));
    }
}
