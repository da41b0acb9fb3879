//! Names as small numbers, and names as parts of file names.

use std::collections::HashMap;
use std::path::{Component, Path};

use crate::error::Error;

/// Gives each distinct name the next number from 0. Comparing and hashing numbers is what keeps
/// the scoring of half a million detections short.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    all: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Names {
    /// The number of `name`, a new one where it was not seen before.
    pub(crate) fn number(&mut self, name: &str) -> usize {
        if let Some(&known) = self.numbers.get(name) {
            return known;
        }
        let next = self.all.len();
        self.all.push(name.to_owned());
        self.numbers.insert(name.to_owned(), next);
        next
    }

    /// The number of `name` where it was seen before.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// All names, each at its number.
    pub(crate) fn all(&self) -> &[String] {
        &self.all
    }

    /// Forgets every name from number `length` on.
    pub(crate) fn truncate(&mut self, length: usize) {
        for name in self.all.drain(length.min(self.all.len())..) {
            self.numbers.remove(&name);
        }
    }
}

/// Refuses a name that would lead out of the folder its file belongs in. Names come out of files
/// that others wrote: `../../.ssh/id` must not become a path.
pub(crate) fn check_file_name(what: &'static str, name: &str) -> Result<(), Error> {
    let refuse = |reason| Err(Error::Name { what, name: name.to_owned(), reason });
    if name.is_empty() {
        return refuse("it is empty");
    }
    if name.contains(['/', '\\']) {
        return refuse("it contains a path separator");
    }
    if name.contains(char::is_control) {
        return refuse("it contains a control character");
    }
    // `..`, `.` and, on Windows, `C:`.
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(()),
        _ => refuse("it is no plain file name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_first_appearance() {
        let mut names = Names::default();
        assert_eq!([names.number("b"), names.number("a"), names.number("b")], [0, 1, 0]);
        names.truncate(1);
        assert_eq!(names.find("a"), None);
        assert_eq!(names.number("c"), 1);
        assert_eq!(names.all(), ["b", "c"]);
    }

    #[test]
    fn only_plain_names_become_files() {
        for good in ["000001", "2007_000027", "a.b", "..a", "traffic light", "übung"] {
            assert!(check_file_name("image", good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../a", "a/b", "/a", "a\\b", "a\0b", "a\nb"] {
            assert!(check_file_name("image", bad).is_err(), "{bad:?}");
        }
    }
}
