//! The whole network of every detector gives what the PyTorch reference gave (recorded by
//! `backbone/tests/record_golden.py`, with weights made from the same formula on both sides).
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use sandglass_backbone::{Backbone, CpuEngine, Engine, InstructionSet, Plan, Weights};
use sandglass_detector::heads::{INPUT_SIZE, ssdlite};

/// As in the recording: 320 × 320 × 3 values between -2 and 2.
fn picture() -> Vec<f32> {
    let value = |i: u64| (i * 2_654_435_761 % 4_294_967_296) as f64 / 4_294_967_296.0 * 4.0 - 2.0;
    (0..(INPUT_SIZE * INPUT_SIZE * 3) as u64).map(|i| value(i) as f32).collect()
}

#[test]
fn every_detector_agrees_with_pytorch() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/detectors.json")).unwrap();
    let golden = golden.as_object().unwrap();
    assert_eq!(golden.len(), Backbone::all().count());
    for (name, recorded) in golden {
        let network = ssdlite(&name.parse().unwrap(), 21);
        let plan = Plan::new(&network, &Weights::untrained(&network), INPUT_SIZE, INPUT_SIZE).unwrap();
        let mut engine = CpuEngine::with_instructions(plan, 2, InstructionSet::best()).unwrap();
        engine.run(&picture()).unwrap();
        for (index, (output, step)) in [("class_logits", 1009), ("box_deltas", 197)].into_iter().enumerate() {
            let expected: Vec<f64> =
                recorded[output].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let got: Vec<f64> = engine.output(index).iter().step_by(step).map(|&v| f64::from(v)).collect();
            assert_eq!(expected.len(), got.len(), "{name} {output}");
            let (low, high) = expected.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            for (i, (a, b)) in expected.iter().zip(&got).enumerate() {
                let difference = (a - b).abs() / (high - low);
                assert!(difference <= 1e-3, "{name} {output} {i}: {a} and {b}");
            }
        }
    }
}
