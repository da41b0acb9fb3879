//! The CUDA engine: runs a plan on an NVIDIA GPU with our own kernels.
//!
//! A [`Plan`](crate::Plan) becomes a [`Schedule`] of launches (`schedule.rs`, in tiles of `tiles.rs`); these become a graph of the
//! driver's, which one call replays (`runner.rs`). The kernels are in `kernels/`, a file each,
//! and ship as PTX; nothing is needed to build, and a driver alone to run.

mod driver;
mod engine;
mod graph;
mod kernels;
mod memory;
mod module;
mod packing;
mod program;
mod runner;
mod schedule;
mod tiles;

#[cfg(feature = "emulation")]
pub mod emulation;

pub use driver::Device;
pub use engine::{CudaEngine, CudaOptions};
pub use kernels::{COMMON, KERNELS, Source, architectures};
pub use program::{Argument, Buffer, BufferId, Contents, Launch, Placement, Program};
pub use runner::Runner;
pub use schedule::{InputKind, Limits, Precision, Schedule, ScheduleOptions};
