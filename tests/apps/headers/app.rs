//! Repetitions, Latin-1, a reason of its own, and fields that are set, removed and asked for.

use wasgi_guest::{Body, Environ, Headers, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let mut headers = Headers::new();
    headers.add("Set-Cookie", "a=1");
    headers.add("X-A", "caf\u{e9} \u{ff}");
    headers.add("X-Gone", "1");
    headers.add("X-Set", "one");
    headers.set("x-set", "two");
    headers.remove("x-gone");
    headers.add("Set-Cookie", "b=2");
    headers.add_header("Content-Disposition", "attachment", &[("filename", "a \"b\".txt")]);
    let seen = [headers.get("set-cookie"), headers.get("X-SET")].map(Option::unwrap_or_default).join(" ");
    headers.set("X-Seen", seen);
    start_response("299 All Is W\u{fc}ll", &headers.pairs())?;
    Ok(Body::empty())
}
