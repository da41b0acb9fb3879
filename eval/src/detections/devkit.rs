//! The devkit's detection files: one text file a class with lines `image score xmin ymin xmax ymax`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::lines::{self, Naming, Piece};
use super::{Detection, Detections, check};
use crate::error::Error;
use crate::names::check_file_name;
use crate::number;
use crate::pixel_box::PixelBox;
use crate::skipped::{Policy, Skipped};

impl Detections {
    /// Reads every detection file of a split in a folder: `comp3_det_SPLIT_CLASS.txt`,
    /// `comp4_det_SPLIT_CLASS.txt` or plainly `CLASS.txt`. Files of other splits or competitions
    /// (any other `compN_…`) and files that do not end in `.txt` are left alone.
    ///
    /// Boxes are inclusive pixels counted from 1, scores and corners are read as f64. Empty lines
    /// are skipped; a file without a line is a class without detections.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder or a file cannot be read, [`Error::Folder`] where it has no
    /// such file or two of one class, [`Error::Line`] for a line that is no detection.
    pub fn read_devkit(folder: &Path, split: &str) -> Result<Self, Error> {
        Self::read_devkit_with(folder, split, &mut Skipped::new(Policy::Complete))
    }

    /// As [`Detections::read_devkit`], with odd detections dealt with as `skipped` says.
    ///
    /// # Errors
    /// As there.
    pub fn read_devkit_with(folder: &Path, split: &str, skipped: &mut Skipped) -> Result<Self, Error> {
        Self::read_classes(class_files(folder, split)?, skipped)
    }

    /// Reads the detections of one class, `comp3_det_SPLIT_CLASS.txt`, `comp4_det_SPLIT_CLASS.txt` or
    /// `CLASS.txt`.
    ///
    /// # Errors
    /// As [`Detections::read_devkit`]; [`Error::Folder`] where the name tells no class of the split.
    pub fn read_devkit_file(path: &Path, split: &str, skipped: &mut Skipped) -> Result<Self, Error> {
        let class = path.file_stem().and_then(|stem| class_of(stem.to_str()?, split));
        let Some(class) = class else {
            let reason =
                format!("its name tells no class: expected comp4_det_{split}_CLASS.txt or CLASS.txt");
            return Err(Error::Folder { path: path.to_owned(), reason });
        };
        Self::read_classes([(class.to_owned(), path.to_owned())].into(), skipped)
    }

    fn read_classes(files: BTreeMap<String, PathBuf>, skipped: &mut Skipped) -> Result<Self, Error> {
        let mut found = Self::default();
        // A file without a line names its class, too.
        for class in files.keys() {
            found.add_class(class);
        }
        let (classes, paths): (Vec<String>, Vec<PathBuf>) = files.into_iter().unzip();
        let parse_class = |piece: &Piece<'_>, skipped: &mut Skipped| {
            parse(piece, classes.get(piece.file).map_or("", String::as_str), skipped)
        };
        lines::read(&mut found, paths, Naming::AnyLine, skipped, parse_class)?;
        Ok(found)
    }

    /// Writes a file `comp4_det_SPLIT_CLASS.txt` for every class into a folder, which is made where
    /// it is missing; files of the same name are replaced. Numbers are written with as many digits
    /// as it takes to read the same f64 again.
    ///
    /// # Errors
    /// [`Error::Name`] where a class, an image or the split does not fit a file name or a line,
    /// [`Error::Io`] where a file cannot be written.
    pub fn write_devkit(&self, folder: &Path, split: &str) -> Result<(), Error> {
        check_file_name("the split", split)?;
        for class in self.classes() {
            check_file_name("class", class)?;
        }
        if let Some(name) = self.images().iter().find(|id| id.is_empty() || id.contains(char::is_whitespace))
        {
            let reason = "an image of a detection file has a name without spaces";
            return Err(Error::Name { what: "image", name: name.clone(), reason });
        }
        fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })?;
        for (class, list) in self.classes().iter().zip(&self.by_class) {
            let mut text = String::new();
            for Detection { image, score, bounds } in list {
                let image = self.images().get(*image).map_or("", String::as_str);
                let [xmin, ymin, xmax, ymax] = bounds.corners();
                // Writing into a String cannot fail.
                let _ = writeln!(text, "{image} {score} {xmin} {ymin} {xmax} {ymax}");
            }
            let path = folder.join(format!("comp4_det_{split}_{class}.txt"));
            fs::write(&path, text).map_err(|source| Error::Io { path, source })?;
        }
        Ok(())
    }
}

