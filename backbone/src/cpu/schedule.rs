//! Who computes what, and when: threads go through the chains in their order, each begins a chain with a piece of its own,
//! and who is ready takes over the rear part of what another has left.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use super::chains::{self, Chain, MOST_STEPS, Share};
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
struct Progress {
    /// What each thread has before it.
    claims: Vec<Claims>,
    /// What is for whoever comes: all of a chain aside.
    pool: Claims,
    /// Units that are computed.
    computed: AtomicUsize,
    /// Whether all are, and what they left is added up.
    done: AtomicBool,
}

/// Looks at what a thread waits for before it does something else.
const LOOKS: usize = 30;
/// Rows of a chain aside that are computed while a thread waits for something else.
const ROWS_ASIDE: usize = 2;

/// How units are computed, and joined.
pub(super) struct Tasks<'a> {
    pub(super) run: &'a dyn Fn(&Chain, &Claims),
    pub(super) join: &'a dyn Fn(&Chain),
    /// Whether another thread has failed.
    pub(super) failed: &'a dyn Fn() -> bool,
}

impl Schedule {
    pub(super) fn new(chains: Vec<Chain>, threads: usize) -> Self {
        let progress = |_: &Chain| Progress {
            claims: (0..threads).map(|_| Claims::new(0..0)).collect(),
            pool: Claims::new(0..0),
            computed: AtomicUsize::new(0),
            done: AtomicBool::new(false),
        };
        Self { progress: chains.iter().map(progress).collect(), chains, clock: None }
    }

    /// Before each run.
    pub(super) fn begin(&mut self) {
        for (chain, progress) in self.chains.iter().zip(&mut self.progress) {
            let aside = chain.aside_of.is_some();
            for (thread, claims) in progress.claims.iter_mut().enumerate() {
                *claims = Claims::new(if aside { 0..0 } else { chain.piece(thread) });
            }
            progress.pool = Claims::new(if aside { 0..chain.units } else { 0..0 });
            *progress.computed.get_mut() = 0;
            *progress.done.get_mut() = false;
        }
    }

    /// What one thread does in a run: its piece of each chain, begun when the chain before is done. It has the rows
    /// around it, or the channels, from the chain before in its cache. Then it helps the others.
    pub(super) fn work(&self, thread: usize, tasks: &Tasks<'_>) {
        let mut before = None;
        for (index, (chain, progress)) in self.chains.iter().zip(&self.progress).enumerate() {
            let needed = chain.aside_of.or(before);
            if needed.is_some_and(|needed| !self.wait(needed, thread, tasks)) {
                return;
            }
            if let Some(clock) = self.clock.as_ref().and_then(|clock| clock.get(index)) {
                clock.get_or_init(Instant::now);
            }
            if chain.aside_of.is_some() {
                while self.compute_aside(index, usize::MAX, thread, tasks) {}
                continue;
            }
            before = Some(index);
            let Some(own) = progress.claims.get(thread) else { return };
            loop {
                self.compute(index, own, tasks);
                let others = (1..progress.claims.len()).map(|i| (thread + i) % progress.claims.len());
                let taken = others.into_iter().find_map(|other| {
                    let first = chain.piece(other).start;
                    progress.claims[other].share(first, chain.grain, chain.worth_taking)
                });
                match taken {
                    Some(range) => own.set(range),
                    None => break,
                }
            }
        }
    }

    /// Computes all that a thread has before it of a chain.
    fn compute(&self, index: usize, own: &Claims, tasks: &Tasks<'_>) {
        let (Some(chain), Some(progress)) = (self.chains.get(index), self.progress.get(index)) else {
            return;
        };
        let first = own.first();
        (tasks.run)(chain, own);
        // Others take from the end alone.
        let computed = own.first() - first;
        let before = progress.computed.fetch_add(computed, Ordering::AcqRel);
        if computed > 0 && before + computed == chain.units {
            if chain.joins() {
                (tasks.join)(chain);
            }
            progress.done.store(true, Ordering::Release);
        }
    }

    /// Computes some rows of a chain aside, a strip at most, if there are any left.
    fn compute_aside(&self, index: usize, most: usize, thread: usize, tasks: &Tasks<'_>) -> bool {
        let (Some(chain), Some(progress)) = (self.chains.get(index), self.progress.get(index)) else {
            return false;
        };
        let (Some(rows), Some(own)) =
            (progress.pool.take(chain.grain.min(most)), progress.claims.get(thread))
        else {
            return false;
        };
        own.set(rows);
        self.compute(index, own, tasks);
        true
    }

