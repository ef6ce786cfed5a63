//! A response's head, checked when the application gives it (S47 to S53), so that the error is raised where the mistake is.

use http::{HeaderName, HeaderValue, header};
use thiserror::Error;

use super::status::{Status, is_control, native};

/// A checked status and its fields, in the application's order; Content-Length is taken out and kept as a number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head {
    /// The status.
    pub status: Status,
    /// The fields but Content-Length.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The application's Content-Length.
    pub content_length: Option<u64>,
}

/// Why a head is refused; the text goes to the application.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum HeadFault {
    /// See [`Status::parse`].
    #[error("{0}")]
    Status(&'static str),
    /// A field that may not be sent.
    #[error("{field}: {why}")]
    Field {
        /// Its name, cut at 80 characters and escaped.
        field: String,
        /// What is wrong.
        why: &'static str,
    },
    /// More than `response_head_bytes`.
    #[error("the head is larger than {0} bytes")]
    TooLarge(u64),
}

/// What each field costs beside its bytes, so that many empty ones have a price.
const FIELD_OVERHEAD: u64 = 32;

/// S51: fields that belong to the connection (PEP 3333, "Other HTTP Features"; RFC 9110, section 7.6.1). wsgiref's list, and those of practice.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

impl Head {
    /// Checks what start_response was given.
    ///
    /// # Errors
    /// The first [`HeadFault`] found.
    pub fn new(status: &str, fields: Vec<(String, String)>, limit: u64) -> Result<Self, HeadFault> {
        let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let charge = |(name, value): &(String, String)| size(name.len()).saturating_add(size(value.len())).saturating_add(FIELD_OVERHEAD);
        let total = fields.iter().map(charge).fold(size(status.len()), u64::saturating_add);
        if total > limit {
            return Err(HeadFault::TooLarge(limit));
        }
        let status = Status::parse(status).map_err(HeadFault::Status)?;
        let mut head = Self { status, fields: Vec::with_capacity(fields.len()), content_length: None };
        for (name, value) in fields {
            head.add(&name, &value).map_err(|why| HeadFault::Field { field: shown(&name), why })?;
        }
        Ok(head)
    }

    /// Checks what early hints are made of: like a head, but nothing that says how long something is (RFC 9110, section 8.6).
    ///
    /// # Errors
    /// As [`Head::new`].
    pub fn hints(fields: Vec<(String, String)>, limit: u64) -> Result<Vec<(HeaderName, HeaderValue)>, HeadFault> {
        let head = Self::new("200 ", fields, limit)?;
        match head.content_length {
            None => Ok(head.fields),
            Some(_) => Err(HeadFault::Field { field: "Content-Length".to_owned(), why: "hints have no length" }),
        }
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let last = name.chars().next_back().ok_or("a field has a name")?;
        let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a name is an RFC 9110 token")?;
        if matches!(last, '-' | '_') {
            return Err("a name does not end in `-` or `_`");
        }
        if field.as_str() == "status" {
            return Err("the status is start_response's first argument");
        }
        if HOP_BY_HOP.contains(&field.as_str()) {
            return Err("a hop-by-hop field is the server's");
        }
        let bytes = native(value).ok_or("a value has only characters up to U+00FF")?;
        if bytes.iter().any(|b| is_control(*b)) {
            return Err("a value has no control characters");
        }
        if field == header::CONTENT_LENGTH {
            return self.set_length(&bytes);
        }
        let value = HeaderValue::from_bytes(&bytes).map_err(|_| "a value has no control characters")?;
        self.fields.push((field, value));
        Ok(())
    }

    /// S52: one Content-Length, of digits only.
    fn set_length(&mut self, digits: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let length = text.parse().ok().filter(|_| plain).ok_or("Content-Length is a whole number")?;
        if self.content_length.replace(length).is_some() { Err("Content-Length comes once") } else { Ok(()) }
    }
}

fn shown(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_default).collect()
}
