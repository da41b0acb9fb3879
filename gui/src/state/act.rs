//! What follows from what the user does.

use std::time::Duration;

use super::{Action, Benchmark, Comparison, Layout, Playback, Recording, State, Wanted};
use crate::command::Command;
use crate::engine::ModelChoice;
use crate::message::{Errand, Order, RecordPlan, Role};
use crate::settings::{Overlay, Tab, Thresholds};

/// How far one key press moves the score threshold.
const SCORE_STEP: f32 = 0.05;

/// How far one key press moves in a source.
const JUMP: Duration = Duration::from_secs(5);

/// The time between two frames where nobody knows.
const USUAL: Duration = Duration::from_millis(40);

/// The speeds there are.
pub const SPEEDS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

impl State {
    /// What follows from something the user did.
    pub fn act(&mut self, action: Action) -> Vec<Order> {
        match action {
            Action::Do(command) => return self.obey(command),
            Action::Backbone(name) => return vec![self.choose(name)],
            Action::Rival(name) => return self.compare_with(name),
            Action::Layout(layout) => {
                if let Some(comparison) = &mut self.comparison {
                    comparison.layout = layout;
                }
            }
            Action::Edge(edge) => {
                if let Some(comparison) = &mut self.comparison {
                    comparison.edge = edge.clamp(0.0, 1.0);
                }
            }
            Action::Threads(threads) => return self.set_threads(threads),
            Action::Thresholds(thresholds) => return self.set_thresholds(thresholds),
            Action::Hide(hidden) => {
                self.settings.hidden.clone_from(&hidden);
                self.smoother.forget();
                self.sift();
                self.steady();
                return vec![Order::Hide(hidden)];
            }
            Action::ClassSearch(text) => self.class_search = text,
            Action::Overlay(overlay) => self.set_overlay(overlay),
            Action::Recordings(recordings) => self.settings.recordings = recordings,
            Action::Open(source) => {
                self.path = None;
                let source = source.trim();
                return if source.is_empty() { Vec::new() } else { vec![self.open(source, None)] };
            }
            Action::OpenCamera(source, format) => return vec![self.open(&source, Some(format))],
            Action::Path(text) => self.path = Some(text),
            Action::ClosePath => self.path = None,
            Action::Seek(to) => return self.seek(to),
            Action::Speed(speed) => return self.set_speed(speed),
            Action::Highlight(item) => self.highlight = item,
            Action::Theme(theme) => self.settings.theme = theme,
            Action::Tab(tab) => self.settings.tab = tab,
            Action::Run(errand) => {
                if let Errand::Formats(camera) = &errand {
                    self.formats.insert(camera.clone(), None);
                }
                return vec![Order::Run(errand)];
            }
            Action::Dismiss(id) => self.log.dismiss(id),
            Action::ClearLog => self.log.clear(),
        }
        Vec::new()
    }

