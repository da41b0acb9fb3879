//! Our own JSON lines, as `sandglass-detect --json` writes them: one picture or frame a line.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;

use super::lines::{self, Naming, Piece};
use super::{Detection, Detections, check};
use crate::error::Error;
use crate::pixel_box::PixelBox;
use crate::skipped::{Policy, Skipped};

/// The part of a line that scoring needs; other fields are free.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    /// The number of a video's frame.
    frame: Option<u64>,
    #[serde(borrow)]
    detections: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    label: Cow<'a, str>,
    /// `null` is how JSON writers spell NaN and infinity.
    score: Option<f64>,
    #[serde(rename = "box")]
    corners: [Option<f64>; 4],
}

impl Detections {
    /// Reads JSON lines, one picture each:
    /// `{"source": "a/000001.jpg", "detections": [{"label": "cat", "score": 0.9, "box": [x1, y1, x2, y2]}]}`.
    ///
    /// The image is the file name of `source` without its ending; for a line with a `frame`, which is
    /// one of a video, with `#` and the frame's number behind it. Boxes are continuous coordinates in
    /// pixels and become inclusive ones by [`PixelBox::from_continuous`]. Empty lines are skipped.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::Line`] for a line that is none of these,
    /// for the second line of an image, and for a number that is not finite (`null`).
    pub fn read_jsonl(path: &Path) -> Result<Self, Error> {
        Self::read_jsonl_with(path, &mut Skipped::new(Policy::Complete))
    }

    /// As [`Detections::read_jsonl`], with odd detections dealt with as `skipped` says.
    ///
    /// # Errors
    /// As there.
    pub fn read_jsonl_with(path: &Path, skipped: &mut Skipped) -> Result<Self, Error> {
        let mut found = Self::default();
        lines::read(&mut found, vec![path.to_owned()], Naming::OneLine, skipped, parse)?;
        Ok(found)
    }
}

fn parse(piece: &Piece<'_>, skipped: &mut Skipped) -> Result<Detections, Error> {
    let mut found = Detections::default();
    for (line, text) in piece.lines() {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let record: Record = serde_json::from_slice(text)
            .map_err(|error| piece.wrong(line, format!("no line of detections: {}", without_line(&error))))?;
        let Some(id) = image_id(&record) else {
            return Err(piece.wrong(line, format!("the source {:?} names no file", record.source)));
        };
        if found.images.find(&id).is_some() {
            let reason = format!("image {id:?} has a line already: its detections would count twice");
            return Err(piece.wrong(line, reason));
        }
        let image = found.image_from(&id, (piece.file, line));
        for item in &record.detections {
            let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
            let score = number(item.score);
            let bounds = PixelBox::from_continuous(item.corners.map(number));
            let class = found.add_class(&item.label);
            let wrong = |reason| {
                piece.wrong(line, format!("a detection of {:?} in image {id:?}: {reason}", item.label))
            };
            if check(score, bounds, skipped, wrong)?
                && let Some(list) = found.by_class.get_mut(class)
            {
                list.push(Detection { image, score, bounds });
            }
        }
    }
    Ok(found)
}

/// The name of a line's image. Sources come from any system, so both kinds of separators count.
fn image_id(record: &Record) -> Option<String> {
    let name = record.source.rsplit(['/', '\\']).next()?;
    let stem = Path::new(name).file_stem()?.to_str()?;
    Some(record.frame.map_or_else(|| stem.to_owned(), |frame| format!("{stem}#{frame}")))
}

/// What serde says without "at line 1": of our file it is another line, which we name ourselves.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => format!("{reason} (column {})", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_tell_the_image() {
        for (source, frame, id) in [
            ("JPEGImages/000001.jpg", None, Some("000001")),
            ("C:\\pictures\\a.b.png", None, Some("a.b")),
            ("000001", None, Some("000001")),
            ("../../clip.mp4", Some(12), Some("clip#12")),
            ("folder/", None, None),
            ("..", None, None),
        ] {
            let record = Record { source: source.into(), frame, detections: Vec::new() };
            assert_eq!(image_id(&record).as_deref(), id, "{source}");
        }
    }
}
