//! What one frame at a time uses, from its pixels to its objects: on the CPU an engine and our code around it, on a
//! GPU all in one.

use std::time::Instant;

#[cfg(feature = "cuda")]
use sandglass_backbone::cuda;
use sandglass_backbone::{CpuEngine, Engine, Plan};

#[cfg(feature = "cuda")]
use crate::cuda::{BATCH, CudaDetector};
use crate::detections::Timing;
use crate::error::Error;
use crate::frame::FrameView;
use crate::heads::{BOX_DELTAS, CLASS_LOGITS, INPUT_SIZE};
use crate::nms::Scored;
use crate::postprocess::{Outputs, Postprocessor};
use crate::preprocess::Preprocessor;
use crate::settings::{Device, Settings};

/// Bytes of the network's input.
pub(crate) const INPUT_BYTES: usize = INPUT_SIZE * INPUT_SIZE * 3;

pub(crate) struct Work {
    preprocessor: Preprocessor,
    pub(crate) backend: Backend,
}

/// What runs the network.
#[cfg_attr(
    feature = "cuda",
    expect(clippy::large_enum_variant, reason = "there is one for each thread, in its place for good")
)]
pub(crate) enum Backend {
    Engine {
        engine: Box<dyn Engine>,
        input: Vec<u8>,
        postprocessor: Postprocessor,
    },
    #[cfg(feature = "cuda")]
    Cuda {
        detector: CudaDetector,
        found: Vec<Scored>,
    },
}

/// A network made ready, where, and why not where it was to be.
pub(crate) struct Prepared {
    pub(crate) work: Work,
    pub(crate) device: Device,
    /// For people.
    pub(crate) description: String,
    /// Why it is the CPU although any device would do.
    pub(crate) fallback: Option<Error>,
}

impl Work {
    fn new(backend: Backend) -> Self {
        Self { preprocessor: Preprocessor::new(INPUT_SIZE), backend }
    }

    /// Around an engine that takes pixels.
    pub(crate) fn of_engine(engine: Box<dyn Engine>, classes: usize) -> Self {
        let (input, postprocessor) = (vec![0; INPUT_BYTES], Postprocessor::new(classes));
        Self::new(Backend::Engine { engine, input, postprocessor })
    }

