//! A request's path, percent-decoded into a native string: one character a byte.
//!
//! Nothing is normalised: `//x`, `/a/../b` and `;p` reach the application as they came (S8).

use percent_encoding::percent_decode_str;

/// S7: `/%E2%82%AC%2F+` becomes `/\u{e2}\u{82}\u{ac}/+`, and `%zz` stays as it is.
pub(super) fn decode(path: &str) -> String {
    percent_decode_str(path).map(char::from).collect()
}

/// What a client sent, byte by byte (S3, S10, S18).
pub(super) fn native(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
