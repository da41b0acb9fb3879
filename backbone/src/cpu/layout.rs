//! Where the maps lie that chains leave in memory, and what is moved to them and from them.

use std::ops::Range;

use super::chains::{Chain, Values};
use super::channels;
use super::memory::LINE;
use crate::plan::{Map, Plan, Step};

/// All maps that are whole, and the outputs.
pub(super) struct Layout {
    /// Where each map begins; nothing for the input and for maps that are never whole.
    pub(super) homes: Vec<Option<usize>>,
    /// Where each output lies.
    pub(super) outputs: Vec<Range<usize>>,
    /// Where the pieces of a chain that [joins](Chain::joins) leave their sums.
    pub(super) sums: usize,
    /// Values in all.
    pub(super) len: usize,
    /// Values in a thread's own memory, the windows behind what is for something else.
    pub(super) thread_len: usize,
}

/// A place for every map that is written whole. A place is used again as soon as the map in it has been
/// read for the last time.
pub(super) fn layout(plan: &Plan, chains: &[Chain], values: Values) -> Layout {
    let line = values.line();
    let mut homes = vec![None; plan.maps.len()];
    let mut outputs = Vec::new();
    let mut len = 0;
    for output in &plan.outputs {
        let start = len;
        for map in &output.maps {
            homes[map.0] = Some(len);
            len += plan.maps[map.0].len();
        }
        outputs.push(start..len);
        len = len.next_multiple_of(line);
    }
    let reads = |chain: &Chain| {
        let steps = plan.steps[chain.steps.clone()].iter();
        steps.flat_map(|s| [Some(s.input), s.shortcut.as_ref().map(|s| s.map)].into_iter().flatten())
    };
    let mut last_read = vec![0; plan.maps.len()];
    for (time, chain) in chains.iter().enumerate() {
        // What is computed aside may still be read when later chains write.
        let until = if chain.aside_of.is_some() { chains.len() } else { time };
        reads(chain).for_each(|map| last_read[map.0] = last_read[map.0].max(until));
    }
    // Slots by start and length.
    let mut slots: Vec<Slot> = Vec::new();
    let mut owners: Vec<(Map, usize)> = Vec::new();
    for (time, chain) in chains.iter().enumerate() {
        let Some(map) = plan.steps[chain.steps.clone()].last().map(|step| step.output) else { continue };
        let needed = plan.maps[map.0].len().next_multiple_of(line);
        if homes[map.0].is_none() {
            // The free slot that wastes least, or that has to grow least.
            let free = (0..slots.len()).filter(|&i| slots[i].free_from <= time);
            let best = free.min_by_key(|&i| (slots[i].len < needed, slots[i].len.abs_diff(needed)));
            let slot = best.unwrap_or_else(|| {
                slots.push(Slot::default());
                slots.len() - 1
            });
            slots[slot].len = slots[slot].len.max(needed);
            slots[slot].free_from = last_read[map.0].max(time) + 1;
            owners.push((map, slot));
        }
    }
    for slot in &mut slots {
        slot.start = len;
        len += slot.len;
    }
    owners.iter().for_each(|&(map, slot)| homes[map.0] = Some(slots[slot].start));
    let sums = len.next_multiple_of(line);
    let joined = chains.iter().filter(|chain| chain.joins());
    let of_sums = joined.filter_map(|chain| plan.steps[chain.steps.clone()].last()).map(sums_len);
    len = sums + channels::HALVES * of_sums.max().unwrap_or(0);
    let windows = chains.iter().map(|chain| {
        let steps = &plan.steps[chain.steps.clone()];
        let ends = chain
            .windows
            .iter()
            .zip(steps)
            .map(|(w, step)| w.start + w.rows * w.pixel * step.output_shape.width);
        ends.max().unwrap_or(0)
    });
    let thread_len = windows.max().unwrap_or(0).max(values.own);
    Layout { homes, outputs, sums, len, thread_len }
}

/// Distance of pixels where a half's sums are.
pub(super) fn sums_pixel(step: &Step) -> usize {
    step.output_shape.channels.next_multiple_of(LINE)
}

/// Values of a half's sums.
pub(super) fn sums_len(step: &Step) -> usize {
    step.output_shape.pixels() * sums_pixel(step)
}

