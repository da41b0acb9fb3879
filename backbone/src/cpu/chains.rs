//! Which steps run together, a few rows at a time.
//!
//! ```text
//! step by step                          as a chain, two rows at a time
//!
//! narrow ▒▒▒▒  ──▶  memory              narrow ▒▒▒▒  ──▶ ┐ memory
//! expand ████████████ ──▶ memory         expand ████████████  a window of a few rows, in L2
//! depthwise ████████████ ──▶ memory      depthwise ████████████  two rows, in L2
//! reduce ▒▒▒▒  ──▶  memory              reduce ▒▒▒▒  ──▶ ┘ memory
//! ```
//!
//! A chain is a run of steps each of which alone reads what the one before it wrote. Its last step's rows are
//! computed from top to bottom, a strip at a time; before each strip the steps above compute just the rows
//! that it needs and that are not there yet, into windows ([`super::memory::Rows`]) small enough to stay in
//! the processor's cache. So the wide maps inside a block never reach memory. A 3×3 needs a row above and one
//! below: a window holds these, too.
//!
//! Threads share a chain by cutting the last step's rows into pieces; each thread has windows of its own, and
//! the rows around a cut are computed twice. Low maps are shared by channels instead ([`super::channels`]). Where a run of steps is cut into chains is a matter of [`super::cost`]: what a
//! chain leaves in memory and which weights it reads again, against what its threads compute twice and how often they
//! have to meet, within what L2 holds.

use std::ops::Range;

use super::cost::{best_share, busy, cost, twice, weights, work};
use super::memory::LINE_BYTES;
use super::{channels, tiles};
use crate::network::Shape;
use crate::plan::{Map, Plan, Step, StepKind};

/// Pixels that a strip should have, so that tiles of a product are full, and a depthwise goes down more than one pair of
/// rows: what pairs share is still in L1.
const STRIP: usize = 80;
/// Rows of a strip where they are wide: depthwise convolutions go down by pairs.
const PAIR: usize = 2;
/// Multiply-adds below which a chain is not shared among threads: handing over would take longer.
pub(super) const WORTH_SHARING: usize = 200_000;
/// How often a thread takes some of its panels.
const PARTS: usize = 3;

/// Cache lines of a pixel from which on one more is little.
const SPREAD_LINES: usize = 6;

/// Steps in a chain, at most.
pub(super) const MOST_STEPS: usize = 16;

/// The values of a plan's maps, as far as it matters where they lie.
#[derive(Clone, Copy)]
pub(super) struct Values {
    /// Bytes of one.
    pub(super) bytes: usize,
    /// How many at the beginning of a thread's memory are for something else.
    pub(super) own: usize,
    /// Whether pixels in windows may lie further apart than they are long, see [`Values::pixel`]. The kernels of
    /// integers do without.
    pub(super) spread: bool,
    /// Whether the matrix unit computes the steps that it takes.
    pub(super) tiled: bool,
    /// Bytes that all windows of a chain may take, and that L2 keeps of its weights beside them.
    pub(super) windows: usize,
}

impl Values {
    /// Values in a cache line. Maps begin at multiples of it.
    pub(super) fn line(self) -> usize {
        LINE_BYTES / self.bytes
    }

    /// Distance of pixels in a window: an odd number of cache lines where they are many. A depthwise goes from pixel to
    /// pixel; lines that are a multiple of two, four or eight lines apart share a half, a quarter or an eighth of L1, and
    /// drive each other out of it.
    fn pixel(self, channels: usize) -> usize {
        let lines = channels / self.line();
        let even = channels.is_multiple_of(self.line()) && lines.is_multiple_of(2);
        if self.spread && even && lines >= SPREAD_LINES { channels + self.line() } else { channels }
    }

    /// Values in a row of a step's window.
    fn row(self, step: &Step) -> usize {
        step.output_shape.width * self.pixel(step.output_shape.channels)
    }
}

/// What threads share a chain by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Rows of the last step.
    Rows,
    /// Panels of channels, see [`channels`].
    Panels,
    /// Halves of the channels, whose sums are added up at the end.
    Halves,
}

