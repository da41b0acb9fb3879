//! What is reported: a log, whose newest lines pop up for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::state::Action;
use crate::status::Severity;

/// Reports that are kept.
const KEPT: usize = 200;

/// How long a report pops up.
const SHOWN: Duration = Duration::from_secs(8);

/// How many pop up at once.
const AT_ONCE: usize = 3;

/// A way out, offered as a button.
#[derive(Clone, Debug, PartialEq)]
pub struct Remedy {
    /// What the button says.
    pub label: &'static str,
    /// What it does.
    pub action: Action,
}

/// One report.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Its number, from 0.
    pub id: u64,
    /// How much it matters.
    pub severity: Severity,
    /// What happened and why.
    pub text: String,
    /// What can be done about it.
    pub remedy: Option<Remedy>,
    /// When it happened first, as hours, minutes and seconds.
    pub clock: String,
    /// How often it happened in a row.
    pub times: u32,
    /// When it happened last.
    newest: Instant,
    dismissed: bool,
}

/// All reports.
#[derive(Clone, Debug, Default)]
pub struct Log {
    notices: VecDeque<Notice>,
    next: u64,
}

impl Log {
    /// Adds a report; the same one again is counted, not repeated.
    pub fn add(&mut self, severity: Severity, text: String, remedy: Option<Remedy>) {
        let newest = Instant::now();
        if let Some(last) = self.notices.back_mut()
            && last.text == text
        {
            (last.newest, last.dismissed, last.remedy) = (newest, false, remedy);
            last.times += 1;
            return;
        }
        let clock = jiff::ZonedDateTime::now().strftime("%H:%M:%S").to_string();
        let (id, times, dismissed) = (self.next, 1, false);
        self.notices.push_back(Notice { id, severity, text, remedy, clock, times, newest, dismissed });
        self.next += 1;
        while self.notices.len() > KEPT {
            self.notices.pop_front();
        }
    }

    /// All that is kept, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Notice> {
        self.notices.iter().rev()
    }

    /// Those that pop up at `now`, the oldest first, and how long until one of them goes.
    #[must_use]
    pub fn popping_up(&self, now: Instant) -> (Vec<&Notice>, Option<Duration>) {
        let left = |notice: &Notice| SHOWN.checked_sub(now.saturating_duration_since(notice.newest));
        let up = |notice: &&Notice| !notice.dismissed && left(notice).is_some_and(|left| !left.is_zero());
        let mut up: Vec<_> = self.notices.iter().rev().take(AT_ONCE).filter(up).collect();
        up.reverse();
        let first = up.iter().filter_map(|notice| left(notice)).min();
        (up, first)
    }

    /// The user has read it.
    pub fn dismiss(&mut self, id: u64) {
        if let Some(notice) = self.notices.iter_mut().find(|notice| notice.id == id) {
            notice.dismissed = true;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.notices.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_pop_up_for_a_while_and_stay_in_the_log() {
        let mut log = Log::default();
        for text in ["a", "b", "c", "d", "d"] {
            log.add(Severity::Problem, text.into(), None);
        }
        let texts = |notices: &[&Notice]| notices.iter().map(|n| n.text.clone()).collect::<Vec<_>>();
        let now = Instant::now();
        let (up, left) = log.popping_up(now);
        assert_eq!(texts(&up), ["b", "c", "d"]);
        assert!(left.is_some_and(|left| left <= SHOWN));
        let last = up.last().unwrap();
        assert_eq!(last.times, 2);
        let id = last.id;
        log.dismiss(id);
        assert_eq!(texts(&log.popping_up(now).0), ["b", "c"]);
        assert!(log.popping_up(now + SHOWN).0.is_empty());
        assert_eq!(log.all().count(), 4);
        // What happens again pops up again.
        log.add(Severity::Problem, "d".into(), None);
        assert_eq!(log.popping_up(Instant::now()).0.len(), 3);
        for n in 0..500 {
            log.add(Severity::Info, n.to_string(), None);
        }
        assert_eq!(log.all().count(), KEPT);
    }
}
