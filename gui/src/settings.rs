//! What the user sets and the viewer remembers from one start to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Which detections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thresholds {
    /// The lowest score that is shown, 0 to 1.
    pub score: f32,
    /// Of two boxes of a class that overlap more than this, the better one stays.
    pub iou: f32,
    /// At most this many.
    pub max_detections: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { score: 0.3, iou: 0.45, max_detections: 100 }
    }
}

impl Thresholds {
    /// The range of the score threshold.
    pub const SCORE: std::ops::RangeInclusive<f32> = 0.01..=0.99;
    /// The range of the overlap threshold.
    pub const IOU: std::ops::RangeInclusive<f32> = 0.05..=0.95;
    /// The range of the number of detections.
    pub const MAX_DETECTIONS: std::ops::RangeInclusive<usize> = 1..=200;

    /// The same inside the ranges: a settings file can hold anything.
    #[must_use]
    pub fn tidied(self) -> Self {
        let tidy = |value: f32, range: std::ops::RangeInclusive<f32>, otherwise: f32| {
            if value.is_finite() { value.clamp(*range.start(), *range.end()) } else { otherwise }
        };
        let default = Self::default();
        Self {
            score: tidy(self.score, Self::SCORE, default.score),
            iou: tidy(self.iou, Self::IOU, default.iou),
            max_detections: self
                .max_detections
                .clamp(*Self::MAX_DETECTIONS.start(), *Self::MAX_DETECTIONS.end()),
        }
    }
}

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// The one after it, in a circle.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::System => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::System,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }
}

/// Names of classes that are not shown.
pub type Hidden = BTreeSet<String>;

/// How boxes are coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Colours {
    /// Each class has its own.
    #[default]
    Class,
    /// From red (unsure) to green (sure).
    Score,
}

/// What is drawn over the picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overlay {
    /// Boxes at all.
    pub boxes: bool,
    /// The names of the classes.
    pub labels: bool,
    /// The scores behind the names.
    pub scores: bool,
    /// Width of the lines in points.
    pub line_width: f32,
    /// How boxes are coloured.
    pub colours: Colours,
    /// The picture as in a mirror.
    pub mirror: bool,
    /// Boxes that glide and labels that do not flicker; the table and recordings stay as they are.
    pub smooth: bool,
}

impl Default for Overlay {
    fn default() -> Self {
        Self {
            boxes: true,
            labels: true,
            scores: true,
            line_width: 2.5,
            colours: Colours::Class,
            mirror: false,
            smooth: false,
        }
    }
}

impl Overlay {
    /// The range of the line width.
    pub const LINE_WIDTH: std::ops::RangeInclusive<f32> = 1.0..=8.0;
}

/// How the viewer records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recordings {
    /// Where recordings go; `None` for the videos folder.
    pub folder: Option<PathBuf>,
    /// Whether boxes and labels are drawn.
    pub annotated: bool,
    /// Whether a line of JSON for each frame goes beside the video.
    pub sidecar: bool,
}

impl Default for Recordings {
    fn default() -> Self {
        Self { folder: None, annotated: true, sidecar: true }
    }
}

impl Recordings {
    /// Where recordings and snapshots go: what was chosen, else `Sandglass` in the system's folder for
    /// videos, else in the home folder, else here.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        let usual = || {
            let videos = videos().or_else(|| etcetera::home_dir().ok());
            videos.unwrap_or_default().join("Sandglass")
        };
        self.folder.clone().unwrap_or_else(usual)
    }
}

/// The system's folder for videos, where it has one.
#[cfg(all(unix, not(target_os = "macos")))]
fn videos() -> Option<PathBuf> {
    xdg_user::videos().ok().flatten()
}

/// The system's folder for videos: always of this name, whatever the file manager shows.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn videos() -> Option<PathBuf> {
    let name = if cfg!(target_os = "macos") { "Movies" } else { "Videos" };
    etcetera::home_dir().ok().map(|home| home.join(name)).filter(|folder| folder.is_dir())
}

