//! Which bytes are which picture, and when it is shown.

use super::boxes::Bytes;
use super::{CUT, MAX_SAMPLES, Sample, Track};

/// Runs of equal values, such as "100 pictures of 512 ticks each", one value at a time.
struct Runs<'a>(Bytes<'a>, u32, u32);

impl<'a> Runs<'a> {
    fn new(full_box: Option<Bytes<'a>>) -> Result<Self, String> {
        let Some(mut data) = full_box else { return Ok(Self(Bytes(&[]), 0, 0)) };
        data.take(8)?;
        Ok(Self(data, 0, 0))
    }

    fn next(&mut self) -> Option<u32> {
        while self.1 == 0 {
            (self.1, self.2) = (self.0.u32().ok()?, self.0.u32().ok()?);
        }
        self.1 -= 1;
        Some(self.2)
    }
}

/// The sample table of a file that is not fragmented.
pub(super) fn table(track: &mut Track, stbl: Bytes<'_>) -> Result<(), String> {
    let mut stsz = stbl.need(&[b"stsz"])?;
    stsz.take(4)?;
    let (same_size, count) = (stsz.u32()?, stsz.u32()? as usize);
    if count == 0 {
        return Ok(());
    }
    if count > MAX_SAMPLES || (same_size == 0 && count > stsz.0.len() / 4) {
        return Err(CUT.into());
    }
    let (mut offsets, wide) = match stbl.find(&[b"stco"]) {
        Some(stco) => (stco, 0),
        None => (stbl.need(&[b"co64"])?, 1),
    };
    offsets.take(8)?;
    let mut stsc = stbl.need(&[b"stsc"])?;
    stsc.take(8)?;
    let mut durations = Runs::new(stbl.find(&[b"stts"]))?;
    let mut shifts = Runs::new(stbl.find(&[b"ctts"]))?;

    let mut run = (stsc.u32()?, stsc.u32()?);
    stsc.u32()?;
    let mut next_run = stsc.u32().ok();
    let (mut chunk, mut decode_time) = (0, 0_i64);
    track.samples.reserve_exact(count);
    while track.samples.len() < count {
        chunk += 1;
        if next_run == Some(chunk) {
            run = (chunk, stsc.u32()?);
            stsc.u32()?;
            next_run = stsc.u32().ok();
        }
        let mut offset = offsets.long(wide)?;
        for _ in 0..run.1.min((count - track.samples.len()) as u32) {
            let size = if same_size == 0 { stsz.u32()? } else { same_size };
            // A version 0 box with what is clearly a negative shift is common: read both as signed.
            let shift = shifts.next().unwrap_or(0).cast_signed();
            track.samples.push(Sample { offset, size, time: decode_time.saturating_add(shift.into()) });
            offset = offset.saturating_add(size.into());
            decode_time = decode_time.saturating_add(durations.next().unwrap_or(0).into());
        }
    }
    Ok(())
}

/// Adds the pictures of one movie fragment that starts at byte `moof_at`.
pub(super) fn fragment(
    track: &mut Track,
    moof: &[u8],
    moof_at: u64,
    decode_time: &mut i64,
) -> Result<(), String> {
    for (index, (_, traf)) in Bytes(moof).boxes().filter(|(kind, _)| kind == b"traf").enumerate() {
        let mut tfhd = traf.need(&[b"tfhd"])?;
        let (_, flags) = tfhd.version()?;
        if tfhd.u32()? != track.id {
            continue;
        }
        let mut base = moof_at;
        if flags & 1 != 0 {
            base = tfhd.long(1)?;
        } else if flags & 0x2_0000 == 0 && index > 0 {
            return Err("its fragments place their data in a way that is not supported".into());
        }
        if flags & 2 != 0 {
            tfhd.u32()?;
        }
        let usual_duration = if flags & 8 != 0 { tfhd.u32()? } else { track.defaults.0 };
        let usual_size = if flags & 0x10 != 0 { tfhd.u32()? } else { track.defaults.1 };
        if let Some(mut tfdt) = traf.find(&[b"tfdt"]) {
            let (version, _) = tfdt.version()?;
            *decode_time = i64::try_from(tfdt.long(version)?).map_err(|_| CUT)?;
        }
        let mut offset = base;
        for (_, mut trun) in traf.boxes().filter(|(kind, _)| kind == b"trun") {
            let (_, flags) = trun.version()?;
            let count = trun.u32()? as usize;
            if flags & 1 != 0 {
                offset = base.saturating_add_signed(trun.i32()?.into());
            }
            if flags & 4 != 0 {
                trun.u32()?;
            }
            if track.samples.len().saturating_add(count) > MAX_SAMPLES {
                return Err(CUT.into());
            }
            for _ in 0..count {
                let mut field = |bit: u32| if flags & bit != 0 { trun.u32().map(Some) } else { Ok(None) };
                let duration = field(0x100)?.unwrap_or(usual_duration);
                let size = field(0x200)?.unwrap_or(usual_size);
                field(0x400)?;
                let shift = field(0x800)?.unwrap_or(0).cast_signed();
                track.samples.push(Sample { offset, size, time: decode_time.saturating_add(shift.into()) });
                offset = offset.saturating_add(size.into());
                *decode_time = decode_time.saturating_add(duration.into());
            }
        }
    }
    Ok(())
}
