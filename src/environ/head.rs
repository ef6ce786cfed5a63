//! A request's head that keeps the rules of HTTP: what could be understood in two ways is refused here, once, for everything behind it.
//!
//! Owns the body's length (RFC 9112, section 6), the one host name, the target in its parts, and who the client is. Next:
//! [`Environ::new`](super::Environ::new) makes variables of it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header, request::Parts};

use super::{
    Peer,
    forwarded::{Origin, Proxies},
    path,
};
use crate::fault::ClientFault;

/// The length of a request's body, as its head declares it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Length {
    /// Neither Content-Length nor Transfer-Encoding: no body.
    None,
    /// `Content-Length: n`.
    Known(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// The target as it came, byte by byte, beside the parts that an URI is made of (S23): in the extensions of [`Parts`].
#[derive(Clone, Debug)]
pub struct RawTarget(pub Bytes);

/// A head that was checked.
#[derive(Clone, Debug)]
pub struct Head {
    parts: Parts,
    length: Length,
    target: Target,
    origin: Origin,
}

/// The request's target, in its parts, as native strings (RFC 9112, section 3.2).
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Percent-decoded.
    pub path: String,
    pub query: String,
    pub raw: String,
}

/// S17: fields of which a second one is refused.
const ONCE: [HeaderName; 4] = [header::HOST, header::CONTENT_TYPE, header::CONTENT_LENGTH, header::AUTHORIZATION];

impl Head {
    /// Checks `parts`, which came from `peer`, and takes from `proxies` what they may say of the client (S21). What a peer may not say is
    /// removed.
    ///
    /// # Errors
    /// [`ClientFault`] for what breaks a rule: two lengths or hosts, a length beside a transfer coding, a target that is neither a path
    /// nor an absolute URI, and so on.
    pub fn new(mut parts: Parts, peer: Peer, proxies: &Proxies) -> Result<Self, ClientFault> {
        if !matches!(parts.version, Version::HTTP_10 | Version::HTTP_11) {
            return Err(ClientFault::Version);
        }
        for name in ONCE {
            single(&parts.headers, &name, "a field that may come once came twice")?;
        }
        let length = content_length(&parts)?;
        let host = host(&parts)?;
        let target = Target::of(&parts)?;
        let origin = proxies.origin(&mut parts.headers, peer, host)?;
        if origin.host.as_deref().is_some_and(|host| !plausible_host(host)) {
            return Err(ClientFault::Malformed("the forwarded host is no host name"));
        }
        Ok(Self { parts, length, target, origin })
    }

    /// Method, target, version and fields, as they came.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The body's length.
    #[must_use]
    pub fn length(&self) -> Length {
        self.length
    }

    /// Where the request comes from: the one host name (S80), the client, the scheme.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path, percent-decoded into a native string.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.target.path
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}

/// S73 to S76, and S39's check of `Expect`.
fn content_length(head: &Parts) -> Result<Length, ClientFault> {
    let fields = &head.headers;
    let mut expectations = fields.get_all(header::EXPECT).iter();
    if expectations.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(ClientFault::Expectation);
    }
    let length = single(fields, &header::CONTENT_LENGTH, "more than one Content-Length")?;
    let coding = single(fields, &header::TRANSFER_ENCODING, "more than one Transfer-Encoding")?;
    match (length, coding) {
        (None, None) => Ok(Length::None),
        (Some(_), Some(_)) => Err(ClientFault::Malformed("both Content-Length and Transfer-Encoding")),
        (Some(length), None) => digits(length.as_bytes()).map(Length::Known).ok_or(ClientFault::Malformed("Content-Length is no number")),
        (None, Some(_)) if head.version == Version::HTTP_10 => Err(ClientFault::Malformed("Transfer-Encoding in HTTP/1.0")),
        (None, Some(coding)) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(Length::Chunked),
        (None, Some(_)) => Err(ClientFault::NotImplemented("a transfer coding other than `chunked`")),
    }
}

/// The one value of a field.
pub(super) fn single<'a>(fields: &'a HeaderMap, name: &HeaderName, several: &'static str) -> Result<Option<&'a HeaderValue>, ClientFault> {
    let mut values = fields.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(ClientFault::Malformed(several)) } else { Ok(first) }
}

/// S74: digits only; no sign, no list, no `0x`, no overflow. At most 19 of them, which RFC 9110 leaves to the recipient.
fn digits(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok().filter(|length| *length <= i64::MAX.unsigned_abs())
}

/// S80: the one host name. An absolute target overrides the field (RFC 9112, section 3.2.2).
fn host(head: &Parts) -> Result<Option<String>, ClientFault> {
    let field = single(&head.headers, &header::HOST, "more than one Host")?;
    if field.is_none() && head.version == Version::HTTP_11 {
        return Err(ClientFault::Malformed("no Host"));
    }
    let named = field.map(|value| path::native(value.as_bytes()));
    if named.as_deref().is_some_and(|host| !plausible_host(host)) {
        return Err(ClientFault::Malformed("Host is no host name"));
    }
    let target = head.uri.authority().filter(|_| head.uri.scheme().is_some()).map(|authority| authority.as_str().to_owned());
    match target.or(named) {
        Some(host) if !plausible_host(&host) => Err(ClientFault::Malformed("the target's host is no host name")),
        host => Ok(host),
    }
}

/// RFC 9110, section 7.2: `uri-host [ ":" port ]`, without user information. An empty host is allowed.
fn plausible_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((literal, port)) => (literal, port.strip_prefix(':').or(port.is_empty().then_some(""))),
        None => host.split_once(':').map_or((host, Some("")), |(name, port)| (name, Some(port))),
    };
    let in_brackets = host.starts_with('[');
    let good = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=%".contains(c) || (in_brackets && c == ':');
    name.chars().all(good) && port.is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

impl Target {
    /// S81: a path, an absolute URI, or `*` for OPTIONS.
    fn of(parts: &Parts) -> Result<Self, ClientFault> {
        let Parts { method, uri, .. } = parts;
        if *method == Method::CONNECT {
            return Err(ClientFault::Method("CONNECT is for proxies"));
        }
        let raw = match parts.extensions.get::<RawTarget>() {
            Some(RawTarget(raw)) => path::native(raw),
            None => path::native(uri.to_string().as_bytes()),
        };
        let query = path::native(uri.query().unwrap_or_default().as_bytes());
        match uri.path() {
            "*" if *method == Method::OPTIONS => Ok(Self { path: String::new(), query: String::new(), raw }),
            path if path.starts_with('/') => Ok(Self { path: path::decode(path), query, raw }),
            "" if uri.scheme().is_some() => Ok(Self { path: "/".to_owned(), query, raw }),
            _ => Err(ClientFault::Malformed("the target is neither a path nor an absolute URI")),
        }
    }
}
