//! What one core of this machine can do at most; shared by the benchmarks.

use std::hint::black_box;
use std::time::Instant;

use sandglass_backbone::InstructionSet;

/// Multiply-adds a second of one core, in GFLOP/s: independent sums in registers.
pub(crate) fn peak(set: InstructionSet) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
        const TURNS: usize = 20_000;
        #[target_feature(enable = "avx512f")]
        fn wide(turns: usize) {
            let mut sums = [_mm512_set1_ps(black_box(1.0)); 12];
            let factor = _mm512_set1_ps(black_box(0.5));
            for _ in 0..turns {
                sums.iter_mut().for_each(|s| *s = _mm512_fmadd_ps(*s, factor, factor));
            }
            black_box(sums);
        }
        #[target_feature(enable = "avx2,fma")]
        fn narrow(turns: usize) {
            let mut sums = [_mm256_set1_ps(black_box(1.0)); 12];
            let factor = _mm256_set1_ps(black_box(0.5));
            for _ in 0..turns {
                sums.iter_mut().for_each(|s| *s = _mm256_fmadd_ps(*s, factor, factor));
            }
            black_box(sums);
        }
        let start = Instant::now();
        let lanes = match set {
            // SAFETY: the engine runs with these instructions, so the processor has them.
            // That of vectors for the matrix unit, too, which may be above it.
            InstructionSet::Avx512 | InstructionSet::Amx => unsafe {
                wide(black_box(TURNS));
                16
            },
            // SAFETY: as above.
            InstructionSet::Avx2 => unsafe {
                narrow(black_box(TURNS));
                8
            },
            InstructionSet::Scalar => return f64::NAN,
        };
        (2 * 12 * lanes * TURNS) as f64 / start.elapsed().as_nanos() as f64
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (set, black_box(0));
        f64::NAN
    }
}
