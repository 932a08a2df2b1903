//! Python's pickle format, as far as a PyTorch checkpoint uses it: a machine that builds a list of values and runs no
//! code. Classes are only named, calls only recorded.
//!
//! Values refer to each other by index and are never copied, so neither repetition (values that contain one value many
//! times, recursively) nor depth costs more than the file's own bytes.

use std::collections::HashMap;

use crate::budget::Budget;
use crate::error::ImportError;

/// A state dict's tensor takes some fifty instructions, a checkpoint of the largest supported network with its
/// optimiser forty thousand. An instruction costs up to a hundred bytes of memory, and may be one byte of the file.
const MAX_INSTRUCTIONS: usize = 1 << 18;

/// Index of a value.
pub(super) type Id = usize;

/// A Python value.
#[derive(Debug)]
pub(super) enum Item<'a> {
    Text(&'a str),
    Int(i64),
    /// A class or function by its module and name.
    Global(&'a str, &'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// The arguments of the call that made this value.
    Call {
        function: Id,
        arguments: Id,
    },
    /// Data stored outside the pickle.
    Persistent(Id),
    /// None, booleans, floats, bytes, sets: nothing that describes a state dict's tensors.
    Other,
}

/// The values of a pickle, and the one that is its result.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    items: Vec<Item<'a>>,
    pub(super) root: Id,
    /// Bytes that it takes: another may follow.
    pub(super) length: usize,
}

