//! Weights that nobody trained, for networks that have none: the same values on every machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Weights;
use crate::network::{Network, Parameter};

impl Weights {
    /// Deterministic pseudo-random weights for every tensor of `network`, scaled so that signals neither
    /// vanish nor explode. What a network makes of them means nothing; they serve tests, benchmarks and
    /// the switching of backbones that have no trained weights yet.
    #[must_use]
    pub fn untrained(network: &Network) -> Self {
        let values = network.parameters().into_iter().map(|parameter| {
            let values = values(&parameter);
            (parameter.name, parameter.shape, values)
        });
        Self::from_values(PathBuf::from("untrained weights"), values, BTreeMap::new(), false)
    }
}

/// The values of one tensor, from its name alone.
fn values(parameter: &Parameter) -> Vec<f32> {
    let norm = parameter.name.strip_suffix("running_var").or(parameter.name.strip_suffix("running_mean"));
    let count: usize = parameter.shape.iter().product();
    let seed = fnv1a(parameter.name.as_bytes());
    let unit = (0..count as u64).map(|i| uniform(seed, i));
    let scale = |low: f64, high: f64| move |u: f64| (low + u * (high - low)) as f32;
    if parameter.shape.len() > 1 {
        let inputs: usize = parameter.shape[1..].iter().product();
        // The variance of 1 / inputs keeps a linear layer's signals as large as they come; more would drive
        // them into ReLU6's ends, where the smallest difference grows from layer to layer.
        let bound = (3.0 / inputs as f64).sqrt();
        unit.map(scale(-bound, bound)).collect()
    } else if norm.is_some() && parameter.name.ends_with("mean") || parameter.name.ends_with("bias") {
        unit.map(scale(-0.25, 0.25)).collect()
    } else {
        unit.map(scale(0.5, 1.5)).collect() // a batch norm's factor or variance
    }
}

/// The 64-bit FNV-1a hash.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Value `i` of the SplitMix64 sequence from `seed`, as a number from 0 to below 1 with 24 bits.
fn uniform(seed: u64, i: u64) -> f64 {
    let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first value of SplitMix64 from seed 0 is 0xe220a8397b1dcdaf.
        assert_eq!(uniform(0, 0), (0xe220_a839_7b1d_cdaf_u64 >> 40) as f64 / f64::from(1 << 24));
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
