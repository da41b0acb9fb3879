//! A program's launches as a graph of the driver's, which one call replays.

#![expect(unsafe_code, reason = "the driver's interface is C")]

use std::collections::HashMap;
use std::ffi::{c_uint, c_void};
use std::ptr::{null, null_mut};

use cudarc::driver::{result, sys};

use super::driver::{Device, failed};
use super::program::{Argument, BufferId, Launch, Program};
use crate::error::Error;

/// A stream and a graph on it, ended together.
pub(super) struct Graph {
    pub(super) device: Device,
    pub(super) stream: sys::CUstream,
    graph: sys::CUgraph,
    pub(super) executable: sys::CUgraphExec,
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

/// All launches of a program, each with those before it that it has to wait for.
pub(super) fn graph(
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
