//! The real thing behind the traits of [`engine`](crate::engine): the detector crate.

use std::sync::Arc;

use sandglass_detector::source::{FrameSource, OpenOptions, camera};
use sandglass_detector::{Detections, Detector, Device, Error, Frame, models, source};

use crate::engine::{Backend, CameraEntry, Engine, ModelChoice};
use crate::settings::Thresholds;
use crate::state::ModelInfo;

/// Pictures a second of a folder.
const PICTURE_RATE: f64 = 0.5;

/// Detectors and sources of the detector crate.
#[derive(Clone, Copy, Debug, Default)]
pub struct DetectorBackend {
    /// Where detectors run.
    pub device: Device,
}

impl Backend for DetectorBackend {
    fn models(&self) -> Vec<ModelInfo> {
        let info = |model: models::Model| ModelInfo {
            name: model.name,
            parameters: model.parameters,
            multiply_adds: model.multiply_adds,
            trained: model.trained,
            preliminary: model.preliminary,
            family: model.family,
            top1: model.published.map(|published| published.top1),
            map: model.map.filter(|map| *map > 0.0),
        };
        models::all().into_iter().map(info).collect()
    }

    fn build(&self, choice: &ModelChoice) -> Result<Box<dyn Engine>, Error> {
        let mut builder = Detector::builder().device(self.device).threads(choice.threads);
        if let Some(backbone) = &choice.backbone {
            builder = builder.backbone(backbone);
        }
        if let Some(weights) = &choice.weights {
            builder = builder.weights(weights);
        }
        Ok(Box::new(builder.build()?))
    }

    fn open(&self, name: &str, format: Option<&str>) -> Result<Box<dyn FrameSource>, Error> {
        let camera = format.map(str::parse).transpose()?.unwrap_or_default();
        source::open_with(name, &OpenOptions { camera, picture_rate: Some(PICTURE_RATE) })
    }

    fn cameras(&self) -> Result<Vec<CameraEntry>, Error> {
        let entry =
            |info: camera::CameraInfo| CameraEntry { source: format!("camera:{}", info.id), name: info.name };
        Ok(camera::cameras()?.into_iter().map(entry).collect())
    }

    fn formats(&self, camera: &str) -> Result<Vec<String>, Error> {
        let id = camera.strip_prefix("camera:").unwrap_or("");
        let text = |f: &camera::CameraFormat| format!("{}x{}@{}:{}", f.width, f.height, f.rate, f.encoding);
        // The largest first: that is what people look for.
        Ok(camera::formats(id)?.iter().rev().map(text).collect())
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

    fn classes(&self) -> Vec<Arc<str>> {
        self.classes().iter().skip(1).cloned().collect()
    }

    fn detect(&mut self, frame: &Frame, thresholds: &Thresholds) -> Result<Detections, Error> {
        let settings = self.settings_mut();
        settings.score_threshold = thresholds.score;
        settings.iou_threshold = thresholds.iou;
        settings.max_detections = thresholds.max_detections;
        let found = Self::detect(self, frame);
        if found.is_err() && self.device() != Device::Cpu {
            // A GPU that failed: this frame is lost, and the next ones are the CPU's.
            self.switch_device(Device::Cpu)?;
        }
        found
    }
}
