//! The mean of each channel over all pixels.

use super::Call;

/// Writes one mean a channel into `output`.
pub(super) fn run(call: &Call, output: &mut [f32]) {
    output.fill(0.0);
    for pixel in call.input.chunks_exact(output.len()) {
        output.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
    }
    let pixels = call.step.input_shape.pixels() as f32;
    output.iter_mut().for_each(|sum| *sum /= pixels);
}
