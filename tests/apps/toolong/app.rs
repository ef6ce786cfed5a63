//! More than its Content-Length.

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[("Content-Length", "8")])?;
    Ok(Body::stream(["hello", " world"].map(|chunk| Ok::<_, String>(chunk.into()))))
}
