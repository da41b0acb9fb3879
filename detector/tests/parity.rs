//! The whole network of every detector gives what the references give: candle here, at odd input sizes,
//! and PyTorch through recorded values (`backbone/tests/record_golden.py`), with weights made from the
//! same formula on all sides.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use candle_core::{Device, Tensor};
use sandglass_backbone::reference::Reference;
use sandglass_backbone::{Backbone, CpuEngine, CpuOptions, Engine, InstructionSet, Plan, Weights};
use sandglass_detector::heads::{INPUT_SIZE, ssdlite};

/// As in the recording: height × width × 3 values between -2 and 2.
fn picture(height: usize, width: usize) -> Vec<f32> {
    let value = |i: u64| (i * 2_654_435_761 % 4_294_967_296) as f64 / 4_294_967_296.0 * 4.0 - 2.0;
    (0..(height * width * 3) as u64).map(|i| value(i) as f32).collect()
}

/// The largest difference over the range of the expected values.
fn difference(expected: &[f32], got: &[f32]) -> f32 {
    assert_eq!(expected.len(), got.len());
    let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    expected.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / (high - low)
}

#[test]
fn every_detector_agrees_with_candle_at_an_odd_size() {
    let (height, width) = (97, 65);
    for backbone in Backbone::all() {
        let network = ssdlite(&backbone, 5);
        let weights = Weights::untrained(&network);
        let reference = Reference::new(&network, &weights, &Device::Cpu).unwrap();
        let input = Tensor::from_vec(picture(height, width), (1, height, width, 3), &Device::Cpu).unwrap();
        let input = input.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let expected = reference.forward_all(&input).unwrap();
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            let plan = Plan::new(&network, &weights, height, width).unwrap();
            let mut engine = CpuEngine::with_options(
                plan,
                CpuOptions { threads: 2, instructions: set, ..CpuOptions::default() },
            )
            .unwrap();
            engine.run(&picture(height, width)).unwrap();
            for (index, expected) in expected.iter().enumerate() {
                let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
                let difference = difference(&expected, engine.output(index));
                assert!(difference <= 1e-3, "{backbone} {set} output {index}: {difference}");
            }
        }
    }
}

#[test]
fn every_detector_agrees_with_pytorch() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/detectors.json")).unwrap();
    let golden = golden.as_object().unwrap();
    assert_eq!(golden.len(), Backbone::all().count());
    for (name, recorded) in golden {
        let network = ssdlite(&name.parse().unwrap(), 21);
        let plan = Plan::new(&network, &Weights::untrained(&network), INPUT_SIZE, INPUT_SIZE).unwrap();
        let mut engine = CpuEngine::new(plan, 2).unwrap();
        engine.run(&picture(INPUT_SIZE, INPUT_SIZE)).unwrap();
        for (index, (output, step)) in [("class_logits", 1009), ("box_deltas", 197)].into_iter().enumerate() {
            let expected: Vec<f32> =
                recorded[output].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            let got: Vec<f32> = engine.output(index).iter().step_by(step).copied().collect();
            let difference = difference(&expected, &got);
            assert!(difference <= 1e-3, "{name} {output}: {difference}");
        }
    }
}
