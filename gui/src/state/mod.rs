//! All that the viewer knows, as plain data; every change to it is a function here: `act` holds what
//! follows from the user, `apply` what follows from the workers.

mod act;
mod apply;

pub use act::SPEEDS;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sandglass_detector::{Detection, Detections};

use crate::agreement::Agreement;
use crate::command::Command;
use crate::engine::{CameraEntry, ModelChoice};
use crate::filter;
use crate::message::{Errand, Found, Moment, Order, Progress, Role, Shot};
use crate::notice::{Log, Remedy};
use crate::settings::{Hidden, Overlay, Recordings, Settings, Tab, Theme, Thresholds};
use crate::smoothing::Smoother;
use crate::stats::Stats;
use crate::status::Severity;

/// One entry of the backbone menu.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// Its family, such as `MobileNeXt`.
    pub family: &'static str,
    /// Parameters of the detector.
    pub parameters: usize,
    /// Multiply-adds for one picture.
    pub multiply_adds: usize,
    /// Whether trained weights come with the program.
    pub trained: bool,
    /// Whether those are preliminary: trained for a short time.
    pub preliminary: bool,
    /// Mean average precision of those weights, 0 to 1, where it was measured.
    pub map: Option<f64>,
    /// Top-1 accuracy of the classifier on ImageNet, in percent, where the authors published it.
    pub top1: Option<f32>,
}

/// A detector at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveModel {
    /// The backbone by name.
    pub backbone: String,
    /// Whether its weights are trained ones.
    pub trained: bool,
    /// Where it runs.
    pub engine: String,
    /// The classes it knows, without the background.
    pub classes: Vec<Arc<str>>,
}

/// Where the source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Playback {
    /// Being opened.
    Opening,
    /// Frames come.
    Playing,
    /// Held by the user.
    Paused,
    /// The last frame was shown.
    Ended,
    /// Nothing will come.
    Failed,
}

/// How two detectors are shown beside each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Two pictures.
    #[default]
    SideBySide,
    /// One picture with an edge that can be moved.
    Wipe,
}

/// A comparison of two detectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The second backbone by name.
    pub backbone: String,
    /// It, once it is there.
    pub active: Option<ActiveModel>,
    /// How the two are shown.
    pub layout: Layout,
    /// Where the edge is, 0 (left) to 1.
    pub edge: f32,
}

/// How recording stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// Nothing is recorded.
    #[default]
    Off,
    /// The files are being made.
    Starting,
    /// Frames are recorded.
    On(Progress),
    /// The last frames are being written.
    Ending(Progress),
}

/// A measurement of all backbones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Benchmark {
    /// Backbones and their milliseconds, or why there are none.
    pub lines: Vec<(String, Result<f32, String>)>,
    /// Whether it still goes on.
    pub running: bool,
    /// The threads it was made with; 0 for one a processor.
    pub threads: usize,
}

/// Something the user did.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Gave a command.
    Do(Command),
    /// Chose a backbone.
    Backbone(String),
    /// Chose the backbone to compare with.
    Rival(String),
    /// Chose how two detectors are shown.
    Layout(Layout),
    /// Moved the edge between two detectors.
    Edge(f32),
    /// Chose how many threads work on a frame.
    Threads(usize),
    /// Moved a slider.
    Thresholds(Thresholds),
    /// Chose which classes are not shown.
    Hide(Hidden),
    /// Typed into the search for classes.
    ClassSearch(String),
    /// Chose what is drawn.
    Overlay(Overlay),
    /// Chose how to record.
    Recordings(Recordings),
    /// Chose a theme.
    Theme(Theme),
    /// Chose a part of the side panel.
    Tab(Tab),
    /// Opened a source.
    Open(String),
    /// Opened a camera in this format.
    OpenCamera(String, String),
    /// Typed into the field for a path.
    Path(String),
    /// Closed the field for a path.
    ClosePath,
    /// Moved in the source.
    Seek(Duration),
    /// Chose a speed.
    Speed(f64),
    /// Pointed at an object, or at none.
    Highlight(Option<Detection>),
    /// Asked for something slow.
    Run(Errand),
    /// Has read a report.
    Dismiss(u64),
    /// Wants to forget all reports.
    ClearLog,
}