/// Steps that run together.
pub(super) struct Chain {
    pub(super) steps: Range<usize>,
    /// Rows of the last step computed in one go.
    pub(super) strip: usize,
    /// What threads share it by.
    pub(super) share: Share,
    /// How many of these there are.
    pub(super) units: usize,
    /// How many are taken at a time.
    pub(super) grain: usize,
    /// How many a thread takes over at least from another that has begun.
    pub(super) worth_taking: usize,
    /// How many threads begin with a part of the units.
    pub(super) pieces: usize,
    /// The chain that leaves what this one reads, if this one can be computed at any time after that, beside others.
    pub(super) aside_of: Option<usize>,
    /// A window for each step but the last.
    pub(super) windows: Vec<Window>,
}

impl Chain {
    /// The units that a thread begins with.
    pub(super) fn piece(&self, thread: usize) -> Range<usize> {
        let cut = |piece: usize| self.units * piece.min(self.pieces) / self.pieces;
        cut(thread)..cut(thread + 1)
    }

    /// Whether the units leave sums that have to be added up.
    pub(super) fn joins(&self) -> bool {
        self.share == Share::Halves
    }
}

/// Where a step of a chain leaves its last rows.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// Where it begins in the thread's memory.
    pub(super) start: usize,
    pub(super) rows: usize,
    /// Distance of its pixels.
    pub(super) pixel: usize,
}

/// How deep a step reaches: rows of its input that `rows` rows of its output need.
pub(super) fn needed(step: &Step, rows: usize) -> usize {
    match step.kind {
        StepKind::Pointwise => rows,
        StepKind::Depthwise { stride } | StepKind::Full { stride } => {
            (rows.saturating_sub(1) * stride + 3).min(step.input_shape.height)
        }
        StepKind::GlobalMean => step.input_shape.height,
    }
}

/// The row of its input after the last that a step needs to compute the rows before `end`.
pub(super) fn reach(step: &Step, end: usize) -> usize {
    match step.kind {
        StepKind::Pointwise => end,
        StepKind::Depthwise { stride } | StepKind::Full { stride } => {
            (end.saturating_sub(1) * stride + 2).min(step.input_shape.height)
        }
        StepKind::GlobalMean => step.input_shape.height,
    }
}

/// The first row of its input that a step needs to compute row `first`.
pub(super) fn begin(step: &Step, first: usize) -> usize {
    match step.kind {
        StepKind::Pointwise => first,
        StepKind::Depthwise { stride } | StepKind::Full { stride } => (first * stride).saturating_sub(1),
        StepKind::GlobalMean => 0,
    }
}

/// Groups the steps of a plan for `threads` threads, in the order in which they run: nearly the plan's. Without
/// `streamed` every step is alone: the plain way, against which the other is tested.
pub(super) fn chains(plan: &Plan, values: Values, threads: usize, streamed: bool) -> Vec<Chain> {
    let readers = plan.readers();
    let mut chains = Vec::new();
    let mut first = 0;
    while first < plan.steps.len() {
        let mut end = first + 1;
        while streamed && end < plan.steps.len() && follows(plan, end, &readers) {
            end += 1;
        }
        for range in cheapest(&plan.steps[first..end], values, threads) {
            let range = first + range.start..first + range.end;
            chains.push(chain(&plan.steps[range.clone()], range.start, values, threads));
        }
        first = end;
    }
    bring_forward(plan, &mut chains);
    if threads > 1 {
        let of: Vec<_> = chains.iter().map(|chain| aside_of(plan, &chains, chain, values)).collect();
        chains.iter_mut().zip(of).for_each(|(chain, of)| chain.aside_of = of);
    }
    chains
}

