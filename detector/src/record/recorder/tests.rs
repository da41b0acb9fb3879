use std::process::Command;

use super::*;
use crate::detections::Detections;
use crate::record::{Background, Overlay, Recorded, WhenFull};
use crate::source::FrameSource;
use crate::source::video::Mp4File;

/// A picture with a bright bar that moves, so that every frame is another.
fn frame(index: u32, width: u32, height: u32, millis: u64) -> Frame {
    let at = |x: u32, y: u32| {
        let bar = x.abs_diff(index * 5 % width) < 8;
        if bar { [250, 220, 40] } else { [(x * 2) as u8, (y * 3) as u8, 90] }
    };
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| at(x, y))).collect();
    Frame::rgb8(width, height, pixels).unwrap().at(Duration::from_millis(millis))
}

/// What ffprobe says of the first video track, or nothing where there is no ffprobe.
fn ffprobe(path: &Path, what: &str) -> Option<Vec<String>> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0", "-show_entries", what]).arg(path);
    let Ok(output) = command.output() else {
        println!("skipped: ffprobe is absent");
        return None;
    };
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Some(
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|l| l.trim_end_matches(',').to_owned())
            .collect(),
    )
}

fn new_file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recorded.mp4");
    (dir, path)
}

fn overwrite() -> RecorderOptions {
    RecorderOptions { overwrite: true, ..RecorderOptions::default() }
}

fn read(path: &Path) -> Vec<Frame> {
    let mut video = Mp4File::open(path).unwrap();
    std::iter::from_fn(|| video.next_frame().unwrap()).collect()
}

/// Times with steps from 20 to 1508 ms, starting late as a camera that has run before.
fn uneven() -> Vec<u64> {
    let steps = [80, 96, 108, 33, 20, 1508, 41, 700];
    let mut times = vec![5_000];
    for step in steps.iter().cycle().take(60) {
        times.push(times[times.len() - 1] + step);
    }
    times
}

