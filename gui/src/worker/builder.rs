//! Builds detectors, so that the one at work need not stop for the next.

use super::Reporter;
use super::inference;
use super::mailbox::{Mailbox, Post, Wait};
use crate::engine::{Backend, ModelChoice};
use crate::message::Event;

/// Builds what is asked for until the mailbox is closed; of several wishes only the last counts.
pub(super) fn run(
    backend: &dyn Backend,
    orders: &Mailbox<Option<ModelChoice>>,
    detectors: &Mailbox<inference::Orders>,
    reporter: &Reporter,
) {
    let mut wish = None;
    loop {
        let choice = match wish.take() {
            Some(choice) => choice,
            None => match orders.take(Wait::Forever) {
                Post::Came(Some(choice)) => choice,
                Post::Came(None) | Post::TimeUp => continue,
                Post::Closed => return,
            },
        };
        let built = backend.build(&choice);
        // Somebody changed their mind meanwhile: this one is of no use any more.
        match orders.take(Wait::No) {
            Post::Came(Some(newer)) => {
                wish = Some(newer);
                continue;
            }
            Post::Came(None) | Post::TimeUp => {}
            Post::Closed => return,
        }
        match built {
            Ok(engine) => detectors.send(|orders| orders.engine = Some((choice, engine))),
            Err(error) => reporter.event(Event::ModelFailed { choice, reason: error.to_string() }),
        }
    }
}
