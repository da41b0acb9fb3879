//! Reading the insides of a box.

use super::CUT;

/// A big-endian reader over part of a box.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(CUT)?;
        self.0 = tail;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| CUT.to_owned())
    }

    pub(super) fn u8(&mut self) -> Result<u8, String> {
        self.array().map(|[b]| b)
    }

    pub(super) fn u16(&mut self) -> Result<u16, String> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, String> {
        self.array().map(i32::from_be_bytes)
    }

    /// 64 bits in a box of version 1, else 32.
    pub(super) fn long(&mut self, version: u8) -> Result<u64, String> {
        if version == 1 { self.array().map(u64::from_be_bytes) } else { self.u32().map(u64::from) }
    }

    /// Version and flags of a full box.
    pub(super) fn version(&mut self) -> Result<(u8, u32), String> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0xff_ffff))
    }

    /// The boxes inside, up to the first that does not fit.
    pub(super) fn boxes(mut self) -> impl Iterator<Item = ([u8; 4], Bytes<'a>)> {
        std::iter::from_fn(move || {
            let size = self.u32().ok()?;
            let kind = self.array().ok()?;
            let body = match size {
                0 => self.0.len(),
                1 => usize::try_from(self.long(1).ok()?).ok()?.checked_sub(16)?,
                size => (size as usize).checked_sub(8)?,
            };
            Some((kind, Bytes(self.take(body).ok()?)))
        })
    }

    pub(super) fn find(self, path: &[&[u8; 4]]) -> Option<Bytes<'a>> {
        path.iter().try_fold(self, |at, kind| at.boxes().find(|(k, _)| k == *kind).map(|(_, b)| b))
    }

    pub(super) fn need(self, path: &[&[u8; 4]]) -> Result<Bytes<'a>, String> {
        self.find(path).ok_or_else(|| CUT.to_owned())
    }
}