/// The detection files of a split: class -> file, by class name so that every run sees one order.
fn class_files(folder: &Path, split: &str) -> Result<BTreeMap<String, PathBuf>, Error> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let refuse = |reason| Err(Error::Folder { path: folder.to_owned(), reason });
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_none_or(|end| end != "txt") || !path.is_file() {
            continue;
        }
        let Some(stem) = path.file_stem().and_then(|s| s.to_str()) else {
            return refuse(format!("the file name {:?} is not UTF-8", path.file_name().unwrap_or_default()));
        };
        let Some(class) = class_of(stem, split) else { continue };
        let class = class.to_owned();
        if let Some(other) = files.insert(class.clone(), path.clone()) {
            let mut both =
                [&other, &path].map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned());
            both.sort();
            return refuse(format!("class {class:?} has two files, {}: keep one", both.join(" and ")));
        }
    }
    if files.is_empty() {
        return refuse(format!("no detection file: expected comp4_det_{split}_CLASS.txt or CLASS.txt"));
    }
    Ok(files)
}

/// The class whose detections of `split` a file without its `.txt` holds, if any.
fn class_of<'a>(stem: &'a str, split: &str) -> Option<&'a str> {
    let competition = stem.strip_prefix("comp").and_then(|rest| rest.split_once('_'));
    let class = match competition {
        Some(("3" | "4", rest)) => rest.strip_prefix("det_")?.strip_prefix(split)?.strip_prefix('_')?,
        Some((number, _)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => return None,
        _ => stem,
    };
    (!class.is_empty()).then_some(class)
}

/// The detections in lines of one class.
fn parse(piece: &Piece<'_>, class: &str, skipped: &mut Skipped) -> Result<Detections, Error> {
    let mut found = Detections::default();
    found.add_class(class);
    let mut list = Vec::new();
    // The lines of an image most often follow each other.
    let mut last = ("", 0);
    for (number, line) in piece.lines() {
        let Some((name, score, bounds)) = parse_line(line).map_err(|reason| piece.wrong(number, reason))?
        else {
            continue;
        };
        if name != last.0 {
            last = (name, found.image_from(name, (piece.file, number)));
        }
        let wrong = |reason| piece.wrong(number, format!("a detection in image {name:?}: {reason}"));
        if check(score, bounds, skipped, wrong)? {
            list.push(Detection { image: last.1, score, bounds });
        }
    }
    found.by_class = vec![list];
    Ok(found)
}

/// The image, score and box of a line; `None` for an empty one.
fn parse_line(line: &[u8]) -> Result<Option<(&str, f64, PixelBox)>, String> {
    let mut rest = line;
    let Some(image) = next_word(&mut rest) else { return Ok(None) };
    let image = str::from_utf8(image).map_err(|_| "the name of the image is not UTF-8".to_owned())?;
    let mut values = [0.0; 5];
    for (value, name) in values.iter_mut().zip(["score", "xmin", "ymin", "xmax", "ymax"]) {
        let word = next_word(&mut rest).ok_or_else(|| format!("{name} is missing: expected {FORMAT}"))?;
        *value = number::parse(word)
            .ok_or_else(|| format!("{name} is {:?}, not a number", String::from_utf8_lossy(word)))?;
    }
    if next_word(&mut rest).is_some() {
        return Err(format!("more than six columns: expected {FORMAT}"));
    }
    let [score, xmin, ymin, xmax, ymax] = values;
    Ok(Some((image, score, PixelBox { xmin, ymin, xmax, ymax })))
}

/// Takes the next word off a line.
fn next_word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let begin = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let text = rest.get(begin..)?;
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    Some(word)
}

const FORMAT: &str = "`image score xmin ymin xmax ymax`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_the_class() {
        for (stem, class) in [
            ("comp4_det_test_cat", Some("cat")),
            ("comp3_det_test_traffic light", Some("traffic light")),
            ("cat", Some("cat")),
            ("computer_mouse", Some("computer_mouse")),
            ("comp_x", Some("comp_x")),
            ("comp4_det_val_cat", None),
            ("comp4_det_test_", None),
            ("comp1_cls_test_cat", None),
            ("comp12_other", None),
        ] {
            assert_eq!(class_of(stem, "test"), class, "{stem}");
        }
    }

    #[test]
    fn lines() {
        let bounds = PixelBox { xmin: 1.0, ymin: -2.5, xmax: 3.0, ymax: 400.0 };
        assert_eq!(parse_line(b"000001\t0.5 1 -2.5  3 4e2 \r"), Ok(Some(("000001", 0.5, bounds))));
        assert_eq!(parse_line(b"  "), Ok(None));
        for (line, says) in [
            ("000001", "score is missing"),
            ("000001 0.5 1 2 3", "ymax is missing"),
            ("000001 0.5 1 2 3 4 5", "more than six"),
            ("000001 0.5 1 2 x 4", "xmax is \"x\""),
        ] {
            let reason = parse_line(line.as_bytes()).unwrap_err();
            assert!(reason.contains(says), "{line}: {reason}");
        }
    }
}
