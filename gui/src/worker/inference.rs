//! Looks at the newest frame, and at the last one again when a setting changed.

use std::sync::Arc;
use std::time::Instant;

use egui::ColorImage;
use sandglass_detector::Frame;
use sandglass_detector::record::Recorded;

use super::Reporter;
use super::mailbox::{Mailbox, Post, Wait};
use super::recording::{self, Recording};
use super::snapshot::{self, Snapshot};
use crate::engine::{Engine, ModelChoice};
use crate::filter;
use crate::message::{Event, Found, Look, Picture, Role, Shot};
use crate::settings::{Hidden, Thresholds};

/// A frame with what the window wants to know about it.
#[derive(Clone)]
pub(super) struct Captured {
    pub(super) frame: Frame,
    pub(super) shot: Shot,
    pub(super) image: Arc<ColorImage>,
    pub(super) live: bool,
}

/// A change of a recording.
pub(super) enum Take {
    Begin(Box<Recording>),
    End,
}

/// What the inference thread is to do next.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) frame: Option<Captured>,
    pub(super) main: Option<(ModelChoice, Box<dyn Engine>)>,
    /// The detector to compare with; the inner `None` ends the comparison.
    pub(super) rival: Option<Option<(ModelChoice, Box<dyn Engine>)>>,
    pub(super) thresholds: Option<Thresholds>,
    pub(super) hidden: Option<Hidden>,
    pub(super) in_step: Option<bool>,
    pub(super) take: Option<Take>,
    pub(super) snapshot: Option<Snapshot>,
    /// Whether to leave the processor to a measurement.
    pub(super) rest: Option<bool>,
}

/// The inference thread's own.
pub(super) struct Inference {
    main: Option<Box<dyn Engine>>,
    rival: Option<Box<dyn Engine>>,
    thresholds: Thresholds,
    hidden: Hidden,
    in_step: bool,
    resting: bool,
    last: Option<(Captured, Found)>,
    recording: Option<Box<Recording>>,
    recordings: Arc<Mailbox<recording::Orders>>,
    reporter: Reporter,
}

impl Inference {
    pub(super) fn new(reporter: Reporter, recordings: Arc<Mailbox<recording::Orders>>) -> Self {
        Self {
            main: None,
            rival: None,
            thresholds: Thresholds::default(),
            hidden: Hidden::new(),
            in_step: false,
            resting: false,
            last: None,
            recording: None,
            recordings,
            reporter,
        }
    }

    /// Works until the mailbox is closed.
    pub(super) fn run(mut self, mailbox: &Mailbox<Orders>) {
        loop {
            match mailbox.take(Wait::Forever) {
                Post::Came(orders) => self.step(orders),
                Post::TimeUp => {}
                Post::Closed => return,
            }
        }
    }

    fn step(&mut self, orders: Orders) {
        let again = orders.thresholds.is_some()
            || orders.main.is_some()
            || orders.rival.is_some()
            || orders.rest == Some(false);
        self.thresholds = orders.thresholds.unwrap_or(self.thresholds);
        self.in_step = orders.in_step.unwrap_or(self.in_step);
        self.resting = orders.rest.unwrap_or(self.resting);
        if let Some(hidden) = orders.hidden {
            self.hidden = hidden;
        }
        if let Some((choice, engine)) = orders.main {
            self.announce(Role::Main, choice, engine.as_ref());
            self.main = Some(engine);
        }
        if let Some(rival) = orders.rival {
            self.rival = rival.map(|(choice, engine)| {
                self.announce(Role::Rival, choice, engine.as_ref());
                engine
            });
        }
        match orders.take {
            Some(Take::Begin(recording)) => self.recording = Some(recording),
            Some(Take::End) => {
                let ended = self.recording.take();
                self.recordings.send(|orders| orders.ended = ended);
            }
            None => {}
        }
        let fresh = orders.frame.is_some();
        let captured = orders.frame.or_else(|| {
            let (captured, _) = self.last.as_ref().filter(|_| again)?;
            Some(captured.clone())
        });
        if let Some(captured) = captured {
            self.look(captured, fresh);
        }
        if let Some(snapshot) = orders.snapshot {
            snapshot::write(self.last.as_ref(), snapshot, &self.hidden, &self.reporter);
        }
    }

    fn announce(&self, role: Role, choice: ModelChoice, engine: &dyn Engine) {
        self.reporter.event(Event::ModelReady {
            role,
            choice,
            backbone: engine.backbone(),
            trained: engine.is_trained(),
            engine: engine.describe(),
            classes: engine.classes(),
        });
    }

    fn look(&mut self, captured: Captured, fresh: bool) {
        let thresholds = self.thresholds;
        let ask = |engine: &mut Box<dyn Engine>| Look {
            backbone: engine.backbone(),
            outcome: engine.detect(&captured.frame, &thresholds).map_err(|error| error.to_string()),
        };
        let main = self.main.as_mut().filter(|_| !self.resting).map(ask);
        let rival = self.rival.as_mut().filter(|_| !self.resting).map(ask);
        let found = Found {
            moment: captured.shot.moment,
            index: captured.shot.index,
            position: captured.shot.position,
            main,
            rival,
            taken: captured.shot.taken,
            finished: Instant::now(),
            fresh,
        };
        if fresh {
            self.record(&captured, &found);
        }
        if self.in_step && fresh {
            let picture = Picture { image: Arc::clone(&captured.image), shot: captured.shot.clone() };
            self.reporter.both(picture, found.clone());
        } else {
            self.reporter.found(found.clone());
        }
        self.last = Some((captured, found));
    }

    fn record(&mut self, captured: &Captured, found: &Found) {
        let Some(recording) = &mut self.recording else { return };
        let nothing = || filter::nothing(captured.frame.width(), captured.frame.height());
        let (backbone, kept) = match &found.main {
            Some(Look { backbone, outcome: Ok(found) }) => {
                (backbone.as_str(), filter::kept(found, &self.hidden))
            }
            Some(Look { backbone, outcome: Err(_) }) => (backbone.as_str(), nothing()),
            None => ("none", nothing()),
        };
        let time = recording.time(captured.frame.captured(), captured.live);
        recording.background.push(Recorded {
            frame: captured.frame.clone().at(time),
            source: captured.shot.name.as_str().into(),
            number: captured.shot.index,
            backbone: backbone.into(),
            found: kept,
        });
    }
}
