//! The request's fields, as `CONTENT_TYPE`, `CONTENT_LENGTH` and `HTTP_*` (PEP 3333, "environ Variables"; RFC 3875, section 4.1.18).
//!
//! What could be understood in two ways is refused here, whatever hyper let through: two lengths, two hosts, a length beside a transfer
//! coding.

use http::{HeaderMap, HeaderName, HeaderValue, Version, header, request::Parts};

use super::Environ;
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

/// S17: fields of which a second one is refused.
const ONCE: [HeaderName; 4] = [header::HOST, header::CONTENT_TYPE, header::CONTENT_LENGTH, header::AUTHORIZATION];

/// S21: what only a trusted proxy may say. None is trusted yet, so they never reach an application.
fn is_forwarding(name: &str) -> bool {
    name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip" | "x-client-ip" | "x-original-host" | "x-url-scheme")
}

/// The declared length of the body (S73 to S76), and S39's check of `Expect`.
///
/// # Errors
/// [`ClientFault`] for a length beside a transfer coding, for several or bad lengths, and for codings other than `chunked`.
pub fn content_length(head: &Parts) -> Result<Length, ClientFault> {
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
fn single<'a>(fields: &'a HeaderMap, name: &HeaderName, several: &'static str) -> Result<Option<&'a HeaderValue>, ClientFault> {
    let mut values = fields.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(ClientFault::Malformed(several)) } else { Ok(first) }
}

/// S74: digits only; no sign, no list, no `0x`, no overflow.
fn digits(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

/// S80: the one host name. An absolute target overrides the field (RFC 9112, section 3.2.2).
pub(super) fn host(head: &Parts) -> Result<Option<String>, ClientFault> {
    let field = single(&head.headers, &header::HOST, "more than one Host")?;
    if field.is_none() && head.version == Version::HTTP_11 {
        return Err(ClientFault::Malformed("no Host"));
    }
    let named = field.map(|value| native(value.as_bytes()));
    let host = head.uri.authority().filter(|_| head.uri.scheme().is_some()).map(|authority| authority.as_str().to_owned()).or(named);
    match host {
        Some(host) if !plausible_host(&host) => Err(ClientFault::Malformed("Host is no host name")),
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

/// Bytes as a native string: S18, obs-text survives as latin-1.
fn native(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Inserts the variables that come from fields.
pub(super) fn insert(head: &Parts, host: Option<String>, length: Length, environ: &mut Environ) -> Result<(), ClientFault> {
    for name in ONCE {
        single(&head.headers, &name, "a field that may come once came twice")?;
    }
    match length {
        Length::Known(length) => environ.set("CONTENT_LENGTH", &length.to_string()),
        Length::None | Length::Chunked => {}
    }
    if let Some(host) = host {
        environ.set("HTTP_HOST", &host);
    }
    for name in head.headers.keys() {
        if let Some(variable) = variable(name) {
            let values: Vec<_> = head.headers.get_all(name).iter().map(|value| native(value.as_bytes())).collect();
            let separator = if name == header::COOKIE { "; " } else { "," };
            environ.set(&variable, &values.join(separator));
        }
    }
    Ok(())
}

/// S11, S14: the variable of a field; `None` for one that is no variable.
fn variable(name: &HeaderName) -> Option<String> {
    let text = name.as_str();
    // S15: `X_Forwarded_For` would become the variable of `X-Forwarded-For` (CVE-2015-0219).
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    // S16: `Proxy` would become the environment variable of a proxy (httpoxy, CVE-2016-5385).
    let ours = name == header::HOST || name == header::CONTENT_LENGTH || text == "proxy";
    if !plain || ours || is_forwarding(text) {
        return None;
    }
    if name == header::CONTENT_TYPE {
        return Some("CONTENT_TYPE".to_owned());
    }
    let upper = text.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() });
    Some("HTTP_".chars().chain(upper).collect())
}
