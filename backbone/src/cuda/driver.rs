//! All that knows the driver: a device, its memory, modules of kernels, and programs as graphs.

#![expect(unsafe_code, reason = "the driver's interface is C")]

use std::collections::HashMap;
use std::ffi::{CString, c_uint, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError, result, sys};

use super::kernels::Source;
use super::module::Module;
use super::program::{Argument, BufferId, Contents, Launch, Program};
use super::schedule::{Limits, Precision};
use crate::error::Error;

/// An NVIDIA GPU. Clones are the same one.
#[derive(Clone)]
pub struct Device {
    context: Arc<CudaContext>,
    name: String,
    capability: u32,
    limits: Limits,
}

/// What the driver says, with what was tried.
pub(super) fn failed(action: impl Into<String>) -> impl FnOnce(DriverError) -> Error {
    let action = action.into();
    move |error| Error::Cuda { action, reason: describe(error) }
}

pub(super) fn describe(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, _>| text.map(|t| t.to_string_lossy().into_owned());
    match (text(error.error_name()), text(error.error_string())) {
        (Ok(name), Ok(words)) => format!("{words} ({name})"),
        _ => format!("{error:?}"),
    }
}

impl Device {
    /// Oldest driver interface in use, as the driver counts versions: 12.0.
    const DRIVER: i32 = 12_000;

