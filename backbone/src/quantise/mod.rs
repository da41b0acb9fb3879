//! Post-training quantisation: from a plan in float and some pictures to the same plan in integers
//! ([`crate::quantised`]).
//!
//! 1. The pictures run through the network in float; every map's extremes are kept, channel by channel.
//! 2. Where a depthwise alone reads a map behind a ReLU6, the map's channels are made equally large
//!    (`equalise.rs`; Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
//!    arXiv 1906.04721): each has its own weights on both sides, so that this costs nothing.
//! 3. They run again; of each map a histogram says on which scale it loses least (`ranges.rs`).
//! 4. Weights are rounded, each output channel on the scale that changes its sums least (`rounding.rs`), and what
//!    rounding adds on average is taken out of the bias.

use crate::cpu::CpuEngine;
use crate::engine::Engine;
use crate::error::Error;
use crate::plan::{Output, Plan, StepKind};
use crate::quantised::{Integers, Quantisation, Scale};
use crate::weights::Normalisation;

mod equalise;
mod ranges;
mod rounding;
mod statistics;

pub use ranges::Method;
use statistics::{Extremes, Spread};

/// What [`quantise`] made, and how close it came.
#[derive(Clone, Debug)]
pub struct Quantised {
    /// The plan in integers.
    pub plan: Plan,
    /// Of each output the ratio of signal to error in decibels, over the pictures of [`MOST_COMPARED`].
    pub signal_to_error: Vec<(&'static str, f64)>,
}

/// Pictures that the plan in integers is compared with the one in float on, at most.
pub const MOST_COMPARED: usize = 32;

/// Quantises a plan that takes normalised input. `pictures` are inputs of one byte a channel, rows, columns, RGB;
/// a few hundred of the kind that it will meet. `progress` is told how many of how many runs are done.
///
/// # Errors
/// [`Error::Network`] without pictures or where the plan has a form that is not run in integers (an output with an
/// activation, another 3×3 over all channels than the first), [`Error::InputSize`] where a picture has another size.
pub fn quantise(
    plan: &Plan,
    normalisation: &Normalisation,
    pictures: &[Vec<u8>],
    method: Method,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Quantised, Error> {
    let refuse =
        |reason: &str| Error::Network { network: "the network to quantise".into(), reason: reason.into() };
    if pictures.is_empty() {
        return Err(refuse("there are no pictures to calibrate with"));
    }
    if plan.quantisation.is_some() {
        return Err(refuse("its weights are of eight bits already"));
    }
    let compared = pictures.len().min(MOST_COMPARED);
    let total = 2 * pictures.len() + compared;
    let mut done = 0;
    let mut plan = plan.clone();

    let mut extremes: Vec<Extremes> = plan.maps.iter().map(|map| Extremes::new(map.channels)).collect();
    observe(&plan, normalisation, pictures, &mut extremes, Extremes::add, &mut || {
        done += 1;
        progress(done, total);
    })?;
    equalise::equalise(&mut plan, &mut extremes);

    let mut spreads: Vec<Spread> = extremes.iter().map(Spread::new).collect();
    observe(&plan, normalisation, pictures, &mut spreads, Spread::add, &mut || {
        done += 1;
        progress(done, total);
    })?;
    let quantisation = integers(&plan, &spreads, method);
    let float = plan.clone();
    plan.set_quantisation(quantisation);
    plan.check()?;

    let step = pictures.len().div_ceil(compared);
    let some = pictures.iter().step_by(step).map(Vec::as_slice);
    let signal_to_error = compare(float, plan.clone(), normalisation, some, &mut || {
        done += 1;
        progress(done.min(total), total);
    })?;
    progress(total, total);
    Ok(Quantised { plan, signal_to_error })
}

/// Runs the pictures and shows every map of each to what is kept of it.
fn observe<T: Send>(
    plan: &Plan,
    normalisation: &Normalisation,
    pictures: &[Vec<u8>],
    kept: &mut [T],
    add: fn(&mut T, &[f32]),
    told: &mut dyn FnMut(),
) -> Result<(), Error> {
    let mut plan = plan.clone();
    plan.take_pixels(normalisation);
    // Every map but the input is asked for by itself.
    plan.outputs = plan.steps.iter().map(|s| Output { name: "map", maps: vec![s.output] }).collect();
    let maps: Vec<usize> = plan.steps.iter().map(|s| s.output.0).collect();
    let mut engine = CpuEngine::new(plan, 0)?;
    let threads = engine.threads();
    for picture in pictures {
        engine.run_pixels(picture)?;
        let engine = &engine;
        // Dealt out in turn, for neighbouring maps are of one size.
        let mut shares: Vec<Vec<(usize, &mut T)>> = (0..threads).map(|_| Vec::new()).collect();
        for (map, kept) in kept.iter_mut().enumerate() {
            if let Some(index) = maps.iter().position(|m| *m == map) {
                shares[index % threads].push((index, kept));
            }
        }
        std::thread::scope(|scope| {
            for share in shares {
                scope.spawn(move || {
                    share.into_iter().for_each(|(index, kept)| add(kept, engine.output(index)))
                });
            }
        });
        told();
    }
    Ok(())
}

/// Scales for all maps but the input and the outputs, integers for all steps but the first and means.
fn integers(plan: &Plan, spreads: &[Spread], method: Method) -> Quantisation {
    let is_output = |map: usize| plan.outputs.iter().any(|o| o.maps.iter().any(|m| m.0 == map));
    let mut maps: Vec<Option<Scale>> = vec![None; plan.maps.len()];
    for step in plan.steps.iter().filter(|step| !is_output(step.output.0)) {
        maps[step.output.0] = Some(ranges::scale(&spreads[step.output.0], step.activation, method));
    }
    let steps = plan.steps.iter().map(|step| match step.kind {
        StepKind::Full { .. } | StepKind::GlobalMean => None,
        StepKind::Depthwise { .. } | StepKind::Pointwise => {
            let input = maps[step.input.0]?;
            Some(rounding::round(step, input, &spreads[step.input.0], method))
        }
    });
    let steps: Vec<Option<Integers>> = steps.collect();
    Quantisation { maps, steps }
}

/// Signal to error of each output.
fn compare<'a>(
    mut float: Plan,
    mut integers: Plan,
    normalisation: &Normalisation,
    pictures: impl Iterator<Item = &'a [u8]>,
    told: &mut dyn FnMut(),
) -> Result<Vec<(&'static str, f64)>, Error> {
    let names: Vec<&'static str> = float.outputs.iter().map(|output| output.name).collect();
    float.take_pixels(normalisation);
    integers.take_pixels(normalisation);
    let (mut float, mut integers) = (CpuEngine::new(float, 0)?, CpuEngine::new(integers, 0)?);
    let mut sums = vec![(0.0, 0.0); names.len()];
    for picture in pictures {
        float.run_pixels(picture)?;
        integers.run_pixels(picture)?;
        for (i, (signal, error)) in sums.iter_mut().enumerate() {
            for (a, b) in float.output(i).iter().zip(integers.output(i)) {
                *signal += f64::from(*a).powi(2);
                *error += f64::from(a - b).powi(2);
            }
        }
        told();
    }
    let decibels = |(signal, error): (f64, f64)| 10.0 * (signal / error.max(f64::MIN_POSITIVE)).log10();
    Ok(names.into_iter().zip(sums.into_iter().map(decibels)).collect())
}
