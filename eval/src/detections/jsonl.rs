//! Detections as `sandglass-detect --json` and `--sidecar` write them: one JSON object a picture or frame.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::Detections;
use crate::error::Error;
use crate::pixel_box::PixelBox;

/// The longest line that is read, in bytes: some hundred thousand detections.
const MAX_LINE: usize = 64 << 20;

/// What of a line matters here.
#[derive(Deserialize)]
struct Line {
    source: String,
    frame: Option<u64>,
    detections: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    label: String,
    score: f64,
    #[serde(rename = "box")]
    corners: [f64; 4],
}

impl Detections {
    /// Reads a file of JSON lines with `source` (the picture's file), `detections` and in these `label`,
    /// `score` and `box` as `[x1, y1, x2, y2]` in continuous pixels counted from 0.
    ///
    /// An image's id is its file name without the ending; a line with a `frame` is frame N of a video, with
    /// the id `NAME#N`. Boxes become inclusive pixels by [`PixelBox::from_continuous`]. Empty lines and other
    /// fields are passed over.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::Line`] for a line that is no such object.
    pub fn read_json_lines(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let mut input = BufReader::new(File::open(path).map_err(io)?);
        let mut found = Self::default();
        let mut text = Vec::new();
        for number in 1.. {
            let wrong = |reason| Error::Line { path: path.to_owned(), line: number, reason };
            text.clear();
            let limited = &mut std::io::Read::take(&mut input, MAX_LINE as u64);
            if limited.read_until(b'\n', &mut text).map_err(io)? == 0 {
                break;
            }
            if text.len() == MAX_LINE {
                return Err(wrong(format!("it is longer than {} MiB", MAX_LINE >> 20)));
            }
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line: Line = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
            let name = Path::new(&line.source).file_stem().unwrap_or_default().to_string_lossy();
            let id = match line.frame {
                Some(frame) => format!("{name}#{frame}"),
                None => name.into_owned(),
            };
            for item in &line.detections {
                let bounds = PixelBox::from_continuous(item.corners);
                found.push(&item.label, &id, item.score, bounds).map_err(|e| wrong(e.to_string()))?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Detections, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("found.jsonl");
        std::fs::write(&path, text).unwrap();
        Detections::read_json_lines(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn pictures_and_frames_are_read() {
        let found = read(concat!(
            r#"{"source":"photos/000012.jpg","width":9,"height":9,"backbone":"x","detections":[{"label":"cat","#,
            r#""class_id":8,"score":0.5,"box":[0.0,1.5,4.0,6.0]}],"timing_ms":{"total":1.0}}"#,
            "\n\n",
            r#"{"source":"clip.mp4","frame":3,"time":0.1,"detections":[{"label":"cat","score":1,"box":[0,0,1,1]}]}"#,
            "\n",
            r#"{"source":"empty.png","detections":[]}"#,
        ))
        .unwrap();
        assert_eq!(found.classes(), ["cat"]);
        assert_eq!(found.images(), ["000012", "clip#3"]);
        let first = found.of_class("cat")[0];
        assert_eq!(first.bounds, PixelBox { xmin: 1.0, ymin: 2.5, xmax: 4.0, ymax: 6.0 });
        assert_eq!(first.score, 0.5);
    }

    #[test]
    fn bad_lines_are_named() {
        let good = r#"{"source":"a","detections":[]}"#;
        for bad in [
            "hello",
            "{}",
            r#"{"source":"a"}"#,
            r#"{"source":"a","detections":[{"label":"cat","score":"high","box":[0,0,1,1]}]}"#,
            r#"{"source":"a","detections":[{"label":"cat","score":0.5,"box":[0,0,1]}]}"#,
            r#"{"source":"a","detections":[{"label":"cat","score":1e999,"box":[0,0,1,1]}]}"#,
        ] {
            let said = read(&format!("{good}\n{bad}\n")).unwrap_err();
            assert!(said.contains("found.jsonl: line 2: "), "{said}");
        }
        let deep = format!("{}{}", r#"{"source":"a","detections":"#, "[".repeat(100_000));
        assert!(read(&deep).is_err());
    }
}
