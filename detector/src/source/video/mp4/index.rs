//! Where the pictures of an MP4 or QuickTime file lie and when they are shown.
//!
//! `mp4-atom` reads the few boxes that matter; here is what they mean together. Forgiving where files
//! differ (other boxes are passed over) and strict where a wrong number would cost memory: every count is
//! held against the bytes that are there before anything is allocated, and nothing of the pictures
//! themselves is read. (`re_mp4` would do all of it, but panics on damaged sample tables.)

use std::io::{self, Read, Seek, SeekFrom};

use mp4_atom::{Avcc, Colr, Elst, Mdhd, Mvhd, Tkhd, Trex};

use super::boxes::{decode, inside, need, parts, read};
use super::samples::{fragment, table};
use crate::source::video::Refusal;

/// What a box cut short reads as.
pub(super) const CUT: &str = "its index is damaged or cut short";
/// The largest index that is read into memory, in bytes; ten hours at 60 frames a second need a tenth.
const MAX_INDEX: u64 = 256 << 20;
/// The most pictures of one file: 37 hours at 30 frames a second.
pub(super) const MAX_SAMPLES: usize = 4_000_000;

/// One coded picture, in decoding order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// First byte in the file.
    pub(super) offset: u64,
    /// Length in bytes.
    pub(super) size: u32,
    /// When it is shown, in ticks of [`Track::timescale`].
    pub(super) time: i64,
    /// Whether decoding can start with it.
    pub(super) key: bool,
}

/// The part of a track that is shown, in ticks of [`Track::timescale`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Edit {
    /// Time of the first picture shown.
    pub(super) start: i64,
    /// Time after the last one, where it is said.
    pub(super) end: Option<i64>,
    /// How long nothing is shown before.
    pub(super) delay: i64,
}

/// The H.264 track of a file.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// Ticks a second, at least 1.
    pub(super) timescale: u32,
    /// The pictures in decoding order, whether the file still has their bytes or not.
    pub(super) samples: Vec<Sample>,
    /// Bytes of the length before each NAL unit, 1 to 4.
    pub(super) length_size: usize,
    /// Parameter sets with Annex B start codes.
    pub(super) headers: Vec<u8>,
    /// `matrix_coefficients` and whether the range is full, where the file says so.
    pub(super) colour: Option<(u16, bool)>,
    /// Quarter turns clockwise to stand upright, 0 to 3.
    pub(super) quarter_turns: u8,
    /// The edit list, where it is one span of the track.
    pub(super) edit: Option<Edit>,
    pub(super) id: u32,
    pub(super) defaults: Defaults,
}

/// What a fragment's pictures have unless it says otherwise.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
}

/// Finds the first H.264 track of the `len` bytes behind `file`; the error is a reason to show.
pub(super) fn read_track(file: &mut (impl Read + Seek + ?Sized), len: u64) -> Result<Track, Refusal> {
    let mut track = None;
    let mut next_decode_time = 0;
    let (mut at, mut known) = (0, false);
    while let Some((kind, body, end)) = box_at(file, at, len)? {
        if at == 0 {
            known = is_movie_box(&kind);
            if !known {
                return Err(foreign(file));
            }
        }
        match &kind {
            b"moov" if track.is_none() => track = Some(movie(&load(file, body, end, len)?, len)?),
            b"moof" => {
                let Some(track) = track.as_mut() else { return Err(CUT.into()) };
                // A fragment that was being written when the power went: what is before it counts.
                if end > len {
                    break;
                }
                let moof = load(file, body, end, len)?;
                fragment(track, &moof, at, &mut next_decode_time, len)?;
            }
            _ => {}
        }
        at = end;
    }
    match track {
        Some(track) if track.samples.is_empty() => Err("its video track has no pictures".into()),
        Some(track) => Ok(track),
        None if known => Err("its index (moov) is missing: the recording or copy was cut short".into()),
        None => Err(foreign(file)),
    }
}

