//! What follows from the news of the workers.

use std::time::Instant;

use super::{Action, ActiveModel, Playback, Recording, State, Wanted};
use crate::command::Command;
use crate::message::{Errand, Event, Found, Look, Order, Role, Shot};
use crate::notice::Remedy;
use crate::settings::Settings;
use crate::status::Severity;
use crate::worker::recording;

impl State {
    /// News from the workers, and what follows from it.
    pub fn apply(&mut self, event: Event) -> Vec<Order> {
        let generation = self.moment.generation;
        match event {
            Event::Opened { generation: of, frames, duration, live, remark } if of == generation => {
                self.frame_count = frames;
                self.duration = duration;
                self.live = live;
                self.source_problem = None;
                self.wants_camera = None;
                if self.playback == Playback::Opening {
                    self.playback = Playback::Playing;
                }
                let source = self.source.clone();
                self.settings.watched(&source);
                if let Some(remark) = remark {
                    self.report(Severity::Info, remark, None);
                }
            }
            Event::Ended { generation: of, frames } if of == generation => {
                self.frame_count = Some(frames);
                self.playback = Playback::Ended;
            }
            Event::SourceFailed { generation: of, reason, over } if of == generation => {
                return self.source_failed(reason, over);
            }
            Event::SourceBack { generation: of } if of == generation => {
                self.source_problem = None;
                let text = format!("Pictures of {} come again", self.source);
                self.report(Severity::Info, text, None);
            }
            // Late news of a source that was left.
            Event::Opened { .. }
            | Event::Ended { .. }
            | Event::SourceFailed { .. }
            | Event::SourceBack { .. } => {}
            Event::ModelReady { role, choice, backbone, trained, engine, classes } => {
                let active = ActiveModel { backbone, trained, engine, classes };
                match role {
                    Role::Main => self.take_over(active, choice.weights.is_some()),
                    Role::Rival => {
                        if let Some(comparison) = &mut self.comparison {
                            comparison.backbone.clone_from(&active.backbone);
                            comparison.active = Some(active);
                        }
                    }
                }
            }
            Event::ModelFailed { role, choice, reason } => {
                let name = choice.backbone.unwrap_or_else(|| "the detector".into());
                let problem = format!("{name} could not be loaded: {reason}");
                self.report(Severity::Problem, problem.clone(), None);
                match role {
                    Role::Main => {
                        self.model_problem = Some(problem);
                        self.loading = None;
                        self.settings.backbone = self.active.as_ref().map(|active| active.backbone.clone());
                    }
                    Role::Rival => self.comparison = None,
                }
            }
            Event::Recording(progress) => match &self.recording {
                Recording::Ending(_) => self.recording = Recording::Ending(progress),
                _ => self.recording = Recording::On(progress),
            },
            Event::Recorded(outcome) => {
                self.recording = Recording::Off;
                match outcome {
                    Ok(summary) => {
                        let (first, text) = (summary.files.first(), recording::outcome(&summary));
                        let show = first.map(|file| Remedy {
                            label: "Show in folder",
                            action: Action::Run(Errand::Reveal(file.clone())),
                        });
                        let name = first.map(|file| format!(": {}", file.display())).unwrap_or_default();
                        let early = summary.ended.is_some();
                        let severity = if early { Severity::Problem } else { Severity::Info };
                        self.report(severity, format!("{text}{name}"), show);
                    }
                    Err(reason) => self.report(Severity::Problem, format!("Not recorded: {reason}"), None),
                }
            }
            Event::Snapshot(Ok(path)) => {
                let show =
                    Remedy { label: "Show in folder", action: Action::Run(Errand::Reveal(path.clone())) };
                self.report(Severity::Info, format!("Saved {}", path.display()), Some(show));
            }
            Event::Snapshot(Err(reason)) => {
                self.report(Severity::Problem, format!("No snapshot: {reason}"), None);
            }
            Event::Measured { backbone, millis } => {
                let Some(benchmark) = &mut self.benchmark else { return Vec::new() };
                if let Ok(millis) = millis {
                    let key = Settings::measurement(&backbone, benchmark.threads);
                    self.settings.measured.insert(key, millis);
                }
                benchmark.lines.push((backbone, millis));
            }
            Event::BenchmarkEnded => {
                if let Some(benchmark) = &mut self.benchmark {
                    benchmark.running = false;
                }
            }
            Event::Cameras(cameras) => return self.cameras_known(cameras),
            Event::Formats { camera, formats } => {
                self.formats.insert(camera, Some(formats));
            }
            Event::Picked(Some(path)) => {
                let path = path.display().to_string();
                return vec![self.open(&path, None)];
            }
            Event::PickedRecordings(Some(folder)) => self.settings.recordings.folder = Some(folder),
            Event::Picked(None) | Event::PickedRecordings(None) => {
                let type_it = Remedy { label: "Type a path", action: Action::Do(Command::OpenPath) };
                let text = "Nothing was chosen. Where no dialog appears, a path can be typed";
                self.report(Severity::Info, text, Some(type_it));
            }
            Event::ErrandFailed(reason) => self.report(Severity::Problem, reason, None),
        }
        Vec::new()
    }

