//! The CUDA kernels compile for every architecture, and the PTX that ships is made of them.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;

use sandglass_backbone::cuda::emulation::check_ptx;
use sandglass_backbone::cuda::{KERNELS, Precision, architectures};

#[test]
fn shipped_ptx_is_made_of_the_kernels() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda/kernels/backbone.zip");
    check_ptx(&KERNELS, &[Precision::F16, Precision::F32, Precision::I8], &path).unwrap();
}

#[test]
fn every_device_from_turing_on_has_ptx() {
    for precision in [Precision::F16, Precision::F32, Precision::I8] {
        assert!(KERNELS.ptx(precision, 70).is_none());
        for capability in [75, 80, 86, 89, 90, 100, 120] {
            let ptx = KERNELS.ptx(precision, capability).unwrap();
            let target = architectures(precision).iter().rev().find(|a| **a <= capability).unwrap();
            assert!(ptx.contains(&format!(".target sm_{target}")));
            for kernel in KERNELS.names(precision) {
                assert!(ptx.contains(&format!(".entry {kernel}(")), "{kernel}");
            }
        }
    }
}
