//! The status of a response: `200 OK` (PEP 3333, "The start_response() Callable"; RFC 9110, section 15).

use http::StatusCode;

/// A final status: 200 to 599, with the application's own reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Status {
    /// 200 to 599.
    pub code: StatusCode,
    /// Bytes of HTAB, SP, VCHAR and obs-text; may be empty.
    pub reason: Vec<u8>,
}

impl Status {
    /// Reads `NNN reason` (S47).
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (code, reason) = text.split_once(' ').ok_or("a status is three digits, a space and a reason")?;
        let digits = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
        let code: u16 = code.parse().ok().filter(|_| digits).ok_or("a status begins with three digits and a space")?;
        if !(200..=599).contains(&code) {
            return Err("a final status lies between 200 and 599");
        }
        let reason = native(reason).ok_or("a status has only characters up to U+00FF")?;
        if reason.iter().any(|b| is_control(*b)) {
            return Err("a status has no control characters");
        }
        StatusCode::from_u16(code).map(|code| Self { code, reason }).map_err(|_| "a final status lies between 200 and 599")
    }
}

/// A native string's bytes (PEP 3333, "Unicode Issues"), or `None` if a character is none.
pub(super) fn native(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// What may stand in no field and no status: all of C0 but HTAB, and DEL (RFC 9110, section 5.5).
pub(super) fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}
