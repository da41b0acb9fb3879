use std::process::Command;

use super::*;
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
    assert!(recorder.push(&frame(1, 64, 50, 200)).unwrap_err().to_string().contains("64×50 pixels"));
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

    let mut recorder = Recorder::create(&path, &RecorderOptions { overwrite: true }).unwrap();
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
    let mut recorder = Recorder::create("/dev/full", &RecorderOptions { overwrite: true }).unwrap();
    assert!(matches!(recorder.push(&frame(0, 64, 48, 0)), Err(Error::Io { .. })));
    assert!(matches!(recorder.push(&frame(1, 64, 48, 40)), Err(Error::Recording { .. })));
}
