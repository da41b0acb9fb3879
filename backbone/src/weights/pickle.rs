//! A reader of Python pickles, as far as checkpoints need them: it builds values and runs nothing.
//!
//! Values lie in one list and name each other by number, so that a pickle that refers to one object a
//! million times, or nests a million deep, costs no more than its bytes. Opcodes and their arguments are
//! those of Python's `pickletools`.

use std::collections::HashMap;
use std::rc::Rc;

/// The longest pickle that is read, in bytes: room for fifty thousand tensors.
const MOST_BYTES: usize = 8 << 20;
/// The most values, and the most that are on the stack or kept for later; each takes many times its byte.
const MOST_VALUES: usize = 1 << 20;

/// The number of a value.
pub(super) type Id = usize;

/// A value, as plain data.
#[derive(Debug)]
pub(super) enum Value {
    /// None, or something that no checkpoint needs the content of.
    Opaque,
    Int(i64),
    Text(Rc<str>),
    /// A tuple or list.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function: module and name.
    Global(Rc<str>, Rc<str>),
    /// A function and its arguments.
    Call(Id, Id),
    /// Something stored elsewhere.
    Persistent(Id),
}

/// All values of one pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    /// The outermost value.
    pub(super) root: Id,
    /// Bytes read.
    pub(super) length: usize,
}

impl Pickle {
    pub(super) fn get(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::Opaque)
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        if let Value::Text(text) = self.get(id) { Some(text) } else { None }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        if let Value::Int(value) = self.get(id) { usize::try_from(*value).ok() } else { None }
    }

    pub(super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        if let Value::Sequence(items) = self.get(id) { Some(items) } else { None }
    }

    /// The value that a dictionary has for a text.
    pub(super) fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let Value::Dict(entries) = self.get(dict) else { return None };
        entries.iter().find(|(k, _)| self.text(*k) == Some(key)).map(|&(_, value)| value)
    }

    /// Reads the pickle at the start of `bytes`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let machine = Machine {
            bytes: bytes.get(..MOST_BYTES).unwrap_or(bytes),
            at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        machine.run()
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl Machine<'_> {
    fn run(mut self) -> Result<Pickle, String> {
        loop {
            let most = self.values.len().max(self.stack.len()).max(self.memo.len()).max(self.marks.len());
            if most > MOST_VALUES {
                return Err("its pickle has more values than any state dict".into());
            }
            let opcode = self.take(1)?[0];
            match opcode {
                b'.' => {
                    let root = self.pop()?;
                    return Ok(Pickle { values: self.values, root, length: self.at });
                }
                0x80 => drop(self.take(1)?), // PROTO
                0x95 => drop(self.take(8)?), // FRAME
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                b'N' => self.push(Value::Opaque),
                0x88 => self.push(Value::Int(1)),
                0x89 => self.push(Value::Int(0)),
                b'J' => self.integer(4)?,
                b'K' => {
                    let value = self.number(1)?;
                    self.push(Value::Int(value as i64));
                }
                b'M' => {
                    let value = self.number(2)?;
                    self.push(Value::Int(value as i64));
                }
                0x8a => {
                    let length = self.number(1)?;
                    self.integer(length)?;
                }
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Opaque);
                }
                b'X' => self.text(4)?,
                0x8c => self.text(1)?,
                0x8d => self.text(8)?,
                b'U' => self.text(1)?,
                b'T' => self.text(4)?,
                b'B' => self.opaque_bytes(4)?,
                b'C' => self.opaque_bytes(1)?,
                b')' | b']' => self.push(Value::Sequence(Vec::new())),
                b'}' => self.push(Value::Dict(Vec::new())),
                b't' | b'l' => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::Sequence(items));
                }
                0x85..=0x87 => {
                    let from = self.stack.len().checked_sub(usize::from(opcode - 0x84));
                    let items = self.stack.split_off(from.ok_or("its stack is empty")?);
                    self.push(Value::Sequence(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_to_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.insert(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.insert(&items)?;
                }
                b'q' => self.memoize_as(1)?,
                b'r' => self.memoize_as(4)?,
                0x94 => {
                    let (key, top) = (self.memo.len() as u64, self.top()?);
                    self.memo.insert(key, top);
                }
                b'h' => self.recall(1)?,
                b'j' => self.recall(4)?,
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Value::Global(module, name));
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let text = |id: Id| match self.values.get(id) {
                        Some(Value::Text(text)) => Ok(Rc::clone(text)),
                        _ => Err("a class without a name"),
                    };
                    let global = Value::Global(text(module)?, text(name)?);
                    self.push(global);
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Value::Persistent(id));
                }
                b'R' | 0x81 => self.call()?,
                // What a BUILD would set on an object is of no interest (an OrderedDict's attributes).
                b'b' => drop(self.pop()?),
                other => {
                    return Err(format!("its pickle has the opcode {other:#04x}, which no state dict needs"));
                }
            }
        }
    }

    /// Why there is no more to read.
    fn cut(&self) -> String {
        match self.bytes.len() {
            MOST_BYTES => format!("its pickle is longer than {MOST_BYTES} bytes"),
            _ => "its pickle ends in the middle".into(),
        }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| self.cut())?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A little-endian number of up to 8 bytes.
    fn number(&mut self, bytes: usize) -> Result<usize, String> {
        let value = self.take(bytes)?.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        usize::try_from(value).map_err(|e| e.to_string())
    }

    /// A signed integer; one of more than 8 bytes is opaque.
    fn integer(&mut self, bytes: usize) -> Result<(), String> {
        let taken = self.take(bytes)?;
        let negative = taken.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut full = [if negative { 0xff } else { 0 }; 8];
        let value = match full.get_mut(..bytes) {
            Some(low) => {
                low.copy_from_slice(taken);
                Value::Int(i64::from_le_bytes(full))
            }
            None => Value::Opaque,
        };
        self.push(value);
        Ok(())
    }

    fn text(&mut self, length_bytes: usize) -> Result<(), String> {
        let length = self.number(length_bytes)?;
        let text = String::from_utf8_lossy(self.take(length)?).into();
        self.push(Value::Text(text));
        Ok(())
    }

    fn opaque_bytes(&mut self, length_bytes: usize) -> Result<(), String> {
        let length = self.number(length_bytes)?;
        self.take(length)?;
        self.push(Value::Opaque);
        Ok(())
    }

    fn line(&mut self) -> Result<Rc<str>, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| self.cut())?;
        let line = String::from_utf8_lossy(&rest[..length]).into();
        self.at += length + 1;
        Ok(line)
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "its stack is empty".into())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "its stack is empty".into())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or("its stack has no mark")?))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let list = self.top()?;
        if let Some(Value::Sequence(list)) = self.values.get_mut(list) {
            list.extend(items);
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<(), String> {
        let dict = self.top()?;
        if let Some(Value::Dict(dict)) = self.values.get_mut(dict) {
            dict.extend(items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value)));
        }
        Ok(())
    }

    fn memoize_as(&mut self, bytes: usize) -> Result<(), String> {
        let (key, top) = (self.number(bytes)? as u64, self.top()?);
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, bytes: usize) -> Result<(), String> {
        let key = self.number(bytes)? as u64;
        self.stack.push(*self.memo.get(&key).ok_or("it recalls what it never kept")?);
        Ok(())
    }

    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let dict = matches!(self.values.get(function), Some(Value::Global(module, name))
            if &**module == "collections" && matches!(&**name, "OrderedDict" | "defaultdict"));
        self.push(if dict { Value::Dict(Vec::new()) } else { Value::Call(function, arguments) });
        Ok(())
    }
}
