//! What is done with an input, once for the fuzz targets and for `detector/tests/corpus.rs`.
#![allow(dead_code, reason = "each target takes one of these")]
#![allow(clippy::expect_used, reason = "whatever cannot be done here is to be seen")]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use sandglass_detector::backbone::weights::StoredAs;
use sandglass_detector::backbone::weights::quantised;
use sandglass_detector::backbone::{
    Backbone, CpuEngine, CpuOptions, Engine, InstructionSet, ModelInfo, Normalisation, Plan, Weights,
    quantise,
};
use sandglass_detector::heads::ssdlite;
use sandglass_detector::import::import;
use sandglass_detector::recognise::recognise;
use sandglass_detector::source::FrameSource;
use sandglass_detector::source::camera::{CameraFormat, Encoding, unpack};
use sandglass_detector::source::video::{AviFile, Mp4File};
use serde_json::{Map, Value};

/// What a target does with an input.
type Run = fn(&[u8]);

/// The targets by name.
pub(crate) const TARGETS: [(&str, Run); 6] = [
    ("mp4", mp4),
    ("avi", avi),
    ("camera", camera),
    ("weights", weights),
    ("plan", plan),
    ("checkpoint", checkpoint),
];

/// Frames that are asked for in a row.
const FRAMES: usize = 4;
/// The side of the pictures that plans are made for.
const SIDE: usize = 32;
/// Classes of the networks that plans are made of.
const CLASSES: usize = 2;

pub(crate) fn mp4(data: &[u8]) {
    if let Ok(mut file) = Mp4File::from_bytes("fuzz.mp4", data.to_vec()) {
        watch(&mut file);
        let _ = file.rewind().and_then(|()| file.next_frame());
    }
}

pub(crate) fn avi(data: &[u8]) {
    let written = Written::new("avi", data);
    if let Ok(mut file) = AviFile::open(&written.0) {
        watch(&mut file);
    }
}

/// Plays the beginning, moves, and asks for all that a source says of itself.
fn watch(source: &mut dyn FrameSource) {
    let duration = source.duration().unwrap_or_default();
    let _ = (source.name(), source.frame_count(), source.frame_interval(), source.remark());
    let mut play = |from: Option<Duration>, frames| {
        if let Some(from) = from
            && source.seek(from).is_err()
        {
            return;
        }
        for _ in 0..frames {
            match source.next_frame() {
                Ok(Some(frame)) => {
                    assert_eq!(frame.row(frame.height() - 1).len(), frame.width() as usize * 3);
                }
                // Neither a file's end nor what is wrong with it is told for ever.
                Ok(None) => {
                    assert!(matches!(source.next_frame(), Ok(None)));
                    break;
                }
                Err(_) => {}
            }
        }
    };
    play(None, FRAMES);
    play(Some(duration / 2), 1);
    play(Some(Duration::MAX), 1);
    play(Some(Duration::ZERO), 1);
    let _ = source.dropped();
}

/// Width and height in two bytes each; the packing, and whether the sides are four bytes instead of two.
pub(crate) fn camera(data: &[u8]) {
    let Some((&[w0, w1, h0, h1, packing, large], bytes)) = data.split_first_chunk() else { return };
    let encodings =
        [Encoding::Mjpeg, Encoding::Yuyv, Encoding::Nv12, Encoding::Rgb, Encoding::Bgr, Encoding::Gray];
    let side = |low, high| u32::from(u16::from_le_bytes([low, high])) << if large & 1 == 1 { 16 } else { 0 };
    let (width, height) = (side(w0, w1) | u32::from(large >> 1), side(h0, h1));
    let encoding = encodings[usize::from(packing) % encodings.len()];
    if let Ok(frame) = unpack(bytes, CameraFormat { width, height, rate: 30, encoding })
        && encoding != Encoding::Mjpeg
        && !bytes.starts_with(&[0xff, 0xd8])
    {
        assert_eq!((frame.width(), frame.height()), (width, height));
    }
}