    /// Waits until a chain is done, with chains aside to fill the time; says whether it is.
    fn wait(&self, needed: usize, thread: usize, tasks: &Tasks<'_>) -> bool {
        let done = |index: usize| self.progress.get(index).is_none_or(|p| p.done.load(Ordering::Acquire));
        loop {
            for _ in 0..LOOKS {
                if done(needed) {
                    return true;
                }
                std::hint::spin_loop();
            }
            // The first that can be computed already.
            let ready = |(chain, progress): (&Chain, &Progress)| {
                chain.aside_of.is_some_and(done) && !progress.pool.is_empty()
            };
            match self.chains.iter().zip(&self.progress).position(ready) {
                Some(index) => self.compute_aside(index, ROWS_ASIDE, thread, tasks),
                None => return threads::wait_for(&|| done(needed), tasks.failed),
            };
        }
    }
}

/// What a thread has before it of a chain, from a first unit to an end. Only the thread itself takes from the front, and only others
/// from the end. Of a pool everybody takes from the front.
pub(super) struct Claims(AtomicU64);

fn packed(range: Range<usize>) -> u64 {
    (range.start as u64) << 32 | range.end as u64
}

fn unpacked(packed: u64) -> Range<usize> {
    (packed >> 32) as usize..(packed & u64::from(u32::MAX)) as usize
}

impl Claims {
    fn new(range: Range<usize>) -> Self {
        Self(AtomicU64::new(packed(range)))
    }

    /// Only while the thread whose they are has none.
    fn set(&self, range: Range<usize>) {
        self.0.store(packed(range), Ordering::Relaxed);
    }

    fn is_empty(&self) -> bool {
        unpacked(self.0.load(Ordering::Relaxed)).is_empty()
    }

    /// The unit that is next.
    #[inline(always)]
    pub(super) fn first(&self) -> usize {
        unpacked(self.0.load(Ordering::Relaxed)).start
    }

    /// The next units, at most so many.
    // A call, and so compiled once: there are few.
    #[inline(never)]
    pub(super) fn take(&self, most: usize) -> Option<Range<usize>> {
        let mut taken = None;
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            let Range { start, end } = unpacked(now);
            let next = start.saturating_add(most).min(end);
            taken = (next > start).then_some(start..next);
            taken.is_some().then(|| packed(next..end))
        });
        taken
    }

    /// The rear part, for a thread that has nothing to do: so much that both are ready at the same time, when the one that these are
    /// before is in the middle of a `grain`; nothing if that is less than `least`. Everything if it is still at its `first` unit;
    /// otherwise one is left to it, so that nothing wanders from thread to thread without being computed.
    fn share(&self, first: usize, grain: usize, least: usize) -> Option<Range<usize>> {
        let mut taken = None;
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            let Range { start, end } = unpacked(now);
            let left = end.saturating_sub(start);
            let part = (left + grain / 2).div_ceil(2).min(left.saturating_sub(1));
            let count = match part >= least {
                true if part > 0 => part,
                _ if start == first => left,
                _ => 0,
            };
            taken = (count > 0).then_some(end - count..end);
            taken.is_some().then(|| packed(start..end - count))
        });
        taken
    }
}

/// The rows of a chain's last step that a thread has before it, strip by strip, and what they need of the steps above. Where
/// threads share channels, all rows for some of these, then for the next.
///
/// No function that takes a closure: what runs inside of one is not compiled for the caller's instructions.
pub(super) struct Strips<'a> {
    chain: &'a Chain,
    steps: &'a [Step],
    claims: &'a Claims,
    /// The units at hand.
    units: Range<usize>,
    /// Rows that are left of them, where they are not rows themselves.
    rows: Range<usize>,
    /// The step that is next.
    step: usize,
    /// The next row of each step.
    next: [usize; MOST_STEPS],
    /// The row at which each stops for this strip.
    ends: [usize; MOST_STEPS],
}

impl<'a> Strips<'a> {
    #[inline(always)]
    pub(super) fn new(chain: &'a Chain, steps: &'a [Step], claims: &'a Claims) -> Self {
        let mut next = [0; MOST_STEPS];
        if chain.share == Share::Rows {
            let mut first = claims.first();
            for (next, step) in next.iter_mut().zip(steps).take(steps.len()).rev() {
                *next = first;
                first = chains::begin(step, first);
            }
        }
        let ends = [0; MOST_STEPS];
        Self { chain, steps, claims, units: 0..0, rows: 0..0, step: steps.len(), next, ends }
    }

    /// The units at hand.
    #[inline(always)]
    pub(super) fn units(&self) -> Range<usize> {
        self.units.clone()
    }

    /// The row after the next strip.
    #[inline(always)]
    fn strip(&mut self) -> Option<usize> {
        if self.chain.share == Share::Rows {
            self.units = self.claims.take(self.chain.strip)?;
            return Some(self.units.end);
        }
        if self.rows.is_empty() {
            self.units = self.claims.take(self.chain.grain)?;
            self.rows = 0..self.steps.last().map_or(0, |last| last.output_shape.height);
            self.next = [0; MOST_STEPS];
        }
        self.rows.start = (self.rows.start + self.chain.strip).min(self.rows.end);
        Some(self.rows.start)
    }

