//! Builds detectors, so that the one at work need not stop for the next.

use super::Reporter;
use super::inference;
use super::mailbox::{Mailbox, Post, Wait};
use crate::engine::{Backend, Engine, ModelChoice};
use crate::message::{Event, Role};

/// What is to be built.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) main: Option<ModelChoice>,
    /// The inner `None` ends the comparison.
    pub(super) rival: Option<Option<ModelChoice>>,
}

impl Wishes {
    fn is_empty(&self) -> bool {
        self.main.is_none() && self.rival.is_none()
    }

    /// Later wishes come before earlier ones of the same role.
    fn overtaken_by(self, newer: Self) -> Self {
        Self { main: newer.main.or(self.main), rival: newer.rival.or(self.rival) }
    }
}

/// Builds what is asked for until the mailbox is closed; of several wishes only the last counts.
pub(super) fn run(
    backend: &dyn Backend,
    orders: &Mailbox<Wishes>,
    detectors: &Mailbox<inference::Orders>,
    reporter: &Reporter,
) {
    let mut wishes = Wishes::default();
    loop {
        match orders.take(if wishes.is_empty() { Wait::Forever } else { Wait::No }) {
            Post::Came(newer) => wishes = wishes.overtaken_by(newer),
            Post::TimeUp => {}
            Post::Closed => return,
        }
        if let Some(choice) = wishes.main.take() {
            if let Some((choice, engine)) = build(backend, Role::Main, choice, reporter) {
                detectors.send(|orders| orders.main = Some((choice, engine)));
            }
        } else if let Some(rival) = wishes.rival.take() {
            match rival {
                None => detectors.send(|orders| orders.rival = Some(None)),
                Some(choice) => {
                    if let Some(built) = build(backend, Role::Rival, choice, reporter) {
                        detectors.send(|orders| orders.rival = Some(Some(built)));
                    }
                }
            }
        }
    }
}

fn build(
    backend: &dyn Backend,
    role: Role,
    choice: ModelChoice,
    reporter: &Reporter,
) -> Option<(ModelChoice, Box<dyn Engine>)> {
    match backend.build(&choice) {
        Ok(engine) => Some((choice, engine)),
        Err(error) => {
            reporter.event(Event::ModelFailed { role, choice, reason: error.to_string() });
            None
        }
    }
}
