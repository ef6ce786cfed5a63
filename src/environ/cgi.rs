//! An environ from the variables of a web server that runs us as a CGI program (RFC 3875): `wsgiref.handlers.CGIHandler`'s part.
//!
//! The server has parsed the request, and its process environment holds it, among much that is none of the application's business. What a
//! request may say of itself is listed here; nothing else is taken (S24).

use http::Method;
use thiserror::Error;

use super::{Environ, Length, Scheme, forwarded::speaks_of_clients};

/// RFC 3875, section 4.1, and what servers add to it; without PATH_TRANSLATED and others that are paths of the host.
const VARIABLES: [&str; 18] = [
    "AUTH_TYPE",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "GATEWAY_INTERFACE",
    "HTTPS",
    "PATH_INFO",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "REMOTE_HOST",
    "REMOTE_IDENT",
    "REMOTE_PORT",
    "REMOTE_USER",
    "REQUEST_METHOD",
    "REQUEST_URI",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
];

/// What a server's TLS says of a request (Apache's mod_ssl, to which PEP 3333 refers). OpenSSL's own SSL_CERT_FILE is a path of the host.
const TLS: [&str; 8] = ["CIPHER", "CLIENT_", "PROTOCOL", "SECURE_RENEG", "SERVER_", "SESSION_", "TLS_SNI", "VERSION_"];

/// What a server does to SCRIPT_NAME and PATH_INFO.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ScriptName {
    /// As RFC 3875 has it.
    #[default]
    Plain,
    /// PATH_INFO begins with SCRIPT_NAME, as Microsoft's IIS has it (`wsgiref.handlers.IISCGIHandler`); it is taken off.
    Doubled,
}

/// A CGI environment that is none.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{name}: {why}")]
pub struct BadCgi {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

/// A request, as a CGI server tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct CgiRequest {
    /// Its environ.
    pub environ: Environ,
    /// Its method.
    pub method: Method,
    /// The length of its body, on standard input.
    pub length: Length,
}

impl CgiRequest {
    /// The request in `variables`, whose values are bytes (`wsgiref.handlers.read_environ`).
    ///
    /// # Errors
    /// [`BadCgi`] for the first variable that is missing, or that no server would set so.
    pub fn new(variables: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>, script_name: ScriptName, request_id: &str) -> Result<Self, BadCgi> {
        let mut environ = Environ::default();
        for (name, value) in variables {
            if let Some(name) = String::from_utf8(name).ok().filter(|name| is_taken(name) && environ.value(name).is_none()) {
                environ.set(&name, &super::path::native(&value));
            }
        }
        let method = environ.value("REQUEST_METHOD").ok_or(bad("REQUEST_METHOD", "it is not set: no web server has called"))?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad("REQUEST_METHOD", "it is no token"))?;
        let length = length(environ.take("CONTENT_LENGTH").as_deref())?;
        if let Length::Known(length) = length {
            environ.set("CONTENT_LENGTH", &length.to_string());
        }
        let (script, path) = split(environ.take("SCRIPT_NAME"), environ.take("PATH_INFO"), script_name)?;
        environ.set("SCRIPT_NAME", &script);
        environ.set("PATH_INFO", &path);
        for (name, default) in [("QUERY_STRING", ""), ("SERVER_NAME", "localhost"), ("SERVER_PORT", "80"), ("SERVER_PROTOCOL", "HTTP/1.0")]
        {
            if environ.value(name).is_none() {
                environ.set(name, default);
            }
        }
        environ.set("SERVER_SOFTWARE", "wasgi");
        // `wsgiref.util.guess_scheme`.
        let encrypted = environ.value("HTTPS").is_some_and(|value| ["yes", "on", "1"].contains(&value));
        environ.gateway(if encrypted { Scheme::Https } else { Scheme::Http }, true, request_id);
        Ok(Self { environ, method, length })
    }
}

const fn bad(name: &'static str, why: &'static str) -> BadCgi {
    BadCgi { name, why }
}

/// S15, S16, S21: of the fields, only those whose variable is theirs alone.
fn is_taken(name: &str) -> bool {
    let field = name.strip_prefix("HTTP_").filter(|rest| !rest.is_empty());
    let ours = matches!(name, "HTTP_PROXY" | "HTTP_CONTENT_TYPE" | "HTTP_CONTENT_LENGTH");
    let plain = |field: &str| field.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    // S21: no proxy is known here, so nobody is believed.
    let spoken = field.is_some_and(|field| speaks_of_clients(&field.replace('_', "-").to_ascii_lowercase()));
    VARIABLES.contains(&name)
        || !ours
            && !spoken
            && (field.is_some_and(plain)
                || name.strip_prefix("SSL_").is_some_and(|rest| plain(rest) && TLS.iter().any(|kind| rest.starts_with(kind))))
}

/// S11: none, and an empty one, are no body.
fn length(text: Option<&str>) -> Result<Length, BadCgi> {
    match text {
        None | Some("") => Ok(Length::None),
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().map(Length::Known).map_err(|_| bad("CONTENT_LENGTH", "it is too large"))
        }
        Some(_) => Err(bad("CONTENT_LENGTH", "it is no number")),
    }
}

