//! Frame rates, stage times and losses, calm enough to be read.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::message::{Found, Look, Shot};

/// Rates are taken over this long.
const WINDOW: Duration = Duration::from_secs(2);

/// Detections whose times are kept.
pub const HISTORY: usize = 240;

/// The stages of a detection: waiting for the detector, resizing and normalising, the network, decoding
/// and suppression.
pub const STAGES: [&str; 4] = ["Waiting", "Preprocess", "Network", "Decode and suppress"];

/// Milliseconds of each stage of [`STAGES`].
pub type StageTimes = [f32; 4];

/// How often something happens.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    /// Moments and counts, the oldest first.
    marks: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// At `now` it had happened `count` times in all.
    pub fn mark(&mut self, now: Instant, count: u64) {
        // After a pause, or where counting began again, the old rate says nothing any more.
        let stale = |(time, before): &(Instant, u64)| {
            now.saturating_duration_since(*time) > WINDOW || *before > count
        };
        if self.marks.back().is_some_and(stale) {
            self.marks.clear();
        }
        self.marks.push_back((now, count));
        while self.marks.front().is_some_and(stale) {
            self.marks.pop_front();
        }
    }

    /// Times a second over the last two seconds; `None` before the third time.
    #[must_use]
    pub fn rate(&self) -> Option<f32> {
        let ((first, from), (last, to)) = (self.marks.front()?, self.marks.back()?);
        let span = last.saturating_duration_since(*first).as_secs_f32();
        (self.marks.len() > 2 && span > 0.0).then(|| to.saturating_sub(*from) as f32 / span)
    }
}

/// Median and 95th percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Half of all are below.
    pub median: f32,
    /// One of twenty is above.
    pub p95: f32,
}

/// The spread of some values; `None` where there is none.
#[must_use]
pub fn spread(values: impl Iterator<Item = f32>) -> Option<Spread> {
    let mut values: Vec<f32> = values.collect();
    values.sort_unstable_by(f32::total_cmp);
    let at = |share: usize| values.get((values.len() * share / 100).min(values.len().saturating_sub(1)));
    Some(Spread { median: *at(50)?, p95: *at(95)? })
}

/// What became of the frames of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Frames that came.
    pub captured: u64,
    /// Lost in the source: overwritten by newer ones, or damaged.
    pub source: u64,
    /// Not shown: the window was busy, or showed only what was looked at.
    pub window: u64,
    /// Not looked at: the detector was busy.
    pub detector: u64,
}

/// Speed of the pipeline.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Frames that come from the source.
    pub capture: Rate,
    /// Frames that are shown.
    pub display: Rate,
    /// Frames that are looked at.
    pub detection: Rate,
    history: VecDeque<StageTimes>,
    captured: u64,
    lost: u64,
    shown: u64,
    looked: u64,
    /// Memory of the program in bytes, where the system tells.
    pub memory: Option<usize>,
    /// Time in our own code for a pass of the window, in milliseconds.
    passes: VecDeque<f32>,
}

impl Stats {
    /// A frame is shown at `now`.
    pub fn frame(&mut self, now: Instant, shot: &Shot) {
        self.shown += 1;
        self.captured = self.captured.max(shot.captured);
        self.lost = shot.lost;
        self.display.mark(now, self.shown);
        self.capture.mark(shot.taken, shot.captured);
    }

    /// A frame was looked at.
    pub fn found(&mut self, found: &Found) {
        if found.fresh {
            self.looked += 1;
            self.detection.mark(found.finished, self.looked);
        }
        let Some(Look { outcome: Ok(main), .. }) = &found.main else { return };
        let millis = |d: Duration| d.as_secs_f32() * 1e3;
        let timing = main.timing;
        let all = found.finished.saturating_duration_since(found.taken);
        // Another look at an old frame waited for nobody, and a rival's time is its own.
        let rival = match &found.rival {
            Some(Look { outcome: Ok(rival), .. }) => rival.timing.total(),
            _ => Duration::ZERO,
        };
        let waiting = if found.fresh { all.saturating_sub(timing.total() + rival) } else { Duration::ZERO };
        let times = [waiting, timing.preprocess, timing.network, timing.postprocess].map(millis);
        self.history.push_back(times);
        while self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// A pass of the window took so many milliseconds of our own code.
    pub fn pass(&mut self, millis: f32) {
        self.passes.push_back(millis);
        while self.passes.len() > HISTORY {
            self.passes.pop_front();
        }
    }

    /// Forgets the stage times: another network is at work.
    pub fn forget_stages(&mut self) {
        self.history.clear();
    }

    /// Forgets rates and losses: another source is at work.
    pub fn forget_source(&mut self) {
        *self = Self {
            history: std::mem::take(&mut self.history),
            passes: std::mem::take(&mut self.passes),
            memory: self.memory,
            ..Self::default()
        };
    }

    /// Times of the last detections, the oldest first.
    #[must_use]
    pub fn history(&self) -> &VecDeque<StageTimes> {
        &self.history
    }

    /// Median and 95th percentile of one stage of [`STAGES`].
    #[must_use]
    pub fn stage(&self, stage: usize) -> Option<Spread> {
        spread(self.history.iter().filter_map(|times| times.get(stage).copied()))
    }

    /// Median and 95th percentile of inference: preprocessing, network and decoding.
    #[must_use]
    pub fn inference(&self) -> Option<Spread> {
        spread(self.history.iter().map(|times| times.iter().skip(1).sum()))
    }

    /// Median and 95th percentile of the window's passes.
    #[must_use]
    pub fn window(&self) -> Option<Spread> {
        spread(self.passes.iter().copied())
    }

    /// What became of the frames of this source.
    #[must_use]
    pub fn losses(&self) -> Losses {
        Losses {
            captured: self.captured,
            source: self.lost,
            window: self.captured.saturating_sub(self.shown),
            // The newest may still be looked at.
            detector: self.captured.saturating_sub(self.looked + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_of_the_last_two_seconds() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        assert_eq!(rate.rate(), None);
        for i in 0..60 {
            rate.mark(start + Duration::from_millis(i * 100), i);
        }
        assert!((rate.rate().unwrap() - 10.0).abs() < 0.01);
        rate.mark(start + Duration::from_secs(60), 100);
        assert_eq!(rate.rate(), None);
        // Another source counts from the start.
        rate.mark(start + Duration::from_secs(61), 1);
        rate.mark(start + Duration::from_secs(62), 2);
        assert_eq!(rate.rate(), None);
    }

    #[test]
    fn spreads() {
        assert_eq!(spread(std::iter::empty()), None);
        assert_eq!(spread([3.0].into_iter()), Some(Spread { median: 3.0, p95: 3.0 }));
        let hundred = spread((0..100).map(|n| n as f32)).unwrap();
        assert_eq!((hundred.median, hundred.p95), (50.0, 95.0));
    }
}
