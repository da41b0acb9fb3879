//! Frame rate and stage times, calm enough to be read.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sandglass_detector::Timing;

/// The frame rate is taken over this long.
const WINDOW: Duration = Duration::from_secs(2);

/// The share of a new measurement in the shown value.
const SMOOTHING: f32 = 0.15;

/// Milliseconds of each stage, smoothed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageTimes {
    /// Resizing and normalising.
    pub preprocess: f32,
    /// The network.
    pub network: f32,
    /// Decoding and suppression.
    pub postprocess: f32,
}

impl StageTimes {
    /// All stages together.
    #[must_use]
    pub fn total(&self) -> f32 {
        self.preprocess + self.network + self.postprocess
    }
}

/// Speed of the pipeline.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    arrivals: VecDeque<Instant>,
    stages: Option<StageTimes>,
}

impl Stats {
    /// A new frame came through at `now`.
    pub fn frame(&mut self, now: Instant) {
        // After a pause the old rate says nothing any more.
        if self.arrivals.back().is_some_and(|last| now.saturating_duration_since(*last) > WINDOW) {
            self.arrivals.clear();
        }
        self.arrivals.push_back(now);
        while self.arrivals.front().is_some_and(|first| now.saturating_duration_since(*first) > WINDOW) {
            self.arrivals.pop_front();
        }
    }

    /// A detection took this long.
    pub fn stages(&mut self, timing: &Timing) {
        let millis = |d: Duration| d.as_secs_f32() * 1e3;
        let new = [timing.preprocess, timing.network, timing.postprocess].map(millis);
        let mixed = match self.stages {
            None => new,
            Some(old) => {
                let old = [old.preprocess, old.network, old.postprocess];
                std::array::from_fn(|i| old[i] + SMOOTHING * (new[i] - old[i]))
            }
        };
        self.stages = Some(StageTimes { preprocess: mixed[0], network: mixed[1], postprocess: mixed[2] });
    }

    /// Forgets the stage times: another network is at work.
    pub fn forget_stages(&mut self) {
        self.stages = None;
    }

    /// Forgets the frame rate: another source is at work.
    pub fn forget_rate(&mut self) {
        self.arrivals.clear();
    }

    /// Frames a second over the last two seconds; `None` before the third frame.
    #[must_use]
    pub fn rate(&self) -> Option<f32> {
        let (first, last) = (self.arrivals.front()?, self.arrivals.back()?);
        let span = last.saturating_duration_since(*first).as_secs_f32();
        (self.arrivals.len() > 2 && span > 0.0).then(|| (self.arrivals.len() - 1) as f32 / span)
    }

    /// Times of the stages; `None` before the first detection.
    #[must_use]
    pub fn stage_times(&self) -> Option<StageTimes> {
        self.stages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_of_the_last_two_seconds() {
        let (mut stats, start) = (Stats::default(), Instant::now());
        assert_eq!(stats.rate(), None);
        for i in 0..60 {
            stats.frame(start + Duration::from_millis(i * 100));
        }
        assert!((stats.rate().unwrap() - 10.0).abs() < 0.01);
        stats.frame(start + Duration::from_secs(60));
        assert_eq!(stats.rate(), None);
    }

    #[test]
    fn stage_times_are_smoothed() {
        let mut stats = Stats::default();
        let timing = |ms| Timing { network: Duration::from_millis(ms), ..Timing::default() };
        stats.stages(&timing(10));
        assert!((stats.stage_times().unwrap().network - 10.0).abs() < 0.01);
        stats.stages(&timing(110));
        assert!((stats.stage_times().unwrap().total() - 25.0).abs() < 0.01);
        stats.forget_stages();
        assert_eq!(stats.stage_times(), None);
    }
}