/// S6: SCRIPT_NAME and PATH_INFO.
fn split(script: Option<String>, path: Option<String>, doubled: ScriptName) -> Result<(String, String), BadCgi> {
    let (script, mut path) = (script.unwrap_or_default(), path.unwrap_or_default());
    if doubled == ScriptName::Doubled && format!("{path}/").starts_with(&format!("{script}/")) {
        path.drain(..script.len());
    }
    let script = if script == "/" { String::new() } else { script };
    let rooted = |text: &str| text.is_empty() || text.starts_with('/');
    match (rooted(&script), rooted(&path)) {
        (false, _) => Err(bad("SCRIPT_NAME", "it does not begin with `/`")),
        (_, false) => Err(bad("PATH_INFO", "it does not begin with `/`")),
        (true, true) if script.is_empty() && path.is_empty() => Ok((script, "/".to_owned())),
        (true, true) => Ok((script, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(variables: &[(&str, &[u8])], script_name: ScriptName) -> Result<CgiRequest, BadCgi> {
        let variables = variables.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()));
        CgiRequest::new(variables, script_name, "00ff")
    }

    fn names(variables: &[(&str, &[u8])], script_name: ScriptName) -> (String, String) {
        let environ = request(variables, script_name).unwrap().environ;
        let of = |name| environ.value(name).unwrap().to_owned();
        (of("SCRIPT_NAME"), of("PATH_INFO"))
    }

    #[test]
    fn s24_only_what_a_request_says_of_itself_is_taken() {
        let variables: [(&str, &[u8]); 17] = [
            ("REQUEST_METHOD", b"POST"),
            ("CONTENT_LENGTH", b"007"),
            ("PATH_INFO", b"/caf\xc3\xa9"),
            ("HTTP_X_A", b"\xff"),
            ("HTTPS", b"on"),
            ("SSL_PROTOCOL", b"TLSv1.3"),
            ("HTTP_X_FORWARDED_PROTO", b"https"),
            ("HTTP_FORWARDED", b"for=6.6.6.6"),
            ("HTTP_PROXY", b"evil"),
            ("HTTP_CONTENT_LENGTH", b"9"),
            ("HTTP_", b"no name"),
            ("HTTP_x", b"no variable"),
            ("PATH", b"/bin"),
            ("HOME", b"/home/www"),
            ("SSL_CERT_FILE", b"/etc/ssl/certs"),
            ("PATH_TRANSLATED", b"/srv/www"),
            ("DOCUMENT_ROOT", b"/srv"),
        ];
        let CgiRequest { environ, method, length } = request(&variables, ScriptName::Plain).unwrap();
        let expected = [
            ("REQUEST_METHOD", "POST"),
            ("HTTP_X_A", "\u{ff}"),
            ("HTTPS", "on"),
            ("SSL_PROTOCOL", "TLSv1.3"),
            ("CONTENT_LENGTH", "7"),
            ("SCRIPT_NAME", ""),
            ("PATH_INFO", "/caf\u{c3}\u{a9}"),
            ("QUERY_STRING", ""),
            ("SERVER_NAME", "localhost"),
            ("SERVER_PORT", "80"),
            ("SERVER_PROTOCOL", "HTTP/1.0"),
            ("SERVER_SOFTWARE", "wasgi"),
            ("wsgi.version", "1.0"),
            ("wsgi.url_scheme", "https"),
            ("wsgi.multithread", "0"),
            ("wsgi.multiprocess", "1"),
            ("wsgi.run_once", "1"),
            ("wsgi.input_terminated", "1"),
            ("wasgi.request_id", "00ff"),
        ];
        assert_eq!(environ.into_pairs(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((method, length), (Method::POST, Length::Known(7)));
    }

    #[test]
    fn s6_the_path_of_iis_is_mended_on_a_segments_boundary() {
        let of = |script: &'static [u8], path: &'static [u8], how| {
            names(&[("REQUEST_METHOD", b"GET"), ("SCRIPT_NAME", script), ("PATH_INFO", path)], how)
        };
        let text = |script: &str, path: &str| (script.to_owned(), path.to_owned());
        assert_eq!(of(b"/app", b"/app/x", ScriptName::Plain), text("/app", "/app/x"));
        assert_eq!(of(b"/app", b"/app/x", ScriptName::Doubled), text("/app", "/x"));
        assert_eq!(of(b"/app", b"/app", ScriptName::Doubled), text("/app", ""));
        assert_eq!(of(b"/app", b"/apple", ScriptName::Doubled), text("/app", "/apple"));
        assert_eq!(of(b"/", b"/x", ScriptName::Plain), text("", "/x"));
        assert_eq!(of(b"", b"", ScriptName::Plain), text("", "/"));
    }

    #[test]
    fn what_no_server_would_set_is_refused() {
        let get: (&str, &[u8]) = ("REQUEST_METHOD", b"GET");
        let refused = |variables: &[(&str, &[u8])]| request(variables, ScriptName::Plain).unwrap_err().to_string();
        assert_eq!(refused(&[]), "REQUEST_METHOD: it is not set: no web server has called");
        assert_eq!(refused(&[("REQUEST_METHOD", b"G T")]), "REQUEST_METHOD: it is no token");
        assert_eq!(refused(&[get, ("CONTENT_LENGTH", b"-1")]), "CONTENT_LENGTH: it is no number");
        assert_eq!(refused(&[get, ("CONTENT_LENGTH", b"99999999999999999999")]), "CONTENT_LENGTH: it is too large");
        assert_eq!(refused(&[get, ("SCRIPT_NAME", b"app")]), "SCRIPT_NAME: it does not begin with `/`");
        assert_eq!(refused(&[get, ("PATH_INFO", b"app")]), "PATH_INFO: it does not begin with `/`");
        assert_eq!(request(&[get, ("CONTENT_LENGTH", b"")], ScriptName::Plain).unwrap().length, Length::None);
    }
}
