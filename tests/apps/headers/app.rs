//! Repetitions, Latin-1, and a reason of its own.

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("299 All Is W\u{fc}ll", &[("Set-Cookie", "a=1"), ("X-A", "caf\u{e9} \u{ff}"), ("Set-Cookie", "b=2")])?;
    Ok(Body::empty())
}
