//! From inputs to everything that is printed and written.

use std::collections::BTreeMap;

use sandglass_detector::program::note;
use sandglass_eval::analysis::{
    self, Confusion, GroupScore, Histogram, Matched, MatchedClass, Operating, Outcomes, Spread, Worst,
};
use sandglass_eval::coco::{self, CocoReport};
use sandglass_eval::scene::{Corners, Scene};
use sandglass_eval::tide::{self, TideReport};
use sandglass_eval::{Dataset, Report, Skipped, evaluate};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::arguments::Outputs;
use crate::html;
use crate::inputs::Inputs;
use crate::output::{self, Failure};

/// Drawings of the bootstrap, and where they begin: a result can be had again to the last bit.
pub(crate) const ROUNDS: usize = 500;
pub(crate) const SEED: u64 = 2007;

/// Bins of the histogram of scores.
const BINS: usize = 20;

/// Pictures that are shown as the worst.
const WORST: usize = 20;

/// Detections an image that the split of errors looks at.
const MOST: usize = 100;

/// What is behind the score.
#[derive(Serialize)]
pub(crate) struct Analysis {
    /// By class, the score threshold of the best F1.
    pub(crate) thresholds: BTreeMap<String, Operating>,
    pub(crate) scores: Histogram,
    pub(crate) errors: TideReport,
    pub(crate) confusion: Confusion,
    pub(crate) by_size: Vec<GroupScore>,
    pub(crate) by_aspect: Vec<GroupScore>,
    /// All-point mean average precision with its interval of 95 %.
    pub(crate) bootstrap: Spread,
    pub(crate) worst: Vec<Worst>,
}

/// Everything there is to say.
#[derive(Serialize)]
pub(crate) struct Whole {
    #[serde(flatten)]
    pub(crate) report: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detector: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) coco: Option<CocoReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) analysis: Option<Analysis>,
    pub(crate) skipped: Skipped,
    pub(crate) failed: Vec<Failure>,
    /// [`Outcomes`] without spaces and line ends: of a million detections they would be most of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcomes: Option<Box<RawValue>>,
}

/// Scores the inputs, prints and writes the result, and returns the pictures that failed.
pub(crate) fn produce(inputs: Inputs, output: &Outputs, skipped: Skipped) -> anyhow::Result<Vec<Failure>> {
    let report = evaluate(&inputs.truth, &inputs.found, output.iou)?;
    let deep = output.json.is_some() || output.html.is_some();
    let scene = match &inputs.scene {
        _ if !deep && !output.coco => None,
        Some(scene) => Some(scene.clone()),
        None => {
            let corners = if inputs.continuous { Corners::Continuous } else { Corners::AsTheyStand };
            Some(Scene::new(&inputs.truth, &inputs.found, corners)?)
        }
    };
    let coco = scene.as_ref().filter(|_| output.coco || output.html.is_some()).map(coco::evaluate);
    let matched = deep.then(|| Matched::new(&inputs.truth, &inputs.found, output.iou)).transpose()?;
    let outcomes = matched.as_ref().map(Matched::outcomes);
    let analysis = match (&matched, &scene, &outcomes) {
        (Some(matched), Some(scene), Some(outcomes)) => Some(analyse(matched, scene, outcomes)),
        _ => None,
    };
    let outcomes = outcomes.map(|outcomes| serde_json::value::to_raw_value(&outcomes)).transpose()?;
    let whole =
        Whole { report, detector: inputs.detector, coco, analysis, skipped, failed: inputs.failed, outcomes };
    output::print(&whole, output)?;
    if let (Some(path), Some(matched)) = (&output.html, &matched) {
        html::write(path, &whole, matched, &inputs.truth)?;
        note(format_args!("the report is in {}", path.display()));
    }
    Ok(whole.failed)
}

/// The score at and above which a detection of a class is shown.
pub(crate) fn threshold(class: &MatchedClass) -> f64 {
    Operating::best(class).map_or(f64::INFINITY, |operating| operating.threshold)
}

fn analyse(matched: &Matched, scene: &Scene, outcomes: &Outcomes) -> Analysis {
    let best = |class: &MatchedClass| Some((class.name.clone(), Operating::best(class)?));
    Analysis {
        thresholds: matched.classes.iter().filter_map(best).collect(),
        scores: Histogram::new(matched.classes.iter(), BINS),
        errors: tide::analyse(scene, MOST),
        confusion: Confusion::new(matched, threshold),
        by_size: analysis::by_size(matched),
        by_aspect: analysis::by_aspect(matched),
        bootstrap: analysis::interval(outcomes, ROUNDS, SEED),
        worst: analysis::worst(matched, threshold, WORST),
    }
}

/// The picture of an image of the set by its name.
pub(crate) fn picture(truth: &Dataset, image: &str) -> Option<std::path::PathBuf> {
    truth.picture(truth.image_index(image)?)
}
