//! The book in `book/` and the documents beside it: every command runs, every piece of Rust is compiled somewhere,
//! every link leads somewhere.
//!
//! A block that begins with ```` ```sh ```` is run, and has to end with 0, or with what a line `# exits 1` in it says.
//! One that begins with ```` ```sh,norun ```` cannot be run here, and may hold only what [`NOT_RUN`] allows.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

#[path = "../../book/code/library.rs"]
mod library;

/// How a command may begin that is not run, and why that is so.
const NOT_RUN: [(&str, &str); 14] = [
    ("sandglass", "opens a window"),
    ("sandglass-detect camera", "needs a camera"),
    ("sandglass-detect --arrow", "needs a stream"),
    ("sandglass-detect --parquet", "needs a table"),
    ("sandglass-detect compare --threads", "takes minutes"),
    ("sandglass-detect import", "needs a checkpoint"),
    ("sandglass-eval imagenet", "needs a classifier's weights"),
    ("cargo", "builds"),
    ("python3", "needs packages of its own"),
    ("./run.sh", "builds"),
    ("./test.sh", "is what runs this"),
    ("./package.sh", "builds"),
    ("./packaging/test.sh", "needs root"),
    ("/usr/bin/time", "is not everywhere"),
];

/// The documents beside the book whose links are looked at.
const DOCUMENTS: [&str; 9] = [
    ".",
    "assets",
    "assets/cluster",
    "assets/training",
    "python",
    "backbone/benches",
    "detector/fuzz",
    "eval/fuzz",
    "book/src",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn book() -> PathBuf {
    root().join("book/src")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages in the order of the summary.
fn pages() -> Vec<String> {
    links(&read(&book().join("SUMMARY.md"))).into_iter().map(|(_, target)| target).collect()
}

/// A block of code between fences.
struct Block {
    /// Page and line, for messages.
    place: String,
    /// What stands behind the opening fence.
    kind: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in read(&book().join(page)).lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(kind), None) => {
                let place = format!("{page}:{}", number + 1);
                open = Some(Block { place, kind: kind.to_owned(), text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page} ends inside of a block");
    blocks
}

fn blocks_of(kind: &str) -> Vec<Block> {
    pages().iter().flat_map(|page| blocks(page)).filter(|block| block.kind == kind).collect()
}

#[test]
fn blocks_are_of_known_kinds() {
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let known = ["sh", "sh,norun", "python", "rust", "toml", "xml"].contains(&block.kind.as_str());
        assert!(known, "{}: {:?}", block.place, block.kind);
    }
}

/// A folder with everything that the book's commands name.
struct Desk {
    _root: TempDir,
    home: PathBuf,
    work: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (home, work) = (root.path().join("home"), root.path().join("work"));
        fs::create_dir_all(&home).unwrap();
        for folder in
            ["photos", "my-set", "VOC2007/ImageSets/Main", "VOC2007/Annotations", "VOC2007/JPEGImages"]
        {
            fs::create_dir_all(work.join(folder)).unwrap();
        }
        let copy = |name: &str, to: &str| fs::copy(demo().join(name), work.join(to)).unwrap();
        copy("demo.mp4", "clip.mp4");
        copy("chelsea.jpg", "photo.jpg");
        copy("chelsea.jpg", "my-set/photo.jpg");
        for name in ["astronaut.jpg", "cars.jpg", "chelsea.jpg", "motorcycle.jpg"] {
            copy(name, &format!("photos/{name}"));
        }
        fs::write(work.join("my-set/photo.xml"), annotation("cat", [1, 1, 403, 300])).unwrap();
        let set = [
            ("000001", "chelsea.jpg", annotation("cat", [1, 1, 403, 300])),
            ("000002", "astronaut.jpg", annotation("person", [22, 6, 460, 512])),
            ("000003", "motorcycle.jpg", annotation("motorbike", [92, 20, 684, 452])),
        ];
        let mut list = String::new();
        for (id, picture, text) in set {
            copy(picture, &format!("VOC2007/JPEGImages/{id}.jpg"));
            fs::write(work.join(format!("VOC2007/Annotations/{id}.xml")), text).unwrap();
            list += &format!("{id}\n");
        }
        fs::write(work.join("VOC2007/ImageSets/Main/test.txt"), list).unwrap();
        Self { _root: root, home, work }
    }

    /// Runs a script as a reader's shell would, but for settings that this machine may have.
    fn run(&self, script: &str) -> (Option<i32>, String) {
        let mut command = Command::new("bash");
        command.args(["-e", "-o", "pipefail", "-c", script]).current_dir(&self.work).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let ours = name.to_string_lossy().starts_with("SANDGLASS_");
            if ours || name == "DISPLAY" || name == "WAYLAND_DISPLAY" {
                command.env_remove(name);
            }
        }
        for (name, folder) in [
            ("HOME", "."),
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_DATA_HOME", ".data"),
            ("XDG_CACHE_HOME", ".cache"),
        ] {
            command.env(name, self.home.join(folder));
        }
        let output = command.env("PATH", path_with_programs()).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.code(), said.concat())
    }
}

