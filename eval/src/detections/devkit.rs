//! The devkit's detection files: one text file a class with lines `image score xmin ymin xmax ymax`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Detection, Detections, unusable};
use crate::error::Error;
use crate::names::check_file_name;
use crate::pixel_box::PixelBox;

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
        let mut found = Self::default();
        for (class, path) in class_files(folder, split)? {
            let text =
                fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
            let index = found.add_class(&class);
            let mut list = Vec::new();
            for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
                let wrong = |reason| Error::Line { path: path.clone(), line: number + 1, reason };
                if let Some((image, score, bounds)) = parse_line(line).map_err(wrong)? {
                    list.push(Detection { image: found.images.number(image), score, bounds });
                }
            }
            if let Some(place) = found.by_class.get_mut(index) {
                *place = list;
            }
        }
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

/// The image, score and box of a line; `None` for an empty one.
fn parse_line(line: &str) -> Result<Option<(&str, f64, PixelBox)>, String> {
    let mut words = line.split_ascii_whitespace();
    let Some(image) = words.next() else { return Ok(None) };
    let mut values = [0.0; 5];
    for (value, name) in values.iter_mut().zip(["score", "xmin", "ymin", "xmax", "ymax"]) {
        let word = words.next().ok_or_else(|| format!("{name} is missing: expected {FORMAT}"))?;
        *value = word.parse().map_err(|_| format!("{name} is {word:?}, not a number"))?;
    }
    if words.next().is_some() {
        return Err(format!("more than six columns: expected {FORMAT}"));
    }
    let [score, xmin, ymin, xmax, ymax] = values;
    let bounds = PixelBox { xmin, ymin, xmax, ymax };
    match unusable(score, bounds) {
        Some(reason) => Err(format!("a detection in image {image:?}: {reason}")),
        None => Ok(Some((image, score, bounds))),
    }
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
        assert_eq!(parse_line("000001\t0.5 1 -2.5  3 4e2 \r"), Ok(Some(("000001", 0.5, bounds))));
        assert_eq!(parse_line("  "), Ok(None));
        for (line, says) in [
            ("000001", "score is missing"),
            ("000001 0.5 1 2 3", "ymax is missing"),
            ("000001 0.5 1 2 3 4 5", "more than six"),
            ("000001 0.5 1 2 x 4", "xmax is \"x\""),
            ("000001 nan 1 2 3 4", "score is not a finite"),
            ("000001 0.5 1 2 3 inf", "corner"),
        ] {
            let reason = parse_line(line).unwrap_err();
            assert!(reason.contains(says), "{line}: {reason}");
        }
    }
}
