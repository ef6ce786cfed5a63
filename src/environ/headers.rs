//! The request's fields, as `CONTENT_TYPE`, `CONTENT_LENGTH` and `HTTP_*` (PEP 3333, "environ Variables"; RFC 3875, section 4.1.18).

use http::{HeaderName, header};

use super::{Environ, Head, Length, path::native};

/// Inserts the variables that come from fields.
pub(super) fn insert(head: &Head, environ: &mut Environ) {
    if let Length::Known(length) = head.length() {
        environ.set("CONTENT_LENGTH", &length.to_string());
    }
    if let Some(host) = &head.origin().host {
        environ.set("HTTP_HOST", host);
    }
    let fields = &head.parts().headers;
    for name in fields.keys() {
        if let Some(variable) = variable(name) {
            let values: Vec<_> = fields.get_all(name).iter().map(|value| native(value.as_bytes())).collect();
            let separator = if name == header::COOKIE { "; " } else { "," };
            environ.set(&variable, &values.join(separator));
        }
    }
}

/// S11, S14: the variable of a field; `None` for one that is no variable.
fn variable(name: &HeaderName) -> Option<String> {
    let text = name.as_str();
    // S15: `X_Forwarded_For` would become the variable of `X-Forwarded-For` (CVE-2015-0219).
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    // S16: `Proxy` would become the environment variable of a proxy (httpoxy, CVE-2016-5385).
    let ours = name == header::HOST || name == header::CONTENT_LENGTH || text == "proxy";
    if !plain || ours {
        return None;
    }
    if name == header::CONTENT_TYPE {
        return Some("CONTENT_TYPE".to_owned());
    }
    let upper = text.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() });
    Some("HTTP_".chars().chain(upper).collect())
}
