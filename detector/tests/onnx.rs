//! Exported models pass ONNX's checker, and ONNX Runtime computes with them what this library does. Needs a
//! Python with `onnx` and `onnxruntime`: `python3`, or the one that `SANDGLASS_PYTHON` names. Without
//! them the test says so and passes.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::process::Command;

use sandglass_backbone::{CpuEngine, Engine, Plan, Weights};
use sandglass_detector::heads::{INPUT_SIZE, ssdlite};
use sandglass_detector::quantise::{Calibration, Method};
use sandglass_detector::{export, models};

#[path = "../../backbone/tests/common/plain_int8.rs"]
mod plain_int8;

/// Checks the model in the file, runs it on a batch of two inputs and writes all outputs one after the other.
const PROGRAM: &str = "
import sys, numpy, onnx, onnxruntime
model, values, results = sys.argv[1:]
onnx.checker.check_model(onnx.load(model), full_check=True)
session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
values = numpy.fromfile(values, numpy.float32).reshape(2, 320, 320, 3).transpose(0, 3, 1, 2)
outputs = session.run(None, {'input': values})
print([o.name for o in session.get_outputs()], [o.shape for o in outputs])
numpy.concatenate([o.ravel() for o in outputs]).tofile(results)
";

fn python() -> Option<String> {
    let python = std::env::var("SANDGLASS_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python).args(["-c", "import onnx, onnxruntime, numpy"]).output().ok()?;
    found.status.success().then_some(python)
}

#[test]
fn onnx_runtime_computes_the_same() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with onnx and onnxruntime; SANDGLASS_PYTHON may name one");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let side = INPUT_SIZE;
    let one = side * side * 3;
    let value = |i: usize| (i as u64 * 2_654_435_761 % 4_294_967_296) as f32 / 1_073_741_824.0 - 2.0;
    let values: Vec<f32> = (0..2 * one).map(value).collect();
    write(&file("values"), &values);
    for name in ["mobilenet-v2-1.0", "mobilenext-0.35-id2", "mobilenet-v1-0.25"] {
        std::fs::write(file("model.onnx"), export::onnx(Some(name), None, true).unwrap()).unwrap();
        let output = Command::new(&python)
            .args(["-c", PROGRAM])
            .args([file("model.onnx"), file("values"), file("results")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let shapes = "[(2, 3234, 21), (2, 3234, 4), (2, 3234, 21), (2, 3234, 4)]";
        assert_eq!(said.trim(), format!("['class_logits', 'box_deltas', 'scores', 'boxes'] {shapes}"));
        let results = read(&file("results"));

        let backbone = name.parse().unwrap();
        let (weights, info) = models::weights(&backbone).unwrap();
        let network = ssdlite(&backbone, info.classes.len());
        let mut engine = CpuEngine::new(Plan::new(&network, &weights, side, side).unwrap(), 1).unwrap();
        for (picture, input) in values.chunks_exact(one).enumerate() {
            engine.run(input).unwrap();
            let mut start = 0;
            for output in 0..2 {
                let expected = engine.output(output);
                let from = start + picture * expected.len();
                let difference = difference(expected, &results[from..from + expected.len()]);
                assert!(difference < 1e-3, "{name}, picture {picture}, output {output}: {difference}");
                start += 2 * expected.len();
            }
            let scores = &results[start + picture * 3234 * 21..][..3234 * 21];
            assert!(scores.chunks_exact(21).all(|anchor| (anchor.iter().sum::<f32>() - 1.0).abs() < 1e-3));
        }
    }
}

/// Runs the model in the file on one input with every map of bytes as an output, and writes those in rows,
/// columns, channels.
const MAPS: &str = "
import sys, numpy, onnx, onnxruntime
path, values, folder = sys.argv[1:]
model = onnx.load(path)
onnx.checker.check_model(model, full_check=True)
names = [n.output[0] for n in model.graph.node if n.op_type == 'QuantizeLinear']
for name in names:
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None))
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
values = numpy.fromfile(values, numpy.float32).reshape(1, 320, 320, 3).transpose(0, 3, 1, 2)
outputs = session.run(names + ['class_logits', 'box_deltas'], {'input': values})
for name, map in zip(names, outputs):
    numpy.ascontiguousarray(map.transpose(0, 2, 3, 1)).tofile(f'{folder}/{name}')
numpy.concatenate([o.ravel() for o in outputs[-2:]]).tofile(f'{folder}/outputs')
";

/// Every layer, given what ONNX Runtime gave it, leaves bytes that are at most one away from ONNX Runtime's, and
/// hardly ever that.
#[test]
fn onnx_runtime_runs_eight_bits() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with onnx and onnxruntime; SANDGLASS_PYTHON may name one");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let photo = sandglass_detector::source::load_image(Path::new("../assets/demo/astronaut.jpg")).unwrap();
    for name in ["mobilenet-v2-1.0", "mobilenext-0.35-id2"] {
        let mut calibration = Calibration::open(Some(name), None).unwrap();
        calibration.add(&photo).unwrap();
        let model = calibration.finish(Method::Mse, &mut |_, _| ()).unwrap();
        model.save(&file("w.safetensors")).unwrap();
        let exported = export::onnx(None, Some(&file("w.safetensors")), false).unwrap();
        std::fs::write(file("model.onnx"), exported).unwrap();
        let weights = Weights::open(&file("w.safetensors")).unwrap();
        let info = weights.info().unwrap();
        let network = ssdlite(&info.backbone, info.classes.len());
        let plan = Plan::new(&network, &weights, INPUT_SIZE, INPUT_SIZE).unwrap();
        let values: Vec<f32> = (0..INPUT_SIZE * INPUT_SIZE * 3)
            .map(|i| (((i as u64 * 2_654_435_761) >> 8) % 1000) as f32 / 250.0 - 2.0)
            .collect();
        write(&file("values"), &values);
        let output = Command::new(&python)
            .args(["-c", MAPS])
            .args([file("model.onnx"), file("values"), folder.path().to_owned()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));

        let bytes = |map: usize| std::fs::read(file(&format!("map{map}.bytes"))).unwrap_or_default();
        let maps: Vec<Vec<u8>> = (0..plan.maps.len()).map(bytes).collect();
        let (mut off, mut all) = (0, 0);
        let mut outputs = std::collections::BTreeMap::new();
        for (i, step) in plan.steps.iter().enumerate() {
            match plain_int8::step(&plan, i, &values, &maps) {
                Ok(ours) => {
                    let theirs = &maps[step.output.0];
                    assert_eq!(ours.len(), theirs.len(), "{name}: {}", step.name);
                    let differences = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
                    assert!(differences.clone().all(|d| d <= 1), "{name}: {}", step.name);
                    off += differences.filter(|d| *d > 0).count();
                    all += ours.len();
                }
                Err(ours) => drop(outputs.insert(step.output.0, ours)),
            }
        }
        assert!(off * 200 < all, "{name}: {off} of {all} bytes are one away");
        let theirs = read(&file("outputs"));
        let order = plan.outputs.iter().flat_map(|output| &output.maps);
        let ours: Vec<f32> = order.flat_map(|map| outputs.remove(&map.0).unwrap()).collect();
        let difference = difference(&ours, &theirs);
        assert!(difference < 1e-3, "{name}: {difference}");
    }
}

/// The largest difference over the range of the expected values.
fn difference(expected: &[f32], got: &[f32]) -> f32 {
    let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    expected.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / (high - low)
}

fn write(path: &Path, values: &[f32]) {
    std::fs::write(path, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()).unwrap();
}

fn read(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}
