use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::frame::Frame;

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

fn frames(video: &mut Mp4File) -> Vec<Frame> {
    std::iter::from_fn(|| video.next_frame().unwrap()).collect()
}

/// Checks every time and the size of every frame.
fn plays(name: &str, count: usize, size: (u32, u32)) {
    let Some((path, times)) = shared(name) else { return };
    assert_eq!(times.len(), count);
    let mut video = Mp4File::open(path).unwrap();
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
    let mut whole = Mp4File::open(whole).unwrap();
    let wanted = frames(&mut whole).swap_remove(15);
    let first = Mp4File::open(cut).unwrap().next_frame().unwrap().unwrap();
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
    let frame = Mp4File::open(&path).unwrap().next_frame().unwrap().unwrap();
    let off: u64 = frame.pixels().iter().zip(&reference.stdout).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert_eq!(frame.pixels().len(), reference.stdout.len());
    assert!((off as f64) < 1.5 * frame.pixels().len() as f64, "mean difference {off}");
}

#[test]
fn rewinding_gives_the_same_again() {
    let Some((path, _)) = shared("person-346x250.mp4") else { return };
    let mut video = Mp4File::open(path).unwrap();
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
    ] {
        let Some((path, _)) = shared(name) else { return };
        let said = open(&path).err().unwrap().to_string();
        assert!(said.contains(name) && said.contains(reason), "{said}");
    }
    for (name, reason) in [
        ("person-hevc.mp4", "HEVC (H.265)"),
        ("dog-vp9.webm", "WebM"),
        ("person-h264.mkv", "Matroska"),
        ("cat-mjpeg-451x299.avi", "AVI"),
    ] {
        let Some((path, _)) = shared(name) else { return };
        let said = Mp4File::open(path).err().unwrap().to_string();
        assert!(said.contains(reason) && said.contains("install ffmpeg"), "{said}");
    }
}

#[test]
fn seeking_gives_the_frames_that_playing_gives() {
    for name in ["cars-bframes.mp4", "person-vfr.mp4", "cars-editlist.mp4", "cat-mjpeg-451x299.avi"] {
        let Some((path, times)) = shared(name) else { return };
        let mut video = open(&path).unwrap();
        let played: Vec<Frame> = std::iter::from_fn(|| video.next_frame().unwrap()).collect();
        assert_eq!(played.len(), times.len());
        for wanted in [40, 0, 17, 39, played.len() - 1] {
            let time = played[wanted].captured();
            // At the frame's own time, and a little later, while it is on the screen.
            for to in [time, time + Duration::from_millis(5)] {
                video.seek(to).unwrap();
                let frame = video.next_frame().unwrap().unwrap();
                assert_eq!(frame.captured(), time, "{name} {wanted}");
                assert!(frame.pixels() == played[wanted].pixels(), "{name} {wanted}");
            }
        }
        let to_the_end = video.duration().unwrap() + Duration::from_secs(1);
        video.seek(to_the_end).unwrap();
        assert!(std::iter::from_fn(|| video.next_frame().unwrap()).count() <= 1);
    }
}

#[test]
fn motion_jpeg_in_avi_plays() {
    for (name, count, size) in
        [("cat-mjpeg-451x299.avi", 60, (451, 299)), ("bicycle-car-mjpeg.avi", 41, (480, 270))]
    {
        let Some((path, times)) = shared(name) else { return };
        let mut video = open(&path).unwrap();
        assert_eq!(video.frame_count(), Some(count));
        let frames: Vec<Frame> = std::iter::from_fn(|| video.next_frame().unwrap()).collect();
        assert_eq!((frames.len() as u64, times.len() as u64, video.dropped()), (count, count, 0));
        for (frame, time) in frames.iter().zip(times) {
            assert!((frame.captured().as_secs_f64() - time).abs() < 1e-5, "{name} at {time}");
            assert_eq!((frame.width(), frame.height()), size, "{name}");
        }
    }
}

