//! PyTorch checkpoints: state dicts as `torch.save` writes them, today's zip form and the one before
//! PyTorch 1.6. Nothing in the file is run; only tensors are taken out.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::ops::Deref;
use std::path::Path;
use std::rc::Rc;

use half::{bf16, f16};

use super::Weights;
use super::pickle::{Id, Pickle, Value};
use crate::error::Error;

/// The largest checkpoint that is read, in bytes: far above any network here.
const MOST_BYTES: u64 = 1 << 30;
/// What may always come out of a checkpoint, in bytes, however small it is; see [`most_bytes`].
const LEAST_LIMIT: usize = 32 << 20;

/// The most dimensions of a tensor.
const MOST_SIDES: usize = 8;

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
    let mut left = most_bytes(bytes);
    let mut read = |name: &str| -> Result<Vec<u8>, String> {
        let file = archive.by_name(name).map_err(|e| format!("{name}: {e}"))?;
        let mut content = Vec::new();
        file.take(left as u64 + 1).read_to_end(&mut content).map_err(|e| format!("{name}: {e}"))?;
        left = left.checked_sub(content.len()).ok_or(TOO_MUCH)?;
        Ok(content)
    };
    if read(&format!("{folder}byteorder")).is_ok_and(|order| order == b"big") {
        return Err("it was written on a big-endian machine".into());
    }
    let pickle = Pickle::read(&read(&pickle)?)?;
    let mut storages: HashMap<String, Rc<[u8]>> = HashMap::new();
    tensors(&pickle, most_bytes(bytes), &mut |key| {
        if let Some(storage) = storages.get(key) {
            return Ok(Rc::clone(storage));
        }
        let storage: Rc<[u8]> = read(&format!("{folder}data/{key}"))?.into();
        storages.insert(key.to_owned(), Rc::clone(&storage));
        Ok(storage)
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
    tensors(&object, most_bytes(bytes), &mut |key| {
        storages.get(key).copied().ok_or_else(|| format!("the storage {key} is missing"))
    })
}

/// Bytes a value, by storage key, for every storage that a pickle names.
fn storage_sizes(pickle: &Pickle) -> HashMap<String, usize> {
    let all = (0..).take_while(|&id| id <= pickle.root.max(pickle.length));
    all.filter_map(|id| Storage::find(pickle, id)).map(|s| (s.key.to_owned(), s.dtype.size())).collect()
}

/// The bytes that the files of an archive, and then all tensors in f32, may have together. Tensors may share
/// storages and be of 16 bits, archives may be packed; what is many times larger than the file is an attack.
fn most_bytes(file: &[u8]) -> usize {
    file.len().saturating_mul(4).max(LEAST_LIMIT)
}

/// What is said where [`most_bytes`] are not enough.
const TOO_MUCH: &str = "what comes out of it is many times larger than the file";

/// Every tensor of the state dict by name, in f32, `most` bytes in all. `storage` gives the bytes behind a key.
fn tensors<B: Deref<Target = [u8]>>(
    pickle: &Pickle,
    most: usize,
    storage: &mut dyn FnMut(&str) -> Result<B, String>,
) -> Result<Vec<NamedTensor>, String> {
    let wrapped = WRAPPERS.iter().find_map(|key| pickle.entry(pickle.root, key));
    let Value::Dict(entries) = pickle.get(wrapped.unwrap_or(pickle.root)) else {
        return Err("no state dict in it (a whole saved module cannot be read; save its state_dict())".into());
    };
    let mut found = Vec::new();
    let mut left = most;
    for &(key, value) in entries {
        let (Some(name), Some(tensor)) = (pickle.text(key), StoredTensor::find(pickle, value)) else {
            continue;
        };
        let name = name.strip_prefix("module.").unwrap_or(name);
        let bytes = storage(tensor.storage.key)?;
        let count = tensor.count(&bytes).map_err(|reason| format!("{name}: {reason}"))?;
        left = count.checked_mul(size_of::<f32>()).and_then(|size| left.checked_sub(size)).ok_or(TOO_MUCH)?;
        let values = tensor.values(&bytes, count).map_err(|reason| format!("{name}: {reason}"))?;
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
        let dtype = match &**class {
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
    fn find(pickle: &'a Pickle, mut id: Id) -> Option<Self> {
        // A parameter holds a tensor, never another parameter: one step down, and no more.
        if let ("_rebuild_parameter", &[tensor, ..]) = Self::call(pickle, id)? {
            id = tensor;
        }
        let ("_rebuild_tensor_v2", &[storage, offset, shape, strides, ..]) = Self::call(pickle, id)? else {
            return None;
        };
        let sizes = |id| -> Option<Vec<usize>> {
            let sides = pickle.sequence(id).filter(|sides| sides.len() <= MOST_SIDES)?;
            sides.iter().map(|&side| pickle.size(side)).collect()
        };
        let (shape, strides) = (sizes(shape)?, sizes(strides)?);
        let storage = Storage::find(pickle, storage)?;
        let offset = pickle.size(offset)?;
        (shape.len() == strides.len()).then_some(Self { storage, offset, shape, strides })
    }

    /// The name of a function that is called, and its arguments.
    fn call(pickle: &'a Pickle, id: Id) -> Option<(&'a str, &'a [Id])> {
        let Value::Call(function, arguments) = pickle.get(id) else { return None };
        let Value::Global(_, function) = pickle.get(*function) else { return None };
        Some((function, pickle.sequence(*arguments)?))
    }

    /// How many values it has, where the storage's bytes can hold them.
    fn count(&self, bytes: &[u8]) -> Result<usize, &'static str> {
        let count = self.shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
        // Each value has its own place in a sound tensor, so more values than places is a lie.
        let places = bytes.len() / self.storage.dtype.size();
        count.filter(|&n| n <= places).ok_or("its shape is larger than its storage")
    }

    /// The values in row-major order, taken out of the storage's bytes.
    fn values(&self, bytes: &[u8], count: usize) -> Result<Vec<f32>, String> {
        let size = self.storage.dtype.size();
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

    /// A text, as pickles have it.
    fn text(text: &str) -> Vec<u8> {
        [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    }

    /// A tensor of `count` values in 32 bits, all of the storage `k`.
    fn tensor(count: u16) -> Vec<u8> {
        let storage = [&b"("[..], &text("storage"), b"ctorch\nFloatStorage\n", &text("k"), b"NNtQ"].concat();
        let sides = [&b"K\0M"[..], &count.to_le_bytes(), b"\x85K\x01\x85"].concat();
        [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &storage, &sides, b"tR"].concat()
    }

    /// What is read of a file of the older format with this object and `values` zeros in the storage `k`.
    fn legacy(object: &[u8], values: usize) -> Result<Vec<NamedTensor>, String> {
        let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.N.N.";
        let keys = [&b"("[..], &text("k"), b"l."].concat();
        let count = (values as u64).to_le_bytes();
        read_legacy(&[&magic[..], object, &keys, &count, &vec![0; values * 4]].concat())
    }

    #[test]
    fn one_storage_many_times_is_refused() {
        // Two tensors of one storage are usual; ten thousand of a large one would fill the memory.
        let object = |times: usize| {
            let entries = [text("a"), b"h\0".to_vec()].concat().repeat(times);
            [&tensor(60_000)[..], b"q\0}(", &entries, b"u."].concat()
        };
        assert_eq!(legacy(&object(2), 60_000).unwrap().len(), 2);
        let refused = legacy(&object(10_000), 60_000).unwrap_err();
        assert_eq!(refused, TOO_MUCH);
        // Nor does a small tensor of a large storage cost more than itself.
        let object =
            [&tensor(1)[..], b"q\0}(", &[text("a"), b"h\0".to_vec()].concat().repeat(100_000), b"u."];
        assert_eq!(legacy(&object.concat(), 1_000_000).unwrap().len(), 100_000);
    }

    #[test]
    fn archives_that_unpack_to_much_are_refused() {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        for (name, content) in [
            ("a/data.pkl", [&b"}("[..], &text("a"), &tensor(9), b"u."].concat()),
            ("a/data/k", vec![0; LEAST_LIMIT + 1]),
        ] {
            archive.start_file(name, options).unwrap();
            std::io::Write::write_all(&mut archive, &content).unwrap();
        }
        let archive = archive.finish().unwrap().into_inner();
        assert!(archive.len() < 100_000);
        assert_eq!(read_zip(&archive).unwrap_err(), TOO_MUCH);
    }

    #[test]
    fn parameters_inside_parameters_are_no_tensors() {
        // A million deep, which is more than any stack holds.
        let parameter = b"h\0h\x01\x85Rq\x01";
        let object = [&b"ctorch._utils\n_rebuild_parameter\nq\0"[..], &tensor(1), b"q\x01"].concat();
        let entry = [&b"}("[..], &text("a"), b"h\x01u."].concat();
        let nested = |depth: usize| [&object[..], &parameter.repeat(depth), &entry].concat();
        assert_eq!(legacy(&nested(1), 1).unwrap().len(), 1);
        assert_eq!(legacy(&nested(2), 1).unwrap().len(), 0);
        assert_eq!(legacy(&nested(300_000), 1).unwrap().len(), 0);
    }

    #[test]
    fn shapes_of_many_sides_are_not_looked_at() {
        // One list of a hundred thousand sides, which every tensor of as many names as its shape.
        let list = [&b"]("[..], &b"K\x01".repeat(100_000), b"eq\0"].concat();
        let start = [&list[..], b"ctorch._utils\n_rebuild_tensor_v2\nq\x01Nq\x02}("].concat();
        let entry = [&text("a")[..], b"h\x01(h\x02K\0h\0h\0tR"].concat();
        let object = [&start[..], &entry.repeat(100_000), b"u."].concat();
        assert_eq!(legacy(&object, 1).unwrap().len(), 0);
    }

    #[test]
    fn pickles_stay_near_their_size() {
        for (opcode, most) in [(&b"N"[..], 2 << 20), (b"(", 2 << 20), (b"N2", 1 << 20), (b"N\x94", 2 << 20)] {
            let refused = Pickle::read(&opcode.repeat(most)).unwrap_err();
            assert!(refused.contains("more values"), "{refused}");
        }
        // A long name costs its bytes once, however often it is a class's.
        let named = [&b"X\0\0\x10\0"[..], &[b'a'; 1 << 20], b"q\0"].concat();
        let pickle = Pickle::read(&[&named[..], &b"h\0h\0\x93".repeat(100_000), b"."].concat()).unwrap();
        assert!(matches!(pickle.get(pickle.root), Value::Global(..)));
        let long = Pickle::read(&[&b"X\xff\xff\xff\0"[..], &[0; 1 << 24]].concat()).unwrap_err();
        assert!(long.contains("longer than"), "{long}");
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