    /// The number of a step in the chain, and the rows of its output that have to be computed now.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<(usize, Range<usize>)> {
        if self.step == self.steps.len() {
            let mut end = self.strip()?;
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

#[cfg(test)]
mod tests {
    use super::super::chains::tests::{FLOATS, with_an_output_aside};
    use super::super::chains::{Values, chains};
    use super::*;

    #[test]
    fn every_chain_is_computed_once_when_what_it_reads_is_there() {
        let (plan, _) = with_an_output_aside();
        let values = Values { tiled: true, windows: 1 << 20, ..FLOATS };
        for threads in 1..5 {
            let mut schedule = Schedule::new(chains(&plan, values, threads, true), threads);
            let index = |chain: &Chain, of: &[Chain]| {
                of.iter().position(|other| other.steps.start == chain.steps.start).unwrap()
            };
            for _ in 0..20 {
                schedule.begin();
                let chains = &schedule.chains;
                let [done, joined] =
                    [0, 1].map(|_| chains.iter().map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
                let early = AtomicUsize::new(0);
                let run = |chain: &Chain, claims: &Claims| {
                    let this = index(chain, chains);
                    let before = chains[..this].iter().rposition(|chain| chain.aside_of.is_none());
                    while let Some(units) = claims.take(chain.grain) {
                        let ready = chain.aside_of.or(before).is_none_or(|needed| {
                            done[needed].load(Ordering::Relaxed) == chains[needed].units
                                && joined[needed].load(Ordering::Relaxed)
                                    == usize::from(chains[needed].joins())
                        });
                        early.fetch_add(usize::from(!ready), Ordering::Relaxed);
                        done[this].fetch_add(units.len(), Ordering::Relaxed);
                    }
                };
                let join = |chain: &Chain| _ = joined[index(chain, chains)].fetch_add(1, Ordering::Relaxed);
                std::thread::scope(|scope| {
                    for thread in 0..threads {
                        let (schedule, run, join) = (&schedule, &run, &join);
                        scope.spawn(move || schedule.work(thread, &Tasks { run, join, failed: &|| false }));
                    }
                });
                assert_eq!(early.into_inner(), 0);
                for (i, chain) in chains.iter().enumerate() {
                    assert_eq!(done[i].load(Ordering::Relaxed), chain.units);
                    assert_eq!(joined[i].load(Ordering::Relaxed), usize::from(chain.joins()));
                }
            }
        }
    }

    #[test]
    fn a_thread_takes_what_it_has_and_no_more() {
        let claims = Claims::new(3..8);
        let taken: Vec<_> = std::iter::from_fn(|| claims.take(2)).collect();
        assert_eq!(taken, [3..5, 5..7, 7..8]);
        assert_eq!((claims.first(), claims.share(0, 2, 1)), (8, None));
    }

    #[test]
    fn others_take_about_half_from_the_end() {
        let claims = Claims::new(10..30);
        claims.take(4).unwrap();
        assert_eq!(claims.share(10, 4, 3), Some(21..30));
        assert_eq!(claims.share(10, 4, 3), Some(16..21));
        // Two are left, too few.
        assert_eq!(claims.share(10, 4, 3), None);
        assert_eq!(claims.share(10, 4, 1), Some(15..16));
        assert_eq!(claims.share(10, 4, 1), None);
        assert_eq!(claims.take(9), Some(14..15));
        // What has not been begun goes whole.
        let claims = Claims::new(10..13);
        assert_eq!(claims.share(10, 4, 9), Some(10..13));
        assert_eq!((claims.take(4), claims.share(10, 4, 1)), (None, None));
    }

    #[test]
    fn every_unit_is_taken_once_whoever_helps() {
        for _ in 0..50 {
            let all: Vec<Claims> = (0..4).map(|t| Claims::new(t * 250..(t + 1) * 250)).collect();
            let seen: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (all, seen) = (&all, &seen);
                    scope.spawn(move || {
                        loop {
                            while let Some(range) = all[thread].take(3) {
                                range.for_each(|unit| _ = seen[unit].fetch_add(1, Ordering::Relaxed));
                            }
                            let others = (1..4).map(|i| (thread + i) % 4);
                            let taken = others.into_iter().find_map(|i| all[i].share(i * 250, 3, 5));
                            match taken {
                                Some(range) => all[thread].set(range),
                                None => break,
                            }
                        }
                    });
                }
            });
            assert!(seen.iter().all(|times| times.load(Ordering::Relaxed) == 1));
        }
    }
}