#[test]
fn an_avi_file_cut_short_plays_as_far_as_it_goes() {
    let Some((path, _)) = shared("cat-mjpeg-451x299.avi") else { return };
    let bytes = std::fs::read(path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.avi");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let mut video = open(&cut).unwrap();
    let mut count = 0;
    let said = loop {
        match video.next_frame() {
            Ok(Some(_)) => count += 1,
            Ok(None) => panic!("it says nothing"),
            Err(error) => break error.to_string(),
        }
    };
    assert!((20..40).contains(&count) && said.contains("cut short"), "{count} {said}");
    assert!(video.next_frame().unwrap().is_none());
    // Wherever it is cut or scratched, it is no panic.
    let mut seed = 1_u32;
    for round in 0..300 {
        let mut scratched = bytes[..40_000 + round * 17].to_vec();
        for _ in 0..=round % 4 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (seed >> 8) as usize % if round % 2 == 0 { 600 } else { 40_000 };
            scratched[at] = (seed >> 3) as u8;
        }
        std::fs::write(&cut, &scratched).unwrap();
        if let Ok(mut video) = AviFile::open(&cut) {
            let _ = (video.next_frame(), video.next_frame());
        }
    }
}

#[test]
fn ffmpeg_reads_the_rest_where_it_is_installed() {
    if !ffmpeg::is_installed() {
        println!("skipped: ffmpeg is absent");
        return;
    }
    for (name, count, size) in [
        ("dog-vp9.webm", 100, (640, 480)),
        ("cars-vp9-361x203.webm", 50, (361, 203)),
        ("person-h264.mkv", 51, (640, 480)),
        ("person-hevc.mp4", 60, (640, 480)),
    ] {
        let Some((path, times)) = shared(name) else { return };
        let mut video = open(&path).unwrap();
        assert!(video.remark().unwrap().contains("ffmpeg"), "{name}");
        let frames: Vec<Frame> = std::iter::from_fn(|| video.next_frame().unwrap()).collect();
        assert_eq!((frames.len(), times.len()), (count, count), "{name}");
        for (frame, time) in frames.iter().zip(&times) {
            // Matroska stores milliseconds.
            assert!((frame.captured().as_secs_f64() - (time - times[0])).abs() < 2e-3, "{name} at {time}");
            assert_eq!((frame.width(), frame.height()), size, "{name}");
        }
        video.seek(Duration::from_secs_f64(times[30])).unwrap();
        let frame = video.next_frame().unwrap().unwrap();
        assert!((frame.captured().as_secs_f64() - times[30]).abs() < 0.05, "{name}");
    }
}

#[test]
fn a_file_cut_short_plays_as_far_as_it_goes() {
    let Some((path, _)) = shared("truncated-moov-first.mp4") else { return };
    let mut video = Mp4File::open(path).unwrap();
    for _ in 0..52 {
        video.next_frame().unwrap().unwrap();
    }
    assert!(video.next_frame().unwrap_err().to_string().contains("the last 37 of its 89 pictures"));
    assert!(video.next_frame().unwrap().is_none());
}

#[test]
fn damage_is_left_out() {
    let Some((path, times)) = shared("damaged-middle.mp4") else { return };
    let mut video = Mp4File::open(path).unwrap();
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
        if let Ok(mut video) = Mp4File::from_bytes("rubbish", bytes) {
            let _ = video.next_frame();
        }
    }
    for length in 0..1500 {
        let _ = Mp4File::from_bytes("cut", demo[..length].to_vec());
    }
}

/// A chunk of a RIFF file.
fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = vec![0; content.len() % 2];
    [&kind[..], &(content.len() as u32).to_le_bytes(), content, &padding].concat()
}

/// An AVI file with these pictures of Motion JPEG, 25 a second.
fn avi(pictures: &[&[u8]]) -> Vec<u8> {
    let stream = [&b"vidsMJPG"[..], &[0; 12], &1_u32.to_le_bytes(), &25_u32.to_le_bytes(), &[0; 20]].concat();
    let stream = chunk(b"LIST", &[&b"strl"[..], &chunk(b"strh", &stream)].concat());
    let header = chunk(b"LIST", &[&b"hdrl"[..], &stream].concat());
    let pictures: Vec<u8> = pictures.iter().flat_map(|picture| chunk(b"00dc", picture)).collect();
    let movie = chunk(b"LIST", &[&b"movi"[..], &pictures].concat());
    chunk(b"RIFF", &[&b"AVI "[..], &header, &movie].concat())
}

fn opened(bytes: &[u8]) -> Result<AviFile, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.avi");
    std::fs::write(&path, bytes).unwrap();
    AviFile::open(path)
}

