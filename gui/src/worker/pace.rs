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
}

impl Pace {
    /// When the frame taken at `captured` is to be shown, `interval` being the usual time between two.
    pub(super) fn due(&mut self, now: Instant, captured: Duration, interval: Option<Duration>) -> Instant {
        let due = match (self.origin, self.last) {
            (None, None) => now,
            // The source began again: its first frame follows the last one as any other would.
            (None, Some((before, _))) => before + interval.unwrap_or(STILL),
            // A picture of a folder: no time of its own.
            (Some(_), Some((before, at))) if captured <= at => before + interval.unwrap_or(STILL),
            (Some((clock, origin)), _) => clock + captured.saturating_sub(origin),
        };
        let due = if now.saturating_duration_since(due) > PATIENCE { now } else { due };
        let behind = self.origin.is_none_or(|(clock, origin)| clock + captured.saturating_sub(origin) != due);
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