/// Kind, first byte of the content and end of the box at `at`; `None` at the end of the file.
fn box_at(
    file: &mut (impl Read + Seek + ?Sized),
    at: u64,
    len: u64,
) -> Result<Option<([u8; 4], u64, u64)>, String> {
    if at.saturating_add(8) > len {
        return Ok(None);
    }
    let failed = |e: io::Error| format!("cannot be read: {e}");
    file.seek(SeekFrom::Start(at)).map_err(failed)?;
    let mut head = [0; 8];
    file.read_exact(&mut head).map_err(failed)?;
    let [s0, s1, s2, s3, k0, k1, k2, k3] = head;
    let (header, size) = match u32::from_be_bytes([s0, s1, s2, s3]) {
        0 => (8, len - at),
        1 if at.saturating_add(16) > len => return Ok(None),
        1 => {
            file.read_exact(&mut head).map_err(failed)?;
            (16, u64::from_be_bytes(head))
        }
        size => (8, u64::from(size)),
    };
    if size < header {
        // Zeros or rubbish after the boxes; whatever was found before stands.
        return Ok(if at == 0 { Some(([0; 4], 8, len)) } else { None });
    }
    Ok(Some(([k0, k1, k2, k3], at + header, at.saturating_add(size))))
}

fn load(file: &mut (impl Read + Seek + ?Sized), body: u64, end: u64, len: u64) -> Result<Vec<u8>, String> {
    if end > len {
        return Err(CUT.into());
    }
    let size = end - body;
    if size > MAX_INDEX {
        return Err(format!("its index has {size} bytes, {MAX_INDEX} are accepted"));
    }
    let failed = |e: io::Error| format!("cannot be read: {e}");
    file.seek(SeekFrom::Start(body)).map_err(failed)?;
    let mut data = vec![0; usize::try_from(size).map_err(|_| CUT)?];
    file.read_exact(&mut data).map_err(failed)?;
    Ok(data)
}

fn is_movie_box(kind: &[u8; 4]) -> bool {
    matches!(
        kind,
        b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide" | b"pnot" | b"styp" | b"sidx" | b"uuid"
    )
}

/// What a file is that is no MP4, as far as its first bytes tell.
fn foreign(file: &mut (impl Read + Seek + ?Sized)) -> Refusal {
    let mut head = [0; 12];
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut head));
    let kind = match (read, &head) {
        (Ok(()), [0x1a, 0x45, 0xdf, 0xa3, ..]) => "is Matroska or WebM",
        (Ok(()), [b'R', b'I', b'F', b'F', ..]) => "is an AVI file",
        (Ok(()), [b'F', b'L', b'V', ..]) => "is Flash video",
        (Ok(()), [0x30, 0x26, 0xb2, 0x75, ..]) => "is Windows Media",
        (Ok(()), [0, 0, 1, 0xba | 0xb3, ..] | [0x47, ..]) => "is an MPEG stream",
        (Ok(()), [b'O', b'g', b'g', b'S', ..]) => "is Ogg",
        _ => return "is not a video file that can be read".into(),
    };
    Refusal::Foreign(kind.into())
}

fn movie(moov: &[u8], len: u64) -> Result<Track, Refusal> {
    let mut refused = None;
    for trak in parts(moov).filter(|part| part.kind == *b"trak") {
        // Version, flags and four bytes that say nothing come first.
        let handler = inside(trak.body, &[b"mdia", b"hdlr"]).and_then(|hdlr| hdlr.get(8..12));
        if handler != Some(b"vide") {
            continue;
        }
        let stsd = inside(trak.body, &[b"mdia", b"minf", b"stbl", b"stsd"]).ok_or(CUT)?;
        match parts(stsd.get(8..).ok_or(CUT)?).next() {
            Some(entry) if matches!(&entry.kind, b"avc1" | b"avc3") => {
                return h264_track(moov, trak.body, entry.body, len);
            }
            Some(entry) => refused = refused.or(Some(codec_name(&entry.kind))),
            None => refused = refused.or(Some("empty".into())),
        }
    }
    Err(match refused {
        Some(codec) => Refusal::Foreign(format!("is {codec} video in MP4")),
        None => "there is no video in it".into(),
    })
}

