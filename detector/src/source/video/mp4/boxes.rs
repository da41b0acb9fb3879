//! Walking the boxes of an index. What is in a box is `mp4-atom`'s matter; walking by ourselves passes
//! over boxes that it would refuse and that nobody here needs.

use mp4_atom::{Atom, Decode as _};

use super::index::CUT;

/// One box: its four letters, all its bytes, and those after its header.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) kind: [u8; 4],
    pub(super) whole: &'a [u8],
    pub(super) body: &'a [u8],
}

/// The boxes one after the other in `bytes`, up to the first that does not fit.
pub(super) fn parts(mut bytes: &[u8]) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(8)?;
        let (size, kind) = head.split_first_chunk::<4>()?;
        let kind: [u8; 4] = kind.try_into().ok()?;
        let (header, size) = match u32::from_be_bytes(*size) {
            0 => (8, bytes.len()),
            1 => (16, usize::try_from(u64::from_be_bytes(*rest.first_chunk::<8>()?)).ok()?),
            size => (8, size as usize),
        };
        let (whole, after) = bytes.split_at_checked(size)?;
        let body = whole.get(header..)?;
        bytes = after;
        Some(Part { kind, whole, body })
    })
}

/// The content of the box that `path` leads to.
pub(super) fn inside<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |at, kind| parts(at).find(|part| part.kind == **kind).map(|part| part.body))
}

/// The box of type `T` in the content of a box, decoded; `None` where there is none.
pub(super) fn read<T: Atom>(bytes: &[u8]) -> Result<Option<T>, String> {
    let kind: [u8; 4] = T::KIND.into();
    parts(bytes).find(|part| part.kind == kind).map(|part| decode(part.whole)).transpose()
}

/// As [`read`], where the box must be there.
pub(super) fn need<T: Atom>(bytes: &[u8]) -> Result<T, String> {
    read(bytes)?.ok_or_else(|| CUT.to_owned())
}

/// A box from all its bytes.
pub(super) fn decode<T: Atom>(mut whole: &[u8]) -> Result<T, String> {
    T::decode(&mut whole).map_err(|_| CUT.to_owned())
}
