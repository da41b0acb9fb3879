//! Where the pictures of an MP4 or QuickTime file lie and when they are shown.
//!
//! A reader of the few boxes that matter. It is forgiving where files differ (unknown boxes are passed
//! over) and strict where a wrong number would cost memory: every count is held against the bytes that
//! are there before anything is allocated, and nothing of the pictures themselves is read.

mod boxes;
mod samples;

use std::io::{self, Read, Seek, SeekFrom};

use boxes::Bytes;
use samples::{fragment, table};

/// What a box cut short reads as.
const CUT: &str = "its index is damaged or cut short";
/// The largest index that is read into memory, in bytes; ten hours at 60 frames a second need a tenth.
const MAX_INDEX: u64 = 256 << 20;
/// The most pictures of one file: 37 hours at 30 frames a second.
const MAX_SAMPLES: usize = 4_000_000;

/// One coded picture, in decoding order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// First byte in the file.
    pub(super) offset: u64,
    /// Length in bytes.
    pub(super) size: u32,
    /// When it is shown, in ticks of [`Track::timescale`].
    pub(super) time: i64,
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
    id: u32,
    /// Duration, size and flags a fragment's pictures have unless it says otherwise.
    defaults: (u32, u32),
}

/// Finds the first H.264 track of the `len` bytes behind `file`; the error is a reason to show.
pub(super) fn read_track(file: &mut (impl Read + Seek + ?Sized), len: u64) -> Result<Track, String> {
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
            b"moov" if track.is_none() => track = Some(movie(&load(file, body, end, len)?)?),
            b"moof" => {
                let Some(track) = track.as_mut() else { return Err(CUT.into()) };
                // A fragment that was being written when the power went: what is before it counts.
                if end > len {
                    break;
                }
                fragment(track, &load(file, body, end, len)?, at, &mut next_decode_time)?;
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
fn foreign(file: &mut (impl Read + Seek + ?Sized)) -> String {
    let mut head = [0; 12];
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut head));
    match (read, &head) {
        (Ok(()), [0x1a, 0x45, 0xdf, 0xa3, ..]) => "is Matroska or WebM; only MP4 and MOV can be read".into(),
        (Ok(()), [b'R', b'I', b'F', b'F', .., b'A', b'V', b'I', b' ']) => {
            "is an AVI file; only MP4 and MOV can be read".into()
        }
        _ => "is not a video file that can be read (MP4 or MOV with H.264)".into(),
    }
}