fn codec_name(kind: &[u8; 4]) -> String {
    match kind {
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "HEVC (H.265)".into(),
        b"av01" => "AV1".into(),
        b"vp08" => "VP8".into(),
        b"vp09" => "VP9".into(),
        b"mp4v" => "MPEG-4 Part 2".into(),
        b"jpeg" | b"mjpa" | b"mjpb" => "Motion JPEG".into(),
        b"encv" => "encrypted".into(),
        [b'a', b'p', ..] => "Apple ProRes".into(),
        other => format!("of the kind {:?}", String::from_utf8_lossy(other)),
    }
}

fn h264_track(moov: &[u8], trak: &[u8], entry: &[u8], len: u64) -> Result<Track, Refusal> {
    let mdia = inside(trak, &[b"mdia"]).ok_or(CUT)?;
    let tkhd = need::<Tkhd>(trak)?;
    let m = tkhd.matrix;
    let mut track = Track {
        timescale: need::<Mdhd>(mdia)?.timescale.max(1),
        id: tkhd.track_id,
        // A point (x, y) goes to (ax + cy, bx + dy). Mirrored pictures are shown as they are stored.
        quarter_turns: match [m.a, m.b, m.c, m.d].map(i32::signum) {
            [0, 1, -1, 0] => 1,
            [-1, 0, 0, -1] => 2,
            [0, -1, 1, 0] => 3,
            _ => 0,
        },
        ..Track::default()
    };
    // The fixed part of a visual sample entry, then its boxes.
    let about = entry.get(78..).ok_or(CUT)?;
    parameter_sets(&mut track, &need::<Avcc>(about)?)?;
    track.colour = match read::<Colr>(about).ok().flatten() {
        Some(Colr::Nclx { matrix_coefficients, full_range_flag, .. }) => {
            Some((matrix_coefficients, full_range_flag))
        }
        Some(Colr::Nclc { matrix_coefficients, .. }) => Some((matrix_coefficients, false)),
        _ => None,
    };
    if let Some(elst) =
        inside(trak, &[b"edts"]).and_then(|edts| read::<Elst>(edts).transpose()).transpose()?
    {
        track.edit = edit(&elst, need::<Mvhd>(moov)?.timescale.max(1), track.timescale);
    }
    table(&mut track, inside(mdia, &[b"minf", b"stbl"]).ok_or(CUT)?, len)?;
    for part in parts(inside(moov, &[b"mvex"]).unwrap_or(&[])).filter(|part| part.kind == *b"trex") {
        let trex: Trex = decode(part.whole)?;
        if trex.track_id == track.id {
            track.defaults = Defaults {
                duration: trex.default_sample_duration,
                size: trex.default_sample_size,
                flags: trex.default_sample_flags,
            };
        }
    }
    Ok(track)
}

fn parameter_sets(track: &mut Track, avcc: &Avcc) -> Result<(), Refusal> {
    match avcc.avc_profile_indication {
        110 => return Err(Refusal::Foreign("is H.264 with 10 bits a channel".into())),
        122 | 244 | 44 => return Err(Refusal::Foreign("is H.264 4:2:2 or 4:4:4".into())),
        _ => {}
    }
    track.length_size = usize::from(avcc.length_size.clamp(1, 4));
    for set in avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets) {
        track.headers.extend_from_slice(&[0, 0, 0, 1]);
        track.headers.extend_from_slice(set);
    }
    Ok(())
}

/// One span of the track, perhaps after a pause; more complicated lists are not followed.
fn edit(elst: &Elst, movie_scale: u32, scale: u32) -> Option<Edit> {
    let ticks = |movie: u64| {
        i64::try_from(u128::from(movie) * u128::from(scale) / u128::from(movie_scale)).unwrap_or(i64::MAX)
    };
    let mut edit: Option<Edit> = None;
    let mut delay: i64 = 0;
    for entry in &elst.entries {
        match entry.media_time {
            None if edit.is_none() => delay = delay.saturating_add(ticks(entry.segment_duration)),
            Some(start) if edit.is_none() => {
                let start = i64::try_from(start).ok()?;
                let length = entry.segment_duration;
                let end = (length > 0).then(|| start.saturating_add(ticks(length)));
                edit = Some(Edit { start, end, delay });
            }
            _ => return None,
        }
    }
    edit
}
