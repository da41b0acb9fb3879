//! All that the viewer knows, as plain data; every change to it is a function here.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::command::Command;
use crate::engine::ModelChoice;
use crate::message::{Event, Order};
use crate::settings::{Settings, Theme, Thresholds};
use crate::stats::Stats;
use sandglass_detector::Detections;

/// How far one key press moves the score threshold.
const SCORE_STEP: f32 = 0.05;

/// One entry of the backbone menu.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// Parameters of the detector.
    pub parameters: usize,
    /// Multiply-adds for one picture.
    pub multiply_adds: usize,
    /// Whether trained weights come with the program.
    pub trained: bool,
    /// Mean average precision of those weights, 0 to 1, where it was measured.
    pub map: Option<f64>,
}

/// The detector at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveModel {
    /// The backbone by name.
    pub backbone: String,
    /// Whether its weights are trained ones.
    pub trained: bool,
    /// Where it runs.
    pub engine: String,
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

/// One frame that went through the pipeline.
#[derive(Clone, Debug)]
pub struct FrameResult {
    /// Which source it stems from.
    pub generation: u64,
    /// What the source calls itself at this frame.
    pub name: String,
    /// Its number in the source, from 0.
    pub index: u64,
    /// Its time in the source.
    pub captured: Duration,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// What was found; `None` while no detector is there.
    pub detections: Option<Detections>,
    /// Why nothing could be found.
    pub problem: Option<String>,
    /// When it was done.
    pub finished: Instant,
    /// Whether the frame is a new one, not the last one looked at again.
    pub fresh: bool,
}

/// Something the user did.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Gave a command.
    Do(Command),
    /// Chose a backbone.
    Backbone(String),
    /// Moved a slider.
    Thresholds(Thresholds),
    /// Chose a theme.
    Theme(Theme),
    /// Opened a source.
    Open(String),
}

/// All that the viewer knows.
#[derive(Clone, Debug)]
pub struct State {
    /// What is remembered.
    pub settings: Settings,
    /// The backbones there are.
    pub models: Vec<ModelInfo>,
    /// What was opened: path, pattern or `demo`.
    pub source: String,
    /// Where it stands.
    pub playback: Playback,
    /// How many frames it has, where that is known.
    pub frame_count: Option<u64>,
    /// What is wrong with it.
    pub source_problem: Option<String>,
    /// The detector at work.
    pub active: Option<ActiveModel>,
    /// The backbone being built, in words.
    pub loading: Option<String>,
    /// Why the last one could not be built.
    pub model_problem: Option<String>,
    /// The frame being shown.
    pub shown: Option<FrameResult>,
    /// Speed.
    pub stats: Stats,
    /// Whether the help window is open.
    pub help: bool,
    generation: u64,
    /// The weights file of the command line and, once known, the backbone it is for.
    weights: Option<(PathBuf, Option<String>)>,
}

impl State {
    /// The state before anything was opened.
    #[must_use]
    pub fn new(mut settings: Settings, models: Vec<ModelInfo>) -> Self {
        settings.thresholds = settings.thresholds.tidied();
        // A remembered backbone may be gone from a newer version.
        settings.backbone = settings.backbone.filter(|name| models.iter().any(|m| m.name == *name));
        Self {
            settings,
            models,
            source: String::new(),
            playback: Playback::Opening,
            frame_count: None,
            source_problem: None,
            active: None,
            loading: None,
            model_problem: None,
            shown: None,
            stats: Stats::default(),
            help: false,
            generation: 0,
            weights: None,
        }
    }

    /// The first orders: what the command line asks for, else what is remembered.
    pub fn start(&mut self, source: &str, backbone: Option<String>, weights: Option<PathBuf>) -> Vec<Order> {
        let remembered = self.settings.backbone.clone();
        let choice = match weights {
            // The file decides, or its user: a remembered backbone could only contradict.
            Some(file) => {
                self.weights = Some((file.clone(), backbone.clone()));
                ModelChoice { backbone, weights: Some(file) }
            }
            None => ModelChoice { backbone: backbone.or(remembered), weights: None },
        };
        vec![
            Order::Thresholds(self.settings.thresholds),
            Order::Loop(self.settings.looped),
            self.build(choice),
            self.open(source),
        ]
    }

    /// What follows from something the user did.
    pub fn act(&mut self, action: Action) -> Vec<Order> {
        match action {
            Action::Do(command) => self.obey(command),
            Action::Backbone(name) => vec![self.choose(name)],
            Action::Thresholds(thresholds) => self.set_thresholds(thresholds),
            Action::Open(source) => vec![self.open(&source)],
            Action::Theme(theme) => {
                self.settings.theme = theme;
                Vec::new()
            }
        }
    }

