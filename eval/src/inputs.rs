//! What is scored: ground truth and detections, from wherever the arguments say.

use sandglass_detector::complain;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use sandglass_eval::coco::CocoTruth;
use sandglass_eval::scene::Scene;
use sandglass_eval::{Dataset, Detections, Error, Format, Oddity, Skipped};

use crate::arguments::Run;
use crate::output::Failure;
use crate::run_detector;

/// Everything to be scored.
pub(crate) struct Inputs {
    pub(crate) truth: Dataset,
    pub(crate) found: Detections,
    /// Pictures that could not be used.
    pub(crate) failed: Vec<Failure>,
    /// COCO's own boxes, untouched, where ground truth and detections are COCO's.
    pub(crate) scene: Option<Scene>,
    /// Whether the boxes of the set were continuous before they became inclusive pixels.
    pub(crate) continuous: bool,
    /// Which detector was run, if one was.
    pub(crate) detector: Option<String>,
}

impl Inputs {
    /// Reads the ground truth, and reads the detections or makes them.
    pub(crate) fn read(arguments: &Run, skipped: &mut Skipped) -> anyhow::Result<Self> {
        let (mut truth, coco) = ground_truth(arguments, skipped)?;
        let left_out = arguments.limit.map(|limit| truth.keep_first(limit.get())).unwrap_or_default();
        if truth.images().is_empty() {
            complain!("warning: the set has no image");
        }
        if let Some(folder) = &arguments.save_detections {
            // Now rather than after a long run.
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let continuous = coco.is_some();
        let mut inputs = match &arguments.detections {
            Some(path) => {
                let (mut found, scene) = detections(path, &arguments.split, coco.as_ref(), skipped)?;
                found.remove_images(&left_out);
                let scene = scene.filter(|_| left_out.is_empty());
                Self { truth, found, failed: Vec::new(), scene, continuous, detector: None }
            }
            None => {
                let run = run_detector::detect_all(arguments, &truth, skipped)?;
                let (found, failed, detector) = (run.found, run.failed, Some(run.detector));
                Self { truth, found, failed, scene: None, continuous, detector }
            }
        };
        inputs.weigh_classes(skipped)?;
        if let Some(folder) = &arguments.save_detections {
            inputs.found.write_devkit(folder, &arguments.split)?;
            crate::journal::remove(folder)?;
        }
        Ok(inputs)
    }

    /// A class without a counterpart is legal and most often a slip of the pen.
    fn weigh_classes(&mut self, skipped: &mut Skipped) -> anyhow::Result<()> {
        let one_sided = |these: &[String], others: &[String]| {
            these.iter().filter(|class| !others.contains(class)).cloned().collect::<Vec<_>>().join(", ")
        };
        let unknown = one_sided(self.found.classes(), self.truth.classes());
        // Our own detectors know classes that a small set need not have.
        if !unknown.is_empty() && self.detector.is_none() {
            complain!("warning: no object of the set is called {unknown}: left out of the means");
            skipped.meet(Oddity::UnknownClass, || Error::Name {
                what: "class",
                name: unknown,
                reason: "no object of the set is called so",
            })?;
        }
        let missing = one_sided(self.truth.classes(), self.found.classes());
        if !missing.is_empty() {
            complain!("warning: no detections are given for {missing}: scored as nothing found");
        }
        Ok(())
    }
}

fn ground_truth(arguments: &Run, skipped: &mut Skipped) -> anyhow::Result<(Dataset, Option<CocoTruth>)> {
    if let Some(file) = &arguments.annotations {
        let coco = CocoTruth::read(file)?;
        let mut truth = coco.dataset().with_context(|| format!("reading {}", file.display()))?;
        if let Some(folder) = &arguments.pictures {
            let pictures = (0..truth.images().len()).map(|image| coco.picture(image, folder)).collect();
            truth.set_pictures(pictures);
        }
        return Ok((truth, Some(coco)));
    }
    let root = arguments.voc.as_deref().unwrap_or(Path::new("."));
    let split = &arguments.split;
    let truth = Dataset::open(root, split, skipped).with_context(|| {
        format!("reading {} (split {split:?}, where it is a tree with ImageSets)", root.display())
    })?;
    Ok((truth, None))
}

fn detections(
    path: &Path,
    split: &str,
    coco: Option<&CocoTruth>,
    skipped: &mut Skipped,
) -> anyhow::Result<(Detections, Option<Scene>)> {
    if let (Format::CocoResults, Some(coco)) = (Format::of(path)?, coco) {
        let (found, scene) = coco.read_results(path, skipped)?;
        return Ok((found, Some(scene)));
    }
    Ok((Detections::read(path, split, skipped)?, None))
}
