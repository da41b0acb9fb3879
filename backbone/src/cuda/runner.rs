//! A program on a device, run again and again.

#![expect(unsafe_code, reason = "the driver's interface is C")]

use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::{result, sys};

use super::driver::{Device, failed};
use super::graph::{Graph, graph};
use super::kernels::Source;
use super::memory::{Memory, Pinned};
use super::module::Module;
use super::program::{BufferId, Contents, Program};
use super::schedule::Precision;
use crate::error::Error;

/// A program on a device, ready to run again and again: memory is taken once, and one call replays all
/// launches.
pub struct Runner {
    // Dropped in this order: the graph waits for the device, and uses the memory and the modules.
    graph: Graph,
    memory: Memory,
    _modules: Vec<Arc<Module>>,
    inputs: Vec<(Pinned, usize)>,
    results: Vec<(Pinned, usize)>,
    /// Whether the results are those of a whole run.
    valid: bool,
    bytes: usize,
}

// SAFETY: handles and pinned memory belong to this runner alone, and the driver takes them from any thread to which
// the context is bound, as every use does first.
unsafe impl Send for Runner {}

impl Runner {
    /// Makes a program ready on `device`. Its kernels are in `sources`; before each run `inputs` are copied to
    /// the device, after it `results` from there.
    ///
    /// # Errors
    /// [`Error::Plan`] where the program does not fit together, [`Error::CudaKernel`] where a kernel is not there
    /// or cannot be loaded, [`Error::Cuda`] where the driver fails, such as for lack of memory.
    pub fn new(
        device: &Device,
        program: &Program,
        sources: &[(Source, Precision)],
        inputs: &[BufferId],
        results: &[BufferId],
    ) -> Result<Self, Error> {
        program.check()?;
        device.bind()?;
        let modules = sources
            .iter()
            .map(|(source, precision)| {
                Module::shared(source, *precision, device.ordinal(), device.capability())
            })
            .collect::<Result<Vec<_>, _>>()?;
        let functions = functions(program, &modules)?;
        let placement = program.placement();
        let memory = Memory::new(device, placement.bytes)?;
        let address = |BufferId(index): BufferId| memory.address + placement.offsets[index] as u64;
        for (index, buffer) in program.buffers.iter().enumerate() {
            if let Contents::Constant(bytes) = &buffer.contents {
                // SAFETY: the placement gave the buffer as many bytes.
                unsafe { result::memcpy_htod_sync(address(BufferId(index)), bytes) }
                    .map_err(failed("copying the weights"))?;
            }
        }
        let graph = graph(device, program, &functions, &address)?;
        let pinned = |ids: &[BufferId]| {
            let each = ids.iter().map(|&id| {
                let buffer = program.buffers.get(id.0).filter(|b| b.contents == Contents::Kept);
                let buffer = buffer.ok_or(Error::Plan {
                    step: "the whole".into(),
                    reason: "an input or a result is not a buffer that is kept",
                })?;
                Ok((Pinned::new(device, buffer.bytes)?, placement.offsets[id.0]))
            });
            each.collect::<Result<Vec<_>, Error>>()
        };
        let (inputs, results) = (pinned(inputs)?, pinned(results)?);
        // What was copied and cleared is not ordered with the graph's stream by itself.
        result::ctx::synchronize().map_err(failed("waiting for the weights"))?;
        Ok(Self { graph, memory, _modules: modules, inputs, results, valid: false, bytes: placement.bytes })
    }

    /// An input in pinned memory, to be filled before [`Runner::run`]; empty where there is no such input.
    pub fn input_mut(&mut self, index: usize) -> &mut [u8] {
        self.inputs.get_mut(index).map_or(&mut [], |(pinned, _)| pinned.as_mut_slice())
    }

    /// A result of the last run; empty where there is no such result, or the run failed.
    #[must_use]
    pub fn result(&self, index: usize) -> &[u8] {
        let result = self.results.get(index).filter(|_| self.valid);
        result.map_or(&[], |(pinned, _)| pinned.as_slice())
    }

