//! What `sandglass` says of itself.

#[cfg(test)]
#[path = "../../detector/tests/support/help.rs"]
mod support;

#[test]
fn of_every_command() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    support::check(env!("CARGO_BIN_EXE_sandglass"), &folder);
}
