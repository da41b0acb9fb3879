//! When a frame is due.

use std::time::{Duration, Instant};

/// How long a picture without a time of its own stays.
const STILL: Duration = Duration::from_millis(1500);

/// A source that fell behind by more than this starts a new count instead of catching up.
const PATIENCE: Duration = Duration::from_millis(250);

/// Turns the times in a source into times on the clock.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// A time on the clock and the time in the source it stands for.
    origin: Option<(Instant, Duration)>,
    last: Option<(Instant, Duration)>,
    /// Source time that passes in a second; 0 stands for 1.
    speed: f64,
}

impl Pace {
    /// Changes how much source time passes in a second.
    pub(super) fn set_speed(&mut self, speed: f64) {
        self.speed = if speed.is_finite() { speed.clamp(0.05, 20.0) } else { 1.0 };
    }

    /// Source time in time of the clock.
    fn on_clock(&self, time: Duration) -> Duration {
        if self.speed > 0.0 { time.div_f64(self.speed) } else { time }
    }

    /// Another stretch of the source begins, at once; the speed stays.
    pub(super) fn forget(&mut self) {
        *self = Self { speed: self.speed, ..Self::default() };
    }

    /// When the frame taken at `captured` is to be shown, `interval` being the usual time between two.
    pub(super) fn due(&mut self, now: Instant, captured: Duration, interval: Option<Duration>) -> Instant {
        let interval = interval.map(|interval| self.on_clock(interval));
        let at = |clock: Instant, origin: Duration| clock + self.on_clock(captured.saturating_sub(origin));
        let due = match (self.origin, self.last) {
            (None, None) => now,
            // The source began again: its first frame follows the last one as any other would.
            (None, Some((before, _))) => before + interval.unwrap_or(STILL),
            // A picture of a folder: no time of its own.
            (Some(_), Some((before, at))) if captured <= at => before + interval.unwrap_or(STILL),
            (Some((clock, origin)), _) => at(clock, origin),
        };
        let due = if now.saturating_duration_since(due) > PATIENCE { now } else { due };
        let behind = self.origin.is_none_or(|(clock, origin)| at(clock, origin) != due);
        if behind {
            self.origin = Some((due, captured));
        }
        self.last = Some((due, captured));
        due
    }

    /// The source was held: the waiting frame is due `now`.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some((_, captured)) = self.last {
            self.origin = Some((now, captured));
            self.last = Some((now, captured));
        }
    }

    /// The source begins again.
    pub(super) fn rewind(&mut self) {
        self.origin = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn frames_follow_their_times() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.due(start, MS * 1000, None), start);
        assert_eq!(pace.due(start, MS * 1040, None), start + MS * 40);
        assert_eq!(pace.due(start + MS * 90, MS * 1080, None), start + MS * 80);
        // Far behind: from here on a new count.
        let late = start + MS * 900;
        assert_eq!(pace.due(late, MS * 1120, None), late);
        assert_eq!(pace.due(late, MS * 1160, None), late + MS * 40);
    }

    #[test]
    fn at_twice_the_speed_frames_come_twice_as_fast() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.due(start, Duration::ZERO, None);
        pace.set_speed(2.0);
        pace.resume(start);
        assert_eq!(pace.due(start, MS * 40, None), start + MS * 20);
        pace.forget();
        assert_eq!(pace.due(start, MS * 500, None), start);
        assert_eq!(pace.due(start, MS * 600, None), start + MS * 50);
    }

    #[test]
    fn pictures_without_a_time_stay_a_while() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.due(start, Duration::ZERO, None), start);
        assert_eq!(pace.due(start, Duration::ZERO, None), start + STILL);
        assert_eq!(pace.due(start + STILL, Duration::ZERO, Some(MS * 50)), start + STILL + MS * 50);
    }

    #[test]
    fn a_pause_and_a_new_round_keep_the_rhythm() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.due(start, Duration::ZERO, None);
        pace.due(start, MS * 40, None);
        let later = start + MS * 5000;
        pace.resume(later);
        assert_eq!(pace.due(later, MS * 80, None), later + MS * 40);
        pace.rewind();
        assert_eq!(pace.due(later, Duration::ZERO, Some(MS * 40)), later + MS * 80);
    }
}
