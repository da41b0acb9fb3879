//! Every input of the fuzz targets' corpus through what the targets do with it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

#[path = "../fuzz/fuzz_targets/shared.rs"]
mod shared;

/// The files of a tar archive by path; names longer than a header's field do not occur.
fn files(mut archive: &[u8]) -> Vec<(String, &[u8])> {
    let mut files = Vec::new();
    while let Some((header, rest)) = archive.split_at_checked(512).filter(|(header, _)| header[0] != 0) {
        let text = |field: std::ops::Range<usize>| {
            let field = std::str::from_utf8(&header[field]).unwrap();
            field.split('\0').next().unwrap().trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124..136), 8).unwrap();
        if matches!(header[156], b'0' | 0) {
            files.push((text(0..100), &rest[..size]));
        }
        archive = &rest[size.next_multiple_of(512)..];
    }
    files
}

/// Runs the inputs of one target.
fn run(target: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus.tar.gz");
    let packed = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut archive = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut archive).unwrap();
    let (_, run) = shared::TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let folder = format!("corpus/{target}/");
    let mut count = 0;
    for (name, input) in files(&archive).iter().filter(|(name, _)| name.starts_with(&folder)) {
        // Seen where the test fails.
        println!("{name}");
        run(input);
        count += 1;
    }
    assert!(count > 10, "{}: {count} inputs for {target}", path.display());
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

targets! { mp4 avi camera weights plan checkpoint }
