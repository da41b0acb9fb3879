//! What window and workers tell each other.

use std::sync::Arc;

use crate::engine::ModelChoice;
use crate::settings::Thresholds;
use crate::state::FrameResult;

/// From the window to the workers.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Leave the source and open this one, playing.
    Open {
        /// Path, pattern or `demo`.
        source: String,
        /// Comes back with all that stems from this source, so that late news of the one before is known.
        generation: u64,
    },
    /// Go on (`true`) or hold.
    Play(bool),
    /// Play the source from its first frame.
    Restart,
    /// Whether to begin again at the end.
    Loop(bool),
    /// Build this detector and change over to it.
    Model(ModelChoice),
    /// Use these from the next frame on; the current one is looked at again.
    Thresholds(Thresholds),
}

/// From the workers to the window: things that happen now and then.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A source is open.
    Opened {
        /// As in the order.
        generation: u64,
        /// How many frames it has, where that is known.
        frames: Option<u64>,
    },
    /// The source gave its last frame, and nothing is looped.
    Ended {
        /// As in the order.
        generation: u64,
        /// How many frames there were.
        frames: u64,
    },
    /// The source could not be opened, or one of its frames could not be had.
    SourceFailed {
        /// As in the order.
        generation: u64,
        /// Why.
        reason: String,
        /// Whether nothing more will come of it.
        over: bool,
    },
    /// The new detector has taken over.
    ModelReady {
        /// What was asked for.
        choice: ModelChoice,
        /// The backbone by name.
        backbone: String,
        /// Whether its weights are trained ones.
        trained: bool,
        /// Where it runs.
        engine: String,
    },
    /// The new detector could not be built; the one before goes on.
    ModelFailed {
        /// What was asked for.
        choice: ModelChoice,
        /// Why.
        reason: String,
    },
}

/// A picture ready to be shown and what was found in it.
#[derive(Clone)]
pub struct Shown {
    /// The picture in the form the window draws it.
    pub image: Arc<egui::ColorImage>,
    /// All else.
    pub result: FrameResult,
}

/// News since the last look: all events, and the newest picture where there is one.
#[derive(Default)]
pub struct Report {
    /// In the order in which they happened.
    pub events: Vec<Event>,
    /// The newest picture; older ones nobody saw are gone.
    pub shown: Option<Shown>,
}

/// The window's end of the line to the workers. Neither method waits.
pub trait Link {
    /// Hands an order over.
    fn send(&self, order: Order);

    /// What came since the last call.
    fn poll(&self) -> Option<Report>;
}
