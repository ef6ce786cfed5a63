use std::io::{self, BufRead, ErrorKind, Read};

use crate::{
    bindings::wasgi::gateway::input::{InputError, read},
    exchange,
};

const BUFFER: u32 = 65_536;

/// `wsgi.input` (PEP 3333, "Input and Error Streams"): the body of the current request.
///
/// A body that ends too early is an error, never an end. Only one of these should read: each has a buffer of its own. When the response is over
/// it is dead, for who has kept it.
#[derive(Debug, Default)]
pub struct Input {
    buffer: Vec<u8>,
    start: usize,
    exchange: u32,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self { exchange: exchange::now(), ..Self::default() }
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.exchange != exchange::now() {
            return Err(io::Error::other("the request is over"));
        }
        if self.start >= self.buffer.len() {
            self.buffer = read(BUFFER).map_err(error)?;
            self.start = 0;
        }
        Ok(&self.buffer[self.start..])
    }

    fn consume(&mut self, amount: usize) {
        self.start = (self.start + amount).min(self.buffer.len());
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let length = buffer.len().min(into.len());
        into[..length].copy_from_slice(&buffer[..length]);
        self.consume(length);
        Ok(length)
    }
}

fn error(error: InputError) -> io::Error {
    match error {
        InputError::Disconnected => io::Error::new(ErrorKind::ConnectionReset, "the client disconnected"),
        InputError::Malformed => io::Error::new(ErrorKind::InvalidData, "the request's body is malformed"),
        InputError::TooLarge => io::Error::new(ErrorKind::FileTooLarge, "the request's body is larger than the limit"),
        InputError::TimedOut => io::Error::new(ErrorKind::TimedOut, "the request's body did not arrive in time"),
    }
}