    /// The device of this number.
    ///
    /// # Errors
    /// [`Error::NoCudaDriver`], [`Error::NoCudaDevice`], [`Error::Cuda`] where the driver is too old or fails.
    pub fn open(index: usize) -> Result<Self, Error> {
        // SAFETY: loading the driver's library runs its initialisers, as any program that uses it does.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::NoCudaDriver);
        }
        let mut version = 0;
        // SAFETY: the function writes one number.
        unsafe { sys::cuDriverGetVersion(&mut version) }
            .result()
            .map_err(failed("asking the driver's version"))?;
        if version < Self::DRIVER {
            let reason = format!(
                "the driver knows CUDA {}.{}, and 12.0 is needed; update it",
                version / 1000,
                version % 1000 / 10
            );
            return Err(Error::Cuda { action: "asking the driver's version".into(), reason });
        }
        let missing = |count: usize, reason: String| Error::NoCudaDevice { index, count, reason };
        result::init().map_err(|error| missing(0, describe(error)))?;
        let count = CudaContext::device_count().map_err(|error| missing(0, describe(error)))?;
        let count = usize::try_from(count).unwrap_or(0);
        if index >= count {
            return Err(missing(count, "devices count from 0".into()));
        }
        let context = CudaContext::new(index).map_err(failed(format!("opening cuda:{index}")))?;
        let ask = |attribute| {
            let value = context.attribute(attribute).map_err(failed("asking what the device can do"))?;
            Ok::<_, Error>(usize::try_from(value).unwrap_or(0))
        };
        use sys::CUdevice_attribute as A;
        let limits = Limits {
            // A little is left for what kernels have beside the memory that a launch asks for.
            shared: ask(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?.saturating_sub(1024),
            multiprocessors: ask(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        };
        let (major, minor) = context.compute_capability().map_err(failed("asking what the device can do"))?;
        let capability = u32::try_from(major * 10 + minor).unwrap_or(0);
        let name = context.name().map_err(failed("asking the device's name"))?;
        Ok(Self { name, capability, limits, context })
    }

    /// What it is called, such as `NVIDIA H200`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its compute capability × 10.
    #[must_use]
    pub fn capability(&self) -> u32 {
        self.capability
    }

    /// What it has.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Memory in bytes: free, and in all.
    ///
    /// # Errors
    /// [`Error::Cuda`] where the driver fails.
    pub fn memory(&self) -> Result<(usize, usize), Error> {
        self.bind()?;
        result::mem_get_info().map_err(failed("asking for free memory"))
    }

    pub(super) fn bind(&self) -> Result<(), Error> {
        self.context.bind_to_thread().map_err(failed("using the device from this thread"))
    }
}

/// Memory of the device, freed at the end.
struct Memory {
    device: Device,
    address: sys::CUdeviceptr,
}

impl Memory {
    /// Zeros.
    fn new(device: &Device, bytes: usize) -> Result<Self, Error> {
        let fail = || failed(format!("taking {:.1} MB of the device's memory", bytes as f64 / 1e6));
        // SAFETY: the context is bound; what was taken is given back in `drop`.
        let address = unsafe { result::malloc_sync(bytes.max(1)) }.map_err(fail())?;
        let memory = Self { device: device.clone(), address };
        // SAFETY: so many bytes were just taken.
        unsafe { result::memset_d8_sync(memory.address, 0, bytes) }.map_err(fail())?;
        Ok(memory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: taken in `new`; nothing uses it any more. Where the device is lost, so is its memory.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Pinned memory of the host: the device copies from and to it by itself.
struct Pinned {
    device: Device,
    start: *mut u8,
    bytes: usize,
}

impl Pinned {
    fn new(device: &Device, bytes: usize) -> Result<Self, Error> {
        // SAFETY: the context is bound; what was taken is given back in `drop`.
        let start = unsafe { result::malloc_host(bytes.max(1), 0) }
            .map_err(failed(format!("taking {bytes} bytes of pinned memory")))?
            .cast::<u8>();
        // SAFETY: so many bytes were just taken.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { device: device.clone(), start, bytes })
    }

    fn as_slice(&self) -> &[u8] {
        // SAFETY: so many bytes, written by `new`, are there until `drop`; the device writes them during
        // `Runner::run` alone, for which the runner is borrowed mutably.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: taken in `new`; nothing uses it any more.
            let _ = unsafe { result::free_host(self.start.cast()) };
        }
    }
}

/// A stream and a graph on it, ended together.
struct Graph {
    device: Device,
    stream: sys::CUstream,
    graph: sys::CUgraph,
    executable: sys::CUgraphExec,
}

impl Graph {
    fn new(device: &Device) -> Result<Self, Error> {
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(failed("making a stream"))?;
        let mut own = Self { device: device.clone(), stream, graph: null_mut(), executable: null_mut() };
        // SAFETY: the function writes the graph's handle.
        unsafe { sys::cuGraphCreate(&mut own.graph, 0) }.result().map_err(failed("making a graph"))?;
        Ok(own)
    }

    /// Adds a launch that begins when those of `after` are done.
    fn add(
        &mut self,
        launch: &Launch,
        function: sys::CUfunction,
        arguments: &mut [u64],
        after: &[sys::CUgraphNode],
    ) -> Result<sys::CUgraphNode, Error> {
        let mut pointers: Vec<*mut c_void> =
            arguments.iter_mut().map(|argument| std::ptr::from_mut(argument).cast()).collect();
        let [x, y, z] = launch.grid;
        let parameters = sys::CUDA_KERNEL_NODE_PARAMS {
            func: function,
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: Launch::THREADS,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: c_uint::try_from(launch.shared).unwrap_or(c_uint::MAX),
            kernelParams: pointers.as_mut_ptr(),
            extra: null_mut(),
            kern: null_mut(),
            ctx: null_mut(),
        };
        let mut node = null_mut();
        let first = if after.is_empty() { null() } else { after.as_ptr() };
        // SAFETY: the driver copies the arguments, of which there are as many as the kernel takes, 8 bytes each
        // or the first 4 of them; the nodes are of this graph.
        let outcome = unsafe {
            sys::cuGraphAddKernelNode_v2(&mut node, self.graph, first, after.len(), &raw const parameters)
        };
        outcome.result().map_err(failed(format!("adding {} ({})", launch.kernel, launch.label)))?;
        Ok(node)
    }

    fn finish(&mut self) -> Result<(), Error> {
        // SAFETY: the graph is whole; the function writes the handle of what can be launched.
        unsafe { sys::cuGraphInstantiateWithFlags(&mut self.executable, self.graph, 0) }
            .result()
            .map_err(failed("making the graph ready"))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.device.bind().is_err() {
            return;
        }
        // SAFETY: the handles are this graph's own, and what is null was not made. What fails here has failed
        // before, and was reported.
        unsafe {
            let _ = result::stream::synchronize(self.stream);
            if !self.executable.is_null() {
                let _ = result::graph::exec_destroy(self.executable);
            }
            if !self.graph.is_null() {
                let _ = result::graph::destroy(self.graph);
            }
            let _ = result::stream::destroy(self.stream);
        }
    }
}

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
                Module::shared(source, *precision, device.context.ordinal(), device.capability)
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
        let module = modules.iter().find(|module| module.kernels().contains(&kernel));
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

fn graph(
    device: &Device,
    program: &Program,
    functions: &HashMap<String, sys::CUfunction>,
    address: &impl Fn(BufferId) -> u64,
) -> Result<Graph, Error> {
    let mut graph = Graph::new(device)?;
    let mut nodes = Vec::new();
    for (launch, before) in program.launches.iter().zip(program.dependencies()) {
        let value = |argument: &Argument| match *argument {
            Argument::Read(id) | Argument::Write(id) | Argument::Part(id) | Argument::Update(id) => {
                address(id)
            }
            Argument::Null => 0,
            Argument::Int(value) => u64::from(value.cast_unsigned()),
            Argument::Float(value) => u64::from(value.to_bits()),
        };
        let mut arguments: Vec<u64> = launch.arguments.iter().map(value).collect();
        let after: Vec<_> = before.iter().map(|&index| nodes[index]).collect();
        let function = functions.get(launch.kernel.as_ref()).copied().unwrap_or(null_mut());
        nodes.push(graph.add(launch, function, &mut arguments, &after)?);
    }
    graph.finish()?;
    Ok(graph)
}

/// The name of a kernel as the driver takes it.
pub(super) fn c_name(name: &str) -> Result<CString, Error> {
    CString::new(name).map_err(|_| Error::CudaKernel {
        kernel: name.replace('\0', "␀"),
        reason: "its name ends in the middle".into(),
        log: String::new(),
    })
}
