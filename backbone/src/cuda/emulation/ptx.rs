//! Whether the PTX that ships is what the pinned compiler makes of the source, and whether the assembler takes it
//! for every architecture.

#![expect(unsafe_code, reason = "the compiler's interface is C")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use cudarc::nvrtc;

use crate::cuda::kernels::{Source, architectures};
use crate::cuda::module::compile;
use crate::cuda::schedule::Precision;

/// The compiler whose PTX ships; `scripts/cuda-compiler.sh` installs it.
const PINNED: (i32, i32) = (12, 4);
/// Set to write the archive anew instead of comparing.
const UPDATE: &str = "UPDATE_PTX";

/// Compiles a source for every architecture in both precisions, has the result assembled, and compares it with
/// what ships in the zip archive at `path`. With `UPDATE_PTX` in the environment the archive is written instead.
/// False, with the reason on standard error, where the pinned compiler is not there.
///
/// # Errors
/// A text that says what does not compile, is not assembled, or differs.
pub fn check_ptx(source: &Source, precisions: &[Precision], path: &Path) -> Result<bool, String> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: looking for the library runs its initialisers; the second function writes two numbers.
    let there = unsafe {
        nvrtc::sys::is_culib_present()
            && nvrtc::sys::nvrtcVersion(&mut major, &mut minor).result().is_ok()
            && (major, minor) == PINNED
    };
    if !there {
        eprintln!("skipped: NVRTC {}.{} is not installed, see scripts/cuda-compiler.sh", PINNED.0, PINNED.1);
        return Ok(false);
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    for &precision in precisions {
        for architecture in [75, 80, 90] {
            let entry = source.entry(precision, architecture);
            let ptx = compile(source, precision, architecture).map_err(|log| format!("{entry}: {log}"))?;
            assemble(&ptx, architecture, &folder.path().join(&entry))?;
            if architectures(precision).contains(&architecture) {
                entries.push((entry, ptx));
            }
        }
    }
    if std::env::var_os(UPDATE).is_some() {
        return write(path, &entries).map(|()| true).map_err(|error| format!("{}: {error}", path.display()));
    }
    match entries.iter().find(|(entry, ptx)| source.shipped(entry).as_ref() != Some(ptx)) {
        Some((entry, _)) => {
            Err(format!("{entry} in {} is not made of this source; {UPDATE}=1 makes it anew", path.display()))
        }
        None => Ok(true),
    }
}

/// Runs the assembler that the driver has inside, too: `PTXAS`, or else `ptxas`.
fn assemble(ptx: &str, architecture: u32, file: &Path) -> Result<(), String> {
    fs::write(file, ptx).map_err(|error| error.to_string())?;
    let program = std::env::var("PTXAS").unwrap_or_else(|_| "ptxas".to_owned());
    let output = Command::new(&program)
        .arg(format!("--gpu-name=sm_{architecture}"))
        .arg(file)
        .arg("--output-file")
        .arg(file.with_extension("cubin"))
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{}: {}", file.display(), String::from_utf8_lossy(&output.stderr))),
    }
}

fn write(path: &Path, entries: &[(String, String)]) -> Result<(), zip::result::ZipError> {
    let mut archive = zip::ZipWriter::new(fs::File::create(path)?);
    // The same bytes whenever it is made.
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(zip::DateTime::default());
    for (entry, ptx) in entries {
        archive.start_file(entry, options)?;
        archive.write_all(ptx.as_bytes())?;
    }
    archive.finish().map(|_| ())
}
