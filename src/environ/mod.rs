//! The PEP 3333 `environ` of one request ("environ Variables").
//!
//! Pure: no I/O, no tokio, no hyper, no wasmtime. A key that is not inserted here does not exist for the guest; the host's own process
//! environment is never consulted (S24). The names of the conformance checklist (S5 to S30) stand beside what keeps them.
//!
//! Next: [`crate::exchange`] hands the result to the guest.

mod cgi;
mod forwarded;
mod head;
mod headers;
mod ids;
mod path;

use std::net::{IpAddr, SocketAddr};

use http::Version;

pub use self::{
    cgi::{BadCgi, CgiRequest, ScriptName},
    forwarded::{Forwarding, Origin, Proxies, Scheme},
    head::{Head, Length, RawTarget},
    ids::trace_id,
};
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
    /// Our end of the connection.
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
    /// The environ of a request.
    ///
    /// # Errors
    /// [`ClientFault::NotFound`] when it lies outside of the mount.
    pub fn new(head: &Head, around: &Surroundings<'_>) -> Result<Self, ClientFault> {
        let (parts, target, origin) = (head.parts(), head.target(), head.origin());
        let path_info = around.mount.path_info(&target.path).ok_or(ClientFault::NotFound)?;

        let mut environ = Self(Vec::with_capacity(24 + parts.headers.len()));
        environ.set("REQUEST_METHOD", parts.method.as_str());
        environ.set("SCRIPT_NAME", &format!("{}{}", origin.prefix.script_name(), around.mount.script_name()));
        environ.set("PATH_INFO", path_info);
        environ.set("QUERY_STRING", &target.query);
        environ.set("REQUEST_URI", &target.raw);
        environ.set("RAW_URI", &target.raw);
        environ.set("SERVER_PROTOCOL", protocol(parts.version));
        environ.set("SERVER_NAME", &bracketed(around.local.0.ip()));
        environ.set("SERVER_PORT", &around.local.0.port().to_string());
        environ.set("SERVER_SOFTWARE", "wasgi");
        environ.set("GATEWAY_INTERFACE", "CGI/1.1");
        environ.set("REMOTE_ADDR", &origin.client.to_string());
        if let Some(port) = origin.port {
            environ.set("REMOTE_PORT", &port.to_string());
        }
        if origin.scheme == Scheme::Https {
            environ.set("HTTPS", "on");
        }
        headers::insert(head, &mut environ);
        environ.gateway(origin.scheme, around.run_once, around.request_id);
        Ok(environ)
    }

    /// The variables that are the gateway's own.
    fn gateway(&mut self, scheme: Scheme, run_once: bool, request_id: &str) {
        self.set("wsgi.version", "1.0");
        self.set("wsgi.url_scheme", scheme.as_str());
        self.flag("wsgi.multithread", false);
        self.flag("wsgi.multiprocess", true);
        self.flag("wsgi.run_once", run_once);
        self.flag("wsgi.input_terminated", true);
        self.set("wasgi.request_id", request_id);
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

    /// All of it in one text: name, value, name, value, with U+0100 between them, which no native string has.
    #[must_use]
    pub fn into_text(self) -> String {
        let mut text = String::with_capacity(self.0.iter().map(|(name, value)| name.len() + value.len() + 4).sum());
        for part in self.0.iter().flat_map(|(name, value)| [name, value]) {
            if !text.is_empty() {
                text.push('\u{100}');
            }
            text.push_str(part);
        }
        text
    }

    /// Says that the body has been read whole: it has a length now, and is no longer chunked.
    pub fn set_buffered_length(&mut self, length: u64) {
        self.0.retain(|(name, _)| name != "CONTENT_LENGTH" && name != "HTTP_TRANSFER_ENCODING");
        self.set("CONTENT_LENGTH", &length.to_string());
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(at).1)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.set(name, if value { "1" } else { "0" });
    }
}

/// S13: the client's version; a [`Head`] has no other.
fn protocol(version: Version) -> &'static str {
    if version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" }
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
