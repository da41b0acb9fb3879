//! `sandglass-detect` as a person or a script uses it.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![cfg(all(feature = "cli", feature = "embedded-weights"))]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo").join(name)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sandglass-detect")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn json_has_the_documented_form() {
    let cat = demo("chelsea.jpg");
    let output = run(&[path(&cat), "--json", "-", "--threads", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let record: Value = serde_json::from_str(text(&output.stdout).trim()).unwrap();
    assert_eq!(record["source"], path(&cat));
    assert_eq!((&record["width"], &record["height"]), (&451.into(), &300.into()));
    assert_eq!(record["backbone"], "mobilenet-v2-1.0");
    let best = &record["detections"][0];
    assert_eq!((&best["label"], &best["class_id"]), (&"cat".into(), &8.into()));
    assert!(best["score"].as_f64().unwrap() > 0.5 && best["box"].as_array().unwrap().len() == 4);
    for stage in ["preprocess", "network", "postprocess", "total"] {
        assert!(record["timing_ms"][stage].as_f64().unwrap() >= 0.0);
    }
}

#[test]
fn one_bad_picture_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(demo("chelsea.jpg"), folder.path().join("a.jpg")).unwrap();
    std::fs::write(folder.path().join("b.jpg"), b"no picture").unwrap();
    std::fs::copy(demo("astronaut.jpg"), folder.path().join("c.jpg")).unwrap();
    let (lines, save) = (folder.path().join("found.jsonl"), folder.path().join("out"));
    let missing = folder.path().join("missing.jpg");
    let output = run(&[path(folder.path()), path(&missing), "--json", path(&lines), "--save", path(&save)]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("b.jpg") && errors.contains("missing.jpg"), "{errors}");
    assert_eq!(std::fs::read_to_string(&lines).unwrap().lines().count(), 2);
    for name in ["a.jpg", "c.jpg"] {
        let saved = image::open(save.join(name)).unwrap();
        let original = image::open(folder.path().join(name)).unwrap();
        assert_eq!((saved.width(), saved.height()), (original.width(), original.height()));
    }
    assert!(!save.join("b.jpg").exists());
}