/// The parts of the side panel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tab {
    /// Backbone, thresholds, classes, the objects found.
    #[default]
    Detect,
    /// What is drawn, how it is recorded.
    Options,
    /// How fast it goes.
    Speed,
    /// What was reported.
    Log,
}

impl Tab {
    /// All of them, from left to right.
    pub const ALL: [Self; 4] = [Self::Detect, Self::Options, Self::Speed, Self::Log];

    /// The one after it, in a circle.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Detect => Self::Options,
            Self::Options => Self::Speed,
            Self::Speed => Self::Log,
            Self::Log => Self::Detect,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Detect => "Detect",
            Self::Options => "Options",
            Self::Speed => "Speed",
            Self::Log => "Log",
        }
    }
}

/// What is remembered from one start to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The backbone; `None` for the default one.
    pub backbone: Option<String>,
    /// Threads that work on one frame; 0 for one a processor.
    pub threads: usize,
    /// Which detections are kept.
    pub thresholds: Thresholds,
    /// Classes that are not shown.
    pub hidden: Hidden,
    /// Whether a source begins again at its end.
    pub looped: bool,
    /// Whether only frames that were looked at are shown.
    pub in_step: bool,
    /// What is drawn over the picture.
    pub overlay: Overlay,
    /// How the viewer records.
    pub recordings: Recordings,
    /// Light or dark.
    pub theme: Theme,
    /// Which part of the side panel is open.
    pub tab: Tab,
    /// Whether there is a side panel.
    pub side: bool,
    /// What was watched, the newest first.
    pub recent: Vec<String>,
    /// Milliseconds a frame took on this machine, by backbone and what it ran on.
    pub measured: BTreeMap<String, f32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backbone: None,
            threads: 0,
            thresholds: Thresholds::default(),
            hidden: Hidden::new(),
            looped: true,
            in_step: false,
            overlay: Overlay::default(),
            recordings: Recordings::default(),
            theme: Theme::System,
            tab: Tab::Detect,
            side: true,
            recent: Vec::new(),
            measured: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// How many sources are remembered.
    pub const RECENT: usize = 8;

    /// The same with everything inside its range: a settings file can hold anything.
    #[must_use]
    pub fn tidied(mut self) -> Self {
        self.thresholds = self.thresholds.tidied();
        let width = self.overlay.line_width;
        let (least, most) = (*Overlay::LINE_WIDTH.start(), *Overlay::LINE_WIDTH.end());
        self.overlay.line_width = if width.is_finite() { width.clamp(least, most) } else { 2.5 };
        self.recent.truncate(Self::RECENT);
        self.threads = self.threads.min(256);
        self.measured.retain(|_, millis| millis.is_finite() && *millis > 0.0);
        self
    }

    /// The key of a measurement.
    #[must_use]
    pub fn measurement(backbone: &str, threads: usize) -> String {
        format!("{backbone} on {threads} threads")
    }

    /// What a backbone took on this machine with the threads in use, in milliseconds.
    #[must_use]
    pub fn millis(&self, backbone: &str) -> Option<f32> {
        self.measured.get(&Self::measurement(backbone, self.threads)).copied()
    }

    /// Remembers that a source was watched.
    pub fn watched(&mut self, source: &str) {
        self.recent.retain(|other| other != source);
        self.recent.insert(0, source.to_owned());
        self.recent.truncate(Self::RECENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_settings_are_mended() {
        let wild = Settings {
            overlay: Overlay { line_width: f32::INFINITY, ..Overlay::default() },
            recent: vec!["x".into(); 50],
            measured: BTreeMap::from([("a".into(), f32::NAN), ("b".into(), 3.0)]),
            ..Settings::default()
        };
        let tidy = wild.tidied();
        assert_eq!((tidy.overlay.line_width, tidy.recent.len(), tidy.measured.len()), (2.5, 8, 1));
    }

    #[test]
    fn what_is_watched_again_moves_up() {
        let mut settings = Settings::default();
        for source in ["a", "b", "a"] {
            settings.watched(source);
        }
        assert_eq!(settings.recent, ["a", "b"]);
    }
}
