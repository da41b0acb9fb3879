//! Detectors side by side on this machine's CPU: what each costs, what it moves, how long it takes, how well it
//! detects.

use std::time::{Duration, Instant};

use sandglass_backbone::{Backbone, CpuEngine, Engine, Footprint, Plan};

use crate::error::Error;
use crate::heads::{INPUT_SIZE, ssdlite};
use crate::models::{self, Model};
use crate::work::INPUT_BYTES;

/// Detectors that are measured together. They take turns, so that what disturbs the machine disturbs them alike.
pub struct Comparison {
    entries: Vec<Entry>,
    pixels: Vec<u8>,
}

/// One detector of a [`Comparison`].
pub struct Entry {
    /// Which backbone.
    pub backbone: Backbone,
    /// Parameters, multiply-adds, the mAP where weights come with the program, and what was published.
    pub model: Model,
    /// Memory, and what moves through it.
    pub footprint: Footprint,
    times: Vec<Duration>,
    engine: CpuEngine,
}

impl Entry {
    /// The median time of the network for one picture, without what comes before and after it; zero before the first
    /// round.
    #[must_use]
    pub fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

impl Comparison {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        // Any picture will do: no kernel looks at what it computes.
        let byte = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
        Self { entries: Vec::new(), pixels: (0..).map(byte).take(INPUT_BYTES).collect() }
    }

    /// Makes a detector ready, for `threads` threads (0 for one a processor): with the weights that come with the
    /// program, or untrained ones, which take as long.
    ///
    /// # Errors
    /// [`Error::Model`] for weights of eight bits that do not come with the program, and where the engine cannot
    /// be made.
    pub fn add(&mut self, backbone: &Backbone, threads: usize) -> Result<(), Error> {
        let (weights, info) = models::weights(backbone)?;
        let network = ssdlite(backbone, info.classes.len());
        let mut plan = Plan::new(&network, &weights, INPUT_SIZE, INPUT_SIZE)?;
        plan.take_pixels(&info.normalisation);
        let mut engine = CpuEngine::new(plan, threads)?;
        engine.run_pixels(&self.pixels)?;
        self.entries.push(Entry {
            model: models::model(backbone),
            footprint: engine.footprint(),
            backbone: backbone.clone(),
            times: Vec::new(),
            engine,
        });
        Ok(())
    }

    /// Runs each of them twice in turn, and takes the time of the second: the first brings its weights back into the
    /// caches.
    ///
    /// # Errors
    /// As [`Engine::run_pixels`].
    pub fn round(&mut self) -> Result<(), Error> {
        for entry in &mut self.entries {
            entry.engine.run_pixels(&self.pixels)?;
            let begin = Instant::now();
            entry.engine.run_pixels(&self.pixels)?;
            entry.times.push(begin.elapsed());
        }
        Ok(())
    }

    /// All of them, in the order in which they were added.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What computes, for people: `CPU, AVX2, 2 threads`; nothing before the first.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        // One in float says it for all.
        let float = self.entries.iter().find(|entry| !entry.backbone.is_int8());
        float.or(self.entries.first()).map(|entry| entry.engine.describe())
    }
}

impl Default for Comparison {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_backbone_is_told() {
        let mut comparison = Comparison::new();
        assert!(comparison.describe().is_none());
        for name in ["mobilenext-0.35", "mobilenext-0.35-id6", "classic-0.35"] {
            comparison.add(&name.parse().unwrap(), 1).unwrap();
        }
        assert!(comparison.add(&"mobilenext-0.35-int8".parse().unwrap(), 1).is_err());
        assert_eq!(comparison.entries()[0].median(), Duration::ZERO);
        comparison.round().unwrap();
        assert!(comparison.describe().is_some_and(|text| text.contains("1 thread")));
        let [whole, sixth, classic] = comparison.entries() else { panic!("three were added") };
        assert!(!whole.median().is_zero());
        assert_eq!((whole.model.parameters, whole.model.map), (sixth.model.parameters, None));
        assert_eq!(whole.model.published.map(|p| p.top1), Some(64.7));
        assert!(classic.model.published.is_none() && classic.model.multiply_adds < whole.model.multiply_adds);
        for entry in comparison.entries() {
            let Footprint { weights, maps, traffic, traffic_by_layer } = entry.footprint;
            assert!(weights > entry.model.parameters * 3 && maps > INPUT_BYTES && traffic < traffic_by_layer);
        }
        assert!(sixth.footprint.traffic_by_layer < whole.footprint.traffic_by_layer);
    }
}