#[test]
fn an_uneven_clip_comes_back_as_it_was() {
    let (_dir, path) = new_file();
    let mut recorder = Recorder::create(&path, &RecorderOptions::default()).unwrap();
    let times = uneven();
    for (index, time) in times.iter().enumerate() {
        recorder.push(&frame(index as u32, 128, 96, *time)).unwrap();
    }
    let summary = recorder.finish().unwrap();
    let last = times[60] - times[0] + (times[60] - times[59]);
    assert_eq!((summary.frames, summary.width, summary.height), (61, 128, 96));
    assert_eq!(summary.duration, Duration::from_millis(last));
    assert_eq!(summary.bytes, path.metadata().unwrap().len());

    let back = read(&path);
    assert_eq!(back.len(), 61);
    for (index, (got, time)) in back.iter().zip(&times).enumerate() {
        assert_eq!(got.captured(), Duration::from_millis(time - times[0]));
        let wanted = frame(index as u32, 128, 96, *time);
        let off: u64 = got.pixels().iter().zip(wanted.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(off < 12 * got.pixels().len() as u64, "frame {index}: {off}");
    }

    let Some(shown) = ffprobe(&path, "frame=pts_time") else { return };
    let shown: Vec<f64> = shown.iter().map(|t| t.parse().unwrap()).collect();
    assert_eq!(shown.len(), 61);
    for (got, time) in shown.iter().zip(&times) {
        assert!((got - (time - times[0]) as f64 / 1000.0).abs() < 2e-6);
    }
    for what in ["format=duration", "stream=duration"] {
        let duration: f64 = ffprobe(&path, what).unwrap()[0].parse().unwrap();
        assert!((duration - last as f64 / 1000.0).abs() < 2e-3, "{what}: {duration}");
    }
    let keys = ffprobe(&path, "packet=pts_time,flags").unwrap();
    let keys = keys.iter().filter_map(|line| line.split_once(",K")?.0.parse().ok());
    let keys: Vec<f64> = keys.collect();
    // Two seconds, or the first frame after that.
    assert!(keys.len() > 5 && keys.windows(2).all(|pair| pair[1] - pair[0] < 2.0 + 1.508));
}

#[test]
fn a_file_left_behind_plays() {
    let (dir, path) = new_file();
    let mut recorder = Recorder::create(&path, &RecorderOptions::default()).unwrap();
    for index in 0..100 {
        recorder.push(&frame(index, 64, 64, u64::from(index) * 40)).unwrap();
    }
    // As after a kill: what is on the disk now, and the same torn in the last fragment.
    let left = dir.path().join("left.mp4");
    std::fs::copy(&path, &left).unwrap();
    assert_eq!(read(&left).len(), 75);
    if let Some(count) = ffprobe(&left, "frame=pts_time") {
        assert_eq!(count.len(), 75);
    }
    let bytes = std::fs::read(&left).unwrap();
    std::fs::write(&left, &bytes[..bytes.len() - 300]).unwrap();
    let mut video = Mp4File::open(&left).unwrap();
    let whole = std::iter::from_fn(|| video.next_frame().ok().flatten()).count();
    assert!((50..75).contains(&whole));
    drop(recorder);
    assert_eq!(read(&path).len(), 100);
}

#[test]
fn odd_and_tiny_sizes_are_padded() {
    for (size, coded) in [((451, 299), (452, 300)), ((1, 1), (16, 16)), ((37, 20), (38, 20))] {
        let (_dir, path) = new_file();
        let mut recorder = Recorder::create(&path, &RecorderOptions::default()).unwrap();
        recorder.push(&frame(0, size.0, size.1, 0)).unwrap();
        let summary = recorder.finish().unwrap();
        assert_eq!((summary.width, summary.height), coded);
        assert_eq!(summary.duration.as_micros(), 33_333);
        let back = read(&path);
        assert_eq!((back.len(), back[0].width(), back[0].height()), (1, coded.0, coded.1));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (_dir, path) = new_file();
    let mut recorder = Recorder::create(&path, &RecorderOptions::default()).unwrap();
    assert!(recorder.push(&frame(0, 5000, 16, 0)).is_err());
    recorder.push(&frame(0, 64, 48, 100)).unwrap();
    for early in [100, 0] {
        assert!(recorder.push(&frame(1, 64, 48, early)).unwrap_err().to_string().contains("not later"));
    }
    recorder.push(&frame(2, 64, 48, 300)).unwrap();
    assert_eq!(recorder.finish().unwrap().frames, 2);
    assert_eq!(read(&path).len(), 2);
}

#[test]
fn files_are_not_replaced_unless_told() {
    let (dir, path) = new_file();
    std::fs::write(&path, b"precious").unwrap();
    let said = Recorder::create(&path, &RecorderOptions::default()).err().unwrap().to_string();
    assert!(said.contains("recorded.mp4") && said.contains("already"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");

    let mut recorder = Recorder::create(&path, &overwrite()).unwrap();
    recorder.push(&frame(0, 64, 48, 0)).unwrap();
    recorder.finish().unwrap();
    assert_eq!(read(&path).len(), 1);

    let empty = dir.path().join("empty.mp4");
    let recorder = Recorder::create(&empty, &RecorderOptions::default()).unwrap();
    assert!(recorder.finish().unwrap_err().to_string().contains("no frame"));
    assert!(!empty.exists());
    let nowhere = dir.path().join("none/there.mp4");
    assert!(matches!(Recorder::create(nowhere, &RecorderOptions::default()), Err(Error::Io { .. })));
}

/// Every write is checked: `/dev/full` takes none.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let mut recorder = Recorder::create("/dev/full", &overwrite()).unwrap();
    assert!(matches!(recorder.push(&frame(0, 64, 48, 0)), Err(Error::Io { .. })));
    assert!(!recorder.push(&frame(1, 64, 48, 40)).unwrap());
    assert!(recorder.ended().unwrap().contains("/dev/full"));
}

#[test]
fn another_size_starts_another_file() {
    let (dir, path) = new_file();
    let mut recorder = Recorder::create(&path, &RecorderOptions::default()).unwrap();
    for (index, size) in [(64, 48), (64, 48), (48, 64), (48, 64), (48, 64), (64, 48)].into_iter().enumerate()
    {
        assert!(recorder.push(&frame(index as u32, size.0, size.1, index as u64 * 100)).unwrap());
    }
    let summary = recorder.finish().unwrap();
    let names = ["recorded.mp4", "recorded-2.mp4", "recorded-3.mp4"];
    assert_eq!(summary.files, names.map(|name| dir.path().join(name)));
    assert_eq!(summary.frames, 6);
    // The last frame of a file is shown until the first of the next.
    assert_eq!(summary.duration.as_millis(), 200 + 300 + 33);
    let sizes: Vec<_> =
        summary.files.iter().map(|f| (read(f).len(), read(f)[0].width(), read(f)[0].height())).collect();
    assert_eq!(sizes, [(2, 64, 48), (3, 48, 64), (1, 64, 48)]);
    assert_eq!(summary.bytes, summary.files.iter().map(|f| f.metadata().unwrap().len()).sum::<u64>());
}

#[test]
fn files_have_the_length_asked_for() {
    let (_dir, path) = new_file();
    let options = RecorderOptions { segment: Some(Duration::from_secs(2)), ..overwrite() };
    let mut recorder = Recorder::create(&path, &options).unwrap();
    for index in 0..130 {
        recorder.push(&frame(index, 64, 48, u64::from(index) * 40)).unwrap();
    }
    let summary = recorder.finish().unwrap();
    assert_eq!(summary.files.iter().map(|f| read(f).len()).collect::<Vec<_>>(), [50, 50, 30]);
    assert_eq!(summary.duration.as_millis(), 130 * 40);
    let short = RecorderOptions { segment: Some(Duration::from_millis(10)), ..overwrite() };
    assert!(Recorder::create(&path, &short).is_err());
}

#[test]
fn a_limit_ends_the_recording_and_what_is_there_plays() {
    let (_dir, path) = new_file();
    let options = RecorderOptions { max_bytes: Some(60_000), ..RecorderOptions::default() };
    let mut recorder = Recorder::create(&path, &options).unwrap();
    let taken =
        (0..500).take_while(|i| recorder.push(&frame(*i, 256, 192, u64::from(*i) * 40)).unwrap()).count();
    assert!(taken > 10 && taken < 500 && recorder.ended().unwrap().contains("limit"));
    assert!(!recorder.push(&frame(501, 256, 192, 90_000)).unwrap());
    let summary = recorder.finish().unwrap();
    assert!(summary.bytes <= 60_000 && path.metadata().unwrap().len() == summary.bytes);
    assert_eq!(read(&path).len(), taken);

    // A disk that is fuller than is wanted, to begin with.
    let (_dir, path) = new_file();
    let options = RecorderOptions { keep_free: u64::MAX, ..RecorderOptions::default() };
    let mut recorder = Recorder::create(&path, &options).unwrap();
    assert!(!recorder.push(&frame(0, 64, 48, 0)).unwrap());
    assert!(recorder.finish().unwrap_err().to_string().contains("nearly full"));
    assert!(!path.exists());
}

#[test]
fn quality_and_bit_rate_count() {
    let size = |quality| {
        let (_dir, path) = new_file();
        let mut recorder = Recorder::create(&path, &RecorderOptions { quality, ..overwrite() }).unwrap();
        (0..75).for_each(|i| assert!(recorder.push(&frame(i, 320, 240, u64::from(i) * 40)).unwrap()));
        recorder.finish().unwrap().bytes
    };
    let (fine, usual, coarse) =
        (size(Quality::Quantiser(14)), size(Quality::default()), size(Quality::Quantiser(40)));
    assert!(fine > usual * 3 / 2 && usual > coarse * 3 / 2, "{fine} {usual} {coarse}");
    // Three seconds at 200,000 bits: 75,000 bytes.
    let held = size(Quality::BitRate(200_000));
    assert!((30_000..120_000).contains(&held), "{held}");
    for bad in [Quality::Quantiser(52), Quality::BitRate(1)] {
        let (_dir, path) = new_file();
        assert!(Recorder::create(&path, &RecorderOptions { quality: bad, ..overwrite() }).is_err());
    }
}

#[test]
fn the_sidecar_has_a_line_a_frame() {
    let (dir, path) = new_file();
    let sidecar = dir.path().join("recorded.jsonl");
    let options = RecorderOptions { sidecar: Some(sidecar.clone()), ..RecorderOptions::default() };
    let recorder = Recorder::create(&path, &options).unwrap();
    let background = Background::start(recorder, Some(Overlay { banner: true }), WhenFull::Wait).unwrap();
    for number in 0..30 {
        let frame = frame(number, 64, 48, u64::from(number) * 40 + 1000);
        let found = Detections { width: 64, height: 48, ..Detections::default() };
        // The backbone is switched in the middle: one file, and the lines say it.
        let backbone = if number < 10 { "mobilenext-1.0" } else { "mobilenet-v2-1.0" };
        let (source, backbone, number) = ("made up".into(), backbone.into(), number.into());
        assert!(background.push(Recorded { frame, source, number, backbone, found }));
    }
    let (summary, status) = background.finish().unwrap();
    assert_eq!((summary.frames, status.frames, status.dropped, status.refused), (30, 30, 0, None));
    assert_eq!(summary.files, [path]);
    let lines = std::fs::read_to_string(sidecar).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 30);
    assert_eq!(lines[9]["backbone"], "mobilenext-1.0");
    assert_eq!(lines[10]["backbone"], "mobilenet-v2-1.0");
    assert_eq!((lines[10]["frame"].as_u64(), lines[10]["time"].as_f64()), (Some(10), Some(1.4)));
}

#[test]
fn a_live_recording_drops_rather_than_waits() {
    let (_dir, path) = new_file();
    let recorder = Recorder::create(&path, &RecorderOptions::default()).unwrap();
    let background = Background::start(recorder, None, WhenFull::Drop).unwrap();
    let big = frame(0, 1280, 720, 0);
    let found = Detections::default();
    let accepted = (0..60).filter(|number| {
        let frame = big.clone().at(Duration::from_millis(number * 40));
        let (source, backbone) = ("made up".into(), "none".into());
        background.push(Recorded { frame, source, number: *number, backbone, found: found.clone() })
    });
    let accepted = accepted.count() as u64;
    let (summary, status) = background.finish().unwrap();
    assert_eq!((summary.frames, status.dropped), (accepted, 60 - accepted));
    assert!(status.dropped > 0 && accepted > 1);
}

/// Half an hour of video, as fast as it goes: `cargo test --release -- --ignored half_an_hour`.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "takes minutes"]
fn half_an_hour_needs_no_more_memory_than_a_minute() {
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let (_dir, path) = new_file();
    let recorder = Recorder::create(&path, &RecorderOptions::default()).unwrap();
    let background = Background::start(recorder, Some(Overlay { banner: true }), WhenFull::Wait).unwrap();
    let pictures: Vec<Frame> = (0..60).map(|i| frame(i, 640, 360, 0)).collect();
    let mut after_a_minute = 0;
    for number in 0..30 * 60 * 30_u64 {
        let frame = pictures[number as usize % 60].clone().at(Duration::from_micros(number * 33_333));
        let found = Detections { width: 640, height: 360, ..Detections::default() };
        let (source, backbone) = ("made up".into(), "none".into());
        assert!(background.push(Recorded { frame, source, number, backbone, found }));
        if number == 60 * 30 {
            after_a_minute = resident();
        }
    }
    let at_the_end = resident();
    let (summary, _) = background.finish().unwrap();
    println!("{after_a_minute} bytes after a minute, {at_the_end} at the end; {summary:?}");
    assert!(at_the_end < 150_000_000 && at_the_end < after_a_minute + 10_000_000);
}
