//! Coded pictures to a fragmented MP4.
//!
//! The index at the front tells only what kind of pictures follow; every second a fragment with its own
//! small index is added. So the file plays as far as it was written, however the program ends.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::mem;

use mp4_atom::{
    Avc1, Avcc, Codec, Colr, Compressor, Dinf, Dref, DrefEntry, Encode, FixedPoint, FourCC, Ftyp, Hdlr, Mdhd,
    Mdia, Mehd, Mfhd, Minf, Moof, Moov, Mvex, Mvhd, Stbl, Stco, Stsd, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex,
    Trun, TrunEntry, Url, Visual, Vmhd,
};

use super::encode::Coded;

/// Ticks a second: whole numbers for 24, 25, 30 and 60 frames a second and for milliseconds.
pub(super) const TIMESCALE: u32 = 90_000;
const TRACK: u32 = 1;
/// `sample_depends_on`, and for all but key pictures that they are no place to start.
const KEY_FLAGS: u32 = 0x0200_0000;
const OTHER_FLAGS: u32 = 0x0101_0000;
/// Bytes of the box that says how long all fragments are, for which room is kept.
const LENGTH_BOX: u32 = 20;

/// Writes a file with one H.264 track.
pub(super) struct Muxer {
    file: File,
    track: Moov,
    /// Where the index begins, and the end of what is written and whole.
    moov_at: u64,
    end: u64,
    fragment: Vec<(Coded, u32)>,
    /// Ticks before the fragment that is being filled, and in it.
    before: u64,
    ticks: u64,
    sequence: u32,
}

impl Muxer {
    /// Writes the front of the file.
    pub(super) fn new(
        file: File,
        (width, height): (u32, u32),
        parameters: &(Vec<u8>, Vec<u8>),
    ) -> io::Result<Self> {
        let brands = [b"isom", b"iso6", b"avc1", b"mp41"].map(FourCC::new);
        let ftyp =
            Ftyp { major_brand: FourCC::new(b"isom"), minor_version: 512, compatible_brands: brands.into() };
        let track = movie(width, height, parameters)?;
        let mut bytes = encoded(&ftyp)?;
        let moov_at = bytes.len() as u64;
        bytes.extend(index(&track, None)?);
        let (fragment, before, ticks, sequence) = (Vec::new(), 0, 0, 1);
        let mut muxer = Self { file, track, moov_at, end: 0, fragment, before, ticks, sequence };
        muxer.append(&bytes)?;
        Ok(muxer)
    }

    /// Adds a picture that is shown for `ticks`.
    pub(super) fn push(&mut self, coded: Coded, ticks: u32) -> io::Result<()> {
        self.fragment.push((coded, ticks));
        self.ticks += u64::from(ticks);
        if self.ticks >= u64::from(TIMESCALE) { self.flush() } else { Ok(()) }
    }

    /// Bytes written and waiting to be written.
    pub(super) fn bytes(&self) -> u64 {
        self.end + self.fragment.iter().map(|(coded, _)| coded.data.len() as u64).sum::<u64>()
    }

    /// Writes what waits, then how long it all is, and makes sure of the disk; gives the ticks of the whole.
    pub(super) fn finish(&mut self) -> io::Result<u64> {
        self.flush()?;
        let index = index(&self.track, Some(self.before))?;
        self.file.seek(SeekFrom::Start(self.moov_at))?;
        self.file.write_all(&index)?;
        self.file.sync_all()?;
        Ok(self.before)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.fragment.is_empty() {
            return Ok(());
        }
        let samples = mem::take(&mut self.fragment);
        let size: usize = samples.iter().map(|(coded, _)| coded.data.len()).sum();
        // The place of the data depends on the length of the box that says it, which does not change.
        let length = encoded(&self.moof(&samples, 0)?)?.len() as i32;
        let mut bytes = encoded(&self.moof(&samples, length + 8)?)?;
        bytes.extend(u32::try_from(size + 8).map_err(invalid)?.to_be_bytes());
        bytes.extend(b"mdat");
        for (coded, _) in &samples {
            bytes.extend_from_slice(&coded.data);
        }
        self.append(&bytes)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.before += mem::take(&mut self.ticks);
        Ok(())
    }