fn movie(moov: &[u8]) -> Result<Track, String> {
    let moov = Bytes(moov);
    let mut refused = None;
    for (_, trak) in moov.boxes().filter(|(kind, _)| kind == b"trak") {
        let Some(mut hdlr) = trak.find(&[b"mdia", b"hdlr"]) else { continue };
        hdlr.take(8)?;
        if hdlr.array()? != *b"vide" {
            continue;
        }
        let mut stsd = trak.need(&[b"mdia", b"minf", b"stbl", b"stsd"])?;
        stsd.take(8)?;
        match stsd.boxes().next() {
            Some(([b'a', b'v', b'c', b'1' | b'3'], entry)) => return h264_track(moov, trak, entry),
            Some((kind, _)) => refused = refused.or(Some(codec_name(&kind))),
            None => refused = refused.or(Some("empty".into())),
        }
    }
    Err(match refused {
        Some(codec) => format!("its video is {codec}; only H.264 can be read"),
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

fn h264_track(moov: Bytes<'_>, trak: Bytes<'_>, entry: Bytes<'_>) -> Result<Track, String> {
    let mut track = Track::default();
    let mut mdhd = trak.need(&[b"mdia", b"mdhd"])?;
    let (version, _) = mdhd.version()?;
    mdhd.take(if version == 1 { 16 } else { 8 })?;
    track.timescale = mdhd.u32()?.max(1);

    let mut tkhd = trak.need(&[b"tkhd"])?;
    let (version, _) = tkhd.version()?;
    tkhd.take(if version == 1 { 16 } else { 8 })?;
    track.id = tkhd.u32()?;
    tkhd.take(if version == 1 { 28 } else { 24 })?;
    let (a, b, _, c, d) = (tkhd.i32()?, tkhd.i32()?, tkhd.i32()?, tkhd.i32()?, tkhd.i32()?);
    // A point (x, y) goes to (ax + cy, bx + dy). Mirrored pictures are shown as they are stored.
    track.quarter_turns = match [a, b, c, d].map(i32::signum) {
        [0, 1, -1, 0] => 1,
        [-1, 0, 0, -1] => 2,
        [0, -1, 1, 0] => 3,
        _ => 0,
    };

    // The fixed part of a visual sample entry, then its boxes.
    let mut inside = entry;
    inside.take(78)?;
    parameter_sets(&mut track, inside.need(&[b"avcC"])?)?;
    track.colour = inside.find(&[b"colr"]).and_then(|colr| colour(colr).ok().flatten());
    if let Some(elst) = trak.find(&[b"edts", b"elst"]) {
        let mut mvhd = moov.need(&[b"mvhd"])?;
        let (version, _) = mvhd.version()?;
        mvhd.take(if version == 1 { 16 } else { 8 })?;
        track.edit = edit_list(elst, mvhd.u32()?.max(1), track.timescale)?;
    }
    table(&mut track, trak.need(&[b"mdia", b"minf", b"stbl"])?)?;
    if let Some(mvex) = moov.find(&[b"mvex"]) {
        for (_, mut trex) in mvex.boxes().filter(|(kind, _)| kind == b"trex") {
            trex.take(4)?;
            if trex.u32()? == track.id {
                trex.take(4)?;
                track.defaults = (trex.u32()?, trex.u32()?);
            }
        }
    }
    Ok(track)
}

fn parameter_sets(track: &mut Track, mut avcc: Bytes<'_>) -> Result<(), String> {
    let [_, profile, _, _, lengths] = avcc.array()?;
    match profile {
        110 => return Err("its video is H.264 with 10 bits a channel; only 8 can be read".into()),
        122 | 244 | 44 => return Err("its video is H.264 4:2:2 or 4:4:4; only 4:2:0 can be read".into()),
        _ => {}
    }
    track.length_size = usize::from(lengths & 3) + 1;
    for mask in [0x1f, 0xff] {
        for _ in 0..avcc.u8()? & mask {
            let size = avcc.u16()?;
            track.headers.extend_from_slice(&[0, 0, 0, 1]);
            track.headers.extend_from_slice(avcc.take(usize::from(size))?);
        }
    }
    Ok(())
}

fn colour(mut colr: Bytes<'_>) -> Result<Option<(u16, bool)>, String> {
    let kind: [u8; 4] = colr.array()?;
    colr.take(4)?;
    Ok(match &kind {
        b"nclx" => Some((colr.u16()?, colr.u8()? & 0x80 != 0)),
        b"nclc" => Some((colr.u16()?, false)),
        _ => None,
    })
}

/// One span of the track, perhaps after a pause; more complicated lists are not followed.
fn edit_list(mut elst: Bytes<'_>, movie_scale: u32, scale: u32) -> Result<Option<Edit>, String> {
    let (version, _) = elst.version()?;
    let ticks = |movie: u64| {
        i64::try_from(u128::from(movie) * u128::from(scale) / u128::from(movie_scale)).unwrap_or(i64::MAX)
    };
    let mut edit: Option<Edit> = None;
    let mut delay: i64 = 0;
    for _ in 0..elst.u32()? {
        let length = elst.long(version)?;
        let start = if version == 1 { elst.array().map(i64::from_be_bytes)? } else { elst.i32()?.into() };
        elst.u32()?;
        if start < 0 && edit.is_none() {
            delay = delay.saturating_add(ticks(length));
        } else if edit.is_none() {
            let end = (length > 0).then(|| start.saturating_add(ticks(length)));
            edit = Some(Edit { start, end, delay });
        } else {
            return Ok(None);
        }
    }
    Ok(edit)
}