    fn source_failed(&mut self, reason: String, over: bool) -> Vec<Order> {
        self.source_problem = Some(reason.clone());
        let remedy = match over {
            true if self.source == "demo" => None,
            true => Some(Remedy { label: "Open the demo", action: Action::Do(Command::OpenDemo) }),
            false => None,
        };
        let tried = self.wants_camera == Some(Wanted::Trying);
        self.report(Severity::Problem, reason, remedy);
        if !over {
            return Vec::new();
        }
        self.playback = Playback::Failed;
        // Nobody asked for this camera: something to look at is better than an empty window.
        if tried { vec![self.open("demo", None)] } else { Vec::new() }
    }

    fn take_over(&mut self, active: ActiveModel, from_file: bool) {
        if from_file && let Some((_, of)) = &mut self.weights {
            *of = Some(active.backbone.clone());
        }
        // What it took in use is as good as a measurement, where there were enough frames.
        if let Some(old) = &self.active
            && self.stats.history().len() >= 50
            && self.settings.millis(&old.backbone).is_none()
            && let Some(spread) = self.stats.inference()
        {
            let key = Settings::measurement(&old.backbone, self.settings.threads);
            self.settings.measured.insert(key, spread.median);
        }
        self.settings.backbone = Some(active.backbone.clone());
        self.active = Some(active);
        self.loading = None;
        self.model_problem = None;
        self.stats.forget_stages();
    }

    fn cameras_known(&mut self, cameras: Result<Vec<crate::engine::CameraEntry>, String>) -> Vec<Order> {
        let wanted = self.wants_camera.take();
        let first = cameras.as_ref().ok().and_then(|cameras| cameras.first()).map(|c| c.source.clone());
        let reason = cameras.as_ref().err().cloned();
        self.formats.clear();
        self.cameras = Some(cameras);
        match (wanted, first) {
            (Some(wanted), Some(camera)) => {
                let order = self.open(&camera, None);
                self.wants_camera = (wanted == Wanted::AtStart).then_some(Wanted::Trying);
                vec![order]
            }
            (Some(Wanted::AtStart), None) => {
                let text = "No camera was found, so this is the demo. To watch something else, drop a \
                            video, a picture or a folder on the window";
                let file = Remedy { label: "Open a file…", action: Action::Do(Command::OpenFile) };
                self.report(Severity::Info, text, Some(file));
                vec![self.open("demo", None)]
            }
            (Some(_), None) => {
                let text = reason.unwrap_or_else(|| "No camera was found".into());
                let again = Remedy { label: "Look again", action: Action::Do(Command::OpenCamera) };
                self.report(Severity::Problem, text, Some(again));
                Vec::new()
            }
            (None, _) => Vec::new(),
        }
    }

    /// A frame to show; says whether it belongs to what is being watched.
    pub fn show(&mut self, shot: Shot) -> bool {
        if shot.moment != self.moment {
            return false;
        }
        self.stats.frame(Instant::now(), &shot);
        self.target = None;
        self.shot = Some(shot);
        true
    }

    /// Detections; says whether they belong to what is being watched.
    pub fn see(&mut self, found: Found) -> bool {
        if found.moment != self.moment {
            return false;
        }
        self.stats.found(&found);
        let problem = |found: &Found| match &found.main {
            Some(Look { outcome: Err(reason), .. }) => Some(reason.clone()),
            _ => None,
        };
        let before = self.found.as_ref().and_then(problem);
        if let Some(reason) = problem(&found)
            && before.as_ref() != Some(&reason)
        {
            let other = self.models.first().map(|model| Remedy {
                label: "Use another backbone",
                action: Action::Backbone(model.name.clone()),
            });
            self.report(Severity::Problem, format!("Detection failed: {reason}"), other);
        }
        self.found = Some(found);
        self.sift();
        self.steady();
        true
    }
}
