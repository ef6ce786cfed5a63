//! The PEP 3333 `environ` of one request ("environ Variables").
//!
//! Pure: no I/O, no tokio, no hyper, no wasmtime. A key that is not inserted here does not exist for the guest; the host's own process
//! environment is never consulted (S24). The names of the conformance checklist (S5 to S30) stand beside what keeps them.
//!
//! Next: [`crate::exchange`] hands the result to the guest.

mod headers;
mod path;

use std::net::{IpAddr, SocketAddr};

use http::{Method, Uri, Version, request::Parts};

pub use self::headers::{Length, content_length};
use crate::{fault::ClientFault, tenant::Mount};

/// The client's end of the connection; not interchangeable with [`Local`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer(pub SocketAddr);

/// Our end of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Local(pub SocketAddr);

/// What the environ says of the place where the application runs.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The client's end of the connection.
    pub peer: Peer,
    /// Our end.
    pub local: Local,
    /// Where the application is mounted.
    pub mount: &'a Mount,
    /// `wsgi.run_once`: an instance serves one request.
    pub run_once: bool,
    /// `wasgi.request_id`: what the log lines of this request carry.
    pub request_id: &'a str,
}

/// Pairs of native strings, each character a byte (PEP 3333, "Unicode Issues"); no name twice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Environ(Vec<(String, String)>);

impl Environ {
    /// The environ of a request whose body has the length `length`, as [`content_length`] found it.
    ///
    /// # Errors
    /// [`ClientFault`] for a request that breaks a rule of HTTP, or lies outside of the mount.
    pub fn new(head: &Parts, length: Length, around: &Surroundings<'_>) -> Result<Self, ClientFault> {
        let host = headers::host(head)?;
        let target = Target::of(&head.method, &head.uri)?;
        let path = path::decode(target.path);
        let path_info = around.mount.path_info(&path).ok_or(ClientFault::NotFound)?;

        let mut environ = Self(Vec::with_capacity(24 + head.headers.len()));
        environ.set("REQUEST_METHOD", head.method.as_str());
        environ.set("SCRIPT_NAME", around.mount.script_name());
        environ.set("PATH_INFO", path_info);
        environ.set("QUERY_STRING", &target.query);
        environ.set("REQUEST_URI", &target.raw);
        environ.set("RAW_URI", &target.raw);
        environ.set("SERVER_PROTOCOL", protocol(head.version)?);
        environ.set("SERVER_NAME", &bracketed(around.local.0.ip()));
        environ.set("SERVER_PORT", &around.local.0.port().to_string());
        environ.set("SERVER_SOFTWARE", "wasgi");
        environ.set("GATEWAY_INTERFACE", "CGI/1.1");
        environ.set("REMOTE_ADDR", &around.peer.0.ip().to_canonical().to_string());
        environ.set("REMOTE_PORT", &around.peer.0.port().to_string());
        headers::insert(head, host, length, &mut environ)?;
        environ.set("wsgi.version", "1.0");
        environ.set("wsgi.url_scheme", "http");
        environ.flag("wsgi.multithread", false);
        environ.flag("wsgi.multiprocess", true);
        environ.flag("wsgi.run_once", around.run_once);
        environ.flag("wsgi.input_terminated", true);
        environ.set("wasgi.request_id", around.request_id);
        Ok(environ)
    }

    /// The value of `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The pairs, in order.
    #[must_use]
    pub fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// Says that the body has been read whole: it has a length now, and is no longer chunked.
    pub fn set_buffered_length(&mut self, length: u64) {
        self.0.retain(|(name, _)| name != "CONTENT_LENGTH" && name != "HTTP_TRANSFER_ENCODING");
        self.set("CONTENT_LENGTH", &length.to_string());
    }

    fn set(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.set(name, if value { "1" } else { "0" });
    }
}

/// The request's target, in its parts (RFC 9112, section 3.2).
struct Target<'a> {
    path: &'a str,
    query: String,
    raw: String,
}

impl<'a> Target<'a> {
    fn of(method: &Method, uri: &'a Uri) -> Result<Self, ClientFault> {
        if method == Method::CONNECT {
            return Err(ClientFault::Method("CONNECT is for proxies"));
        }
        let raw = path::native(&uri.to_string());
        match uri.path() {
            "*" if method == Method::OPTIONS => Ok(Self { path: "", query: String::new(), raw }),
            path if path.starts_with('/') => Ok(Self { path, query: path::native(uri.query().unwrap_or_default()), raw }),
            "" if uri.scheme().is_some() => Ok(Self { path: "/", query: path::native(uri.query().unwrap_or_default()), raw }),
            _ => Err(ClientFault::Malformed("the target is neither a path nor an absolute URI")),
        }
    }
}

/// S13: the client's version.
fn protocol(version: Version) -> Result<&'static str, ClientFault> {
    match version {
        Version::HTTP_10 => Ok("HTTP/1.0"),
        Version::HTTP_11 => Ok("HTTP/1.1"),
        _ => Err(ClientFault::Malformed("neither HTTP/1.0 nor HTTP/1.1")),
    }
}

/// RFC 3875, section 4.1.14: an IPv6 address as SERVER_NAME stands in brackets.
fn bracketed(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

#[cfg(test)]
mod tests;