#[test]
fn wrong_usage_is_status_2_and_says_what_is_right() {
    let cat = demo("chelsea.jpg");
    for (arguments, expected) in [
        (vec![], "SOURCE"),
        (vec!["--backbone", "resnet"], "mobilenext-1.0"),
        (vec!["--score-threshold", "7"], "from 0 to 1"),
        (vec!["--classes", "unicorn"], "tvmonitor"),
        // Whether it is the driver that is missing or the device.
        (vec!["--device", "cuda:99"], "NVIDIA driver"),
        (vec!["--device", "gpu"], "cuda:N"),
        (vec!["--weights", "/no/such.safetensors"], "/no/such.safetensors"),
    ] {
        let mut all = arguments.clone();
        if !arguments.is_empty() {
            all.push(path(&cat));
        }
        let output = run(&all);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn classifying_needs_a_classifier() {
    let cat = demo("chelsea.jpg");
    let cat = path(&cat);
    let weights =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/weights/ssdlite-mobilenet-v2-1.0.safetensors");
    for (arguments, expected) in
        [(vec!["classify", cat], "--weights"), (vec!["classify", cat, "--weights", weights], "of a detector")]
    {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

#[test]
fn untrained_backbones_say_so() {
    let output = run(&[path(&demo("chelsea.jpg")), "--backbone", "mobilenext-0.35", "--max-detections", "1"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("untrained"));
    let models = text(&run(&["models"]).stdout);
    let row = |name: &str| models.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    assert!(row("mobilenext-0.35 ").contains("untrained") && row("mobilenext-0.35 ").contains("1.79 M"));
    assert!(row("mobilenet-v2-1.0 ").contains(" trained"));
}

#[test]
fn preliminary_weights_say_so() {
    let cat = demo("chelsea.jpg");
    let output = run(&[path(&cat), "--backbone", "mobilenext-1.0"]);
    assert!(output.status.success() && text(&output.stdout).contains("cat"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("preliminary"), "{}", text(&output.stderr));
    let models = text(&run(&["models"]).stdout);
    assert!(models.lines().any(|line| line.starts_with("mobilenext-1.0 ") && line.contains("preliminary")));
    // The user's weights are not judged.
    let weights =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/weights/ssdlite-mobilenext-1.0.safetensors");
    let output = run(&[path(&cat), "--weights", weights]);
    assert!(output.status.success() && !text(&output.stderr).contains("preliminary"));
}

#[test]
fn classes_can_be_chosen_and_left_out() {
    let cat = demo("chelsea.jpg");
    let found = |classes: &str| text(&run(&[path(&cat), classes]).stdout);
    assert!(found("--classes=cat,dog").contains("cat"));
    assert!(!found("--classes=-cat").contains("cat 0"));
}

#[test]
fn compare_writes_tables_and_a_plot() {
    let folder = tempfile::tempdir().unwrap();
    let [md, csv, svg] = ["t.md", "t.csv", "t.svg"].map(|name| folder.path().join(name));
    let names = "mobilenext-0.35,mobilenext-0.35-id6,mobilenet-v2-1.0-int8,classic-0.2-id4";
    let compare = ["compare", "--threads", "1", "--rounds", "2", "--backbones"];
    let output = run(&[&compare[..], &[names, "--markdown", path(&md)]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
    let md = std::fs::read_to_string(md).unwrap();
    let row =
        |name: &str| md.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap().to_owned();
    assert!(
        row("mobilenet-v2-1.0-int8").contains(" 682 M ")
            && row("mobilenet-v2-1.0-int8").ends_with("| 61.0 | – |")
    );
    assert!(
        row("mobilenext-0.35").ends_with("| – | 64.7 |") && row("classic-0.2-id4").ends_with("| – | – |")
    );
    // The second table, of identity tensors.
    assert!(md.lines().any(|line| line.starts_with("| mobilenext-0.35-id6 | 1/6 |")), "{md}");

    let output = run(&[&compare[..], &[names, "--csv", path(&csv), "--svg", path(&svg)]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let csv = std::fs::read_to_string(csv).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0].len(), 11);
    assert_eq!((lines[2][0], lines[3][8]), ("mobilenext-0.35-id6", "0.6104"));
    // Less of the identity tensor, less to move; streamed less than by layer.
    let number = |line: usize, column: usize| lines[line][column].parse::<f64>().unwrap();
    assert!(number(2, 4) < number(1, 4) && (1..5).all(|line| number(line, 3) < number(line, 4)));
    assert!((1..5).all(|line| number(line, 7) > 0.0));
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("MobileNetV2") && svg.contains("ImageNet top-1"));

    for (arguments, reason) in [
        (vec!["--backbones", "mobilenext-7.0"], "mobilenext-7.0"),
        (vec!["--backbones", "mobilenext-0.35-int8"], "quantize"),
        (vec!["--backbones", "classic-0.35", "--rounds", "1", "--svg", "-"], "nothing to draw"),
        (vec!["--markdown", "-", "--csv", "-"], "standard output"),
        (vec!["--rounds", "0"], "--rounds"),
    ] {
        let output = run(&[&["compare"], &arguments[..]].concat());
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains(reason), "{message}");
    }
}

#[test]
fn bench_has_the_documented_form() {
    let arguments =
        ["bench", "--backbone", "mobilenet-v1-0.25", "--threads", "1", "--frames", "3", "--warmup", "1"];
    let output = run(&[&arguments[..], &["--json", "-"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let record: Value = serde_json::from_str(text(&output.stdout).trim()).unwrap();
    assert_eq!((&record["backbone"], &record["threads"]), (&"mobilenet-v1-0.25".into(), &1.into()));
    assert_eq!(record["frames"], 3);
    for stage in ["preprocess", "network", "postprocess", "total"] {
        let percentiles =
            ["p50_ms", "p90_ms", "p99_ms"].map(|p| record["stages"][stage][p].as_f64().unwrap());
        assert!(percentiles.is_sorted());
    }
}

#[cfg(feature = "video")]
#[test]
fn the_demo_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let (target, lines) = (folder.path().join("out.mp4"), folder.path().join("out.jsonl"));
    let arguments =
        ["demo", "--record", path(&target), "--json", path(&lines), "--backbone", "mobilenet-v1-0.25"];
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let frames = std::fs::read_to_string(&lines).unwrap().lines().count();
    let mut recorded = sandglass_detector::source::open(path(&target)).unwrap();
    let mut count = 0;
    while recorded.next_frame().unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, frames), (360, 360));
    let again = run(&arguments);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("out.mp4"), "{}", text(&again.stderr));
}

#[test]
fn weights_of_eight_bits_are_one_more_backbone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("small.safetensors");
    let photos: Vec<PathBuf> = ["chelsea.jpg", "astronaut.jpg", "cars.jpg"].map(demo).into();
    let sources: Vec<&str> = photos.iter().map(|p| path(p)).collect();
    let made = run(&[&["quantize", "--out", path(&out), "--calibration"], sources.as_slice()].concat());
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert!(text(&made.stderr).contains("3 pictures"), "few pictures are worth a warning");
    assert!(text(&made.stderr).contains("mobilenet-v2-1.0-int8"), "{}", text(&made.stderr));
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&out) * 18 < size(&demo("../weights/ssdlite-mobilenet-v2-1.0.safetensors")) * 10);

    let found = run(&[sources[0], "--weights", path(&out), "--json", "-", "--device", "cpu"]);
    let record: Value = serde_json::from_str(text(&found.stdout).trim()).unwrap();
    assert_eq!(
        (&record["backbone"], &record["detections"][0]["label"]),
        (&"mobilenet-v2-1.0-int8".into(), &"cat".into())
    );
    // What is of eight bits is not made so again, nothing is written over, and no weights are made up.
    let again = run(&[
        "quantize",
        "--weights",
        path(&out),
        "--calibration",
        sources[0],
        "--out",
        path(&folder.path().join("b")),
    ]);
    assert!(
        again.status.code() == Some(2) && text(&again.stderr).contains("already"),
        "{}",
        text(&again.stderr)
    );
    let over = run(&["quantize", "--calibration", sources[0], "--out", path(&out)]);
    assert!(
        over.status.code() == Some(2) && text(&over.stderr).contains("--force"),
        "{}",
        text(&over.stderr)
    );
    let unknown = run(&[sources[0], "--backbone", "mobilenet-v1-0.25-int8"]);
    assert!(
        unknown.status.code() == Some(2) && text(&unknown.stderr).contains("quantize"),
        "{}",
        text(&unknown.stderr)
    );
}

#[test]
fn a_broken_calibration_set_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let file = |name: &str| folder.path().join(name);
    let quantize = |sources: &[&str]| {
        let mut arguments =
            vec!["quantize", "--backbone", "mobilenet-v1-0.25", "--force", "--out", path(&out)];
        arguments.push("--calibration");
        arguments.extend(sources);
        let output = run(&arguments);
        (output.status.code(), text(&output.stderr))
    };
    std::fs::create_dir(file("empty")).unwrap();
    std::fs::write(file("corrupt.jpg"), b"no picture").unwrap();
    image::RgbImage::from_pixel(64, 48, image::Rgb([90; 3])).save(file("blank.png")).unwrap();
    for (name, reason) in
        [("empty", "no pictures"), ("corrupt.jpg", "corrupt.jpg"), ("blank.png", "blank"), ("none", "none")]
    {
        let (code, errors) = quantize(&[path(&file(name))]);
        assert!(code == Some(2) && errors.contains(reason), "{name}: {code:?} {errors}");
        assert!(!out.exists(), "{name}");
    }
    // What is left is used, and what failed is told.
    let good = demo("chelsea.jpg");
    let (code, errors) = quantize(&[path(&file("corrupt.jpg")), path(&file("blank.png")), path(&good)]);
    assert!(
        code == Some(1) && errors.contains("corrupt.jpg") && errors.contains("1 of 2 pictures are blank"),
        "{errors}"
    );
    assert!(out.exists());
}

#[test]
fn the_selftest_passes_and_its_report_is_fit_to_be_sent() {
    let output = run(&["selftest", "--backbones", "mobilenext-0.35,mobilenet-v2-1.0-int8", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |area: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().filter(|f| f["area"] == area).cloned().collect::<Vec<_>>()
    };
    assert!(of("network").len() >= 2 && of("weights").len() >= 2 && of("recording").len() == 1, "{report:#}");
    for area in ["network", "weights", "detection", "recording", "codec"] {
        assert!(of(area).iter().all(|finding| finding["verdict"] != "failed"), "{report:#}");
    }
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    assert!(!text(&output.stdout).contains(&format!("\"{home}/")) && !text(&output.stdout).contains("/tmp"));
    let people = run(&["selftest", "--backbones", "mobilenext-0.35"]);
    assert!(text(&people.stdout).contains("scalar") && text(&people.stdout).contains("Cameras"));
}

#[test]
fn manual_pages_and_completions_come_of_the_same_command_line() {
    let page = text(&run(&["generate", "man"]).stdout);
    assert!(page.contains(".TH sandglass-detect") && page.contains("score\\-threshold"), "{page}");
    for (kind, sign) in
        [("bash", "complete "), ("zsh", "#compdef"), ("fish", "complete -c"), ("powershell", "Register-")]
    {
        let output = run(&["generate", kind]);
        let script = text(&output.stdout);
        assert!(output.status.success() && script.contains(sign) && script.contains("selftest"), "{kind}");
    }
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("man1");
    assert!(run(&["generate", "man", "--to", path(&to)]).status.success());
    for name in ["sandglass-detect.1", "sandglass-detect-quantize.1", "sandglass-detect-selftest.1"] {
        assert!(to.join(name).exists(), "{name}");
    }
    std::fs::write(folder.path().join("file"), b"").unwrap();
    let failed = run(&["generate", "man", "--to", path(&folder.path().join("file"))]);
    assert!(failed.status.code() == Some(2) && text(&failed.stderr).contains("file"));
}

#[test]
fn bash_completes_what_belongs_to_a_subcommand() {
    let script = text(&run(&["generate", "bash"]).stdout);
    let ask = "COMP_WORDS=(sandglass-detect quantize --method ''); COMP_CWORD=3; \
               _sandglass__detect sandglass-detect '' --method; echo \"${COMPREPLY[@]}\"";
    match Command::new("bash").arg("-c").arg(format!("{script}\n{ask}")).output() {
        Ok(output) => {
            assert_eq!(text(&output.stdout).trim(), "minmax percentile mse", "{}", text(&output.stderr))
        }
        Err(_) => println!("skipped: bash is absent"),
    }
}

#[test]
fn every_option_has_words_in_the_manual() {
    let page = text(&run(&["generate", "man"]).stdout);
    let lines: Vec<&str> = page.lines().collect();
    let entries = lines.windows(3).filter(|entry| entry[0] == ".TP");
    let silent: Vec<_> = entries.filter(|entry| entry[2].starts_with('.') || entry[2].is_empty()).collect();
    assert!(silent.is_empty() && lines.iter().filter(|line| **line == ".TP").count() > 20, "{silent:?}");
    assert!(page.contains(".SH EXAMPLES\n.nf\n"));
}

#[test]
fn flags_for_every_command_may_stand_before_one() {
    let quiet = run(&["-q", "models"]);
    assert!(
        quiet.status.success() && text(&quiet.stdout).contains("mobilenext-1.0"),
        "{}",
        text(&quiet.stderr)
    );
    let config = text(&run(&["bench", "--print-config", "--threads", "3"]).stdout);
    assert!(config.contains("threads = 3") && !config.contains("camera-format"), "{config}");
    let misplaced = run(&["--threads", "1", "models"]);
    let said = text(&misplaced.stderr);
    assert!(
        misplaced.status.code() == Some(2) && said.contains("--threads") && said.contains("`models`"),
        "{said}"
    );
}

#[cfg(unix)]
#[test]
fn that_nobody_reads_errors_is_no_crash() {
    let (home, (reader, writer)) = (tempfile::tempdir().unwrap(), std::io::pipe().unwrap());
    drop(reader);
    let mut program = Command::new(env!("CARGO_BIN_EXE_sandglass-detect"));
    program.arg("missing.jpg").env("HOME", home.path()).env_remove("XDG_DATA_HOME").stderr(writer);
    assert_eq!(program.status().unwrap().code(), Some(1));
    assert!(!home.path().join(".local/share/sandglass/crash.txt").exists());
}

/// What is looked at is never written over, whatever it is called.
#[test]
fn saving_destroys_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    for (to, photo) in [(&one, "chelsea.jpg"), (&two, "astronaut.jpg")] {
        std::fs::create_dir(to).unwrap();
        std::fs::copy(demo(photo), to.join("x.jpg")).unwrap();
    }
    let before = std::fs::read(two.join("x.jpg")).unwrap();
    let untouched = || std::fs::read(two.join("x.jpg")).unwrap() == before;
    // As arguments: refused, for all are known. As lines: under another name.
    let small = ["--backbone", "mobilenet-v1-0.25", "--device", "cpu", "--save", path(&two)];
    let output = run(&[&[path(&one), path(&two)], &small[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("one of the pictures themselves") && untouched());
    let lines = folder.path().join("list.txt");
    std::fs::write(&lines, format!("{}\n\n{}", path(&one.join("x.jpg")), path(&two.join("x.jpg")))).unwrap();
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandglass-detect"));
        command.arg("--stdin-paths").stdin(std::fs::File::open(&lines).unwrap());
        command
    };
    let output = program().args(small).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mut names: Vec<_> =
        std::fs::read_dir(&two).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(names == ["x-2.jpg", "x-3.jpg", "x-4.jpg", "x.jpg"] && untouched(), "{names:?}");
    // A name that is given away already is not given again.
    let three = folder.path().join("three");
    std::fs::create_dir(&three).unwrap();
    std::fs::copy(demo("cars.jpg"), three.join("x-2.jpg")).unwrap();
    let out = folder.path().join("out");
    let sources = [one.join("x.jpg"), two.join("x.jpg"), three.join("x-2.jpg")];
    let [a, b, c] = sources.each_ref().map(|source| path(source));
    let output = run(&[a, b, c, "--backbone", "mobilenet-v1-0.25", "--device", "cpu", "--save", path(&out)]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 3);
    // A line of any length is one that failed, and no more.
    std::fs::write(&lines, format!("{}\n{a}\n", "x".repeat(200_000))).unwrap();
    let output = program().args(["--json", "-", "--device", "cpu"]).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(1), 2));
    let output = program().args(["--save", "out.jpg"]).output().unwrap();
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("must be a folder"));
}