impl<'a> Pickle<'a> {
    pub(super) fn item(&self, id: Id) -> &Item<'a> {
        &self.items[id]
    }

    /// Every value that it mentions.
    pub(super) fn items(&self) -> &[Item<'a>] {
        &self.items
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.item(id) {
            Item::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.item(id) {
            Item::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        match self.item(id) {
            Item::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A non-negative integer.
    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.item(id) {
            Item::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    /// Runs a pickle of at most [`MAX_INSTRUCTIONS`] to its end.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] with the byte where it becomes invalid, or if it is too long.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ImportError> {
        let mut machine = Machine {
            bytes,
            at: 0,
            items: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            budget: Budget::new("instructions", MAX_INSTRUCTIONS),
        };
        loop {
            let start = machine.at;
            match machine.budget.spend(1).and_then(|()| machine.step()) {
                Ok(None) => {}
                Ok(Some(root)) => return Ok(Pickle { items: machine.items, root, length: machine.at }),
                Err(problem) => {
                    return Err(ImportError::Damaged {
                        format: "PyTorch",
                        place: format!("data.pkl, byte {start}"),
                        problem,
                    });
                }
            }
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    items: Vec<Item<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Spent by instructions, and by entries that a call copies.
    budget: Budget,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    fn take(&mut self, length: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            return Err(format!("{length} bytes are needed, {} are left", self.bytes.len() - self.at));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let taken = self.take(N)?;
        Ok(std::array::from_fn(|i| taken[i]))
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Step<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A length stored in this many bytes.
    fn length(&mut self, width: usize) -> Step<usize> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| "an impossible length".to_owned())
    }

    fn str(&mut self, length: usize) -> Step<&'a str> {
        std::str::from_utf8(self.take(length)?).map_err(|_| "a string is not UTF-8".to_owned())
    }

    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&b| b == b'\n').ok_or("a line has no end")?;
        let line = self.str(length)?;
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, item: Item<'a>) {
        self.stack.push(self.items.len());
        self.items.push(item);
    }

    fn pop(&mut self) -> Step<Id> {
        if self.marks.last().is_some_and(|&mark| mark >= self.stack.len()) {
            return Err("a value is popped from below a mark".into());
        }
        self.stack.pop().ok_or_else(|| "a value is popped from an empty stack".into())
    }

    fn top(&self) -> Step<Id> {
        self.stack.last().copied().ok_or_else(|| "the stack is empty".into())
    }

    /// Everything since the last mark.
    fn since_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        if mark > self.stack.len() {
            return Err("a mark is above the stack".into());
        }
        // (`split_off` would leave, or allocate, capacity for the whole stack.)
        Ok(self.stack.drain(mark..).collect())
    }

    fn extend_dict(&mut self, values: &[Id]) -> Step<()> {
        let top = self.top()?;
        if !values.len().is_multiple_of(2) {
            return Err("a key has no value".into());
        }
        match &mut self.items[top] {
            Item::Dict(entries) => entries.extend(values.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            // Attributes of an object: not part of a state dict.
            Item::Call { .. } | Item::Other => {}
            _ => return Err("entries are added to something that is not a dict".into()),
        }
        Ok(())
    }

    /// Adds elements to the list on top; to a set or an array, nothing that matters here.
    fn extend_list(&mut self, values: &[Id]) -> Step<()> {
        let top = self.top()?;
        if let Item::List(elements) = &mut self.items[top] {
            elements.extend_from_slice(values);
        }
        Ok(())
    }

    fn call(&mut self) -> Step<()> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let item = match self.items[function] {
            Item::Global("collections", "OrderedDict") => Item::Dict(self.pairs(arguments)?),
            Item::Global("collections", "defaultdict") => Item::Dict(Vec::new()),
            _ => Item::Call { function, arguments },
        };
        self.push(item);
        Ok(())
    }

    /// The entries of `OrderedDict([[key, value], ...])`, as Python 2 wrote it; none if it was created empty.
    fn pairs(&mut self, arguments: Id) -> Step<Vec<(Id, Id)>> {
        let elements = |id: Id| match &self.items[id] {
            Item::Tuple(elements) | Item::List(elements) => Some(&elements[..]),
            _ => None,
        };
        let Some(&[pairs]) = elements(arguments) else { return Ok(Vec::new()) };
        let pairs = elements(pairs).unwrap_or_default();
        let count = pairs.len();
        let pairs = pairs.iter().map(|&pair| match elements(pair) {
            Some(&[key, value]) => Ok((key, value)),
            _ => Err("an entry of a dict is not a pair".to_owned()),
        });
        let pairs = pairs.collect::<Step<_>>()?;
        self.budget.spend(count)?;
        Ok(pairs)
    }

    fn recall(&mut self, key: u32) -> Step<()> {
        let id = *self.memo.get(&key).ok_or_else(|| format!("the memo has no entry {key}"))?;
        self.stack.push(id);
        Ok(())
    }

    /// Runs one instruction; at the end, returns the value that is left.
    #[allow(clippy::match_same_arms, reason = "instructions in the order of their purpose")]
    fn step(&mut self) -> Step<Option<Id>> {
        match self.byte()? {
            // Protocol and frames.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.array::<8>()?),
            b'.' => return self.pop().map(Some),
            // Values.
            b'N' | 0x88 | 0x89 => self.push(Item::Other),
            b'G' => {
                self.array::<8>()?;
                self.push(Item::Other);
            }
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.push(Item::Int(n.into()));
            }
            b'K' => {
                let n = self.byte()?;
                self.push(Item::Int(n.into()));
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.push(Item::Int(n.into()));
            }
            0x8a => {
                let length = self.length(1)?;
                let bytes = self.take(length)?;
                // Two's complement of any length; a value out of range is neither a size nor an index.
                let negative = bytes.last().is_some_and(|&b| b >= 0x80);
                let mut padded = [if negative { 0xff } else { 0 }; 8];
                let fits = bytes.len() <= 8;
                if fits {
                    padded[..bytes.len()].copy_from_slice(bytes);
                }
                self.push(if fits { Item::Int(i64::from_le_bytes(padded)) } else { Item::Other });
            }
            code @ (b'X' | 0x8c | 0x8d) => {
                let length = self.length(if code == b'X' {
                    4
                } else if code == 0x8c {
                    1
                } else {
                    8
                })?;
                let text = self.str(length)?;
                self.push(Item::Text(text));
            }
            // Python 2's strings.
            code @ (b'U' | b'T') => {
                let length = self.length(if code == b'U' { 1 } else { 4 })?;
                let text = std::str::from_utf8(self.take(length)?);
                self.push(text.map_or(Item::Other, Item::Text));
            }
            code @ (b'C' | b'B' | 0x8e | 0x96) => {
                let width = match code {
                    b'C' => 1,
                    b'B' => 4,
                    _ => 8,
                };
                let length = self.length(width)?;
                self.take(length)?;
                self.push(Item::Other);
            }
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.push(Item::Global(module, name));
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let (Item::Text(name), Item::Text(module)) = (&self.items[name], &self.items[module]) else {
                    return Err("a class's name is not a string".into());
                };
                let item = Item::Global(module, name);
                self.push(item);
            }
            // Collections.
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push(Item::Tuple(Vec::new())),
            b't' => {
                let items = self.since_mark()?;
                self.push(Item::Tuple(items));
            }
            code @ 0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0..code - 0x84 {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Item::Tuple(items));
            }
            b']' => self.push(Item::List(Vec::new())),
            b'a' => {
                let element = self.pop()?;
                self.extend_list(&[element])?;
            }
            b'e' => {
                let elements = self.since_mark()?;
                self.extend_list(&elements)?;
            }
            b'l' => {
                let elements = self.since_mark()?;
                self.push(Item::List(elements));
            }
            0x8f => self.push(Item::Other),
            0x90 => drop(self.since_mark()?),
            0x91 => {
                self.since_mark()?;
                self.push(Item::Other);
            }
            b'}' => self.push(Item::Dict(Vec::new())),
            b'd' => {
                let values = self.since_mark()?;
                self.push(Item::Dict(Vec::new()));
                self.extend_dict(&values)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(&[key, value])?;
            }
            b'u' => {
                let values = self.since_mark()?;
                self.extend_dict(&values)?;
            }
            // Calls and their results.
            b'R' | 0x81 => self.call()?,
            b'b' => drop(self.pop()?),
            b'Q' => {
                let id = self.pop()?;
                self.push(Item::Persistent(id));
            }
            // Memory and stack.
            b'q' => {
                let key = self.byte()?;
                let top = self.top()?;
                self.memo.insert(key.into(), top);
            }
            b'r' => {
                let key = self.u32()?;
                let top = self.top()?;
                self.memo.insert(key, top);
            }
            0x94 => {
                let key = self.memo.len() as u32;
                let top = self.top()?;
                self.memo.insert(key, top);
            }
            b'h' => {
                let key = self.byte()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = self.u32()?;
                self.recall(key)?;
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            code => return Err(format!("PyTorch does not write instruction {code:#04x}")),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dicts_tuples_and_memory() {
        // {'a': (1, 256), 'b': the same tuple}, protocol 2.
        let bytes = b"\x80\x02}(X\x01\x00\x00\x00aK\x01M\x00\x01\x86q\x00X\x01\x00\x00\x00bh\x00u.";
        let pickle = Pickle::read(bytes).unwrap();
        let entries = pickle.dict(pickle.root).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(pickle.text(entries[0].0), Some("a"));
        assert_eq!(entries[0].1, entries[1].1);
        let tuple = pickle.tuple(entries[0].1).unwrap();
        assert_eq!((pickle.size(tuple[0]), pickle.size(tuple[1])), (Some(1), Some(256)));
    }

    #[test]
    fn long_integers() {
        let size = |bytes: &[u8]| {
            let pickle = Pickle::read(bytes).unwrap();
            pickle.size(pickle.root)
        };
        assert_eq!(size(b"\x80\x02\x8a\x05\x00\x00\x00\x00\x01."), Some(1 << 32));
        assert_eq!(size(b"\x80\x02\x8a\x01\xff."), None);
        assert_eq!(size(b"\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."), None);
    }

    #[test]
    fn repetition_and_depth_cost_no_more_than_the_file() {
        // A tuple of the tuple before, twice, a thousand times: 2^1000 values if they were copied.
        let mut bytes = b"\x80\x02)".to_vec();
        for _ in 0..1000 {
            bytes.extend_from_slice(b"q\x00h\x00\x86");
        }
        bytes.push(b'.');
        assert!(Pickle::read(&bytes).is_ok());
        let mut deep = b"\x80\x02)".to_vec();
        deep.extend(std::iter::repeat_n(0x85, MAX_INSTRUCTIONS - 3));
        deep.push(b'.');
        assert!(Pickle::read(&deep).is_ok());
        // Popping the whole stack, again and again, leaves no capacity behind for all that it once held.
        let mut wide = b"\x80\x02(".to_vec();
        wide.extend(std::iter::repeat_n(b')', 50_000));
        wide.push(b'1');
        wide.extend(b"(t0".repeat(50_000));
        wide.extend(b").");
        assert!(Pickle::read(&wide).is_ok());
    }

    #[test]
    fn more_instructions_than_any_checkpoint_has_are_refused() {
        for instruction in [b')', b'(', 0x94, b'N', b'}'] {
            let mut bytes = b"\x80\x02)".to_vec();
            bytes.resize(8 * MAX_INSTRUCTIONS, instruction);
            let error = Pickle::read(&bytes).unwrap_err().to_string();
            assert!(error.contains(&format!("more than {MAX_INSTRUCTIONS} instructions")), "{error}");
        }
    }

    #[test]
    fn lists_and_what_python_2_wrote() {
        // OrderedDict([['a', 1], ('b', [2])]).
        let bytes =
            b"\x80\x02ccollections\nOrderedDict\n](](U\x01aK\x01eT\x01\0\0\0b](K\x02e\x86e\x85R.and what follows";
        let pickle = Pickle::read(bytes).unwrap();
        assert_eq!(&bytes[pickle.length..], b"and what follows");
        let entries = pickle.dict(pickle.root).unwrap();
        let keys: Vec<_> = entries.iter().map(|&(key, _)| pickle.text(key)).collect();
        assert_eq!((keys, pickle.size(entries[0].1)), (vec![Some("a"), Some("b")], Some(1)));
        let Item::List(inner) = pickle.item(entries[1].1) else { panic!("not a list") };
        assert_eq!(pickle.size(inner[0]), Some(2));
        // The same list of a thousand pairs made a dict again and again: more entries than instructions are allowed.
        let mut bytes = b"\x80\x02ccollections\nOrderedDict\nq\0](".to_vec();
        bytes.extend(b"K\x01K\x02\x86".repeat(1000));
        bytes.extend(b"eq\x01");
        bytes.extend(b"h\0h\x01\x85R0".repeat(1000));
        bytes.push(b'.');
        let error = Pickle::read(&bytes).unwrap_err().to_string();
        assert!(error.contains("instructions"), "{error}");
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        for (bytes, place) in [
            (&b"\x80\x02K"[..], "byte 2"),
            (b"\x80\x02X\xff\xff\xff\xffabc", "byte 2"),
            (b"\x80\x02h\x07.", "byte 2"),
            (b"\x80\x02t.", "byte 2"),
            (b"\x80\x02(.", "byte 3"),
            (b"\x80\x02\xee", "byte 2"),
            (b"\x80\x02", "byte 2"),
            (b"\x80\x02)(K\x01u.", "byte 6"),
        ] {
            let error = Pickle::read(bytes).unwrap_err().to_string();
            assert!(error.contains(place), "{bytes:?}: {error}");
        }
    }
}