/// Puts outputs of high maps, such as heads that are one chain, right behind the chain that leaves what they read, while that is in L2.
/// Those of low maps stay at the end: they read less, and fill the time of threads that would wait.
fn bring_forward(plan: &Plan, chains: &mut [Chain]) {
    for late in 0..chains.len() {
        let steps = &plan.steps[chains[late].steps.clone()];
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else { continue };
        let alone = steps.iter().all(|step| step.shortcut.is_none()) && !is_read(plan, last.output);
        if !alone || tiles::is_low(last) {
            continue;
        }
        let mut earlier = chains[..late].iter();
        if let Some(source) = earlier.position(|c| plan.steps[c.steps.end - 1].output == first.input) {
            chains[source + 1..=late].rotate_right(1);
        }
    }
}

/// Whether a step reads a map.
fn is_read(plan: &Plan, map: Map) -> bool {
    plan.steps.iter().any(|step| step.input == map || step.shortcut.is_some_and(|s| s.map == map))
}

/// The chain that leaves what another one reads, if that one can be computed at any time after it, by whoever has time: it leaves a low
/// output that nobody reads, so that its memory is not used for anything else, and a thread can compute any of its rows without
/// others of the steps above.
fn aside_of(plan: &Plan, chains: &[Chain], chain: &Chain, values: Values) -> Option<usize> {
    let steps = plan.steps.get(chain.steps.clone())?;
    let (first, last) = (steps.first()?, steps.last()?);
    let is_output = plan.outputs.iter().any(|output| output.maps.contains(&last.output));
    let can = is_output
        && chain.share == Share::Rows
        && tiles::is_low(last)
        && !is_read(plan, last.output)
        && steps.iter().all(|step| step.shortcut.is_none())
        && twice(steps, values) == 0;
    let leaves = |other: &Chain| plan.steps[other.steps.end - 1].output == first.input;
    chains.iter().position(leaves).filter(|_| can)
}

/// Whether a step can go on where the one before it ended.
fn follows(plan: &Plan, index: usize, readers: &[usize]) -> bool {
    let (before, step) = (&plan.steps[index - 1], &plan.steps[index]);
    step.input == before.output
        && readers[step.input.0] == 1
        && step.kind != StepKind::GlobalMean
        && before.kind != StepKind::GlobalMean
}

/// Cuts steps that follow each other into chains, so that they cost least in all.
fn cheapest(steps: &[Step], values: Values, threads: usize) -> Vec<Range<usize>> {
    // For each number of steps the least cost, and where the last chain of it begins.
    let mut best = vec![(0, 0)];
    for end in 1..=steps.len() {
        let starts = (end.saturating_sub(MOST_STEPS)..end).filter(|&start| fits(&steps[start..end], values));
        let costs = starts.map(|start| (best[start].0 + cost(&steps[start..end], values, threads), start));
        best.push(costs.min().unwrap_or((usize::MAX, end - 1)));
    }
    let mut chains = Vec::new();
    let mut end = steps.len();
    while end > 0 {
        chains.push(best[end].1..end);
        end = best[end].1;
    }
    chains.reverse();
    chains
}

/// A step alone always fits.
fn fits(steps: &[Step], values: Values) -> bool {
    windows_len(steps, strip(steps, values), values) * values.bytes <= values.windows
}

/// Rows of the last step computed in one go: as many as make full tiles, or all where L2 does not keep the weights from
/// one strip to the next, unless less make its windows fit. A longer chain with lower strips is better than a shorter
/// one, which writes to memory.
pub(super) fn strip(steps: &[Step], values: Values) -> usize {
    let Some(shape) = steps.last().map(|s| s.output_shape) else { return 1 };
    let full = STRIP.div_ceil(shape.width.max(1)).next_multiple_of(PAIR).min(shape.height);
    let mut rows = if weights(steps, values) > values.windows { shape.height } else { full }.max(1);
    while rows > 1 && windows_len(steps, rows, values) * values.bytes > values.windows {
        rows = if rows > PAIR { (rows / 2).next_multiple_of(PAIR) } else { 1 };
    }
    rows
}

/// The steps but the last, each with the rows of its output that have to be there at a time.
fn windows(steps: &[Step], strip: usize) -> Vec<(&Step, usize)> {
    let mut rows = strip;
    let mut windows: Vec<_> = steps
        .windows(2)
        .rev()
        .map(|pair| {
            rows = needed(&pair[1], rows);
            (&pair[0], rows)
        })
        .collect();
    windows.reverse();
    windows
}

