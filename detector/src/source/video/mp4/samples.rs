//! Which bytes are which picture, and when it is shown.

use mp4_atom::{Co64, Ctts, Stco, Stsc, Stss, Stsz, StszSamples, Stts, Tfdt, Tfhd, Trun};

use super::boxes::{Part, decode, need, parts, read};
use super::index::{CUT, MAX_SAMPLES, Sample, Track};

/// Set in the flags of a sample that needs others before it (ISO/IEC 14496-12, 8.8.3.1).
const NOT_A_KEY: u32 = 1 << 16;

/// Runs of equal values, such as "100 pictures of 512 ticks each", one value at a time.
fn expand<T: Copy>(runs: impl Iterator<Item = (u32, T)>) -> impl Iterator<Item = T> {
    runs.flat_map(|(count, value)| std::iter::repeat_n(value, count as usize))
}

/// Reads the sample table `stbl` of a file of `len` bytes that is not fragmented.
pub(super) fn table(track: &mut Track, stbl: &[u8], len: u64) -> Result<(), String> {
    let (count, sizes) = match need::<Stsz>(stbl)?.samples {
        StszSamples::Different { sizes } => (sizes.len(), sizes),
        StszSamples::Identical { count, size } => {
            // No more pictures than there are bytes for.
            if u64::from(count) * u64::from(size.max(1)) > len {
                return Err(CUT.into());
            }
            (count as usize, if count == 0 { Vec::new() } else { vec![size] })
        }
    };
    if count == 0 {
        return Ok(());
    }
    if count > MAX_SAMPLES {
        return Err(CUT.into());
    }
    let chunks: Vec<u64> = match read::<Stco>(stbl)? {
        Some(stco) => stco.entries.into_iter().map(u64::from).collect(),
        None => need::<Co64>(stbl)?.entries,
    };
    let in_chunk = need::<Stsc>(stbl)?.entries;
    let durations = read::<Stts>(stbl)?.map(|b| b.entries).unwrap_or_default();
    let mut durations = expand(durations.iter().map(|e| (e.sample_count, e.sample_delta)));
    let shifts = read::<Ctts>(stbl)?.map(|b| b.entries).unwrap_or_default();
    // A version 0 box with what is clearly a negative shift is common: read both as signed.
    let mut shifts = expand(shifts.iter().map(|e| (e.sample_count, e.sample_offset as i32)));
    let keys = read::<Stss>(stbl)?.map(|b| b.entries);

    let mut run = in_chunk.iter().peekable();
    let mut per_chunk = 0;
    let mut decode_time = 0_i64;
    let mut samples = Vec::with_capacity(count);
    for (index, mut offset) in chunks.into_iter().enumerate() {
        while let Some(entry) = run.next_if(|entry| entry.first_chunk as usize <= index + 1) {
            per_chunk = entry.samples_per_chunk as usize;
        }
        for _ in 0..per_chunk.min(count - samples.len()) {
            let size = *sizes.get(samples.len()).or(sizes.last()).ok_or(CUT)?;
            let time = decode_time.saturating_add(shifts.next().unwrap_or(0).into());
            samples.push(Sample { offset, size, time, key: keys.is_none() });
            offset = offset.saturating_add(size.into());
            decode_time = decode_time.saturating_add(durations.next().unwrap_or(0).into());
        }
    }
    if samples.len() < count {
        return Err(CUT.into());
    }
    for number in keys.into_iter().flatten() {
        // Counted from 1.
        if let Some(sample) = (number as usize).checked_sub(1).and_then(|at| samples.get_mut(at)) {
            sample.key = true;
        }
    }
    track.samples = samples;
    Ok(())
}

/// Adds the pictures of one movie fragment that starts at byte `moof_at` of a file of `len` bytes.
pub(super) fn fragment(
    track: &mut Track,
    moof: &[u8],
    moof_at: u64,
    decode_time: &mut i64,
    len: u64,
) -> Result<(), String> {
    for (index, Part { body: traf, .. }) in parts(moof).filter(|p| p.kind == *b"traf").enumerate() {
        let tfhd = need::<Tfhd>(traf)?;
        if tfhd.track_id != track.id {
            continue;
        }
        if tfhd.base_data_offset.is_none() && !tfhd.default_base_is_moof && index > 0 {
            return Err("its fragments place their data in a way that is not supported".into());
        }
        let base = tfhd.base_data_offset.unwrap_or(moof_at);
        let usual_duration = tfhd.default_sample_duration.unwrap_or(track.defaults.duration);
        let usual_size = tfhd.default_sample_size.unwrap_or(track.defaults.size);
        let usual_flags = tfhd.default_sample_flags.unwrap_or(track.defaults.flags);
        if let Some(tfdt) = read::<Tfdt>(traf)? {
            *decode_time = i64::try_from(tfdt.base_media_decode_time).map_err(|_| CUT)?;
        }
        let mut offset = base;
        for Part { whole, .. } in parts(traf).filter(|p| p.kind == *b"trun") {
            let trun: Trun = decode(whole)?;
            if let Some(from) = trun.data_offset {
                offset = base.saturating_add_signed(from.into());
            }
            for entry in &trun.samples {
                // No more pictures than there are bytes for.
                if track.samples.len() == MAX_SAMPLES || track.samples.len() as u64 >= len {
                    return Err(CUT.into());
                }
                let size = entry.size.unwrap_or(usual_size);
                let shift = entry.cts.unwrap_or(0) as i32;
                let time = decode_time.saturating_add(shift.into());
                let key = entry.flags.unwrap_or(usual_flags) & NOT_A_KEY == 0;
                track.samples.push(Sample { offset, size, time, key });
                offset = offset.saturating_add(size.into());
                *decode_time = decode_time.saturating_add(entry.duration.unwrap_or(usual_duration).into());
            }
        }
    }
    Ok(())
}
