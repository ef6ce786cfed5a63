//! What others call a request: a proxy's id of it, and the trace that it belongs to.
//!
//! Both are somebody else's words, and stand in logs: what is not plainly one is taken for none, and no reason to refuse a request. Next: the
//! line of the access log.

use http::{HeaderMap, HeaderName};

/// The longest id of a request that is taken over.
const REQUEST_ID_BYTES: usize = 128;

/// A request's id that can stand in a line of a log, in a response and in an environ.
pub(super) fn request_id(fields: &HeaderMap, name: &HeaderName) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+/=:@".contains(&byte);
    let text = one(fields, name.as_str())?;
    ((1..=REQUEST_ID_BYTES).contains(&text.len()) && text.bytes().all(is_plain)).then(|| text.to_owned())
}

/// The trace that a request belongs to, as `traceparent` says: `00-TRACE-PARENT-FLAGS`, in hexadecimal digits, of which neither TRACE nor PARENT may
/// be zero; a later version may have more behind that (W3C Trace Context, section 3.2).
#[must_use]
pub fn trace_id(fields: &HeaderMap) -> Option<String> {
    let mut parts = one(fields, "traceparent")?.split('-');
    let mut next = |length: usize| {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        parts.next().filter(|part| part.len() == length && part.bytes().all(is_digit))
    };
    let (version, trace, parent, _flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let is_whole = version != "ff" && (version != "00" || parts.next().is_none());
    (is_whole && !is_zero(trace) && !is_zero(parent)).then(|| trace.to_owned())
}

/// The value of a field that came once.
fn one<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = fields.get_all(name).iter();
    let (first, None) = (values.next()?, values.next()) else { return None };
    first.to_str().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

    fn fields(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    #[test]
    fn an_id_of_a_request_is_one_that_can_stand_in_a_log() {
        let id = |values: &[&str]| request_id(&fields(&REQUEST_ID, values), &REQUEST_ID);
        let (longest, longer) = ("a".repeat(128), "a".repeat(129));
        for good in ["a", "Root=1-67891233-abcdef", "f058ebd6-02f7-4d3f-942e-904344e8cde5", &longest] {
            assert_eq!(id(&[good]).as_deref(), Some(good));
        }
        for bad in [&[][..], &[""], &["a b"], &["a\"b"], &["a,b"], &["a", "b"], &["\u{e4}"], &[&longer]] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_trace_of_a_request_is_what_traceparent_names_and_nothing_else() {
        let of = |values: &[&str]| trace_id(&fields(&TRACEPARENT, values));
        let (trace, rest) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331-01");
        for good in [format!("00-{trace}-{rest}"), format!("cc-{trace}-{rest}"), format!("cc-{trace}-{rest}-what-the-future-will-be-like")]
        {
            assert_eq!(of(&[&good]).as_deref(), Some(trace), "{good}");
        }
        let (zero, upper) = ("0".repeat(32), trace.to_uppercase());
        let bad = [
            String::new(),
            "00".to_owned(),
            format!("00-{trace}"),
            format!("00-{trace}-{rest}-01"),
            format!("ff-{trace}-{rest}"),
            format!("0-{trace}-{rest}"),
            format!("00-{zero}-{rest}"),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{upper}-{rest}"),
            format!("00-{trace}0-{rest}"),
        ];
        for bad in bad {
            assert_eq!(of(&[&bad]), None, "{bad}");
        }
        let good = format!("00-{trace}-{rest}");
        assert_eq!((of(&[]), of(&[&good, &good])), (None, None));
    }

    proptest! {
        #[test]
        fn a_trace_is_thirty_two_digits_whatever_is_said(text in "[ -~]{0,80}|[0-9a-f]{2}-[0-9a-f]{30,34}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?") {
            let map = HeaderValue::from_bytes(text.as_bytes()).map(|value| HeaderMap::from_iter([(TRACEPARENT, value)]));
            if let Some(trace) = map.ok().and_then(|map| trace_id(&map)) {
                prop_assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
        }
    }
}