/// Values of all windows.
fn windows_len(steps: &[Step], strip: usize, values: Values) -> usize {
    windows(steps, strip).iter().map(|w| w.1 * values.row(w.0)).sum()
}

/// How many pieces the last step's rows are cut into: one a thread, for who is ready helps the others.
pub(super) fn pieces(steps: &[Step], threads: usize) -> usize {
    let height = steps.last().map_or(1, |s| s.output_shape.height);
    let pieces = match threads {
        1 => 1,
        _ if work(steps) < WORTH_SHARING => 1,
        _ => threads,
    };
    pieces.min(height).max(1)
}

fn chain(steps: &[Step], first: usize, values: Values, threads: usize) -> Chain {
    let strip = strip(steps, values);
    let mut offset = values.own;
    let windows = windows(steps, strip).into_iter().map(|(step, rows)| {
        let start = offset;
        offset += (rows * values.row(step)).next_multiple_of(values.line());
        Window { start, rows, pixel: values.pixel(step.output_shape.channels) }
    });
    let share = best_share(steps, values, threads).1;
    let shape = steps.last().map_or(Shape::new(1, 1, 1), |last| last.output_shape);
    let panels = channels::panels(shape.channels);
    let (units, grain) = match share {
        Share::Rows => (shape.height, strip),
        Share::Panels => (panels, panels.div_ceil(PARTS * threads)),
        Share::Halves => (channels::HALVES, 1),
    };
    let pieces = match share {
        Share::Rows => pieces(steps, threads),
        _ => channels::pieces(steps, threads),
    };
    let worth_taking = match share {
        _ if pieces == 1 => usize::MAX,
        // More than is computed twice for it.
        Share::Rows => 1 + 2 * twice(steps, values) * units / busy(steps, values).max(1),
        _ => 1,
    };
    Chain {
        steps: first..first + steps.len(),
        strip,
        share,
        units,
        grain,
        worth_taking,
        pieces,
        aside_of: None,
        windows: windows.collect(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::architecture::Backbone;
    use crate::plan::{Map, Output};
    use crate::weights::Weights;

    pub(in crate::cpu) const FLOATS: Values =
        Values { bytes: 4, own: 0, spread: true, tiled: false, windows: 256 * 1024 };

    pub(in crate::cpu) fn plan(name: &str, side: usize) -> Plan {
        let network = name.parse::<Backbone>().unwrap().classifier(10);
        Plan::new(&network, &Weights::untrained(&network), side, side).unwrap()
    }

    /// A network with one more output, on which no other step depends, and the map that it is made of.
    pub(in crate::cpu) fn with_an_output_aside() -> (Plan, Map) {
        let mut plan = plan("mobilenet-v2-1.0", 160);
        let low = |step: &&Step| step.kind == StepKind::Pointwise && step.output_shape.height == 10;
        let mut step = plan.steps.iter().find(low).unwrap().clone();
        let from = step.input;
        step.output = Map(plan.maps.len());
        plan.maps.push(step.output_shape);
        plan.outputs.push(Output { name: "aside", maps: vec![step.output] });
        plan.steps.push(step);
        (plan, from)
    }

    #[test]
    fn outputs_that_nobody_reads_are_computed_aside() {
        let (plan, from) = with_an_output_aside();
        for (streamed, threads) in [(false, 2), (true, 2), (true, 1)] {
            let chains = chains(&plan, FLOATS, threads, streamed);
            let (last, others) = chains.split_last().unwrap();
            let source = last.aside_of.map(|source| plan.steps[chains[source].steps.end - 1].output);
            assert_eq!(source, (threads > 1).then_some(from));
            // The other output may be, too; nothing else.
            for chain in others.iter().filter(|chain| chain.aside_of.is_some()) {
                let output = plan.steps[chain.steps.end - 1].output;
                assert!(plan.outputs.iter().any(|o| o.maps.contains(&output)));
            }
        }
    }

    /// A network with two heads, each a depthwise and a 1×1, on a high map that the network reads, too, and that map.
    pub(in crate::cpu) fn with_heads() -> (Plan, Map) {
        let mut plan = plan("mobilenext-1.0", 320);
        // A depthwise and the 1×1 behind it.
        let first = plan.steps.windows(2).position(|pair| {
            pair[0].output_shape.height == 20
                && matches!(pair[0].kind, StepKind::Depthwise { stride: 1 })
                && pair[1].kind == StepKind::Pointwise
        });
        let first = first.unwrap();
        let from = plan.steps[first].input;
        for name in ["classes", "boxes"] {
            for i in [first, first + 1] {
                let mut step = plan.steps[i].clone();
                if i > first {
                    step.input = Map(plan.maps.len() - 1);
                }
                step.output = Map(plan.maps.len());
                plan.maps.push(step.output_shape);
                plan.steps.push(step);
            }
            plan.outputs.push(Output { name, maps: vec![Map(plan.maps.len() - 1)] });
        }
        (plan, from)
    }

    #[test]
    fn heads_of_high_maps_come_right_behind_what_they_read() {
        let (plan, from) = with_heads();
        let heads = plan.steps.len() - 4;
        for threads in [1, 2] {
            let chains = chains(&plan, FLOATS, threads, true);
            let is_head = |chain: &Chain| chain.steps.start >= heads;
            let place = chains.iter().position(is_head).unwrap();
            assert_eq!(plan.steps[chains[place - 1].steps.end - 1].output, from);
            assert!(is_head(&chains[place + 1]) && chains[place..].len() > 2);
            assert!(chains[place..place + 2].iter().all(|head| head.steps.len() == 2));
            // The others are in their order, and all are there.
            let end = chains.iter().filter(|chain| !is_head(chain)).fold(0, |end, chain| {
                assert_eq!(chain.steps.start, end);
                chain.steps.end
            });
            assert_eq!(end, heads);
        }
    }

    #[test]
    fn blocks_are_streamed() {
        let plan = plan("mobilenet-v2-1.0", 320);
        let chains = chains(&plan, FLOATS, 1, true);
        let whole = |chain: &Chain| plan.steps[chain.steps.end - 1].output_shape.len();
        // What is written whole, against all maps.
        let written: usize = chains.iter().map(whole).sum();
        let all: usize = plan.steps.iter().map(|s| s.output_shape.len()).sum();
        assert!(written * 4 < all, "{written} of {all} values are written");
        let end = chains.iter().fold(0, |end, chain| {
            assert_eq!(chain.steps.start, end);
            chain.steps.end
        });
        assert_eq!(end, plan.steps.len());
    }

    #[test]
    fn chains_are_the_cheapest_that_fit() {
        let plan = plan("mobilenext-1.0", 320);
        for (threads, windows) in [(1, 64 * 1024), (1, 512 * 1024), (2, 256 * 1024), (8, 256 * 1024)] {
            let values = Values { windows, ..FLOATS };
            let cost = |chains: &[Chain]| {
                let steps = chains.iter().map(|chain| &plan.steps[chain.steps.clone()]);
                steps.map(|steps| super::cost(steps, values, threads)).sum::<usize>()
            };
            let chosen = chains(&plan, values, threads, true);
            let end = chosen.iter().fold(0, |end, chain| {
                assert_eq!(chain.steps.start, end);
                let steps = &plan.steps[chain.steps.clone()];
                assert!(steps.len() <= MOST_STEPS);
                let len: usize =
                    chain.windows.iter().zip(steps).map(|(w, step)| w.rows * values.row(step)).sum();
                assert!(len * values.bytes <= windows);
                chain.steps.end
            });
            assert_eq!(end, plan.steps.len());
            assert!(cost(&chosen) < cost(&chains(&plan, values, threads, false)));
            // No chain can be cut in two for less.
            for chain in &chosen {
                let cuts = chain.steps.start + 1..chain.steps.end;
                for [left, right] in cuts.map(|cut| [chain.steps.start..cut, cut..chain.steps.end]) {
                    let [left, right] = [left, right].map(|r| super::cost(&plan.steps[r], values, threads));
                    assert!(super::cost(&plan.steps[chain.steps.clone()], values, threads) <= left + right);
                }
            }
        }
    }

    #[test]
    fn weights_that_do_not_stay_are_read_once() {
        let plan = plan("mobilenet-v2-1.0", 320);
        let values = Values { windows: 512 * 1024, ..FLOATS };
        let chains = chains(&plan, values, 1, true);
        let (mut heavy, mut light) = (0, 0);
        for chain in &chains {
            let steps = &plan.steps[chain.steps.clone()];
            let height = steps[steps.len() - 1].output_shape.height;
            let many = weights(steps, values) > values.windows;
            heavy += usize::from(many && steps.len() > 1 && chain.strip == height);
            light += usize::from(!many && chain.strip < height);
            // A chain of one step has no windows: it goes down the map whole where its weights are many.
            assert!(steps.len() > 1 || !many || chain.strip == height);
        }
        assert!(heavy > 0 && light > 0, "{heavy} {light}");
    }

    #[test]
    fn pixels_of_windows_lie_an_odd_number_of_lines_apart() {
        let distances = |values: Values| [32, 96, 100, 144, 160, 192, 960].map(|c| values.pixel(c));
        assert_eq!(distances(FLOATS), [32, 112, 100, 144, 176, 208, 976]);
        let bytes = Values { bytes: 1, spread: false, ..FLOATS };
        assert_eq!(distances(bytes), [32, 96, 100, 144, 160, 192, 960]);
        // The windows of a chain are laid out accordingly, one behind the other.
        let plan = plan("mobilenext-1.0", 320);
        let chains = chains(&plan, FLOATS, 1, true);
        let mut spread = 0;
        for chain in &chains {
            let mut end = 0;
            for (window, step) in chain.windows.iter().zip(&plan.steps[chain.steps.clone()]) {
                assert!(window.start >= end && window.pixel == FLOATS.pixel(step.output_shape.channels));
                spread += usize::from(window.pixel > step.output_shape.channels);
                end = window.start + window.rows * window.pixel * step.output_shape.width;
            }
        }
        assert!(spread > 10, "{spread}");
    }

    #[test]
    fn low_maps_are_shared_by_channels_where_products_are_quick() {
        let plan = plan("mobilenext-1.0", 320);
        let values = Values { tiled: true, windows: 1024 * 1024, ..FLOATS };
        for (threads, shared) in [(1, false), (2, true)] {
            let mut seen = [0; 2];
            for chain in chains(&plan, values, threads, true) {
                let steps = &plan.steps[chain.steps.clone()];
                if chain.share == Share::Rows {
                    continue;
                }
                assert!(shared && steps.iter().all(|step| step.output_shape.pixels() <= 100));
                seen[usize::from(chain.joins())] += 1;
                // All units are somebody's.
                let mut end = 0;
                for thread in 0..threads {
                    let piece = chain.piece(thread);
                    assert_eq!(piece.start, end);
                    end = piece.end;
                }
                assert_eq!(end, chain.units);
            }
            assert!(if shared { seen[0] > 4 && seen[1] > 4 } else { seen == [0; 2] }, "{seen:?}");
        }
    }

    #[test]
    fn what_two_threads_compute_twice_is_worth_a_cut() {
        // A map of ten rows: with two threads two of them would be expanded twice, more than the map costs.
        let plan = plan("mobilenext-1.0", 320);
        let joined = |threads| {
            let chains = chains(&plan, Values { windows: 512 * 1024, ..FLOATS }, threads, true);
            let low = |chain: &&Chain| {
                let steps = &plan.steps[chain.steps.clone()];
                let expands = |pair: &[Step]| {
                    pair[0].kind == StepKind::Pointwise && pair[1].kind == (StepKind::Depthwise { stride: 1 })
                };
                steps[0].output_shape.height == 10 && steps.windows(2).any(expands)
            };
            chains.iter().filter(low).count()
        };
        assert!(joined(1) > 0);
        assert_eq!(joined(2), 0);
    }
}