    fn moof(&self, samples: &[(Coded, u32)], data_offset: i32) -> io::Result<Moof> {
        let entries = samples.iter().map(|(coded, ticks)| {
            Ok(TrunEntry {
                duration: Some(*ticks),
                size: Some(u32::try_from(coded.data.len()).map_err(invalid)?),
                flags: Some(if coded.key { KEY_FLAGS } else { OTHER_FLAGS }),
                cts: None,
            })
        });
        let entries = entries.collect::<io::Result<Vec<_>>>()?;
        let run = Trun { data_offset: Some(data_offset), samples: entries.into() };
        let traf = Traf {
            tfhd: Tfhd { track_id: TRACK, default_base_is_moof: true, ..Default::default() },
            tfdt: Some(Tfdt { base_media_decode_time: self.before }),
            trun: vec![run],
            ..Default::default()
        };
        Ok(Moof { mfhd: Mfhd { sequence_number: self.sequence }, traf: vec![traf] })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let start = self.file.seek(SeekFrom::Start(self.end));
        if let Err(error) = start.and_then(|_| self.file.write_all(bytes)) {
            // A full disk must not leave half a fragment; if this fails too, a player stops there.
            let _ = self.file.set_len(self.end);
            return Err(error);
        }
        self.end += bytes.len() as u64;
        Ok(())
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn encoded(part: &impl Encode) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    part.encode(&mut bytes).map_err(invalid)?;
    Ok(bytes)
}

/// The index, of the same length whether it says how long everything is or not.
fn index(track: &Moov, ticks: Option<u64>) -> io::Result<Vec<u8>> {
    let mut moov = track.clone();
    if let Some(ticks) = ticks {
        moov.mvhd.duration = ticks;
        for trak in &mut moov.trak {
            trak.tkhd.duration = ticks;
        }
        if let Some(mvex) = &mut moov.mvex {
            mvex.mehd = Some(Mehd { fragment_duration: ticks });
        }
        return encoded(&moov);
    }
    let mut bytes = encoded(&moov)?;
    bytes.extend(LENGTH_BOX.to_be_bytes());
    bytes.extend(b"free");
    bytes.extend([0; LENGTH_BOX as usize - 8]);
    Ok(bytes)
}

fn movie(width: u32, height: u32, (sps, pps): &(Vec<u8>, Vec<u8>)) -> io::Result<Moov> {
    let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let width = u16::try_from(width).map_err(too_large)?;
    let height = u16::try_from(height).map_err(too_large)?;
    let bt709 = Colr::Nclx {
        colour_primaries: 1,
        transfer_characteristics: 1,
        matrix_coefficients: 1,
        full_range_flag: false,
    };
    let avc1 = Avc1 {
        visual: Visual {
            data_reference_index: 1,
            width,
            height,
            compressor: Compressor::from(""),
            ..Default::default()
        },
        avcc: Avcc::new(sps, pps).map_err(invalid)?,
        colr: Some(bt709),
        ..Default::default()
    };
    let stbl = Stbl {
        stsd: Stsd { codecs: vec![Codec::Avc1(avc1)] },
        stco: Some(Stco::default()),
        ..Default::default()
    };
    let here = DrefEntry::Url(Url { location: String::new() });
    let minf = Minf {
        vmhd: Some(Vmhd::default()),
        dinf: Dinf { dref: Dref { entries: vec![here] } },
        stbl,
        ..Default::default()
    };
    let mdia = Mdia {
        mdhd: Mdhd { timescale: TIMESCALE, language: "und".into(), ..Default::default() },
        hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "video".into() },
        minf,
    };
    let tkhd = Tkhd {
        track_id: TRACK,
        enabled: true,
        in_movie: true,
        width: FixedPoint::new(width, 0),
        height: FixedPoint::new(height, 0),
        ..Default::default()
    };
    let trex = Trex { track_id: TRACK, default_sample_description_index: 1, ..Default::default() };
    Ok(Moov {
        mvhd: Mvhd { timescale: TIMESCALE, rate: 1.into(), next_track_id: TRACK + 1, ..Default::default() },
        trak: vec![Trak { tkhd, mdia, ..Default::default() }],
        mvex: Some(Mvex { mehd: None, trex: vec![trex] }),
        ..Default::default()
    })
}
