//! An engine allocates nothing after its first frame.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use std::sync::atomic::Ordering;

use counting::CALLS;
use sandglass_backbone::{Backbone, CpuEngine, CpuOptions, Engine, InstructionSet, Plan, Weights};

#[path = "common/counting.rs"]
mod counting;

// One test alone: another one beside it would be counted, too.
#[test]
fn no_frame_after_the_first_allocates() {
    for name in ["mobilenext-0.35-id2", "mobilenet-v2-0.35", "mobilenet-v1-0.25"] {
        let network = name.parse::<Backbone>().unwrap().classifier(10);
        let weights = Weights::untrained(&network);
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            for threads in [1, 3] {
                let plan = Plan::new(&network, &weights, 65, 97).unwrap();
                let mut engine = CpuEngine::with_options(
                    plan,
                    CpuOptions { threads, instructions: set, ..CpuOptions::default() },
                )
                .unwrap();
                let input = vec![0.5; 65 * 97 * 3];
                engine.run(&input).unwrap();
                let before = CALLS.load(Ordering::SeqCst);
                for _ in 0..3 {
                    engine.run(&input).unwrap();
                }
                let calls = CALLS.load(Ordering::SeqCst) - before;
                assert_eq!(calls, 0, "{name}, {set}, {threads} threads");
            }
        }
    }
}
