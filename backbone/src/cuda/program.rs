//! What a device is asked to do: buffers, and launches of kernels that read and write them. Nothing here knows
//! a driver, so that the same program runs on a GPU and, in tests, on the CPU.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::Error;

/// Where buffers begin: what CUDA's own allocations are aligned to.
const ALIGNMENT: usize = 256;

/// A buffer of a [`Program`], by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub(crate) usize);

/// What a buffer is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Contents {
    /// Weights and tables: written once.
    Constant(Vec<u8>),
    /// Written by the caller before a run, or read by it afterwards: keeps its place.
    Kept,
    /// Zero before the first run; every run leaves it so.
    Zeros,
    /// Alive from the first launch that writes it to the last that uses it; its memory is used again.
    Scratch,
}

/// Memory on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// Its size in bytes.
    pub bytes: usize,
    /// What it is for.
    pub contents: Contents,
}

/// One argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// A buffer that is read.
    Read(BufferId),
    /// A buffer that is written.
    Write(BufferId),
    /// A buffer that is read and written.
    Update(BufferId),
    /// No buffer.
    Null,
    /// A number.
    Int(i32),
    /// A number.
    Float(f32),
}

impl Argument {
    /// An optional buffer to read.
    #[must_use]
    pub fn read(buffer: Option<BufferId>) -> Self {
        buffer.map_or(Self::Null, Self::Read)
    }

    /// The buffer, where it is one.
    #[must_use]
    pub fn buffer(self) -> Option<BufferId> {
        match self {
            Self::Read(id) | Self::Write(id) | Self::Update(id) => Some(id),
            Self::Null | Self::Int(_) | Self::Float(_) => None,
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::Read(_) | Self::Update(_))
    }

    fn writes(self) -> bool {
        matches!(self, Self::Write(_) | Self::Update(_))
    }
}

/// One kernel, once. Every kernel has blocks of [`Launch::THREADS`] threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// What it computes, for tables and messages.
    pub label: String,
    /// The kernel's name.
    pub kernel: Cow<'static, str>,
    /// Thread blocks in x, y, z.
    pub grid: [u32; 3],
    /// Shared memory of a block in bytes.
    pub shared: usize,
    /// In the order of the kernel's parameters.
    pub arguments: Vec<Argument>,
}

impl Launch {
    /// Threads of a block (THREADS in `kernels/common.cuh`).
    pub const THREADS: u32 = 256;
}

/// Buffers and launches, in an order in which they may run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// All buffers; [`BufferId`] counts them.
    pub buffers: Vec<Buffer>,
    /// What is launched.
    pub launches: Vec<Launch>,
}

/// Where each buffer lies in one piece of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where each buffer begins, in bytes.
    pub offsets: Vec<usize>,
    /// The size of the whole.
    pub bytes: usize,
}

impl Program {
    /// Adds a buffer.
    pub fn buffer(&mut self, bytes: usize, contents: Contents) -> BufferId {
        self.buffers.push(Buffer { bytes, contents });
        BufferId(self.buffers.len() - 1)
    }

    /// Adds a buffer with what never changes.
    pub fn constant(&mut self, bytes: Vec<u8>) -> BufferId {
        self.buffer(bytes.len(), Contents::Constant(bytes))
    }

    /// Places all buffers. Those that are alive at the same time do not overlap; scratch that is not shares
    /// memory.
    #[must_use]
    pub fn placement(&self) -> Placement {
        let mut offsets = vec![0; self.buffers.len()];
        let mut bytes = 0_usize;
        for (buffer, offset) in self.buffers.iter().zip(&mut offsets) {
            if buffer.contents != Contents::Scratch {
                *offset = bytes;
                bytes = (bytes + buffer.bytes).next_multiple_of(ALIGNMENT);
            }
        }
        let base = bytes;
        let lives = self.lives();
        let mut scratch: Vec<usize> =
            (0..self.buffers.len()).filter(|&i| self.buffers[i].contents == Contents::Scratch).collect();
        scratch.sort_by_key(|&i| std::cmp::Reverse(self.buffers[i].bytes));
        let mut placed: Vec<usize> = Vec::new();
        for index in scratch {
            let size = self.buffers[index].bytes.next_multiple_of(ALIGNMENT);
            // The lowest gap between those that are alive at the same time.
            let overlap = |other: &&usize| {
                let (a, b) = (&lives[index], &lives[**other]);
                a.start < b.end && b.start < a.end
            };
            let mut taken: Vec<Range<usize>> = placed
                .iter()
                .filter(overlap)
                .map(|&i| offsets[i]..offsets[i] + self.buffers[i].bytes.next_multiple_of(ALIGNMENT))
                .collect();
            taken.sort_by_key(|range| range.start);
            let offset = taken
                .iter()
                .fold(base, |at, range| if at + size <= range.start { at } else { at.max(range.end) });
            offsets[index] = offset;
            bytes = bytes.max(offset + size);
            placed.push(index);
        }
        Placement { offsets, bytes }
    }

    /// From when to when (in launches) each buffer is used.
    fn lives(&self) -> Vec<Range<usize>> {
        let mut lives = vec![0..0; self.buffers.len()];
        for (time, launch) in self.launches.iter().enumerate() {
            for BufferId(index) in launch.arguments.iter().filter_map(|a| a.buffer()) {
                let life: &mut Range<usize> = &mut lives[index];
                *life = if life.start == life.end { time..time + 1 } else { life.start..time + 1 };
            }
        }
        lives
    }

