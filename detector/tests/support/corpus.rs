//! For the tests of fuzz targets: every input of a corpus through what its target does with it.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

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

/// What a target does with an input.
type Run = fn(&[u8]);

/// Runs the inputs in `archive` (`corpus/TARGET/…` in a .tar.gz) that are of a target.
pub(crate) fn run(archive: &Path, target: &str, targets: &[(&str, Run)]) {
    let packed = std::fs::read(archive).unwrap_or_else(|e| panic!("{}: {e}", archive.display()));
    let mut unpacked = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
    let (_, run) = targets.iter().find(|(name, _)| *name == target).unwrap();
    let folder = format!("corpus/{target}/");
    let mut count = 0;
    for (name, input) in files(&unpacked).iter().filter(|(name, _)| name.starts_with(&folder)) {
        // Seen where the test fails.
        println!("{name}");
        run(input);
        count += 1;
    }
    assert!(count > 10, "{}: {count} inputs for {target}", archive.display());
}