/// Bytes that one run reads from maps in memory and writes to them: of each chain the maps that it reads, once each,
/// and the one that it leaves. What stays in windows is not counted, nor are rows that two threads read at a cut;
/// the picture has a byte and an output four to the value.
pub(super) fn traffic(plan: &Plan, chains: &[Chain], values: Values) -> usize {
    let is_output = |map: Map| plan.outputs.iter().any(|output| output.maps.contains(&map));
    let bytes = |map: Map, channels: usize| {
        let shape = plan.maps[map.0];
        let each = match map {
            Map(0) => 1,
            _ if is_output(map) => size_of::<f32>(),
            _ => values.bytes,
        };
        shape.pixels() * channels.min(shape.channels) * each
    };
    let of_chain = |chain: &Chain| {
        let steps = &plan.steps[chain.steps.clone()];
        let mut reads: Vec<(Map, usize)> = Vec::new();
        let input = steps.first().map(|step| (step.input, usize::MAX));
        let shortcuts = steps.iter().filter_map(|step| step.shortcut.map(|s| (s.map, s.channels)));
        for (map, channels) in input.into_iter().chain(shortcuts) {
            match reads.iter_mut().find(|read| read.0 == map) {
                Some(read) => read.1 = read.1.max(channels),
                None => reads.push((map, channels)),
            }
        }
        let written = steps.last().map_or(0, |step| bytes(step.output, usize::MAX));
        // Sums are written, and read.
        let sums = |step: &Step| 2 * channels::HALVES * sums_len(step) * values.bytes;
        let joined = steps.last().filter(|_| chain.joins()).map_or(0, sums);
        written + joined + reads.into_iter().map(|(map, channels)| bytes(map, channels)).sum::<usize>()
    };
    chains.iter().map(of_chain).sum()
}

/// Memory that maps share one after the other.
#[derive(Default)]
struct Slot {
    start: usize,
    len: usize,
    /// The chain from which on it may be written again.
    free_from: usize,
}

#[cfg(test)]
mod tests {
    use super::super::chains::{
        self,
        tests::{FLOATS, plan, with_an_output_aside, with_heads},
    };
    use super::*;

    #[test]
    fn traffic_is_what_chains_read_and_leave() {
        // Without shortcuts: every map is written once, and read once but for the last.
        let plan = plan("mobilenet-v1-0.25", 64);
        let one_by_one = chains::chains(&plan, FLOATS, 1, false);
        let maps: usize = plan.steps.iter().map(|s| s.output_shape.len() * 4).sum();
        let last = 10 * 4;
        assert_eq!(traffic(&plan, &one_by_one, FLOATS), 64 * 64 * 3 + 2 * maps - last);
        // A shortcut is read as far as it is carried: the same maps, less of them.
        let [whole, sixth] = ["mobilenext-1.0", "mobilenext-1.0-id6"].map(|name| {
            let plan = self::plan(name, 320);
            let [streamed, one_by_one] =
                [true, false].map(|s| traffic(&plan, &chains::chains(&plan, FLOATS, 1, s), FLOATS));
            assert!(streamed * 3 < one_by_one, "{name}: {streamed} of {one_by_one}");
            one_by_one
        });
        assert!(sixth < whole);
    }

    #[test]
    fn maps_alive_at_once_do_not_overlap() {
        let tiled = Values { tiled: true, windows: 1 << 20, ..FLOATS };
        let plans = [plan("mobilenext-0.5-id3", 97), with_an_output_aside().0, with_heads().0];
        let ways = [
            (0, false, FLOATS),
            (0, true, FLOATS),
            (0, true, tiled),
            (1, false, FLOATS),
            (1, true, tiled),
            (2, false, FLOATS),
            (2, true, FLOATS),
        ];
        let (mut asides, mut joined) = (0, 0);
        for (plan, streamed, values) in ways {
            let plan = &plans[plan];
            let chains = chains::chains(plan, values, 2, streamed);
            let layout = layout(plan, &chains, values);
            joined += chains.iter().filter(|chain| chain.joins()).count();
            // What is written by a chain that is later than one aside may be so at the same time.
            for (time, chain) in chains.iter().enumerate().filter(|(_, chain)| chain.aside_of.is_some()) {
                let input = plan.steps[chain.steps.start].input;
                let home = layout.homes[input.0].unwrap();
                for later in &chains[time + 1..] {
                    let output = plan.steps[later.steps.end - 1].output;
                    let other = layout.homes[output.0].unwrap();
                    assert!(
                        other + plan.maps[output.0].len() <= home || home + plan.maps[input.0].len() <= other
                    );
                }
                asides += 1;
            }
            let range = |map: Map| layout.homes[map.0].map(|start| start..start + plan.maps[map.0].len());
            for (time, chain) in chains.iter().enumerate() {
                let steps = &plan.steps[chain.steps.clone()];
                let last = &steps[steps.len() - 1];
                let written = range(last.output).unwrap();
                // Sums lie behind all maps.
                assert!(written.end <= layout.sums);
                let sums = if chain.joins() { channels::HALVES * sums_len(last) } else { 0 };
                assert!(layout.sums + sums <= layout.len);
                // Everything that this chain or a later one reads and that is there already.
                let later = chains[time..].iter().flat_map(|c| &plan.steps[c.steps.clone()]);
                let read = later.flat_map(|s| [Some(s.input), s.shortcut.as_ref().map(|s| s.map)]).flatten();
                let left =
                    |map: &Map| chains[..time].iter().any(|c| plan.steps[c.steps.end - 1].output == *map);
                for map in read.filter(left) {
                    let other = range(map).unwrap();
                    assert!(other.end <= written.start || written.end <= other.start);
                }
            }
        }
        assert!(asides > 1 && joined > 1, "{asides} {joined}");
    }
}
