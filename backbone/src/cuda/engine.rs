//! The engine: a plan's schedule on a device.

use std::sync::Arc;

use super::driver::Device;
use super::kernels::KERNELS;
use super::runner::Runner;
use super::schedule::{InputKind, Precision, Schedule, ScheduleOptions};
use crate::engine::Engine;
use crate::error::Error;
use crate::plan::Plan;

/// How a [`CudaEngine`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaOptions {
    /// What maps are stored in; none for what the plan runs fastest in ([`Precision::of`]).
    pub precision: Option<Precision>,
    /// Pictures at a time: inputs and outputs are those of all of them, one after the other.
    pub batch: usize,
    /// Whether steps share launches; without it slower, for comparison.
    pub fused: bool,
}

impl Default for CudaOptions {
    fn default() -> Self {
        Self { precision: None, batch: 1, fused: true }
    }
}

/// Runs a plan on an NVIDIA GPU.
pub struct CudaEngine {
    device: Device,
    plan: Arc<Plan>,
    options: CudaOptions,
    precision: Precision,
    /// For pixels and for values, each made when it is first wanted.
    runners: [Option<Runner>; 2],
    /// Which of them ran last.
    last: usize,
}

impl CudaEngine {
    /// Makes a plan ready on a device.
    ///
    /// # Errors
    /// [`Error::Plan`] where the plan or the batch cannot be run, and those of [`Runner::new`].
    pub fn new(device: &Device, plan: Plan, options: CudaOptions) -> Result<Self, Error> {
        let precision = options.precision.unwrap_or(Precision::of(&plan));
        let (device, plan) = (device.clone(), Arc::new(plan));
        let mut engine = Self { device, plan, options, precision, runners: [None, None], last: 0 };
        // What cannot be run is said now and not at the first frame.
        engine.runner(InputKind::Pixels)?;
        Ok(engine)
    }

    fn runner(&mut self, input: InputKind) -> Result<&mut Runner, Error> {
        self.last = usize::from(input == InputKind::Values);
        let slot = &mut self.runners[self.last];
        match slot {
            Some(runner) => Ok(runner),
            None => {
                let CudaOptions { batch, fused, .. } = self.options;
                let precision = self.precision;
                let limits = self.device.limits();
                let options = ScheduleOptions { precision, batch, input, limits, fused };
                let Schedule { program, input, outputs } = Schedule::new(&self.plan, options)?;
                let sources = [(KERNELS, precision)];
                Ok(slot.insert(Runner::new(&self.device, &program, &sources, &[input], &outputs)?))
            }
        }
    }

    /// Runs the network on pictures that are pixels already on their way: fill [`CudaEngine::pixels_mut`] first.
    ///
    /// # Errors
    /// As [`Engine::run_pixels`].
    pub fn run_filled(&mut self) -> Result<(), Error> {
        self.runner(InputKind::Pixels)?.run()
    }

    /// The input in pinned memory, a byte a channel.
    ///
    /// # Errors
    /// As [`CudaEngine::new`].
    pub fn pixels_mut(&mut self) -> Result<&mut [u8], Error> {
        Ok(self.runner(InputKind::Pixels)?.input_mut(0))
    }

    /// See [`Runner::time`]: the network alone, on pixels.
    ///
    /// # Errors
    /// As [`Engine::run_pixels`].
    pub fn time(&mut self, count: usize) -> Result<f64, Error> {
        self.runner(InputKind::Pixels)?.time(count)
    }

    /// Memory taken on the device, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.runners.iter().flatten().map(Runner::bytes).sum()
    }

    fn run_bytes(&mut self, kind: InputKind, got: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), Error> {
        let expected = self.plan.input().len() * self.options.batch;
        if got != expected {
            return Err(Error::InputSize { got, expected });
        }
        let runner = self.runner(kind)?;
        fill(runner.input_mut(0));
        runner.run()
    }
}

impl Engine for CudaEngine {
    fn describe(&self) -> String {
        let bits = self.precision.bytes() * 8;
        let capability = self.device.capability();
        format!("{}, compute {}.{}, {bits} bits", self.device.name(), capability / 10, capability % 10)
    }

    fn run(&mut self, input: &[f32]) -> Result<(), Error> {
        self.run_bytes(InputKind::Values, input.len(), |bytes| {
            for (to, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(input) {
                *to = value.to_ne_bytes();
            }
        })
    }

    fn run_pixels(&mut self, pixels: &[u8]) -> Result<(), Error> {
        self.run_bytes(InputKind::Pixels, pixels.len(), |bytes| bytes.copy_from_slice(pixels))
    }

    /// The device has copies of the weights for the twin; threads mean nothing here.
    fn twin(&self, _threads: usize) -> Result<Box<dyn Engine>, Error> {
        Ok(Box::new(Self::new(&self.device, (*self.plan).clone(), self.options)?))
    }

    fn output(&self, index: usize) -> &[f32] {
        self.runners[self.last].as_ref().map_or(&[], |runner| runner.result_values(index))
    }
}
