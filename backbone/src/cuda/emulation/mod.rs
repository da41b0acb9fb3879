//! Runs a [`Program`] on the CPU: the same kernels, compiled as C++ with `shim.h` in CUDA's place, so that tests
//! execute them where there is no GPU. Slow, and strict: see `shim.h` for what it refuses.
//!
//! Needs a C++ compiler on x86-64 (`CXX`, or else `c++`) with its address sanitizer.

mod ptx;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::kernels::Source;
use super::program::{Argument, BufferId, Contents, Launch, Program};
use super::schedule::Precision;

pub use ptx::check_ptx;

/// In which order the threads of a block run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Backward,
    /// Mixed.
    Shuffled,
}

impl Order {
    /// All of them: results must be the same.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Backward, Self::Shuffled];
}

/// Kernels compiled for the CPU.
#[derive(Debug)]
pub struct Emulator {
    _folder: tempfile::TempDir,
    executable: PathBuf,
}

impl Emulator {
    /// Compiles a source.
    ///
    /// # Errors
    /// A text with what the compiler said, or that there is none.
    pub fn new(source: &Source, precision: Precision) -> Result<Self, String> {
        let say = |error: std::io::Error| format!("cannot prepare the emulation: {error}");
        let folder = tempfile::tempdir().map_err(say)?;
        let kernels: String = source.names(precision).map(|name| format!("KERNEL({name})\n")).collect();
        fs::write(folder.path().join("kernels.inc"), kernels).map_err(say)?;
        let text = format!("{}\n{}\n{}", include_str!("shim.h"), source.text(), include_str!("runner.cpp"));
        let (code, executable) = (folder.path().join("emulation.cpp"), folder.path().join("emulation"));
        fs::write(&code, text).map_err(say)?;
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let mut command = Command::new(&compiler);
        command.args(["-std=c++17", "-O1", "-g1", "-Wno-unknown-pragmas", "-ffp-contract=off"]);
        command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
        command.args(Source::options(precision).iter().filter(|option| option.starts_with("-D")));
        command.arg(&code).arg("-o").arg(&executable);
        let output = command.output().map_err(|error| format!("cannot run {compiler}: {error}"))?;
        match output.status.success() {
            true => Ok(Self { _folder: folder, executable }),
            false => Err(format!("{compiler}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Runs a program's launches, with some buffers filled before, and returns what is in others afterwards.
    ///
    /// # Errors
    /// What the kernels did wrong.
    pub fn run(
        &self,
        program: &Program,
        given: &[(BufferId, &[u8])],
        wanted: &[BufferId],
        order: Order,
    ) -> Result<Vec<Vec<u8>>, String> {
        let mut text = Vec::new();
        let word = |text: &mut Vec<u8>, value: usize| text.extend((value as u32).to_le_bytes());
        word(&mut text, program.buffers.len());
        for (index, buffer) in program.buffers.iter().enumerate() {
            let zeros = vec![0; if buffer.contents == Contents::Zeros { buffer.bytes } else { 0 }];
            let bytes = match &buffer.contents {
                Contents::Constant(bytes) => bytes.as_slice(),
                Contents::Zeros => &zeros,
                Contents::Kept | Contents::Scratch => {
                    given.iter().find(|(id, _)| id.0 == index).map_or(&[][..], |(_, bytes)| bytes)
                }
            };
            text.extend((buffer.bytes as u64).to_le_bytes());
            text.extend((bytes.len() as u64).to_le_bytes());
            text.extend_from_slice(bytes);
        }
        word(&mut text, program.launches.len());
        for Launch { kernel, grid, shared, arguments, .. } in &program.launches {
            word(&mut text, kernel.len());
            text.extend_from_slice(kernel.as_bytes());
            grid.iter().for_each(|extent| word(&mut text, *extent as usize));
            word(&mut text, *shared);
            word(&mut text, arguments.len());
            for argument in arguments {
                let (kind, value) = match *argument {
                    Argument::Read(id) | Argument::Write(id) | Argument::Part(id) | Argument::Update(id) => {
                        (1, id.0 as u64)
                    }
                    Argument::Null => (0, 0),
                    Argument::Int(value) => (0, u64::from(value.cast_unsigned())),
                    Argument::Float(value) => (0, u64::from(value.to_bits())),
                };
                word(&mut text, kind);
                text.extend(value.to_le_bytes());
            }
        }
        word(&mut text, wanted.len());
        wanted.iter().for_each(|id| word(&mut text, id.0));

        let say = |error: std::io::Error| format!("the emulation: {error}");
        let mut child = Command::new(&self.executable)
            .arg(format!("{order:?}").to_lowercase())
            // The end of the process frees everything.
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(say)?;
        if let Some(mut input) = child.stdin.take() {
            // Nothing is answered before all was read; where it ends early, it says why below.
            let _ = input.write_all(&text);
        }
        let output = child.wait_with_output().map_err(say)?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let mut rest = output.stdout.as_slice();
        let results = wanted.iter().map(|id| {
            let size = program.buffers.get(id.0).map_or(0, |buffer| buffer.bytes);
            let (bytes, left) = rest.split_at_checked(size).ok_or("the emulation answered too little")?;
            rest = left;
            Ok(bytes.to_vec())
        });
        results.collect()
    }
}
