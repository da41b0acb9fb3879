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
    /// Written by one launch, used by it and by later ones; then its memory is used again.
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
    /// A buffer of which a part is written that no other launch writes.
    Part(BufferId),
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
            Self::Read(id) | Self::Write(id) | Self::Part(id) | Self::Update(id) => Some(id),
            Self::Null | Self::Int(_) | Self::Float(_) => None,
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::Read(_) | Self::Update(_))
    }

    fn writes(self) -> bool {
        matches!(self, Self::Write(_) | Self::Part(_) | Self::Update(_))
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

    /// The size of a buffer in bytes; 0 where there is no such buffer.
    #[must_use]
    pub fn size(&self, BufferId(index): BufferId) -> usize {
        self.buffers.get(index).map_or(0, |buffer| buffer.bytes)
    }

    /// Places all buffers. Scratch shares memory only where the uses of one wait for all uses of the other anyway, so
    /// that sharing makes no launch wait.
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
        let (before, users) = (self.before(), self.users());
        let all_before = |a: usize, b: usize| {
            users[a]
                .iter()
                .all(|&earlier| users[b].iter().all(|&later| before[later].get(earlier) == Some(&true)))
        };
        let mut scratch: Vec<usize> =
            (0..self.buffers.len()).filter(|&i| self.buffers[i].contents == Contents::Scratch).collect();
        scratch.sort_by_key(|&i| std::cmp::Reverse(self.buffers[i].bytes));
        let mut placed: Vec<usize> = Vec::new();
        for index in scratch {
            let size = self.buffers[index].bytes.next_multiple_of(ALIGNMENT);
            // The lowest gap between those that may be in use at the same time.
            let mut taken: Vec<Range<usize>> = placed
                .iter()
                .filter(|&&other| !all_before(index, other) && !all_before(other, index))
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

    /// The launches that use each buffer.
    fn users(&self) -> Vec<Vec<usize>> {
        let mut users = vec![Vec::new(); self.buffers.len()];
        for (time, launch) in self.launches.iter().enumerate() {
            let buffers = launch.arguments.iter().filter_map(|argument| argument.buffer());
            buffers.for_each(|BufferId(index)| users[index].push(time));
        }
        users
    }

    /// For each launch, the earlier ones that have to be done before: those that write what it uses, and those that
    /// use what it writes. What others already wait for is left out.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Vec<usize>> {
        self.waiting().0
    }

    /// For each launch, whether it waits for each earlier one, directly or not.
    fn before(&self) -> Vec<Vec<bool>> {
        self.waiting().1
    }

    fn waiting(&self) -> (Vec<Vec<usize>>, Vec<Vec<bool>>) {
        let conflict = |a: &Argument, b: &Argument| {
            let parts = matches!((a, b), (Argument::Part(_), Argument::Part(_)));
            a.buffer().is_some() && a.buffer() == b.buffer() && (a.writes() || b.writes()) && !parts
        };
        let (mut list, mut before): (Vec<Vec<usize>>, Vec<Vec<bool>>) = (Vec::new(), Vec::new());
        for (later, launch) in self.launches.iter().enumerate() {
            let mut reached = vec![false; later];
            let mut direct = Vec::new();
            for earlier in (0..later).rev() {
                let others = &self.launches[earlier].arguments;
                let waits = || others.iter().any(|a| launch.arguments.iter().any(|b| conflict(a, b)));
                if !reached[earlier] && waits() {
                    direct.push(earlier);
                    reached[earlier] = true;
                    before[earlier].iter().enumerate().for_each(|(i, b)| reached[i] |= *b);
                }
            }
            before.push(reached);
            list.push(direct);
        }
        (list, before)
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
        let overlap = |a: usize, b: usize| {
            let range =
                |i: usize| placement.offsets[i + 1]..placement.offsets[i + 1] + program.buffers[i + 1].bytes;
            let (a, b) = (range(a), range(b));
            a.start < b.end && b.start < a.end
        };
        // The third map is written when the first is read for the last time by the second launch — but the fourth
        // launch reads the first map, too, and waits for neither the second nor the third.
        for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            assert!(!overlap(a, b), "{a} {b}");
        }
        assert_eq!(program.dependencies(), [vec![], vec![0], vec![1], vec![0]]);
        // Without the fourth launch, the third map takes the place of the first.
        program.launches.pop();
        let placement = program.placement();
        assert_eq!(placement.offsets[1], placement.offsets[3]);
    }

    #[test]
    fn parts_of_a_result_are_written_side_by_side() {
        let mut program = Program::default();
        let result = program.buffer(100, Contents::Kept);
        program.launches = vec![
            launch(&[Argument::Part(result)]),
            launch(&[Argument::Part(result)]),
            launch(&[Argument::Read(result)]),
        ];
        assert_eq!(program.dependencies(), [vec![], vec![], vec![1, 0]]);
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
