//! The threads behind the window: one takes frames, one looks at them, one builds detectors, one minds
//! recordings, one measures; slow errands get a thread each.
//!
//! ```text
//! window ──orders──▶ capture ──newest frame──▶ inference ──newest detections──▶ window
//!                       └──────newest picture──────────────────────────────────▶ window
//!                    builder ──new detector──▶    │ ▲
//!                                        frames, drawn and coded on a thread of the recorder
//!                                                 ▼ │
//!                                             recording ──progress──▶ window
//! ```
//!
//! Every arrow is a one-slot mailbox: nothing queues up, and whoever has nothing to do sleeps.

mod benchmark;
mod builder;
mod capture;
mod errand;
mod files;
mod inference;
mod mailbox;
mod pace;
pub(crate) mod recording;
mod snapshot;

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use mailbox::{Mailbox, Post, Wait};

use crate::engine::Backend;
use crate::message::{Event, Found, Link, Order, Picture, Report, Role};

/// Events the window may leave unread before the oldest go.
const MAX_EVENTS: usize = 256;

/// The way from the workers to the window.
#[derive(Clone)]
struct Reporter {
    report: Arc<Mailbox<Report>>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Reporter {
    fn event(&self, event: Event) {
        self.tell(|report| {
            if report.events.len() == MAX_EVENTS {
                report.events.remove(0);
            }
            report.events.push(event);
        });
    }

    fn picture(&self, picture: Picture) {
        self.tell(|report| report.picture = Some(picture));
    }

    fn found(&self, found: Found) {
        self.tell(|report| report.found = Some(found));
    }

    /// A picture and what was found in it, never one without the other.
    fn both(&self, picture: Picture, found: Found) {
        self.tell(|report| {
            report.picture = Some(picture);
            report.found = Some(found);
        });
    }

    fn tell(&self, change: impl FnOnce(&mut Report)) {
        self.report.send(change);
        (self.wake)();
    }
}

/// The running workers; they stop by themselves once this is dropped, recordings finished.
pub struct Workers {
    backend: Arc<dyn Backend>,
    capture: Arc<Mailbox<capture::Orders>>,
    inference: Arc<Mailbox<inference::Orders>>,
    builder: Arc<Mailbox<builder::Wishes>>,
    recording: Arc<Mailbox<recording::Orders>>,
    benchmark: Arc<Mailbox<benchmark::Wish>>,
    reporter: Reporter,
    /// Those that may hold a recording.
    keepers: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts them. `wake` is called from their threads whenever there is news.
    ///
    /// # Errors
    /// Where the system refuses a thread.
    pub fn start(backend: Arc<dyn Backend>, wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Self> {
        let mut workers = Self {
            backend,
            capture: Arc::new(Mailbox::new()),
            inference: Arc::new(Mailbox::new()),
            builder: Arc::new(Mailbox::new()),
            recording: Arc::new(Mailbox::new()),
            benchmark: Arc::new(Mailbox::new()),
            reporter: Reporter { report: Arc::new(Mailbox::new()), wake },
            keepers: Vec::new(),
        };
        let frames = || Arc::clone(&workers.inference);
        let (backend, reporter) = (|| Arc::clone(&workers.backend), || workers.reporter.clone());
        spawn("capture", {
            let orders = Arc::clone(&workers.capture);
            let capture = capture::Capture::new(backend(), frames(), reporter());
            move || capture.run(&orders)
        })?;
        spawn("builder", {
            let (orders, backend, frames, reporter) =
                (Arc::clone(&workers.builder), backend(), frames(), reporter());
            move || builder::run(backend.as_ref(), &orders, &frames, &reporter)
        })?;
        spawn("benchmark", {
            let (wishes, backend, frames, reporter) =
                (Arc::clone(&workers.benchmark), backend(), frames(), reporter());
            move || benchmark::run(backend.as_ref(), &wishes, &frames, &reporter)
        })?;
        let inference = spawn("inference", {
            let (orders, recordings) = (frames(), Arc::clone(&workers.recording));
            let inference = inference::Inference::new(reporter(), recordings);
            move || inference.run(&orders)
        })?;
        let keeper = spawn("recording", {
            let orders = Arc::clone(&workers.recording);
            let keeper = recording::Keeper::new(Arc::clone(&workers.capture), frames(), reporter());
            move || keeper.run(&orders)
        })?;
        workers.keepers = vec![inference, keeper];
        Ok(workers)
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

impl Link for Workers {
    fn send(&self, order: Order) {
        let frames = |change: &dyn Fn(&mut inference::Orders)| self.inference.send(|orders| change(orders));
        match order {
            Order::Open { source, format, generation } => self.capture.send(|orders| {
                *orders = orders.opening(capture::Opening { source, format, generation });
            }),
            Order::Play(play) => self.capture.send(|orders| orders.play = Some(play)),
            Order::Restart => self.capture.send(|orders| {
                orders.restart = true;
                orders.seek = None;
                orders.play = Some(true);
            }),
            Order::Seek { to, jump } => self.capture.send(|orders| orders.seek = Some((to, jump))),
            Order::StepForward => self.capture.send(|orders| {
                orders.play = Some(false);
                orders.steps += 1;
            }),
            Order::Loop(looped) => self.capture.send(|orders| orders.looped = Some(looped)),
            Order::Speed(speed) => self.capture.send(|orders| orders.speed = Some(speed)),
            Order::InStep(in_step) => {
                self.capture.send(|orders| orders.in_step = Some(in_step));
                frames(&|orders| orders.in_step = Some(in_step));
            }
            Order::Model(Role::Main, choice) => self.builder.send(|wishes| wishes.main = Some(choice)),
            Order::Model(Role::Rival, choice) => {
                self.builder.send(|wishes| wishes.rival = Some(Some(choice)));
            }
            Order::DropRival => self.builder.send(|wishes| wishes.rival = Some(None)),
            Order::Thresholds(thresholds) => frames(&|orders| orders.thresholds = Some(thresholds)),
            Order::Hide(hidden) => frames(&|orders| orders.hidden = Some(hidden.clone())),
            Order::Record(plan) => self.recording.send(|orders| {
                orders.plan = Some(plan);
                orders.stop = false;
            }),
            Order::StopRecording => self.recording.send(|orders| orders.stop = true),
            Order::Snapshot { folder, annotated } => {
                let snapshot = snapshot::Snapshot { folder, annotated };
                frames(&|orders| orders.snapshot = Some(snapshot.clone()));
            }
            Order::Benchmark(threads) => self.benchmark.send(|wish| *wish = threads),
            Order::Run(errand) => errand::start(errand, Arc::clone(&self.backend), &self.reporter),
        }
    }

    fn poll(&self) -> Option<Report> {
        match self.reporter.report.take(Wait::No) {
            Post::Came(report) => Some(report),
            Post::TimeUp | Post::Closed => None,
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.capture.close();
        self.builder.close();
        self.benchmark.close();
        self.inference.close();
        self.recording.close();
        // A recording is finished by whoever holds it. Nobody waits for the others: a detector may be in
        // the middle of a long build.
        for keeper in self.keepers.drain(..) {
            let _ = keeper.join();
        }
    }
}