/// All that the viewer knows.
#[derive(Clone, Debug)]
pub struct State {
    /// What is remembered.
    pub settings: Settings,
    /// The backbones there are.
    pub models: Vec<ModelInfo>,
    /// What was opened: path, pattern, camera or `demo`.
    pub source: String,
    /// Where it stands.
    pub playback: Playback,
    /// How many frames it has, where that is known.
    pub frame_count: Option<u64>,
    /// How long it plays, where one can move in it.
    pub duration: Option<Duration>,
    /// Whether it is a camera.
    pub live: bool,
    /// Source time that passes in a second.
    pub speed: f64,
    /// Where the user moved to, until a frame from there comes.
    pub target: Option<Duration>,
    /// What is wrong with it.
    pub source_problem: Option<String>,
    /// The detector at work.
    pub active: Option<ActiveModel>,
    /// The backbone being built, in words.
    pub loading: Option<String>,
    /// Why the last one could not be built.
    pub model_problem: Option<String>,
    /// The second detector, while two are compared.
    pub comparison: Option<Comparison>,
    /// The frame being shown.
    pub shot: Option<Shot>,
    /// The newest detections of this source.
    pub found: Option<Found>,
    /// Those of them that are not hidden.
    pub kept: Option<Detections>,
    /// What is drawn: the same, or steadied.
    pub drawn: Vec<Detection>,
    /// The object that is pointed out.
    pub highlight: Option<Detection>,
    /// What is typed into the search for classes.
    pub class_search: String,
    /// What is typed into the field for a path; `None` while it is closed.
    pub path: Option<String>,
    /// The cameras, once they were looked for.
    pub cameras: Option<Result<Vec<CameraEntry>, String>>,
    /// Their formats, as far as anybody asked; `None` while they are looked up.
    pub formats: BTreeMap<String, Option<Result<Vec<String>, String>>>,
    /// How recording stands.
    pub recording: Recording,
    /// The measurement of all backbones, if there was one.
    pub benchmark: Option<Benchmark>,
    /// What was reported.
    pub log: Log,
    /// Speed.
    pub stats: Stats,
    /// Whether the help window is open.
    pub help: bool,
    /// Whether all of the screen is used.
    pub fullscreen: bool,
    smoother: Smoother,
    moment: Moment,
    /// Whether the first camera is to be opened once it is known.
    wants_camera: Option<Wanted>,
    /// The weights file of the command line and, once known, the backbone it is for.
    weights: Option<(PathBuf, Option<String>)>,
}

/// Who asked for the first camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Nobody: the program was started without a source.
    AtStart,
    /// The user.
    ByUser,
    /// The one from the start is being opened.
    Trying,
}

impl State {
    /// The state before anything was opened.
    #[must_use]
    pub fn new(settings: Settings, models: Vec<ModelInfo>) -> Self {
        let mut settings = settings.tidied();
        // A remembered backbone may be gone from a newer version.
        settings.backbone = settings.backbone.filter(|name| models.iter().any(|m| m.name == *name));
        Self {
            settings,
            models,
            source: String::new(),
            playback: Playback::Opening,
            frame_count: None,
            duration: None,
            live: false,
            speed: 1.0,
            target: None,
            source_problem: None,
            active: None,
            loading: None,
            model_problem: None,
            comparison: None,
            shot: None,
            found: None,
            kept: None,
            drawn: Vec::new(),
            highlight: None,
            class_search: String::new(),
            path: None,
            cameras: None,
            formats: BTreeMap::new(),
            recording: Recording::Off,
            benchmark: None,
            log: Log::default(),
            stats: Stats::default(),
            help: false,
            fullscreen: false,
            smoother: Smoother::default(),
            moment: Moment::default(),
            wants_camera: None,
            weights: None,
        }
    }

    /// Whether a backbone runs with a weights file of the command line, of which the menus know nothing.
    #[must_use]
    pub fn has_file_for(&self, backbone: &str) -> bool {
        self.weights.as_ref().is_some_and(|(_, of)| of.as_deref() == Some(backbone))
    }

    /// The first orders: what the command line asks for, else what is remembered. Without a source it is
    /// the first camera, or the demo where there is none.
    pub fn start(
        &mut self,
        source: Option<&str>,
        backbone: Option<String>,
        weights: Option<PathBuf>,
    ) -> Vec<Order> {
        let remembered = self.settings.backbone.clone();
        let threads = self.settings.threads;
        let choice = match weights {
            // The file decides, or its user: a remembered backbone could only contradict.
            Some(file) => {
                self.weights = Some((file.clone(), backbone.clone()));
                ModelChoice { backbone, weights: Some(file), threads }
            }
            None => ModelChoice { backbone: backbone.or(remembered), weights: None, threads },
        };
        let mut orders = vec![
            Order::Thresholds(self.settings.thresholds),
            Order::Hide(self.settings.hidden.clone()),
            Order::Loop(self.settings.looped),
            Order::InStep(self.settings.in_step),
            self.build(Role::Main, choice),
            Order::Run(Errand::Cameras),
        ];
        match source {
            Some(source) => orders.push(self.open(source, None)),
            None => self.wants_camera = Some(Wanted::AtStart),
        }
        orders
    }

