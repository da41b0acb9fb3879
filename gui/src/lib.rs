//! The Sandglass viewer: live object detection in a window.
//!
//! [`state`] holds what is known and decides what follows from what the user does; [`command`] names
//! what can be done; [`worker`] takes frames and looks at them in the background; [`view`] draws;
//! [`app`] wires them. The window's thread never waits for a worker, and nothing is drawn again unless
//! something changed.

pub mod agreement;
pub mod app;
pub mod backend;
pub mod command;
pub mod engine;
pub mod filter;
pub mod message;
pub mod notice;
mod picture;
mod renderer;
pub mod settings;
mod smoothing;
pub mod state;
pub mod stats;
pub mod status;
pub mod view;
pub mod worker;

pub use app::{App, Options, run};
pub use sandglass_detector::Device;