    fn obey(&mut self, command: Command) -> Vec<Order> {
        let overlay = self.settings.overlay;
        match command {
            Command::OpenFile => return vec![Order::Run(Errand::PickFile)],
            Command::OpenFolder => return vec![Order::Run(Errand::PickFolder)],
            Command::OpenPath => {
                self.path = match self.path {
                    Some(_) => None,
                    None => Some(String::new()),
                };
            }
            Command::OpenCamera => {
                self.wants_camera = Some(Wanted::ByUser);
                return vec![Order::Run(Errand::Cameras)];
            }
            Command::OpenDemo => return vec![self.open("demo", None)],
            Command::TogglePlay => return self.toggle_play(),
            Command::StepBack => return self.step_back(),
            Command::StepForward => return self.step_forward(),
            Command::JumpBack => return self.jump(|at| at.saturating_sub(JUMP)),
            Command::JumpForward => return self.jump(|at| at + JUMP),
            Command::Slower => return self.change_speed(-1),
            Command::Faster => return self.change_speed(1),
            Command::Restart => return self.restart(),
            Command::ToggleLoop => {
                self.settings.looped = !self.settings.looped;
                return vec![Order::Loop(self.settings.looped)];
            }
            Command::NextBackbone => return self.step_backbone(1),
            Command::PreviousBackbone => return self.step_backbone(-1),
            Command::ToggleCompare => return self.toggle_compare(),
            Command::RaiseScore => return self.move_score(SCORE_STEP),
            Command::LowerScore => return self.move_score(-SCORE_STEP),
            Command::Benchmark => return self.toggle_benchmark(),
            Command::ToggleRecord => return self.toggle_record(),
            Command::Snapshot => {
                let recordings = &self.settings.recordings;
                let (folder, annotated) = (recordings.folder(), recordings.annotated);
                return vec![Order::Snapshot { folder, annotated }];
            }
            Command::OpenRecordings => {
                return vec![Order::Run(Errand::Reveal(self.settings.recordings.folder()))];
            }
            Command::ToggleBoxes => self.set_overlay(Overlay { boxes: !overlay.boxes, ..overlay }),
            Command::ToggleMirror => self.set_overlay(Overlay { mirror: !overlay.mirror, ..overlay }),
            Command::ToggleSmooth => self.set_overlay(Overlay { smooth: !overlay.smooth, ..overlay }),
            Command::ToggleInStep => {
                self.settings.in_step = !self.settings.in_step;
                return vec![Order::InStep(self.in_step())];
            }
            Command::ToggleSide => self.settings.side = !self.settings.side,
            Command::NextTab => {
                self.settings.tab = self.settings.tab.next();
                self.settings.side = true;
            }
            Command::Fullscreen => self.fullscreen = !self.fullscreen,
            Command::CycleTheme => self.settings.theme = self.settings.theme.next(),
            Command::ToggleHelp => self.help = !self.help,
        }
        Vec::new()
    }

    /// Two detectors are only comparable on the same frame.
    fn in_step(&self) -> bool {
        self.settings.in_step || self.comparison.is_some()
    }

    fn toggle_play(&mut self) -> Vec<Order> {
        match self.playback {
            Playback::Opening | Playback::Playing => {
                self.playback = Playback::Paused;
                vec![Order::Play(false)]
            }
            Playback::Paused => {
                self.playback = Playback::Playing;
                vec![Order::Play(true)]
            }
            Playback::Ended | Playback::Failed => self.restart(),
        }
    }

    fn restart(&mut self) -> Vec<Order> {
        self.playback = Playback::Opening;
        self.source_problem = None;
        self.target = None;
        vec![Order::Restart]
    }

    fn seek(&mut self, to: Duration) -> Vec<Order> {
        let Some(duration) = self.duration else { return Vec::new() };
        let to = to.min(duration);
        self.moment.jump += 1;
        self.target = Some(to);
        self.forget_found();
        let mut orders = vec![Order::Seek { to, jump: self.moment.jump }];
        // What had ended goes on from there.
        if self.playback == Playback::Ended {
            self.playback = Playback::Playing;
            orders.push(Order::Play(true));
        }
        orders
    }

    fn jump(&mut self, change: impl Fn(Duration) -> Duration) -> Vec<Order> {
        match self.position() {
            Some(at) => self.seek(change(at)),
            None => Vec::new(),
        }
    }

    fn step_forward(&mut self) -> Vec<Order> {
        if matches!(self.playback, Playback::Ended | Playback::Failed) {
            return Vec::new();
        }
        self.playback = Playback::Paused;
        vec![Order::StepForward]
    }

    fn step_back(&mut self) -> Vec<Order> {
        let Some(at) = self.position().filter(|_| self.duration.is_some()) else { return Vec::new() };
        let frames = self.frame_count.filter(|frames| *frames > 0);
        let interval = match (self.duration, frames) {
            (Some(duration), Some(frames)) => duration.div_f64(frames as f64),
            _ => USUAL,
        };
        self.playback = Playback::Paused;
        // Half a frame before this one, the one before is on the screen.
        let mut orders = vec![Order::Play(false)];
        orders.extend(self.seek(at.saturating_sub(interval / 2)));
        self.playback = Playback::Paused;
        orders
    }

    fn change_speed(&mut self, by: isize) -> Vec<Order> {
        let at = SPEEDS.iter().position(|speed| *speed >= self.speed).unwrap_or(SPEEDS.len() - 1);
        let next = at.saturating_add_signed(by).min(SPEEDS.len() - 1);
        SPEEDS.get(next).map_or_else(Vec::new, |speed| self.set_speed(*speed))
    }

