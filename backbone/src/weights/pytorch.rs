//! PyTorch checkpoints: state dicts as `torch.save` writes them, today's zip form and the one before
//! PyTorch 1.6. Nothing in the file is run; only tensors are taken out.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::path::Path;

use half::{bf16, f16};

use super::Weights;
use super::pickle::{Id, Pickle, Value};
use crate::error::Error;

/// The largest checkpoint, tensor and pickle that are read, in bytes: far above any network here.
const MOST_BYTES: u64 = 1 << 30;

/// Keys under which training scripts keep the state dict.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// Reads the tensors of a checkpoint: a state dict, or a dictionary that holds one as `state_dict` or
/// `model`. The prefix `module.` of a network that was trained on several GPUs is taken off the names.
///
/// # Errors
/// [`Error::WeightsFile`] where the file cannot be read, is no checkpoint, or has no tensors in it.
pub fn load(path: &Path) -> Result<Weights, Error> {
    let refuse = |reason: String| Error::WeightsFile { path: path.to_owned(), reason };
    let length = std::fs::metadata(path).map_err(|e| refuse(e.to_string()))?.len();
    if length > MOST_BYTES {
        return Err(refuse(format!("{length} bytes; a checkpoint of at most {MOST_BYTES} is read")));
    }
    let bytes = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
    let tensors = match bytes.starts_with(b"PK") {
        true => read_zip(&bytes),
        false => read_legacy(&bytes),
    };
    let tensors = tensors.map_err(|reason| refuse(format!("not a PyTorch checkpoint: {reason}")))?;
    if tensors.is_empty() {
        return Err(refuse("there are no tensors in this checkpoint; a state dict was expected".into()));
    }
    Ok(Weights::from_values(path.to_owned(), tensors, BTreeMap::new(), true))
}

type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// A zip archive with `NAME/data.pkl` and one file a storage, `NAME/data/KEY`.
fn read_zip(bytes: &[u8]) -> Result<Vec<NamedTensor>, String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    let pickle =
        archive.file_names().flatten().find(|name| name.ends_with("/data.pkl")).map(|name| name.into_owned());
    let pickle = pickle.ok_or("the archive has no data.pkl")?;
    let folder = pickle.trim_end_matches("data.pkl").to_owned();
    let mut read = |name: &str| -> Result<Vec<u8>, String> {
        let file = archive.by_name(name).map_err(|e| format!("{name}: {e}"))?;
        let mut content = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut content).map_err(|e| format!("{name}: {e}"))?;
        Ok(content)
    };
    if read(&format!("{folder}byteorder")).is_ok_and(|order| order == b"big") {
        return Err("it was written on a big-endian machine".into());
    }
    let pickle = Pickle::read(&read(&pickle)?)?;
    let mut storages = HashMap::new();
    tensors(&pickle, &mut |key| {
        if !storages.contains_key(key) {
            storages.insert(key.to_owned(), read(&format!("{folder}data/{key}"))?);
        }
        Ok(storages.get(key).cloned().unwrap_or_default())
    })
}

/// Five pickles (a magic number, the version, the machine, the object, the storages' keys), then for
/// each key the number of its values and the values.
fn read_legacy(bytes: &[u8]) -> Result<Vec<NamedTensor>, String> {
    let mut rest = bytes;
    let mut next = || -> Result<Pickle, String> {
        let pickle = Pickle::read(rest)?;
        rest = &rest[pickle.length..];
        Ok(pickle)
    };
    // The magic number has ten bytes: to this reader it is opaque.
    if !bytes.starts_with(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.") {
        return Err("neither a zip archive nor PyTorch's older format".into());
    }
    let (_magic, _version, _machine, object, keys) = (next()?, next()?, next()?, next()?, next()?);
    let sizes = storage_sizes(&object);
    let mut storages: HashMap<&str, &[u8]> = HashMap::new();
    for &key in keys.sequence(keys.root).unwrap_or(&[]) {
        let key = keys.text(key).ok_or("a storage without a key")?;
        let (count, data) = rest.split_first_chunk::<8>().ok_or("it ends before its values do")?;
        let size = sizes.get(key).copied().unwrap_or(4);
        let length = usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|n| n.checked_mul(size));
        let values = length.and_then(|length| data.split_at_checked(length));
        let (values, after) = values.ok_or("it ends before its values do")?;
        storages.insert(key, values);
        rest = after;
    }
    tensors(&object, &mut |key| {
        storages.get(key).map(|values| values.to_vec()).ok_or_else(|| format!("the storage {key} is missing"))
    })
}

/// Bytes a value, by storage key, for every storage that a pickle names.
fn storage_sizes(pickle: &Pickle) -> HashMap<String, usize> {
    let all = (0..).take_while(|&id| id <= pickle.root.max(pickle.length));
    all.filter_map(|id| Storage::find(pickle, id)).map(|s| (s.key.to_owned(), s.dtype.size())).collect()
}

/// Every tensor of the state dict by name, in f32. `storage` gives the bytes behind a key.
fn tensors(
    pickle: &Pickle,
    storage: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
) -> Result<Vec<NamedTensor>, String> {
    let wrapped = WRAPPERS.iter().find_map(|key| pickle.entry(pickle.root, key));
    let Value::Dict(entries) = pickle.get(wrapped.unwrap_or(pickle.root)) else {
        return Err("no state dict in it (a whole saved module cannot be read; save its state_dict())".into());
    };
    let mut found = Vec::new();
    for &(key, value) in entries {
        let (Some(name), Some(tensor)) = (pickle.text(key), StoredTensor::find(pickle, value)) else {
            continue;
        };
        let name = name.strip_prefix("module.").unwrap_or(name);
        let bytes = storage(tensor.storage.key)?;
        let values = tensor.values(&bytes).map_err(|reason| format!("{name}: {reason}"))?;
        found.push((name.to_owned(), tensor.shape, values));
    }
    Ok(found)
}

