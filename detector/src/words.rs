//! Words for people.

/// A message without what looks like a place on a disk: that may tell who somebody is. A path may have blanks, so that what
/// follows it is left out, too, up to the next colon, comma or closing quote.
pub(crate) fn without_paths(message: &str) -> String {
    let mut kept = String::with_capacity(message.len());
    let mut inside = false;
    for word in message.split_inclusive(char::is_whitespace) {
        let begins = !inside && word.contains(['/', '\\']);
        if begins {
            kept.push_str("(a path) ");
        }
        inside |= begins;
        if !inside {
            kept.push_str(word);
        } else if word.trim_end().ends_with([':', ',', ';', '"', '\'', ')']) {
            inside = false;
        }
    }
    kept.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_left_out() {
        for (message, left) in [
            ("cannot read \"/home/jo/cat.jpg\": gone", "cannot read (a path) gone"),
            ("C:\\Users\\jo is no folder", "(a path)"),
            ("at /home/jo/My Holiday Photos/x: gone", "at (a path) gone"),
            ("index 3 of 2", "index 3 of 2"),
            ("", ""),
        ] {
            assert_eq!(without_paths(message), left);
        }
    }
}
