//! The wire format of protocol buffers: fields borrowed from the file, one after the other.
//!
//! A reader of our own, because what it must do is little and what it must not do is much: nothing is copied or allocated,
//! nothing recurses, and a message is read only where a reader asks for it. A generated reader copies the weights and makes
//! a structure of each of a file's millions of empty messages.

use crate::tensor::Number;

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Wire<'a>,
}

/// A field's value as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire<'a> {
    /// An integer, a bool or an enum's value.
    Varint(u64),
    /// A double or a fixed 64-bit integer, little-endian.
    Eight([u8; 8]),
    /// A float or a fixed 32-bit integer, little-endian.
    Four([u8; 4]),
    /// A message, a string, bytes, or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    /// A message, a string or bytes.
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed("a number is in the place of a message")),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a name is not UTF-8"))
    }

    pub(crate) fn integer(self) -> Result<i64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value.cast_signed()),
            _ => Err(Malformed("something else is in the place of an integer")),
        }
    }

    pub(crate) fn float(self) -> Result<f32, Malformed> {
        match self {
            Self::Four(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(Malformed("something else is in the place of a float")),
        }
    }
}

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The fields of a message; after the first that is malformed there are no more.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

pub(crate) fn fields(message: &[u8]) -> Fields<'_> {
    Fields(message)
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = field(&mut self.0);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, Malformed> {
    const SHORT: Malformed = Malformed("it ends within a field");
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => {
            let (value, after) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
            *rest = after;
            Wire::Eight(*value)
        }
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| SHORT)?;
            let (value, after) = rest.split_at_checked(length).ok_or(SHORT)?;
            *rest = after;
            Wire::Bytes(value)
        }
        5 => {
            let (value, after) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
            *rest = after;
            Wire::Four(*value)
        }
        _ => return Err(Malformed("a field has an unknown type")),
    };
    match tag >> 3 {
        0 => Err(Malformed("a field has the number 0")),
        number => Ok(Field { number, value }),
    }
}

/// An integer of up to ten bytes.
pub(crate) fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(Malformed("it ends within a number"))?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return if shift == 63 && byte > 1 { Err(Malformed("a number has over 64 bits")) } else { Ok(value) };
        }
    }
    Err(Malformed("a number has over ten bytes"))
}

/// The integers of a repeated field, packed or not; each costs the file a byte at least.
pub(crate) fn integers(value: Wire<'_>, into: &mut Vec<i64>) -> Result<(), Malformed> {
    match value {
        Wire::Bytes(mut packed) => {
            while !packed.is_empty() {
                into.push(varint(&mut packed)?.cast_signed());
            }
        }
        one => into.push(one.integer()?),
    }
    Ok(())
}

/// Bytes by which numbers may be longer in memory than in the message that lists them.
const LISTED: usize = 1 << 9;

/// Appends numbers that a message of `length` bytes stores one by one, as bytes: so sizes and biases are written, and of
/// other things no more than the message itself.
pub(crate) fn listed(number: Number, value: Wire<'_>, length: usize, bytes: &mut Vec<u8>) -> Result<(), Malformed> {
    let integer = |value: u64, bytes: &mut Vec<u8>| match number.bytes() {
        1 => bytes.push(value as u8),
        2 => bytes.extend((value as u16).to_le_bytes()),
        4 => bytes.extend((value as u32).to_le_bytes()),
        _ => bytes.extend(value.to_le_bytes()),
    };
    let floats = matches!(number, Number::F32 | Number::F64);
    let most = length.saturating_add(LISTED);
    match value {
        Wire::Bytes(packed) if floats && packed.len().is_multiple_of(number.bytes()) => bytes.extend(packed),
        Wire::Bytes(mut packed) if !floats => {
            while !packed.is_empty() && bytes.len() <= most {
                integer(varint(&mut packed)?, bytes);
            }
        }
        Wire::Varint(value) if !floats => integer(value, bytes),
        Wire::Four(value) if number == Number::F32 => bytes.extend(value),
        Wire::Eight(value) if number == Number::F64 => bytes.extend(value),
        _ => return Err(Malformed("its numbers have another type")),
    }
    if bytes.len() > most { Err(Malformed("it lists too many numbers one by one")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_no_more_than_there_is() {
        let message = b"\x08\x96\x01\x12\x02hi\x1d\0\0\x80\x3f\x21\x01\0\0\0\0\0\0\0";
        let read: Vec<_> = fields(message).map(Result::unwrap).map(|field| (field.number, field.value)).collect();
        let expected = [
            (1, Wire::Varint(150)),
            (2, Wire::Bytes(b"hi")),
            (3, Wire::Four([0, 0, 0x80, 0x3f])),
            (4, Wire::Eight([1, 0, 0, 0, 0, 0, 0, 0])),
        ];
        assert_eq!(read, expected);
        assert_eq!((read[0].1.integer(), read[1].1.text(), read[2].1.float()), (Ok(150), Ok("hi"), Ok(1.0)));
        assert!(read[0].1.bytes().is_err() && read[1].1.integer().is_err() && read[3].1.float().is_err());
        // Cut anywhere but between fields, and malformed in every way.
        let ends = [0, 3, 7, 12];
        for length in (0..message.len()).filter(|length| !ends.contains(length)) {
            assert!(fields(&message[..length]).last().unwrap().is_err(), "{length}");
        }
        for bad in [
            &b"\x00\x01"[..],
            b"\x0b",
            b"\x0f",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            &[0xff; 30],
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        ] {
            assert!(fields(bad).all(|field| field.is_err()) && fields(bad).count() == 1, "{bad:?}");
        }
    }

    #[test]
    fn integers_are_packed_or_not() {
        let mut all = Vec::new();
        let negative = Wire::Varint(u64::MAX);
        for value in [Wire::Bytes(b"\x01\x80\x01"), negative, Wire::Bytes(b"")] {
            integers(value, &mut all).unwrap();
        }
        assert_eq!(all, [1, 128, -1]);
        assert!(integers(Wire::Bytes(b"\x80"), &mut all).is_err());
    }
}
