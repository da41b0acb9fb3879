//! What runs a plan.

use crate::error::Error;

/// Runs one planned network, again and again. After the first run nothing is allocated.
pub trait Engine: Send {
    /// What runs it, for people: `CPU, AVX2, 2 threads`.
    fn describe(&self) -> String;

    /// Runs the network on `input`: rows, columns, channels (HWC), as many values as the plan's input.
    /// The results are read with [`Engine::output`].
    ///
    /// # Errors
    /// [`Error::InputSize`] where `input` has another number of values.
    fn run(&mut self, input: &[f32]) -> Result<(), Error>;

    /// As [`Engine::run`] for pixels, a byte a channel, read as values of 0 to 255: for a plan that
    /// [takes pixels](crate::Plan::take_pixels).
    ///
    /// # Errors
    /// [`Error::InputSize`] where there is another number of bytes.
    fn run_pixels(&mut self, pixels: &[u8]) -> Result<(), Error>;

    /// Another engine over the same weights, which are not copied, with so many threads (0 for one a
    /// processor): it can run beside this one.
    ///
    /// # Errors
    /// As making an engine.
    fn twin(&self, threads: usize) -> Result<Box<dyn Engine>, Error>;

    /// The values of output `index` of the last run, in the order of the network's outputs; empty before
    /// the first run's end or where there is no such output.
    fn output(&self, index: usize) -> &[f32];
}