    /// For each launch, the earlier ones that have to be done before: those that write what it uses, and
    /// those that use memory which it writes. What others already wait for is left out.
    #[must_use]
    pub fn dependencies(&self, placement: &Placement) -> Vec<Vec<usize>> {
        let range =
            |BufferId(i): BufferId| placement.offsets[i]..placement.offsets[i] + self.buffers[i].bytes;
        let uses = |launch: &Launch| -> Vec<(Range<usize>, bool, bool)> {
            let each = |a: &Argument| Some((range(a.buffer()?), a.reads(), a.writes()));
            launch.arguments.iter().filter_map(each).collect()
        };
        let all: Vec<_> = self.launches.iter().map(uses).collect();
        let conflict = |a: &(Range<usize>, bool, bool), b: &(Range<usize>, bool, bool)| {
            a.0.start < b.0.end && b.0.start < a.0.end && (a.2 || b.2)
        };
        let mut before: Vec<Vec<bool>> = Vec::new();
        let mut list = Vec::new();
        for (later, uses) in all.iter().enumerate() {
            let mut reached = vec![false; later];
            let mut direct = Vec::new();
            for earlier in (0..later).rev() {
                if reached[earlier] || !all[earlier].iter().any(|a| uses.iter().any(|b| conflict(a, b))) {
                    continue;
                }
                direct.push(earlier);
                reached[earlier] = true;
                before[earlier].iter().enumerate().for_each(|(i, b)| reached[i] |= *b);
            }
            before.push(reached);
            list.push(direct);
        }
        list
    }

    /// Whether every launch names buffers there are, writes what it may, and reads what was written.
    ///
    /// # Errors
    /// [`Error::Plan`] names the launch.
    pub fn check(&self) -> Result<(), Error> {
        let mut written: Vec<bool> =
            self.buffers.iter().map(|b| !matches!(b.contents, Contents::Scratch)).collect();
        for launch in &self.launches {
            let refuse = |reason| Error::Plan { step: launch.label.clone(), reason };
            for argument in &launch.arguments {
                let Some(BufferId(index)) = argument.buffer() else { continue };
                let Some(buffer) = self.buffers.get(index) else {
                    return Err(refuse("there is no such buffer"));
                };
                if argument.writes() && matches!(buffer.contents, Contents::Constant(_)) {
                    return Err(refuse("it writes what is constant"));
                }
                if argument.reads() && !written[index] {
                    return Err(refuse("it reads what is not written yet"));
                }
            }
            for argument in launch.arguments.iter().filter(|a| a.writes()) {
                if let Some(BufferId(index)) = argument.buffer() {
                    written[index] = true;
                }
            }
            if launch.grid.contains(&0) || launch.grid[1] > 65_535 || launch.grid[2] > 65_535 {
                return Err(refuse("its grid has a size that no device takes"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(arguments: &[Argument]) -> Launch {
        let (label, kernel) = ("test".to_owned(), Cow::Borrowed("test"));
        Launch { label, kernel, grid: [1; 3], shared: 0, arguments: arguments.to_vec() }
    }

    #[test]
    fn scratch_is_used_again_and_order_is_kept() {
        let mut program = Program::default();
        let input = program.buffer(100, Contents::Kept);
        let maps = [1000, 2000, 1000, 500].map(|bytes| program.buffer(bytes, Contents::Scratch));
        program.launches = vec![
            launch(&[Argument::Read(input), Argument::Write(maps[0])]),
            launch(&[Argument::Read(maps[0]), Argument::Write(maps[1])]),
            launch(&[Argument::Read(maps[1]), Argument::Write(maps[2])]),
            launch(&[Argument::Read(maps[0]), Argument::Write(maps[3])]),
        ];
        program.check().unwrap();
        let placement = program.placement();
        assert!(placement.bytes < 100 + 1000 + 2000 + 1000 + 500 + 5 * ALIGNMENT);
        for (a, b) in [(0, 1), (1, 2), (0, 2), (0, 3)] {
            let range =
                |i: usize| placement.offsets[i + 1]..placement.offsets[i + 1] + program.buffers[i + 1].bytes;
            let (a, b) = (range(a), range(b));
            assert!(a.end <= b.start || b.end <= a.start);
        }
        let dependencies = program.dependencies(&placement);
        assert!(dependencies[0].is_empty());
        assert_eq!(dependencies[1], [0]);
        assert_eq!(dependencies[2], [1]);
        // The last may run beside the second and third, unless it was given memory of the second map.
        assert!(dependencies[3] == [0] || dependencies[3] == [2]);
        assert!(dependencies.iter().enumerate().all(|(i, list)| list.iter().all(|&d| d < i)));
    }

    #[test]
    fn mistakes_are_refused() {
        let mut program = Program::default();
        let constant = program.constant(vec![1]);
        let scratch = program.buffer(1, Contents::Scratch);
        for spoilt in [
            launch(&[Argument::Write(constant)]),
            launch(&[Argument::Read(scratch)]),
            launch(&[Argument::Read(BufferId(7))]),
            Launch { grid: [1, 0, 1], ..launch(&[]) },
        ] {
            program.launches = vec![spoilt];
            assert!(matches!(program.check(), Err(Error::Plan { .. })));
        }
    }
}
