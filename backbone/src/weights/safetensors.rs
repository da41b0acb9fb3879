//! safetensors files, in and out.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::tensor::{SafeTensors, TensorView};

use super::{Bytes, Dtype, Tensor, Weights};
use crate::error::Error;

/// How tensors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredAs {
    /// All in 32 bits.
    F32,
    /// Convolutions and linear layers in 16 bits, half the size; biases and batch norms stay in 32, where
    /// 16 would shift what the network sees.
    F16,
}

impl Weights {
    /// Opens a safetensors file by mapping it into memory. Values are read when they are asked for.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] where the file cannot be read or is not a sound safetensors file: a header
    /// that is too long or no JSON, tensors that overlap or reach past the end.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let refuse = |reason: String| Error::WeightsFile { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|e| refuse(e.to_string()))?;
        let length = file.metadata().map_err(|e| refuse(e.to_string()))?;
        if !length.is_file() || length.len() == 0 {
            let what = if length.is_file() { "the file is empty" } else { "not a file" };
            return Err(refuse(format!("{what}; a .safetensors file was expected")));
        }
        Self::parse(path.to_owned(), Bytes::Mapped(map(&file).map_err(|e| refuse(e.to_string()))?))
    }

    /// Reads a safetensors file that is in memory already, such as one inside the program. `name` stands
    /// for its path in messages.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn from_bytes(name: &str, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, Error> {
        Self::parse(PathBuf::from(name), Bytes::Given(bytes.into()))
    }

    fn parse(path: PathBuf, bytes: Bytes) -> Result<Self, Error> {
        if has_huge_number(&bytes) {
            let reason = "not a safetensors file: a tensor in it is larger than any file".into();
            return Err(Error::WeightsFile { path, reason });
        }
        let (header, stored) = match SafeTensors::read_metadata(&bytes) {
            Ok(read) => read,
            Err(error) => {
                return Err(Error::WeightsFile { path, reason: format!("not a safetensors file: {error}") });
            }
        };
        let data = header + 8; // the header follows its own length
        let tensors = stored.tensors().into_iter().map(|(name, info)| {
            let range = data + info.data_offsets.0..data + info.data_offsets.1;
            (name, Tensor { dtype: dtype(info.dtype), shape: info.shape.clone(), range })
        });
        let tensors = tensors.collect();
        let metadata = stored.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { path, bytes, tensors, metadata, trained: true })
    }

    /// Weights from values in memory.
    pub(super) fn from_values(
        path: PathBuf,
        values: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
        metadata: BTreeMap<String, String>,
        trained: bool,
    ) -> Self {
        let mut bytes = Vec::new();
        let mut tensors = BTreeMap::new();
        for (name, shape, values) in values {
            let start = bytes.len();
            bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            tensors.insert(name, Tensor { dtype: Dtype::F32, shape, range: start..bytes.len() });
        }
        Self { path, bytes: Bytes::Given(bytes.into()), tensors, metadata, trained }
    }

    /// Writes all tensors with `metadata` to a new safetensors file, or over an old one.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] where it cannot be written.
    pub fn save(
        &self,
        path: &Path,
        metadata: &BTreeMap<String, String>,
        stored: StoredAs,
    ) -> Result<(), Error> {
        let refuse = |reason: String| Error::WeightsFile { path: path.to_owned(), reason };
        let mut encoded = Vec::new();
        for (name, tensor) in &self.tensors {
            let Some(values) = self.values(name) else { continue };
            let half = stored == StoredAs::F16 && tensor.shape.len() > 1;
            let (dtype, bytes) = if half {
                let bytes: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
                (safetensors::Dtype::F16, bytes)
            } else {
                (safetensors::Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            };
            encoded.push((name, dtype, tensor.shape.clone(), bytes));
        }
        let mut views = Vec::new();
        for (name, dtype, shape, bytes) in &encoded {
            let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| refuse(e.to_string()))?;
            views.push((name.as_str(), view));
        }
        let facts: HashMap<String, String> = metadata.clone().into_iter().collect();
        let bytes = safetensors::serialize(views, Some(facts)).map_err(|e| refuse(e.to_string()))?;
        std::fs::write(path, bytes).map_err(|e| refuse(e.to_string()))
    }
}

/// Whether the header has a number of more than 18 digits, be it a size or a place. `safetensors` adds them up
/// unchecked.
fn has_huge_number(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else { return false };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (mut text, mut escaped, mut digits) = (false, false, 0);
    rest.iter().take(length).any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = text,
            b'"' => text = !text,
            _ => {}
        }
        digits = if byte.is_ascii_digit() && !text { digits + 1 } else { 0 };
        digits > 18
    })
}

fn dtype(stored: safetensors::Dtype) -> Dtype {
    match stored {
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::BF16,
        safetensors::Dtype::F64 => Dtype::F64,
        safetensors::Dtype::I64 => Dtype::Other("i64"),
        safetensors::Dtype::I32 => Dtype::I32,
        safetensors::Dtype::I8 => Dtype::I8,
        safetensors::Dtype::U8 => Dtype::Other("u8"),
        _ => Dtype::Other("of another kind"),
    }
}

