//! Looks at the newest frame, and at the last one again when a setting changed.

use std::time::{Duration, Instant};

use sandglass_detector::Frame;

use super::Reporter;
use super::mailbox::{Mailbox, Post, Wait};
use crate::engine::{Engine, ModelChoice};
use crate::message::{Event, Shown};
use crate::picture;
use crate::settings::Thresholds;
use crate::state::FrameResult;

/// A frame with what the window wants to know about it.
#[derive(Clone)]
pub(super) struct Captured {
    pub(super) frame: Frame,
    pub(super) generation: u64,
    pub(super) name: String,
    pub(super) index: u64,
    pub(super) position: Duration,
}

/// What the inference thread is to do next.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) frame: Option<Captured>,
    pub(super) engine: Option<(ModelChoice, Box<dyn Engine>)>,
    pub(super) thresholds: Option<Thresholds>,
}

/// The inference thread's own.
pub(super) struct Inference {
    engine: Option<Box<dyn Engine>>,
    thresholds: Thresholds,
    last: Option<(Captured, std::sync::Arc<egui::ColorImage>)>,
    reporter: Reporter,
}

impl Inference {
    pub(super) fn new(reporter: Reporter) -> Self {
        Self { engine: None, thresholds: Thresholds::default(), last: None, reporter }
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
        if let Some(thresholds) = orders.thresholds {
            self.thresholds = thresholds;
        }
        if let Some((choice, engine)) = orders.engine {
            self.reporter.event(Event::ModelReady {
                choice,
                backbone: engine.backbone(),
                trained: engine.is_trained(),
                engine: engine.describe(),
            });
            self.engine = Some(engine);
        }
        let fresh = orders.frame.is_some();
        if let Some(captured) = orders.frame {
            let image = picture::image(&captured.frame);
            self.last = Some((captured, image));
        }
        let Some((captured, image)) = &self.last else { return };
        let found = self.engine.as_mut().map(|engine| engine.detect(&captured.frame, &self.thresholds));
        let (detections, problem) = match found {
            None => (None, None),
            Some(Ok(detections)) => (Some(detections), None),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        self.reporter.show(Shown {
            image: std::sync::Arc::clone(image),
            result: FrameResult {
                generation: captured.generation,
                name: captured.name.clone(),
                index: captured.index,
                captured: captured.position,
                size: [captured.frame.width(), captured.frame.height()],
                detections,
                problem,
                finished: Instant::now(),
                fresh,
            },
        });
    }
}
