//! Recordings as `sandglass-detect` makes them: of every kind of clip, interrupted, and killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]
#![cfg(all(feature = "cli", feature = "video", feature = "embedded-weights", unix))]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sandglass_detector::record::{Recorder, RecorderOptions};
use sandglass_detector::{Frame, source};

/// The program with the fastest backbone: what it finds does not matter here.
fn detect(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandglass-detect"));
    command.args(["--backbone", "mobilenet-v1-0.25", "--threads", "1"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// The times of all frames that can be read.
fn times(path: &Path) -> Vec<f64> {
    let Ok(mut source) = source::open(path.to_str().unwrap()) else { return Vec::new() };
    std::iter::from_fn(|| source.next_frame().ok().flatten()).map(|f| f.captured().as_secs_f64()).collect()
}

#[test]
fn killed_at_any_moment_it_plays_up_to_the_last_second() {
    let folder = tempfile::tempdir().unwrap();
    let (video, sidecar) = (folder.path().join("out.mp4"), folder.path().join("out.jsonl"));
    let arguments =
        ["demo", "--force", "--record", video.to_str().unwrap(), "--sidecar", sidecar.to_str().unwrap()];
    let mut with_pictures = 0;
    for round in 0..20_u64 {
        // What the round before left would be taken for progress.
        let _ = std::fs::remove_file(&video);
        let mut child = detect(&arguments).spawn().unwrap();
        // By what is written, not by the clock: machines differ. Then a little later, for any moment.
        let enough = round * 7919 % 200_000;
        while std::fs::metadata(&video).map_or(0, |about| about.len()) < enough
            && child.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(round * 31 % 100));
        signal(&child, "-KILL");
        child.wait().unwrap();
        let played = times(&video).len();
        // The sidecar is written every second, too: what it has, the video has but for a second's frames.
        let lines = std::fs::read_to_string(&sidecar).map_or(0, |text| text.lines().count());
        assert!(played + 31 >= lines, "round {round}: {played} frames, {lines} lines");
        with_pictures += u32::from(played > 0);
    }
    assert!(with_pictures >= 5, "only {with_pictures} of 20 came far enough to tell");
}

#[test]
fn an_interrupt_finishes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("out.mp4");
    let child = detect(&["demo", "--record", video.to_str().unwrap()]).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while std::fs::metadata(&video).map_or(0, |about| about.len()) < 10_000 {
        assert!(Instant::now() < until, "nothing is recorded");
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("interrupted") && said.contains("encode, write"), "{said}");
    let frames = times(&video).len();
    assert!(frames > 0 && said.contains(&format!("  {frames} frames, ")), "{frames}: {said}");
}

#[test]
fn recordings_keep_every_frame_and_its_time() {
    let media = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/media");
    if !media.exists() {
        println!("skipped: ../shared is absent");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "person-cfr30.mp4",
        "cars-bframes.mp4",
        "cars-editlist.mp4",
        "person-vfr.mp4",
        "phone-portrait-rot90.mp4",
        "person-346x250.mp4",
        "cat-mjpeg-451x299.avi",
        "bicycle-car-mjpeg.avi",
        "bunny-audio.mp4",
        "person-fragmented.mp4",
        "one-frame.mp4",
    ] {
        let table = std::fs::read_to_string(media.join(format!("frames/{name}.csv"))).unwrap();
        let wanted: Vec<f64> = table.lines().filter_map(|l| l.split(',').nth(1)?.parse().ok()).collect();
        let out = folder.path().join(format!("{name}.mp4"));
        let clip = media.join(name);
        let output =
            detect(&[clip.to_str().unwrap(), "--record", out.to_str().unwrap(), "--raw"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let got = times(&out);
        assert_eq!(got.len(), wanted.len(), "{name}");
        for (a, b) in got.iter().zip(&wanted) {
            assert!((a - b).abs() < 1e-4, "{name}: {a} and {b}");
        }
        agrees_with_ffprobe(&out, &wanted);
    }
}

/// ffprobe, where it is installed, sees the same frames.
fn agrees_with_ffprobe(path: &Path, wanted: &[f64]) {
    let mut command = Command::new("ffprobe");
    command.args([
        "-v",
        "error",
        "-select_streams",
        "v",
        "-of",
        "csv=p=0",
        "-show_entries",
        "frame=pts_time",
    ]);
    let Ok(output) = command.arg(path).output() else {
        println!("skipped: ffprobe is absent");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", path.display());
    let shown = String::from_utf8(output.stdout).unwrap();
    let shown: Vec<f64> = shown.lines().map(|l| l.trim_end_matches(',').parse().unwrap()).collect();
    assert_eq!(shown.len(), wanted.len(), "{}", path.display());
    assert!(shown.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{}", path.display());
}

#[test]
fn frames_can_be_thinned_and_the_run_be_cut() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("out.mp4");
    let output =
        detect(&["demo", "--record", video.to_str().unwrap(), "--fps", "10", "--seconds", "3"]).output();
    assert_eq!(output.unwrap().status.code(), Some(0));
    let times = times(&video);
    assert_eq!(times.len(), 30);
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 0.1).abs() < 0.001));
}

#[test]
fn pictures_become_a_video() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo");
    let video = folder.path().join("out.mp4");
    let pictures = format!("{}/*.jpg", demo.display());
    let output = detect(&[&pictures, "--record", video.to_str().unwrap(), "--fps", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // Four pictures of four sizes: four files.
    assert_eq!(times(&video), [0.0]);
    assert!(folder.path().join("out-4.mp4").exists());
}

#[test]
fn a_name_without_an_ending_is_a_video_all_the_same() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo/demo.mp4");
    let folder = tempfile::tempdir().unwrap();
    for name in ["clip", "clip.txt", "clip.jpg"] {
        let copy = folder.path().join(name);
        std::fs::copy(&demo, &copy).unwrap();
        assert!(source::is_video(copy.to_str().unwrap()));
        assert_eq!(times(&copy).len(), 360, "{name}");
    }
    assert!(!source::is_video(demo.with_file_name("cars.jpg").to_str().unwrap()));
}

#[test]
fn four_thousand_pixels_are_recorded_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("large.mp4");
    let mut recorder = Recorder::create(&video, &RecorderOptions::default()).unwrap();
    for number in 0..3_u8 {
        let frame = Frame::rgb8(3840, 2160, vec![number * 40; 3840 * 2160 * 3]).unwrap();
        assert!(recorder.push(&frame.at(Duration::from_millis(u64::from(number) * 40))).unwrap());
    }
    recorder.finish().unwrap();
    let out = folder.path().join("out.mp4");
    let output = detect(&[video.to_str().unwrap(), "--record", out.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(times(&out).len(), 3);
}

/// A disk of two megabytes, where the system lets us make one.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_leaves_what_fitted() {
    struct Mounted(tempfile::TempDir);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0.path()).output();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(folder.path()).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("skipped: not permitted to mount a small disk");
        return;
    }
    let small = Mounted(folder);
    let video = small.0.path().join("out.mp4");
    // Nothing is kept free, so that writing itself must fail; nearly lossless, so that it does so soon.
    let arguments = ["demo", "--record", video.to_str().unwrap(), "--keep-free-mb", "0", "--quality", "10"];
    let output = detect(&arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left"), "{said}");
    let played = times(&video).len();
    assert!(played > 10 && played < 360, "{played}");

    // With the guard it ends before that, by itself.
    std::fs::remove_file(&video).unwrap();
    let output =
        detect(&["demo", "--record", video.to_str().unwrap(), "--keep-free-mb", "1", "--quality", "10"])
            .output()
            .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("nearly full"), "{said}");
    assert!(times(&video).len() > 10);
}