#[expect(unsafe_code, reason = "mapping a file has no safe form")]
fn map(file: &File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: the map is only read, and only as bytes, for which every content is valid. What stays
    // outside Rust's guarantees is another program shortening the file meanwhile: the system then ends
    // this one. Weights are written once, by renaming or under a new name, so this is accepted.
    unsafe { memmap2::Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Backbone;
    use crate::network::Network;

    fn small() -> (Network, Weights) {
        let network = "mobilenet-v1-0.25".parse::<Backbone>().unwrap().classifier(3);
        let weights = Weights::untrained(&network);
        (network, weights)
    }

    /// A safetensors file with this header and so many bytes of data.
    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend(std::iter::repeat_n(0, data));
        bytes
    }

    fn refused(bytes: Vec<u8>) -> String {
        Weights::from_bytes("bad.safetensors", bytes).unwrap_err().to_string()
    }

    #[test]
    fn written_and_read_again() {
        let (network, weights) = small();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let facts = BTreeMap::from([("architecture".to_owned(), "x".to_owned())]);
        weights.save(&path, &facts, StoredAs::F32).unwrap();
        let exact = Weights::open(&path).unwrap();
        exact.check(&network).unwrap();
        assert_eq!(exact.metadata(), &facts);
        for name in weights.names() {
            assert_eq!(exact.values(name), weights.values(name), "{name}");
        }
        weights.save(&path, &facts, StoredAs::F16).unwrap();
        let halved = Weights::open(&path).unwrap();
        let name = "features.1.3.weight";
        for (a, b) in weights.values(name).unwrap().iter().zip(halved.values(name).unwrap()) {
            assert!((a - b).abs() <= a.abs() / 1024.0, "{a} {b}");
        }
        assert_eq!(halved.values("features.1.4.running_var"), weights.values("features.1.4.running_var"));
    }

    #[test]
    fn broken_files_are_refused() {
        assert!(refused(vec![]).contains("bad.safetensors"));
        assert!(refused((1u64 << 63).to_le_bytes().to_vec()).contains("header"));
        assert!(refused(file("{not json", 0)).contains("JSON"), "{}", refused(file("{not json", 0)));
        let overlapping = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                              "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        assert!(refused(file(overlapping, 12)).contains("offset"));
        let beyond = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        refused(file(beyond, 7));
        let huge = r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#;
        refused(file(huge, 8));
        // Sizes that each fit 64 bits, and do not together.
        let size = (1u64 << 61) - 1;
        let tensor = |i: u64| {
            let (start, end) = (i * size, (i + 1) * size);
            format!(r#""{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#)
        };
        let overflowing = format!("{{{}}}", (0..8).map(tensor).collect::<Vec<_>>().join(","));
        assert!(refused(file(&overflowing, 0)).contains("larger than any file"));
        let long_texts = r#"{"__metadata__":{"1\"11111111111111111111":"22222222222222222222"}}"#;
        assert!(Weights::from_bytes("w", file(long_texts, 0)).is_ok());
        let folder = tempfile::tempdir().unwrap();
        assert!(Weights::open(folder.path()).unwrap_err().to_string().contains("not a file"));
        assert!(Weights::open(&folder.path().join("none")).is_err());
    }

    #[test]
    fn every_mismatch_is_listed() {
        let (network, weights) = small();
        type Change = dyn Fn(&str, &mut Vec<usize>, &mut Vec<f32>) -> bool;
        let changed = |change: &Change| {
            let values = weights.names().filter_map(|name| {
                let (mut shape, mut values) = (weights.shape(name)?.to_vec(), weights.values(name)?);
                change(name, &mut shape, &mut values).then_some((name.to_owned(), shape, values))
            });
            Weights::from_values("w".into(), values, BTreeMap::new(), true).check(&network)
        };
        assert!(changed(&|_, _, _| true).is_ok());
        let missing = changed(&|name, _, _| name != "classifier.1.bias").unwrap_err().to_string();
        assert!(missing.contains("classifier.1.bias: missing"), "{missing}");
        let wrong = changed(&|name, shape, values| {
            if name == "features.3.0.weight" {
                shape.swap(0, 1);
            }
            if name == "features.2.4.bias" {
                values[1] = f32::NAN;
            }
            if name == "features.2.4.running_var" {
                values[0] = -1.0;
            }
            true
        });
        let wrong = wrong.unwrap_err().to_string();
        assert!(wrong.contains("features.3.0.weight: shape"), "{wrong}");
        assert!(wrong.contains("features.2.4.bias: value 1 is NaN"), "{wrong}");
        assert!(wrong.contains("features.2.4.running_var: a variance below 0"), "{wrong}");
        let more = weights
            .names()
            .filter_map(|name| Some((name.to_owned(), weights.shape(name)?.to_vec(), weights.values(name)?)))
            .chain([
                ("stray".to_owned(), vec![1], vec![0.0]),
                ("a.num_batches_tracked".into(), vec![], vec![]),
            ]);
        let more = Weights::from_values("w".into(), more, BTreeMap::new(), true).check(&network);
        let more = more.unwrap_err().to_string();
        assert!(more.contains("stray: left over") && !more.contains("num_batches"), "{more}");
    }

    #[test]
    fn integers_are_no_weights() {
        let header = r#"{"a.weight":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
        let weights = Weights::from_bytes("w", file(header, 8)).unwrap();
        assert_eq!(weights.values("a.weight"), None);
    }
}
