//! Detection in pictures: those that arguments name, or those named by lines on standard input, however many.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use sandglass_detector::complain;
use sandglass_detector::program::told;
use sandglass_detector::record::{Line, draw};
use sandglass_detector::source::{self, Detail};
use sandglass_detector::{Detections, Detector, Error, Frame, Opened};
use serde_json::json;

use crate::detect::{DetectArgs, progress_bar};
use crate::output::{JsonLines, milliseconds, say, summary};

/// More than the name of any file has.
const MOST_NAME: u64 = 1 << 16;
/// Pictures of a thread that are worked on before results are written.
const EACH: usize = 4;

pub(crate) fn run(args: &DetectArgs, detector: &Detector) -> Result<ExitCode> {
    let mut names = if args.stdin_paths { Names::lines() } else { Names::listed(&args.sources) };
    let count = names.count();
    let mut run = Run {
        saver: args.save.as_deref().map(|to| Saver::new(to, &names)).transpose()?,
        json: args.json.as_deref().map(JsonLines::create).transpose()?,
        to_terminal: args.json.as_deref() != Some(Path::new("-")),
        line_for_each: args.stdin_paths,
        timing: !args.no_timing,
        backbone: detector.backbone().to_string(),
        progress: progress_bar(count.unwrap_or(0)),
        done: 0,
        failed: 0,
    };
    // What is drawn onto is decoded whole, one at a time; otherwise each thread takes a picture.
    let drawn = run.saver.is_some();
    let most = if drawn || detector.lanes() == 1 { 1 } else { detector.lanes() * EACH };
    while let Some(chunk) = names.next(most)? {
        if let ([Named::Picture(path)], true) = (chunk.as_slice(), drawn) {
            run.take(&chunk[0], detect_and_open(detector, path))?;
            continue;
        }
        let found = detector.detect_each(&chunk, |named| match named {
            Named::Picture(path) => source::read_image(path, Detail::Reduced).map(Opened::Frame),
            Named::Nothing { reason, .. } => Err(Error::Source(reason.clone())),
        })?;
        for (named, found) in chunk.iter().zip(found) {
            run.take(named, found.map(|found| (found, None)))?;
        }
    }
    run.finish()
}

/// What is found, as ever, and the whole picture to draw onto.
fn detect_and_open(detector: &Detector, path: &Path) -> Result<(Detections, Option<Frame>), Error> {
    let frame = source::read_image(path, Detail::Reduced)?;
    let found = detector.detect(&frame)?;
    let is_whole = frame.full_size() == (frame.width(), frame.height());
    Ok((found, Some(if is_whole { frame } else { source::load_image(path)? })))
}

/// What an argument or a line comes to.
enum Named {
    Picture(PathBuf),
    Nothing { name: String, reason: String },
}

/// Where names of pictures come from.
enum Names {
    Listed(std::vec::IntoIter<Named>),
    Lines(BufReader<Stdin>),
}

impl Names {
    fn listed(arguments: &[String]) -> Self {
        let mut names = Vec::new();
        for argument in arguments {
            match source::expand(std::slice::from_ref(argument)) {
                Ok(found) => names.extend(found.into_iter().map(Named::Picture)),
                Err(error) => {
                    names.push(Named::Nothing { name: argument.clone(), reason: error.to_string() })
                }
            }
        }
        Self::Listed(names.into_iter())
    }

    fn lines() -> Self {
        Self::Lines(BufReader::new(std::io::stdin()))
    }

    /// How many there are, where that is known.
    fn count(&self) -> Option<usize> {
        match self {
            Self::Listed(names) => Some(names.len()),
            Self::Lines(_) => None,
        }
    }

    /// The next ones, of lines as many as there are without waiting for more, and at most `most`.
    fn next(&mut self, most: usize) -> Result<Option<Vec<Named>>> {
        let names: Vec<Named> = match self {
            Self::Listed(names) => names.take(most).collect(),
            Self::Lines(lines) => {
                let mut names = Vec::new();
                while names.len() < most && (names.is_empty() || lines.buffer().contains(&b'\n')) {
                    let mut line = Vec::new();
                    let read = lines.by_ref().take(MOST_NAME).read_until(b'\n', &mut line);
                    if read.context("standard input cannot be read")? == 0 {
                        break;
                    }
                    if line.len() as u64 == MOST_NAME && !line.ends_with(b"\n") {
                        lines.skip_until(b'\n').context("standard input cannot be read")?;
                        let name = String::from_utf8_lossy(line.get(..100).unwrap_or(&line)).into_owned();
                        let reason =
                            format!("a line that begins with {name:?} has {MOST_NAME} bytes or more");
                        names.push(Named::Nothing { name, reason });
                        continue;
                    }
                    while line.last().is_some_and(|byte| b"\r\n".contains(byte)) {
                        line.pop();
                    }
                    if !line.is_empty() {
                        names.push(Named::Picture(path(line)));
                    }
                }
                names
            }
        };
        Ok(Some(names).filter(|names| !names.is_empty()))
    }
}

#[cfg(unix)]
fn path(line: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(line).into()
}

#[cfg(not(unix))]
fn path(line: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&line).into_owned().into()
}

