//! MobileNeXt and its relatives as data, with the engines that run them.
//!
//! A [`Network`] is a list of typed operations over named weights, written by an architecture
//! ([`Backbone`]). [`Plan`] makes it ready for one input size, [`CpuEngine`] runs the plan:
//!
//! ```
//! use sandglass_backbone::{Backbone, CpuEngine, Engine, Plan, Weights};
//!
//! let backbone: Backbone = "mobilenext-0.35".parse()?;
//! let network = backbone.classifier(1000);
//! let weights = Weights::untrained(&network); // or Weights::open(path)
//! let mut engine = CpuEngine::new(Plan::new(&network, &weights, 224, 224)?, 1)?;
//! engine.run(&vec![0.0; 224 * 224 * 3])?;
//! assert_eq!(engine.output(0).len(), 1000);
//! # Ok::<(), sandglass_backbone::Error>(())
//! ```

mod architecture;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod engine;
mod error;
pub mod network;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod plan;
pub mod quantise;
pub mod quantised;
#[cfg(feature = "candle")]
pub mod reference;
pub mod weights;

pub use architecture::{Backbone, FAMILIES, Family, Published};
pub use cpu::{ChainTime, CpuEngine, CpuOptions, Footprint, InstructionSet};
pub use engine::Engine;
pub use error::Error;
pub use network::{Network, NetworkBuilder};
pub use plan::Plan;
pub use weights::{ModelInfo, Normalisation, Weights};
