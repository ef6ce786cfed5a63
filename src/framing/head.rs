//! A request's head, byte by byte as it comes (RFC 9112, sections 2 to 5): lines end with CRLF and nothing else, and no line, and not all
//! of them, are longer than the limits.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header, request::Parts};

use crate::{
    environ::{Head, Length, RawTarget},
    fault::ClientFault,
    limits::Limits,
};

/// How far a head was looked at. Each byte is looked at once as it comes, and once when all are there.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// So many of the received bytes.
    seen: usize,
    /// Where the line begins that is being read.
    start: usize,
    /// The last one was CR.
    after_cr: bool,
    /// An empty line came before the request line; there may be one (RFC 9112, section 2.2).
    empty_line: bool,
    /// The request line, once it is there.
    line: Option<Line>,
    fields: u64,
}

#[derive(Clone, Debug)]
struct Line {
    method: Method,
    target: Uri,
    raw: RawTarget,
    version: Version,
    /// Where it ends.
    end: usize,
}

const fn malformed(why: &'static str) -> ClientFault {
    ClientFault::Malformed(why)
}

impl Reading {
    /// Method and target, if they were understood.
    pub(super) fn line(&self) -> Option<(Method, Uri)> {
        self.line.as_ref().map(|line| (line.method.clone(), line.target.clone()))
    }

    /// Looks at what is new in `received`, and takes the head from it when it is whole.
    pub(super) fn read(&mut self, received: &mut BytesMut, limits: &Limits) -> Result<Option<Parts>, ClientFault> {
        while let Some(byte) = received.get(self.seen).copied() {
            self.seen += 1;
            match byte {
                b'\n' if !self.after_cr => return Err(malformed("a line feed without a carriage return")),
                b'\n' => {
                    self.after_cr = false;
                    if self.ends(received, limits)? {
                        return self.whole(received).map(Some);
                    }
                    continue;
                }
                _ if self.after_cr => return Err(malformed("a carriage return without a line feed")),
                b'\r' => self.after_cr = true,
                b'\t' if self.line.is_some() => {}
                0..=0x1f | 0x7f => return Err(malformed("a control character in the head")),
                _ => {}
            }
            self.within(limits)?;
        }
        Ok(None)
    }

    /// The limits of a line that is not at its end yet. Its CR is not counted.
    fn within(&self, limits: &Limits) -> Result<(), ClientFault> {
        let length = as_u64(self.seen - self.start - usize::from(self.after_cr));
        if self.line.is_none() {
            if length > limits.request_line_bytes {
                return Err(ClientFault::TargetTooLong { limit: limits.request_line_bytes });
            }
        } else if length > limits.request_field_bytes {
            return Err(ClientFault::HeadTooLarge(format!("the limit of one is {} bytes", limits.request_field_bytes)));
        }
        if as_u64(self.seen) > limits.request_head_bytes {
            return Err(ClientFault::HeadTooLarge(format!("the limit of all is {} bytes", limits.request_head_bytes)));
        }
        Ok(())
    }

    /// A line has ended; whether the head has.
    fn ends(&mut self, received: &mut BytesMut, limits: &Limits) -> Result<bool, ClientFault> {
        let line = received.get(self.start..self.seen.saturating_sub(2)).unwrap_or_default();
        let empty = line.is_empty();
        if as_u64(self.seen) > limits.request_head_bytes {
            return Err(ClientFault::HeadTooLarge(format!("the limit of all is {} bytes", limits.request_head_bytes)));
        }
        match &self.line {
            None if empty && !self.empty_line => {
                received.advance(self.seen);
                (self.seen, self.start, self.empty_line) = (0, 0, true);
                return Ok(false);
            }
            None => {
                let text = Bytes::copy_from_slice(line);
                self.line = Some(Line::of(&text, self.seen)?);
            }
            Some(_) if empty => return Ok(true),
            Some(_) if line.starts_with(b" ") || line.starts_with(b"\t") => return Err(malformed("a folded field")),
            Some(_) => {
                self.fields += 1;
                if self.fields > limits.request_fields {
                    return Err(ClientFault::HeadTooLarge(format!("the limit is {} fields", limits.request_fields)));
                }
            }
        }
        self.start = self.seen;
        Ok(false)
    }

