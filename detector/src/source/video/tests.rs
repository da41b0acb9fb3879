use super::*;

/// A clip of the shared test media with the times of its frames, where they are at hand.
fn shared(name: &str) -> Option<(PathBuf, Vec<f64>)> {
    let media = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/media");
    if !media.exists() {
        println!("skipped: ../shared is absent");
        return None;
    }
    let table = std::fs::read_to_string(media.join(format!("frames/{name}.csv"))).unwrap_or_default();
    let times = table.lines().filter_map(|line| line.split(',').nth(1)?.parse().ok()).collect();
    Some((media.join(name), times))
}

fn frames(video: &mut VideoFile) -> Vec<Frame> {
    std::iter::from_fn(|| video.next_frame().unwrap()).collect()
}

/// Checks every time and the size of every frame.
fn plays(name: &str, count: usize, size: (u32, u32)) {
    let Some((path, times)) = shared(name) else { return };
    assert_eq!(times.len(), count);
    let mut video = VideoFile::open(path).unwrap();
    assert_eq!(video.frame_count(), Some(count as u64), "{name}");
    let frames = frames(&mut video);
    assert_eq!(frames.len(), count, "{name}");
    for (frame, time) in frames.iter().zip(times) {
        assert!((frame.captured().as_secs_f64() - time).abs() < 1e-5, "{name} at {time}");
        assert_eq!((frame.width(), frame.height()), size, "{name}");
    }
    assert_eq!(video.damaged(), 0);
    assert!(video.next_frame().unwrap().is_none());
}

#[test]
fn clips_play_with_their_times() {
    plays("person-cfr30.mp4", 89, (640, 480));
    plays("person-fragmented.mp4", 89, (640, 480));
    plays("cars-bframes.mp4", 64, (768, 432));
    plays("cars-editlist.mp4", 49, (768, 432));
    plays("person-vfr.mp4", 75, (768, 432));
    plays("person-346x250.mp4", 47, (346, 250));
    plays("phone-portrait-rot90.mp4", 120, (360, 640));
    plays("person-audio.mp4", 108, (640, 480));
    plays("bunny-audio.mp4", 132, (1280, 720));
    plays("one-frame.mp4", 1, (512, 512));
}

#[test]
fn an_edit_list_begins_at_its_picture() {
    let Some((cut, _)) = shared("cars-editlist.mp4") else { return };
    let Some((whole, _)) = shared("cars-bframes.mp4") else { return };
    let mut whole = VideoFile::open(whole).unwrap();
    let wanted = frames(&mut whole).swap_remove(15);
    let first = VideoFile::open(cut).unwrap().next_frame().unwrap().unwrap();
    assert!(first.pixels() == wanted.pixels());
}

#[test]
fn colours_are_those_of_ffmpeg() {
    let Some((path, _)) = shared("person-cfr30.mp4") else { return };
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(&path);
    command.args([
        "-frames:v",
        "1",
        "-sws_flags",
        "accurate_rnd",
        "-pix_fmt",
        "rgb24",
        "-f",
        "rawvideo",
        "-",
    ]);
    let Ok(reference) = command.output() else {
        println!("skipped: ffmpeg is absent");
        return;
    };
    let frame = VideoFile::open(&path).unwrap().next_frame().unwrap().unwrap();
    let off: u64 = frame.pixels().iter().zip(&reference.stdout).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert_eq!(frame.pixels().len(), reference.stdout.len());
    assert!((off as f64) < 1.5 * frame.pixels().len() as f64, "mean difference {off}");
}

#[test]
fn rewinding_gives_the_same_again() {
    let Some((path, _)) = shared("person-346x250.mp4") else { return };
    let mut video = VideoFile::open(path).unwrap();
    let first = frames(&mut video);
    video.rewind().unwrap();
    let again = frames(&mut video);
    assert!(first.iter().zip(&again).all(|(a, b)| a.pixels() == b.pixels() && a.captured() == b.captured()));
    assert_eq!(first.len(), again.len());
}

#[test]
fn what_cannot_be_read_is_said() {
    for (name, reason) in [
        ("zero-byte.mp4", "is empty (0 bytes)"),
        ("not-a-video.mp4", "is not a video file"),
        ("truncated-no-moov.mp4", "cut short"),
        ("audio-only.mp4", "no video in it"),
        ("person-hevc.mp4", "HEVC (H.265)"),
        ("dog-vp9.webm", "WebM"),
        ("person-h264.mkv", "Matroska"),
        ("cat-mjpeg-451x299.avi", "AVI"),
    ] {
        let Some((path, _)) = shared(name) else { return };
        let said = VideoFile::open(path).err().unwrap().to_string();
        assert!(said.contains(name) && said.contains(reason), "{said}");
    }
}

#[test]
fn a_file_cut_short_plays_as_far_as_it_goes() {
    let Some((path, _)) = shared("truncated-moov-first.mp4") else { return };
    let mut video = VideoFile::open(path).unwrap();
    for _ in 0..52 {
        video.next_frame().unwrap().unwrap();
    }
    assert!(video.next_frame().unwrap_err().to_string().contains("the last 37 of its 89 pictures"));
    assert!(video.next_frame().unwrap().is_none());
}

#[test]
fn damage_is_left_out() {
    let Some((path, times)) = shared("damaged-middle.mp4") else { return };
    let mut video = VideoFile::open(path).unwrap();
    let frames = frames(&mut video);
    assert!(video.damaged() > 0);
    assert!(frames.len() > 20 && frames.len() < 64);
    assert!(frames.is_sorted_by(|a, b| a.captured() < b.captured()));
    for frame in frames {
        let time = frame.captured().as_secs_f64();
        assert!(times.iter().any(|t| (t - time).abs() < 1e-5));
    }
}

#[test]
fn rubbish_in_the_index_is_no_panic() {
    let demo = include_bytes!("../../../../assets/demo/demo.mp4");
    let mdat = demo.windows(4).position(|w| w == b"mdat").unwrap();
    let mut seed = 1_u32;
    for round in 0..500 {
        let mut bytes = demo[..mdat + 20_000].to_vec();
        for _ in 0..=round % 5 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (seed >> 8) as usize % mdat;
            bytes[at] = if seed & 1 == 0 { 0xff } else { (seed >> 24) as u8 };
        }
        if let Ok(mut video) = VideoFile::from_bytes("rubbish", bytes) {
            let _ = video.next_frame();
        }
    }
    for length in 0..1500 {
        let _ = VideoFile::from_bytes("cut", demo[..length].to_vec());
    }
}
