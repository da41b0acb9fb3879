//! Motion JPEG in AVI: a RIFF file whose `movi` list has the pictures one after the other.
//!
//! The index at the end is not used: it is missing in files that were cut short, and the pictures are
//! found as quickly by going from header to header.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Input, Refusal, file_name, open_file};
use crate::error::Error;
use crate::frame::Frame;
use crate::source::{FrameSource, jpeg};

/// The most pictures of one file: 37 hours at 30 a second.
const MAX_PICTURES: usize = 4_000_000;
/// The largest coded picture that is read, in bytes.
const MAX_CODED: u32 = 64 << 20;
/// The largest header list that is read, in bytes; usual ones have a few hundred.
const MAX_HEADER: u32 = 1 << 20;

/// An AVI file with Motion JPEG. Sound is passed over, a damaged picture is left out and counted.
pub struct AviFile {
    path: PathBuf,
    input: Box<dyn Input>,
    index: Index,
    next: usize,
    given: u64,
    damaged: u64,
    /// Where the picture lies that was tried last, if it could not be decoded.
    broken: Option<u64>,
}

/// What an AVI file says of its first video stream.
#[derive(Debug, Default)]
struct Index {
    /// Place and length of each picture; one that repeats the picture before it has the same place, and a length of
    /// 0 where there is none.
    pictures: Vec<(u64, u32)>,
    /// Seconds of a picture as a fraction.
    scale: u32,
    rate: u32,
    /// Whether the file ends before its lists do.
    cut: bool,
}

/// Opens an AVI file; `None` where it is none.
pub(super) fn open(path: &Path) -> Result<Option<Result<AviFile, Refusal>>, Error> {
    let (mut file, len) = open_file(path)?;
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut head = Vec::new();
    (&mut file).take(12).read_to_end(&mut head).map_err(io)?;
    if !(head.starts_with(b"RIFF") && head.ends_with(b"AVI ") && head.len() == 12) {
        return Ok(None);
    }
    let index = match read_index(&mut file, len).map_err(io)? {
        Ok(index) => index,
        Err(refusal) => return Ok(Some(Err(refusal))),
    };
    let (path, input) = (path.to_owned(), Box::new(file));
    Ok(Some(Ok(AviFile { path, input, index, next: 0, given: 0, damaged: 0, broken: None })))
}

