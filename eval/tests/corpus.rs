//! Every input of the fuzz targets' corpus through what the targets do with it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::path::Path;

#[path = "../fuzz/fuzz_targets/shared.rs"]
mod shared;
#[path = "../../detector/tests/support/corpus.rs"]
mod support;

fn run(target: &str) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus.tar.gz");
    support::run(&archive, target, &shared::TARGETS);
}

macro_rules! targets {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            run(stringify!($target));
        })*

        #[test]
        fn no_target_is_left_out() {
            assert_eq!(shared::TARGETS.map(|(name, _)| name), [$(stringify!($target)),*]);
        }
    };
}

targets! { annotation coco detections parts }
