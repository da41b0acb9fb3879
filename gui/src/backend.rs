//! The real thing behind the traits of [`engine`](crate::engine): the detector crate.

use sandglass_detector::source::FrameSource;
use sandglass_detector::{Detections, Detector, Error, Frame, models, source};

use crate::engine::{Backend, Engine, ModelChoice};
use crate::settings::Thresholds;
use crate::state::ModelInfo;

/// Detectors and sources of the detector crate.
#[derive(Clone, Debug, Default)]
pub struct DetectorBackend {
    /// Threads that work on one frame; 0 for one a processor.
    pub threads: usize,
}

impl Backend for DetectorBackend {
    fn models(&self) -> Vec<ModelInfo> {
        let info = |model: models::Model| ModelInfo {
            name: model.name,
            parameters: model.parameters,
            multiply_adds: model.multiply_adds,
            trained: model.trained,
            map: model.map.filter(|map| *map > 0.0),
        };
        models::all().into_iter().map(info).collect()
    }

    fn build(&self, choice: &ModelChoice) -> Result<Box<dyn Engine>, Error> {
        let mut builder = Detector::builder().threads(self.threads);
        if let Some(backbone) = &choice.backbone {
            builder = builder.backbone(backbone);
        }
        if let Some(weights) = &choice.weights {
            builder = builder.weights(weights);
        }
        Ok(Box::new(builder.build()?))
    }

    fn open(&self, name: &str) -> Result<Box<dyn FrameSource>, Error> {
        source::open(name)
    }
}

impl Engine for Detector {
    fn backbone(&self) -> String {
        self.backbone().to_string()
    }

    fn is_trained(&self) -> bool {
        self.is_trained()
    }

    fn describe(&self) -> String {
        self.engine().to_owned()
    }

    fn detect(&mut self, frame: &Frame, thresholds: &Thresholds) -> Result<Detections, Error> {
        let settings = self.settings_mut();
        settings.score_threshold = thresholds.score;
        settings.iou_threshold = thresholds.iou;
        settings.max_detections = thresholds.max_detections;
        Self::detect(self, frame)
    }
}
