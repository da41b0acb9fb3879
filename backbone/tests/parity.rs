//! Every network on every engine gives what the references give: candle here, PyTorch through recorded
//! values. Weights are `Weights::untrained`, which `record_golden.py` makes from the same formula.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use candle_core::{Device, Tensor};
use sandglass_backbone::reference::Reference;
use sandglass_backbone::{Backbone, CpuEngine, CpuOptions, Engine, InstructionSet, Network, Plan, Weights};

/// A made-up picture: height × width × 3 values between -2 and 2, the same in `record_golden.py`.
fn picture(height: usize, width: usize) -> Vec<f32> {
    let value =
        |i: usize| ((i as u64 * 2_654_435_761 % 4_294_967_296) as f64 / 4_294_967_296.0 * 4.0 - 2.0) as f32;
    (0..height * width * 3).map(value).collect()
}

/// The largest difference over the range of the expected values.
fn difference(expected: &[f32], got: &[f32]) -> f32 {
    assert_eq!(expected.len(), got.len());
    let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    expected.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / (high - low).max(1e-6)
}

fn run(
    network: &Network,
    weights: &Weights,
    size: (usize, usize),
    set: InstructionSet,
    threads: usize,
) -> Vec<f32> {
    let plan = Plan::new(network, weights, size.0, size.1).unwrap();
    assert_eq!(plan.multiply_adds(), network.multiply_adds(size.0, size.1).unwrap());
    let mut engine =
        CpuEngine::with_options(plan, CpuOptions { threads, instructions: set, ..CpuOptions::default() })
            .unwrap();
    // Twice: the second run meets used buffers.
    engine.run(&vec![1.0; size.0 * size.1 * 3]).unwrap();
    engine.run(&picture(size.0, size.1)).unwrap();
    engine.output(0).to_vec()
}

#[test]
fn engines_agree_with_candle_on_every_backbone() {
    for backbone in Backbone::all() {
        let network = backbone.classifier(10);
        let weights = Weights::untrained(&network);
        let reference = Reference::new(&network, &weights, &Device::Cpu).unwrap();
        for size in [(65, 97), (64, 33)] {
            let input =
                Tensor::from_vec(picture(size.0, size.1), (1, size.0, size.1, 3), &Device::Cpu).unwrap();
            let input = input.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            let expected = reference.forward_all(&input).unwrap().remove(0);
            let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
            for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
                let got = run(&network, &weights, size, set, if size.0 == 64 { 3 } else { 1 });
                let difference = difference(&expected, &got);
                assert!(difference <= 1e-3, "{backbone} {size:?} {set}: {difference}");
            }
        }
    }
}

#[test]
fn engines_agree_with_pytorch_on_every_backbone() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/classifiers.json")).unwrap();
    let golden = golden.as_object().unwrap();
    assert_eq!(golden.len(), Backbone::all().count());
    for (name, expected) in golden {
        let expected: Vec<f32> =
            expected.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let network = name.parse::<Backbone>().unwrap().classifier(10);
        let got = run(&network, &Weights::untrained(&network), (97, 65), InstructionSet::best(), 2);
        let difference = difference(&expected, &got);
        assert!(difference <= 1e-3, "{name}: {difference}");
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let network = "mobilenext-0.5-id3".parse::<Backbone>().unwrap().classifier(10);
    let weights = Weights::untrained(&network);
    let one = run(&network, &weights, (160, 161), InstructionSet::best(), 1);
    for threads in [2, 3, 8] {
        assert_eq!(one, run(&network, &weights, (160, 161), InstructionSet::best(), threads));
    }
}

#[test]
fn sizes_down_to_one_pixel_run() {
    let network = "mobilenet-v2-0.35".parse::<Backbone>().unwrap().classifier(10);
    let weights = Weights::untrained(&network);
    for size in [(1, 1), (2, 1), (3, 50)] {
        let scalar = run(&network, &weights, size, InstructionSet::Scalar, 1);
        let best = run(&network, &weights, size, InstructionSet::best(), 2);
        assert!(difference(&scalar, &best) <= 1e-3);
    }
    let plan = Plan::new(&network, &weights, 32, 32).unwrap();
    assert!(CpuEngine::new(plan, 1).unwrap().run(&[0.0; 5]).is_err());
    assert!(Plan::new(&network, &weights, 0, 32).is_err());
    let other = "mobilenet-v2-0.5".parse::<Backbone>().unwrap().classifier(10);
    assert!(Plan::new(&other, &weights, 32, 32).is_err());
}