    fn obey(&mut self, command: Command) -> Vec<Order> {
        match command {
            Command::TogglePlay => match self.playback {
                Playback::Opening | Playback::Playing => {
                    self.playback = Playback::Paused;
                    vec![Order::Play(false)]
                }
                Playback::Paused => {
                    self.playback = Playback::Playing;
                    vec![Order::Play(true)]
                }
                Playback::Ended | Playback::Failed => self.restart(),
            },
            Command::Restart => self.restart(),
            Command::ToggleLoop => {
                self.settings.looped = !self.settings.looped;
                vec![Order::Loop(self.settings.looped)]
            }
            Command::OpenDemo => vec![self.open("demo")],
            Command::NextBackbone => self.step(1),
            Command::PreviousBackbone => self.step(-1),
            Command::RaiseScore => self.move_score(SCORE_STEP),
            Command::LowerScore => self.move_score(-SCORE_STEP),
            Command::ToggleBoxes => {
                self.settings.boxes = !self.settings.boxes;
                Vec::new()
            }
            Command::CycleTheme => {
                self.settings.theme = self.settings.theme.next();
                Vec::new()
            }
            Command::ToggleHelp => {
                self.help = !self.help;
                Vec::new()
            }
        }
    }

    /// News from the workers.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Opened { generation, frames } if generation == self.generation => {
                self.frame_count = frames;
                self.source_problem = None;
                if self.playback == Playback::Opening {
                    self.playback = Playback::Playing;
                }
            }
            Event::Ended { generation, frames } if generation == self.generation => {
                self.frame_count = Some(frames);
                self.playback = Playback::Ended;
            }
            Event::SourceFailed { generation, reason, over } if generation == self.generation => {
                self.source_problem = Some(reason);
                if over {
                    self.playback = Playback::Failed;
                }
            }
            // Late news of a source that was left.
            Event::Opened { .. } | Event::Ended { .. } | Event::SourceFailed { .. } => {}
            Event::ModelReady { choice, backbone, trained, engine } => {
                if choice.weights.is_some()
                    && let Some((_, of)) = &mut self.weights
                {
                    *of = Some(backbone.clone());
                }
                self.settings.backbone = Some(backbone.clone());
                self.active = Some(ActiveModel { backbone, trained, engine });
                self.loading = None;
                self.model_problem = None;
                self.stats.forget_stages();
            }
            Event::ModelFailed { choice, reason } => {
                let name = choice.backbone.unwrap_or_else(|| "the detector".into());
                self.model_problem = Some(format!("{name} could not be loaded: {reason}"));
                self.loading = None;
                self.settings.backbone = self.active.as_ref().map(|active| active.backbone.clone());
            }
        }
    }

    /// A frame to show; says whether it belongs to the source that is open.
    pub fn show(&mut self, result: FrameResult) -> bool {
        if result.generation != self.generation {
            return false;
        }
        if result.fresh {
            self.stats.frame(result.finished);
        }
        if let Some(detections) = &result.detections {
            self.stats.stages(&detections.timing);
        }
        self.shown = Some(result);
        true
    }

    fn open(&mut self, source: &str) -> Order {
        self.generation += 1;
        self.source = source.to_owned();
        self.playback = Playback::Opening;
        self.frame_count = None;
        self.source_problem = None;
        self.shown = None;
        self.stats.forget_rate();
        Order::Open { source: self.source.clone(), generation: self.generation }
    }

    fn restart(&mut self) -> Vec<Order> {
        self.playback = Playback::Opening;
        self.source_problem = None;
        vec![Order::Restart]
    }

    fn build(&mut self, choice: ModelChoice) -> Order {
        self.loading = Some(choice.backbone.clone().unwrap_or_else(|| "the detector".into()));
        self.model_problem = None;
        Order::Model(choice)
    }

    fn choose(&mut self, name: String) -> Order {
        // Back to the backbone of the file from the command line means back to that file.
        let weights = self.weights.as_ref().filter(|(_, of)| of.as_ref() == Some(&name));
        let weights = weights.map(|(file, _)| file.clone());
        self.settings.backbone = Some(name.clone());
        self.build(ModelChoice { backbone: Some(name), weights })
    }

    fn step(&mut self, by: isize) -> Vec<Order> {
        let count = self.models.len() as isize;
        if count == 0 {
            return Vec::new();
        }
        let at = self.models.iter().position(|m| Some(&m.name) == self.settings.backbone.as_ref());
        let next = at.map_or(0, |at| (at as isize + by).rem_euclid(count) as usize);
        self.models.get(next).map(|m| m.name.clone()).map(|name| self.choose(name)).into_iter().collect()
    }

    fn move_score(&mut self, by: f32) -> Vec<Order> {
        // Onto multiples of the step, so that keys and readable numbers go together.
        let score = ((self.settings.thresholds.score + by) / SCORE_STEP).round() * SCORE_STEP;
        self.set_thresholds(Thresholds { score, ..self.settings.thresholds })
    }

    fn set_thresholds(&mut self, thresholds: Thresholds) -> Vec<Order> {
        let thresholds = thresholds.tidied();
        if thresholds == self.settings.thresholds {
            return Vec::new();
        }
        self.settings.thresholds = thresholds;
        vec![Order::Thresholds(thresholds)]
    }
}
