//! What window and workers tell each other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandglass_detector::Detections;
use sandglass_detector::record::Summary;

use crate::engine::{CameraEntry, ModelChoice};
use crate::settings::{Hidden, Thresholds};

/// Which source, and which stretch of it: news of an older one is too late to matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Counts the sources that were opened.
    pub generation: u64,
    /// Counts the jumps in this source.
    pub jump: u64,
}

/// Which of two detectors is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one at work.
    Main,
    /// The one it is compared with.
    Rival,
}

/// How a recording is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPlan {
    /// The folder; made where it is missing.
    pub folder: PathBuf,
    /// Whether boxes and labels are drawn.
    pub annotated: bool,
    /// Whether a line of JSON for each frame goes to a file beside the video.
    pub sidecar: bool,
    /// Whether frames may be dropped: yes for what is live.
    pub live: bool,
}

/// Something slow that the window asks for and goes on without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Look for cameras.
    Cameras,
    /// Look up the formats of a camera that is not in use.
    Formats(String),
    /// Let the user choose what to watch.
    PickFile,
    /// Let the user choose a folder of pictures.
    PickFolder,
    /// Let the user choose where recordings go.
    PickRecordings(PathBuf),
    /// Open a folder, or the folder of a file, in the system's file manager.
    Reveal(PathBuf),
}

/// From the window to the workers.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Leave the source and open this one, playing.
    Open {
        /// Path, pattern, camera or `demo`.
        source: String,
        /// The size and rate wanted of a camera, as `1280x720@30:MJPEG`.
        format: Option<String>,
        /// Comes back with all that stems from this source.
        generation: u64,
    },
    /// Go on (`true`) or hold.
    Play(bool),
    /// Play the source from its first frame.
    Restart,
    /// Go on at this time, counted from the first frame; a held source shows the frame there.
    Seek {
        /// Where to.
        to: Duration,
        /// Comes back with all that stems from this jump.
        jump: u64,
    },
    /// Hold, and show the next frame.
    StepForward,
    /// Whether to begin again at the end.
    Loop(bool),
    /// Source time that passes in a second.
    Speed(f64),
    /// Whether only frames that were looked at are shown, each with its own boxes.
    InStep(bool),
    /// Build this detector and change over to it.
    Model(Role, ModelChoice),
    /// End the comparison.
    DropRival,
    /// Use these from the next frame on; the current one is looked at again.
    Thresholds(Thresholds),
    /// Leave these classes out of recordings and snapshots, as the window does.
    Hide(Hidden),
    /// Begin a recording.
    Record(RecordPlan),
    /// End it.
    StopRecording,
    /// Write the frame being shown to a PNG in this folder, with or without boxes.
    Snapshot {
        /// The folder; made where it is missing.
        folder: PathBuf,
        /// Whether boxes and labels are drawn.
        annotated: bool,
    },
    /// Measure every backbone with so many threads a frame, or stop measuring.
    Benchmark(Option<usize>),
    /// Something slow.
    Run(Errand),
}

