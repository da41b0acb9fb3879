//! PyTorch checkpoints as our weights: which network they are of, and the facts that go with them.

use std::path::Path;

use sandglass_backbone::weights::pytorch;
use sandglass_backbone::{Backbone, ModelInfo, Weights};

use crate::error::Error;
use crate::recognise::recognise;

/// Reads a checkpoint, and finds out which backbone it is of: see [`recognise`].
///
/// # Errors
/// [`Error::Backbone`] where the file cannot be read, and those of [`recognise`].
pub fn import(
    path: &Path,
    backbone: Option<Backbone>,
    classes: Option<Vec<String>>,
) -> Result<(Weights, ModelInfo), Error> {
    let weights = pytorch::load(path)?;
    let info = recognise(&weights, path, backbone, classes)?;
    Ok((weights, info))
}