#[derive(Clone, Copy)]
enum Dtype {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
}

impl Dtype {
    fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// The value in the first bytes of `b`, which has at least [`Dtype::size`].
    fn value(self, b: &[u8]) -> Option<f32> {
        Some(match self {
            Self::F64 => f64::from_le_bytes(*b.first_chunk()?) as f32,
            Self::F32 => f32::from_le_bytes(*b.first_chunk()?),
            Self::F16 => f16::from_le_bytes(*b.first_chunk()?).to_f32(),
            Self::BF16 => bf16::from_le_bytes(*b.first_chunk()?).to_f32(),
            Self::I64 => i64::from_le_bytes(*b.first_chunk()?) as f32,
            Self::I32 => i32::from_le_bytes(*b.first_chunk()?) as f32,
        })
    }
}

/// `("storage", torch.FloatStorage, key, device, count)` behind a persistent id.
struct Storage<'a> {
    key: &'a str,
    dtype: Dtype,
}

impl<'a> Storage<'a> {
    fn find(pickle: &'a Pickle, id: Id) -> Option<Self> {
        let Value::Persistent(id) = pickle.get(id) else { return None };
        let [_, class, key, ..] = pickle.sequence(*id)? else { return None };
        let Value::Global(_, class) = pickle.get(*class) else { return None };
        let dtype = match class.as_str() {
            "DoubleStorage" => Dtype::F64,
            "FloatStorage" => Dtype::F32,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::BF16,
            "LongStorage" => Dtype::I64,
            "IntStorage" => Dtype::I32,
            _ => return None,
        };
        Some(Self { key: pickle.text(*key)?, dtype })
    }
}

/// `_rebuild_tensor_v2(storage, offset, size, stride, …)`, perhaps inside `_rebuild_parameter`.
struct StoredTensor<'a> {
    storage: Storage<'a>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl<'a> StoredTensor<'a> {
    fn find(pickle: &'a Pickle, id: Id) -> Option<Self> {
        let Value::Call(function, arguments) = pickle.get(id) else { return None };
        let Value::Global(_, function) = pickle.get(*function) else { return None };
        let arguments = pickle.sequence(*arguments)?;
        match (function.as_str(), arguments) {
            // A parameter holds a tensor, which is never a parameter again: no endless descent.
            ("_rebuild_parameter", &[tensor, ..]) if tensor < id => Self::find(pickle, tensor),
            ("_rebuild_tensor_v2", &[storage, offset, shape, strides, ..]) => {
                let sizes = |id| -> Option<Vec<usize>> {
                    pickle.sequence(id)?.iter().map(|&i| pickle.size(i)).collect()
                };
                let (shape, strides) = (sizes(shape)?, sizes(strides)?);
                let storage = Storage::find(pickle, storage)?;
                (shape.len() == strides.len() && shape.len() <= 8).then_some(Self {
                    storage,
                    offset: pickle.size(offset)?,
                    shape,
                    strides,
                })
            }
            _ => None,
        }
    }

    /// The values in row-major order, taken out of the storage's bytes.
    fn values(&self, bytes: &[u8]) -> Result<Vec<f32>, String> {
        let size = self.storage.dtype.size();
        let count = self.shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
        // Each value has its own place in a sound tensor, so more values than places is a lie.
        let count =
            count.filter(|&n| n <= bytes.len() / size).ok_or("its shape is larger than its storage")?;
        let value = |index: usize| {
            let mut rest = index;
            let mut at = self.offset;
            for (side, stride) in self.shape.iter().zip(&self.strides).rev() {
                at = at.checked_add((rest % side).checked_mul(*stride)?)?;
                rest /= side;
            }
            self.storage.dtype.value(bytes.get(at.checked_mul(size)?..)?)
        };
        let values: Option<Vec<f32>> = (0..count).map(value).collect();
        values.ok_or_else(|| "it reaches past its storage".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pth");
        let nested = [vec![0x80, 2], vec![b')'; 10], vec![0x85; 2_000_000], vec![b'.']].concat();
        for bytes in [vec![], b"PK\x03\x04 no zip".to_vec(), b"text".to_vec(), nested] {
            std::fs::write(&path, bytes).unwrap();
            let error = load(&path).unwrap_err().to_string();
            assert!(error.contains("x.pth: not a PyTorch checkpoint"), "{error}");
        }
    }

    #[test]
    fn pickles_cut_anywhere_are_refused() {
        // {'a': ('storage',)} with memo, by Python's pickle.dumps(…, protocol=2).
        let whole = b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01X\x07\x00\x00\x00storageq\x02\x85q\x03s.";
        let pickle = Pickle::read(whole).unwrap();
        let tuple = pickle.entry(pickle.root, "a").unwrap();
        assert_eq!(pickle.text(pickle.sequence(tuple).unwrap()[0]), Some("storage"));
        for length in 0..whole.len() {
            assert!(Pickle::read(&whole[..length]).is_err());
        }
    }
}