impl AviFile {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Media`] where it is no AVI file with Motion JPEG.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        match open(path)? {
            Some(file) => file.map_err(|refusal| refusal.about(path)),
            None => Err(Refusal::from("is no AVI file").about(path)),
        }
    }

    /// When picture `index` is shown.
    fn time(&self, index: usize) -> Duration {
        let nanos =
            index as u128 * u128::from(self.index.scale) * 1_000_000_000 / u128::from(self.index.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn decode(&mut self, at: usize) -> Result<Result<Frame, String>, Error> {
        let stored = self.index.pictures.get(at).filter(|(_, size)| *size > 0);
        let Some(&(offset, size)) = stored else { return Ok(Err("there is no picture yet".into())) };
        if self.broken == Some(offset) {
            return Ok(Err("it repeats a damaged picture".into()));
        }
        let mut data = vec![0; size as usize];
        let read = self.input.seek(SeekFrom::Start(offset)).and_then(|_| self.input.read_exact(&mut data));
        read.map_err(|source| Error::Io { path: self.path.clone(), source })?;
        let decoded = jpeg::decode(&data);
        self.broken = decoded.is_err().then_some(offset);
        Ok(decoded)
    }
}

impl FrameSource for AviFile {
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        while self.next < self.index.pictures.len() {
            let at = self.next;
            self.next += 1;
            match self.decode(at)? {
                Ok(frame) => {
                    self.given += 1;
                    return Ok(Some(frame.at(self.time(at))));
                }
                Err(_) => self.damaged += 1,
            }
        }
        let refuse = |reason: &str| Err(Refusal::from(reason).about(&self.path));
        if std::mem::take(&mut self.index.cut) {
            return refuse("is cut short: what is there was shown");
        }
        if self.given == 0 && self.damaged > 0 {
            self.damaged = 0;
            return refuse("none of its pictures could be decoded");
        }
        Ok(None)
    }

    fn name(&self) -> String {
        file_name(&self.path)
    }

    fn frame_count(&self) -> Option<u64> {
        Some(self.index.pictures.len() as u64)
    }

    fn frame_interval(&self) -> Option<Duration> {
        Some(self.time(1))
    }

    fn duration(&self) -> Option<Duration> {
        Some(self.time(self.index.pictures.len()))
    }

    fn seek(&mut self, to: Duration) -> Result<(), Error> {
        let nanos_a_picture = u128::from(self.index.scale) * 1_000_000_000 / u128::from(self.index.rate);
        let after = to.as_nanos().checked_div(nanos_a_picture).unwrap_or(0).saturating_add(1);
        let mut picture = usize::try_from(after).unwrap_or(usize::MAX).min(self.index.pictures.len());
        while picture > 0 && self.time(picture) > to {
            picture -= 1;
        }
        self.next = picture;
        Ok(())
    }

    fn dropped(&self) -> u64 {
        self.damaged
    }
}

/// Reads the headers and finds the pictures.
fn read_index(file: &mut (impl Read + Seek), len: u64) -> io::Result<Result<Index, Refusal>> {
    let mut index = Index::default();
    // `00dc`: stream number and "compressed picture"; known after the headers.
    let mut stream = None;
    // Lists that are open: where they end. A chunk behind all of them starts the next RIFF part.
    let mut at = 0;
    while at + 8 <= len {
        let (kind, size) = chunk(file, at)?;
        let body = at + 8;
        let end = body.saturating_add(size.into());
        let padded = end.saturating_add(u64::from(size % 2));
        index.cut |= end > len;
        let into = match &kind {
            b"RIFF" | b"LIST" if body + 4 <= len => {
                let mut name = [0; 4];
                file.seek(SeekFrom::Start(body))?;
                file.read_exact(&mut name)?;
                match &name {
                    b"AVI " | b"AVIX" | b"movi" | b"rec " => true,
                    b"hdrl" => {
                        // The name is part of it.
                        let Some(size) = size.checked_sub(4).filter(|_| size <= MAX_HEADER && end <= len)
                        else {
                            return Ok(Err("its header is damaged or cut short".into()));
                        };
                        let mut header = vec![0; size as usize];
                        file.read_exact(&mut header)?;
                        match video_stream(&header, &mut index) {
                            Ok(number) => stream = Some(number),
                            Err(refusal) => return Ok(Err(refusal)),
                        }
                        false
                    }
                    _ => false,
                }
            }
            [tens, ones, b'd', b'c' | b'b'] if stream == number(*tens, *ones) && stream.is_some() => {
                if index.pictures.len() == MAX_PICTURES || size > MAX_CODED {
                    return Ok(Err("it has more or larger pictures than are accepted".into()));
                }
                if end <= len {
                    // An empty chunk means that the picture before it stays.
                    let before = index.pictures.last().copied().filter(|_| size == 0);
                    index.pictures.push(before.unwrap_or((body, size)));
                }
                false
            }
            _ => false,
        };
        // Into a list go past its name, else to the next chunk.
        at = if into { body + 4 } else { padded };
    }
    Ok(if stream.is_none() {
        Err("its header is missing".into())
    } else if index.pictures.is_empty() {
        Err("there is no picture in it".into())
    } else {
        Ok(index)
    })
}

fn chunk(file: &mut (impl Read + Seek), at: u64) -> io::Result<([u8; 4], u32)> {
    let mut head = [0; 8];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut head)?;
    let [k0, k1, k2, k3, size @ ..] = head;
    Ok(([k0, k1, k2, k3], u32::from_le_bytes(size)))
}

fn number(tens: u8, ones: u8) -> Option<usize> {
    let digit = |b: u8| char::from(b).to_digit(10);
    Some((digit(tens)? * 10 + digit(ones)?) as usize)
}

/// The number of the first video stream of a header list, its rate noted; an error where it is no Motion
/// JPEG.
fn video_stream(header: &[u8], index: &mut Index) -> Result<usize, Refusal> {
    let mut rest = header;
    let mut stream = 0;
    while let Some((kind, body, after)) = split_chunk(rest) {
        rest = after;
        let Some(list) = body.strip_prefix(b"strl").filter(|_| kind == *b"LIST") else { continue };
        let find = |wanted: &[u8; 4]| {
            let mut rest = list;
            std::iter::from_fn(move || {
                let (kind, body, after) = split_chunk(rest)?;
                rest = after;
                Some((kind, body))
            })
            .find(|(kind, _)| kind == wanted)
            .map(|(_, body)| body)
        };
        let Some(strh) = find(b"strh") else { continue };
        if !strh.starts_with(b"vids") {
            stream += 1;
            continue;
        }
        let word = |data: &[u8], at: usize| {
            data.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        // Scale and rate of the stream header; the codec is in the BITMAPINFOHEADER.
        (index.scale, index.rate) = (word(strh, 20).max(1), word(strh, 24));
        if index.rate == 0 {
            return Err("it does not say how many pictures a second it has".into());
        }
        let codec = find(b"strf").and_then(|strf| strf.get(16..20)).or(strh.get(4..8)).unwrap_or(b"????");
        if !matches!(codec.to_ascii_uppercase().as_slice(), b"MJPG" | b"JPEG" | b"AVRN" | b"IJPG") {
            let codec = String::from_utf8_lossy(codec).into_owned();
            return Err(Refusal::Foreign(format!("is an AVI file with the codec {codec:?}")));
        }
        return Ok(stream);
    }
    Err("there is no video in it".into())
}

/// The first chunk of `bytes`: its four letters, content, and what follows.
fn split_chunk(bytes: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let [k0, k1, k2, k3, size @ ..] = *head;
    let size = u32::from_le_bytes(size) as usize;
    let body = rest.get(..size)?;
    Some(([k0, k1, k2, k3], body, rest.get(size.next_multiple_of(2)..).unwrap_or(&[])))
}