/// A grey JPEG of one colour, four blocks of 8×8 a byte.
fn grey(width: u16, height: u16, blocks: usize) -> Vec<u8> {
    let steps = [&[0xff, 0xd8, 0xff, 0xdb, 0, 67, 0][..], &[1; 64]].concat();
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    let frame = [&[0xff, 0xc0, 0, 11, 8][..], &size, &[1, 1, 0x11, 0]].concat();
    // One code a table, a single 0: no difference to the block before, and no more of this block.
    let table = |class: u8| [&[0xff, 0xc4, 0, 20, class << 4, 1][..], &[0; 16]].concat();
    let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
    let data = vec![0; blocks.div_ceil(4)];
    [&steps, &frame, &table(0), &table(1), &scan[..], &data, &[0xff, 0xd9]].concat()
}

#[test]
fn a_header_list_shorter_than_its_name_is_refused() {
    let mut bytes = avi(&[&grey(8, 8, 1)]);
    assert!(opened(&bytes).is_ok());
    let header = bytes.windows(4).position(|w| w == b"hdrl").unwrap();
    for size in 0..4 {
        bytes[header - 4..header].copy_from_slice(&[size, 0, 0, 0]);
        let said = opened(&bytes).err().unwrap().to_string();
        assert!(said.contains("header is damaged"), "{said}");
    }
}

#[test]
fn empty_chunks_repeat_the_picture_before() {
    let (good, other, bad) = (grey(8, 8, 1), grey(16, 8, 2), &grey(8, 8, 1)[..40]);
    let mut video = opened(&avi(&[b"", &good, b"", bad, b"", b"", &other, b""])).unwrap();
    assert_eq!(video.frame_count(), Some(8));
    let frames: Vec<Frame> = std::iter::from_fn(|| video.next_frame().unwrap()).collect();
    let seen: Vec<_> = frames.iter().map(|f| (f.width(), f.captured().as_millis())).collect();
    assert_eq!(seen, [(8, 40), (8, 80), (16, 240), (16, 280)]);
    assert_eq!(video.dropped(), 4);
    // Neither a search for what an empty chunk repeats nor a damaged picture tried again and again: this would take hours.
    let large = &grey(2000, 2000, 62_500)[..12_000];
    for first in [&b""[..], large] {
        let many: Vec<&[u8]> = std::iter::once(first).chain(std::iter::repeat_n(&b""[..], 300_000)).collect();
        let mut video = opened(&avi(&many)).unwrap();
        assert!(video.next_frame().unwrap_err().to_string().contains("none of its pictures"));
    }
}

#[test]
fn a_small_jpeg_does_not_claim_a_large_picture() {
    let decode = crate::source::jpeg::decode;
    assert_eq!(decode(&grey(800, 800, 10_000)).unwrap().width(), 800);
    for (width, height) in [(16_384, 16_384), (8000, 8000), (1000, 1000)] {
        let reason = decode(&grey(width, height, 1)).unwrap_err();
        assert!(reason.contains("are no JPEG"), "{reason}");
    }
}

/// The demo with a fragment behind it: `runs` runs of `count` pictures of `size` bytes from the file's start on.
fn with_fragment(runs: usize, count: u32, size: u32) -> Result<Mp4File, Error> {
    let boxed = |kind: &[u8; 4], content: &[u8]| {
        [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
    };
    // Flags: where the data begins and the usual size; then where a run begins.
    let header = [&[0, 0, 0, 0x11, 0, 0, 0, 1][..], &[0; 8], &size.to_be_bytes()].concat();
    let run = [&[0, 0, 0, 1][..], &count.to_be_bytes(), &[0; 4]].concat();
    let parts = [boxed(b"tfhd", &header), boxed(b"trun", &run).repeat(runs)].concat();
    let fragment = boxed(b"moof", &boxed(b"traf", &parts));
    let demo = include_bytes!("../../../../assets/demo/demo.mp4");
    Mp4File::from_bytes("x.mp4", [&demo[..], &fragment].concat())
}

#[test]
fn pictures_that_lie_one_upon_the_other_are_refused() {
    // The same bytes may be a few pictures.
    assert!(with_fragment(10, 1, 500_000).is_ok());
    let said = with_fragment(20, 1, 500_000).err().unwrap().to_string();
    assert!(said.contains("one upon the other"), "{said}");
}

#[test]
fn a_fragment_has_no_more_pictures_than_bytes() {
    assert!(with_fragment(1, 1000, 0).is_ok());
    let said = with_fragment(1, u32::MAX, 0).err().unwrap().to_string();
    assert!(said.contains("index is damaged"), "{said}");
}