fn demo() -> PathBuf {
    root().join("assets/demo")
}

fn annotation(class: &str, [x1, y1, x2, y2]: [u32; 4]) -> String {
    format!(
        "<annotation><object><name>{class}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>\
         <xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object></annotation>\n"
    )
}

/// The folder with the programs. Cargo builds `sandglass-eval` for this test; `sandglass-detect` is beside it after
/// a build of the whole workspace.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_sandglass-eval")).parent().unwrap().to_owned()
}

fn path_with_programs() -> std::ffi::OsString {
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(programs()).chain(std::env::split_paths(&others))).unwrap()
}

/// Whether commands can be run here; says so where not.
fn can_run() -> bool {
    let detect = programs().join(format!("sandglass-detect{}", std::env::consts::EXE_SUFFIX)).is_file();
    let bash = Command::new("bash").arg("--version").output().is_ok();
    if !detect || !bash {
        eprintln!("skipped: needs bash, and sandglass-detect beside sandglass-eval (cargo test --workspace)");
    }
    detect && bash
}

/// The status that a block is to end with.
fn expected(block: &Block) -> i32 {
    let Some(status) = block.text.lines().find_map(|line| line.strip_prefix("# exits ")) else { return 0 };
    // A block stops at its first failure: more commands would not be run.
    assert_eq!(
        block.text.lines().count(),
        2,
        "{}: one command that fails has a block of its own",
        block.place
    );
    status.trim().parse().unwrap()
}

#[test]
fn every_command_runs() {
    if !can_run() {
        return;
    }
    let pages = pages();
    // Pages do not know each other, so they are run side by side.
    let failures: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = pages.iter().map(|page| scope.spawn(|| run_page(page))).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs the blocks of a page one after the other; what one leaves, the next can use. Returns what failed.
fn run_page(page: &str) -> Vec<String> {
    let desk = Desk::new();
    let mut failures = Vec::new();
    for block in blocks(page).iter().filter(|block| block.kind == "sh") {
        let (status, said) = desk.run(&block.text);
        if status != Some(expected(block)) {
            failures.push(format!("{}: status {status:?}\n{}{said}", block.place, block.text));
        }
    }
    failures
}

/// The commands of a block, a line each.
fn commands(block: &Block) -> Vec<String> {
    block.text.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

#[test]
fn what_is_not_run_cannot_be() {
    for block in blocks_of("sh,norun") {
        for command in commands(&block) {
            let begins = |form: &str| {
                let rest = command.strip_prefix(form);
                // `camera` also stands for `cameras` and `camera:1`.
                rest.is_some_and(|rest| form.ends_with("camera") || rest.is_empty() || rest.starts_with(' '))
            };
            let allowed = NOT_RUN.iter().any(|(form, _)| begins(form)) || command.contains("--device cuda");
            assert!(allowed, "{}: {command:?} can be run", block.place);
            files_exist(&block, &command);
        }
    }
}

/// That scripts, benches, tests and examples that a command names are there.
fn files_exist(block: &Block, command: &str) {
    let crates = ["backbone", "detector", "eval", "gui"];
    let words: Vec<&str> = command.split_whitespace().collect();
    for word in &words {
        let ours = word.starts_with("./") || word.ends_with(".py");
        assert!(!ours || root().join(word).exists(), "{}: {word} is not there", block.place);
    }
    for pair in words.windows(2) {
        let folder = match pair[0] {
            "--bench" => "benches",
            "--test" => "tests",
            "--example" => "examples",
            _ => continue,
        };
        let there = crates
            .iter()
            .any(|room| root().join(room).join(folder).join(format!("{}.rs", pair[1])).is_file());
        assert!(there, "{}: {} {} is not there", block.place, pair[0], pair[1]);
    }
}

#[test]
fn flags_of_what_is_not_run_exist() {
    if !can_run() {
        return;
    }
    let desk = Desk::new();
    for block in blocks_of("sh,norun") {
        for command in commands(&block) {
            let start = command.split("sandglass-").nth(1).map(|rest| format!("sandglass-{rest}"));
            let Some(command) = start.filter(|_| !command.starts_with("cargo")) else { continue };
            let words: Vec<&str> = command.split_whitespace().collect();
            // A subcommand has a help of its own; a source there gives the help of the whole.
            let subcommand = words.get(1).filter(|word| !word.starts_with('-')).copied().unwrap_or_default();
            let (_, help) = desk.run(&format!("{} {subcommand} --help", words[0]));
            let known: BTreeSet<&str> = help
                .split(|c: char| !(c.is_alphanumeric() || c == '-'))
                .filter(|w| w.starts_with("--"))
                .collect();
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let name = flag.split('=').next().unwrap();
                assert!(known.contains(name), "{}: {command}: no {name}", block.place);
            }
        }
    }
}

/// A text without indentation and empty lines.
fn plain(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn pieces_of_rust_stand_in_code_that_is_compiled() {
    let files = [
        "book/code/library.rs",
        "detector/examples/detect.rs",
        "backbone/src/architecture/classic.rs",
        "backbone/src/architecture/mod.rs",
    ];
    let code = files.map(|file| read(&root().join(file)));
    for block in blocks_of("rust") {
        let piece = plain(&block.text);
        let holds = |code: &String| plain(code).windows(piece.len()).any(|lines| lines == piece);
        assert!(code.iter().any(holds), "{}: in none of {files:?}", block.place);
    }
}

#[test]
fn pieces_of_rust_run() {
    library::all(&demo()).unwrap();
    let pattern = demo().join("*.jpg");
    assert_eq!(library::watch(pattern.to_str().unwrap()).unwrap(), Some(4));
}

/// Targets of a text's links and pictures with their lines; what stands in code is none.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        fenced ^= line.starts_with("```");
        if fenced || line.starts_with("    ") {
            continue;
        }
        // Every second piece between backticks is code.
        let words: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = words.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(targets.map(|target| (number + 1, target.to_owned())));
    }
    found
}

