//! Weights: named tensors, checked against the network that is to use them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::network::Network;

mod model_info;
#[cfg(feature = "pytorch")]
mod pickle;
#[cfg(feature = "pytorch")]
pub mod pytorch;
pub mod quantised;
mod safetensors;
mod untrained;

pub use model_info::{ModelInfo, Normalisation};
pub use safetensors::StoredAs;

/// How the values of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dtype {
    F32,
    F16,
    BF16,
    F64,
    I8,
    I32,
    /// Anything else, by name: never used as weights.
    Other(&'static str),
}

impl Dtype {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F64 => "f64",
            Self::I8 => "i8",
            Self::I32 => "i32",
            Self::Other(name) => name,
        }
    }
}

/// Where one tensor lies.
#[derive(Clone, Debug)]
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Start and end in the bytes.
    range: std::ops::Range<usize>,
}

/// What holds the bytes of all tensors.
#[derive(Debug)]
enum Bytes {
    Mapped(memmap2::Mmap),
    Given(Cow<'static, [u8]>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Given(bytes) => bytes,
        }
    }
}

/// Named tensors with the facts stored beside them. Values are read when they are asked for.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    bytes: Bytes,
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
    trained: bool,
}

impl Weights {
    /// Where the weights came from, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether they were ever trained; false for [`Weights::untrained`] alone.
    #[must_use]
    pub fn is_trained(&self) -> bool {
        self.trained
    }

    /// Facts stored with the weights, by name.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The facts stored with the weights, understood.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] where a fact is missing or makes no sense.
    pub fn info(&self) -> Result<ModelInfo, Error> {
        ModelInfo::from_metadata(&self.metadata).map_err(|reason| self.refuse(reason))
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor, where there is one of this name.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|t| t.shape.as_slice())
    }

    /// The values of a tensor in row-major order, where there is one of this name with numbers in it.
    #[must_use]
    pub fn values(&self, name: &str) -> Option<Vec<f32>> {
        let tensor = self.tensors.get(name)?;
        let bytes = self.bytes.get(tensor.range.clone())?;
        Some(match tensor.dtype {
            Dtype::F32 => decode(bytes, f32::from_le_bytes),
            Dtype::F16 => decode(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => decode(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
            Dtype::F64 => decode(bytes, |b| f64::from_le_bytes(b) as f32),
            Dtype::I8 | Dtype::I32 | Dtype::Other(_) => return None,
        })
    }

    /// Whether every tensor that `network` needs is there with the right shape and finite values, and
    /// nothing else is (PyTorch's `num_batches_tracked` may be). Weights of eight bits have tensors of their own
    /// ([`quantised`]).
    ///
    /// # Errors
    /// [`Error::WeightsMismatch`] with a line for each tensor that is missing, left over or wrong.
    pub fn check(&self, network: &Network) -> Result<(), Error> {
        let problems =
            if self.is_quantised() { self.check_quantised(network) } else { self.misfits(network) };
        if problems.is_empty() {
            return Ok(());
        }
        let network = network.name().to_owned();
        Err(Error::WeightsMismatch { path: self.path.clone(), network, problems })
    }

    /// What [`Weights::check`] finds in weights of floating point.
    fn misfits(&self, network: &Network) -> Vec<String> {
        let mut problems = Vec::new();
        let mut left_over: std::collections::BTreeSet<&str> = self.names().collect();
        for parameter in network.parameters() {
            let name = parameter.name.as_str();
            left_over.remove(name);
            let Some(tensor) = self.tensors.get(name) else {
                problems.push(format!("{name}: missing, shape {:?}", parameter.shape));
                continue;
            };
            if tensor.shape != parameter.shape {
                problems.push(format!("{name}: shape {:?}, needed {:?}", tensor.shape, parameter.shape));
                continue;
            }
            match self.values(name) {
                None => {
                    let dtype = tensor.dtype.name();
                    problems.push(format!("{name}: dtype {dtype}, needed f32, f16, bf16 or f64"));
                }
                Some(values) => {
                    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
                        problems.push(format!("{name}: value {at} is {}", values[at]));
                    } else if name.ends_with("running_var") && values.iter().any(|&v| v < 0.0) {
                        problems.push(format!("{name}: a variance below 0"));
                    }
                }
            }
        }
        let surplus = left_over.into_iter().filter(|name| !name.ends_with("num_batches_tracked"));
        problems.extend(surplus.map(|name| format!("{name}: left over, the network has no such tensor")));
        problems
    }

    pub(crate) fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::WeightsFile { path: self.path.clone(), reason: reason.into() }
    }
}

/// Little-endian values of `N` bytes each; a rest of less than `N` bytes is left out.
fn decode<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
}
