//! The threads behind the window: one takes frames, one looks at them, one builds detectors.
//!
//! ```text
//! window ──orders──▶ capture ──newest frame──▶ inference ──newest result──▶ window
//!                    builder ──new detector──▶
//! ```
//!
//! Every arrow is a one-slot mailbox: nothing queues up, and whoever has
//! nothing to do sleeps.

mod builder;
mod capture;
mod inference;
mod mailbox;
mod pace;

use std::sync::Arc;
use std::thread;

use mailbox::{Mailbox, Post, Wait};

use crate::engine::{Backend, ModelChoice};
use crate::message::{Event, Link, Order, Report, Shown};

/// Events the window may leave unread before the oldest go.
const MAX_EVENTS: usize = 64;

/// The way from the workers to the window.
#[derive(Clone)]
struct Reporter {
    report: Arc<Mailbox<Report>>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Reporter {
    fn event(&self, event: Event) {
        self.report.send(|report| {
            if report.events.len() == MAX_EVENTS {
                report.events.remove(0);
            }
            report.events.push(event);
        });
        (self.wake)();
    }

    fn show(&self, shown: Shown) {
        self.report.send(|report| report.shown = Some(shown));
        (self.wake)();
    }
}

/// The running workers; they stop by themselves once this is dropped.
pub struct Workers {
    capture: Arc<Mailbox<capture::Orders>>,
    inference: Arc<Mailbox<inference::Orders>>,
    builder: Arc<Mailbox<Option<ModelChoice>>>,
    report: Arc<Mailbox<Report>>,
}

impl Workers {
    /// Starts them. `wake` is called from their threads whenever there is news.
    ///
    /// # Errors
    /// Where the system refuses a thread.
    pub fn start(backend: Arc<dyn Backend>, wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Self> {
        let workers = Self {
            capture: Arc::new(Mailbox::new()),
            inference: Arc::new(Mailbox::new()),
            builder: Arc::new(Mailbox::new()),
            report: Arc::new(Mailbox::new()),
        };
        let reporter = Reporter { report: Arc::clone(&workers.report), wake };
        spawn("capture", {
            let (orders, frames) = (Arc::clone(&workers.capture), Arc::clone(&workers.inference));
            let (backend, reporter) = (Arc::clone(&backend), reporter.clone());
            move || capture::Capture::new(backend, frames, reporter).run(&orders)
        })?;
        spawn("builder", {
            let (orders, detectors) = (Arc::clone(&workers.builder), Arc::clone(&workers.inference));
            let reporter = reporter.clone();
            move || builder::run(backend.as_ref(), &orders, &detectors, &reporter)
        })?;
        spawn("inference", {
            let orders = Arc::clone(&workers.inference);
            move || inference::Inference::new(reporter).run(&orders)
        })?;
        Ok(workers)
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

impl Link for Workers {
    fn send(&self, order: Order) {
        match order {
            Order::Open { source, generation } => {
                self.capture.send(|orders| *orders = orders.opening(source, generation));
            }
            Order::Play(play) => self.capture.send(|orders| orders.play = Some(play)),
            Order::Restart => self.capture.send(|orders| {
                orders.restart = true;
                orders.play = Some(true);
            }),
            Order::Loop(looped) => self.capture.send(|orders| orders.looped = Some(looped)),
            Order::Model(choice) => self.builder.send(|slot| *slot = Some(choice)),
            Order::Thresholds(thresholds) => {
                self.inference.send(|orders| orders.thresholds = Some(thresholds));
            }
        }
    }

    fn poll(&self) -> Option<Report> {
        match self.report.take(Wait::No) {
            Post::Came(report) => Some(report),
            Post::TimeUp | Post::Closed => None,
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Nobody waits for them: a detector may be in the middle of a long build.
        self.capture.close();
        self.inference.close();
        self.builder.close();
    }
}