    /// Takes the head from what was received.
    fn whole(&mut self, received: &mut BytesMut) -> Result<Parts, ClientFault> {
        let Some(line) = self.line.clone() else { return Err(malformed("no request line")) };
        let mut text = received.split_to(self.seen).freeze();
        text.advance(line.end);
        let mut fields = HeaderMap::with_capacity(usize::try_from(self.fields).unwrap_or_default());
        while !text.starts_with(b"\r\n") && !text.is_empty() {
            let end = text.iter().position(|byte| *byte == b'\r').unwrap_or(text.len());
            let (name, value) = field(&text.slice(..end))?;
            fields.append(name, value);
            text.advance((end + 2).min(text.len()));
        }
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.extensions.insert(line.raw);
        (parts.method, parts.uri, parts.version, parts.headers) = (line.method, line.target, line.version, fields);
        Ok(parts)
    }
}

impl Line {
    /// `method SP request-target SP HTTP-version` (RFC 9112, section 3).
    fn of(line: &Bytes, end: usize) -> Result<Self, ClientFault> {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(malformed("the request line is not `METHOD target HTTP/1.1`"));
        };
        let version = match version {
            b"HTTP/1.1" => Version::HTTP_11,
            b"HTTP/1.0" => Version::HTTP_10,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
                return Err(ClientFault::Version);
            }
            _ => return Err(malformed("the request line does not end with HTTP/1.1")),
        };
        let method = Method::from_bytes(method).map_err(|_| malformed("the method is no token"))?;
        // What reads on behind a `#`, and what does not, would see two targets.
        if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
            return Err(malformed("the target has a fragment, or characters that are not ASCII"));
        }
        let raw = RawTarget(line.slice_ref(target));
        let target = Uri::from_maybe_shared(line.slice_ref(target)).map_err(|_| malformed("the target is no URI"))?;
        Ok(Self { method, target, raw, version, end })
    }
}

/// `field-name ":" OWS field-value OWS` (RFC 9112, section 5).
pub(super) fn field(line: &Bytes) -> Result<(HeaderName, HeaderValue), ClientFault> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(malformed("a field without a colon"))?;
    let (name, value) = (line.slice(..colon), line.slice(colon + 1..));
    let name = HeaderName::from_bytes(&name).map_err(|_| malformed("a field's name is no token"))?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    let value = HeaderValue::from_maybe_shared(value.slice(start..end)).map_err(|_| malformed("a field's value has control characters"))?;
    Ok((name, value))
}

/// What stands for a request before the HTTP library: all that decides about where messages end, and nothing else. `begun`: some of its
/// body is there already, so that its client waits for nothing.
pub(super) fn canonical(head: &Head, begun: bool) -> Bytes {
    let parts = head.parts();
    let old = parts.version == Version::HTTP_10;
    let mut text = String::with_capacity(96);
    text.push_str(if parts.method == Method::HEAD { "HEAD / " } else { "POST / " });
    text.push_str(if old { "HTTP/1.0\r\n" } else { "HTTP/1.1\r\n" });
    if says(&parts.headers, &header::CONNECTION, "close") {
        text.push_str("connection: close\r\n");
    } else if old && says(&parts.headers, &header::CONNECTION, "keep-alive") {
        text.push_str("connection: keep-alive\r\n");
    }
    match head.length() {
        Length::None => {}
        Length::Known(length) => {
            text.push_str("content-length: ");
            text.push_str(&length.to_string());
            text.push_str("\r\n");
        }
        Length::Chunked => text.push_str("transfer-encoding: chunked\r\n"),
    }
    // S39: HTTP/1.0 knows no interim responses (RFC 9110, section 10.1.1). `Head` refuses other expectations.
    if !begun && !old && head.length() != Length::None && parts.headers.contains_key(header::EXPECT) {
        text.push_str("expect: 100-continue\r\n");
    }
    text.push_str("\r\n");
    text.into()
}

/// Whether a list of tokens has this one.
fn says(fields: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut words = fields.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.any(|word| word.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