    /// A result as 32-bit values.
    #[must_use]
    pub fn result_values(&self, index: usize) -> &[f32] {
        // SAFETY: any bits are a value; pinned memory is aligned to pages.
        let (before, values, _) = unsafe { self.result(index).align_to::<f32>() };
        debug_assert!(before.is_empty());
        values
    }

    /// Memory taken on the device, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies the inputs, runs all launches, copies the results, and waits for them.
    ///
    /// # Errors
    /// [`Error::Cuda`] where the device fails; nothing is lost but this run.
    pub fn run(&mut self) -> Result<(), Error> {
        self.valid = false;
        self.graph.device.bind()?;
        let (stream, start) = (self.graph.stream, self.memory.address);
        for (pinned, offset) in &self.inputs {
            // SAFETY: both sides have as many bytes, and stay until the stream was waited for.
            unsafe { result::memcpy_htod_async(start + *offset as u64, pinned.as_slice(), stream) }
                .map_err(failed("copying the input"))?;
        }
        // SAFETY: the graph is whole, and its memory and modules live as long as it.
        unsafe { result::graph::launch(self.graph.executable, stream) }.map_err(failed("launching"))?;
        for (pinned, offset) in &mut self.results {
            // SAFETY: as for the inputs.
            unsafe { result::memcpy_dtoh_async(pinned.as_mut_slice(), start + *offset as u64, stream) }
                .map_err(failed("copying the results"))?;
        }
        // SAFETY: the stream is this runner's own.
        unsafe { result::stream::synchronize(stream) }.map_err(failed("running"))?;
        self.valid = true;
        Ok(())
    }

    /// Runs all launches `count` times without copies, and gives the time of one in seconds as the device's clock
    /// has it: for benchmarks.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn time(&mut self, count: usize) -> Result<f64, Error> {
        self.graph.device.bind()?;
        let fail = || failed("timing");
        let flags = sys::CUevent_flags::CU_EVENT_DEFAULT;
        let events = [(); 2].map(|()| result::event::create(flags));
        let [Ok(begin), Ok(end)] = events else {
            return Err(Error::Cuda {
                action: "timing".into(),
                reason: "there is no event to be had".into(),
            });
        };
        // SAFETY: events and stream are made above and in `new`; the events are ended here.
        unsafe {
            let run = || {
                result::event::record(begin, self.graph.stream)?;
                for _ in 0..count {
                    result::graph::launch(self.graph.executable, self.graph.stream)?;
                }
                result::event::record(end, self.graph.stream)?;
                result::event::synchronize(end)?;
                result::event::elapsed(begin, end)
            };
            let time = run();
            for event in [begin, end] {
                let _ = result::event::destroy(event);
            }
            time.map(|milliseconds| f64::from(milliseconds) / 1e3 / count.max(1) as f64).map_err(fail())
        }
    }
}

/// Every kernel of a program, allowed as much shared memory as its launches want.
fn functions(program: &Program, modules: &[Arc<Module>]) -> Result<HashMap<String, sys::CUfunction>, Error> {
    let mut shared: HashMap<&str, usize> = HashMap::new();
    for launch in &program.launches {
        let most = shared.entry(&launch.kernel).or_default();
        *most = launch.shared.max(*most);
    }
    let mut functions = HashMap::new();
    for (kernel, most) in shared {
        let module = modules.iter().find(|module| module.has(kernel));
        let function = module.ok_or_else(|| Error::CudaKernel {
            kernel: kernel.to_owned(),
            reason: "no source has it".into(),
            log: String::new(),
        })?;
        let function = function.function(kernel)?;
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        // SAFETY: the function belongs to a loaded module.
        unsafe { result::function::set_function_attribute(function, attribute, most) }
            .map_err(failed(format!("giving {kernel} {most} bytes of shared memory")))?;
        functions.insert(kernel.to_owned(), function);
    }
    Ok(functions)
}
