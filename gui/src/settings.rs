//! What the user sets and the viewer remembers from one start to the next.

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

/// What is remembered from one start to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The backbone; `None` for the default one.
    pub backbone: Option<String>,
    /// Which detections are kept.
    pub thresholds: Thresholds,
    /// Whether a source begins again at its end.
    pub looped: bool,
    /// Whether boxes are drawn.
    pub boxes: bool,
    /// Light or dark.
    pub theme: Theme,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backbone: None,
            thresholds: Thresholds::default(),
            looped: true,
            boxes: true,
            theme: Theme::System,
        }
    }
}
