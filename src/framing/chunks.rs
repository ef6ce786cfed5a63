//! A chunked body (RFC 9112, section 7.1): read strictly, for its data alone.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header;

use super::{Broken, head};

/// Digits of a chunk's size, leading zeros included.
const SIZE_DIGITS: u8 = 16;
/// The extensions of all chunks of a body (S77).
const EXTENSION_BYTES: u32 = 16 << 10;
/// The trailers of a body.
const TRAILER_BYTES: usize = 16 << 10;

/// How far a body was read.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    /// What the extensions of further chunks may have.
    extensions: u32,
}

#[derive(Debug)]
enum At {
    /// Within a size, of so many digits.
    Size {
        digits: u8,
        size: u64,
    },
    /// Within the extensions behind it.
    Extension {
        size: u64,
    },
    /// Behind the CR of that line.
    SizeEnd {
        size: u64,
    },
    /// Within the data, of which so much is to come.
    Data(u64),
    /// Behind the data.
    DataCr,
    DataLf,
    /// Within the trailers: their bytes so far, in all and of this line.
    Trailer {
        all: usize,
        line: BytesMut,
    },
}

impl Default for Chunks {
    fn default() -> Self {
        Self { at: At::SIZE, extensions: EXTENSION_BYTES }
    }
}

impl At {
    const SIZE: Self = Self::Size { digits: 0, size: 0 };
}

impl Chunks {
    /// Reads all of `received`, or up to the body's end, and puts the data into `data`; whether the body has ended.
    pub(super) fn read(&mut self, received: &mut BytesMut, data: &mut BytesMut) -> Result<bool, Broken> {
        while !received.is_empty() {
            if let At::Data(left) = self.at {
                let piece = usize::try_from(left).unwrap_or(usize::MAX).min(received.len());
                data.put(received.split_to(piece));
                let left = left.saturating_sub(u64::try_from(piece).unwrap_or(u64::MAX));
                self.at = if left == 0 { At::DataCr } else { At::Data(left) };
                continue;
            }
            let byte = received.get_u8();
            match self.step(byte)? {
                Some(at) => self.at = at,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// One byte outside of the data; where it leads, or None at the end.
    fn step(&mut self, byte: u8) -> Result<Option<At>, Broken> {
        let at = std::mem::replace(&mut self.at, At::SIZE);
        Ok(Some(match (at, byte) {
            (At::Size { digits, size }, b';') if digits > 0 => At::Extension { size },
            (At::Size { digits, size }, b'\r') if digits > 0 => At::SizeEnd { size },
            (At::Size { digits, size }, byte) => {
                let digit = char::from(byte).to_digit(16).ok_or(Broken)?;
                // Four more bits must fit into 63.
                if digits == SIZE_DIGITS || size >> 59 != 0 {
                    return Err(Broken);
                }
                At::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
            }
            (At::Extension { size }, b'\r') => At::SizeEnd { size },
            (At::Extension { size }, b'\t' | 0x20..=0x7e | 0x80..) => {
                self.extensions = self.extensions.checked_sub(1).ok_or(Broken)?;
                At::Extension { size }
            }
            (At::SizeEnd { size: 0 }, b'\n') => At::Trailer { all: 0, line: BytesMut::new() },
            (At::SizeEnd { size }, b'\n') => At::Data(size),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::SIZE,
            (At::Trailer { all, mut line }, byte) => {
                line.put_u8(byte);
                if all >= TRAILER_BYTES {
                    return Err(Broken);
                }
                if byte == b'\n' {
                    let text = line.split().freeze();
                    match text.strip_suffix(b"\r\n") {
                        Some(b"") => return Ok(None),
                        Some(field) => trailer(&text.slice_ref(field))?,
                        None => return Err(Broken),
                    }
                }
                At::Trailer { all: all + 1, line }
            }
            (At::Extension { .. } | At::SizeEnd { .. } | At::DataCr | At::DataLf | At::Data(_), _) => return Err(Broken),
        }))
    }
}

/// S78: a trailer is a field, is dropped, and must not be one that says where a message ends or where it goes (RFC 9110, section 6.5.1).
fn trailer(line: &Bytes) -> Result<(), Broken> {
    let (name, _) = head::field(line).map_err(|_| Broken)?;
    let forbidden = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::HOST].contains(&name);
    if forbidden || line.starts_with(b" ") { Err(Broken) } else { Ok(()) }
}
