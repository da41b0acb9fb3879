//! Whatever an installed `ffmpeg` program can read. It decodes to RGB on its standard output and tells
//! the time and size of each frame on its standard error.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use super::{Refusal, file_name, open_file};
use crate::error::Error;
use crate::frame::{Frame, MAX_SIDE};
use crate::source::FrameSource;

/// How many frames' times are kept waiting: more than ffmpeg holds back between filter and output.
const WAITING: usize = 4096;

/// A video file that ffmpeg reads.
pub struct FfmpegFile {
    path: PathBuf,
    /// What the file is, for people.
    what: String,
    running: Running,
    /// The first time of the file, and where the last search went.
    zero: Option<f64>,
    from: f64,
    duration: Option<Duration>,
    interval: Option<Duration>,
    ended: bool,
}

/// One start of the program.
struct Running {
    child: Child,
    output: ChildStdout,
    frames: Receiver<Said>,
    /// Size of its first frame: ffmpeg scales the later ones to it.
    size: Option<(u32, u32)>,
    /// A frame that was announced while facts about the file were waited for.
    announced: Option<(f64, u32, u32)>,
}

/// What ffmpeg says on its standard error, as far as it matters here.
enum Said {
    Duration(f64),
    Rate(f64),
    Frame {
        time: f64,
        width: u32,
        height: u32,
    },
    /// Another line: the last ones say why it stopped.
    Complaint(String),
}

/// Whether there is an ffmpeg.
pub(super) fn is_installed() -> bool {
    ffmpeg_version().is_some()
}

/// What the installed ffmpeg says it is, such as `ffmpeg version 5.1.6`; asked once.
#[must_use]
pub fn ffmpeg_version() -> Option<&'static str> {
    static VERSION: OnceLock<Option<String>> = OnceLock::new();
    let ask = || {
        let mut ask = Command::new("ffmpeg");
        let output = ask.arg("-version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let first = text.split(" Copyright").next().and_then(|text| text.lines().next());
        first.filter(|_| output.status.success()).map(str::to_owned)
    };
    VERSION.get_or_init(ask).as_deref()
}

impl FfmpegFile {
    /// Has ffmpeg open a file; `what` says what kind of file it is, for [`FrameSource::remark`].
    ///
    /// # Errors
    /// [`Error::Io`] where the file or ffmpeg cannot be opened; [`Error::Media`] with ffmpeg's own words
    /// where it gives no frame.
    pub fn open(path: impl AsRef<Path>, what: &str) -> Result<Self, Error> {
        let path = path.as_ref();
        open_file(path)?;
        let running = start(path, 0.0)?;
        let (path, what) = (path.to_owned(), what.to_owned());
        let (zero, from, duration, interval, ended) = (None, 0.0, None, None, false);
        let mut file = Self { path, what, running, zero, from, duration, interval, ended };
        // The first frame's line comes after the facts about the file; it is not taken yet.
        file.wait_for_facts()?;
        Ok(file)
    }

    fn refuse(&self, reason: String) -> Error {
        Refusal::from(reason).about(&self.path)
    }

    fn wait_for_facts(&mut self) -> Result<(), Error> {
        let mut complaint = String::new();
        loop {
            match self.running.frames.recv() {
                Ok(Said::Duration(seconds)) => self.duration = Duration::try_from_secs_f64(seconds).ok(),
                Ok(Said::Rate(rate)) if rate > 0.0 => {
                    self.interval = self.interval.or(Duration::try_from_secs_f64(1.0 / rate).ok());
                    return Ok(());
                }
                Ok(Said::Complaint(line)) => complaint = line,
                Ok(Said::Rate(_)) => return Ok(()),
                Ok(Said::Frame { time, width, height }) => {
                    self.running.announced = Some((time, width, height));
                    return Ok(());
                }
                Err(_) => return Err(self.refuse(format!("ffmpeg cannot read it: {complaint}"))),
            }
        }
    }

    /// Time and size of the next frame; `None` after the last.
    fn next_said(&mut self) -> Result<Option<(f64, u32, u32)>, Error> {
        let mut complaint = None;
        if let Some(announced) = self.running.announced.take() {
            return Ok(Some(announced));
        }
        loop {
            match self.running.frames.recv() {
                Ok(Said::Frame { time, width, height }) => return Ok(Some((time, width, height))),
                Ok(Said::Complaint(line)) => complaint = Some(line),
                Ok(_) => {}
                Err(_) => {
                    let status = self.running.child.wait();
                    let failed = !status.is_ok_and(|status| status.success());
                    return match complaint {
                        Some(line) if failed => Err(self.refuse(format!("ffmpeg stopped: {line}"))),
                        _ => Ok(None),
                    };
                }
            }
        }
    }
}

