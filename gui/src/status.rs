//! The status line: the state in words.

use crate::state::{Playback, State};

/// How much a line of the status matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something does not work; the rest goes on.
    Problem,
}

/// One statement of the status line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How much it matters.
    pub severity: Severity,
    /// The statement.
    pub text: String,
}

impl State {
    /// What there is to say, problems first; never empty.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        let problem = |text: String| Status { severity: Severity::Problem, text };
        let info = |text: String| Status { severity: Severity::Info, text };
        let mut lines = Vec::new();
        lines.extend(self.source_problem.clone().map(problem));
        lines.extend(self.model_problem.clone().map(problem));
        let main = self.found.as_ref().and_then(|found| found.main.as_ref());
        let frame_problem = main.and_then(|look| look.outcome.as_ref().err());
        lines.extend(frame_problem.map(|reason| problem(format!("Detection failed: {reason}"))));
        if let Some(name) = &self.loading {
            lines.push(info(format!("Loading {name}…")));
        }
        if let Some(comparison) = self.comparison.as_ref().filter(|comparison| comparison.active.is_none()) {
            lines.push(info(format!("Loading {}…", comparison.backbone)));
        }
        if self.benchmark.as_ref().is_some_and(|benchmark| benchmark.running) {
            lines.push(info("Measuring all backbones; detection rests meanwhile".to_owned()));
        }
        let at_work = match self.playback {
            Playback::Opening if self.source.is_empty() => Some("Looking for a camera…".to_owned()),
            Playback::Opening => Some(format!("Opening {}…", self.source)),
            Playback::Playing => None,
            Playback::Paused => Some("Paused; Space goes on".to_owned()),
            Playback::Ended if self.frame_count == Some(1) => None,
            Playback::Ended => Some("The source has ended; Space plays it again".to_owned()),
            Playback::Failed => Some("No picture; drop a file here, or press D for the demo".to_owned()),
        };
        lines.extend(at_work.map(info));
        if lines.is_empty() {
            lines.push(info(self.objects()));
        }
        lines
    }

    /// How many objects there are, in words.
    #[must_use]
    pub fn objects(&self) -> String {
        self.kept.as_ref().map_or_else(|| "No detections yet".to_owned(), |kept| objects(kept.items.len()))
    }
}

/// A number of objects in words.
#[must_use]
pub fn objects(count: usize) -> String {
    match count {
        0 => "No objects".to_owned(),
        1 => "1 object".to_owned(),
        n => format!("{n} objects"),
    }
}