pub(crate) fn weights(data: &[u8]) {
    let Ok(weights) = Weights::from_bytes("fuzz.safetensors", data.to_vec()) else { return };
    for name in weights.names() {
        if let (Some(values), Some(shape)) = (weights.values(name), weights.shape(name)) {
            assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        }
    }
    let info = match weights.info() {
        Ok(info) => info,
        Err(_) => match recognise(&weights, weights.path(), None, None) {
            Ok(info) => info,
            Err(_) => return,
        },
    };
    let network = match info.anchors.is_empty() {
        true => info.backbone.classifier(info.classes.len()),
        false => ssdlite(&info.backbone, info.classes.len()),
    };
    if let Ok(plan) = Plan::new(&network, &weights, info.input_size, info.input_size) {
        plan.check().expect("a plan that was made can be run");
    }
}

pub(crate) fn checkpoint(data: &[u8]) {
    let written = Written::new("pth", data);
    for backbone in [Some(small("mobilenet-v1-0.1")), None] {
        if let Ok((weights, info)) = import(&written.0, backbone, None) {
            let network = match info.anchors.is_empty() {
                true => info.backbone.classifier(info.classes.len()),
                false => ssdlite(&info.backbone, info.classes.len()),
            };
            weights.check(&network).expect("what was recognised fits");
        }
    }
}

/// The first byte chooses the weights. Then eight bytes are a change: which tensor (2), of what kind (1), where in
/// the tensor (1), which value (4).
pub(crate) fn plan(data: &[u8]) {
    let Some((&which, changes)) = data.split_first() else { return };
    static SOUND: OnceLock<[Sound; 6]> = OnceLock::new();
    let all = SOUND.get_or_init(|| {
        let names = ["mobilenet-v1-0.1", "mobilenext-0.1-id2", "classic-0.1"];
        let of = |int8: bool| names.map(|name| Sound::new(&small(name), int8));
        let ([a, b, c], [d, e, f]) = (of(true), of(false));
        [a, b, c, d, e, f]
    });
    let sound = &all[usize::from(which) % all.len()];
    let Ok(weights) = Weights::from_bytes("changed", sound.changed(changes.as_chunks().0)) else { return };
    let Ok(info) = weights.info() else { return };
    let network = info.backbone.classifier(info.classes.len());
    let Ok(mut plan) = Plan::new(&network, &weights, SIDE, SIDE) else { return };
    plan.take_pixels(&info.normalisation);
    let Ok(mut engine) = CpuEngine::new(plan.clone(), 1) else { return };
    engine.run_pixels(&picture()).expect("a picture of the right size");
    assert_eq!(engine.output(0).len(), info.classes.len());
    if plan.quantisation.is_some() {
        let scalar = CpuOptions {
            threads: 1,
            instructions: InstructionSet::Scalar,
            streamed: false,
            ..CpuOptions::default()
        };
        let mut other = CpuEngine::with_options(plan, scalar).expect("a plan that was run before");
        other.run_pixels(&picture()).expect("a picture of the right size");
        let bits = |engine: &CpuEngine| engine.output(0).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&engine), bits(&other), "integers give the same bits on every instruction set");
    }
}