#[test]
fn times_can_be_left_out_of_lines() {
    let output =
        run(&["demo", "--json", "-", "--no-timing", "--seconds", "0.2", "--backbone", "mobilenet-v1-0.25"]);
    let lines = text(&output.stdout);
    assert!(lines.lines().count() > 1 && !lines.contains("timing_ms"), "{lines}");
}

/// A note waits until a person is there to read of it.
#[cfg(target_os = "linux")]
#[test]
fn an_earlier_crash_is_told_on_a_terminal_once() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("sandglass");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("crash.txt"), "made up").unwrap();
    let told = |program: &mut Command| {
        let output = program.env("XDG_DATA_HOME", home.path()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).contains("crash-offered.txt")
    };
    let program = env!("CARGO_BIN_EXE_sandglass-detect");
    assert!(!told(Command::new(program).arg("models")));
    // `script` (bsdutils, on every Debian) gives it a terminal.
    let line = format!("{program} models");
    let on_terminal = || told(Command::new("script").args(["-qec", &line, "/dev/null"]));
    assert_eq!([on_terminal(), on_terminal()], [true, false]);
    assert!(folder.join("crash-offered.txt").exists());
}

/// A container has fewer processors than the machine that it is on.
#[cfg(target_os = "linux")]
#[test]
fn threads_follow_the_limit_of_the_control_group() {
    // Version 2, and version 1.
    let name = format!("sandglass-test-{}", std::process::id());
    let limits = [
        (Path::new("/sys/fs/cgroup").join(&name), "cpu.max", "100000 100000"),
        (Path::new("/sys/fs/cgroup/cpu").join(&name), "cpu.cfs_quota_us", "100000"),
    ];
    let usable = |(group, file, limit): &&(PathBuf, &str, &str)| {
        let made = std::fs::create_dir(group).is_ok();
        let limited = made && group.join(file).exists() && std::fs::write(group.join(file), limit).is_ok();
        if made && !limited {
            let _ = std::fs::remove_dir(group);
        }
        limited
    };
    let Some((group, ..)) = limits.iter().find(usable) else {
        eprintln!("skipped: no control group can be made here");
        return;
    };
    let program = env!("CARGO_BIN_EXE_sandglass-detect");
    let line = format!(
        "echo $$ > {}/cgroup.procs && exec {program} selftest --backbones mobilenet-v1-0.25 --json",
        group.display()
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    std::fs::remove_dir(group).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["processors"], 1, "{report:#}");
    assert!(report.to_string().contains("1 thread\""), "{report:#}");
}