impl FrameSource for FfmpegFile {
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        if self.ended {
            return Ok(None);
        }
        let said = self.next_said();
        let (time, width, height) = match said {
            Ok(Some(said)) => said,
            Ok(None) | Err(_) => {
                self.ended = true;
                return said.map(|_| None);
            }
        };
        let (width, height) = *self.running.size.get_or_insert((width, height));
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            self.ended = true;
            return Err(self.refuse(format!("a picture of {width}×{height} pixels is not accepted")));
        }
        let mut pixels = vec![0; width as usize * height as usize * 3];
        if self.running.output.read_exact(&mut pixels).is_err() {
            self.ended = true;
            return Err(self.refuse("ffmpeg stopped in the middle of a picture".into()));
        }
        let zero = *self.zero.get_or_insert(time);
        let since = Duration::try_from_secs_f64((time + self.from - zero).max(0.0)).unwrap_or_default();
        Ok(Some(Frame::rgb8(width, height, pixels)?.at(since)))
    }

    fn name(&self) -> String {
        file_name(&self.path)
    }

    fn frame_interval(&self) -> Option<Duration> {
        self.interval
    }

    fn duration(&self) -> Option<Duration> {
        self.duration
    }

    fn seek(&mut self, to: Duration) -> Result<(), Error> {
        self.running.stop();
        self.running = start(&self.path, to.as_secs_f64())?;
        // After a search ffmpeg counts from the place it was sent to.
        (self.from, self.ended) = (to.as_secs_f64(), false);
        self.zero = Some(0.0);
        Ok(())
    }

    fn remark(&self) -> Option<String> {
        Some(format!("{}: it {}; the installed ffmpeg reads it", self.name(), self.what))
    }
}

impl Running {
    fn stop(&mut self) {
        // It may be over by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(path: &Path, from: f64) -> Result<Running, Error> {
    let failed = |source| Error::Io { path: "ffmpeg".into(), source };
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "info"]);
    if from > 0.0 {
        command.args(["-ss", &format!("{from:.6}")]);
    }
    // `file:` keeps names with a colon from being taken for a protocol: nothing but the file is opened.
    let mut input = std::ffi::OsString::from("file:");
    input.push(path);
    command.args(["-protocol_whitelist", "file,pipe", "-i"]).arg(input);
    command.args(["-map", "0:v:0", "-an", "-sn", "-dn", "-vf", "showinfo=checksum=0"]);
    command.args(["-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let gone = || failed(std::io::ErrorKind::BrokenPipe.into());
    let (output, errors) = (child.stdout.take().ok_or_else(gone)?, child.stderr.take().ok_or_else(gone)?);
    let (sender, frames) = sync_channel(WAITING);
    let reader = move || {
        for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
            // A closed channel: nobody wants to know any more.
            if let Some(said) = understand(&String::from_utf8_lossy(&line))
                && sender.send(said).is_err()
            {
                return;
            }
        }
    };
    thread::Builder::new().name("sandglass-ffmpeg".into()).spawn(reader).map_err(failed)?;
    Ok(Running { child, output, frames, size: None, announced: None })
}

/// What a line of ffmpeg's standard error says.
fn understand(line: &str) -> Option<Said> {
    let after = |text: &'static str| line.split_once(text).map(|(_, rest)| rest.trim_start());
    let word = |rest: &str| rest.split([' ', ',']).next().unwrap_or_default().to_owned();
    if line.contains("Parsed_showinfo") {
        let time = word(after("pts_time:")?).parse().ok()?;
        let size = word(after(" s:")?);
        let (width, height) = size.split_once('x')?;
        return Some(Said::Frame { time, width: width.parse().ok()?, height: height.parse().ok()? });
    }
    if let Some(rest) = after("  Duration: ") {
        let mut seconds = 0.0;
        for part in word(rest).split(':') {
            seconds = seconds * 60.0 + part.parse::<f64>().ok()?;
        }
        return Some(Said::Duration(seconds));
    }
    if line.contains("Stream #0") && line.contains("Video:") && line.contains(" fps") {
        let rate = line.split(" fps").next()?.rsplit(' ').next()?;
        return Some(Said::Rate(rate.parse().ok()?));
    }
    let complaint = ["rror", "nvalid", "not ", "No "].iter().any(|word| line.contains(word));
    complaint.then(|| Said::Complaint(line.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let frame = "[Parsed_showinfo_0 @ 0x55] n:   3 pts:   1536 pts_time:0.12    duration:    512 fmt:yuv420p \
                     sar:1/1 s:768x432 i:P iskey:0 type:B";
        assert!(
            matches!(understand(frame), Some(Said::Frame { time, width: 768, height: 432 }) if time == 0.12)
        );
        let duration = understand("  Duration: 00:01:05.12, start: 0.000000, bitrate: 209 kb/s");
        assert!(matches!(duration, Some(Said::Duration(s)) if (s - 65.12).abs() < 1e-9));
        let stream =
            "  Stream #0:0[0x1](und): Video: hevc (Main), yuvj420p(pc), 640x480, 184 kb/s, 30 fps, 30 tbr";
        assert!(matches!(understand(stream), Some(Said::Rate(rate)) if rate == 30.0));
        assert!(matches!(understand("x.webm: Invalid data found"), Some(Said::Complaint(_))));
        assert!(understand("  Metadata:").is_none());
    }
}