/// A sound weights file in its parts.
struct Sound {
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl Sound {
    fn new(backbone: &Backbone, int8: bool) -> Self {
        let backbone = &backbone.with_int8(int8);
        let network = backbone.classifier(CLASSES);
        let weights = Weights::untrained(&network);
        let info = ModelInfo {
            backbone: backbone.clone(),
            classes: (0..CLASSES).map(|class| class.to_string()).collect(),
            input_size: SIDE,
            normalisation: Normalisation::IMAGENET,
            anchors: String::new(),
        };
        let written = Written::new("safetensors", &[]);
        let path = &written.0;
        if int8 {
            let plan = Plan::new(&network, &weights, SIDE, SIDE).expect("weights that fit");
            let method = quantise::Method::MinMax;
            let made = quantise::quantise(&plan, &info.normalisation, &[picture()], method, &mut |_, _| ());
            quantised::save(&made.expect("a plan that can be quantised").plan, path, &info.to_metadata())
        } else {
            weights.save(path, &info.to_metadata(), StoredAs::F32)
        }
        .expect("the folder can be written to");
        let file = std::fs::read(path).expect("what was written");
        let (length, rest) = file.split_first_chunk().expect("a length");
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        Self { header: serde_json::from_slice(header).expect("a header"), data: data.to_vec() }
    }

    /// The file with some tensors changed.
    fn changed(&self, changes: &[[u8; 8]]) -> Vec<u8> {
        let (mut header, mut data) = (self.header.clone(), self.data.clone());
        for &[t0, t1, kind, at, value @ ..] in changes.iter().take(64) {
            let tensor = usize::from(u16::from_le_bytes([t0, t1])) % header.len();
            let number = u32::from_le_bytes(value);
            let Some((name, about)) = header.iter_mut().nth(tensor) else { continue };
            if name == "__metadata__" {
                let facts = about.as_object_mut().expect("facts by name");
                let texts = ["", "0", "1/3", "0.25", "mobilenext", "NaN", "32", "1,2,3", "-1,1e-30,1e30"];
                let text = texts[number as usize % texts.len()];
                let fact = usize::from(at) % facts.len();
                if let Some(fact) = facts.values_mut().nth(fact) {
                    *fact = text.into();
                }
                continue;
            }
            let bound = |i: usize| about["data_offsets"][i].as_u64().expect("a place") as usize;
            let (start, end) = (bound(0), bound(1));
            let size = match about["dtype"].as_str() {
                Some("I8") => 1,
                _ => 4,
            };
            let bytes = &mut data[start..end];
            let place = usize::from(at) * size % bytes.len().max(1);
            let value = &value[..size];
            match kind % 8 {
                0..=2 => bytes.iter_mut().skip(place).zip(value).for_each(|(to, from)| *to = *from),
                3 => bytes.iter_mut().zip(value.iter().cycle()).for_each(|(to, from)| *to = *from),
                4 => {
                    let kinds = ["F32", "I32", "F16", "I8", "U8", "BF16", "F64", "BOOL"];
                    about["dtype"] = kinds[number as usize % kinds.len()].into();
                }
                5 => {
                    let shape = about["shape"].as_array_mut().expect("a shape");
                    shape.reverse();
                }
                6 => {
                    let shape = about["shape"].as_array_mut().expect("a shape");
                    let side = usize::from(at) % (shape.len() + 1);
                    match shape.get_mut(side) {
                        Some(side) => *side = number.into(),
                        None => shape.push(1.into()),
                    }
                }
                _ => {
                    let about = about.clone();
                    let renamed = format!("{name}.{at}");
                    let name = name.clone();
                    header.remove(&name);
                    header.insert(renamed, about);
                }
            }
        }
        let mut header = serde_json::to_vec(&header).expect("JSON");
        header.resize(header.len().next_multiple_of(8), b' ');
        [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
    }
}

fn small(name: &str) -> Backbone {
    name.parse().expect("a name")
}

/// A picture with something on it.
fn picture() -> Vec<u8> {
    (0..SIDE * SIDE * 3).map(|i| (i * i / 7 + i / 96 * 5) as u8).collect()
}

/// A file of this thread alone, there as long as this is.
struct Written(PathBuf);

impl Written {
    fn new(extension: &str, data: &[u8]) -> Self {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("fuzz").replace("::", "-");
        let path = std::env::temp_dir().join(format!("sandglass-{name}-{}.{extension}", std::process::id()));
        std::fs::write(&path, data).expect("the folder can be written to");
        Self(path)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
