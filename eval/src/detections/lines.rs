//! Text files of detections, cut at line ends and read on all processors.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Detections;
use crate::error::Error;
use crate::parallel::try_map;
use crate::skipped::Skipped;

/// How much text one thread takes at a time, in bytes. Some ten pieces for the smallest file whose
/// reading takes time at all.
const PIECE: usize = 1 << 20;

/// Some lines of a file.
pub(super) struct Piece<'a> {
    /// The file.
    pub(super) path: &'a Path,
    /// Which of the files that are read together, counted from 0.
    pub(super) file: usize,
    first_line: usize,
    text: &'a [u8],
}

impl<'a> Piece<'a> {
    /// The lines with their numbers in the file, counted from 1, without their ends.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a> {
        let mut rest = self.text;
        let mut number = self.first_line;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (line, after) = match memchr::memchr(b'\n', rest) {
                Some(end) => (rest.get(..end)?, rest.get(end + 1..)?),
                None => (rest, &rest[rest.len()..]),
            };
            rest = after;
            number += 1;
            Some((number - 1, line))
        })
    }

    /// The error for a line that cannot be used.
    pub(super) fn wrong(&self, line: usize, reason: String) -> Error {
        Error::Line { path: self.path.to_owned(), line, reason }
    }
}

/// How often an image may have its name in the files.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Naming {
    /// Every line may name any image.
    AnyLine,
    /// A line holds all that there is of its image: a second one would count its detections twice.
    OneLine,
}

/// Reads files as if they were one, with the lines in order, and adds what `parse` makes of their
/// pieces to `found`. The first error in order is the one that comes back.
pub(super) fn read(
    found: &mut Detections,
    paths: Vec<PathBuf>,
    naming: Naming,
    skipped: &mut Skipped,
    parse: impl Fn(&Piece<'_>, &mut Skipped) -> Result<Detections, Error> + Sync,
) -> Result<(), Error> {
    let texts =
        try_map(&paths, |path| fs::read(path).map_err(|source| Error::Io { path: path.clone(), source }))?;
    let mut pieces = Vec::new();
    for (file, (path, text)) in paths.iter().zip(&texts).enumerate() {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        for (first_line, range) in cut(text, PIECE) {
            let text = text.get(range).unwrap_or_default();
            pieces.push(Piece { path, file, first_line, text });
        }
    }
    let policy = skipped.policy();
    let parts = try_map(&pieces, |piece| {
        let mut skipped = Skipped::new(policy);
        parse(piece, &mut skipped).map(|part| (part, skipped))
    })?;
    drop(pieces);
    drop(texts);
    let files_before = found.files.len();
    found.files.extend(paths);
    for (part, counts) in parts {
        if naming == Naming::OneLine
            && let Some((path, line, image)) = found.first_in_both(&part, files_before)
        {
            let reason = format!("image {image:?} has a line already: its detections would count twice");
            return Err(Error::Line { path, line, reason });
        }
        found.append(part, files_before);
        skipped.append(counts);
    }
    Ok(())
}

/// Pieces of about `size` bytes that end at line ends, each with the number of its first line.
fn cut(text: &[u8], size: usize) -> Vec<(usize, Range<usize>)> {
    let mut pieces = Vec::new();
    let (mut begin, mut line) = (0, 1);
    while begin < text.len() {
        let wanted = begin.saturating_add(size).min(text.len());
        let end = text.get(wanted..).and_then(|rest| memchr::memchr(b'\n', rest));
        let end = end.map_or(text.len(), |at| wanted + at + 1);
        pieces.push((line, begin..end));
        line += memchr::memchr_iter(b'\n', text.get(begin..end).unwrap_or_default()).count();
        begin = end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_line_once() {
        for text in ["", "\n", "a", "a\n", "a\nbb\n\nccc\r\ndddd", "long line without an end", "\n\n\n"] {
            let expected: Vec<(usize, &[u8])> = match text {
                "" => Vec::new(),
                text => {
                    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n').map(str::as_bytes);
                    (1..).zip(lines).collect()
                }
            };
            for size in [1, 2, 5, 100] {
                let mut lines = Vec::new();
                for (first_line, range) in cut(text.as_bytes(), size) {
                    let text = &text.as_bytes()[range];
                    let piece = Piece { path: Path::new("x"), file: 0, first_line, text };
                    lines.extend(piece.lines());
                }
                assert_eq!(lines, expected, "{text:?} in pieces of {size}");
            }
        }
    }
}