/// How a recording stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The file being written.
    pub file: PathBuf,
    /// From its first frame to its newest.
    pub duration: Duration,
    /// Frames in it.
    pub frames: u64,
    /// Frames dropped because the encoder or the disk was too slow.
    pub dropped: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// From the workers to the window: things that happen now and then.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A source is open.
    Opened {
        /// As in the order.
        generation: u64,
        /// How many frames it has, where that is known.
        frames: Option<u64>,
        /// How long it plays, where it can be moved in.
        duration: Option<Duration>,
        /// Whether it is a camera.
        live: bool,
        /// Something worth knowing about how it is read.
        remark: Option<String>,
    },
    /// The source gave its last frame, and nothing is looped.
    Ended {
        /// As in the order.
        generation: u64,
        /// How many frames there were.
        frames: u64,
    },
    /// The source could not be opened, or one of its frames could not be had.
    SourceFailed {
        /// As in the order.
        generation: u64,
        /// Why.
        reason: String,
        /// Whether nothing more will come of it.
        over: bool,
    },
    /// Frames come again after a failure.
    SourceBack {
        /// As in the order.
        generation: u64,
    },
    /// The new detector has taken over.
    ModelReady {
        /// Which of the two.
        role: Role,
        /// What was asked for.
        choice: ModelChoice,
        /// The backbone by name.
        backbone: String,
        /// Whether its weights are trained ones.
        trained: bool,
        /// Where it runs.
        engine: String,
        /// The classes it knows, without the background.
        classes: Vec<Arc<str>>,
    },
    /// The new detector could not be built; the one before goes on.
    ModelFailed {
        /// Which of the two.
        role: Role,
        /// What was asked for.
        choice: ModelChoice,
        /// Why.
        reason: String,
    },
    /// A recording began or went on.
    Recording(Progress),
    /// A recording is whole, or could not be made.
    Recorded(Result<Summary, String>),
    /// A snapshot was written, or could not be.
    Snapshot(Result<PathBuf, String>),
    /// A backbone was measured.
    Measured {
        /// The backbone by name.
        backbone: String,
        /// Median milliseconds of a frame, or why there is none.
        millis: Result<f32, String>,
    },
    /// The benchmark is over.
    BenchmarkEnded,
    /// The cameras that are there.
    Cameras(Result<Vec<CameraEntry>, String>),
    /// The formats of a camera.
    Formats {
        /// Which camera.
        camera: String,
        /// What it offers, as `1280x720@30:MJPEG`.
        formats: Result<Vec<String>, String>,
    },
    /// The user chose a file or a folder to watch; `None` where the dialog was closed or there is none.
    Picked(Option<PathBuf>),
    /// The user chose where recordings go.
    PickedRecordings(Option<PathBuf>),
    /// An errand failed.
    ErrandFailed(String),
}

/// A frame as it came from the source.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Which source and stretch it stems from.
    pub moment: Moment,
    /// What the source calls itself at this frame.
    pub name: String,
    /// Its number in the source, from 0.
    pub index: u64,
    /// Its time in the source, from the first frame.
    pub position: Duration,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// When it was there.
    pub taken: Instant,
    /// Frames that came from the source so far, this one too.
    pub captured: u64,
    /// Frames that the source lost so far.
    pub lost: u64,
}

/// What a detector made of a frame.
#[derive(Clone, Debug)]
pub struct Look {
    /// The backbone by name.
    pub backbone: String,
    /// What was found, or why nothing could be.
    pub outcome: Result<Detections, String>,
}

/// A frame that was looked at.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which source and stretch it stems from.
    pub moment: Moment,
    /// Its number in the source, from 0.
    pub index: u64,
    /// Its time in the source.
    pub position: Duration,
    /// What the detector at work found; `None` while there is none.
    pub main: Option<Look>,
    /// What the one it is compared with found.
    pub rival: Option<Look>,
    /// When the frame was taken.
    pub taken: Instant,
    /// When it was done.
    pub finished: Instant,
    /// Whether the frame is a new one, not the last one looked at again.
    pub fresh: bool,
}

/// A picture in the form the window draws it.
#[derive(Clone)]
pub struct Picture {
    /// The pixels.
    pub image: Arc<egui::ColorImage>,
    /// All else.
    pub shot: Shot,
}

/// News since the last look: all events, and the newest of the rest.
#[derive(Default)]
pub struct Report {
    /// In the order in which they happened.
    pub events: Vec<Event>,
    /// The newest picture; older ones nobody saw are gone.
    pub picture: Option<Picture>,
    /// The newest detections.
    pub found: Option<Found>,
}

/// The window's end of the line to the workers. Neither method waits.
pub trait Link {
    /// Hands an order over.
    fn send(&self, order: Order);

    /// What came since the last call.
    fn poll(&self) -> Option<Report>;
}