/// Where the results go.
struct Run {
    saver: Option<Saver>,
    json: Option<JsonLines>,
    to_terminal: bool,
    /// Whether pictures that fail have a line of JSON, too.
    line_for_each: bool,
    timing: bool,
    backbone: String,
    progress: ProgressBar,
    done: u64,
    failed: u64,
}

impl Run {
    fn take(&mut self, named: &Named, outcome: Result<(Detections, Option<Frame>), Error>) -> Result<()> {
        self.done += 1;
        self.progress.inc(1);
        let name = match named {
            Named::Picture(path) => path.display().to_string(),
            Named::Nothing { name, .. } => name.clone(),
        };
        let (found, frame) = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                if let Some(json) = self.json.as_mut().filter(|_| self.line_for_each) {
                    json.write(&json!({ "source": name, "error": error.to_string() }))?;
                }
                self.fail(error);
                return Ok(());
            }
        };
        if let Some(json) = &mut self.json {
            let line = Line::new(&name, None, &self.backbone, &found);
            json.write(&if self.timing { line } else { line.without_timing() })?;
        }
        if let (Some(saver), Named::Picture(path), Some(frame)) = (&mut self.saver, named, &frame)
            && let Err(error) = saver.save(path, &draw(frame, &found.items))
        {
            self.fail(told(error.as_ref()));
        }
        if self.to_terminal {
            let took = milliseconds(found.timing.total());
            let line = format!("{name}: {} ({took:.1} ms)", summary(&found));
            self.progress.suspend(|| say(line))?;
        }
        Ok(())
    }

    fn fail(&mut self, reason: impl std::fmt::Display) {
        self.failed += 1;
        self.progress.suspend(|| complain!("failed: {reason}"));
    }

    fn finish(self) -> Result<ExitCode> {
        self.progress.finish_and_clear();
        if let Some(json) = self.json {
            json.finish()?;
        }
        Ok(verdict(self.failed, self.done, "inputs"))
    }
}

/// The exit status where `failed` of `all` things could not be used, which is said.
pub(crate) fn verdict(failed: u64, all: u64, what: &str) -> ExitCode {
    if failed > 0 {
        complain!("{failed} of {all} {what} failed");
    }
    ExitCode::from(u8::from(failed > 0))
}

/// Saves annotated pictures to one file or into a folder. No picture that is looked at is written over.
struct Saver {
    to: PathBuf,
    is_folder: bool,
    /// The files written so far, and by the name that a picture should have had, which number was given last.
    used: HashMap<PathBuf, usize>,
    /// All pictures that are looked at, where they are known; otherwise nothing that is there already is written over.
    sources: Option<HashSet<PathBuf>>,
}

impl Saver {
    fn new(to: &Path, names: &Names) -> Result<Self> {
        let is_file = to.extension().is_some() && !to.is_dir();
        let sources = match names {
            Names::Listed(names) => {
                let paths = names.as_slice().iter().filter_map(|named| match named {
                    Named::Picture(path) => path.canonicalize().ok(),
                    Named::Nothing { .. } => None,
                });
                Some(paths.collect())
            }
            Names::Lines(_) if is_file => {
                bail!(
                    "--save {}: with --stdin-paths it must be a folder, for there may be many pictures",
                    to.display()
                )
            }
            Names::Lines(_) => None,
        };
        let is_folder = names.count() != Some(1) || !is_file;
        if is_folder {
            std::fs::create_dir_all(to)
                .with_context(|| format!("cannot make the folder {} for annotated pictures", to.display()))?;
        }
        Ok(Self { to: to.to_owned(), is_folder, used: HashMap::new(), sources })
    }

    /// Where a picture goes: its own name in the folder, with a number where two have the same.
    fn target(&mut self, source: &Path) -> PathBuf {
        if !self.is_folder {
            return self.to.clone();
        }
        let stem = source.file_stem().unwrap_or(source.as_os_str()).to_string_lossy().into_owned();
        // What cannot be written (or animated) becomes PNG.
        let extension = source.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let kept =
            extension.filter(|e| ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"].contains(&e.as_str()));
        let extension = kept.as_deref().unwrap_or("png");
        let name = |number: usize| match number {
            1 => self.to.join(format!("{stem}.{extension}")),
            _ => self.to.join(format!("{stem}-{number}.{extension}")),
        };
        let last = self.used.get(&name(1)).copied().unwrap_or(0);
        // What an earlier run left may be written over, where that is no picture to be looked at.
        let is_free =
            |path: &PathBuf| !self.used.contains_key(path) && (self.sources.is_some() || !path.exists());
        let free = (last + 1..).find(|&number| is_free(&name(number))).unwrap_or(last + 1);
        let target = name(free);
        self.used.insert(name(1), free);
        self.used.entry(target.clone()).or_insert(1);
        target
    }

    fn save(&mut self, source: &Path, picture: &Frame) -> Result<()> {
        let target = self.target(source);
        let cannot = || format!("cannot save {}", target.display());
        if let (Some(sources), Ok(there)) = (&self.sources, target.canonicalize())
            && sources.contains(&there)
        {
            bail!("{} is one of the pictures themselves; save somewhere else", target.display());
        }
        let size = (picture.width(), picture.height());
        let rgb = image::RgbImage::from_raw(size.0, size.1, picture.packed()).with_context(cannot)?;
        rgb.save(&target).with_context(cannot)
    }
}