    fn set_speed(&mut self, speed: f64) -> Vec<Order> {
        self.speed = speed;
        vec![Order::Speed(speed)]
    }

    fn choice(&self, name: String) -> ModelChoice {
        // Back to the backbone of the file from the command line means back to that file.
        let weights = self.weights.as_ref().filter(|(_, of)| of.as_ref() == Some(&name));
        let weights = weights.map(|(file, _)| file.clone());
        ModelChoice { backbone: Some(name), weights, threads: self.settings.threads }
    }

    fn choose(&mut self, name: String) -> Order {
        self.settings.backbone = Some(name.clone());
        let choice = self.choice(name);
        self.build(Role::Main, choice)
    }

    fn step_backbone(&mut self, by: isize) -> Vec<Order> {
        let count = self.models.len() as isize;
        if count == 0 {
            return Vec::new();
        }
        let at = self.models.iter().position(|m| Some(&m.name) == self.settings.backbone.as_ref());
        let next = at.map_or(0, |at| (at as isize + by).rem_euclid(count) as usize);
        self.models.get(next).map(|m| m.name.clone()).map(|name| self.choose(name)).into_iter().collect()
    }

    fn set_threads(&mut self, threads: usize) -> Vec<Order> {
        self.settings.threads = threads;
        let mut orders = Vec::new();
        if let Some(name) = self.settings.backbone.clone() {
            orders.push(self.choose(name));
        }
        if let Some(rival) = self.comparison.as_ref().map(|comparison| comparison.backbone.clone()) {
            orders.extend(self.compare_with(rival));
        }
        orders
    }

    fn toggle_compare(&mut self) -> Vec<Order> {
        if self.comparison.take().is_some() {
            return vec![Order::DropRival, Order::InStep(self.in_step())];
        }
        // Another one: trained before untrained, and then the one that costs about as much.
        let current = self.settings.backbone.as_ref();
        let cost =
            self.models.iter().find(|model| Some(&model.name) == current).map_or(0, |m| m.multiply_adds);
        let others = self.models.iter().filter(|model| Some(&model.name) != current);
        let best = others.min_by_key(|model| (!model.trained, model.multiply_adds.abs_diff(cost)));
        best.map(|model| model.name.clone()).map_or_else(Vec::new, |name| self.compare_with(name))
    }

    fn compare_with(&mut self, name: String) -> Vec<Order> {
        let (layout, edge) =
            self.comparison.as_ref().map_or((Layout::default(), 0.5), |c| (c.layout, c.edge));
        self.comparison = Some(Comparison { backbone: name.clone(), active: None, layout, edge });
        let choice = self.choice(name);
        vec![self.build(Role::Rival, choice), Order::InStep(true)]
    }

    fn toggle_benchmark(&mut self) -> Vec<Order> {
        let threads = self.settings.threads;
        match &mut self.benchmark {
            Some(benchmark) if benchmark.running => {
                benchmark.running = false;
                vec![Order::Benchmark(None)]
            }
            _ => {
                self.benchmark = Some(Benchmark { lines: Vec::new(), running: true, threads });
                (self.settings.tab, self.settings.side) = (Tab::Speed, true);
                vec![Order::Benchmark(Some(threads))]
            }
        }
    }

    fn toggle_record(&mut self) -> Vec<Order> {
        match &self.recording {
            Recording::Off => {
                self.recording = Recording::Starting;
                let recordings = &self.settings.recordings;
                vec![Order::Record(RecordPlan {
                    folder: recordings.folder(),
                    annotated: recordings.annotated,
                    sidecar: recordings.sidecar,
                    live: self.live,
                })]
            }
            Recording::Starting | Recording::Ending(_) => Vec::new(),
            Recording::On(progress) => {
                self.recording = Recording::Ending(progress.clone());
                vec![Order::StopRecording]
            }
        }
    }

    fn set_overlay(&mut self, overlay: Overlay) {
        let smooth = overlay.smooth != self.settings.overlay.smooth;
        self.settings.overlay = overlay;
        if smooth {
            self.smoother.forget();
            self.steady();
        }
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
