//! What a detector has found so far, on disk, so that an interrupted run goes on where it was.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sandglass_eval::PixelBox;
use serde::{Deserialize, Serialize};

/// The file's name in the folder of detections.
const NAME: &str = "unfinished.jsonl";

/// Pictures between two writes to the disk.
const FLUSH: usize = 16;

/// What was found in a picture, or why nothing could be.
pub(crate) type Outcome = Result<Vec<(String, f64, PixelBox)>, String>;

/// The first line: which run it is.
#[derive(PartialEq, Serialize, Deserialize)]
struct Header {
    detector: String,
    images: usize,
}

#[derive(Serialize, Deserialize)]
struct Line {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    found: Vec<(String, f64, [f64; 4])>,
}

/// The file, open for more.
pub(crate) struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
    waiting: usize,
}

/// Opens the journal of a folder, and returns what it holds of this run. One of another run is an error:
/// nothing that took long is thrown away unasked.
pub(crate) fn open(
    folder: &Path,
    detector: &str,
    images: usize,
) -> anyhow::Result<(Journal, HashMap<String, Outcome>)> {
    let path = folder.join(NAME);
    let header = Header { detector: detector.to_owned(), images };
    let mut known = HashMap::new();
    let text = if path.exists() {
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?
    } else {
        String::new()
    };
    // The last line may have been cut short.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut lines = whole.lines();
    if let Some(first) = lines.next() {
        let other: Option<Header> = serde_json::from_str(first).ok();
        if other.as_ref() != Some(&header) {
            bail!(
                "{} is of an unfinished run of another detector or set: remove it, or choose another folder",
                path.display()
            );
        }
        for line in lines {
            let Ok(Line { image, failed, found }) = serde_json::from_str(line) else { break };
            let item = |(class, score, [xmin, ymin, xmax, ymax]): (String, f64, [f64; 4])| {
                (class, score, PixelBox { xmin, ymin, xmax, ymax })
            };
            let outcome = match failed {
                Some(reason) => Err(reason),
                None => Ok(found.into_iter().map(item).collect()),
            };
            known.insert(image, outcome);
        }
    }
    let write = || -> std::io::Result<BufWriter<File>> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        file.set_len(whole.len() as u64)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
        let mut file = BufWriter::new(file);
        if whole.is_empty() {
            serde_json::to_writer(&mut file, &header)?;
            file.write_all(b"\n")?;
            file.flush()?;
        }
        Ok(file)
    };
    let file = write().with_context(|| format!("writing {}", path.display()))?;
    Ok((Journal { path, file, waiting: 0 }, known))
}

/// Removes the journal of a folder, if there is one: the run has come to its end.
pub(crate) fn remove(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

impl Journal {
    /// Adds a picture.
    pub(crate) fn add(&mut self, image: &str, outcome: &Outcome) -> anyhow::Result<()> {
        let item = |(class, score, b): &(String, f64, PixelBox)| {
            (class.clone(), *score, [b.xmin, b.ymin, b.xmax, b.ymax])
        };
        let line = Line {
            image: image.to_owned(),
            failed: outcome.as_ref().err().cloned(),
            found: outcome.as_ref().map_or_else(|_| Vec::new(), |found| found.iter().map(item).collect()),
        };
        let mut write = || -> std::io::Result<()> {
            serde_json::to_writer(&mut self.file, &line)?;
            self.file.write_all(b"\n")?;
            self.waiting += 1;
            if self.waiting >= FLUSH {
                self.waiting = 0;
                self.file.flush()?;
            }
            Ok(())
        };
        write().with_context(|| format!("writing {}", self.path.display()))
    }
}
