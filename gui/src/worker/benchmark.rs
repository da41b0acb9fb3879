//! Measures every backbone on this machine, while detection rests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandglass_detector::Frame;

use super::Reporter;
use super::inference;
use super::mailbox::{Mailbox, Post, Wait};
use crate::engine::{Backend, ModelChoice};
use crate::message::Event;
use crate::settings::Thresholds;

/// The picture that is looked at, in pixels.
const SIZE: (u32, u32) = (1280, 720);

/// Frames that are looked at before the measurement, and in it.
const WARM_UP: usize = 2;
const RUNS: usize = 15;

/// A backbone is not measured for longer than this.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is wanted: the threads to measure with, or `None` to stop.
pub(super) type Wish = Option<usize>;

/// Measures when asked to, until the mailbox is closed.
pub(super) fn run(
    backend: &dyn Backend,
    wishes: &Mailbox<Wish>,
    frames: &Arc<Mailbox<inference::Orders>>,
    reporter: &Reporter,
) {
    let mut wish = None;
    loop {
        let threads = match wish.take() {
            Some(threads) => threads,
            None => match wishes.take(Wait::Forever) {
                Post::Came(Some(threads)) => threads,
                Post::Came(None) | Post::TimeUp => continue,
                Post::Closed => return,
            },
        };
        frames.send(|orders| orders.rest = Some(true));
        for model in backend.models() {
            let choice = ModelChoice { backbone: Some(model.name.clone()), weights: None, threads };
            let millis = measure(backend, &choice);
            // Stopped, asked for again in another way, or closed.
            match wishes.take(Wait::No) {
                Post::Came(new) => {
                    wish = new;
                    break;
                }
                Post::TimeUp => {}
                Post::Closed => return,
            }
            reporter.event(Event::Measured { backbone: model.name, millis });
        }
        if wish.is_none() {
            frames.send(|orders| orders.rest = Some(false));
            reporter.event(Event::BenchmarkEnded);
        }
    }
}

/// The median time of a frame in milliseconds.
fn measure(backend: &dyn Backend, choice: &ModelChoice) -> Result<f32, String> {
    let mut engine = backend.build(choice).map_err(|error| error.to_string())?;
    let frame = pattern().map_err(|error| error.to_string())?;
    let thresholds = Thresholds::default();
    let mut times = Vec::with_capacity(RUNS);
    let start = Instant::now();
    while times.len() < WARM_UP + RUNS && (times.len() <= WARM_UP || start.elapsed() < PATIENCE) {
        let begin = Instant::now();
        engine.detect(&frame, &thresholds).map_err(|error| error.to_string())?;
        times.push(begin.elapsed());
    }
    let mut times = times.split_off(WARM_UP);
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(median.as_secs_f32() * 1000.0)
}

/// A picture with something of every colour in it: time hardly depends on what is in a picture.
fn pattern() -> Result<Frame, sandglass_detector::Error> {
    let (width, height) = SIZE;
    let pixel = |x: u32, y: u32| [(x * 255 / width) as u8, (y * 255 / height) as u8, (x ^ y) as u8];
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    Frame::rgb8(width, height, pixels)
}