/// The anchors of a page's headings, as mdBook and code hosts make them.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = read(path);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    };
    headings.map(slug).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for folder in DOCUMENTS.map(|folder| root().join(folder)) {
        let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|path| path.extension().is_some_and(|e| e == "md")) {
            for (line, target) in links(&read(&file)) {
                if let Err(problem) = look_up(&file, &target) {
                    panic!("{}:{line}: {target}: {problem}", file.display());
                }
            }
        }
    }
}

fn look_up(from: &Path, target: &str) -> Result<(), &'static str> {
    if target.starts_with("https://") {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let file = if path.is_empty() { from.to_owned() } else { from.parent().unwrap().join(path) };
    let file = file.canonicalize().map_err(|_| "is not there")?;
    // The built book has its own folder alone.
    if from.starts_with(book()) && !file.starts_with(book()) {
        return Err("is not in the book");
    }
    match anchor {
        Some(anchor) if !anchors(&file).contains(anchor) => Err("no such heading"),
        _ => Ok(()),
    }
}

#[test]
fn every_page_is_in_the_summary() {
    let listed: BTreeSet<String> = pages().into_iter().collect();
    let files = fs::read_dir(book()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = files.filter(|f| f.ends_with(".md") && f != "SUMMARY.md").collect();
    assert_eq!(listed, there);
}

#[test]
fn pictures_are_those_of_the_readme() {
    // Copies, for a built book has nothing from outside of its folder; git stores them once.
    for entry in fs::read_dir(book().join("screenshots")).unwrap() {
        let (copy, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        let original = root().join("assets/screenshots").join(&name);
        let same = !original.exists() || fs::read(copy).unwrap() == fs::read(original).unwrap();
        assert!(same, "{name:?} differs: copy it again");
    }
}

#[test]
fn keys_are_those_of_the_viewer() {
    let source = read(&root().join("gui/src/command.rs"));
    let page = read(&book().join("viewer.md"));
    let table = source.split("fn facts(self)").nth(1).unwrap().split("fn name(self)").next().unwrap();
    let mut rows = 0;
    for command in table.split("facts(").skip(1) {
        let name = command.split('"').nth(1).unwrap();
        let (modifiers, rest) = command.split_once("(Modifiers::").unwrap().1.split_once("Key::").unwrap();
        let key = rest.split(')').next().unwrap();
        let control = if modifiers.contains("COMMAND") { "Ctrl " } else { "" };
        let shift = if modifiers.contains("SHIFT") { "Shift " } else { "" };
        let row = format!("| `{control}{shift}{}` | {name} |", sign(key));
        assert!(page.contains(&row), "viewer.md has no row {row}");
        rows += 1;
    }
    assert_eq!(rows, page.lines().filter(|line| line.starts_with("| `")).count());
}

/// What stands on a key, as `Command::keys` writes it.
fn sign(key: &str) -> &str {
    match key {
        "OpenBracket" => "[",
        "CloseBracket" => "]",
        "ArrowLeft" => "Left",
        "ArrowRight" => "Right",
        "Comma" => ",",
        "Period" => ".",
        "Minus" => "-",
        "Equals" => "=",
        "Questionmark" => "?",
        other => other,
    }
}