    /// The detections being shown, without hidden classes.
    #[must_use]
    pub fn items(&self) -> &[Detection] {
        self.kept.as_ref().map_or(&[], |kept| &kept.items)
    }

    /// What the second detector found, without hidden classes.
    #[must_use]
    pub fn rival_found(&self) -> Option<Detections> {
        let found = self.found.as_ref()?.rival.as_ref()?.outcome.as_ref().ok()?;
        Some(filter::kept(found, &self.settings.hidden))
    }

    /// How far two detectors agree about the newest frame, once both have looked at it.
    #[must_use]
    pub fn agreement(&self) -> Option<Agreement> {
        self.comparison.as_ref()?;
        Some(Agreement::between(&self.kept.as_ref()?.items, &self.rival_found()?.items))
    }

    /// How many objects of each class the detector found, hidden ones too.
    #[must_use]
    pub fn class_counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        let main = self.found.as_ref().and_then(|found| found.main.as_ref());
        for item in main.and_then(|look| look.outcome.as_ref().ok()).map_or(&[][..], |found| &found.items) {
            *counts.entry(&*item.label).or_default() += 1;
        }
        counts
    }

    /// Where in the source the picture is, or will be in a moment.
    #[must_use]
    pub fn position(&self) -> Option<Duration> {
        self.target.or_else(|| self.shot.as_ref().map(|shot| shot.position))
    }

    /// Tells of the note that a crash left: of a worker just now, or of the program the last time.
    pub fn offer_crash_note(&mut self, note: PathBuf, now: bool) {
        let what = match now {
            true => "A part of Sandglass stopped by a mistake of ours: please close it and start it again",
            false => "Sandglass stopped by a mistake of ours the last time",
        };
        let text = format!(
            "{what}. A note for a report, without private data, is in {}; nothing was sent",
            note.display()
        );
        let show = Remedy { label: "Show in folder", action: Action::Run(Errand::Reveal(note)) };
        self.report(Severity::Problem, text, Some(show));
    }

    fn report(&mut self, severity: Severity, text: impl Into<String>, remedy: Option<Remedy>) {
        self.log.add(severity, text.into(), remedy);
    }

    fn open(&mut self, source: &str, format: Option<String>) -> Order {
        self.moment = Moment { generation: self.moment.generation + 1, jump: 0 };
        self.source = source.to_owned();
        self.playback = Playback::Opening;
        self.frame_count = None;
        self.duration = None;
        self.live = false;
        self.target = None;
        self.source_problem = None;
        self.shot = None;
        self.wants_camera = None;
        self.forget_found();
        self.stats.forget_source();
        Order::Open { source: self.source.clone(), format, generation: self.moment.generation }
    }

    fn forget_found(&mut self) {
        self.found = None;
        self.kept = None;
        self.drawn.clear();
        self.highlight = None;
        self.smoother.forget();
    }

    /// Works out what is shown of the newest detections.
    fn sift(&mut self) {
        let main = self.found.as_ref().and_then(|found| found.main.as_ref());
        let found = main.and_then(|look| look.outcome.as_ref().ok());
        self.kept = found.map(|found| filter::kept(found, &self.settings.hidden));
        let kept = self.kept.as_ref().map_or(&[][..], |kept| &kept.items);
        // The object pointed out is looked for among the new ones.
        if let Some(old) = &self.highlight {
            let overlap = |item: &&Detection| item.bounds.iou(old.bounds);
            let same = kept.iter().filter(|item| item.label == old.label && overlap(item) > 0.3);
            self.highlight = same.max_by(|a, b| overlap(a).total_cmp(&overlap(b))).cloned();
        }
    }

    /// Works out what is drawn of what is shown.
    fn steady(&mut self) {
        let kept = self.kept.as_ref().map_or(&[][..], |kept| &kept.items);
        self.drawn = if self.settings.overlay.smooth { self.smoother.next(kept) } else { kept.to_vec() };
    }

    fn build(&mut self, role: Role, choice: ModelChoice) -> Order {
        if role == Role::Main {
            self.loading = Some(choice.backbone.clone().unwrap_or_else(|| "the detector".into()));
            self.model_problem = None;
        }
        Order::Model(role, choice)
    }
}
