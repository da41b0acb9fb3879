//! For the tests of all our programs: what a program says of itself is kept in files, so that a change of an option shows.
//!
//! `UPDATE_HELP=1 cargo test --workspace --test help` writes them anew.

use std::path::Path;
use std::process::Command;

/// Lines of a terminal that `-h` may fill.
const SCREEN: usize = 50;

/// Compares `-h`, `--help` and the help of every subcommand with the files in `folder`.
pub(crate) fn check(program: &str, folder: &Path) {
    let said = |args: &[&str]| said(program, args);
    let short = said(&["-h"]);
    assert!(short.lines().count() <= SCREEN, "-h fills {} lines:\n{short}", short.lines().count());
    let commands = short.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| line.starts_with("  "));
    let commands: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"generate"), "{short}");
    let mut wrong = compare(&folder.join("short.txt"), &short);
    let long = said(&["--help"]);
    let (flags, environment) = long.split_once("Environment and").unwrap();
    for variable in environment.split(|c: char| !c.is_ascii_uppercase() && c != '_') {
        let Some(setting) = variable.strip_prefix("SANDGLASS_").filter(|&name| name != "CONFIG") else {
            continue;
        };
        let flag = format!("--{} ", setting.to_lowercase().replace('_', "-"));
        assert!(flags.replace('\n', " ").contains(&flag), "{variable} is the setting of no flag");
    }
    wrong += &compare(&folder.join("long.txt"), &long);
    for name in commands.into_iter().filter(|name| *name != "help") {
        wrong += &compare(&folder.join(format!("{name}.txt")), &said(&[name, "--help"]));
    }
    assert!(wrong.is_empty(), "UPDATE_HELP=1 writes anew what is meant to be so:\n{wrong}");
}

fn said(program: &str, args: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    // Neither this machine's settings nor its terminal count.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SANDGLASS_")) {
        command.env_remove(name);
    }
    command.env("HOME", home.path()).env_remove("XDG_CONFIG_HOME").env("COLUMNS", "100");
    let output = command.args(args).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn compare(kept: &Path, said: &str) -> String {
    if std::env::var_os("UPDATE_HELP").is_some() {
        std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
        std::fs::write(kept, said).unwrap();
    }
    match std::fs::read_to_string(kept).unwrap_or_default() == said {
        true => String::new(),
        false => format!("{} is not what is said now:\n{said}\n", kept.display()),
    }
}
