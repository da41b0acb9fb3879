//! Checkpoints that PyTorch wrote: a state dict inside a training checkpoint, with the prefix of several
//! GPUs, in both of its formats. `data/checkpoint.pth` and `-legacy.pth.tar` hold the same tensors.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![cfg(feature = "pytorch")]

use std::path::{Path, PathBuf};

use sandglass_backbone::Weights;
use sandglass_backbone::weights::pytorch;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn check(weights: &Weights) {
    let counted = |range: std::ops::Range<u8>| range.map(f32::from).collect::<Vec<_>>();
    assert_eq!(weights.shape("plain.weight"), Some(&[2, 3, 4][..]));
    assert_eq!(weights.values("plain.weight"), Some(counted(0..24)));
    // Stored in another order of dimensions: (2, 3, 4) seen as (4, 2, 3).
    assert_eq!(weights.shape("turned.weight"), Some(&[4, 2, 3][..]));
    let turned = weights.values("turned.weight").unwrap();
    assert_eq!(turned[..7], [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0]);
    assert_eq!(weights.values("half.bias"), Some(vec![0.5, -1.5]));
    assert_eq!(weights.values("double.bias"), Some(vec![0.25]));
    assert_eq!(weights.values("part.weight"), Some(counted(12..24)));
    assert_eq!(weights.values("param.weight"), Some(vec![1.0; 4]));
    assert_eq!(weights.names().count(), 7);
}

#[test]
fn both_formats_are_read() {
    check(&pytorch::load(&data("checkpoint.pth")).unwrap());
    check(&pytorch::load(&data("checkpoint-legacy.pth.tar")).unwrap());
}

#[test]
fn checkpoints_cut_short_or_damaged_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["checkpoint.pth", "checkpoint-legacy.pth.tar"] {
        let whole = std::fs::read(data(name)).unwrap();
        let path = folder.path().join(name);
        for length in (0..whole.len() - 1).step_by(41) {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = pytorch::load(&path).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        // Any byte may be wrong: what comes out is an error or other numbers, never a panic.
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            std::fs::write(&path, &damaged).unwrap();
            let _ = pytorch::load(&path);
        }
    }
}