    /// Makes a plan that takes pixels ready on a device. Any device there is will do for [`Device::Auto`].
    #[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "the CPU asks for no settings"))]
    pub(crate) fn prepare(
        device: Device,
        plan: Plan,
        classes: usize,
        threads: usize,
        settings: &Settings,
    ) -> Result<Prepared, Error> {
        let fallback = match device {
            Device::Cpu => None,
            #[cfg(feature = "cuda")]
            Device::Cuda(index) => {
                let gpu = cuda::Device::open(index)?;
                return Self::on_gpu(index, gpu, plan, classes, settings);
            }
            #[cfg(feature = "cuda")]
            Device::Auto => match cuda::Device::open(0) {
                Ok(gpu) => match Self::on_gpu(0, gpu, plan.clone(), classes, settings) {
                    Ok(prepared) => return Ok(prepared),
                    Err(error) => Some(error),
                },
                Err(error) => Some(error.into()),
            },
            #[cfg(not(feature = "cuda"))]
            Device::Auto => None,
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(_) => {
                let reason = "this program was built without CUDA; choose the device cpu or auto";
                return Err(Error::Device(reason.into()));
            }
        };
        let engine = CpuEngine::new(plan, threads)?;
        let description = engine.describe();
        let work = Self::of_engine(Box::new(engine), classes);
        Ok(Prepared { work, device: Device::Cpu, description, fallback })
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(
        index: usize,
        gpu: cuda::Device,
        plan: Plan,
        classes: usize,
        settings: &Settings,
    ) -> Result<Prepared, Error> {
        let detector = CudaDetector::new(gpu, plan, classes, settings)?;
        let description = detector.describe();
        let work = Self::new(Backend::Cuda { detector, found: Vec::new() });
        Ok(Prepared { work, device: Device::Cuda(index), description, fallback: None })
    }

    /// Another one that can run beside this one, on one thread of the CPU; a GPU has but one.
    pub(crate) fn twin(&self, classes: usize) -> Result<Option<Self>, Error> {
        match &self.backend {
            Backend::Engine { engine, .. } => Ok(Some(Self::of_engine(engine.twin(1)?, classes))),
            #[cfg(feature = "cuda")]
            Backend::Cuda { .. } => Ok(None),
        }
    }

    /// The objects of a frame, best first, with boxes in the pixels of what it stands for. `allowed` tells by class whether it is looked
    /// for.
    pub(crate) fn run(
        &mut self,
        frame: FrameView<'_>,
        allowed: &[bool],
        settings: &Settings,
    ) -> Result<(&[Scored], Timing), Error> {
        let size = frame.full_size();
        let begin = Instant::now();
        let (prepared, computed, found): (_, _, &[Scored]) = match &mut self.backend {
            Backend::Engine { engine, input, postprocessor } => {
                self.preprocessor.run(frame, input);
                let prepared = Instant::now();
                engine.run_pixels(input)?;
                let computed = Instant::now();
                let (logits, deltas) = (engine.output(CLASS_LOGITS), engine.output(BOX_DELTAS));
                let found = postprocessor.run(Outputs { logits, deltas, size }, allowed, settings);
                (prepared, computed, found)
            }
            #[cfg(feature = "cuda")]
            Backend::Cuda { detector, found } => {
                self.preprocessor.run(frame, detector.pixels(1, settings)?);
                let prepared = Instant::now();
                detector.run(1, &[size], allowed, settings)?;
                let computed = Instant::now();
                found.clear();
                found.extend(detector.found(1, 0));
                (prepared, computed, found)
            }
        };
        let timing = Timing {
            preprocess: prepared - begin,
            network: computed - prepared,
            postprocess: computed.elapsed(),
        };
        Ok((found, timing))
    }

    /// As [`Work::run`] for any number of frames, several at a time on a GPU; `tell` gets what was found in each, in
    /// their order. `threads` prepare the pictures.
    #[cfg(feature = "cuda")]
    pub(crate) fn run_many(
        &mut self,
        frames: &[FrameView<'_>],
        threads: usize,
        allowed: &[bool],
        settings: &Settings,
        mut tell: impl FnMut(FrameView<'_>, &[Scored], Timing),
    ) -> Result<(), Error> {
        let Backend::Cuda { detector, found } = &mut self.backend else {
            for &frame in frames {
                let (found, timing) = self.run(frame, allowed, settings)?;
                tell(frame, found, timing);
            }
            return Ok(());
        };
        for frames in frames.chunks(BATCH) {
            let begin = Instant::now();
            let pixels = detector.pixels(BATCH, settings)?;
            let share = frames.len().div_ceil(threads.max(1));
            std::thread::scope(|scope| {
                for (frames, pixels) in frames.chunks(share).zip(pixels.chunks_mut(share * INPUT_BYTES)) {
                    scope.spawn(move || {
                        let mut preprocessor = Preprocessor::new(INPUT_SIZE);
                        for (&frame, pixels) in frames.iter().zip(pixels.chunks_exact_mut(INPUT_BYTES)) {
                            preprocessor.run(frame, pixels);
                        }
                    });
                }
            });
            let prepared = Instant::now();
            let sizes: Vec<_> = frames.iter().map(FrameView::full_size).collect();
            detector.run(BATCH, &sizes, allowed, settings)?;
            let computed = Instant::now();
            let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
            for (picture, &frame) in frames.iter().enumerate() {
                found.clear();
                found.extend(detector.found(BATCH, picture));
                let timing = Timing {
                    preprocess: (prepared - begin) / count,
                    network: (computed - prepared) / count,
                    postprocess: std::time::Duration::ZERO,
                };
                tell(frame, found, timing);
            }
        }
        Ok(())
    }
}
