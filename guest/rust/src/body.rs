use std::{cell::RefCell, error::Error};

use crate::{
    bindings::{
        exports::wasgi::gateway::application::{self as exported, GuestBody, Iterable},
        wasgi::gateway::types::ExcInfo,
    },
    errors::exc_info,
    exchange,
};

/// What the host takes at once: a chunk that is longer is handed over in pieces.
const MOST: usize = 1 << 20;

type Chunks = Box<dyn Iterator<Item = Result<Vec<u8>, Box<dyn Error>>>>;
type Close = Box<dyn FnOnce() -> Result<(), Box<dyn Error>>>;

/// The iterable that an application returns (PEP 3333, "Specification Details"). A chunk of more than 1 MiB goes out in pieces.
pub struct Body {
    chunks: Chunks,
    count: Option<u32>,
    close: Option<Close>,
    /// What of the last chunk is still to be handed over.
    left: Vec<u8>,
}

impl Body {
    /// Chunks that are made while they are sent.
    pub fn stream<E: Into<Box<dyn Error>>>(chunks: impl IntoIterator<Item = Result<Vec<u8>, E>> + 'static) -> Self {
        Self { chunks: Box::new(chunks.into_iter().map(|chunk| chunk.map_err(Into::into))), count: None, close: None, left: Vec::new() }
    }

    /// No content.
    #[must_use]
    pub fn empty() -> Self {
        Self { count: Some(0), ..Self::stream(std::iter::empty::<Result<_, Box<dyn Error>>>()) }
    }

    /// Calls `close` exactly once, when the response is over, whatever ended it.
    #[must_use]
    pub fn on_close(self, close: impl FnOnce() -> Result<(), Box<dyn Error>> + 'static) -> Self {
        Self { close: Some(Box::new(close)), ..self }
    }

    pub(crate) fn into_iterable(self) -> Iterable {
        let chunks = self.count;
        Iterable { body: exported::Body::new(Resource(RefCell::new(self))), chunks }
    }
}

/// One chunk, whose length becomes the Content-Length.
impl From<Vec<u8>> for Body {
    fn from(data: Vec<u8>) -> Self {
        // One that goes out in pieces has no length that the host could know.
        let count = (data.len() <= MOST).then_some(1);
        Self { count, ..Self::stream([Ok::<_, Box<dyn Error>>(data)]) }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        text.as_bytes().to_vec().into()
    }
}

/// The body as the host holds it.
#[doc(hidden)]
pub struct Resource(RefCell<Body>);

impl GuestBody for Resource {
    fn next(&self) -> Result<Option<Vec<u8>>, ExcInfo> {
        let mut body = self.0.borrow_mut();
        if body.left.is_empty() {
            match body.chunks.next().transpose().map_err(|error| exc_info(&*error))? {
                Some(chunk) => body.left = chunk,
                None => return Ok(None),
            }
        }
        let rest = if body.left.len() > MOST { body.left.split_off(MOST) } else { Vec::new() };
        Ok(Some(std::mem::replace(&mut body.left, rest)))
    }

    fn close(&self) -> Result<(), ExcInfo> {
        exchange::turn();
        let close = self.0.borrow_mut().close.take();
        close.map_or(Ok(()), |close| close()).map_err(|error| exc_info(&*error))
    }
}
