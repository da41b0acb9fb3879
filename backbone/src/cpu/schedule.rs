//! Who computes what, and when: threads take the pieces of the chains in their order, and a piece goes down its
//! rows a strip at a time.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::chains::{self, Chain, MOST_STEPS};
use super::threads;
use crate::plan::Step;

/// The chains of a plan, and how far the current run has come.
pub(super) struct Schedule {
    pub(super) chains: Vec<Chain>,
    progress: Vec<Progress>,
    /// When each chain began, while that is asked for.
    pub(super) clock: Option<Vec<OnceLock<Instant>>>,
}

/// How far a chain has come.
#[derive(Default)]
struct Progress {
    /// Pieces that a thread has taken.
    taken: AtomicUsize,
    /// Pieces that are computed.
    done: AtomicUsize,
}

impl Schedule {
    pub(super) fn new(chains: Vec<Chain>) -> Self {
        Self { progress: chains.iter().map(|_| Progress::default()).collect(), chains, clock: None }
    }

    /// Before each run.
    pub(super) fn begin(&mut self) {
        self.progress.fill_with(Progress::default);
    }

    /// What one thread does in a run: pieces of the chains in their order, each chain begun when the one before
    /// it is done.
    pub(super) fn work(&self, failed: &dyn Fn() -> bool, run: &dyn Fn(&Chain, usize)) {
        for (index, (chain, progress)) in self.chains.iter().zip(&self.progress).enumerate() {
            if let Some(before) = index.checked_sub(1) {
                let pieces = self.chains[before].pieces;
                let done = &self.progress[before].done;
                if !threads::wait_for(&|| done.load(Ordering::Acquire) == pieces, failed) {
                    return;
                }
            }
            if let Some(clock) = self.clock.as_ref().and_then(|clock| clock.get(index)) {
                clock.get_or_init(Instant::now);
            }
            loop {
                let piece = progress.taken.fetch_add(1, Ordering::Relaxed);
                if piece >= chain.pieces {
                    break;
                }
                run(chain, piece);
                progress.done.fetch_add(1, Ordering::Release);
            }
        }
    }
}

/// The rows of a piece, strip by strip.
///
/// No function that takes a closure: what runs inside of one is not compiled for the caller's instructions.
pub(super) struct Strips<'a> {
    chain: &'a Chain,
    steps: &'a [Step],
    /// The rows of the last step.
    rows: Range<usize>,
    /// The end of the current strip.
    strip: usize,
    /// The step that is next.
    step: usize,
    /// The next row of each step.
    next: [usize; MOST_STEPS],
    /// The row at which each stops for this strip.
    ends: [usize; MOST_STEPS],
}

impl<'a> Strips<'a> {
    #[inline(always)]
    pub(super) fn new(chain: &'a Chain, steps: &'a [Step], piece: usize) -> Self {
        let height = steps.last().map_or(0, |last| last.output_shape.height);
        let rows = height * piece / chain.pieces..height * (piece + 1) / chain.pieces;
        let mut next = [0; MOST_STEPS];
        let mut first = rows.start;
        for (next, step) in next.iter_mut().zip(steps).take(steps.len()).rev() {
            *next = first;
            first = chains::begin(step, first);
        }
        Self { chain, steps, strip: rows.start, rows, step: steps.len(), next, ends: [0; MOST_STEPS] }
    }

    /// The number of a step in the chain, and the rows of its output that have to be computed now.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<(usize, Range<usize>)> {
        if self.step == self.steps.len() {
            if self.strip >= self.rows.end {
                return None;
            }
            self.strip = (self.strip + self.chain.strip).min(self.rows.end);
            let mut end = self.strip;
            for (e, step) in self.ends.iter_mut().zip(self.steps).take(self.steps.len()).rev() {
                *e = end;
                end = chains::reach(step, end);
            }
            self.step = 0;
        }
        let i = self.step;
        self.step += 1;
        let rows = self.next[i]..self.ends[i];
        self.next[i] = self.ends[i];
        Some((i, rows))
    }
}
