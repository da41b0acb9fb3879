//! The one error type of this crate.

use std::path::PathBuf;

/// What can go wrong between a network's name and its outputs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A backbone name that is not known.
    #[error("no backbone is called {name:?}; there are: {known}; and other widths from 0.1 to 4.0")]
    UnknownBackbone {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A network that does not fit together, or an input size it cannot take.
    #[error("network {network}: {reason}")]
    Network {
        /// The network's name.
        network: String,
        /// What is wrong.
        reason: String,
    },
    /// A weights file that cannot be read at all.
    #[error("{}: {reason}", path.display())]
    WeightsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Weights that do not fit a network; every mismatch is listed, one a line.
    #[error("{}: the weights do not fit {network}:\n  {}", path.display(), problems.join("\n  "))]
    WeightsMismatch {
        /// The file.
        path: PathBuf,
        /// The network's name.
        network: String,
        /// One line for each tensor that is missing, left over, of another shape or dtype, or not finite.
        problems: Vec<String>,
    },
    /// A plan whose parts do not fit together; those of [`Plan::new`](crate::Plan::new) always do.
    #[error("the plan cannot be run: step {step}: {reason}")]
    Plan {
        /// The name of the step's weights.
        step: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// An input of another size than the engine was planned for.
    #[error("the input has {got} values, the network was planned for {expected}")]
    InputSize {
        /// Values that came.
        got: usize,
        /// Values it takes.
        expected: usize,
    },
    /// The operating system refused a thread.
    #[error("cannot start a worker thread: {0}")]
    Thread(std::io::Error),
    /// There is no NVIDIA driver on this machine.
    #[cfg(feature = "cuda")]
    #[error("no NVIDIA driver was found (libcuda); install one, or choose the device cpu")]
    NoCudaDriver,
    /// There is a driver, but not the device asked for.
    #[cfg(feature = "cuda")]
    #[error("the NVIDIA driver knows {count} devices, and cuda:{index} is not among them ({reason})")]
    NoCudaDevice {
        /// The number asked for.
        index: usize,
        /// How many there are.
        count: usize,
        /// What the driver says.
        reason: String,
    },
    /// A kernel that could not be compiled or loaded.
    #[cfg(feature = "cuda")]
    #[error("the CUDA kernel {kernel} cannot be loaded: {reason}\n{log}")]
    CudaKernel {
        /// Its name, or that of its source.
        kernel: String,
        /// What the driver says.
        reason: String,
        /// What the compiler said.
        log: String,
    },
    /// The device or its driver failed. The next frame may fail, too; the CPU is always there.
    #[cfg(feature = "cuda")]
    #[error("CUDA: {action}: {reason}")]
    Cuda {
        /// What was tried.
        action: String,
        /// What the driver says.
        reason: String,
    },
    /// candle reported an error.
    #[cfg(feature = "candle")]
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
}
